//! The binary `report` on run folders made by hand: what it writes, prints and returns.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use schemas::{
    manifest::Ending,
    row::{Outcome, RequestKind, Row, TokenCount},
};
use serde_json::{Value, json};

const TRIALS: u32 = 3;
const REQUESTS: u32 = 4;
const CONTEXT: u32 = 1024;

/// Three trials of four requests, one cold and three reused, on a cache and on a baseline; the cache's reused TTFT is `warm_ms`, the baseline's 400 ms,
/// both a little longer in each later trial.
fn rows(warm_ms: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for trial in 0..TRIALS {
        for engine_id in 0..2 {
            for request_id in 0..REQUESTS {
                let cold = request_id == 0;
                let ttft_ms = if engine_id == 0 && !cold {
                    warm_ms
                } else {
                    400
                };
                let ttft_ns = ttft_ms * (100 + u64::from(trial)) * 10_000;
                let turn = u64::from(trial * 2 + engine_id);
                rows.push(row(
                    trial,
                    engine_id,
                    request_id,
                    (turn * 10 + u64::from(request_id)) * 1_000_000_000,
                    ttft_ns,
                ));
            }
        }
    }
    rows
}

fn row(trial: u32, engine_id: u32, request_id: u32, start_ns: u64, ttft_ns: u64) -> Row {
    let cold = request_id == 0;
    let cached = if engine_id == 0 && !cold { CONTEXT } else { 0 };
    Row {
        expr_id: trial,
        experiment: 0,
        trial,
        engine_id,
        engine: ["cache", "baseline"][engine_id as usize].to_owned(),
        request_id,
        kind: if cold {
            RequestKind::Cold
        } else {
            RequestKind::Reused
        },
        context_id: 0,
        turn: request_id,
        context_tokens: CONTEXT,
        query_tokens: 16,
        asked_output_tokens: 3,
        planned_prompt_tokens: Some(CONTEXT + 16),
        expected_cached_tokens: (engine_id == 0).then_some(cached),
        phase: None,
        intended_ns: start_ns,
        connect_ns: None,
        connected_ns: None,
        sent_ns: Some(start_ns),
        headers_ns: Some(start_ns + 1_000),
        first_event_ns: Some(start_ns + 2_000),
        first_content_ns: Some(start_ns + ttft_ns),
        last_content_ns: Some(start_ns + ttft_ns + 40_000_000),
        done_ns: Some(start_ns + ttft_ns + 41_000_000),
        event_offsets_ns: vec![ttft_ns, ttft_ns + 20_000_000, ttft_ns + 40_000_000],
        first_event_tokens: Some(1),
        prompt_tokens: Some(CONTEXT + 16),
        output_tokens: Some(3),
        token_count: Some(TokenCount::Usage),
        cached_tokens: Some(cached),
        server_ttft_ns: None,
        server_queue_ns: None,
        served_first_ns: None,
        served_last_ns: None,
        outcome: Outcome::Ok,
        detail: None,
        http_status: Some(200),
        reconnects: 0,
        finish_reason: Some("length".to_owned()),
        text: Some("one two three".to_owned()),
        text_hash: Some("0123456789abcdef".to_owned()),
    }
}

fn plan() -> Value {
    let engine = |name: &str, baseline: bool| {
        json!({
            "name": name, "kind": "builtin", "backend": if baseline { "none" } else { "local-cpu" },
            "tiers": if baseline { json!([]) } else { json!([{ "name": "local-cpu", "capacity_bytes": 1_000_000_000_u64 }]) },
            "baseline": baseline, "promises_hits": !baseline, "chunk_tokens": 256, "paced": false, "launches": [], "attach": null
        })
    };
    let requests: Vec<Value> = (0..REQUESTS)
        .map(|id| {
            json!({
                "request_id": id, "arrival": id, "kind": if id == 0 { "cold" } else { "reused" }, "context_id": 0, "turn": id,
                "context_tokens": CONTEXT, "query_tokens": 16, "output_tokens": 3, "think_time_ns": null
            })
        })
        .collect();
    json!({
        "format": 1, "scenario": "by_hand", "question": "How much sooner?", "profile": "builtin", "seed": 1,
        "model": { "declared": "a/model", "used": "builtin:tiny", "served_name": "m", "kv_bytes_per_token": 1024, "max_length": null, "random_weights": false },
        "residency": "resident",
        "engines": [engine("cache", false), engine("baseline", true)],
        "experiments": [{
            "workload": "shared-context", "point": { "context-length": CONTEXT }, "label": format!("context {CONTEXT}"), "context_tokens": CONTEXT,
            "arrival": { "closed": { "concurrency": 1 } }, "requests": requests,
            "expected_cached_tokens": [[0, CONTEXT, CONTEXT, CONTEXT], null], "skipped_engines": []
        }],
        "trials": { "at_least": TRIALS, "at_most": TRIALS, "until": null },
        "substitutions": [], "skipped": [],
        "expectations": [{ "metric": "ttft", "engine": "cache", "relative-to": "baseline", "at-most": 0.5 }],
        "goodput": null, "warnings": [], "ready_timeout_ns": 1, "request_timeout_ns": 1
    })
}

