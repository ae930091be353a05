//! Writes the folder of a run that never was, of any number of requests and trials: `synthetic_run FOLDER REQUESTS TRIALS`.
//!
//! Two engines, ten context lengths; times are seeded, lognormal around a line in the context length. The tables are there, `requests.csv` and the renderings
//! are not: making them is what `ci/bench-report.sh` measures.

use std::{error::Error, fs, path::PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal};
use reports::folder::{self, RunData};
use schemas::row::{Outcome, RequestKind, Row, TokenCount};
use serde_json::{Value, json};

const EXPERIMENTS: u32 = 10;
const ENGINES: [&str; 2] = ["cache", "baseline"];
const TOKENS: u32 = 16;
/// Time between two tokens, in ns.
const GAP_NS: f64 = 8e6;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder: PathBuf = arguments.next().ok_or("which folder?")?.into();
    let mut number = |what: &'static str| -> Result<u32, &'static str> {
        let text = arguments.next();
        text.and_then(|text| text.to_str()?.parse().ok())
            .ok_or(what)
    };
    let requests = number("how many requests?")?;
    let trials = number("how many trials?")?;
    let of_a_turn = requests / (EXPERIMENTS * trials * ENGINES.len() as u32);
    let data = RunData {
        scenario_text: "question = \"How much sooner?\"\n".to_owned(),
        plan: serde_json::from_value(plan(of_a_turn, trials))?,
        manifest: serde_json::from_value(manifest())?,
        frame: rows(of_a_turn, trials).collect(),
        samples: Vec::new(),
        counters: Vec::new(),
        events: Vec::new(),
        notes: Vec::new(),
    };
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("scenario.toml"), &data.scenario_text)?;
    fs::write(folder.join("plan.json"), serde_json::to_vec(&data.plan)?)?;
    fs::write(
        folder.join("manifest.json"),
        serde_json::to_vec(&data.manifest)?,
    )?;
    folder::write_tables(&folder, &data, true)?;
    fs::remove_file(folder.join("requests.csv"))?;
    Ok(())
}

fn context(experiment: u32) -> u32 {
    2048 * (experiment + 1)
}

fn kind(request_id: u32) -> RequestKind {
    if request_id == 0 {
        RequestKind::Cold
    } else {
        RequestKind::Reused
    }
}

/// Turn after turn, each engine in its place, so that trials interleave.
fn rows(of_a_turn: u32, trials: u32) -> impl Iterator<Item = Row> {
    let spread = LogNormal::new(0.0, 0.08).ok();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut now_ns = 0_u64;
    let turns = (0..EXPERIMENTS).flat_map(move |experiment| {
        (0..trials).flat_map(move |trial| (0..2).map(move |engine| (experiment, trial, engine)))
    });
    turns
        .flat_map(move |turn| (0..of_a_turn).map(move |request_id| (turn, request_id)))
        .map(move |((experiment, trial, engine_id), request_id)| {
            let mut noise = || spread.map_or(1.0, |spread| spread.sample(&mut random));
            let cached = engine_id == 0 && request_id > 0;
            let tokens = f64::from(context(experiment));
            let per_token_ns = if cached { 4_000.0 } else { 30_000.0 };
            let ttft_ns = ((5e6 + tokens * per_token_ns) * noise()) as u64;
            let mut offsets = vec![ttft_ns];
            for _ in 1..TOKENS {
                offsets.push(offsets[offsets.len() - 1] + (GAP_NS * noise()) as u64);
            }
            let (intended_ns, last) = (now_ns, offsets[offsets.len() - 1]);
            let sent_ns = intended_ns + random.random_range(20_000..90_000);
            now_ns = sent_ns + last + 1_000_000;
            let hit = if cached { context(experiment) } else { 0 };
            Row {
                expr_id: experiment * trials + trial,
                experiment,
                trial,
                engine_id,
                engine: ENGINES[engine_id as usize].to_owned(),
                request_id,
                kind: kind(request_id),
                context_id: 0,
                turn: request_id,
                context_tokens: context(experiment),
                query_tokens: 16,
                asked_output_tokens: TOKENS,
                phase: None,
                planned_prompt_tokens: Some(context(experiment) + 16),
                expected_cached_tokens: Some(hit),
                intended_ns,
                connect_ns: None,
                connected_ns: None,
                sent_ns: Some(sent_ns),
                headers_ns: Some(sent_ns + 400_000),
                first_event_ns: Some(sent_ns + ttft_ns),
                first_content_ns: Some(sent_ns + ttft_ns),
                last_content_ns: Some(sent_ns + last),
                done_ns: Some(sent_ns + last + 300_000),
                event_offsets_ns: offsets,
                first_event_tokens: Some(1),
                prompt_tokens: Some(context(experiment) + 16),
                output_tokens: Some(TOKENS),
                token_count: Some(TokenCount::Usage),
                cached_tokens: Some(hit),
                server_ttft_ns: None,
                server_queue_ns: None,
                served_first_ns: None,
                served_last_ns: None,
                outcome: Outcome::Ok,
                detail: None,
                http_status: Some(200),
                reconnects: 0,
                finish_reason: Some("length".to_owned()),
                text: Some(format!(
                    "the reply to request {request_id} of trial {trial}"
                )),
                text_hash: Some(format!("{:016x}", request_id.wrapping_mul(0x9E37_79B9))),
            }
        })
}

