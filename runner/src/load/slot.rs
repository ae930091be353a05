//! The handle by which a request in flight can be ended from outside, without a timer or a lock of its own.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use super::exchange::Stop;

/// One request in flight.
#[derive(Debug, Default)]
pub(super) struct Slot {
    stop: Cell<Option<Stop>>,
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    /// Ends the request; the first reason counts.
    pub(super) fn stop(&self, stop: Stop) {
        if self.stop.get().is_none() {
            self.stop.set(Some(stop));
        }
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready when the request is to end. The last caller is the one that is woken.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Some(stop) = self.stop.get() {
            return Poll::Ready(stop);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Waits until the request is to end.
    pub(super) async fn stopped(&self) -> Stop {
        poll_fn(|cx| self.poll_stop(cx)).await
    }

    /// Nothing is left to stop.
    pub(super) fn set_over(&self) {
        self.over.set(true);
        self.waker.borrow_mut().take();
    }

    /// Whether nothing is left to stop.
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }
}
