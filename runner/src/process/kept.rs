//! A process that serves on from one run to the next: between them it belongs to nobody but its guard, which still watches the runner.

use std::{sync::Arc, time::Duration};

use schemas::{manifest::ProcessRecord, plan::Launch};
use tokio::time::timeout;

use super::{
    ports::Ports,
    readiness::Readiness,
    running::Process,
    supervisor::{Supervisor, SweepReport},
};

/// How long a process that served a moment ago may take to answer its probe.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

/// A process on its way from one run to the next, with the supervisor ([`Supervisor::apart`]) that sweeps up after it. Dropped, it is killed.
pub struct Kept {
    process: Process,
    supervisor: Supervisor,
    ports: Vec<(String, u16)>,
    started_by: String,
}

impl Kept {
    /// Takes a process out of a run, whose name is `SCENARIO/RUN`.
    pub fn new(process: Process, supervisor: Supervisor, ports: &Ports, run: &str) -> Self {
        let started_by = process.record().started_by.clone();
        Self {
            ports: ports.of_launch(process.name()),
            process,
            supervisor,
            started_by: started_by.unwrap_or_else(|| run.to_owned()),
        }
    }

    /// Name of its launch.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// The run that had started it, `SCENARIO/RUN`.
    pub fn started_by(&self) -> &str {
        &self.started_by
    }

    /// Its life so far.
    pub fn record(&self) -> &ProcessRecord {
        self.process.record()
    }

    /// Gives it to another run: its times are that run's from then on, its log stands in both folders, and its ports are known there.
    ///
    /// # Errors
    ///
    /// It does not serve any more, or its log cannot be linked: in words, with the process, which is not the other run's then.
    pub async fn hand_over(
        mut self,
        run: &Supervisor,
        launch: &Launch,
        ports: &mut Ports,
    ) -> Result<(Process, Supervisor), (Box<Self>, String)> {
        ports.adopt(&launch.name, &self.ports);
        if let Err(reason) = self.ask(run, launch, ports).await {
            ports.forget(&launch.name);
            return Err((Box::new(self), reason));
        }
        let logs = run.settings.run_folder.join("logs");
        let linked = self
            .process
            .guarded
            .log
            .linked(logs.join(format!("{}.log", launch.name)));
        let log = match linked {
            Ok(log) => log,
            Err(error) => {
                ports.forget(&launch.name);
                let reason = format!("its log cannot be linked into {}: {error}", logs.display());
                return Err((Box::new(self), reason));
            }
        };
        let guarded = &mut self.process.guarded;
        guarded.log = log;
        let now_ns = Arc::clone(&run.settings.now_ns);
        guarded.behind_ns += (guarded.now_ns)().saturating_sub(now_ns());
        guarded.now_ns = now_ns;
        guarded.kill_now = run.kill_now().clone();
        guarded.record.started_ns = 0;
        guarded.record.ready_ns = Some(0);
        guarded.record.started_by = Some(self.started_by);
        Ok((self.process, self.supervisor))
    }

    /// Whether it still answers.
    async fn ask(&self, run: &Supervisor, launch: &Launch, ports: &Ports) -> Result<(), String> {
        let guarded = &self.process.guarded;
        let mut readiness = Readiness::new(&launch.probe, run.symbols(ports), &guarded.log)
            .map_err(|error| error.to_string())?;
        let mut life = guarded.life.clone();
        let mut found = None;
        tokio::select! {
            biased;
            Ok(life) = life.wait_for(|life| life.ended.is_some()) => {
                let how = life.ended.map(|(ending, _)| ending.to_string());
                Err(format!("it had ended ({})", how.unwrap_or_default()))
            }
            answer = timeout(ANSWER_PATIENCE, readiness.wait(&mut found)) => {
                answer.map_err(|_| "it does not answer any more".to_owned())
            }
        }
    }

    /// Ends it in order and sweeps up after it. Returns when nothing of it is left.
    pub async fn stop(self) -> (ProcessRecord, SweepReport) {
        let record = self.process.stop().await;
        (record, self.supervisor.sweep().await)
    }
}