fn plan(of_a_turn: u32, trials: u32) -> Value {
    let engine = |name: &str, baseline: bool| {
        json!({
            "name": name, "kind": "builtin", "backend": if baseline { "none" } else { "local-cpu 20GB" },
            "tiers": if baseline { json!([]) } else { json!([{ "name": "local-cpu", "capacity_bytes": 20_000_000_000_u64 }]) },
            "baseline": baseline, "promises_hits": !baseline, "chunk_tokens": 256, "paced": false, "launches": [], "attach": null
        })
    };
    let experiment = |number: u32| {
        let context = context(number);
        let requests: Vec<Value> = (0..of_a_turn)
            .map(|id| {
                json!({
                    "request_id": id, "arrival": id, "kind": kind(id), "context_id": 0, "turn": id,
                    "context_tokens": context, "query_tokens": 16, "output_tokens": TOKENS, "think_time_ns": null
                })
            })
            .collect();
        json!({
            "workload": "shared-context", "point": { "context-length": context }, "label": format!("context {context}"), "context_tokens": context,
            "arrival": { "closed": { "concurrency": 1 } }, "requests": requests, "expected_cached_tokens": [null, null], "skipped_engines": []
        })
    };
    json!({
        "format": 1, "scenario": "synthetic", "question": "How much sooner does the first token come when a shared context is reused?",
        "profile": "builtin", "seed": 1,
        "model": {
            "declared": "a/model", "used": "a/model", "served_name": "m", "kv_bytes_per_token": 131_072, "max_length": null, "random_weights": false,
            "weights_missing": false
        },
        "residency": "resident", "engines": [engine(ENGINES[0], false), engine(ENGINES[1], true)],
        "experiments": (0..EXPERIMENTS).map(experiment).collect::<Vec<_>>(),
        "trials": { "at_least": trials, "at_most": trials, "until": null },
        "substitutions": [], "skipped": [], "warnings": [], "goodput": null, "ready_timeout_ns": 1, "request_timeout_ns": 1,
        "expectations": [{ "metric": "ttft", "engine": ENGINES[0], "relative-to": ENGINES[1], "at-most": 0.5 }]
    })
}

fn manifest() -> Value {
    json!({
        "format": 1, "run_id": "2026-01-02T03-04-05Z", "scenario_path": "synthetic.toml", "profile": "builtin", "profile_reason": "made up",
        "started": "2026-01-02T03:04:05Z", "ended": "2026-01-02T09:04:05Z", "started_monotonic_ns": 0, "ending": "complete", "version": "0.1.0", "versions": {},
        "host": { "name": "nowhere", "system": null, "processor": null, "cores": 2, "memory_bytes": null, "gpus": [], "driver": null },
        "git_commit": null, "command_line": [], "salt_nonce": "", "prompt_fingerprint": null, "processes": [], "client": null, "warnings": []
    })
}
