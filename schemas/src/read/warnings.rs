//! What can be read, but hardly does what its author meant.

use super::tree::Node;
use crate::diagnostic::Diagnostic;

/// Trials below which an expectation on a ratio or a time has no interval and stays undecided.
const TRIALS_FOR_AN_INTERVAL: i64 = 3;

pub(super) fn scenario(root: &Node<'_>) -> Vec<Diagnostic> {
    let mut warnings = Vec::new();
    warnings.extend(too_few_trials(root));
    warnings.extend(resumed_but_never_paused(root));
    warnings.extend(too_late(root));
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

/// An event that waits for more requests than a trial has.
fn too_late(root: &Node<'_>) -> Vec<Diagnostic> {
    let Some(requests) = fewest_requests(root) else {
        return Vec::new();
    };
    let events = root
        .get("event")
        .map(|event| event.elements())
        .unwrap_or_default();
    events
        .iter()
        .filter_map(|event| event.get("after-request"))
        .filter(|after| after.integer().is_some_and(|after| after >= requests))
        .map(|after| {
            Diagnostic::warning(after.span(), "no request is left to see this event").with_hint(
                format!("a trial has {requests} requests, in the smallest experiment"),
            )
        })
        .collect()
}

/// Requests of a trial in the smallest experiment; `None` where it depends on a tier's capacity.
fn fewest_requests(root: &Node<'_>) -> Option<i64> {
    let workload = root.get("workload")?;
    let (kind, keys) = workload.entries().into_iter().next()?;
    let fewest = |key: &str, default: Option<i64>| match keys.get(key) {
        Some(node) => node.values().iter().map(Node::integer).min()?,
        None => default,
    };
    match kind {
        "shared-context" if keys.get("working-set").is_some() => None,
        "shared-context" => fewest("reuse-count", None)?.checked_mul(fewest("contexts", Some(1))?),
        "growing-context" => fewest("requests", None),
        "multi-turn" => fewest("turns", None)?.checked_mul(fewest("conversations", Some(1))?),
        // The first document; then each round one again, one fresh, and a step of two.
        "mixed-batch" => fewest("rounds", None)?.checked_mul(4)?.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::read::{Source, scenario, scenario_warnings};

    const SCENARIO: &str = r#"
question = "q"
[workload.shared-context]
context-length = 1024
reuse-count = [4, 10]
query-length = 16
output-length = 1
[engine.a]
backend.remote.redis = {}
[[expect]]
metric = "ttft"
engine = "a"
at-most = "1s"
"#;

    /// The messages for the scenario with more behind it, which still has to be valid.
    fn warnings(more: &str) -> Vec<String> {
        let source = Source {
            path: String::new(),
            text: format!("{SCENARIO}{more}"),
        };
        assert_eq!(scenario(&source).err(), None);
        scenario_warnings(&source)
            .into_iter()
            .map(|warning| warning.message)
            .collect()
    }

    #[test]
    fn few_trials_are_doubted_only_where_an_interval_is_needed() {
        assert_eq!(warnings("[trials]\nat-least = 3"), [""; 0]);
        assert_eq!(warnings("[trials]\nat-least = 2\nat-most = 6"), [""; 0]);
        assert_eq!(
            warnings("[trials]\nat-least = 2"),
            ["expectations stay undecided with fewer than 3 trials"]
        );
    }

    #[test]
    fn a_resume_needs_a_pause() {
        let pause = "[[event]]\nat = \"1s\"\npause = \"a.remote\"\n";
        let resume = "[[event]]\nat = \"2s\"\nresume = [\"a.remote\"]\n";
        assert_eq!(warnings(&format!("{pause}{resume}")), [""; 0]);
        assert_eq!(warnings(resume), ["resumed, but no event pauses it"]);
    }

    #[test]
    fn an_event_needs_requests_behind_it() {
        assert_eq!(
            warnings("[[event]]\nafter-request = 3\nkill = \"a\""),
            [""; 0]
        );
        assert_eq!(
            warnings("[[event]]\nafter-request = 4\nkill = \"a\""),
            ["no request is left to see this event"]
        );
    }
}
