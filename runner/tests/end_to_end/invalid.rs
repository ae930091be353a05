//! Every reason for INVALID, provoked on the real binary, and beside each a run that comes near it and stays VALID.
//!
//! Engines are paced: they sleep instead of computing, so that the client has the host to itself. What a busy host does to the client anyhow is allowed in the runs
//! that are about something else.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reports::{
    analysis::Analysis,
    validity::{Flag, InvalidReason},
};

use crate::{
    attached::ByHand,
    command_line,
    forger::{self, Answer, Forger, with_number},
    signal,
    support::{Workshop, processes_of, stderr},
};

const NAME: &str = "judged";

/// A run and what its report says.
struct Judged {
    output: Output,
    analysis: Analysis,
}

impl Judged {
    fn of(workshop: &Workshop, output: Output) -> Self {
        let folder = workshop.run_folder(NAME);
        let analysis = reports::report(&folder)
            .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
            .analysis()
            .clone();
        Self { output, analysis }
    }

    fn reasons(&self) -> impl Iterator<Item = &InvalidReason> {
        let experiments = self.analysis.experiments.iter();
        experiments.flat_map(|experiment| &experiment.invalid)
    }

    /// INVALID for this reason, and the shell is told.
    fn assert_invalid(&self, code: i32, is: impl Fn(&InvalidReason) -> bool) {
        let reasons: Vec<_> = self.reasons().collect();
        assert!(
            self.reasons().any(is),
            "{reasons:?}: {}",
            stderr(&self.output)
        );
        assert_eq!(
            self.output.status.code(),
            Some(code),
            "{}",
            stderr(&self.output)
        );
    }

    /// VALID, but for what a busy host does to the client.
    fn assert_valid(&self) {
        let host = |reason: &&InvalidReason| {
            matches!(
                reason,
                InvalidReason::ClientLate { .. } | InvalidReason::ClientStarved { .. }
            )
        };
        let others: Vec<_> = self.reasons().filter(|reason| !host(reason)).collect();
        assert!(others.is_empty(), "{others:?}: {}", stderr(&self.output));
        let hosts = self.reasons().filter(host).count();
        let code = self.output.status.code();
        assert!(
            code == Some(0) || (hosts > 0 && code == Some(6)),
            "{code:?}: {}",
            stderr(&self.output)
        );
    }
}

/// An engine that a person started, which sleeps 60 ms a request, with these tiers.
fn by_hand(folder: &Path, name: &str, model: &str, tiers: &[&str]) -> ByHand {
    let script = folder.join("script.toml");
    fs::write(
        &script,
        "base-latency = \"60ms\"\ntime-per-output-token = \"5ms\"\n",
    )
    .expect("a script");
    let mut args = vec![
        "--paced",
        script.to_str().expect("a path"),
        "--model",
        model,
    ];
    args.extend(["--served-model-name", name]);
    args.extend(tiers);
    ByHand::start_with(&args)
}

const TIER: [&str; 2] = ["--local-cpu", "1000000000"];

/// One engine at a port, asked for five requests of one context three times over.
fn attached(port: u16, backend: &str) -> String {
    format!(
        r#"
question = "May this run be believed?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 512
reuse-count = 5
query-length = 16
output-length = 8

[engine.attached]
attach = {{ url = "http://127.0.0.1:{port}" }}
backend.{backend}

[trials]
at-least = 3
"#
    )
}

const PROMISES: &str = "local-cpu = { capacity = \"1GB\" }";
const NONE: &str = "none = {}";

/// Runs one attached engine behind a forger.
fn forged(tiers: &[&str], backend: &str, forger: Forger) -> Judged {
    let workshop = Workshop::new();
    let engine = by_hand(workshop.path(), "builtin:tiny", "builtin:tiny", tiers);
    let port = forger::start(forger, engine.port);
    run(&workshop, &attached(port, backend))
}

fn run(workshop: &Workshop, scenario: &str) -> Judged {
    let file = workshop.scenario(NAME, scenario);
    let output = workshop.runner(&["--profile", "builtin", &file]);
    Judged::of(workshop, output)
}

fn as_it_is(line: fn(Answer, String) -> String) -> Forger {
    Forger {
        line,
        without_tokenize: false,
    }
}

#[test]
fn an_engine_declared_without_a_cache_has_one() {
    let found = forged(&TIER, NONE, as_it_is(|_, line| line));
    found.assert_invalid(6, |reason| {
        matches!(reason, InvalidReason::ColdWasCached { requests: 12, .. })
    });
    forged(&[], NONE, as_it_is(|_, line| line)).assert_valid();
}

/// Has every cold request report so many cached tokens, which must be of one digit.
fn cold_hit(line: fn(Answer, String) -> String) -> (Judged, u32) {
    let found = forged(&TIER, PROMISES, as_it_is(line));
    let point = &found.analysis.experiments[0].engines[0].points[0];
    let template = point.prompt_tokens.expect("usage") - (512 + 16);
    (found, template)
}

