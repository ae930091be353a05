//! A process under guard: waiting for its answer, for its end, and ending it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use schemas::{manifest::ProcessRecord, plan::Role};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    ending::ProcessEnding,
    guarded::{Guarded, Life},
    readiness::Readiness,
    start_error::{StartError, StartErrorKind, role_in_words, seconds, write_last_lines},
};

/// A process that was started and has not answered yet. Dropped, it is killed.
#[derive(Debug)]
pub struct Starting {
    pub(super) guarded: Guarded,
    pub(super) readiness: Readiness,
}

/// A process that serves. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    pub(super) guarded: Guarded,
    pid: i32,
}

/// An end that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Name of the launch.
    pub name: String,
    /// What it was to the engine.
    pub role: Role,
    /// How it ended.
    pub ending: ProcessEnding,
    /// When, in ns of the run.
    pub ended_ns: u64,
    /// Time since its start.
    pub after: Duration,
    /// Its log.
    pub log: PathBuf,
    /// The log's last lines.
    pub last_lines: Vec<String>,
}

impl fmt::Display for Death {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, name, after) = (role_in_words(self.role), &self.name, seconds(self.after));
        write!(
            formatter,
            "{role} `{name}` ended unasked ({} after {after})",
            self.ending
        )?;
        write_last_lines(formatter, &self.last_lines, &self.log)
    }
}

impl Starting {
    /// Path of the log, which is being written.
    pub fn log(&self) -> &Path {
        self.guarded.log.path()
    }

    /// Waits until the probe is answered. Whatever ends the wait otherwise, nothing of the process is left when the error is returned.
    ///
    /// # Errors
    ///
    /// The program could not be started, ended, did not answer within the deadline, or `cancel` came first.
    pub async fn ready(
        self,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Process, Box<StartError>> {
        let Self {
            mut guarded,
            mut readiness,
        } = self;
        let (mut life, mut start) = (guarded.life.clone(), guarded.life.clone());
        let mut found = None;
        let answer = async {
            let pid = started(&mut start).await;
            readiness.wait(&mut found).await;
            pid
        };
        let kind = tokio::select! {
            biased;
            () = cancel.cancelled() => StartErrorKind::Cancelled,
            kind = ended_before_ready(&mut life, guarded.record.started_ns) => kind,
            pid = answer => {
                guarded.record.ready_ns = Some((guarded.now_ns)());
                guarded.record.pid = Some(pid);
                return Ok(Process { guarded, pid });
            }
            () = sleep(deadline) => StartErrorKind::NotReady { deadline, found },
        };
        guarded.end(Some(guarded.grace)).await;
        guarded.record.last_lines = guarded.log.last_lines();
        let was_made = !matches!(kind, StartErrorKind::Spawn { .. });
        Err(Box::new(StartError {
            name: guarded.record.name.clone(),
            role: guarded.role,
            log: guarded.log.path().to_owned(),
            record: was_made.then_some(guarded.record),
            kind,
        }))
    }
}

/// Waits until the guard has started the program, and returns the program's process id.
async fn started(life: &mut watch::Receiver<Life>) -> i32 {
    match life
        .wait_for(|life| life.pid.is_some())
        .await
        .map(|life| life.pid)
    {
        Ok(Some(pid)) => pid,
        _ => std::future::pending().await,
    }
}

/// Waits for an end, or for word that there was no start.
async fn ended_before_ready(life: &mut watch::Receiver<Life>, started_ns: u64) -> StartErrorKind {
    let is_over = |life: &Life| life.not_started.is_some() || life.ended.is_some();
    let Ok(life) = life.wait_for(is_over).await else {
        return std::future::pending().await;
    };
    match (&life.not_started, life.ended) {
        (None, Some((ending, ended_ns))) => StartErrorKind::Exited {
            ending,
            after: Duration::from_nanos(ended_ns.saturating_sub(started_ns)),
        },
        (reason, _) => StartErrorKind::Spawn {
            reason: reason.clone().unwrap_or_default(),
        },
    }
}

impl Process {
    /// Name of the launch.
    pub fn name(&self) -> &str {
        &self.guarded.record.name
    }

    /// Id of the main process, which is its group's too.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Id of the guard: everything that belongs to the process descends from it.
    pub fn guard_pid(&self) -> i32 {
        self.guarded.guard_pid
    }

    /// Path of the log.
    pub fn log(&self) -> &Path {
        self.guarded.log.path()
    }

    /// Its life so far.
    pub fn record(&self) -> &ProcessRecord {
        &self.guarded.record
    }

    /// Its main process has ended.
    pub fn has_ended(&self) -> bool {
        self.guarded.life.borrow().ended.is_some()
    }

    /// Waits for an end that nobody asked for; after [`Self::stop`] or [`Self::kill`] it waits for ever. Does not borrow the process.
    pub fn exited(&self) -> impl Future<Output = Death> + Send + 'static {
        let mut life = self.guarded.life.clone();
        let (asked, log) = (Arc::clone(&self.guarded.asked), self.guarded.log.clone());
        let record = &self.guarded.record;
        let (name, role) = (record.name.clone(), self.guarded.role);
        let (born_ns, behind_ns) = (self.guarded.born_ns, self.guarded.behind_ns);
        async move {
            let ended = life
                .wait_for(|life| life.ended.is_some())
                .await
                .ok()
                .and_then(|life| life.ended);
            let Some((ending, ended_ns)) = ended else {
                return std::future::pending().await;
            };
            if asked.load(Ordering::Acquire) {
                return std::future::pending().await;
            }
            Death {
                name,
                role,
                ending,
                ended_ns: ended_ns.saturating_sub(behind_ns),
                after: Duration::from_nanos(ended_ns.saturating_sub(born_ns)),
                last_lines: log.last_lines(),
                log: log.path().to_owned(),
            }
        }
    }

    /// Ends it in order: TERM to the group, the launch's grace, KILL to whatever is left. Close its clients' streams first: servers wait for them.
    /// Returns when nothing of it is left.
    pub async fn stop(mut self) -> ProcessRecord {
        self.guarded.end(Some(self.guarded.grace)).await;
        self.guarded.record
    }

    /// Freezes its process group (STOP), or thaws it (CONT).
    ///
    /// # Errors
    ///
    /// The group is gone.
    pub fn freeze(&self, frozen: bool) -> io::Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        let group = Pid::from_raw(self.pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process_group(group, signal)?)
    }

    /// KILL to everything at once. Returns when nothing of it is left.
    pub async fn kill(mut self) -> ProcessRecord {
        self.guarded.end(None).await;
        self.guarded.record
    }
}
