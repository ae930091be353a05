//! The guard by itself, as the real binary: what it reports, what it obeys, and what it leaves when its holder is gone.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use runner::process::{RUN_ID_VARIABLE, carrying};

const RUNNER: &str = env!("CARGO_BIN_EXE_runner");

/// Generous: what is waited for happens within milliseconds on an idle host.
const PATIENCE: Duration = Duration::from_secs(60);

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < give_up, "not so: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Guard {
    child: Child,
    orders: Option<ChildStdin>,
    /// Lines, read aside so that a guard that says nothing fails a test and does not hang it.
    reports: Receiver<String>,
}

impl Guard {
    /// Starts a shell script under guard.
    fn start(run_id: &str, script: &str) -> Self {
        Self::start_command(run_id, &["sh", "-c", script])
    }

    fn start_command(run_id: &str, command: &[&str]) -> Self {
        let mut child = Command::new(RUNNER)
            .arg("guard")
            .arg("--")
            .args(command)
            .env(RUN_ID_VARIABLE, run_id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary is built");
        let orders = child.stdin.take();
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, reports) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            orders,
            reports,
        }
    }

    fn order(&mut self, line: &str) {
        let orders = self.orders.as_mut().expect("it is held");
        orders.write_all(line.as_bytes()).expect("the guard reads");
    }

    fn report(&self) -> String {
        self.reports
            .recv_timeout(PATIENCE)
            .expect("the guard reports")
    }

    /// All further reports, until the guard closes its side.
    fn rest_of_reports(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.reports.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("the guard ends, after {rest:?}"),
            }
        }
    }
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn wait_for_file(path: &Path) -> String {
    eventually(&format!("{} is written", path.display()), || {
        fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
    });
    fs::read_to_string(path).expect("it was there")
}

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, fields)| !fields.starts_with('Z'))
}

/// A script that leaves its group and session in three ways, one of them without the run's id, and says where the processes are.
fn scattering_script(folder: &Path, name: &str) -> String {
    let file = |what: &str| folder.join(format!("{name}-{what}")).display().to_string();
    format!(
        "sh -c 'echo $$ > {child}; exec sleep 600' & \
         (setsid sh -c 'echo $$ > {daemon}; exec sleep 600' &) ; \
         (env -i PATH=\"$PATH\" setsid sh -c 'trap \"\" TERM HUP; echo $$ > {hidden}; sleep 600' &) ; \
         echo $$ > {main}; exec sleep 600",
        child = file("child"),
        daemon = file("daemon"),
        hidden = file("hidden"),
        main = file("main"),
    )
}

fn scattered(folder: &Path, name: &str) -> Vec<String> {
    ["child", "daemon", "hidden", "main"]
        .map(|what| wait_for_file(&folder.join(format!("{name}-{what}"))))
        .to_vec()
}

#[test]
fn an_end_of_its_own_is_reported_and_the_rest_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = scattering_script(folder.path(), "a").replace("exec sleep 600", "sleep 600");
    let script = format!(
        "{}; exit 3",
        script.rsplit_once("; sleep 600").expect("it ends so").0
    );
    let mut guard = Guard::start(&unique("own-end"), &script);
    let started = guard.report();
    let pids = scattered(folder.path(), "a");
    assert_eq!(started, format!("started {}", pids[3].trim()));
    assert_eq!(guard.rest_of_reports(), ["exited code 3", "empty"]);
    assert!(guard.child.wait().expect("it is ours").success());
    assert!(!pids.iter().any(|pid| lives(pid)), "{pids:?}");
}

#[test]
fn term_reaches_the_group_and_the_status_tells_code_from_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let up = folder.path().join("up");
    let script = format!(
        "trap 'exit 7' TERM; echo > {}; while :; do sleep 0.01; done",
        up.display()
    );
    let mut guard = Guard::start(&unique("term"), &script);
    guard.report();
    wait_for_file(&up);
    guard.order("no such order\nterm\n");
    assert_eq!(guard.rest_of_reports(), ["exited code 7", "empty"]);

    let mut guard = Guard::start(&unique("term"), "exec sleep 600");
    guard.report();
    guard.order("term\n");
    assert_eq!(guard.rest_of_reports(), ["exited signal 15", "empty"]);
}

