//! Rules of the workload: numbers that have to fit together.

use crate::{
    diagnostic::Diagnostic,
    read::{problem::Problems, tree::Node},
};

pub(super) fn check(root: &Node<'_>, problems: &mut Problems) {
    let Some(workload) = root.get("workload") else {
        return;
    };
    for (kind, keys) in workload.entries() {
        let largest = |key: &str| keys.get(key).map_or(Some(0), |node| largest(&node));
        let ends = |context: Option<u64>| {
            Some(context? + largest("query-length")? + largest("output-length")?)
        };
        let (longest, blame) = match kind {
            "shared-context" | "mixed-batch" => (ends(largest("context-length")), "context-length"),
            // a, 2a, 2a, 3a, 3a: the n-th request has n/2 + 1 steps.
            "growing-context" => {
                let steps = largest("requests").map(|requests| requests / 2 + 1);
                (
                    ends(
                        largest("step")
                            .zip(steps)
                            .and_then(|(step, steps)| step.checked_mul(steps)),
                    ),
                    "requests",
                )
            }
            "multi-turn" => {
                let turn = largest("query-length")
                    .zip(largest("output-length"))
                    .map(|(query, output)| query + output);
                (
                    turn.zip(largest("turns"))
                        .and_then(|(turn, turns)| turn.checked_mul(turns)),
                    "turns",
                )
            }
            _ => continue,
        };
        if let (Some(longest), Some(node)) = (longest, keys.get(blame))
            && longest > u64::from(u32::MAX)
        {
            problems.relation(
                Diagnostic::error(
                    node.span(),
                    format!("the longest prompt would have {longest} tokens"),
                )
                .with_hint(format!("at most {} can be counted", u32::MAX)),
            );
        }
    }
}

/// The largest of one value or a list; `None` where one has a mistake of its own.
fn largest(node: &Node<'_>) -> Option<u64> {
    let in_range = |node: Node<'_>| {
        node.integer()
            .filter(|&number| number <= i64::from(u32::MAX))
            .map(|number| number as u64)
    };
    let values: Option<Vec<u64>> = node
        .values()
        .into_iter()
        .map(|value| in_range(value).filter(|&number| number > 0))
        .collect();
    values?.into_iter().max()
}
