//! What each stage around the request path costs: reading a stream, making prompts, planning, recording rows.
//!
//! `cargo bench --bench stages`; a name behind it picks some.

use std::{hint::black_box, path::PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use runner::{
    event::EventKind,
    folder::RunFolder,
    load::{Recording, read_stream},
    model_facts,
    plan::{self, Inputs, Overrides},
    profile,
    prompt::{self, Occasion, TextSource},
    record::Recorder,
};
use schemas::{
    plan::Plan,
    read::Source,
    row::{Outcome, RequestKind, Row, TokenCount},
};

const OUTPUT_TOKENS: u32 = 256;
const ROWS: u32 = 1_000;

/// A stream as vLLM sends it, one chunk a token and a millisecond.
fn recorded_stream() -> Recording {
    let chunk = |delta: &str, rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\",\"created\":1761234567,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"logprobs\":null,\"finish_reason\":null}}]{rest}}}\n\n"
        )
    };
    let mut recording = Recording::for_tokens(OUTPUT_TOKENS);
    recording.append(
        chunk(r#""role":"assistant","content":"""#, "").as_bytes(),
        1,
    );
    for token in 0..OUTPUT_TOKENS {
        let content = format!("\"content\":\" w{token}\"");
        recording.append(chunk(&content, "").as_bytes(), u64::from(token) * 1_000_000);
    }
    let usage = format!(",\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{OUTPUT_TOKENS}}}");
    let end = format!("{}data: [DONE]\n\n", chunk("", &usage));
    recording.append(end.as_bytes(), u64::from(OUTPUT_TOKENS) * 1_000_000);
    recording
}

fn reading(criterion: &mut Criterion) {
    let recording = recorded_stream();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(OUTPUT_TOKENS.into()));
    group.bench_function("a stream of 256 tokens", |bencher| {
        bencher.iter(|| read_stream(black_box(&recording), true));
    });
    group.finish();
}

/// A scenario of this many requests over this many contexts, planned for the built-in engine.
fn planned(contexts: u32, reuse: u32) -> Plan {
    let text = format!(
        r#"
question = "What does a stage cost?"
model = "builtin:tiny"
[workload.shared-context]
context-length = 16368
contexts = {contexts}
reuse-count = {reuse}
query-length = 16
output-length = 64
[arrival.poisson]
rate = "10/s"
[engine.one]
kind = "builtin"
backend.local-cpu = {{ capacity = "1GB" }}
[engine.two]
kind = "builtin"
backend.none = {{}}
"#
    );
    let source = Source {
        path: "stages.toml".to_owned(),
        text,
    };
    let scenario = schemas::read::scenario(&source).unwrap_or_else(|problems| {
        panic!("{}", schemas::diagnostic::render(&source, &problems, false))
    });
    let chosen = profile::choose("builtin", false).expect("the built-in profile");
    let names = plan::resolve_model(&scenario, &chosen.profile, None);
    let facts = model_facts::read(&names.used).expect("a built-in model");
    plan::build(Inputs {
        name: "stages",
        scenario: &scenario,
        profile_name: &chosen.name,
        profile: &chosen.profile,
        overrides: &Overrides::default(),
        names: &names,
        facts: &facts,
        python: &runner::interpreter::Search::default(),
        devices: 0,
    })
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("10,000 requests", |bencher| {
        bencher.iter(|| planned(black_box(1_000), 10));
    });
    group.finish();
}

fn prompts(criterion: &mut Criterion) {
    let tokenizer = model_facts::tokenizer("builtin:tiny").expect("the built-in tokenizer");
    let texts = TextSource::new(tokenizer, 1).expect("words");
    let occasion = Occasion {
        nonce: 1,
        experiment: 0,
        trial: 0,
    };
    let mut group = criterion.benchmark_group("prompts");
    group.sample_size(10);
    group.throughput(Throughput::Elements(10_000));
    for (name, contexts) in [("10 to a context", 1_000), ("none shared", 10_000)] {
        let plan = planned(contexts, 10_000 / contexts);
        let experiment = plan.experiments.first().expect("an experiment");
        group.bench_function(format!("10,000 of 16,384 tokens, {name}"), |bencher| {
            bencher.iter(|| prompt::build(&texts, experiment, occasion, "m").expect("prompts"));
        });
    }
    group.finish();
}

fn row(request_id: u32) -> Row {
    let text = " ab".repeat(OUTPUT_TOKENS as usize);
    Row {
        expr_id: 0,
        experiment: 0,
        trial: 0,
        engine_id: 0,
        engine: "local-cpu".to_owned(),
        request_id,
        kind: RequestKind::Reused,
        context_id: 0,
        turn: request_id,
        context_tokens: 16_368,
        query_tokens: 16,
        asked_output_tokens: OUTPUT_TOKENS,
        planned_prompt_tokens: Some(16_390),
        expected_cached_tokens: Some(16_128),
        phase: None,
        intended_ns: 1_000_000_000,
        connect_ns: None,
        connected_ns: None,
        sent_ns: Some(1_000_100_000),
        headers_ns: Some(1_000_200_000),
        first_event_ns: Some(1_050_000_000),
        first_content_ns: Some(1_050_000_000),
        last_content_ns: Some(3_600_000_000),
        done_ns: Some(3_600_100_000),
        event_offsets_ns: (0..u64::from(OUTPUT_TOKENS))
            .map(|token| 50_000_000 + token * 10_012_345)
            .collect(),
        first_event_tokens: Some(1),
        prompt_tokens: Some(16_390),
        output_tokens: Some(OUTPUT_TOKENS),
        token_count: Some(TokenCount::Usage),
        cached_tokens: Some(16_128),
        server_ttft_ns: Some(49_000_000),
        server_queue_ns: Some(0),
        served_first_ns: Some(1_049_900_000),
        served_last_ns: Some(3_599_900_000),
        outcome: Outcome::Ok,
        detail: None,
        http_status: Some(200),
        reconnects: 0,
        finish_reason: Some("length".to_owned()),
        text_hash: Some("0123456789abcdef".to_owned()),
        text: Some(text),
    }
}

fn recording(criterion: &mut Criterion) {
    let outputs: PathBuf = std::env::temp_dir().join(format!("stages-{}", std::process::id()));
    let mut group = criterion.benchmark_group("record");
    group.sample_size(10);
    group.throughput(Throughput::Elements(ROWS.into()));
    group.bench_function("1,000 rows of 256 tokens, down to the disk", |bencher| {
        bencher.iter_batched(
            || {
                let folder = RunFolder::create(&outputs, "stages", "run").expect("a run folder");
                let rows: Vec<Row> = (0..ROWS).map(row).collect();
                (folder, rows)
            },
            |(folder, rows)| {
                let recorder = Recorder::start(&folder).expect("a recorder");
                for row in rows {
                    let event = EventKind::RequestsFinished(vec![row]);
                    recorder.record(event).expect("a recorder that listens");
                }
                recorder.finish().expect("rows on disk");
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    std::fs::remove_dir_all(&outputs).expect("the folder is there");
}

criterion_group!(stages, reading, planning, prompts, recording);
criterion_main!(stages);
