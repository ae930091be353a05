//! Tests of reading, finishing and reading again.

use std::time::Duration;

use schemas::{
    plan::{Model, TrialPlan},
    profile::Residency,
    row::{Outcome, RequestKind, Row, TokenCount},
    sample::Edge,
};

use super::*;
use crate::csv::PREDECESSOR;

fn row(expr_id: u32, engine_id: u32, request_id: u32) -> Row {
    let start =
        1_000_000_000 + u64::from(expr_id * 100 + engine_id * 10 + request_id) * 1_000_000_000;
    Row {
        expr_id,
        experiment: expr_id,
        trial: 0,
        engine_id,
        engine: ["lmcache", "baseline"][engine_id as usize].to_owned(),
        request_id,
        kind: if request_id == 0 {
            RequestKind::Cold
        } else {
            RequestKind::Reused
        },
        context_id: 0,
        turn: request_id,
        context_tokens: 4096,
        query_tokens: 16,
        asked_output_tokens: 5,
        planned_prompt_tokens: Some(4112),
        expected_cached_tokens: (engine_id == 0).then_some(4096),
        phase: None,
        intended_ns: start,
        connect_ns: None,
        connected_ns: None,
        sent_ns: Some(start + 1_000),
        headers_ns: Some(start + 2_000),
        first_event_ns: Some(start + 3_000),
        first_content_ns: Some(start + 250_001_000),
        last_content_ns: Some(start + 650_001_000),
        done_ns: Some(start + 660_000_000),
        event_offsets_ns: vec![250_000_000, 350_000_000, 650_000_000],
        first_event_tokens: Some(1),
        prompt_tokens: Some(4112),
        output_tokens: Some(5),
        token_count: Some(TokenCount::Usage),
        cached_tokens: Some(3840),
        server_ttft_ns: None,
        server_queue_ns: None,
        served_first_ns: Some(start + 249_000_000),
        served_last_ns: None,
        outcome: Outcome::Ok,
        detail: None,
        http_status: Some(200),
        reconnects: 0,
        finish_reason: Some("length".to_owned()),
        text: Some("a \"quoted\", text\nof two lines".to_owned()),
        text_hash: Some("0123456789abcdef".to_owned()),
    }
}

/// A refused request: nothing of it is known but that it was due.
fn refused(request_id: u32) -> Row {
    Row {
        connect_ns: Some(5),
        sent_ns: None,
        headers_ns: None,
        first_event_ns: None,
        first_content_ns: None,
        last_content_ns: None,
        done_ns: None,
        event_offsets_ns: Vec::new(),
        first_event_tokens: None,
        prompt_tokens: None,
        output_tokens: None,
        token_count: None,
        cached_tokens: None,
        served_first_ns: None,
        outcome: Outcome::Refused,
        detail: Some("connection refused".to_owned()),
        http_status: None,
        finish_reason: None,
        text: None,
        text_hash: None,
        ..row(1, 1, request_id)
    }
}

fn rows() -> Vec<Row> {
    vec![
        row(0, 0, 0),
        row(0, 0, 1),
        row(0, 1, 0),
        row(1, 0, 0),
        refused(0),
    ]
}

fn device_sample(at_ns: u64, mib: u64) -> Sample {
    Sample {
        at_ns,
        subject: "gpu-0".to_owned(),
        gpu_memory_bytes: Some(mib << 20),
        gpu_utilisation_percent: Some(3),
        ..Sample::default()
    }
}

fn samples() -> Vec<Sample> {
    // Within the first turn (1 s to 2.66 s), within it again, and far from every turn.
    vec![
        device_sample(1_100_000_000, 7000),
        device_sample(2_000_000_000, 8000),
        device_sample(900_000_000_000, 9000),
    ]
}

fn counters() -> Vec<Counter> {
    let counter = |edge, value| Counter {
        at_ns: 7,
        subject: "lmcache".to_owned(),
        experiment: 0,
        trial: 0,
        edge,
        name: "hits_total".to_owned(),
        labels: "tier=\"local-cpu\"".to_owned(),
        value,
    };
    vec![counter(Edge::Before, 0.0), counter(Edge::After, 3840.5)]
}

fn plan() -> Plan {
    Plan {
        format: FORMAT,
        scenario: "x".to_owned(),
        question: "Is it?".to_owned(),
        profile: "builtin".to_owned(),
        seed: 1,
        model: Model {
            declared: "builtin:tiny".to_owned(),
            used: "builtin:tiny".to_owned(),
            served_name: "m".to_owned(),
            kv_bytes_per_token: None,
            max_length: None,
            dtype: None,
            random_weights: true,
            weights_missing: false,
        },
        residency: Residency::Resident,
        engines: Vec::new(),
        experiments: Vec::new(),
        trials: TrialPlan {
            at_least: 1,
            at_most: 1,
            until: None,
        },
        substitutions: Vec::new(),
        skipped: Vec::new(),
        expectations: Vec::new(),
        events: Vec::new(),
        goodput: None,
        warnings: Vec::new(),
        ready_timeout_ns: 1,
        request_timeout_ns: 1,
    }
}

