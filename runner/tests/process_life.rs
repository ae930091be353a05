//! The life of supervised processes, from start to sweep, with the real guard.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use indexmap::IndexMap;
use runner::process::{
    Ports, Process, ProcessEnding, RunSettings, StartError, StartErrorKind, Supervisor,
    SweepReport, carrying,
};
use schemas::plan::{Launch, Probe, Role};
use tokio_util::sync::CancellationToken;

/// Generous: what is waited for happens within a second on an idle host.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run of its own for each test.
struct Run {
    folder: tempfile::TempDir,
    run_id: String,
    supervisor: Supervisor,
    ports: Ports,
}

impl Run {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let run_id = format!("{name}-{}", std::process::id());
        let origin = Instant::now();
        let supervisor = Supervisor::new(RunSettings {
            run_id: run_id.clone(),
            run_folder: folder.path().to_owned(),
            executable: PathBuf::from(env!("CARGO_BIN_EXE_runner")),
            now_ns: Arc::new(move || {
                u64::try_from(origin.elapsed().as_nanos()).expect("a short test")
            }),
        })
        .expect("folders can be made");
        Self {
            folder,
            run_id,
            supervisor,
            ports: Ports::new(),
        }
    }

    async fn start(&mut self, launch: &Launch) -> Result<Process, Box<StartError>> {
        self.supervisor
            .spawn(launch, &mut self.ports)?
            .ready(PATIENCE, &CancellationToken::new())
            .await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("logs/{name}.log"))).expect("it was written")
    }

    async fn assert_nothing_is_left(self) {
        assert_eq!(carrying(&self.run_id), []);
        assert_eq!(self.supervisor.sweep().await, SweepReport::default());
    }
}

