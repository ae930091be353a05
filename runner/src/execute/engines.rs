//! The engines that live now: started sidecars first, watched, stopped in the opposite order.

use std::{
    collections::{BTreeMap, BTreeSet},
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
        Death, Interruption, Interruptions, Ports, Process, RunSettings, StartError, Supervisor,
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

    /// Kills strays and removes what is left; in words, what there was.
    pub(crate) async fn sweep(&mut self) -> Vec<String> {
        let Some(supervisor) = self.supervisor.take() else {
            return Vec::new();
        };
        let report = supervisor.sweep().await;
        let strays = report.strays.iter().map(|stray| {
            format!(
                "process {} ({}) had to be killed after the run",
                stray.pid, stray.name
            )
        });
        let left = report
            .left
            .into_iter()
            .map(|left| format!("could not be removed: {left}"));
        strays.chain(left).collect()
    }
}

impl Dispatcher<'_> {
    /// Starts all processes of a group of engines: those that have devices of their own together, others one after another, because each sizes
    /// its memory by what the ones before it have left.
    pub(super) async fn start(&mut self, group: &[usize]) -> Result<(), Stop> {
        let plan = self.plan;
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
                self.live
                    .watched
                    .add(&name, process.guard_pid().cast_unsigned());
                let (died, exited) = (self.live.died.clone(), process.exited());
                tokio::spawn(async move {
                    // Nobody listens any more when the run is over.
                    let _ = died.send(exited.await);
                });
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

    /// Stops everything that lives: each engine before its sidecars.
    pub(super) async fn stop(&mut self) -> Result<(), Stop> {
        let engines: Vec<usize> = self.live.processes.keys().rev().copied().collect();
        for engine in engines {
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
