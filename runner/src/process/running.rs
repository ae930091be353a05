//! A process under guard: waiting for its answer, for its end, and ending it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use schemas::{manifest::ProcessRecord, plan::Role};
use tokio::{
    io::AsyncWriteExt,
    process::ChildStdin,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    NowNs,
    ending::ProcessEnding,
    log_tail::LogTail,
    protocol::Order,
    readiness::Readiness,
    start_error::{StartError, StartErrorKind, role_in_words, seconds, write_last_lines},
};

/// How long after KILL a process may still be there before it is given up.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// What the guard has reported so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    /// The process runs.
    pub(super) pid: Option<i32>,
    /// The process could not be started.
    pub(super) not_started: Option<String>,
    /// The main process ended, and when.
    pub(super) ended: Option<(ProcessEnding, u64)>,
    /// Nothing of it is left, since when.
    pub(super) gone_ns: Option<u64>,
}

/// A process that was started and has not answered yet. Dropped, it is killed.
#[derive(Debug)]
pub struct Starting {
    pub(super) process: Process,
    pub(super) readiness: Readiness,
}

/// A process that serves. Dropped, it is killed.
pub struct Process {
    pub(super) role: Role,
    pub(super) log: LogTail,
    pub(super) grace: Duration,
    pub(super) guard_pid: i32,
    /// The guard's stdin: its end of file kills.
    pub(super) orders: ChildStdin,
    pub(super) life: watch::Receiver<Life>,
    /// The runner asked for the end.
    pub(super) asked: Arc<AtomicBool>,
    /// The user wants everything killed now.
    pub(super) kill_now: CancellationToken,
    pub(super) now_ns: NowNs,
    pub(super) record: ProcessRecord,
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
        self.process.log.path()
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
            mut process,
            mut readiness,
        } = self;
        let mut life = process.life.clone();
        let mut found = None;
        let kind = tokio::select! {
            biased;
            () = cancel.cancelled() => StartErrorKind::Cancelled,
            kind = ended_before_ready(&mut life, process.record.started_ns) => kind,
            () = readiness.wait(&mut found) => {
                process.record.ready_ns = Some((process.now_ns)());
                return Ok(process);
            }
            () = sleep(deadline) => StartErrorKind::NotReady { deadline, found: None },
        };
        let kind = match kind {
            StartErrorKind::NotReady { deadline, .. } => {
                StartErrorKind::NotReady { deadline, found }
            }
            kind => kind,
        };
        process.end(Some(process.grace)).await;
        process.record.last_lines = process.log.last_lines();
        let was_made = !matches!(kind, StartErrorKind::Spawn { .. });
        Err(Box::new(StartError {
            name: process.record.name.clone(),
            role: process.role,
            log: process.log.path().to_owned(),
            record: was_made.then(|| process.record.clone()),
            kind,
        }))
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

impl fmt::Debug for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Process")
            .field("record", &self.record)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// Name of the launch.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Id of the main process, which is its group's too. `None` until the guard reported it, which no probe can precede by much.
    pub fn pid(&self) -> Option<i32> {
        self.life.borrow().pid
    }

    /// Id of the guard: everything that belongs to the process descends from it.
    pub fn guard_pid(&self) -> i32 {
        self.guard_pid
    }

    /// Path of the log.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Its life so far.
    pub fn record(&self) -> &ProcessRecord {
        &self.record
    }

    /// Waits for an end that nobody asked for; after [`Self::stop`] or [`Self::kill`] it waits for ever. Does not borrow the process.
    pub fn exited(&self) -> impl Future<Output = Death> + Send + 'static {
        let mut life = self.life.clone();
        let (asked, log) = (Arc::clone(&self.asked), self.log.clone());
        let (name, role, started_ns) =
            (self.record.name.clone(), self.role, self.record.started_ns);
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
                ended_ns,
                after: Duration::from_nanos(ended_ns.saturating_sub(started_ns)),
                last_lines: log.last_lines(),
                log: log.path().to_owned(),
            }
        }
    }

    /// Ends it in order: TERM to the group, the launch's grace, KILL to whatever is left. Close its clients' streams first: servers wait for them.
    /// Returns when nothing of it is left.
    pub async fn stop(mut self) -> ProcessRecord {
        self.end(Some(self.grace)).await;
        self.record
    }

    /// KILL to everything at once. Returns when nothing of it is left.
    pub async fn kill(mut self) -> ProcessRecord {
        self.end(None).await;
        self.record
    }

    async fn end(&mut self, grace: Option<Duration>) {
        let ended_before =
            self.life.borrow().ended.is_some() || self.life.borrow().not_started.is_some();
        if !ended_before {
            self.asked.store(true, Ordering::Release);
            self.record.stopping_ns = Some((self.now_ns)());
        }
        let mut is_gone = false;
        if let Some(grace) = grace {
            // The guard of a process that ended by itself is tidying up already.
            if !ended_before {
                self.order(Order::Terminate).await;
            }
            is_gone = tokio::select! {
                biased;
                () = gone(&mut self.life) => true,
                () = self.kill_now.cancelled() => false,
                () = sleep(grace) => false,
            };
        }
        if !is_gone {
            self.order(Order::Kill).await;
            let _ = timeout(KILL_PATIENCE, gone(&mut self.life)).await;
        }
        let life = self.life.borrow().clone();
        let ending = match (life.gone_ns, life.ended) {
            (None, _) => ProcessEnding::NotGone,
            (Some(_), Some((ending, _))) => ending,
            (Some(_), None) => ProcessEnding::GuardLost,
        };
        self.record.ended_ns = life.gone_ns;
        self.record.ending = Some(ending.to_string());
        self.record.expected = Some(!ended_before && ending != ProcessEnding::GuardLost);
        if self.record.expected == Some(false) {
            self.record.last_lines = self.log.last_lines();
        }
    }

    /// A guard that is gone cannot be told; then its end is known by other ways.
    async fn order(&mut self, order: Order) {
        let sent: io::Result<()> = async {
            self.orders.write_all(order.line().as_bytes()).await?;
            self.orders.flush().await
        }
        .await;
        drop(sent);
    }
}

async fn gone(life: &mut watch::Receiver<Life>) {
    if life.wait_for(|life| life.gone_ns.is_some()).await.is_err() {
        // Whoever followed the guard is gone, with the runtime: nothing more will be known.
        std::future::pending().await
    }
}
