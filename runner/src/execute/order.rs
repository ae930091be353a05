//! In which order engines take their turns: pure.

use schemas::{plan::Plan, profile::Residency};

use crate::sharing::Sharing;

/// One engine asked one trial of one experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Index of the experiment.
    pub(crate) experiment: usize,
    /// Number of the trial.
    pub(crate) trial: u32,
    /// Index of the engine.
    pub(crate) engine: usize,
}

/// Groups of engines that live at the same time, in order. One that lives already comes first, one that lives on comes last.
pub(crate) fn groups(plan: &Plan, running: &[usize], sharing: &Sharing) -> Vec<Vec<usize>> {
    match plan.residency {
        Residency::InTurn => {
            let mut engines = running.to_vec();
            engines.sort_by_key(|engine| {
                let name = &plan.engines[*engine].name;
                (!sharing.takes(name), sharing.hands(name))
            });
            engines.into_iter().map(|engine| vec![engine]).collect()
        }
        Residency::Resident | Residency::SideBySide => vec![running.to_vec()],
    }
}

/// The engines' turns in one trial. Every second trial goes backwards (A B B A), so that a linear drift of the host touches all alike.
pub(crate) fn trial(experiment: usize, trial: u32, group: &[usize]) -> Vec<Slot> {
    let mut engines = group.to_vec();
    if !trial.is_multiple_of(2) {
        engines.reverse();
    }
    engines
        .into_iter()
        .map(|engine| Slot {
            experiment,
            trial,
            engine,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_interleave_a_b_b_a() {
        let order: Vec<usize> = (0..4)
            .flat_map(|number| trial(0, number, &[0, 1]))
            .map(|slot| slot.engine)
            .collect();
        assert_eq!(order, [0, 1, 1, 0, 0, 1, 1, 0]);
    }
}
