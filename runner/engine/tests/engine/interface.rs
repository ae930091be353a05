//! Every path of the HTTP interface, in order and out of order.

use crate::support::{Answer, Engine, prompt};
use serde_json::{Value, json};

fn chat(max_tokens: u32) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": " ab cd"}], "max_tokens": max_tokens,
        "temperature": 0, "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true}})
}

fn start() -> Engine {
    Engine::start(&["--served-model-name", "m", "--max-model-len", "300"])
}

#[test]
fn a_chat_streams_role_tokens_reason_usage_and_the_end() {
    let engine = start();
    let answer = engine.post("/v1/chat/completions", &chat(5));
    assert!(
        answer
            .head
            .to_lowercase()
            .contains("content-type: text/event-stream")
    );
    let events = answer.events();
    assert_eq!(events.len(), 8);
    assert_eq!(
        events[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    let texts: Vec<&str> = events[1..6]
        .iter()
        .map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap())
        .collect();
    assert!(texts.iter().all(|text| !text.is_empty()));
    assert_eq!(events[6]["choices"][0]["finish_reason"], "length");
    assert_eq!(events[7]["choices"], json!([]));
    let usage = &events[7]["usage"];
    // Three special ids and two words.
    assert_eq!(usage["prompt_tokens"], 5);
    assert_eq!(usage["completion_tokens"], 5);
    assert_eq!(usage["total_tokens"], 10);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    assert!(
        events[7]["metrics"]["time_to_first_token_ms"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert!(events[7]["metrics"]["queue_time_ms"].as_f64().unwrap() >= 0.0);
    let stamp = |name: &str| events[7]["served"][name].as_u64().unwrap();
    assert!(
        stamp("received_ns") < stamp("first_token_ns")
            && stamp("first_token_ns") < stamp("last_token_ns")
    );
    for event in &events {
        assert_eq!(
            (&event["object"], &event["model"]),
            (&json!("chat.completion.chunk"), &json!("m"))
        );
        assert_eq!(event["id"], events[0]["id"]);
    }
    let mut whole = chat(5);
    whole["stream"] = json!(false);
    let whole = engine.post("/v1/chat/completions", &whole).json();
    assert_eq!(
        whole["choices"][0]["message"],
        json!({"role": "assistant", "content": texts.concat()})
    );
    assert_eq!(whole["usage"]["completion_tokens"], 5);
}

#[test]
fn completions_take_every_form_of_prompt() {
    let engine = start();
    let ask = |prompt: Value| {
        let body = json!({"prompt": prompt, "max_tokens": 3, "temperature": 0, "ignore_eos": true});
        let answer = engine.post("/v1/completions", &body).json();
        let texts: Vec<Value> = answer["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|choice| choice["text"].clone())
            .collect();
        (texts, answer["usage"]["prompt_tokens"].as_u64().unwrap())
    };
    let ids: Value = engine
        .post("/tokenize", &json!({"prompt": " ab cd"}))
        .json()["tokens"]
        .clone();
    let (text, tokens) = ask(json!(" ab cd"));
    assert_eq!(tokens, 2);
    assert_eq!(ask(ids.clone()), (text.clone(), 2));
    assert_eq!(ask(json!([" ab cd", " ef"])).0[0], text[0]);
    assert_eq!(
        ask(json!([ids, ids])),
        (vec![text[0].clone(), text[0].clone()], 4)
    );
    let body = json!({"prompt": [" ab cd", " ab cd"], "max_tokens": 3, "temperature": 0, "stream": true, "ignore_eos": true});
    let events = engine.post("/v1/completions", &body).events();
    for index in 0..2 {
        let pieces: String = events
            .iter()
            .filter(|event| event["choices"][0]["index"] == index)
            .map(|event| event["choices"][0]["text"].as_str().unwrap())
            .collect();
        assert_eq!(json!(pieces), text[0]);
    }
}

#[test]
fn texts_and_ids_are_converted() {
    let engine = start();
    let ids = prompt(1, 50);
    let text = engine
        .post("/detokenize", &json!({"model": "m", "tokens": ids}))
        .json()["prompt"]
        .clone();
    let tokens = engine
        .post("/tokenize", &json!({"model": "m", "prompt": text}))
        .json();
    assert_eq!(tokens["tokens"], json!(ids));
    assert_eq!(
        (&tokens["count"], &tokens["max_model_len"]),
        (&json!(50), &json!(300))
    );
    let messages = json!([{"role": "user", "content": " ab cd"}]);
    let chat = |prompted: bool| {
        let body = json!({"messages": messages, "add_generation_prompt": prompted});
        engine.post("/tokenize", &body).json()["count"]
            .as_u64()
            .unwrap()
    };
    assert_eq!((chat(true), chat(false)), (5, 4));
}

#[test]
fn what_cannot_be_answered_is_refused_in_openais_form() {
    let engine = start();
    let long = json!({"prompt": prompt(1, 290), "max_tokens": 20});
    let cases = [
        ("/v1/completions", long.to_string(), 400, "300 tokens"),
        (
            "/v1/completions",
            long.to_string(),
            400,
            "290 prompt tokens",
        ),
        (
            "/v1/completions",
            "{\"prompt\": ".to_owned(),
            400,
            "body cannot be used",
        ),
        ("/v1/completions", "{}".to_owned(), 400, "prompt"),
        (
            "/v1/completions",
            json!({"model": "x", "prompt": " ab"}).to_string(),
            404,
            "`x` does not exist",
        ),
        (
            "/v1/completions",
            json!({"prompt": [5000]}).to_string(),
            400,
            "5000",
        ),
        (
            "/v1/completions",
            json!({"prompt": ""}).to_string(),
            400,
            "empty",
        ),
        (
            "/v1/completions",
            json!({"prompt": " ab", "n": 2}).to_string(),
            400,
            "one answer",
        ),
        (
            "/v1/completions",
            json!({"prompt": " ab", "min_tokens": 9, "max_tokens": 8}).to_string(),
            400,
            "min_tokens",
        ),
        (
            "/v1/chat/completions",
            json!({"messages": 5}).to_string(),
            400,
            "sequence",
        ),
        ("/tokenize", "{}".to_owned(), 400, "exactly one"),
        ("/nothing", "{}".to_owned(), 404, "/nothing"),
        ("/health", "{}".to_owned(), 405, "another method"),
    ];
    for (path, body, status, words) in cases {
        let answer = Answer::read(engine.send("POST", path, &body));
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], status);
        assert!(
            error["message"].as_str().unwrap().contains(words),
            "{error}"
        );
    }
}

#[test]
fn nothing_is_answered_before_the_model_is_loaded() {
    let engine = Engine::launch(&["--model", "builtin:small"]);
    // The first connection comes long before 26 million weights are drawn.
    let early = engine.get("/v1/models");
    assert_eq!(early.status, 503, "{}", early.body);
    while engine.get("/health").status == 503 {
        std::thread::yield_now();
    }
    assert_eq!(engine.get("/health").status, 200);
    assert_eq!(
        engine.get("/v1/models").json()["data"][0]["max_model_len"],
        32_768
    );
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_engine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let error = Engine::launch(&["--model", path])
        .join()
        .unwrap_err()
        .to_string();
    assert!(error.contains("config.json"), "{error}");
    engine::write_builtin_model("builtin:tiny", folder.path()).unwrap();
    let error = Engine::launch(&["--model", path])
        .join()
        .unwrap_err()
        .to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    let error = Engine::launch(&["--model", "builtin:x"])
        .join()
        .unwrap_err()
        .to_string();
    assert!(error.contains("builtin:small"), "{error}");
    let error = Engine::launch(&["--chunk-size", "10"])
        .join()
        .unwrap_err()
        .to_string();
    assert!(error.contains("--chunk-size"), "{error}");
}

#[test]
fn a_directory_without_weights_gets_random_ones() {
    let folder = tempfile::tempdir().unwrap();
    engine::write_builtin_model("builtin:tiny", folder.path()).unwrap();
    let path = folder.path().to_str().unwrap();
    let directory = Engine::start(&["--model", path, "--load-format", "dummy", "--seed", "3"]);
    let builtin = Engine::start(&["--seed", "3"]);
    let prompt = prompt(1, 30);
    assert_eq!(
        directory.continue_greedily(&prompt, 10),
        builtin.continue_greedily(&prompt, 10)
    );
    let other = Engine::start(&["--seed", "4"]);
    assert_ne!(
        other.continue_greedily(&prompt, 10),
        builtin.continue_greedily(&prompt, 10)
    );
}
