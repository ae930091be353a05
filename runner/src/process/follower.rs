//! Follows one guard: turns its reports into a process's life, and does its work when it is killed.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout},
    sync::watch,
};

use super::{
    NowNs,
    ending::ProcessEnding,
    guarded::Life,
    protocol::Report,
    shared_memory::SharedMemoryWatch,
    strays::{Mark, kill_until_none},
};

/// Reads one guard's reports to their end.
pub(super) struct Follower {
    pub(super) life: watch::Sender<Life>,
    pub(super) mark: Mark,
    pub(super) shared_memory: Arc<Mutex<SharedMemoryWatch>>,
    pub(super) now_ns: NowNs,
}

impl Follower {
    /// Returns when the guard is gone and, if it was killed, what it had guarded too.
    pub(super) async fn follow(self, mut guard: Child, reports: ChildStdout) {
        let mut lines = BufReader::new(reports).lines();
        let mut is_complete = false;
        while let Ok(Some(line)) = lines.next_line().await {
            let Some(report) = Report::parse(&line) else {
                continue;
            };
            is_complete |= matches!(report, Report::Empty | Report::NotStarted { .. });
            self.take_in(report);
        }
        let _ = guard.wait().await;
        if !is_complete {
            // The guard was killed: its work is done from here.
            kill_until_none(&self.mark, &self.shared_memory).await;
        }
        let gone_ns = (self.now_ns)();
        self.life.send_modify(|life| {
            if life.not_started.is_none() {
                life.ended
                    .get_or_insert((ProcessEnding::GuardLost, gone_ns));
            }
            life.gone_ns = Some(gone_ns);
        });
    }

    fn take_in(&self, report: Report) {
        let now_ns = (self.now_ns)();
        match report {
            Report::Started { pid } => self.life.send_modify(|life| life.pid = Some(pid)),
            Report::NotStarted { reason } => self
                .life
                .send_modify(|life| life.not_started = Some(reason)),
            Report::Exited(ending) => self
                .life
                .send_modify(|life| life.ended = Some((ending, now_ns))),
            Report::SharedMemory(file) => {
                self.shared_memory
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(file);
            }
            Report::Empty => {}
        }
    }
}
