//! The engines that live now: started sidecars first, watched, stopped in the opposite order.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use schemas::{
    manifest::ProcessRecord,
    plan::{Launch, Plan},
    profile::Residency,
};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Dispatcher, ExecuteError, Stop};
use crate::{
    clock::RunClock,
    event::EventKind,
    folder::RunFolder,
    load::Target,
    process::{
        Death, Interruption, Interruptions, Kept, Ports, Process, RunSettings, StartError,
        Supervisor, SweepReport,
    },
    telemetry::Watched,
};

/// A process that has become ready, or has not.
struct Started {
    engine: usize,
    ready: Result<Process, Box<StartError>>,
}

/// Processes of the run, by engine.
pub(crate) struct Live<'a> {
    plan: &'a Plan,
    supervisor: Option<Supervisor>,
    /// Supervisors of engines that live on after this run, or came from one before.
    apart: BTreeMap<usize, Supervisor>,
    /// Engines of the run before, until they are taken over.
    kept: Vec<Kept>,
    ports: Ports,
    watched: Watched,
    interrupted: CancellationToken,
    processes: BTreeMap<usize, Vec<Process>>,
    /// Names of processes that an event froze.
    frozen: BTreeSet<String>,
    deaths: mpsc::UnboundedReceiver<Death>,
    died: mpsc::UnboundedSender<Death>,
}

impl<'a> Live<'a> {
    /// Nothing lives yet. From here on signals are events, and not the runner's end.
    pub(crate) fn new(
        folder: &RunFolder,
        clock: RunClock,
        plan: &'a Plan,
        watched: Watched,
        interrupted: CancellationToken,
    ) -> Result<Self, ExecuteError> {
        let system = |action: &'static str| move |source| ExecuteError::System { action, source };
        let executable: PathBuf =
            std::env::current_exe().map_err(system("find the runner's own executable"))?;
        let supervisor = Supervisor::new(RunSettings {
            // The folder's name alone is not unique on a host.
            run_id: format!(
                "{}-{}-{}",
                plan.scenario,
                folder.run_id(),
                std::process::id()
            ),
            run_folder: folder.path().to_owned(),
            executable,
            now_ns: Arc::new(move || clock.now_ns()),
        })
        .map_err(|error| ExecuteError::System {
            action: "make the run's folders",
            source: error.source,
        })?;
        let mut interruptions = Interruptions::listen().map_err(system("listen to signals"))?;
        let (kill_now, orderly) = (supervisor.kill_now().clone(), interrupted.clone());
        tokio::spawn(async move {
            loop {
                match interruptions.next().await {
                    Interruption::Orderly => orderly.cancel(),
                    Interruption::Now => kill_now.cancel(),
                }
            }
        });
        let (died, deaths) = mpsc::unbounded_channel();
        Ok(Self {
            plan,
            supervisor: Some(supervisor),
            apart: BTreeMap::new(),
            kept: Vec::new(),
            ports: Ports::new(),
            watched,
            interrupted,
            processes: BTreeMap::new(),
            frozen: BTreeSet::new(),
            deaths,
            died,
        })
    }

    /// The next end of a process that nobody asked for.
    pub(crate) async fn death(&mut self) -> Death {
        match self.deaths.recv().await {
            Some(death) => death,
            // `self` holds a sender, so the channel stays open.
            None => std::future::pending().await,
        }
    }

    /// Sensors read a process from now on, and its death is noticed.
    fn watch(&self, process: &Process) {
        self.watched
            .add(process.name(), process.guard_pid().cast_unsigned());
        let (died, exited) = (self.died.clone(), process.exited());
        tokio::spawn(async move {
            // Nobody listens any more when the run is over.
            let _ = died.send(exited.await);
        });
    }

    /// Where an engine is asked.
    ///
    /// # Errors
    /// In words, when an attached engine's URL or key cannot be used.
    pub(crate) fn target(&self, engine: usize) -> Result<Target, Stop> {
        let plan = &self.plan.engines[engine];
        match &plan.attach {
            None => Ok(Target::local(
                self.ports.number(&plan.name).unwrap_or_default(),
            )),
            Some(attach) => {
                let target = Target::from_url(&attach.url)?;
                match self.key(engine) {
                    Some(key) => Ok(target.with_key(&key)?),
                    None => Ok(target),
                }
            }
        }
    }

