//! One turn: counters, the requests of one trial on one engine, counters again.

use schemas::{
    manifest::Heartbeat,
    plan::ArrivalPlan,
    row::Row,
    sample::{Counter, Edge},
};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, SAMPLE_TOKENS, Stop, order::Slot, prepare};
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
        self.drive(turn, |dispatcher, event| {
            if let LoadEvent::Finished(mut row) = event
                && row.outcome != schemas::row::Outcome::Ok
            {
                dispatcher.hide_key(engine, &mut row);
                failure = Some(format!(
                    "{:?}: {}",
                    row.outcome,
                    row.detail.as_deref().unwrap_or("no detail")
                ));
            }
            Ok(())
        })
        .await?;
        match failure {
            None => Ok(()),
            Some(text) => {
                let name = self.plan.engines[engine].name.clone();
                self.warn(format!("a warm-up request to {name} failed ({text})"))?;
                Ok(())
            }
        }
    }

    /// One trial of one experiment on one engine.
    pub(super) async fn turn(&mut self, slot: Slot, prompts: &TrialPrompts) -> Result<(), Stop> {
        let plan = self.plan;
        let experiment = &plan.experiments[slot.experiment];
        self.emit(EventKind::TurnStarted {
            experiment: slot.experiment as u32,
            trial: slot.trial,
            engine: slot.engine as u32,
            requests: experiment.requests.len() as u32,
        })?;
        self.scrape(slot, Edge::Before).await?;
        let turn = Turn {
            target: self.live.target(slot.engine)?,
            identity: self.identity(slot),
            schedule: match &experiment.arrival {
                ArrivalPlan::Closed { concurrency } => Schedule::Closed {
                    concurrency: *concurrency,
                },
                ArrivalPlan::Open { offsets_ns, .. } => Schedule::Open {
                    offsets_ns: offsets_ns
                        .get(slot.trial as usize)
                        .cloned()
                        .unwrap_or_default(),
                },
            },
            arrivals: prompts.arrivals(slot.engine, self.overheads.get(&slot.engine).copied()),
            request_timeout_ns: plan.request_timeout_ns,
        };
        let ended = self
            .drive(turn, |dispatcher, event| {
                match event {
                    LoadEvent::Started { .. } => {}
                    LoadEvent::Finished(mut row) => {
                        dispatcher.hide_key(slot.engine, &mut row);
                        dispatcher.remember(slot, &row);
                        dispatcher.emit(EventKind::RequestFinished(row))?;
                    }
                    LoadEvent::Done(report) => {
                        dispatcher.heartbeats.push(heartbeat(plan, slot, &report))
                    }
                }
                Ok(())
            })
            .await;
        if ended.is_ok() {
            self.scrape(slot, Edge::After).await?;
        }
        self.emit(EventKind::TurnEnded)?;
        ended
    }

    /// Runs a turn to its last row, whatever happens meanwhile.
    async fn drive(
        &mut self,
        turn: Turn,
        mut take: impl FnMut(&mut Self, LoadEvent) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let engine_exited = CancellationToken::new();
        let stops = Stops {
            cancel: self.interrupted.clone(),
            engine_exited: engine_exited.clone(),
        };
        let mut events = self.client.start(turn, stops)?;
        let mut death = None;
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    None => break,
                    Some(event) => take(self, event)?,
                },
                found = self.live.death(), if death.is_none() => {
                    engine_exited.cancel();
                    death = Some(found);
                }
            }
        }
        match death {
            Some(death) => Err(Stop::Failed(death.to_string())),
            None if self.interrupted.is_cancelled() => Err(Stop::Interrupted),
            None => Ok(()),
        }
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
