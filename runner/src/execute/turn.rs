//! One turn: counters, the requests of one trial on one engine, counters again.

use schemas::{
    manifest::Heartbeat,
    plan::{ArrivalPlan, EventPlan, Experiment, Trigger},
    row::Row,
    sample::{Counter, Edge},
};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, SAMPLE_TOKENS, Stop, events, order::Slot, prepare};
use crate::{
    counters::{self, Reading},
    event::EventKind,
    http,
    load::{ArrivalItem, Identity, LoadEvent, Schedule, Stops, Target, Turn, TurnReport},
    prompt::{self, TrialPrompts},
};

impl Dispatcher<'_> {
    /// Asks each engine of a group what its template adds, verifies lengths, and warms it up.
    pub(super) async fn prepare(&mut self, group: &[usize]) -> Result<(), Stop> {
        let plan = self.plan;
        let all: Vec<_> = plan.experiments.iter().collect();
        let sample = self.texts.text("sample", &[], SAMPLE_TOKENS);
        for engine in group {
            let target = self.live.target(*engine)?;
            if plan.engines[*engine].attach.is_some() {
                self.greet(*engine, &target).await?;
            }
            for experiment in 0..plan.experiments.len() {
                let prompts = prompt::build_longest(
                    &self.texts,
                    &plan.experiments[experiment],
                    self.occasion(experiment, 0),
                    &plan.model.served_name,
                )?;
                match prepare::lengths(&target, plan, (&sample, SAMPLE_TOKENS), &prompts).await? {
                    prepare::Lengths::Exact(overhead) => {
                        self.overheads.insert(*engine, overhead);
                    }
                    prepare::Lengths::FromUsage(overhead) => {
                        self.overheads.insert(*engine, overhead);
                        let name = &plan.engines[*engine].name;
                        self.warn(format!(
                            "{name} has no /tokenize: prompt lengths are checked in its answers, afterwards"
                        ))?;
                        break;
                    }
                    prepare::Lengths::Unknown => {
                        let name = &plan.engines[*engine].name;
                        self.warn(format!(
                            "{name} has no /tokenize and counts no tokens: prompt lengths are not checked"
                        ))?;
                        break;
                    }
                    prepare::Lengths::Off { planned, counted } => {
                        let name = &plan.engines[*engine].name;
                        return Err(Stop::Failed(format!(
                            "{name} counts {counted} tokens in a prompt of {planned}: it runs another tokenizer than {}",
                            plan.model.used
                        )));
                    }
                }
            }
            if !self.warm_up {
                continue;
            }
            let arrivals = prompt::warm_up(&self.texts, &all, self.nonce, &plan.model.served_name);
            self.warm_up(*engine, target, arrivals).await?;
        }
        Ok(())
    }

    /// Whether an attached engine takes the key and serves the model.
    async fn greet(&self, engine: usize, target: &Target) -> Result<(), Stop> {
        let name = &self.plan.engines[engine].name;
        match prepare::served(target, &self.plan.model.served_name).await? {
            prepare::Served::Yes => Ok(()),
            prepare::Served::Refused { status } => {
                let variable = self.plan.engines[engine]
                    .attach
                    .as_ref()
                    .and_then(|attach| attach.api_key_env.as_deref());
                Err(Stop::Failed(format!(
                    "{name} at {} refuses the request (status {status}): {}",
                    target.url(""),
                    variable.map_or_else(
                        || "`api-key-env` names the variable that holds its key".to_owned(),
                        |variable| format!("look at the key in {variable}")
                    )
                )))
            }
            prepare::Served::NotReady { status } => Err(Stop::Failed(format!(
                "{name} at {} is not ready (status {status}): wait until it serves",
                target.url("")
            ))),
            prepare::Served::Others(models) => Err(Stop::Failed(format!(
                "{name} at {} serves {} and not {}: name that model in the scenario, or with `-m`",
                target.url(""),
                models.join(", "),
                self.plan.model.served_name
            ))),
        }
    }

    /// Sends each length once with other text; only failures are told.
    async fn warm_up(
        &mut self,
        engine: usize,
        target: Target,
        arrivals: Vec<ArrivalItem>,
    ) -> Result<(), Stop> {
        let turn = Turn {
            target,
            identity: self.identity(Slot {
                experiment: 0,
                trial: 0,
                engine,
            }),
            schedule: Schedule::Closed { concurrency: 1 },
            arrivals,
            request_timeout_ns: self.plan.request_timeout_ns,
        };
        let mut failure = None;
        let slot = Slot {
            experiment: 0,
            trial: 0,
            engine,
        };
        self.drive(turn, slot, &mut Watch::default(), |dispatcher, event| {
            let LoadEvent::Finished(rows) = event else {
                return Ok(());
            };
            for mut row in rows {
                if row.outcome != schemas::row::Outcome::Ok {
                    dispatcher.hide_key(engine, &mut row);
                    failure = Some(format!(
                        "{:?}: {}",
                        row.outcome,
                        row.detail.as_deref().unwrap_or("no detail")
                    ));
                }
            }
            Ok(())
        })
        .await?;
        match failure {
            None => Ok(()),
            Some(text) => {
                self.unwell.insert(engine);
                let name = self.plan.engines[engine].name.clone();
                self.warn(format!("a warm-up request to {name} failed ({text})"))?;
                Ok(())
            }
        }
    }

    /// One trial of one experiment on one engine.
    pub(super) async fn turn(&mut self, slot: Slot, prompts: &TrialPrompts) -> Result<(), Stop> {
        self.begin_turn(slot).await?;
        let plan = self.plan;
        let experiment = &plan.experiments[slot.experiment];
        self.emit(EventKind::TurnStarted {
            experiment: slot.experiment as u32,
            trial: slot.trial,
            engine: slot.engine as u32,
            requests: experiment.requests.len() as u32,
        })?;
        self.scrape(slot, Edge::Before).await?;
        let arrivals = prompts.arrivals(slot.engine, self.overheads.get(&slot.engine).copied());
        let ended = self.parts(slot, experiment, arrivals).await;
        if ended.is_ok() {
            self.scrape(slot, Edge::After).await?;
        }
        self.emit(EventKind::TurnEnded)?;
        ended
    }

    /// Sends a turn's requests: all at once to the load client, or in parts with events between them.
    async fn parts(
        &mut self,
        slot: Slot,
        experiment: &Experiment,
        mut arrivals: Vec<ArrivalItem>,
    ) -> Result<(), Stop> {
        let plan = self.plan;
        let (cuts, beside) = events::cuts(&plan.events, experiment, &arrivals);
        let offsets = match &experiment.arrival {
            ArrivalPlan::Closed { .. } => &[][..],
            ArrivalPlan::Open { offsets_ns, .. } => offsets_ns
                .get(slot.trial as usize)
                .map_or(&[][..], Vec::as_slice),
        };
        let mut watch = Watch {
            beside,
            ..Watch::default()
        };
        let mut sent = 0;
        let mut heartbeats = Vec::new();
        for (after, events) in cuts
            .into_iter()
            .map(Some)
            .chain([None])
            .map(|cut| match cut {
                Some((after, events)) => (Some(after), events),
                None => (None, Vec::new()),
            })
        {
            let part: Vec<ArrivalItem> = match after {
                Some(after) => arrivals
                    .drain(..after.saturating_sub(sent).min(arrivals.len()))
                    .collect(),
                None => std::mem::take(&mut arrivals),
            };
            // Offsets of a later part count from its own begin; what is due already goes out at once.
            let gone_ns = watch
                .origin_ns
                .map_or(0, |origin| self.clock.now_ns().saturating_sub(origin));
            let schedule = match &experiment.arrival {
                ArrivalPlan::Closed { concurrency } => Schedule::Closed {
                    concurrency: *concurrency,
                },
                ArrivalPlan::Open { .. } => Schedule::Open {
                    offsets_ns: offsets
                        .iter()
                        .skip(sent)
                        .take(part.len())
                        .map(|offset| offset.saturating_sub(gone_ns))
                        .collect(),
                },
            };
            sent += part.len();
            if !part.is_empty() {
                let turn = Turn {
                    target: self.live.target(slot.engine)?,
                    identity: self.identity(slot),
                    schedule,
                    arrivals: part,
                    request_timeout_ns: plan.request_timeout_ns,
                };
                self.drive(turn, slot, &mut watch, |dispatcher, event| {
                    match event {
                        LoadEvent::Started { .. } => {}
                        LoadEvent::Finished(mut rows) => {
                            for row in &mut rows {
                                dispatcher.hide_key(slot.engine, row);
                                row.phase = dispatcher.phase(row);
                                dispatcher.remember(slot, row);
                            }
                            dispatcher.emit(EventKind::RequestsFinished(rows))?;
                        }
                        LoadEvent::Done(report) => heartbeats.push(heartbeat(plan, slot, &report)),
                    }
                    Ok(())
                })
                .await?;
            }
            let hold = events.iter().any(|event| event.hold);
            for event in events {
                self.strike(slot, event).await?;
            }
            if hold {
                self.start_again(slot).await?;
            }
        }
        self.heartbeats.extend(whole(heartbeats));
        Ok(())
    }

    /// Runs a part of a turn to its last row, whatever happens meanwhile.
    async fn drive(
        &mut self,
        turn: Turn,
        slot: Slot,
        watch: &mut Watch<'_>,
        mut take: impl FnMut(&mut Self, LoadEvent) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let stops = Stops {
            cancel: self.interrupted.clone(),
            engine_exited: watch.engine_exited.clone(),
        };
        let mut events = self.client.start(turn, stops)?;
        // What an event between two requests has stopped comes back while the next ones run.
        self.start_again(slot).await?;
        let mut death = None;
        loop {
            let wait = watch.next_at_ns().map(|at_ns| {
                std::time::Duration::from_nanos(at_ns.saturating_sub(self.clock.now_ns()))
            });
            tokio::select! {
                event = events.recv() => match event {
                    None => break,
                    Some(event) => {
                        watch.see(&event);
                        take(self, event)?;
                    }
                },
                found = self.live.death(), if death.is_none() => {
                    watch.engine_exited.cancel();
                    death = Some(found);
                }
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
            for event in watch.due(self.clock.now_ns()) {
                self.strike(slot, event).await?;
                self.start_again(slot).await?;
            }
        }
        match death {
            // What an event has led to is what the scenario asks about: it is told, and the next trial begins anew.
            Some(death) if self.is_disturbed() => {
                self.disturbed.insert(slot.engine);
                self.warn(format!("after the event {death}"))?;
            }
            Some(death) => return Err(Stop::Failed(death.to_string())),
            None => {}
        }
        if self.interrupted.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        Ok(())
    }

    /// A server that refuses a key may repeat it: it goes into no file.
    fn hide_key(&self, engine: usize, row: &mut Row) {
        let Some(key) = self.live.key(engine).filter(|key| !key.is_empty()) else {
            return;
        };
        for text in [&mut row.detail, &mut row.text].into_iter().flatten() {
            if text.contains(&key) {
                *text = text.replace(&key, "[key]");
            }
        }
    }

    fn identity(&self, slot: Slot) -> Identity {
        Identity {
            expr_id: expr_id(self.plan, slot),
            experiment: slot.experiment as u32,
            trial: slot.trial,
            engine_id: slot.engine as u32,
            engine: self.plan.engines[slot.engine].name.clone(),
        }
    }

    /// Reads the counters of an engine and its sidecars. One that does not answer is a warning: its experiment lacks evidence, not numbers.
    async fn scrape(&mut self, slot: Slot, edge: Edge) -> Result<(), Stop> {
        let mut read: Vec<Counter> = Vec::new();
        let attached = self.plan.engines[slot.engine].attach.is_some();
        if self.without_counters.contains(&slot.engine) {
            return Ok(());
        }
        for (subject, target, path) in self.live.counters(slot.engine)? {
            match http::get(&target, path).await {
                Ok(answer) if answer.status == 200 => {
                    let reading = Reading {
                        at_ns: self.clock.now_ns(),
                        subject: &subject,
                        experiment: slot.experiment as u32,
                        trial: slot.trial,
                        edge,
                    };
                    read.extend(counters::parse(
                        &String::from_utf8_lossy(&answer.body),
                        reading,
                    ));
                }
                Ok(answer) => {
                    // An engine that others run need not show its counters: told once.
                    if attached {
                        self.without_counters.insert(slot.engine);
                    }
                    self.warn(format!(
                        "{} gave status {} instead of counters",
                        target.url(path),
                        answer.status
                    ))?;
                }
                Err(error) => self.warn(error.to_string())?,
            }
        }
        self.emit(EventKind::Counters(read))?;
        Ok(())
    }
}