    /// The key of an attached engine, where it has one.
    pub(crate) fn key(&self, engine: usize) -> Option<String> {
        let attach = self.plan.engines[engine].attach.as_ref()?;
        std::env::var(attach.api_key_env.as_deref()?).ok()
    }

    /// Where the processes of an engine show their counters, by their names.
    ///
    /// # Errors
    /// In words, when an address cannot be used.
    pub(crate) fn counters(
        &self,
        engine: usize,
    ) -> Result<Vec<(String, Target, &'static str)>, Stop> {
        let plan = &self.plan.engines[engine];
        if plan.attach.is_some() {
            let target = self.target(engine)?;
            return Ok(vec![(plan.name.clone(), target, "/metrics")]);
        }
        let Some(supervisor) = &self.supervisor else {
            return Ok(Vec::new());
        };
        let symbols = supervisor.symbols(&self.ports);
        let launches = self.plan.engines[engine].launches.iter();
        launches
            .filter_map(|launch| {
                let url = symbols.fill(launch.metrics_url.as_ref()?).ok()?;
                Some((launch.name.clone(), url))
            })
            .map(|(name, url)| Ok((name, Target::from_url(&url)?, "")))
            .collect()
    }

    /// Takes a process out of those that live; nothing where it has ended already.
    pub(crate) fn take(&mut self, engine: usize, name: &str) -> Option<Process> {
        let processes = self.processes.get_mut(&engine)?;
        let index = processes
            .iter()
            .position(|process| process.name() == name)?;
        self.watched.remove(name);
        Some(processes.remove(index))
    }

    /// Freezes or thaws a process.
    ///
    /// # Errors
    /// It is not there, or its group is gone.
    pub(crate) fn freeze(&mut self, engine: usize, name: &str, frozen: bool) -> io::Result<()> {
        let mut processes = self.processes.get(&engine).into_iter().flatten();
        let process = processes
            .find(|process| process.name() == name)
            .ok_or(io::ErrorKind::NotFound)?;
        process.freeze(frozen)?;
        if frozen {
            self.frozen.insert(name.to_owned());
        } else {
            self.frozen.remove(name);
        }
        Ok(())
    }

    /// A path of the plan with its symbols filled.
    pub(crate) fn path(&self, path: &str) -> Option<PathBuf> {
        let symbols = self.supervisor.as_ref()?.symbols(&self.ports);
        symbols.fill(path).ok().map(PathBuf::from)
    }

    /// The first line of a process's log that contains a text.
    pub(crate) fn log_line(&self, process: &str, text: &str) -> Option<String> {
        const SHOWN_CHARACTERS: usize = 300;
        let path = self.path(&format!("{{run}}/logs/{process}.log"))?;
        let log = std::io::BufReader::new(std::fs::File::open(path).ok()?);
        // Lines that are no text have nothing to tell.
        let mut lines = std::io::BufRead::lines(log).map_while(Result::ok);
        let line = lines.find(|line| line.contains(text))?;
        Some(
            line.chars()
                .filter(|character| !character.is_control())
                .take(SHOWN_CHARACTERS)
                .collect(),
        )
    }

    /// Takes in what the run before has left running.
    pub(super) fn inherit(&mut self, kept: Vec<Kept>) {
        self.kept = kept;
    }

    /// Kills strays and removes what is left; in words, what there was.
    pub(crate) async fn sweep(&mut self) -> Vec<String> {
        let apart = std::mem::take(&mut self.apart).into_values();
        let mut found = Vec::new();
        for supervisor in apart.chain(self.supervisor.take()) {
            found.extend(in_words(supervisor.sweep().await));
        }
        found
    }
}

/// What a sweep has found, for a reader of the report.
fn in_words(report: SweepReport) -> impl Iterator<Item = String> {
    let strays = report.strays.into_iter().map(|stray| {
        format!(
            "process {} ({}) had to be killed after the run",
            stray.pid, stray.name
        )
    });
    let left = report
        .left
        .into_iter()
        .map(|left| format!("could not be removed: {left}"));
    strays.chain(left)
}

