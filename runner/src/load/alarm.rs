//! A precise timer: the runtime's own wheel ticks in milliseconds, the kernel's timer descriptor in microseconds.

use std::{
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::clock::{NS_PER_S, RunClock};

/// A timer that rings at a stamp of the run's clock.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: AsyncFd<OwnedFd>,
    clock: RunClock,
    set_to_ns: Option<u64>,
}

impl Alarm {
    /// A timer that is not set. Must be called inside the request thread's runtime.
    #[expect(
        unsafe_code,
        reason = "the runtime has no safe way left to watch a descriptor that is no socket or pipe"
    )]
    pub(super) fn new(clock: RunClock) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        // SAFETY: an `OwnedFd` is open, and is the same descriptor, until it is dropped; it is dropped with the `AsyncFd` that owns it.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self {
            timer,
            clock,
            set_to_ns: None,
        })
    }

    /// Ready when it rings, with how much later than it was set to the thread has come to hear it. A call with another time sets it anew, unless
    /// the time that it is set to has passed: that ring is on its way, and how long it takes is worth knowing.
    pub(super) fn poll_ring(&mut self, cx: &mut Context<'_>, at_ns: u64) -> Poll<u64> {
        loop {
            let now_ns = self.clock.now_ns();
            let is_passed = self.set_to_ns.is_some_and(|set_ns| set_ns <= now_ns);
            if self.set_to_ns != Some(at_ns) && !is_passed {
                if self.set(at_ns).is_err() {
                    // A timer that the kernel refuses: asking again at once keeps the schedule at the cost of CPU, which the report shows.
                    cx.waker().wake_by_ref();
                    return match now_ns.checked_sub(at_ns) {
                        Some(late_ns) => Poll::Ready(late_ns),
                        None => Poll::Pending,
                    };
                }
                self.set_to_ns = Some(at_ns);
            }
            match ready!(self.timer.poll_read_ready(cx)) {
                // Nothing is read: setting the timer anew takes an unread expiry back.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return Poll::Ready(0),
            }
            // Otherwise it rang for an earlier setting.
            let now_ns = self.clock.now_ns();
            if let Some(set_ns) = self.set_to_ns.take_if(|set_ns| *set_ns <= now_ns) {
                return Poll::Ready(now_ns - set_ns);
            }
        }
    }

    /// Forgets what it is set to: a ring that nobody has waited for says nothing.
    pub(super) fn forget(&mut self) {
        self.set_to_ns = None;
    }

    fn set(&self, at_ns: u64) -> io::Result<()> {
        let absolute_ns = self.clock.to_monotonic_ns(at_ns);
        let value = Timespec {
            tv_sec: i64::try_from(absolute_ns / NS_PER_S).unwrap_or(i64::MAX),
            // Below 10⁹.
            tv_nsec: (absolute_ns % NS_PER_S) as _,
        };
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }
}

/// Waits until `at_ns`, once; not at all where the system has no timer to give.
pub(super) async fn sleep_until(clock: RunClock, at_ns: u64) {
    if let Ok(mut alarm) = Alarm::new(clock) {
        poll_fn(|cx| alarm.poll_ring(cx, at_ns)).await;
    }
}