fn manifest() -> Manifest {
    serde_json::from_value(serde_json::json!({
        "format": FORMAT, "run_id": "r", "scenario_path": "x.toml", "profile": "builtin", "profile_reason": "asked for",
        "started": "2026-01-02T03:04:05Z", "ended": null, "started_monotonic_ns": 0, "ending": "complete", "version": "0.1.0", "versions": {},
        "host": { "name": null, "system": null, "processor": null, "cores": null, "memory_bytes": null, "gpus": [], "driver": null },
        "git_commit": null, "command_line": [], "salt_nonce": "", "prompt_fingerprint": null, "processes": [], "client": null, "warnings": []
    }))
    .unwrap()
}

fn lines<T: serde::Serialize>(values: &[T]) -> String {
    values
        .iter()
        .map(|value| serde_json::to_string(value).unwrap() + "\n")
        .collect()
}

/// A run folder with journals only.
fn journaled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("scenario.toml", "question = \"Is it?\"\n".to_owned());
    write("plan.json", serde_json::to_string(&plan()).unwrap());
    write("manifest.json", serde_json::to_string(&manifest()).unwrap());
    write("rows.jsonl", lines(&rows()));
    write("samples.jsonl", lines(&samples()));
    write("counters.jsonl", lines(&counters()));
    folder
}

fn read(folder: &Path) -> (RunData, bool) {
    RunFolder::open(folder).unwrap().read().unwrap()
}

fn finish(folder: &Path) -> RunData {
    let (data, stale) = read(folder);
    write_tables(folder, &data, stale).unwrap();
    data
}

#[test]
fn tables_hold_what_the_journals_hold() {
    let folder = journaled();
    let from_journals = finish(folder.path());
    assert_eq!(from_journals.frame, rows().into_iter().collect());
    let (from_tables, stale) = read(folder.path());
    assert!(!stale);
    assert_eq!(from_tables, from_journals);
    for name in ["rows", "samples", "counters"] {
        fs::remove_file(folder.path().join(format!("{name}.jsonl"))).unwrap();
    }
    let (alone, stale) = read(folder.path());
    assert!(!stale);
    assert_eq!(alone, from_journals);
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().ends_with(".partial")),
        "{left:?}"
    );
}

#[test]
fn a_journal_that_is_newer_than_its_table_wins() {
    let folder = journaled();
    finish(folder.path());
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, lines(&rows()[..2])).unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(later)
        .unwrap();
    let (data, stale) = read(folder.path());
    assert!(stale);
    assert_eq!(data.frame.len(), 2);
}

#[test]
fn a_cut_table_is_made_again_from_its_journal() {
    let folder = journaled();
    finish(folder.path());
    let path = folder.path().join("requests.parquet");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (data, stale) = read(folder.path());
    assert!(stale);
    assert_eq!(data.frame, rows().into_iter().collect());
    fs::remove_file(folder.path().join("rows.jsonl")).unwrap();
    let error = RunFolder::open(folder.path()).unwrap().read().unwrap_err();
    assert!(error.to_string().contains("requests.parquet"), "{error}");
}

#[test]
fn a_half_written_last_line_is_left_out_and_told() {
    let folder = journaled();
    let path = folder.path().join("rows.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 40]).unwrap();
    let (data, _) = read(folder.path());
    assert_eq!(data.frame.len(), rows().len() - 1);
    assert_eq!(
        data.notes,
        ["the last line of rows.jsonl was only half written and is left out"]
    );
}

#[test]
fn absent_journals_are_no_rows() {
    let folder = journaled();
    for name in ["rows", "samples", "counters"] {
        fs::remove_file(folder.path().join(format!("{name}.jsonl"))).unwrap();
    }
    let data = finish(folder.path());
    assert!(data.frame.is_empty() && data.samples.is_empty() && data.counters.is_empty());
    assert_eq!(read(folder.path()).0, data);
}

#[test]
fn other_formats_are_refused() {
    for name in ["plan.json", "manifest.json"] {
        let folder = journaled();
        let path = folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("\"format\":1", "\"format\":2", 1)).unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("format 2 is not known to this version, which reads format 1"),
            "{error}"
        );
        assert!(error.contains(name), "{error}");
    }
    let folder = journaled();
    let path = folder.path().join("requests.parquet");
    let mut table = columns::requests_table(&rows().into_iter().collect()).unwrap();
    ParquetWriter::new(File::create(&path).unwrap())
        .finish(&mut table)
        .unwrap();
    let error = RunFolder::open(folder.path()).unwrap().read().unwrap_err();
    assert!(matches!(error, FolderError::Format { .. }), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = journaled();
    fs::remove_file(folder.path().join("plan.json")).unwrap();
    let error = RunFolder::open(folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read ") && error.contains("plan.json"),
        "{error}"
    );
}

#[test]
fn the_csv_begins_with_the_predecessors_columns() {
    let folder = journaled();
    finish(folder.path());
    let text = fs::read_to_string(folder.path().join("requests.csv")).unwrap();
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(head[..10], PREDECESSOR);
    assert!(
        head.contains(&"first_content_ns") && head.contains(&"outcome") && head.contains(&"detail")
    );
    let second = lines.nth(1).unwrap();
    // throughput: 5 tokens in 0.4 s.
    assert!(
        second.starts_with("0,1.0,0,1,0.25,12.5,0.65,4096,16,\"{\"\"gpu-0\"\": 8000}\","),
        "{second}"
    );
    let failed = lines.last().unwrap();
    assert!(failed.starts_with("1,0.0,1,0,,,,4096,16,{},"), "{failed}");
    assert!(failed.contains("connection refused"));
}