/// Number of the (experiment, trial) pair.
fn expr_id(plan: &schemas::plan::Plan, slot: Slot) -> u32 {
    slot.experiment as u32 * plan.trials.at_most + slot.trial
}

fn heartbeat(plan: &schemas::plan::Plan, slot: Slot, report: &TurnReport) -> Heartbeat {
    Heartbeat {
        expr_id: expr_id(plan, slot),
        engine_id: slot.engine as u32,
        worst_ns: report.heartbeat.as_ref().map(|spread| spread.max_ns),
        p99_ns: report.heartbeat.as_ref().map(|spread| spread.p99_ns),
        thread_cpu_ns: report.request_thread_cpu_ns,
        wall_ns: report.ended_ns.saturating_sub(report.origin_ns),
    }
}

/// The heartbeats of a turn's parts as one: the worst counts.
fn whole(parts: Vec<Heartbeat>) -> Option<Heartbeat> {
    parts.into_iter().reduce(|one, other| Heartbeat {
        worst_ns: one.worst_ns.max(other.worst_ns),
        p99_ns: one.p99_ns.max(other.p99_ns),
        thread_cpu_ns: one.thread_cpu_ns + other.thread_cpu_ns,
        wall_ns: one.wall_ns + other.wall_ns,
        ..one
    })
}

