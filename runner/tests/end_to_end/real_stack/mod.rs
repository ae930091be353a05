//! Runs on real vLLM, LMCache and Redis, on the CPU. Each starts them, which takes from half a minute to minutes, so `ci/real-stack.sh` asks for them.

mod disturbed;
mod measured;

use std::{path::PathBuf, time::Duration};

use crate::support::runner;

/// A start of vLLM on a busy host.
const START: Duration = Duration::from_secs(400);

/// Whether the real engines can be started here and now; says why not.
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn can_start() -> bool {
    if std::env::var_os("KVBENCH_REAL_STACK").is_none() {
        eprintln!("skipped: KVBENCH_REAL_STACK is not set (ci/real-stack.sh sets it)");
        return false;
    }
    let doctor = std::process::Command::new(runner())
        .args(["doctor", "--profile", "cpu"])
        .output()
        .expect("doctor starts");
    // Who sets the variable wants the tests: a missing stack is no pass.
    assert!(
        doctor.status.success(),
        "the stack is missing:\n{}",
        String::from_utf8_lossy(&doctor.stdout)
    );
    true
}

/// Where `ci/setup-cpu-stack.sh` puts the interpreter and the model, and where profile `cpu` looks for them.
fn stack() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".cache/kvbench/cpu-stack")
}
