//! The only clock of a run: monotonic nanoseconds since its start, anchored once to the wall clock.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// The run's clock. Every stamp of every row is `now_ns()` of one such clock.
///
/// It reads CLOCK_MONOTONIC itself and not through [`Instant`], because stamps that another process took on the same host are absolute values of that clock.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    origin_monotonic_ns: u64,
    origin_instant: Instant,
    origin_wall: SystemTime,
}

impl RunClock {
    /// Starts the clock: now is 0.
    pub fn start() -> Self {
        Self {
            origin_monotonic_ns: read_ns(ClockId::Monotonic),
            origin_instant: Instant::now(),
            origin_wall: SystemTime::now(),
        }
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        read_ns(ClockId::Monotonic).saturating_sub(self.origin_monotonic_ns)
    }

    /// The stamp of an [`Instant`]; 0 for one before the start.
    pub fn from_instant(&self, instant: Instant) -> u64 {
        duration_ns(instant.saturating_duration_since(self.origin_instant))
    }

    /// The stamp of an absolute CLOCK_MONOTONIC time in ns, as a process on this host gives it; `None` for one before the start.
    pub fn from_monotonic_ns(&self, monotonic_ns: u64) -> Option<u64> {
        monotonic_ns.checked_sub(self.origin_monotonic_ns)
    }

    /// The absolute CLOCK_MONOTONIC time in ns of a stamp.
    pub fn to_monotonic_ns(&self, stamp_ns: u64) -> u64 {
        self.origin_monotonic_ns.saturating_add(stamp_ns)
    }

    /// The wall-clock time of a stamp. For people: the wall clock may have been set since.
    pub fn wall_at(&self, stamp_ns: u64) -> SystemTime {
        self.origin_wall + Duration::from_nanos(stamp_ns)
    }
}

/// CPU time that the whole process has used so far, in ns.
pub fn process_cpu_ns() -> u64 {
    read_ns(ClockId::ProcessCPUTime)
}

/// CPU time that the calling thread has used so far, in ns.
pub fn thread_cpu_ns() -> u64 {
    read_ns(ClockId::ThreadCPUTime)
}

fn read_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * NS_PER_S + nanoseconds
}

/// A duration in whole ns, at most `u64::MAX` (584 years).
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_go_back_and_agree_with_instants() {
        let clock = RunClock::start();
        let before = clock.now_ns();
        let instant = clock.from_instant(Instant::now());
        let after = clock.now_ns();
        // The two origins are read one after the other, so they may differ by the time between the two reads.
        let slack = 50_000_000;
        assert!(before <= after);
        assert!(instant + slack >= before && instant <= after + slack);
    }

    #[test]
    fn absolute_times_convert_both_ways() {
        let clock = RunClock::start();
        assert_eq!(
            clock.from_monotonic_ns(clock.to_monotonic_ns(1_234)),
            Some(1_234)
        );
        assert_eq!(clock.from_monotonic_ns(0), None);
        assert_eq!(
            clock.wall_at(5).duration_since(clock.wall_at(0)).ok(),
            Some(Duration::from_nanos(5))
        );
    }
}