/// What a turn under way is watched for: events that happen beside its requests.
#[derive(Debug, Default)]
struct Watch<'a> {
    /// Events still to come.
    beside: Vec<&'a EventPlan>,
    /// When the turn began, ns since the run started.
    origin_ns: Option<u64>,
    /// Requests that are done.
    done: u32,
    /// A process of the engine ended unasked.
    engine_exited: CancellationToken,
}

impl<'a> Watch<'a> {
    fn see(&mut self, event: &LoadEvent) {
        match event {
            LoadEvent::Started { origin_ns } => {
                self.origin_ns.get_or_insert(*origin_ns);
            }
            // Their number fits, as the plan's does.
            LoadEvent::Finished(rows) => self.done += rows.len() as u32,
            LoadEvent::Done(_) => {}
        }
    }

    /// When the next event at a time is due, ns since the run started.
    fn next_at_ns(&self) -> Option<u64> {
        let origin_ns = self.origin_ns?;
        let times = self.beside.iter().filter_map(|event| match event.trigger {
            Trigger::AtNs(at_ns) => Some(origin_ns + at_ns),
            Trigger::AfterRequest(_) => None,
        });
        times.min()
    }

    /// Takes the events that are due now.
    fn due(&mut self, now_ns: u64) -> Vec<&'a EventPlan> {
        let since = self
            .origin_ns
            .map_or(0, |origin_ns| now_ns.saturating_sub(origin_ns));
        let done = self.done;
        let is_due = |event: &&EventPlan| match event.trigger {
            Trigger::AfterRequest(requests) => done >= requests,
            Trigger::AtNs(at_ns) => since >= at_ns,
        };
        let (due, later) = self.beside.drain(..).partition(is_due);
        self.beside = later;
        due
    }
}
