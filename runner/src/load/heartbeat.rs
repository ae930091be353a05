//! A 1 ms heartbeat on the request thread: how much later than due it comes is how long any stream may have waited to be stamped.

use std::{cell::RefCell, future::poll_fn, rc::Rc};

use super::{
    alarm::Alarm,
    histogram::{Histogram, Spread},
};
use crate::clock::RunClock;

const PERIOD_NS: u64 = 1_000_000;

/// A beating heart. It stops when dropped.
pub(super) struct Heartbeat {
    delays: Rc<RefCell<Histogram>>,
    task: tokio::task::JoinHandle<()>,
}

impl Heartbeat {
    /// Starts to beat. Must be called inside the request thread's runtime.
    pub(super) fn start(alarm: Rc<RefCell<Alarm>>, clock: RunClock) -> Self {
        let delays = Rc::new(RefCell::new(Histogram::new()));
        let task = tokio::task::spawn_local(beat(alarm, clock, Rc::clone(&delays)));
        Self { delays, task }
    }

    /// How late the beats came so far.
    pub(super) fn spread(&self) -> Option<Spread> {
        self.delays.borrow().spread()
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(alarm: Rc<RefCell<Alarm>>, clock: RunClock, delays: Rc<RefCell<Histogram>>) {
    let mut due_ns = clock.now_ns() + PERIOD_NS;
    loop {
        poll_fn(|cx| alarm.borrow_mut().poll_until(cx, due_ns)).await;
        let now_ns = clock.now_ns();
        let delay_ns = now_ns.saturating_sub(due_ns);
        delays.borrow_mut().add(delay_ns);
        // Beats that were missed are one long delay, not many.
        due_ns += PERIOD_NS * (1 + delay_ns / PERIOD_NS);
    }
}
