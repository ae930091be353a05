//! What ends a turn early, as the driver watches it.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::exchange::Stop;

/// What ends a turn early.
#[derive(Debug, Clone)]
pub struct Stops {
    /// The run was interrupted: requests in flight become `cancelled`.
    pub cancel: CancellationToken,
    /// The engine's process ended although nobody asked it to: requests in flight become `engine-exited`.
    pub engine_exited: CancellationToken,
}

/// Waits for what comes first.
pub(super) struct StopWatch {
    cancel: Pin<Box<WaitForCancellationFutureOwned>>,
    engine_exited: Pin<Box<WaitForCancellationFutureOwned>>,
    stop: Option<Stop>,
}

impl StopWatch {
    pub(super) fn new(stops: Stops) -> Self {
        Self {
            cancel: Box::pin(stops.cancel.cancelled_owned()),
            engine_exited: Box::pin(stops.engine_exited.cancelled_owned()),
            stop: None,
        }
    }

    /// What has ended the turn, once something has.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if self.stop.is_none() {
            if self.cancel.as_mut().poll(cx).is_ready() {
                self.stop = Some(Stop::Cancelled);
            } else if self.engine_exited.as_mut().poll(cx).is_ready() {
                self.stop = Some(Stop::EngineExited);
            }
        }
        self.stop.map_or(Poll::Pending, Poll::Ready)
    }

    /// Whether something has ended the turn, as far as the last poll has seen.
    pub(super) fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }
}
