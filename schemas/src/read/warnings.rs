//! What can be read, but hardly does what its author meant.

use super::tree::Node;
use crate::diagnostic::Diagnostic;

/// Trials below which an expectation on a ratio or a time has no interval and stays undecided.
const TRIALS_FOR_AN_INTERVAL: i64 = 3;

pub(super) fn scenario(root: &Node<'_>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    warnings.extend(too_few_trials(root));
    warnings.extend(resumed_but_never_paused(root));
    warnings
}

fn too_few_trials(root: &Node<'_>) -> Option<Diagnostic> {
    let at_least = root.at(&["trials", "at-least"])?;
    // With `at-most` above it, more trials may be measured.
    let trials = root
        .at(&["trials", "at-most"])
        .as_ref()
        .unwrap_or(&at_least)
        .integer()?;
    let expect = root.get("expect")?.elements().into_iter().find(|expect| {
        let metric = expect.get("metric").and_then(|metric| metric.text());
        !matches!(
            metric,
            Some("completed" | "cached-fraction" | "outputs-equal")
        )
    })?;
    (trials < TRIALS_FOR_AN_INTERVAL).then(|| {
        Diagnostic::warning(
            at_least.span(),
            format!("expectations stay undecided with fewer than {TRIALS_FOR_AN_INTERVAL} trials"),
        )
        .with_label(expect.span(), "this one needs an interval")
    })
}

fn resumed_but_never_paused(root: &Node<'_>) -> Vec<Diagnostic> {
    let events = root
        .get("event")
        .map(|event| event.elements())
        .unwrap_or_default();
    let targets = |action: &str| -> Vec<Node<'_>> {
        events
            .iter()
            .filter_map(|event| event.get(action))
            .flat_map(|target| target.values())
            .collect()
    };
    let paused: Vec<Option<&str>> = targets("pause")
        .iter()
        .map(|target| target.text())
        .collect();
    targets("resume")
        .iter()
        .filter(|target| !paused.contains(&target.text()))
        .map(|target| Diagnostic::warning(target.span(), "resumed, but no event pauses it"))
        .collect()
}