/// A shell script that is ready once it wrote a line with `up`.
fn script(name: &str, script: &str) -> Launch {
    Launch {
        name: name.to_owned(),
        role: Role::Engine,
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: IndexMap::new(),
        files: IndexMap::new(),
        ports: IndexMap::new(),
        probe: Probe::LogLine {
            contains: "up".to_owned(),
        },
        metrics_url: None,
        grace_ns: 30_000_000_000,
        cores: None,
    }
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn kill_9(pid: i32) {
    let status = std::process::Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status();
    assert!(status.expect("kill is there").success());
}

fn wait_for_pid(path: &Path) -> impl Future<Output = String> {
    let path = path.to_owned();
    async move {
        eventually("the pid is written", || {
            fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'))
        })
        .await;
        fs::read_to_string(&path)
            .expect("it was there")
            .trim()
            .to_owned()
    }
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

#[tokio::test]
async fn a_server_is_started_asked_and_stopped() {
    let mut run = Run::new("server");
    let mut launch = script("web", "");
    launch.command = ["python3", "serve.py", "{port.web}"]
        .map(str::to_owned)
        .to_vec();
    launch.command[1] = "{run}/conf/serve.py".to_owned();
    launch.files.insert(
        "{run}/conf/serve.py".to_owned(),
        "import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        names = ('KVBENCH_RUN_ID', 'KVBENCH_PROCESS', 'GREETING')
        self.wfile.write(' '.join(os.environ[name] for name in names).encode())
        self.wfile.write(f' {len(os.environ[\"TMPDIR\"])} {sorted(os.sched_getaffinity(0))}'.encode())
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"
        .to_owned(),
    );
    launch
        .env
        .insert("GREETING".to_owned(), "at-{port.web}".to_owned());
    launch.ports.insert("web".to_owned(), None);
    launch.cores = Some(vec![0]);
    run.ports.reserve(&launch).expect("there are free ports");
    let port = run.ports.number("web").expect("it was reserved");
    let contains = format!("{} web at-{port} ", run.run_id);
    launch.probe = Probe::Http {
        url: "http://127.0.0.1:{port.web}/".to_owned(),
        contains: Some(contains),
    };

    for _start_and_restart in 0..2 {
        let process = run.start(&launch).await.expect("it serves");
        assert_eq!(
            run.ports.number("web"),
            Some(port),
            "a restart keeps its port"
        );
        assert_eq!(process.record().command.last(), Some(&port.to_string()));
        let record = process.stop().await;
        let ready_ns = record.ready_ns.expect("it was ready");
        let stopping_ns = record.stopping_ns.expect("it was told");
        assert!(
            record.started_ns < ready_ns && ready_ns <= stopping_ns,
            "{record:?}"
        );
        assert!(
            record.ended_ns.expect("it is gone") >= stopping_ns,
            "{record:?}"
        );
        assert_eq!(record.ending.as_deref(), Some("exit code 0"));
        assert_eq!(
            (record.expected, record.last_lines),
            (Some(true), Vec::new())
        );
    }
    assert_eq!(
        run.log("web").matches("GET / ").count(),
        2,
        "one answered question a start"
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn cores_bind_and_missing_ones_are_named() {
    let mut run = Run::new("cores");
    let mut launch = script(
        "bound",
        "grep Cpus_allowed_list /proc/self/status; echo up; exec sleep 600",
    );
    launch.cores = Some(vec![0]);
    let process = run.start(&launch).await.expect("it is up");
    assert!(
        run.log("bound").starts_with("Cpus_allowed_list:\t0\n"),
        "{}",
        run.log("bound")
    );
    process.kill().await;
    launch.cores = Some(vec![0, 1000]);
    let error = run.start(&launch).await.expect_err("no host has so many");
    let text = error.to_string();
    assert_eq!(
        text,
        "engine `bound` could not be started: core 1000 is not available to this process"
    );
    assert!(error.record.is_none());
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn both_streams_are_in_the_log_in_order() {
    let mut run = Run::new("streams");
    let launch = script(
        "both",
        "echo one; echo two >&2; echo three; echo up >&2; exec sleep 600",
    );
    let process = run.start(&launch).await.expect("it is up");
    assert_eq!(process.log(), run.path("logs/both.log"));
    assert_eq!(run.log("both"), "one\ntwo\nthree\nup\n");
    process.kill().await;
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_end_before_readiness_quotes_the_last_lines_of_this_start() {
    let mut run = Run::new("early-end");
    let launch = script("engine", "echo of the first start; exit 1");
    run.start(&launch).await.expect_err("it ends");
    let mut launch = script(
        "engine",
        "echo loading; echo 'RuntimeError: no such device' >&2; exit 3",
    );
    launch.probe = Probe::Http {
        url: "http://127.0.0.1:{port.http}/".to_owned(),
        contains: None,
    };
    launch.ports.insert("http".to_owned(), None);
    let error = run.start(&launch).await.expect_err("it ends");
    assert!(matches!(
        error.kind,
        StartErrorKind::Exited {
            ending: ProcessEnding::ExitCode(3),
            ..
        }
    ));
    let record = error.record.as_ref().expect("there was a process");
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("exit code 3"), Some(false))
    );
    let text = error.to_string();
    let (before, rest) = text.split_once(" after ").expect("a time is told");
    assert_eq!(
        before,
        "engine `engine` ended before it was ready (exit code 3"
    );
    let (_, quoted) = rest.split_once('\n').expect("lines are quoted");
    let log = run.path("logs/engine.log");
    assert_eq!(
        quoted,
        format!(
            "  its last lines ({}):\n    loading\n    RuntimeError: no such device",
            log.display()
        )
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn not_ready_by_the_deadline_says_what_was_found_and_ends_it() {
    let mut run = Run::new("deadline");
    let launch = script("slow", "echo still loading; exec sleep 600");
    let starting = run
        .supervisor
        .spawn(&launch, &mut run.ports)
        .expect("it starts");
    assert_eq!(starting.log(), run.path("logs/slow.log"));
    let deadline = Duration::from_millis(400);
    let error = starting
        .ready(deadline, &CancellationToken::new())
        .await
        .expect_err("it never is");
    let text = error.to_string();
    let first = "engine `slow` was not ready within 0.4 s: the awaited line is not in its log\n";
    assert!(
        text.starts_with(first) && text.ends_with("):\n    still loading"),
        "{text}"
    );
    assert_eq!(
        error.record.expect("there was a process").expected,
        Some(true)
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_cancelled_start_leaves_nothing() {
    let mut run = Run::new("cancelled");
    let launch = script("slow", "exec sleep 600");
    let starting = run
        .supervisor
        .spawn(&launch, &mut run.ports)
        .expect("it starts");
    let cancel = CancellationToken::new();
    let (result, ()) = tokio::join!(starting.ready(PATIENCE, &cancel), async { cancel.cancel() });
    assert!(matches!(
        result.expect_err("it was cancelled").kind,
        StartErrorKind::Cancelled
    ));
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_missing_program_is_told_with_the_path_that_was_searched() {
    let mut run = Run::new("missing");
    let mut launch = script("engine", "");
    launch.command[0] = "no-such-engine".to_owned();
    launch
        .env
        .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let error = run.start(&launch).await.expect_err("it is not there");
    assert_eq!(
        error.to_string(),
        "engine `engine` could not be started: program `no-such-engine` not found in PATH (/usr/bin:/bin)"
    );
    launch.command[0] = "{run}/venv/bin/python".to_owned();
    let error = run.start(&launch).await.expect_err("it is not there");
    let program = run.path("venv/bin/python");
    assert_eq!(
        error.to_string(),
        format!(
            "engine `engine` could not be started: program `{}` not found",
            program.display()
        )
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_taken_port_names_its_owner_and_nothing_starts() {
    let mut run = Run::new("taken");
    let mut launch = script("engine", "echo up");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let number = taken.local_addr().expect("it is bound").port();
    launch.ports.insert("http".to_owned(), Some(number));
    let error = run.start(&launch).await.expect_err("it is taken");
    let pid = std::process::id();
    let expected =
        format!("engine `engine` could not be started: port {number} is taken by pid {pid} (");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(!run.path("logs/engine.log").exists());
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn what_ignores_term_is_killed_after_its_grace() {
    let mut run = Run::new("grace");
    let mut launch = script(
        "deaf",
        "trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done",
    );
    launch.grace_ns = 300_000_000;
    let record = run.start(&launch).await.expect("it is up").stop().await;
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("signal 9"), Some(true))
    );
    assert!(run.log("deaf").contains("heard"), "TERM came first");
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_second_interruption_turns_a_stop_into_a_kill() {
    let mut run = Run::new("kill-now");
    let launch = script(
        "deaf",
        "trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done",
    );
    let process = run.start(&launch).await.expect("it is up");
    let kill_now = run.supervisor.kill_now().clone();
    let log = run.path("logs/deaf.log");
    let (record, ()) = tokio::join!(process.stop(), async {
        eventually("TERM came", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("heard"))
        })
        .await;
        kill_now.cancel();
    });
    assert_eq!(record.ending.as_deref(), Some("signal 9"));
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_unasked_end_is_told_and_an_asked_one_is_not() {
    let mut run = Run::new("unasked");
    let launch = script("engine", "echo up; echo 'last words'; exec sleep 600");
    let process = run.start(&launch).await.expect("it is up");
    kill_9(process.pid().expect("it runs"));
    let death = tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    assert_eq!(
        (death.name.as_str(), death.ending),
        ("engine", ProcessEnding::Signal(9))
    );
    assert_eq!(death.last_lines, ["up", "last words"]);
    assert!(
        death
            .to_string()
            .starts_with("engine `engine` ended unasked (signal 9 after "),
        "{death}"
    );
    let record = process.stop().await;
    assert_eq!((record.expected, record.stopping_ns), (Some(false), None));
    assert_eq!(record.last_lines, ["up", "last words"]);

    let process = run.start(&launch).await.expect("it is up");
    let exited = process.exited();
    process.stop().await;
    let told = tokio::time::timeout(Duration::from_millis(200), exited).await;
    assert!(told.is_err(), "{told:?}");
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn when_a_guard_is_killed_what_it_guarded_is_cleaned_up() {
    let mut run = Run::new("no-guard");
    let (own_session, no_id) = (run.path("own-session"), run.path("no-id"));
    let text = format!(
        "(setsid sh -c 'echo $$ > {}; sleep 600' &); \
         (env -i PATH=\"$PATH\" sh -c 'echo $$ > {}; sleep 600' &); echo up; exec sleep 600",
        own_session.display(),
        no_id.display()
    );
    let process = run.start(&script("engine", &text)).await.expect("it is up");
    let neighbour = run
        .start(&script("neighbour", "echo up; exec sleep 600"))
        .await
        .expect("it is up");
    let pids = [wait_for_pid(&own_session).await, wait_for_pid(&no_id).await];
    let main = process.pid().expect("it runs").to_string();
    kill_9(process.guard_pid());
    let death = tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    assert_eq!(death.ending, ProcessEnding::GuardLost);
    for pid in pids.iter().chain([&main]) {
        assert!(!lives(pid), "{pid}");
    }
    let record = process.stop().await;
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("its guard was killed"), Some(false))
    );
    assert_eq!(
        carrying(&run.run_id).len(),
        2,
        "the neighbour and its guard are left alone"
    );
    neighbour.stop().await;
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_dropped_process_is_killed() {
    let mut run = Run::new("dropped");
    let process = run
        .start(&script("engine", "trap '' TERM; echo up; sleep 600"))
        .await
        .expect("it is up");
    let starting = run
        .supervisor
        .spawn(&script("other", "exec sleep 600"), &mut run.ports)
        .expect("it starts");
    drop((process, starting));
    eventually("nothing is left", || carrying(&run.run_id).is_empty()).await;
}

#[tokio::test]
async fn shared_memory_of_the_run_is_removed_and_no_other() {
    let mut run = Run::new("shared");
    let shared = PathBuf::from(format!("/dev/shm/kvbench-test-{}", run.run_id));
    let foreign = PathBuf::from(format!("/dev/shm/kvbench-test-foreign-{}", run.run_id));
    let mut launch = script("sharing", "");
    let text = format!(
        "import mmap, time
with open('{}', 'w+b') as file:
    file.truncate(4096)
    held = mmap.mmap(file.fileno(), 4096)
print('up', flush=True)
time.sleep(600)",
        shared.display()
    );
    launch.command = ["python3", "-c", &text].map(str::to_owned).to_vec();
    let process = run.start(&launch).await.expect("it is up");
    fs::write(&foreign, "x").expect("it can be made");
    kill_9(process.guard_pid());
    tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    process.stop().await;
    assert!(
        shared.exists(),
        "the guard that would have removed it was killed"
    );
    let name = shared
        .file_name()
        .expect("it has one")
        .to_string_lossy()
        .into_owned();
    assert_eq!(
        run.supervisor.sweep().await,
        SweepReport {
            shared_memory: vec![name],
            ..SweepReport::default()
        }
    );
    assert!(!shared.exists() && foreign.exists());
    fs::remove_file(foreign).expect("it is ours");
}

#[tokio::test]
async fn a_sweep_kills_strays_and_removes_the_temporary_folder() {
    let mut run = Run::new("sweep");
    let launch = script(
        "engine",
        "echo $TMPDIR > {run}/scratch; touch $TMPDIR/left; echo up; exec sleep 600",
    );
    let process = run.start(&launch).await.expect("it is up");
    let scratch = PathBuf::from(wait_for_pid(&run.path("scratch")).await);
    process.stop().await;
    assert!(scratch.join("left").exists());
    let mut stray = std::process::Command::new("sleep")
        .arg("600")
        .env(runner::process::RUN_ID_VARIABLE, &run.run_id)
        .spawn()
        .expect("sleep is there");
    let report = run.supervisor.sweep().await;
    assert_eq!(report.strays.len(), 1);
    assert_eq!(report.strays[0].pid.unsigned_abs(), stray.id());
    assert_eq!(report.left, [""; 0]);
    assert!(!stray.wait().expect("it is ours").success());
    assert!(!scratch.exists());
}