#[test]
fn kill_takes_everything_that_ignores_term() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut guard = Guard::start(&unique("kill"), &scattering_script(folder.path(), "a"));
    guard.report();
    let pids = scattered(folder.path(), "a");
    guard.order("term\n");
    assert_eq!(guard.report(), "exited signal 15");
    assert!(lives(&pids[2]), "it ignores TERM");
    guard.order("kill\n");
    assert_eq!(guard.rest_of_reports(), ["empty"]);
    assert!(!pids.iter().any(|pid| lives(pid)), "{pids:?}");
}

#[test]
fn what_cannot_be_started_is_said() {
    let mut guard = Guard::start_command(&unique("no-start"), &["/nonexistent/program"]);
    assert_eq!(
        guard.rest_of_reports(),
        ["not-started No such file or directory (os error 2)"]
    );
    assert!(!guard.child.wait().expect("it is ours").success());
}

#[test]
fn signals_to_the_guard_itself_end_nothing() {
    let mut guard = Guard::start(&unique("signalled"), "exec sleep 600");
    guard.report();
    let pid = guard.child.id().to_string();
    for signal in ["-INT", "-TERM", "-HUP"] {
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .expect("kill is there")
                .success()
        );
    }
    guard.order("kill\n");
    assert_eq!(guard.rest_of_reports(), ["exited signal 9", "empty"]);
}

#[test]
fn a_later_guard_does_not_hold_an_earlier_ones_pipe() {
    let (first_id, second_id) = (unique("pipe-1"), unique("pipe-2"));
    let mut first = Guard::start(&first_id, "exec sleep 600");
    first.report();
    let mut second = Guard::start(&second_id, "exec sleep 600");
    second.report();
    assert_eq!(carrying(&first_id).len(), 2, "the guard and its program");
    drop(first.orders.take());
    assert_eq!(first.rest_of_reports(), ["exited signal 9", "empty"]);
    first.child.wait().expect("it is ours");
    assert_eq!(carrying(&first_id), []);
    assert_eq!(carrying(&second_id).len(), 2);
    second.order("kill\n");
    second.child.wait().expect("it is ours");
}

/// Stands in for a runner: holds two guards and is then killed, with no chance to do anything.
const HOLDER: &str = r#"
import subprocess, sys, time
runner, scratch = sys.argv[1:3]
guards = [
    subprocess.Popen([runner, "guard", "--scratch", scratch, "--", "sh", "-c", script],
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for script in sys.argv[3:]
]
print("held", flush=True)
time.sleep(600)
"#;

#[test]
fn nothing_outlives_a_holder_that_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let run_id = unique("holder");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).expect("a folder");
    let shared = PathBuf::from("/dev/shm").join(unique("kvbench-test"));
    let foreign = PathBuf::from("/dev/shm").join(unique("kvbench-test-foreign"));
    let up = folder.path().join("up");
    let shares = format!(
        "exec python3 -c 'import mmap, time
with open(\"{shared}\", \"w+b\") as file:
    file.truncate(4096)
    held = mmap.mmap(file.fileno(), 4096)
open(\"{scratch}/socket\", \"w\").close()
open(\"{up}\", \"w\").write(\"up\\n\")
time.sleep(600)'",
        shared = shared.display(),
        scratch = scratch.display(),
        up = up.display(),
    );
    let mut holder = Command::new("python3")
        .args(["-c", HOLDER, RUNNER])
        .arg(&scratch)
        .args([scattering_script(folder.path(), "a"), shares])
        .env(RUN_ID_VARIABLE, &run_id)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 is there");
    let pids = scattered(folder.path(), "a");
    wait_for_file(&up);
    fs::write(&foreign, "not of the run").expect("shared memory is writable");
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    // The holder, two guards, the four scattered processes and a child of one of them, and the sharing one.
    assert_eq!(carrying(&run_id).len(), 9);

    holder.kill().expect("it is ours");
    holder.wait().expect("it is ours");
    eventually("nothing carries the run's id", || {
        carrying(&run_id).is_empty()
    });
    eventually("the hidden one is gone", || {
        !pids.iter().any(|pid| lives(pid))
    });
    assert!(
        !shared.exists(),
        "the guard removes its tree's shared memory before it ends"
    );
    assert!(
        !scratch.exists(),
        "the last guard removes the temporary folder before it ends"
    );
    assert!(foreign.exists(), "it was not made by the run");
    fs::remove_file(foreign).expect("it is ours");
}
