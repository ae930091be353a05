//! What is left of a run on real engines when something dies in the middle of it.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anstream::adapter::strip_str;
use schemas::manifest::Ending;

use super::{START, can_start};
use crate::{
    command_line, signal,
    support::{Workshop, manifest, processes_of, rows},
};

/// Enough requests that a test can interfere, short enough that one takes a fraction of a second.
const WORKLOAD: &str = r#"
question = "What is left when a run is disturbed?"

[workload.shared-context]
context-length = 512
reuse-count = 4
contexts = 4
query-length = 16
output-length = 16

[engine.vllm]
kind = "vllm"
"#;
const PREFIX: &str = "backend.prefix = {}";
const HOST_MEMORY: &str = "backend.local-cpu = { capacity = \"1GB\" }";
const REDIS: &str = "backend.remote.redis = { capacity = \"1GB\" }";

/// How long anything may be left of a run whose runner is gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long an orderly end may take with streams open.
const ORDERLY_WITHIN: Duration = Duration::from_secs(15);

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
    fn start(backend: &str) -> Self {
        let workshop = Workshop::new();
        workshop.scenario("disturbed", &format!("{WORKLOAD}{backend}\n"));
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

    fn folder(&self) -> PathBuf {
        self.workshop.run_folder("disturbed")
    }

    /// A process of the run by its command line.
    fn process(&self, is: impl Fn(&str) -> bool) -> u32 {
        let mut processes = processes_of(&self.folder()).into_iter();
        processes
            .find(|pid| is(&command_line(*pid)))
            .expect("such a process")
    }

    /// Waits until the runner has ended: its exit code and what it said.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends").code(), said)
    }

    fn assert_nothing_is_left(&self, since: Instant) {
        let folder = self.folder();
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
fn nothing_is_left_of_vllm() {
    if !can_start() {
        return;
    }
    a_killed_runner(PREFIX);
    a_killed_guard();
    ctrl_c_with_streams_open();
}

#[test]
fn nothing_is_left_of_vllm_lmcache_and_redis() {
    if can_start() {
        a_killed_runner(REDIS);
    }
}

#[test]
fn a_redis_that_dies_ends_the_run() {
    if can_start() {
        an_undeclared_death(REDIS, "redis-server", "vllm.remote");
    }
}

#[test]
fn an_lmcache_server_that_dies_ends_the_run() {
    if can_start() {
        an_undeclared_death(HOST_MEMORY, "lmcache.cli.main", "vllm.lmcache");
    }
}

/// The process that a guard started.
fn child_of(guard: u32) -> u32 {
    let parent = format!("\nPPid:\t{guard}\n");
    let mut processes = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/status"))
                .is_ok_and(|status| status.contains(&parent))
        })
        .expect("what it guards")
}

fn a_killed_runner(backend: &str) {
    let mut run = UnderWay::start(backend);
    run.child.kill().expect("SIGKILL");
    let killed = Instant::now();
    run.child.wait().expect("it is gone");
    run.assert_nothing_is_left(killed);
}

fn a_killed_guard() {
    let mut run = UnderWay::start(PREFIX);
    let guard = run.process(|line| line.contains(" guard "));
    signal(guard, "KILL");
    let killed = Instant::now();
    run.assert_nothing_is_left(killed);
    let (code, said) = run.end();
    assert_eq!(code, Some(3), "{said}");
}

fn ctrl_c_with_streams_open() {
    let mut run = UnderWay::start(PREFIX);
    signal(run.child.id(), "INT");
    let asked = Instant::now();
    let status = run.child.wait().expect("it ends");
    assert!(asked.elapsed() < ORDERLY_WITHIN, "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(130));
    run.assert_nothing_is_left(asked);
    let folder = run.folder();
    assert_eq!(manifest(&folder).ending, Some(Ending::Interrupted));
}

/// Kills the process that was started with these words: the run ends at once, says which `process` it was and quotes its log.
fn an_undeclared_death(backend: &str, command: &str, process: &str) {
    let mut run = UnderWay::start(backend);
    // Redis gives itself another command line and another folder; its guard keeps them.
    let guard = run.process(|line| line.contains(" guard ") && line.contains(command));
    signal(child_of(guard), "KILL");
    let killed = Instant::now();
    let (code, said) = run.end();
    assert!(killed.elapsed() < ORDERLY_WITHIN, "{:?}", killed.elapsed());
    assert_eq!(code, Some(3), "{said}");
    let folder = run.folder();
    let Some(Ending::Failed { reason }) = manifest(&folder).ending else {
        panic!("the manifest does not tell of the death: {said}");
    };
    assert!(reason.contains(process), "{reason}");
    let log = fs::read_dir(folder.join("logs")).expect("logs").flatten();
    let log = log
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(process)
        })
        .expect("a log of the dead");
    let log = fs::read_to_string(log).expect("a log");
    // A child of the dead (Python's resource tracker) may write on after it was quoted.
    let quoted = reason.lines().last().expect("a quotation").trim();
    let mut last = log.lines().rev().take(5);
    assert!(
        last.any(|line| {
            let line = strip_str(line).to_string();
            line.trim().starts_with(quoted.trim_end_matches('…'))
        }),
        "{reason}\nis not how the log ends"
    );
    assert!(!rows(&folder).is_empty());
    run.assert_nothing_is_left(killed);
}
