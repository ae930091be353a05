//! What the driver has to do at which time.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Something to do for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// See to it that a connection stands.
    Prepare { request: usize },
    /// Send it.
    Release { request: usize },
}

/// Steps by time; those of one time in the order they were added.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    added: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at_ns: u64, step: Step) {
        self.steps.push(Reverse((at_ns, self.added, step)));
        self.added += 1;
    }

    /// The next step whose time has come.
    pub(super) fn pop_due(&mut self, now_ns: u64) -> Option<Step> {
        if self.next_ns()? > now_ns {
            return None;
        }
        self.steps.pop().map(|Reverse((_, _, step))| step)
    }

    /// When the next step is due.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.steps.peek().map(|Reverse((at_ns, _, _))| *at_ns)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_come_in_order_and_none_before_its_time(times in proptest::collection::vec(0_u64..50, 0..200)) {
            let mut agenda = Agenda::default();
            for (request, &at_ns) in times.iter().enumerate() {
                agenda.add(at_ns, Step::Release { request });
            }
            let mut expected: Vec<(u64, usize)> = times.iter().copied().zip(0..).collect();
            expected.sort();
            let mut taken = Vec::new();
            for now_ns in 0..50 {
                while let Some(step) = agenda.pop_due(now_ns) {
                    let Step::Release { request } = step else { unreachable!("only releases were added") };
                    prop_assert!(times[request] <= now_ns);
                    taken.push((times[request], request));
                }
                prop_assert!(agenda.next_ns().is_none_or(|next_ns| next_ns > now_ns));
            }
            prop_assert_eq!(taken, expected);
        }
    }
}
