//! The load client: its two threads, and the door through which turns come in and events go out.

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::turn::{LoadEvent, Turn};
use crate::clock::RunClock;

/// Why the client cannot work.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A thread could not be started.
    #[error("the {name} thread cannot be started: {source}")]
    Thread {
        /// Which thread.
        name: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The request thread has gone.
    #[error("the request thread has ended")]
    Gone,
}

/// What ends a turn early.
#[derive(Debug, Clone)]
pub struct Stops {
    /// The run was interrupted: requests in flight become `cancelled`.
    pub cancel: CancellationToken,
    /// The engine's process ended although nobody asked it to: requests in flight become `engine-exited`.
    pub engine_exited: CancellationToken,
}

/// The load client. Dropping it ends its threads.
#[derive(Debug)]
pub struct Client {}

impl Client {
    /// Starts the client's threads; `cores` are those they may run on, all when empty.
    ///
    /// # Errors
    /// [`ClientError::Thread`].
    pub fn spawn(_clock: RunClock, _cores: &[u32]) -> Result<Self, ClientError> {
        unimplemented!()
    }

    /// Begins a turn. Events arrive in order; `Done` is the last. Dropping the receiver does not stop the turn, [`Stops`] does.
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub fn start(
        &self,
        _turn: Turn,
        _stops: Stops,
    ) -> Result<mpsc::Receiver<LoadEvent>, ClientError> {
        unimplemented!()
    }
}
