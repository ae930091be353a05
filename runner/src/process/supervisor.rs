//! Starts a run's processes under guard, follows their guards, and leaves nothing behind.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use schemas::{manifest::ProcessRecord, plan::Launch};
use tokio::{process::Command, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    NowNs,
    follower::Follower,
    guarded::{Guarded, Life},
    log_tail::LogTail,
    ports::Ports,
    program::{find_program, write_private_file},
    readiness::Readiness,
    running::Starting,
    scratch::create_scratch,
    shared_memory::{SHARED_MEMORY_FOLDER, SharedMemoryWatch, remove_unused},
    start_error::{StartError, StartErrorKind},
    strays::{Mark, PROCESS_NAME_VARIABLE, RUN_ID_VARIABLE, Stray, kill_until_none},
    symbols::Symbols,
};

/// How often, and with which pause, shared memory that somebody still holds is looked at again at the end.
const SWEEP_ROUNDS: u32 = 10;
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// What a supervisor has to know of the run.
#[derive(Clone)]
pub struct RunSettings {
    /// The run's id, unique on the host.
    pub run_id: String,
    /// The run folder, absolute. Logs go to its `logs`.
    pub run_folder: PathBuf,
    /// The runner's executable, which is also the guard's.
    pub executable: PathBuf,
    /// The run's clock.
    pub now_ns: NowNs,
}

/// A folder that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the folder {}", path.display())]
pub struct FolderError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Starts a run's processes and cleans up after them.
pub struct Supervisor {
    pub(super) settings: RunSettings,
    scratch: PathBuf,
    kill_now: CancellationToken,
    /// Files in shared memory that processes of the run made: what guards report, and what is seen when a guard was lost.
    shared_memory: Arc<Mutex<SharedMemoryWatch>>,
}

/// What was left of a run when all its processes had been stopped; normally nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Processes that had to be killed.
    pub strays: Vec<Stray>,
    /// Names of files removed from shared memory.
    pub shared_memory: Vec<String>,
    /// What could not be removed, in words.
    pub left: Vec<String>,
}

impl Supervisor {
    /// Makes the folder for logs, and the run's temporary folder.
    ///
    /// # Errors
    ///
    /// One of the two cannot be made.
    pub fn new(settings: RunSettings) -> Result<Self, FolderError> {
        let logs = settings.run_folder.join("logs");
        fs::create_dir_all(&logs).map_err(|source| FolderError { path: logs, source })?;
        let scratch = create_scratch().map_err(|source| FolderError {
            path: env::temp_dir(),
            source,
        })?;
        let kill_now = CancellationToken::new();
        let shared_memory = SharedMemoryWatch::unwoken(Path::new(SHARED_MEMORY_FOLDER));
        Ok(Self {
            settings,
            scratch,
            kill_now,
            shared_memory: Arc::new(Mutex::new(shared_memory)),
        })
    }

    /// A supervisor for one process that may outlive this run: what it starts carries an id of its own and has a temporary folder of its own, so that the
    /// end of this run passes it over. It logs into this run's folder, and hears the same order to kill.
    ///
    /// # Errors
    ///
    /// Its temporary folder cannot be made.
    pub fn apart(&self, name: &str) -> Result<Self, FolderError> {
        let mut apart = Self::new(RunSettings {
            run_id: format!("{}-{name}", self.settings.run_id),
            ..self.settings.clone()
        })?;
        apart.kill_now = self.kill_now.clone();
        Ok(apart)
    }

    /// To be cancelled when nothing is to be waited for any more: every stop under way turns into a kill.
    pub fn kill_now(&self) -> &CancellationToken {
        &self.kill_now
    }

    /// The symbols of this run's launches.
    pub fn symbols<'a>(&'a self, ports: &'a Ports) -> Symbols<'a> {
        Symbols {
            ports,
            run_folder: &self.settings.run_folder,
            executable: &self.settings.executable,
        }
    }

    /// Starts a launch under guard, inside a runtime. [`Starting::ready`] waits for its answer.
    ///
    /// # Errors
    ///
    /// What prevents the start; no process was made then.
    pub fn spawn(&self, launch: &Launch, ports: &mut Ports) -> Result<Starting, Box<StartError>> {
        let log = LogTail::from_now(
            self.settings
                .run_folder
                .join("logs")
                .join(format!("{}.log", launch.name)),
        );
        self.try_spawn(launch, ports, log.clone()).map_err(|kind| {
            Box::new(StartError {
                name: launch.name.clone(),
                role: launch.role,
                log: log.path().to_owned(),
                record: None,
                kind,
            })
        })
    }

