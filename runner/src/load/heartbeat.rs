//! A 1 ms heartbeat on the request thread: how much later than due it comes is how long any stream may have waited to be stamped.
//!
//! A beat wakes the thread and so costs as much as a read. Where there is little to read it slows down, so that it is never most of the client's
//! own CPU.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    rc::Rc,
};

use super::{
    alarm::Alarm,
    histogram::{Histogram, Spread},
};
use crate::clock::RunClock;

/// Between two beats under load.
const PERIOD_NS: u64 = 1_000_000;
/// And while streams bring less than [`READS_PER_BEAT`] in a period.
const IDLE_PERIOD_NS: u64 = 5 * PERIOD_NS;
/// Reads that make one beat cheap.
const READS_PER_BEAT: u64 = 8;

/// A beating heart. It stops when dropped.
pub(super) struct Heartbeat {
    delays: Rc<RefCell<Histogram>>,
    task: tokio::task::JoinHandle<()>,
}

impl Heartbeat {
    /// Starts to beat; `reads` counts what the thread has read. Must be called inside the request thread's runtime.
    pub(super) fn start(alarm: Rc<RefCell<Alarm>>, clock: RunClock, reads: Rc<Cell<u64>>) -> Self {
        let delays = Rc::new(RefCell::new(Histogram::new()));
        let task = tokio::task::spawn_local(beat(alarm, clock, reads, Rc::clone(&delays)));
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

async fn beat(
    alarm: Rc<RefCell<Alarm>>,
    clock: RunClock,
    reads: Rc<Cell<u64>>,
    delays: Rc<RefCell<Histogram>>,
) {
    let mut due_ns = clock.now_ns() + PERIOD_NS;
    let mut period_ns = PERIOD_NS;
    loop {
        let reads_before = reads.get();
        poll_fn(|cx| alarm.borrow_mut().poll_until(cx, due_ns)).await;
        let now_ns = clock.now_ns();
        let delay_ns = now_ns.saturating_sub(due_ns);
        delays.borrow_mut().add(delay_ns);
        period_ns = next_period_ns(reads.get() - reads_before, period_ns + delay_ns);
        // Beats that were missed are one long delay, not many.
        due_ns += period_ns * (1 + delay_ns / period_ns);
    }
}

/// The period after a time in which so many reads came.
fn next_period_ns(reads: u64, in_ns: u64) -> u64 {
    if reads * PERIOD_NS < READS_PER_BEAT * in_ns {
        IDLE_PERIOD_NS
    } else {
        PERIOD_NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_where_there_is_little_to_read() {
        assert_eq!(next_period_ns(0, PERIOD_NS), IDLE_PERIOD_NS);
        assert_eq!(next_period_ns(7, PERIOD_NS), IDLE_PERIOD_NS);
        assert_eq!(next_period_ns(8, PERIOD_NS), PERIOD_NS);
        assert_eq!(next_period_ns(39, IDLE_PERIOD_NS), IDLE_PERIOD_NS);
        assert_eq!(next_period_ns(40, IDLE_PERIOD_NS), PERIOD_NS);
    }
}
