//! What end-to-end tests share: a scenario in an empty folder, the real binary on it, and what it left behind.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use schemas::{manifest::Manifest, row::Row};
use tempfile::TempDir;

/// Generous: a test waits for something that must happen, and only fails when it does not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs take turns: two at once would starve each other's clients, and the runner would rightly call them INVALID.
static TURN: Mutex<()> = Mutex::new(());

/// An empty folder with scenario files, and the turn to run them.
pub(crate) struct Workshop {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            // A test that failed has still ended its turn.
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a scenario file.
    pub(crate) fn scenario(&self, name: &str, text: &str) -> String {
        let file = format!("{name}.toml");
        fs::write(self.path().join(&file), text).expect("a scenario file");
        file
    }

    /// The real binary with these arguments, for a test that sets more.
    pub(crate) fn command_of_runner(&self, args: &[&str]) -> Command {
        self.command(runner(), args)
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1");
        command
    }

    /// Runs the real binary to its end.
    pub(crate) fn runner(&self, args: &[&str]) -> Output {
        self.command(runner(), args)
            .output()
            .expect("the runner starts")
    }

    /// Runs `report` to its end.
    pub(crate) fn report(&self, args: &[&str]) -> Output {
        self.command(&runner().with_file_name("report"), args)
            .output()
            .expect("report starts")
    }

    /// Starts the real binary.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(runner(), args);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the runner starts")
    }

    /// The newest run folder of a scenario.
    pub(crate) fn run_folder(&self, scenario: &str) -> PathBuf {
        let latest = self.path().join("outputs").join(scenario).join("latest");
        latest
            .canonicalize()
            .unwrap_or_else(|error| panic!("{}: {error}", latest.display()))
    }

    /// Waits until the journal of the runner's run has so many whole rows.
    pub(crate) fn wait_for_rows(&self, runner: &mut Child, scenario: &str, rows: usize) {
        wait_until("rows in the journal", || {
            if let Some(status) = runner.try_wait().expect("a status") {
                let mut text = String::new();
                let _ = runner
                    .stderr
                    .take()
                    .map(|mut stderr| stderr.read_to_string(&mut text));
                panic!("the runner ended early ({status}): {text}");
            }
            let journal = self
                .path()
                .join("outputs")
                .join(scenario)
                .join("latest/rows.jsonl");
            fs::read_to_string(journal).is_ok_and(|text| text.matches('\n').count() >= rows)
        });
    }
}

pub(crate) fn runner() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_runner"))
}

pub(crate) fn rows(folder: &Path) -> Vec<Row> {
    let text = fs::read_to_string(folder.join("rows.jsonl")).expect("a journal");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

pub(crate) fn manifest(folder: &Path) -> Manifest {
    let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("a manifest")
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Polls until it holds.
///
/// # Panics
/// When it does not hold within [`PATIENCE`].
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Engines and guards of a run: they carry a run's id and work in the folder that the runner was started in.
pub(crate) fn processes_of(run_folder: &Path) -> Vec<u32> {
    let workshop = run_folder
        .ancestors()
        .nth(3)
        .expect("outputs/SCENARIO/RUN lies in a workshop");
    let wanted = format!("{}=", runner::process::RUN_ID_VARIABLE);
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder == workshop)
        })
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable.starts_with(wanted.as_bytes()))
        })
        .collect()
}