    fn try_spawn(
        &self,
        launch: &Launch,
        ports: &mut Ports,
        log: LogTail,
    ) -> Result<Starting, StartErrorKind> {
        ports.reserve(launch).map_err(StartErrorKind::Port)?;
        let prepared = self.prepare(launch, ports, &log)?;
        let log_file = open_log(log.path())?;
        ports.release(launch).map_err(StartErrorKind::Port)?;
        let started_ns = (self.settings.now_ns)();
        let mut guard = self
            .guard_command(launch, &prepared)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(|error| StartErrorKind::Spawn {
                reason: format!("{}: {error}", self.settings.executable.display()),
            })?;
        let (Some(orders), Some(reports), Some(guard_pid)) =
            (guard.stdin.take(), guard.stdout.take(), guard.id())
        else {
            return Err(StartErrorKind::Spawn {
                reason: "the guard has no pipes".to_owned(),
            });
        };
        let guard_pid = guard_pid.cast_signed();
        let (sender, life) = watch::channel(Life::default());
        let follower = Follower {
            life: sender,
            mark: Mark {
                run_id: self.settings.run_id.clone(),
                process: Some(launch.name.clone()),
                session: Some(guard_pid),
            },
            shared_memory: Arc::clone(&self.shared_memory),
            now_ns: Arc::clone(&self.settings.now_ns),
        };
        tokio::spawn(follower.follow(guard, reports));
        let guarded = Guarded {
            role: launch.role,
            log,
            born_ns: started_ns,
            behind_ns: 0,
            grace: Duration::from_nanos(launch.grace_ns),
            guard_pid,
            orders,
            life,
            asked: Arc::new(AtomicBool::new(false)),
            kill_now: self.kill_now.clone(),
            now_ns: Arc::clone(&self.settings.now_ns),
            record: new_record(launch, prepared.command, started_ns),
        };
        Ok(Starting {
            guarded,
            readiness: prepared.readiness,
        })
    }

    /// Fills symbols, finds the program, writes the files.
    fn prepare(
        &self,
        launch: &Launch,
        ports: &Ports,
        log: &LogTail,
    ) -> Result<Prepared, StartErrorKind> {
        let symbols = self.symbols(ports);
        let fill = |text: &String| symbols.fill(text).map_err(StartErrorKind::UnknownPort);
        let command: Vec<String> = launch.command.iter().map(fill).collect::<Result<_, _>>()?;
        let environment: Vec<(String, String)> = launch
            .env
            .iter()
            .map(|(name, value)| Ok((name.clone(), fill(value)?)))
            .collect::<Result<_, _>>()?;
        let readiness =
            Readiness::new(&launch.probe, symbols, log).map_err(StartErrorKind::Probe)?;
        let search_path = environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map(|(_, value)| OsString::from(value))
            .or_else(|| env::var_os("PATH"))
            .unwrap_or_default();
        let program = command.first().cloned().unwrap_or_default();
        let Some(program_path) = find_program(&program, &search_path) else {
            let search_path =
                (!program.contains('/')).then(|| search_path.to_string_lossy().into_owned());
            return Err(StartErrorKind::ProgramNotFound {
                program,
                search_path,
            });
        };
        for (path, content) in &launch.files {
            let (path, content) = (PathBuf::from(fill(path)?), fill(content)?);
            write_private_file(&path, &content)
                .map_err(|source| StartErrorKind::File { path, source })?;
        }
        Ok(Prepared {
            program_path,
            command,
            environment,
            readiness,
        })
    }

    /// The guard's command; its environment becomes the program's.
    fn guard_command(&self, launch: &Launch, prepared: &Prepared) -> Command {
        let mut guard = Command::new(&self.settings.executable);
        guard.arg("guard").arg("--scratch").arg(&self.scratch);
        if let Some(cores) = &launch.cores {
            let cores: Vec<String> = cores.iter().map(u32::to_string).collect();
            guard.arg("--cores").arg(cores.join(","));
        }
        guard
            .arg("--")
            .arg(&prepared.program_path)
            .args(prepared.command.iter().skip(1))
            .env("TMPDIR", &self.scratch)
            // Python programs that set their title overwrite their environment otherwise, and the run's id in it.
            .env("SPT_NOENV", "1")
            .envs(
                prepared
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .env(RUN_ID_VARIABLE, &self.settings.run_id)
            .env(PROCESS_NAME_VARIABLE, &launch.name);
        guard
    }

    /// Removes what is left once all processes have been stopped: strays, their files in shared memory, the temporary folder.
    pub async fn sweep(self) -> SweepReport {
        let mark = Mark {
            run_id: self.settings.run_id.clone(),
            process: None,
            session: None,
        };
        let mut report = SweepReport {
            strays: kill_until_none(&mark, &self.shared_memory).await,
            ..SweepReport::default()
        };
        let mut made = self
            .shared_memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .owned()
            .to_vec();
        for _ in 0..SWEEP_ROUNDS {
            let (removed, held) = remove_unused(Path::new(SHARED_MEMORY_FOLDER), &made);
            report.shared_memory.extend(removed);
            made = held;
            if made.is_empty() {
                break;
            }
            sleep(SWEEP_PAUSE).await;
        }
        report.left.extend(made.into_iter().map(|file| {
            format!(
                "{SHARED_MEMORY_FOLDER}/{}: held by a process outside the run",
                file.name
            )
        }));
        if let Err(error) = fs::remove_dir_all(&self.scratch) {
            report
                .left
                .push(format!("{}: {error}", self.scratch.display()));
        }
        report
    }
}

/// A run that ends without a sweep, by a panic say, still takes its temporary folder with it.
impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// A launch with its symbols filled.
struct Prepared {
    program_path: PathBuf,
    command: Vec<String>,
    environment: Vec<(String, String)>,
    readiness: Readiness,
}

fn open_log(path: &Path) -> Result<File, StartErrorKind> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| StartErrorKind::File {
            path: path.to_owned(),
            source,
        })
}

fn new_record(launch: &Launch, command: Vec<String>, started_ns: u64) -> ProcessRecord {
    ProcessRecord {
        name: launch.name.clone(),
        command,
        pid: None,
        started_by: None,
        handed_to: None,
        started_ns,
        ready_ns: None,
        stopping_ns: None,
        ended_ns: None,
        ending: None,
        expected: None,
        last_lines: Vec::new(),
    }
}
