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

mod cleanup;
mod kept;
mod start;
mod stop;

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

/// A core that this process may use.
fn some_core() -> u32 {
    let cores = rustix::thread::sched_getaffinity(None).expect("it may be asked");
    (0..1000)
        .find(|core| cores.is_set(*core))
        .and_then(|core| u32::try_from(core).ok())
        .expect("there is one")
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
