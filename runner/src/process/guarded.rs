//! The runner's end of a guard: what it has reported, and the orders that end what it guards.

use std::{
    fmt, io,
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

use super::{NowNs, ending::ProcessEnding, log_tail::LogTail, protocol::Order};

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

/// The runner's end of a guard. Dropped, the guard kills.
pub(super) struct Guarded {
    pub(super) role: Role,
    pub(super) log: LogTail,
    /// Its start by the clock of the run that started it, which [`Life`] goes by.
    pub(super) born_ns: u64,
    /// By how much the clock of the run that it serves now is behind that one.
    pub(super) behind_ns: u64,
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

impl fmt::Debug for Guarded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Guarded")
            .field("record", &self.record)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl Guarded {
    /// Ends everything and completes the record. Without a grace KILL comes first.
    pub(super) async fn end(&mut self, grace: Option<Duration>) {
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
        self.record.ended_ns = life
            .gone_ns
            .map(|gone_ns| gone_ns.saturating_sub(self.behind_ns));
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
