//! The real binary on real scenario files: what is printed, what is left in the run folder, and how it ends.

mod attached;
mod compare;
mod forger;
mod invalid;
mod load_bars;
mod real_stack;
mod sharing;
mod start_failures;
mod starting;
mod support;

use std::fs;

use schemas::{
    manifest::Ending,
    row::{Outcome, RequestKind},
};
use support::{Workshop, manifest, processes_of, rows, stderr, wait_until};

/// Two engines that compute, small enough for a test.
const SMALL: &str = r#"
question = "Does the small test run?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 512
reuse-count = 3
query-length = 16
output-length = 8

[engine.cached]
backend.local-cpu = { capacity = "1GB" }

[engine.baseline]
backend.none = {}

[trials]
at-least = 3

[[expect]]
metric = "cached-fraction"
engine = "cached"
at-least = 0.9

[[expect]]
metric = "outputs-equal"
engine = "cached"
at-least = 1.0
"#;

/// One paced engine that takes its time, so that a test can interfere.
const SLOW: &str = r#"
question = "What happens when a run is disturbed?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 512
reuse-count = 40
query-length = 16
output-length = 20

[engine.slow]
kind = "builtin"
backend.local-cpu = { capacity = "1GB" }
paced = { prefill-tokens-per-second = 100000, time-per-output-token = "10ms" }

[trials]
at-least = 3
"#;

#[test]
fn a_scenario_runs_from_file_to_report() {
    let workshop = Workshop::new();
    let file = workshop.scenario("small", SMALL);
    let output = workshop.runner(&["--profile", "builtin", &file]);
    // On a host that has better things to do the client may be starved, which the runner has to tell.
    let starved = output.status.code() == Some(6) && stderr(&output).contains("the client");
    assert!(output.status.success() || starved, "{}", stderr(&output));

    let folder = workshop.run_folder("small");
    let rows = rows(&folder);
    assert_eq!(rows.len(), 3 * 3 * 2, "one row a planned request");
    assert!(
        rows.iter().all(|row| row.outcome == Outcome::Ok),
        "{rows:#?}"
    );
    for row in &rows {
        let cached = row.cached_tokens.expect("the engine tells");
        match (row.kind, row.engine.as_str()) {
            (RequestKind::Reused, "cached") => assert_eq!(cached, 512),
            _ => assert_eq!(cached, 0, "{row:?}"),
        }
        assert_eq!(row.prompt_tokens, row.planned_prompt_tokens);
        assert_eq!(row.output_tokens, Some(8));
    }
    // The same prompts give the same texts, whichever engine and however much was cached.
    for trial in 0..3 {
        for request in 0..3 {
            let texts: Vec<_> = rows
                .iter()
                .filter(|row| row.trial == trial && row.request_id == request)
                .map(|row| row.text_hash.clone())
                .collect();
            assert_eq!(texts.len(), 2);
            assert_eq!(texts[0], texts[1]);
        }
    }

    for file in [
        "scenario.toml",
        "plan.json",
        "manifest.json",
        "rows.jsonl",
        "requests.parquet",
        "requests.csv",
        "replies.parquet",
        "samples.parquet",
        "counters.parquet",
        "report.pdf",
        "summary.md",
        "junit.xml",
    ] {
        let length = fs::metadata(folder.join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}"))
            .len();
        assert!(length > 0, "{file} is empty");
    }
    assert_eq!(
        fs::read_to_string(folder.join("scenario.toml")).expect("verbatim"),
        SMALL
    );
    let csv = fs::read_to_string(folder.join("requests.csv")).expect("a CSV");
    assert!(
        csv.starts_with("expr_id,timestamp,engine_id,request_id,TTFT,throughput,latency,context_len,query_len,gpu_memory,"),
        "{}",
        csv.lines().next().unwrap_or_default()
    );
    let manifest = manifest(&folder);
    assert_eq!(manifest.ending, Some(Ending::Complete));
    assert!(
        manifest
            .processes
            .iter()
            .all(|process| process.expected == Some(true)),
        "{:#?}",
        manifest.processes
    );
    assert_eq!(processes_of(&folder), Vec::<u32>::new());
}

#[test]
fn a_report_drawn_again_is_the_same_to_the_byte() {
    let workshop = Workshop::new();
    let file = workshop.scenario("small", SMALL);
    let output = workshop.runner(&["--profile", "builtin", "--trials", "1", &file]);
    let folder = workshop.run_folder("small");
    let first = fs::read(folder.join("report.pdf"))
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let again = workshop.report(&[folder.to_str().expect("a path")]);
    assert!(folder.join("report.pdf").is_file(), "{}", stderr(&again));
    assert!(
        first == fs::read(folder.join("report.pdf")).expect("a report"),
        "the second report differs"
    );
}