impl Dispatcher<'_> {
    /// Starts all processes of a group of engines: those that have devices of their own together, others one after another, because each sizes
    /// its memory by what the ones before it have left.
    pub(super) async fn start(&mut self, group: &[usize]) -> Result<(), Stop> {
        let plan = self.plan;
        let mut fresh = Vec::new();
        for engine in group {
            if !self.take_over(*engine).await? {
                fresh.push(*engine);
            }
        }
        let group = &fresh[..];
        for engine in group {
            for launch in &plan.engines[*engine].launches {
                self.live.ports.reserve(launch).map_err(|error| {
                    Stop::Failed(format!("{} cannot start: {error}", launch.name))
                })?;
            }
        }
        let at_once = match plan.residency {
            Residency::SideBySide => group.len().max(1),
            Residency::InTurn | Residency::Resident => 1,
        };
        for engines in group.chunks(at_once) {
            self.start_together(engines).await?;
        }
        Ok(())
    }

    /// Starts one process, and waits until it is ready.
    pub(super) async fn start_one(&mut self, engine: usize, launch: &Launch) -> Result<(), Stop> {
        let mut starting = JoinSet::new();
        self.spawn(engine, launch, &mut starting)?;
        self.all_ready(starting).await
    }

    /// Starts sidecars first and the engines, which take longest, all in the last round.
    async fn start_together(&mut self, engines: &[usize]) -> Result<(), Stop> {
        let plan = self.plan;
        let launches = |engine: usize| &plan.engines[engine].launches;
        let rounds = engines
            .iter()
            .map(|engine| launches(*engine).len())
            .max()
            .unwrap_or(0);
        for left in (0..rounds).rev() {
            let mut starting = JoinSet::new();
            for engine in engines {
                if let Some(launch) = launches(*engine).iter().rev().nth(left) {
                    self.spawn(*engine, launch, &mut starting)?;
                }
            }
            self.all_ready(starting).await?;
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        engine: usize,
        launch: &Launch,
        starting: &mut JoinSet<Started>,
    ) -> Result<(), Stop> {
        if self.interrupted.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        let Some(supervisor) = &self.live.supervisor else {
            return Err(Stop::Failed(
                "the run's processes were swept already".to_owned(),
            ));
        };
        let supervisor: &Supervisor = if self.handed.contains(&engine) {
            match self.live.apart.entry(engine) {
                Entry::Occupied(apart) => apart.into_mut(),
                Entry::Vacant(none) => none.insert(supervisor.apart(&launch.name)?),
            }
        } else {
            supervisor
        };
        let process = supervisor
            .spawn(launch, &mut self.live.ports)
            .map_err(|error| Stop::Failed(error.to_string()))?;
        self.emit(EventKind::ProcessStarting {
            name: launch.name.clone(),
            log: process.log().to_owned(),
        })?;
        let deadline = Duration::from_nanos(self.plan.ready_timeout_ns);
        let interrupted = self.live.interrupted.clone();
        starting.spawn(async move {
            let ready = process.ready(deadline, &interrupted).await;
            Started { engine, ready }
        });
        Ok(())
    }

    /// Waits until all that start are ready, or one is not.
    async fn all_ready(&mut self, mut starting: JoinSet<Started>) -> Result<(), Stop> {
        loop {
            let started = tokio::select! {
                started = starting.join_next() => started,
                death = self.live.death() => return Err(Stop::Failed(death.to_string())),
            };
            match started {
                None => return Ok(()),
                Some(started) => self.take_started(started?)?,
            }
        }
    }

    fn take_started(&mut self, Started { engine, ready }: Started) -> Result<(), Stop> {
        match ready {
            Ok(process) => {
                let record = process.record();
                let took_ns = record
                    .ready_ns
                    .unwrap_or(record.started_ns)
                    .saturating_sub(record.started_ns);
                let name = process.name().to_owned();
                self.live.watch(&process);
                let launches = &self.plan.engines[engine].launches;
                let place = |process: &Process| {
                    launches
                        .iter()
                        .position(|launch| launch.name == process.name())
                };
                let processes = self.live.processes.entry(engine).or_default();
                processes.push(process);
                // One that was started again takes its old place: the order of the stop hangs on it.
                processes.sort_by_key(place);
                self.emit(EventKind::ProcessReady { name, took_ns })?;
                Ok(())
            }
            Err(_) if self.interrupted.is_cancelled() => Err(Stop::Interrupted),
            Err(error) => {
                let text = error.to_string();
                if let Some(record) = error.record {
                    self.ended(record)?;
                }
                Err(Stop::Failed(text))
            }
        }
    }

    /// Takes an engine over from the run before, where that has left it running; false where it has to be started. One that does not serve any more is
    /// stopped first.
    async fn take_over(&mut self, engine: usize) -> Result<bool, Stop> {
        let plan = self.plan;
        let plan = &plan.engines[engine];
        let live = &mut self.live;
        let place = live.kept.iter().position(|kept| kept.name() == plan.name);
        let (Some(place), [launch], Some(supervisor)) =
            (place, plan.launches.as_slice(), &live.supervisor)
        else {
            return Ok(false);
        };
        let kept = live.kept.remove(place);
        let started_by = kept.started_by().to_owned();
        match kept.hand_over(supervisor, launch, &mut live.ports).await {
            Ok((process, apart)) => {
                live.watch(&process);
                live.apart.insert(engine, apart);
                live.processes.insert(engine, vec![process]);
                let name = plan.name.clone();
                self.emit(EventKind::ProcessTakenOver { name, started_by })?;
                Ok(true)
            }
            Err((kept, reason)) => {
                let name = plan.name.clone();
                let (_, swept) = kept.stop().await;
                self.warn(format!(
                    "{name} of {started_by} was to serve this run too and was started anew: {reason}"
                ))?;
                for text in in_words(swept) {
                    self.warn(text)?;
                }
                Ok(false)
            }
        }
    }

    /// Takes the engines that the next scenario goes on with out of those that live, as far as they are fit for it. The rest is stopped like any other.
    pub(super) fn hand_on(&mut self) -> Vec<Kept> {
        if self.interrupted.is_cancelled() {
            return Vec::new();
        }
        let run = format!("{}/{}", self.plan.scenario, self.manifest.run_id);
        let live = &mut self.live;
        let mut kept = Vec::new();
        for engine in self.handed.difference(&self.unwell) {
            // One that has ended is told of where the others are stopped.
            let process = live
                .processes
                .get_mut(engine)
                .and_then(|processes| processes.pop_if(|process| !process.has_ended()));
            if let Some(process) = process
                && let Some(supervisor) = live.apart.remove(engine)
            {
                kept.push(Kept::new(process, supervisor, &live.ports, &run));
            }
        }
        kept
    }

    /// Stops what the run before has left running and nobody has taken over.
    pub(super) async fn stop_kept(&mut self) -> Result<(), Stop> {
        for kept in std::mem::take(&mut self.live.kept) {
            let (_, swept) = kept.stop().await;
            for text in in_words(swept) {
                self.warn(text)?;
            }
        }
        Ok(())
    }

    /// Stops everything that lives, apart from some engines: each engine before its sidecars.
    pub(super) async fn stop_but(&mut self, spared: &BTreeSet<usize>) -> Result<(), Stop> {
        let engines: Vec<usize> = self.live.processes.keys().rev().copied().collect();
        for engine in engines
            .into_iter()
            .filter(|engine| !spared.contains(engine))
        {
            self.stop_engine(engine).await?;
        }
        Ok(())
    }

    /// Stops an engine, and then its sidecars.
    pub(super) async fn stop_engine(&mut self, engine: usize) -> Result<(), Stop> {
        let processes = self.live.processes.remove(&engine).unwrap_or_default();
        let mut records: Vec<ProcessRecord> = Vec::new();
        for process in processes.into_iter().rev() {
            self.live.watched.remove(process.name());
            if self.live.frozen.remove(process.name()) {
                // A frozen process hears nothing; where it is gone already, there is nothing to thaw.
                let _ = process.freeze(false);
            }
            records.push(process.stop().await);
        }
        for record in records {
            self.ended(record)?;
        }
        self.look_for_telltales(engine);
        Ok(())
    }
}
