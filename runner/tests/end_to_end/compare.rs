//! `report compare` on runs of the real binary: the paced engine against itself, and against itself made slower.

use std::path::PathBuf;

use crate::support::{Workshop, stderr};

/// A paced engine whose times spread by 5 %; `base_latency_ms` is nearly all of a reused request's time to first token.
fn scenario(base_latency_ms: u32) -> String {
    format!(
        r#"
question = "Did the engine become slower?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 512
reuse-count = 10
query-length = 16
output-length = 4

[engine.paced]
kind = "builtin"
backend.local-cpu = {{ capacity = "1GB" }}
paced = {{ base-latency = "{base_latency_ms}ms", time-per-output-token = "5ms", jitter = 0.05 }}

[trials]
at-least = 3
"#
    )
}

/// Runs it until the host let the client work: a starved one makes a run INVALID, and such a run is not compared.
fn measured(workshop: &Workshop, base_latency_ms: u32) -> PathBuf {
    let file = workshop.scenario("paced", &scenario(base_latency_ms));
    let mut last = String::new();
    for _ in 0..5 {
        let output = workshop.runner(&["--profile", "builtin", &file]);
        if output.status.success() {
            return workshop.run_folder("paced");
        }
        last = stderr(&output);
    }
    panic!("no run of five is VALID: {last}");
}

#[test]
fn an_engine_made_slower_is_worse_and_the_same_one_is_not() {
    let workshop = Workshop::new();
    let before = measured(&workshop, 100);
    let same = measured(&workshop, 100);
    let slower = measured(&workshop, 120);
    let compare = |new: &PathBuf| {
        let folders = [&before, new].map(|folder| folder.to_str().expect("a path"));
        let output = workshop.report(&["compare", folders[0], folders[1], "--strict"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (code, text) = compare(&same);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no difference seen"), "{text}");
    let (code, text) = compare(&slower);
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("■ worse"), "{text}");
    assert!(
        text.contains("not the same: start of paced"),
        "the script of the times is part of how the engine was started: {text}"
    );
}