#[test]
fn a_cold_request_was_hit_beyond_its_template() {
    let (found, template) = cold_hit(|answer, line| {
        if answer.later {
            line
        } else {
            with_number(&line, "cached_tokens", |_| 9)
        }
    });
    assert!(
        template < 9,
        "the template of the built-in engine has {template} tokens"
    );
    found.assert_invalid(6, |reason| {
        matches!(
            reason,
            InvalidReason::ColdWasCached {
                requests: 3,
                worst_cached_tokens: 9,
                ..
            }
        )
    });
}

#[test]
fn hits_that_were_promised_are_missing() {
    forged(&[], PROMISES, as_it_is(|_, line| line)).assert_invalid(6, |reason| {
        matches!(reason, InvalidReason::HitMissing { requests: 12, .. })
    });
    // One later request of four is not hit: the median is.
    forged(
        &TIER,
        PROMISES,
        as_it_is(|answer, line| {
            if answer.later && answer.number % 4 == 0 {
                with_number(&line, "cached_tokens", |_| 0)
            } else {
                line
            }
        }),
    )
    .assert_valid();
}

/// Asks an engine again and again while the runner measures it.
fn with_company(context_words: usize, most: usize) -> Judged {
    let workshop = Workshop::new();
    let engine = by_hand(workshop.path(), "builtin:tiny", "builtin:tiny", &TIER);
    let file = workshop.scenario(NAME, &attached(engine.port, PROMISES));
    let prompt = "a b ".repeat(context_words);
    // It is warm before the run begins.
    ask(engine.port, &prompt);
    let over = Arc::new(AtomicBool::new(false));
    let company = {
        let (port, over) = (engine.port, Arc::clone(&over));
        std::thread::spawn(move || {
            for _ in 0..most {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                ask(port, &prompt);
            }
        })
    };
    let output = workshop.runner(&["--profile", "builtin", &file]);
    over.store(true, Ordering::Relaxed);
    company.join().expect("the company");
    Judged::of(&workshop, output)
}

