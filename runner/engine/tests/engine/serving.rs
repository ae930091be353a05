//! Several requests at once: fair, independent of each other, and gone when their client is.

use std::io::{BufRead, BufReader};

use crate::support::{Engine, prompt};
use serde_json::json;

fn body(prompt: &[u32], max_tokens: u32) -> String {
    let options = json!({"include_usage": true});
    json!({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true, "stream": true,
        "stream_options": options})
    .to_string()
}

#[test]
fn requests_computed_together_say_what_they_say_alone() {
    let engine = Engine::start(&[
        "--chunk-size",
        "64",
        "--prefill-chunk",
        "64",
        "--prefix",
        "30000000",
    ]);
    let prompts: Vec<_> = (0..6)
        .map(|seed| prompt(seed, 60 + 50 * seed as usize))
        .collect();
    let alone: Vec<_> = prompts
        .iter()
        .map(|prompt| engine.continue_greedily(prompt, 20).0)
        .collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = prompts
            .iter()
            .map(|prompt| scope.spawn(|| engine.continue_greedily(prompt, 20).0))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn a_running_stream_gets_tokens_while_a_long_prompt_is_read() {
    let engine = Engine::start(&[
        "--chunk-size",
        "64",
        "--prefill-chunk",
        "64",
        "--max-model-len",
        "9000",
    ]);
    let mut running =
        BufReader::new(engine.send("POST", "/v1/completions", &body(&prompt(1, 10), 2000)));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        running.read_line(&mut line).unwrap();
    }
    let before = engine.metric("vllm:generation_tokens_total", "");
    let (_, cached) = engine.continue_greedily(&prompt(2, 2000), 1);
    assert_eq!(cached, 0);
    // Thirty-two pieces of the long prompt, a token of the stream after each.
    let during = engine.metric("vllm:generation_tokens_total", "") - before;
    assert!(during >= 30.0, "{during} tokens");
}

#[test]
fn a_client_that_goes_away_frees_its_place() {
    let engine = Engine::start(&["--max-batch", "1", "--max-model-len", "30000"]);
    let mut endless =
        BufReader::new(engine.send("POST", "/v1/completions", &body(&prompt(1, 10), 29_000)));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(endless.read_line(&mut line).unwrap() > 0);
    }
    assert_eq!(engine.metric("vllm:num_requests_running", ""), 1.0);
    let waiting = engine.send("POST", "/v1/completions", &body(&prompt(2, 10), 29_000));
    while engine.metric("vllm:num_requests_waiting", "") != 1.0 {}
    drop(waiting);
    while engine.metric("vllm:num_requests_waiting", "") != 0.0 {}
    drop(endless);
    engine.continue_greedily(&prompt(3, 10), 2);
    while engine.metric("vllm:num_requests_running", "") != 0.0 {}
    assert!(engine.metric("vllm:generation_tokens_total", "") < 29_000.0);
}

#[test]
fn requests_beyond_the_memory_wait_for_each_other() {
    // Eight blocks in all, and each request needs five.
    let capacity = (8 * 64 * 3072).to_string();
    let engine = Engine::start(&["--chunk-size", "64", "--prefix", &capacity]);
    let model = &engine.get("/v1/models").json()["data"][0];
    assert_eq!(model["max_model_len"], 512);
    std::thread::scope(|scope| {
        let engine = &engine;
        let threads: Vec<_> = (0..6)
            .map(|seed| scope.spawn(move || engine.continue_greedily(&prompt(seed, 290), 20)))
            .collect();
        threads
            .into_iter()
            .for_each(|thread| assert!(!thread.join().unwrap().0.is_empty()));
    });
    let used = engine.metric("builtin:tier_used_bytes", "");
    assert!(used > 0.0 && used <= capacity.parse().unwrap());
}

#[test]
fn sampling_follows_the_seed() {
    let engine = Engine::start(&[]);
    let draw = |seed: u32, temperature: f32| {
        let body = json!({"prompt": prompt(1, 20), "max_tokens": 30, "temperature": temperature, "seed": seed});
        engine.post("/v1/completions", &body).json()["choices"][0]["text"].clone()
    };
    assert_eq!(draw(1, 1.0), draw(1, 1.0));
    assert_ne!(draw(1, 1.0), draw(2, 1.0));
    assert_eq!(draw(1, 0.0), draw(2, 0.0));
}