#[test]
fn the_plan_of_a_file_and_seed_is_the_same_to_the_byte() {
    let workshop = Workshop::new();
    let file = workshop.scenario("small", SMALL);
    let first = workshop.runner(&["--profile", "builtin", "--dry-run", "--seed", "7", &file]);
    let second = workshop.runner(&["--profile", "builtin", "--dry-run", "--seed", "7", &file]);
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(first.stdout, second.stdout);
    assert!(String::from_utf8_lossy(&first.stdout).contains("seed       7"));
    assert!(
        !workshop.path().join("outputs").exists(),
        "a dry run leaves nothing"
    );
}

#[test]
fn mistakes_of_all_files_are_told_at_once_and_nothing_starts() {
    let workshop = Workshop::new();
    let first = workshop.scenario(
        "first",
        &SMALL
            .replace("reuse-count", "reuse_count")
            .replace("\"1GB\"", "\"1 apple\""),
    );
    let second = workshop.scenario(
        "second",
        &SMALL.replace(
            "engine = \"cached\"\nat-least = 0.9",
            "engine = \"cashed\"\nat-least = 0.9",
        ),
    );
    let output = workshop.runner(&[&first, &second]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for expected in [
        "first.toml:7:1",
        "did you mean `reuse-count`?",
        "1 apple",
        "second.toml",
        "cashed",
        "3 problems in 2 files; nothing was started",
    ] {
        assert!(text.contains(expected), "no `{expected}` in:\n{text}");
    }
    assert!(!workshop.path().join("outputs").exists());
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_of_its_own() {
    let workshop = Workshop::new();
    let output = workshop.runner(&["scenarios/*.toml"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(
        stderr(&output).contains("no file matches `scenarios/*.toml`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn ctrl_c_keeps_the_rows_and_the_report_says_partial() {
    let workshop = Workshop::new();
    let file = workshop.scenario("slow", SLOW);
    let mut child = workshop.start(&["--profile", "builtin", &file]);
    workshop.wait_for_rows(&mut child, "slow", 5);
    signal(child.id(), "INT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let folder = workshop.run_folder("slow");
    assert_eq!(manifest(&folder).ending, Some(Ending::Interrupted));
    let rows = rows(&folder);
    assert!(rows.len() >= 5);
    assert!(rows.iter().all(|row| matches!(
        row.outcome,
        Outcome::Ok | Outcome::Cancelled | Outcome::NotSent
    )));
    let summary = fs::read_to_string(folder.join("summary.md")).expect("a summary");
    assert!(summary.to_lowercase().contains("partial"), "{summary}");
    assert!(folder.join("report.pdf").is_file());
    assert_eq!(processes_of(&folder), Vec::<u32>::new());
}

#[test]
fn an_engine_killed_in_mid_run_ends_the_run_with_its_last_lines() {
    let workshop = Workshop::new();
    let file = workshop.scenario("slow", SLOW);
    let mut child = workshop.start(&["--profile", "builtin", &file]);
    workshop.wait_for_rows(&mut child, "slow", 3);
    let folder = workshop.run_folder("slow");
    let engine = processes_of(&folder)
        .into_iter()
        .find(|pid| {
            command_line(*pid).contains(" engine ") && !command_line(*pid).contains(" guard ")
        })
        .expect("an engine");
    signal(engine, "KILL");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("engine `slow` ended unasked (signal 9"),
        "{text}"
    );
    assert!(text.contains("slow.log"), "{text}");
    let rows = rows(&folder);
    assert!(
        rows.iter().any(|row| row.outcome == Outcome::EngineExited),
        "{rows:#?}"
    );
    assert!(rows.iter().filter(|row| row.outcome == Outcome::Ok).count() >= 3);
    assert_eq!(processes_of(&folder), Vec::<u32>::new());
}

#[test]
fn a_killed_runner_leaves_no_engine_and_loses_no_row() {
    let workshop = Workshop::new();
    let file = workshop.scenario("slow", SLOW);
    let mut child = workshop.start(&["--profile", "builtin", &file]);
    workshop.wait_for_rows(&mut child, "slow", 4);
    let folder = workshop.run_folder("slow");
    assert!(!processes_of(&folder).is_empty());
    child.kill().expect("SIGKILL");
    child.wait().expect("it is gone");
    wait_until("the engine's end", || processes_of(&folder).is_empty());

    let journal = fs::read_to_string(folder.join("rows.jsonl")).expect("a journal");
    let whole = journal.matches('\n').count();
    let report = workshop.report(&[folder.to_str().expect("a path")]);
    let summary = fs::read_to_string(folder.join("summary.md"))
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&report)));
    assert!(summary.to_lowercase().contains("partial"), "{summary}");
    let csv = fs::read_to_string(folder.join("requests.csv")).expect("a CSV");
    assert_eq!(
        csv.lines().count(),
        whole + 1,
        "every finished request is in the report"
    );
    assert!(folder.join("report.pdf").is_file());
}

fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()
        .expect("kill");
    assert!(sent.success());
}

fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}
