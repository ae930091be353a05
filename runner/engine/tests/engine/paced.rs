//! The paced mode acts out its script.

use crate::support::{Answer, Engine, prompt};
use serde_json::{Value, json};

struct Paced {
    engine: Engine,
    _folder: tempfile::TempDir,
}

fn launch(script: &str, arguments: &[&str]) -> Paced {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.toml");
    std::fs::write(&path, script).unwrap();
    let engine = Engine::start(&[&["--paced", path.to_str().unwrap()], arguments].concat());
    Paced {
        engine,
        _folder: folder,
    }
}

fn body(prompt: &[u32], max_tokens: u32) -> Value {
    json!({"prompt": prompt, "max_tokens": max_tokens, "stream": true, "stream_options": {"include_usage": true}})
}

fn ask(paced: &Paced, prompt: &[u32], max_tokens: u32) -> Vec<Value> {
    paced
        .engine
        .post("/v1/completions", &body(prompt, max_tokens))
        .events()
}

fn text(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["text"].as_str())
        .collect()
}

/// Nanoseconds from arrival to the first token, and from the first to the last, as served.
fn served(events: &[Value]) -> (u64, u64) {
    let stamps = &events.last().unwrap()["served"];
    let stamp = |name: &str| stamps[name].as_u64().unwrap();
    (
        stamp("first_token_ns") - stamp("received_ns"),
        stamp("last_token_ns") - stamp("first_token_ns"),
    )
}

#[test]
fn times_are_never_shorter_than_the_script_says() {
    let script = "base-latency = \"20ms\"\nprefill-tokens-per-second = 10000\ntime-per-output-token = \"2500us\"\n";
    let paced = launch(script, &[]);
    let events = ask(&paced, &prompt(1, 300), 9);
    let (first_ns, rest_ns) = served(&events);
    assert!(first_ns >= 50_000_000, "{first_ns}");
    // The first token may be late; what follows keeps to the script's own clock.
    assert!(
        first_ns + rest_ns >= 50_000_000 + 8 * 2_500_000,
        "{rest_ns}"
    );
    assert_eq!(events.len(), 11);
    assert!(
        events[..9]
            .iter()
            .all(|event| !event["choices"][0]["text"].as_str().unwrap().is_empty())
    );
}

#[test]
fn hits_cost_what_loading_costs() {
    // Computing a chunk takes 256 ms, loading its 768 KiB takes 1 ms.
    let script =
        "prefill-tokens-per-second = 1000\nload-bytes-per-second = { local-cpu = 786432000 }\n";
    let paced = launch(script, &["--local-cpu", "100000000"]);
    let prompt = prompt(2, 600);
    let cold = ask(&paced, &prompt, 4);
    let hit = ask(&paced, &prompt, 4);
    let cached = |events: &[Value]| {
        events.last().unwrap()["usage"]["prompt_tokens_details"]["cached_tokens"].clone()
    };
    assert_eq!((cached(&cold), cached(&hit)), (json!(0), json!(512)));
    let server_side = |events: &[Value]| {
        events.last().unwrap()["metrics"]["time_to_first_token_ms"]
            .as_f64()
            .unwrap()
    };
    assert!((server_side(&cold) - 600.0).abs() < 0.001);
    assert!((server_side(&hit) - 90.0).abs() < 0.001);
    assert_eq!(text(&cold), text(&hit));
    assert_eq!(
        paced
            .engine
            .metric("builtin:tier_hit_tokens_total", "local-cpu"),
        512.0
    );
}

#[test]
fn tiers_evict_and_restart_as_usual() {
    let folder = tempfile::tempdir().unwrap();
    let cached = |paced: &Paced, seed| {
        let events = ask(paced, &prompt(seed, 600), 1);
        events.last().unwrap()["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    let path = folder.path().to_str().unwrap();
    let disk = ["--local-disk", "100000000", "--local-disk-path", path];
    let stack = [&["--prefix", "1600000"][..], &disk].concat();
    let paced = launch("", &stack);
    assert_eq!(
        [1, 1, 2, 1].map(|seed| cached(&paced, seed)),
        [0, 512, 0, 512]
    );
    assert_eq!(
        paced
            .engine
            .metric("builtin:tier_hit_tokens_total", "prefix"),
        512.0
    );
    assert_eq!(
        paced
            .engine
            .metric("builtin:tier_hit_tokens_total", "local-disk"),
        512.0
    );
    drop(paced);
    assert_eq!(cached(&launch("", &disk), 2), 512);
}

#[test]
fn as_fast_as_possible_still_means_one_event_a_token() {
    let paced = launch("", &[]);
    let events = ask(&paced, &prompt(3, 10), 1000);
    assert_eq!(events.len(), 1002);
    assert_eq!(events[1001]["usage"]["completion_tokens"], 1000);
    assert_eq!(text(&events), text(&ask(&paced, &prompt(3, 10), 1000)));
    assert_ne!(text(&events), text(&ask(&paced, &prompt(4, 10), 1000)));
}

#[test]
fn failures_come_when_the_script_says() {
    let script = "fail = [\n{ request = 0, how = \"http500\" },\n{ request = 1, how = \"cut\", after-events = 3 },\n\
                  { request = 2, how = \"garbage\", after-events = 1 },\n\
                  { request = 3, how = \"error-event\", after-events = 2 },\n\
                  { request = 4, how = \"short\", after-events = 2 },\n\
                  { request = 6, how = \"stall\", after-events = 1 },\n{ request = 7, how = \"exit\" }]\n";
    let paced = launch(script, &[]);
    let engine = &paced.engine;
    let ask = || engine.post("/v1/completions", &body(&prompt(1, 10), 5));
    assert_eq!(ask().status, 500);
    let cut = ask();
    assert_eq!(cut.body.matches("data: ").count(), 3);
    assert!(!cut.body.contains("[DONE]"));
    let garbage = ask();
    assert!(garbage.body.contains("<html>") && garbage.complete);
    let error = ask().events();
    assert_eq!(error.len(), 3);
    assert_eq!(error[2]["error"]["code"], 500);
    let short = ask().events();
    assert_eq!(short.last().unwrap()["usage"]["completion_tokens"], 2);
    assert_eq!(ask().events().len(), 7);
    let mut stalled = engine.send(
        "POST",
        "/v1/completions",
        &body(&prompt(1, 10), 5).to_string(),
    );
    let mut seen = Vec::new();
    while !seen.windows(6).any(|window| window == b"\"text\"") {
        let mut bytes = [0; 1024];
        let count = std::io::Read::read(&mut stalled, &mut bytes).unwrap();
        assert!(count > 0);
        seen.extend_from_slice(&bytes[..count]);
    }
    let last = engine.send(
        "POST",
        "/v1/completions",
        &body(&prompt(1, 10), 5).to_string(),
    );
    assert!(!Answer::read(last).body.contains("[DONE]"));
    assert!(!Answer::read(stalled).body.contains("[DONE]"));
    let ended = paced.engine.join().unwrap_err().to_string();
    assert!(ended.contains("request 7"), "{ended}");
}
