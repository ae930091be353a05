//! Turns the signals that ask the runner to end into events.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the user wants when a signal comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The first signal: end in order, keep what was measured.
    Orderly,
    /// Any later one: kill everything now.
    Now,
}

/// SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed) as events. From [`Self::listen`] on none of them ends the process by itself.
#[derive(Debug)]
pub struct Interruptions {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    is_first: bool,
}

impl Interruptions {
    /// Starts listening; to be called inside a runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// The system refuses a handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            is_first: true,
        })
    }

    /// Waits for the next signal. May be given up and called again.
    pub async fn next(&mut self) -> Interruption {
        let received = tokio::select! {
            received = self.interrupt.recv() => received,
            received = self.terminate.recv() => received,
            received = self.hangup.recv() => received,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
        if std::mem::take(&mut self.is_first) {
            Interruption::Orderly
        } else {
            Interruption::Now
        }
    }
}