fn ask(port: u16, prompt: &str) {
    let body = format!(
        "{{\"model\":\"builtin:tiny\",\"max_tokens\":1,\"messages\":[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]}}"
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the engine");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("a head");
    stream.write_all(body.as_bytes()).expect("a body");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn somebody_else_uses_the_engine() {
    with_company(2000, usize::MAX).assert_invalid(6, |reason| {
        matches!(reason, InvalidReason::CountersDisagree { .. })
    });
    // Less than a chunk a request in all.
    with_company(200, 2).assert_valid();
}

#[test]
fn prompts_are_longer_than_planned() {
    let without_tokenize = |line| Forger {
        line,
        without_tokenize: true,
    };
    let longer =
        without_tokenize(|_, line| with_number(&line, "prompt_tokens", |tokens| tokens + 1));
    forged(&TIER, PROMISES, longer).assert_invalid(6, |reason| {
        matches!(reason, InvalidReason::PromptLengthOff { requests: 15, .. })
    });
    forged(&TIER, PROMISES, without_tokenize(|_, line| line)).assert_valid();
}

/// One paced engine of the runner's own.
fn paced(arrival: &str, requests: u32, paced: &str) -> String {
    format!(
        r#"
question = "May this run be believed?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 512
reuse-count = {requests}
query-length = 16
output-length = 2

{arrival}

[engine.slow]
kind = "builtin"
backend.local-cpu = {{ capacity = "1GB" }}
paced = {{ {paced} }}

[trials]
at-least = 1
"#
    )
}

/// Stops the runner for a while once it has so many rows.
fn stopped(scenario: &str, rows: usize, pause: Duration) -> Judged {
    let workshop = Workshop::new();
    let file = workshop.scenario(NAME, scenario);
    let mut child = workshop.start(&["--profile", "builtin", &file]);
    workshop.wait_for_rows(&mut child, NAME, rows);
    signal(child.id(), "STOP");
    std::thread::sleep(pause);
    signal(child.id(), "CONT");
    let output = child.wait_with_output().expect("it ends");
    Judged::of(&workshop, output)
}

const PAUSE: Duration = Duration::from_millis(300);

#[test]
fn the_client_is_late() {
    let every = |interval: &str| format!("[arrival.constant]\ninterval = \"{interval}\"");
    let scenario = paced(&every("50ms"), 60, "base-latency = \"200ms\"");
    stopped(&scenario, 5, PAUSE).assert_invalid(
        6,
        |reason| matches!(reason, InvalidReason::ClientLate { late_s, .. } if *late_s > 0.1),
    );
    // A third of that, between two requests, and short against the time to first token: neither late nor starved.
    let scenario = paced(&every("2s"), 3, "base-latency = \"1500ms\"");
    stopped(&scenario, 1, PAUSE / 3).assert_valid();
}

#[test]
fn the_client_is_starved() {
    let closed = "[arrival.closed]\nconcurrency = 1";
    let scenario = paced(closed, 20, "base-latency = \"200ms\"");
    let found = stopped(&scenario, 5, PAUSE);
    found.assert_invalid(6, |reason| {
        matches!(reason, InvalidReason::ClientStarved { heartbeat_worst_s, .. } if *heartbeat_worst_s > 0.25)
    });
    assert!(
        !found
            .reasons()
            .any(|reason| matches!(reason, InvalidReason::ClientLate { .. })),
        "a closed loop follows the replies and cannot be late"
    );
    let scenario = paced(closed, 4, "base-latency = \"1500ms\"");
    stopped(&scenario, 1, PAUSE / 3).assert_valid();
}

#[test]
fn an_engine_ends_unasked() {
    let closed = "[arrival.closed]\nconcurrency = 1";
    let workshop = Workshop::new();
    let file = workshop.scenario(NAME, &paced(closed, 40, "base-latency = \"100ms\""));
    let mut child = workshop.start(&["--profile", "builtin", &file]);
    workshop.wait_for_rows(&mut child, NAME, 3);
    let engine = processes_of(&workshop.run_folder(NAME))
        .into_iter()
        .find(|pid| {
            command_line(*pid).contains(" engine ") && !command_line(*pid).contains(" guard ")
        })
        .expect("an engine");
    signal(engine, "KILL");
    let output = child.wait_with_output().expect("it ends");
    // That the run could not go on is worse than INVALID.
    Judged::of(&workshop, output).assert_invalid(3, |reason| {
        matches!(reason, InvalidReason::EngineRestarted { process, .. } if process == "slow")
    });
    drop(workshop);

    // An engine that fails requests and stays up.
    let failures = "base-latency = \"60ms\", fail = [{ request = 4, how = \"http500\" }, { request = 6, how = \"cut\", after-events = 1 }]";
    let workshop = Workshop::new();
    let found = run(&workshop, &paced(closed, 10, failures));
    found.assert_valid();
    let flags = &found.analysis.experiments[0].flags;
    assert!(
        flags
            .iter()
            .any(|flag| matches!(flag, Flag::Failures { requests: 2, .. })),
        "{flags:?}"
    );
}

/// A model directory whose weights count as trained: the built-in shape and tokenizer beside a file of weights.
fn trained_model(folder: &Path) -> String {
    let model = folder.join("model");
    engine::write_builtin_model("builtin:tiny", &model).expect("a model");
    fs::write(model.join("model.safetensors"), b"weights").expect("weights");
    model.to_str().expect("a path").to_owned()
}

/// Two engines, one with a tier behind a forger, one that recomputes.
fn two_engines(line: fn(Answer, String) -> String) -> Judged {
    let workshop = Workshop::new();
    let model = trained_model(workshop.path());
    let cached = by_hand(workshop.path(), &model, "builtin:tiny", &TIER);
    let plain = by_hand(workshop.path(), &model, "builtin:tiny", &[]);
    let port = forger::start(as_it_is(line), cached.port);
    let scenario = attached(port, PROMISES).replace("builtin:tiny", &model).replace("reuse-count = 5", "reuse-count = 9").replace(
        "[trials]",
        &format!("[engine.plain]\nattach = {{ url = \"http://127.0.0.1:{}\" }}\nbackend.none = {{}}\n\n[trials]", plain.port),
    );
    run(&workshop, &scenario)
}

/// Other characters in the text of an event: whatever word the model says, this is another.
fn other_words(line: &str) -> String {
    let marked = "\"content\":\"";
    let Some(at) = line.find(marked) else {
        return line.to_owned();
    };
    let from = at + marked.len();
    let text = &line[from..];
    let end = text.find('"').unwrap_or(0);
    let altered: String = text[..end].chars().map(another).collect();
    format!("{}{altered}{}", &line[..from], &text[end..])
}

/// Another character of as many bytes, but for blanks and what JSON reads as a sign.
fn another(character: char) -> char {
    match character {
        '!' => '#',
        '[' => ']',
        '~' => '!',
        '#'..='[' | ']'..='}' => char::from(character as u8 + 1),
        as_it_is => as_it_is,
    }
}

#[test]
fn every_word_has_another() {
    for character in (b'!'..=b'~').map(char::from) {
        let kept = matches!(character, '"' | '\\');
        assert_eq!(another(character) == character, kept, "{character}");
        assert!(
            kept || !matches!(another(character), '"' | '\\'),
            "{character}"
        );
    }
}

#[test]
fn a_tier_gives_other_words_back() {
    two_engines(|answer, line| if answer.later { other_words(&line) } else { line }).assert_invalid(
        6,
        |reason| matches!(reason, InvalidReason::FirstTokenDiffers { reused_share, .. } if *reused_share > 0.9),
    );
    // One reply of four is no more than three cold replies leave open.
    two_engines(|answer, line| {
        if answer.later && answer.number % 4 == 0 {
            other_words(&line)
        } else {
            line
        }
    })
    .assert_valid();
}
