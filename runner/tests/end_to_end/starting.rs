//! What happens before the first request: who starts when, and what is left out on request.

use crate::support::{Workshop, manifest, rows, stderr};

const TWO: &str = r#"
question = "Do two engines start at once?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 64
reuse-count = 2
query-length = 8
output-length = 4

[engine.one]
kind = "builtin"
backend.local-cpu = { capacity = "1GB" }
paced = { base-latency = "5ms" }

[engine.two]
kind = "builtin"
backend.none = {}
paced = { base-latency = "5ms" }

[trials]
at-least = 1
"#;

const DEVICES_OF_THEIR_OWN: &str = r#"
description = "each engine has a device of its own"
engine = "builtin"
residency = "side-by-side"
closed-arrivals = true
"#;

#[test]
fn engines_with_devices_of_their_own_start_together() {
    let workshop = Workshop::new();
    let file = workshop.scenario("two", TWO);
    let profile = workshop.scenario("host", DEVICES_OF_THEIR_OWN);
    let output = workshop.runner(&["--profile", &profile, "--no-report", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let processes = manifest(&workshop.run_folder("two")).processes;
    assert_eq!(processes.len(), 2);
    let last_started = processes.iter().map(|process| process.started_ns).max();
    let first_ready = processes
        .iter()
        .filter_map(|process| process.ready_ns)
        .min();
    assert!(last_started < first_ready, "{processes:#?}");
}

#[test]
fn a_run_without_warm_up_says_so() {
    let workshop = Workshop::new();
    let file = workshop.scenario("two", TWO);
    let output = workshop.runner(&["--profile", "builtin", "--no-report", "--no-warm-up", &file]);
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = workshop.run_folder("two");
    assert_eq!(rows(&folder).len(), 4);
    let warnings = manifest(&folder).warnings;
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("no warm-up")),
        "{warnings:?}"
    );
}
