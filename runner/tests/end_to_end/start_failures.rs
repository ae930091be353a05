//! Engines that do not come up: each ends within its deadline, with a message that names the process, quotes it, and says what to do.

use std::{
    fs, net::TcpListener, os::unix::fs::PermissionsExt as _, process::Output, time::Instant,
};

use crate::support::{PATIENCE, Workshop, stderr};

/// One vLLM that need not be real: it never gets as far as a request.
const SCENARIO: &str = r#"
question = "Does it say why it does not start?"

[workload.shared-context]
context-length = 64
reuse-count = 2
query-length = 8
output-length = 4

[engine.prefix]
kind = "vllm"
backend.prefix = {}

[timeout]
ready = "2s"
"#;

const PROFILE: &str = r#"
description = "an interpreter that is not one"
engine = "vllm"
residency = "in-turn"

[interpreter]
path = "./python"
"#;

/// The smallest shape that has everything a plan asks for.
const CONFIG: &str = r#"{"hidden_size":64,"num_hidden_layers":1,"num_attention_heads":1,"max_position_embeddings":4096,"torch_dtype":"bfloat16"}"#;

/// Answers the question for versions, and does `serving` when it is started as an engine.
fn interpreter(versions: &str, serving: &str) -> String {
    format!("#!/bin/sh\nif [ \"$1\" = -c ]; then printf '{versions}'; exit 0; fi\n{serving}\n")
}

const WITH_VLLM: &str = "python 3.11.9\\nvllm 0.32.0\\n";

fn workshop(python: &str) -> Workshop {
    let workshop = Workshop::new();
    workshop.scenario("failing", SCENARIO);
    workshop.scenario("host", PROFILE);
    let model = workshop.path().join("model");
    fs::create_dir(&model).expect("a model directory");
    fs::write(model.join("config.json"), CONFIG).expect("a config");
    fs::write(
        model.join("tokenizer.json"),
        engine::builtin_tokenizer_json(),
    )
    .expect("a tokenizer");
    let path = workshop.path().join("python");
    fs::write(&path, python).expect("an interpreter");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a program");
    workshop
}

fn run(workshop: &Workshop, more: &[&str]) -> Output {
    let begun = Instant::now();
    let mut args = vec!["--profile", "host.toml", "-m", "./model", "failing.toml"];
    args.extend(more);
    let output = workshop.runner(&args);
    assert!(begun.elapsed() < PATIENCE, "its deadline was 2 s");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    output
}

fn assert_told(output: &Output, parts: &[&str]) {
    let text = stderr(output);
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn an_engine_that_never_answers() {
    let python = interpreter(WITH_VLLM, "echo loading for ever; exec sleep 1000");
    let output = run(&workshop(&python), &[]);
    assert_told(
        &output,
        &[
            "engine `prefix` was not ready within 2 s",
            "`ready` under [timeout]",
            "loading for ever",
            "logs/prefix.log",
        ],
    );
}

#[test]
fn an_engine_that_ends_at_start_up() {
    let python = interpreter(WITH_VLLM, "echo boom: no such type; exit 7");
    let output = run(&workshop(&python), &[]);
    assert_told(
        &output,
        &[
            "engine `prefix` ended before it was ready (exit code 7",
            "boom: no such type",
            "logs/prefix.log",
        ],
    );
}

#[test]
fn a_port_that_is_taken() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener
        .local_addr()
        .expect("an address")
        .port()
        .to_string();
    let python = interpreter(WITH_VLLM, "exec sleep 1000");
    let output = run(&workshop(&python), &["-p", &port]);
    assert_told(
        &output,
        &[
            &format!("prefix: port {port} (prefix) is taken"),
            "leave out `--ports`",
            "nothing was started",
        ],
    );
}

#[test]
fn a_python_without_vllm() {
    let python = interpreter("python 3.11.9\\n", "exit 1");
    let output = run(&workshop(&python), &[]);
    assert_told(
        &output,
        &[
            "python has no vLLM",
            "`runner doctor`",
            "nothing was started",
        ],
    );
}

#[test]
fn a_model_directory_without_a_tokenizer() {
    let workshop = workshop(&interpreter(WITH_VLLM, "exec sleep 1000"));
    fs::remove_file(workshop.path().join("model/tokenizer.json")).expect("it was there");
    let output = run(&workshop, &[]);
    assert_told(
        &output,
        &[
            "model directory ./model has no tokenizer.json",
            "ci/setup-cpu-stack.sh",
            "nothing was started",
        ],
    );
}

#[test]
fn no_interpreter_is_a_skip_with_the_reason() {
    let workshop = workshop("");
    fs::remove_file(workshop.path().join("python")).expect("it was there");
    let output = workshop.runner(&["--profile", "host.toml", "-m", "./model", "failing.toml"]);
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert_told(&output, &["./python is not there", "ci/setup-cpu-stack.sh"]);
}