fn manifest(ending: Option<Ending>) -> Value {
    json!({
        "format": 1, "run_id": "2026-01-02T03-04-05Z", "scenario_path": "by_hand.toml", "profile": "builtin", "profile_reason": "asked for",
        "started": "2026-01-02T03:04:05Z", "ended": null, "started_monotonic_ns": 0, "ending": ending, "version": "0.1.0", "versions": {},
        "host": { "name": null, "system": null, "processor": null, "cores": null, "memory_bytes": null, "gpus": [], "driver": null },
        "git_commit": null, "command_line": [], "salt_nonce": "", "prompt_fingerprint": null, "processes": [], "client": null, "warnings": []
    })
}

/// A folder as a run leaves it, journals only.
fn run_folder(rows: &[Row], ending: Option<Ending>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write(
        "scenario.toml",
        "question = \"How much sooner?\"\n".to_owned(),
    );
    write("plan.json", plan().to_string());
    write("manifest.json", manifest(ending).to_string());
    write(
        "rows.jsonl",
        rows.iter()
            .map(|row| serde_json::to_string(row).unwrap() + "\n")
            .collect(),
    );
    folder
}

fn report(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_report"))
        .args(arguments)
        .arg(folder)
        .output()
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_run_that_meets_its_expectation() {
    let folder = run_folder(&rows(100), Some(Ending::Complete));
    let output = report(folder.path(), &[]);
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[1].contains("1024")
            && lines[1].contains("0.101 s")
            && lines[1].contains("0.404 s")
            && lines[1].contains("0.250"),
        "{text}"
    );
    assert!(lines[lines.len() - 3].starts_with("  ● met"), "{text}");
    assert!(
        lines[lines.len() - 2].starts_with("  ● VALID")
            && lines[lines.len() - 2].contains("4.0 times sooner"),
        "{text}"
    );
    assert!(lines[lines.len() - 1].ends_with("report.pdf"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours reach a pipe: {text:?}");
    for name in [
        "requests.parquet",
        "replies.parquet",
        "samples.parquet",
        "counters.parquet",
        "requests.csv",
        "summary.md",
        "junit.xml",
    ] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn drawn_again_from_the_tables_alone_it_is_the_same() {
    let folder = run_folder(&rows(100), Some(Ending::Complete));
    let first = report(folder.path(), &[]);
    let files = ["summary.md", "junit.xml", "requests.csv"].map(|name| folder.path().join(name));
    let before = files.clone().map(|path| fs::read(path).unwrap());
    fs::remove_file(folder.path().join("rows.jsonl")).unwrap();
    let second = report(folder.path(), &[]);
    assert_eq!(printed(&first), printed(&second));
    assert_eq!(before, files.map(|path| fs::read(path).unwrap()));
}

#[test]
fn a_run_that_misses_its_expectation() {
    let folder = run_folder(&rows(300), Some(Ending::Complete));
    let output = report(folder.path(), &["--quiet"]);
    assert_eq!(output.status.code(), Some(4), "{}", printed(&output));
    assert!(
        printed(&output).starts_with("  ■ not met"),
        "{}",
        printed(&output)
    );
    let junit = fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert!(junit.contains("errors=\"0\" failures=\"1\""), "{junit}");
}

#[test]
fn one_trial_leaves_it_undecided() {
    let one: Vec<Row> = rows(100).into_iter().filter(|row| row.trial == 0).collect();
    let folder = run_folder(&one, Some(Ending::Complete));
    assert_eq!(report(folder.path(), &[]).status.code(), Some(0));
    assert_eq!(report(folder.path(), &["--strict"]).status.code(), Some(7));
}

#[test]
fn a_hit_that_was_promised_and_missing_makes_it_invalid() {
    let mut rows = rows(100);
    rows.iter_mut().for_each(|row| row.cached_tokens = Some(0));
    let folder = run_folder(&rows, Some(Ending::Complete));
    let output = report(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(6), "{}", printed(&output));
    assert!(printed(&output).contains("× INVALID"));
    let junit = fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert!(junit.contains("errors=\"2\" failures=\"0\""), "{junit}");
}

#[test]
fn partial_runs_say_so() {
    for (ending, code) in [
        (Some(Ending::Interrupted), 130),
        (
            Some(Ending::Failed {
                reason: "engine `cache` ended".to_owned(),
            }),
            3,
        ),
        (None, 3),
    ] {
        let folder = run_folder(&rows(100), ending);
        // As a killed runner leaves it.
        let path = folder.path().join("rows.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 30]).unwrap();
        let output = report(folder.path(), &[]);
        assert_eq!(output.status.code(), Some(code), "{}", printed(&output));
        assert!(
            printed(&output).contains("▲ partial"),
            "{}",
            printed(&output)
        );
        let summary = fs::read_to_string(folder.path().join("summary.md")).unwrap();
        assert!(
            summary.contains("partial") && summary.contains("only half written"),
            "{summary}"
        );
    }
}

#[test]
fn nothing_ran() {
    let folder = run_folder(&[], Some(Ending::Complete));
    let output = report(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(8), "{}", printed(&output));
}

#[test]
fn what_is_no_run_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = report(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("error: cannot read ") && text.contains("scenario.toml"),
        "{text}"
    );
}

#[test]
fn several_runs_become_one_report_and_their_folders_stay_as_they_are() {
    let good = run_folder(&rows(100), Some(Ending::Complete));
    let slow = run_folder(&rows(300), Some(Ending::Complete));
    let gone = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    let file = |name: &str| out.path().join(name);
    let before = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let (in_good, in_slow) = (before(good.path()), before(slow.path()));
    let output = Command::new(env!("CARGO_BIN_EXE_report"))
        .args([good.path(), slow.path()])
        .arg("-o")
        .arg(file("nightly.pdf"))
        .arg("--junit")
        .arg(file("nightly.xml"))
        .arg("--markdown")
        .arg(file("nightly.md"))
        .output()
        .unwrap();
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.lines().next().unwrap().contains("■ not met 1 of 1"),
        "what needs attention stands first: {text}"
    );
    assert_eq!(
        (before(good.path()), before(slow.path())),
        (in_good, in_slow),
        "nothing is written into the folders"
    );
    let junit = fs::read_to_string(file("nightly.xml")).unwrap();
    assert_eq!(junit.matches("<testsuite ").count(), 2, "{junit}");
    assert!(
        fs::read_to_string(file("nightly.md"))
            .unwrap()
            .starts_with("# 2 runs\n")
    );
    let pdf = lopdf::Document::load(file("nightly.pdf")).unwrap();
    let first = pdf.extract_text(&[1]).unwrap();
    assert!(first.contains("What came out of 2 runs"), "{first}");
    let outline = pdf.get_toc().unwrap().toc;
    let top: Vec<&str> = outline
        .iter()
        .filter(|entry| entry.level == 1)
        .map(|entry| entry.title.as_str())
        .collect();
    assert_eq!(top.len(), 3, "{outline:?}");
    assert_eq!(top[0], "What came out of 2 runs");
    assert!(top[1].starts_with("by_hand, "), "{top:?}");

    // A folder that is none hides no other.
    let output = Command::new(env!("CARGO_BIN_EXE_report"))
        .args([gone.path(), good.path()])
        .arg("-o")
        .arg(file("again.pdf"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(printed(&output).contains("× not readable"));
    assert!(printed(&output).contains("● met 1 of 1"));
}

fn compare(base: &Path, new: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_report"))
        .arg("compare")
        .args([base, new])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_later_run_is_held_against_an_earlier_one() {
    let before = run_folder(&rows(100), Some(Ending::Complete));
    let slower = run_folder(&rows(130), Some(Ending::Complete));
    let json = before.path().join("comparison.json");
    let output = compare(
        before.path(),
        slower.path(),
        &["--json", json.to_str().unwrap()],
    );
    let text = printed(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    let worse: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("■ worse"))
        .collect();
    assert_eq!(worse.len(), 1, "{text}");
    assert!(
        worse[0].contains("cache") && worse[0].contains("1.30 ["),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "colours reach a pipe: {text:?}");
    let found: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(found["metrics"][0]["finding"], "worse");
    assert_eq!(found["metrics"][1]["finding"], "no-difference-seen");
    assert_eq!(found["threshold"], 0.05);

    let back = compare(slower.path(), before.path(), &[]);
    assert_eq!(back.status.code(), Some(0));
    assert!(printed(&back).contains("● better"));
    let wide = compare(before.path(), slower.path(), &["--threshold", "0.5"]);
    assert_eq!(wide.status.code(), Some(0), "{}", printed(&wide));
    let same = compare(before.path(), before.path(), &["--strict"]);
    assert_eq!(same.status.code(), Some(0), "{}", printed(&same));
}

#[test]
fn what_cannot_be_compared_is_told_by_its_code() {
    let good = run_folder(&rows(100), Some(Ending::Complete));
    let one: Vec<Row> = rows(100).into_iter().filter(|row| row.trial == 0).collect();
    let short = run_folder(&one, Some(Ending::Complete));
    assert_eq!(
        compare(good.path(), short.path(), &[]).status.code(),
        Some(8)
    );
    let mut missed = rows(100);
    missed
        .iter_mut()
        .for_each(|row| row.cached_tokens = Some(0));
    let invalid = run_folder(&missed, Some(Ending::Complete));
    let output = compare(good.path(), invalid.path(), &[]);
    assert_eq!(output.status.code(), Some(6));
    assert!(
        printed(&output).contains("○ not comparable: B: context 1024 is INVALID"),
        "{}",
        printed(&output)
    );
    let gone = tempfile::tempdir().unwrap();
    assert_eq!(
        compare(good.path(), gone.path(), &[]).status.code(),
        Some(3)
    );
    assert_eq!(
        compare(good.path(), good.path(), &["--threshold", "5"])
            .status
            .code(),
        Some(2)
    );
}
