//! Waking up at a point of the monotonic clock, finer than the runtime's own timer.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::now_ns;
use crate::error::EngineError;

struct Alarm {
    due_ns: u64,
    waker: Waker,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.due_ns == other.due_ns
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due_ns.cmp(&other.due_ns)
    }
}

#[derive(Default)]
struct Alarms {
    heap: BinaryHeap<Reverse<Alarm>>,
    /// What the kernel's timer is set to; `None` when it is not set.
    armed_ns: Option<u64>,
}

/// A kernel timer on the runtime's own thread: it wakes the runtime through the same call that waits for sockets, so
/// nothing polls and no other thread is involved.
pub(crate) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    alarms: Mutex<Alarms>,
}

impl Timer {
    /// Makes the timer and starts the task that serves it.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub(crate) fn start() -> Result<Arc<Self>, EngineError> {
        let fail = |source: std::io::Error| EngineError::Setup {
            what: "the timer",
            source,
        };
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor =
            timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|error| fail(error.into()))?;
        #[expect(
            unsafe_code,
            reason = "the runtime asks that the descriptor stays open and the same: it is owned by the `AsyncFd`, and \
                      nothing here takes or replaces it"
        )]
        let descriptor = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        let descriptor = descriptor.map_err(|error| fail(error.into()))?;
        let timer = Arc::new(Self {
            descriptor,
            alarms: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&timer).serve());
        Ok(timer)
    }

    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the task once `due_ns` of the monotonic clock is reached.
    pub(crate) fn wake_at(&self, due_ns: u64, waker: Waker) {
        let mut alarms = self.lock();
        alarms.heap.push(Reverse(Alarm { due_ns, waker }));
        if alarms.armed_ns.is_none_or(|armed_ns| due_ns < armed_ns) {
            self.arm(&mut alarms, due_ns);
        }
    }

    fn arm(&self, alarms: &mut Alarms, due_ns: u64) {
        // A value of zero would disarm the timer.
        let due_ns = due_ns.max(1);
        let value = Timespec {
            tv_sec: (due_ns / 1_000_000_000) as i64,
            tv_nsec: (due_ns % 1_000_000_000) as i64,
        };
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timer = Itimerspec {
            it_interval: never,
            it_value: value,
        };
        // Cannot fail for a descriptor and a time of this kind; if it did, the next alarm would try again.
        let armed = timerfd_settime(
            self.descriptor.get_ref(),
            TimerfdTimerFlags::ABSTIME,
            &timer,
        )
        .is_ok();
        alarms.armed_ns = armed.then_some(due_ns);
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let Ok(mut ready) = self.descriptor.readable().await else {
                return;
            };
            // The count of expiries is not read: setting the timer again resets it, and saves a call.
            ready.clear_ready();
            let mut alarms = self.lock();
            alarms.armed_ns = None;
            let now_ns = now_ns();
            while alarms
                .heap
                .peek()
                .is_some_and(|Reverse(alarm)| alarm.due_ns <= now_ns)
            {
                if let Some(Reverse(alarm)) = alarms.heap.pop() {
                    alarm.waker.wake();
                }
            }
            if let Some(due_ns) = alarms.heap.peek().map(|Reverse(alarm)| alarm.due_ns) {
                self.arm(&mut alarms, due_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    async fn sleep_until(timer: &Timer, due_ns: u64) -> u64 {
        std::future::poll_fn(|context| {
            let now_ns = now_ns();
            if now_ns >= due_ns {
                return Poll::Ready(now_ns);
            }
            timer.wake_at(due_ns, context.waker().clone());
            Poll::Pending
        })
        .await
    }

    #[tokio::test]
    async fn alarms_ring_in_their_order_and_never_early() {
        let timer = Timer::start().unwrap();
        let start_ns = now_ns();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [30u64, 10, 20, 0, 40]
            .into_iter()
            .map(|milliseconds| {
                let (timer, order) = (Arc::clone(&timer), Arc::clone(&order));
                tokio::spawn(async move {
                    let due_ns = start_ns + milliseconds * 1_000_000;
                    let woken_ns = sleep_until(&timer, due_ns).await;
                    assert!(woken_ns >= due_ns);
                    order.lock().unwrap().push(milliseconds);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 10, 20, 30, 40]);
    }
}
