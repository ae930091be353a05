//! A 1 ms heartbeat on the request thread: how much later than due it comes is how long any stream may have waited to be stamped.
//!
//! Every ring of the thread's timer is a beat, whatever else it was set for, and the timer is set for a beat alone only where no other ring came for a
//! period. Such a ring wakes the thread and so costs as much as a read: where there is little to read the heart slows down, so that it is never most of
//! the client's own CPU.

use std::{cell::Cell, rc::Rc};

use super::histogram::{Histogram, Spread};

/// Between two beats under load, at most.
const PERIOD_NS: u64 = 1_000_000;
/// And while streams bring less than [`READS_PER_BEAT`] in a period.
const IDLE_PERIOD_NS: u64 = 5 * PERIOD_NS;
/// Reads that make one beat cheap.
const READS_PER_BEAT: u64 = 8;

/// A beating heart.
pub(super) struct Heartbeat {
    delays: Histogram,
    due_ns: u64,
    period_ns: u64,
    /// What the thread has read.
    reads: Rc<Cell<u64>>,
    /// When the period was chosen, and how much had been read by then.
    chosen_ns: u64,
    reads_then: u64,
}

impl Heartbeat {
    /// Starts to beat at `now_ns`; `reads` counts what the thread has read.
    pub(super) fn new(reads: Rc<Cell<u64>>, now_ns: u64) -> Self {
        Self {
            delays: Histogram::new(),
            due_ns: now_ns + PERIOD_NS,
            period_ns: PERIOD_NS,
            chosen_ns: now_ns,
            reads_then: reads.get(),
            reads,
        }
    }

    /// When the timer is to ring at the latest.
    pub(super) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The timer rang, so late. Beats that were missed meanwhile are one long delay, not many.
    pub(super) fn beat(&mut self, delay_ns: u64, now_ns: u64) {
        self.delays.add(delay_ns);
        let in_ns = now_ns.saturating_sub(self.chosen_ns);
        // Other rings may follow each other closely; so short a time says little of the load.
        if in_ns >= PERIOD_NS {
            let reads = self.reads.get();
            self.period_ns = next_period_ns(reads - self.reads_then, in_ns);
            self.chosen_ns = now_ns;
            self.reads_then = reads;
        }
        self.due_ns = now_ns + self.period_ns;
    }

    /// How late the beats came so far.
    pub(super) fn spread(&self) -> Option<Spread> {
        self.delays.spread()
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
