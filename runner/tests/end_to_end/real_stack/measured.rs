//! Measurements of real engines that are not the runner's own, or that do not keep what they promise.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use reports::validity::InvalidReason;
use schemas::row::{Outcome, RequestKind};

use super::{START, can_start, stack};
use crate::{
    attached::{self, KEY, KEY_VARIABLE, free_port},
    signal,
    support::{Workshop, rows, stderr},
};

/// A vLLM that a person started. Ends with the test.
struct ByHand {
    child: Child,
    port: u16,
}

impl ByHand {
    /// With the stack's model under its path as name, its own prefix cache, and these arguments besides.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let port = free_port();
        let model = stack().join("model");
        let log = fs::File::create(folder.join("vllm.log")).expect("a log");
        let mut child = Command::new(stack().join("venv/bin/python"))
            .args(["-m", "vllm.entrypoints.openai.api_server", "--model"])
            .arg(&model)
            .arg("--served-model-name")
            .arg(&model)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--enforce-eager", "--block-size", "128"])
            .args(["--enable-prefix-caching", "--enable-prompt-tokens-details"])
            .args(more)
            .env("VLLM_CPU_KVCACHE_SPACE", "1")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("vLLM starts");
        let begun = Instant::now();
        // It listens only when its engine has become ready.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = child.try_wait().expect("a status");
            assert!(
                ended.is_none() && begun.elapsed() < START,
                "{ended:?}: {}",
                fs::read_to_string(folder.join("vllm.log")).unwrap_or_default()
            );
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        Self { child, port }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // An orderly end, so that its engine process ends too.
        signal(self.child.id(), "TERM");
        let _ = self.child.wait();
    }
}

/// Asks a vLLM that runs already, and finds the tokens that its own counters tell.
fn assert_attached(workshop: &Workshop, scheme: &str, port: u16, variables: &[(&str, &str)]) {
    let key = if variables.is_empty() {
        String::new()
    } else {
        format!(", api-key-env = \"{KEY_VARIABLE}\"")
    };
    workshop.scenario(
        "attached",
        &format!(
            r#"
question = "Is a vLLM measured that runs already?"

[workload.shared-context]
context-length = 512
reuse-count = 4
query-length = 16
output-length = 8

[engine.attached]
attach = {{ url = "{scheme}://127.0.0.1:{port}"{key} }}
backend.prefix = {{}}
"#
        ),
    );
    let mut command = workshop.command_of_runner(&["--profile", "cpu", "attached.toml"]);
    let output = command
        .env_remove(KEY_VARIABLE)
        .envs(variables.iter().copied())
        .output()
        .expect("the runner starts");
    // Without cores of its own the client may be starved; nothing else may be wrong.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 6)), "{}", stderr(&output));
    let folder = workshop.run_folder("attached");
    let rows = rows(&folder);
    assert_eq!(rows.len(), 12, "3 trials of 4 requests");
    for row in rows {
        assert_eq!(row.outcome, Outcome::Ok, "{row:?}");
        assert_eq!(row.prompt_tokens, row.planned_prompt_tokens);
        let cached = row.cached_tokens.expect("vLLM tells");
        assert_eq!(cached > 0, row.kind == RequestKind::Reused, "{row:?}");
    }
    let found = reports::report(&folder).expect("a report");
    let mut reasons = found
        .analysis()
        .experiments
        .iter()
        .flat_map(|one| &one.invalid);
    assert!(
        reasons.all(|reason| matches!(
            reason,
            InvalidReason::ClientLate { .. } | InvalidReason::ClientStarved { .. }
        )),
        "{}",
        stderr(&output)
    );
    attached::assert_key_is_nowhere(workshop, &output);
}

#[test]
fn a_vllm_that_runs_already_over_http() {
    if !can_start() {
        return;
    }
    let workshop = Workshop::new();
    let vllm = ByHand::start(workshop.path(), &[]);
    assert_attached(&workshop, "http", vllm.port, &[]);
}

#[test]
fn a_vllm_that_runs_already_over_https_with_a_key() {
    if !can_start() {
        return;
    }
    let workshop = Workshop::new();
    let away = tempfile::tempdir().expect("a folder");
    let [certificate, secret] = attached::certificate(away.path());
    let encrypted = ["--ssl-certfile", &certificate, "--ssl-keyfile", &secret];
    let vllm = ByHand::start(away.path(), &[&encrypted[..], &["--api-key", KEY]].concat());
    let variables = [(KEY_VARIABLE, KEY), ("SSL_CERT_FILE", &certificate)];
    assert_attached(&workshop, "https", vllm.port, &variables);
}

/// LMCache in the engine's process finds no connector for a CPU: everything is answered and nothing is kept.
#[test]
fn a_cache_that_never_engages_is_invalid() {
    if !can_start() {
        return;
    }
    let workshop = Workshop::new();
    workshop.scenario(
        "silent",
        r#"
question = "Does a cache that never engages pass for one?"

[workload.shared-context]
context-length = 512
reuse-count = 4
query-length = 16
output-length = 8

[engine.lmcache]
kind = "vllm"
lmcache.mode = "in-process"
backend.local-cpu = { capacity = "1GB" }
"#,
    );
    let output = workshop.runner(&["--profile", "cpu", "silent.toml"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    let folder = workshop.run_folder("silent");
    assert!(
        rows(&folder).iter().all(|row| row.outcome == Outcome::Ok),
        "it serves"
    );
    let found = reports::report(&folder).expect("a report");
    let mut reasons = found
        .analysis()
        .experiments
        .iter()
        .flat_map(|one| &one.invalid);
    let quoted = reasons.find_map(|reason| match reason {
        InvalidReason::HitMissing { log_line, .. } => Some(log_line),
        _ => None,
    });
    let line = quoted.expect("no hits is a reason").as_deref();
    let line = line.expect("LMCache's own words");
    assert!(line.contains("No supported cpu connector found"), "{line}");
    assert!(said.contains(line), "{said}");
}
