//! Process life under real vLLM. Each test starts it, which takes from half a minute to minutes, so `ci/real-stack.sh` asks for them.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use schemas::manifest::Ending;

use crate::support::{Workshop, manifest, processes_of, runner, stderr};

/// Enough requests that a test can interfere, short enough that one takes a fraction of a second.
const SCENARIO: &str = r#"
question = "What is left of real vLLM when a run is disturbed?"

[workload.shared-context]
context-length = 512
reuse-count = 4
contexts = 4
query-length = 16
output-length = 16

[engine.vllm]
kind = "vllm"
backend.prefix = {}
"#;

/// A start of vLLM on a busy host.
const START: Duration = Duration::from_secs(400);
/// How long anything may be left of a run whose runner is gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long an orderly end may take with streams open.
const ORDERLY_WITHIN: Duration = Duration::from_secs(15);

/// Whether real vLLM can be started here and now; says why not.
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
    if !doctor.status.success() {
        eprintln!(
            "skipped: the stack is missing\n{}",
            String::from_utf8_lossy(&doctor.stdout)
        );
    }
    doctor.status.success()
}

fn shared_memory() -> BTreeSet<String> {
    let entries = fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// A run whose requests are under way, on a port that is known.
struct UnderWay {
    workshop: Workshop,
    child: Child,
    port: u16,
    shared_memory_before: BTreeSet<String>,
}

impl UnderWay {
    fn start() -> Self {
        let workshop = Workshop::new();
        workshop.scenario("disturbed", SCENARIO);
        let shared_memory_before = shared_memory();
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let child = workshop.start(&[
            "--profile",
            "cpu",
            "disturbed.toml",
            "-p",
            &port.to_string(),
        ]);
        let begun = Instant::now();
        let journal = workshop.path().join("outputs/disturbed/latest/rows.jsonl");
        while !fs::read_to_string(&journal).is_ok_and(|text| text.contains('\n')) {
            assert!(begun.elapsed() < START, "vLLM did not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self {
            workshop,
            child,
            port,
            shared_memory_before,
        }
    }

    fn assert_nothing_is_left(&self, since: Instant) {
        let folder = self.workshop.run_folder("disturbed");
        loop {
            let left = self.left(&folder);
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < GONE_WITHIN, "left: {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn left(&self, folder: &Path) -> Vec<String> {
        let mut left: Vec<String> = processes_of(folder)
            .iter()
            .map(|pid| format!("process {pid}"))
            .collect();
        if TcpListener::bind(("127.0.0.1", self.port)).is_err() {
            left.push(format!("port {}", self.port));
        }
        let ours = |name: &&String| name.starts_with("psm_") || name.starts_with("sem.mp-");
        left.extend(
            shared_memory()
                .difference(&self.shared_memory_before)
                .filter(ours)
                .cloned(),
        );
        left
    }
}

/// One after another: two vLLMs on two cores would wait for each other past every deadline.
#[test]
fn nothing_is_left_of_real_vllm() {
    if !can_start() {
        return;
    }
    a_killed_runner();
    a_killed_guard();
    ctrl_c_with_streams_open();
}

fn a_killed_runner() {
    let mut run = UnderWay::start();
    run.child.kill().expect("SIGKILL");
    let killed = Instant::now();
    run.child.wait().expect("it is gone");
    run.assert_nothing_is_left(killed);
}

fn a_killed_guard() {
    let run = UnderWay::start();
    let folder = run.workshop.run_folder("disturbed");
    let guard = processes_of(&folder)
        .into_iter()
        .find(|pid| crate::command_line(*pid).contains(" guard "))
        .expect("a guard");
    crate::signal(guard, "KILL");
    let killed = Instant::now();
    run.assert_nothing_is_left(killed);
    let output = run.child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

fn ctrl_c_with_streams_open() {
    let mut run = UnderWay::start();
    crate::signal(run.child.id(), "INT");
    let asked = Instant::now();
    let status = run.child.wait().expect("it ends");
    assert!(asked.elapsed() < ORDERLY_WITHIN, "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    run.assert_nothing_is_left(asked);
    let folder = run.workshop.run_folder("disturbed");
    assert_eq!(manifest(&folder).ending, Some(Ending::Interrupted));
}
