//! `runner guard`: stands between the runner and one program, and lets nothing of the program outlive the runner.
//!
//! Orders come over stdin, a pipe whose only write end the runner holds, so the kernel itself says when the runner is gone, whatever ended it.
//! Reports go to stdout; stderr is the program's log and receives nothing from the guard. The guard leads a session of its own, which keeps the terminal's
//! signals away, and is the subreaper of everything below it: a process that leaves its parent, its group or its session becomes the guard's child.
//! Therefore "no child left" means that nothing of the program is left.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use rustix::{
    process::{getpid, set_child_subreaper, setsid},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, sleep_until},
};

use super::{
    guarded_tree::{GuardedTree, Reaped},
    protocol::{Order, Report},
    shared_memory::{SHARED_MEMORY_FOLDER, SharedMemoryWatch, remove_unused},
};

/// How long the rest of a program may take to end by itself after its main process ended unasked: long enough for helpers that tidy up.
const LINGER: Duration = Duration::from_secs(1);

/// Shortest time between two looks at shared memory. Other processes' files wake the guard too, and a look costs CPU beside the engine.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How often, and with which pause, the guard of a dead runner tries to remove what other guards' processes may still hold.
const TIDY_ROUNDS: u32 = 100;
const TIDY_PAUSE: Duration = Duration::from_millis(20);

/// Arguments of `runner guard`.
#[derive(Debug, clap::Args)]
pub struct GuardArgs {
    /// Cores that the program is bound to.
    #[arg(long, value_delimiter = ',', value_name = "CORE,…")]
    cores: Vec<u32>,
    /// The run's temporary folder, removed when the runner is gone.
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// Program and arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs one program under guard until nothing of it is left. Success says only that; how the program ended is in the reports.
pub fn guard_main(args: &GuardArgs) -> ExitCode {
    let Ok(mut reports) = io::stdout().as_fd().try_clone_to_owned().map(Reports::new) else {
        return ExitCode::FAILURE;
    };
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(guard(args, &mut reports)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reports.send(&Report::NotStarted {
                reason: error.to_string(),
            });
            ExitCode::FAILURE
        }
    }
}

async fn guard(args: &GuardArgs, reports: &mut Reports) -> io::Result<()> {
    // Fails only for a leader of a process group, which is out of the terminal's reach as well.
    let _ = setsid();
    set_child_subreaper(Some(getpid()))?;
    let signals = Signals::install()?;
    let mut orders = Orders::open()?;
    bind_to_cores(&args.cores)?;
    let watch = SharedMemoryWatch::start(Path::new(SHARED_MEMORY_FOLDER));
    let mut tree = GuardedTree::new(start_program(&args.command)?, watch);
    reports.send(&Report::Started { pid: tree.pid() });

    watch_over(&mut tree, signals, &mut orders, reports).await;

    let mut made = tree.into_shared_files();
    (_, made) = remove_unused(Path::new(SHARED_MEMORY_FOLDER), &made);
    if orders.runner_is_gone().await {
        tidy_up(&made, args.scratch.as_deref()).await;
    }
    reports.send(&Report::Empty);
    Ok(())
}

/// Follows the orders until no process is left.
async fn watch_over(
    tree: &mut GuardedTree,
    mut signals: Signals,
    orders: &mut Orders,
    reports: &mut Reports,
) {
    let mut terminating = false;
    let mut kill_at: Option<Instant> = None;
    let mut next_look = Instant::now();
    loop {
        let kill_now = tokio::select! {
            order = orders.next() => match order {
                Some(Order::Terminate) => {
                    terminating = true;
                    kill_at = None;
                    report_shared_memory(tree, reports);
                    tree.terminate();
                    false
                }
                Some(Order::Kill) | None => true,
            },
            () = signals.child_ended() => false,
            () = async { sleep_until(next_look).await; tree.shared_memory_appeared().await } => {
                report_shared_memory(tree, reports);
                next_look = Instant::now() + LOOK_PAUSE;
                false
            }
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => true,
        };
        if kill_now {
            report_shared_memory(tree, reports);
            kill_all(tree, reports).await;
            return;
        }
        let reaped = tree.reap();
        if let Reaped {
            main_ended: Some(ending),
            ..
        } = reaped
        {
            reports.send(&Report::Exited(ending));
            if terminating {
                // The order was for the group; what had left it is told now, and the runner's own grace goes on.
                tree.terminate();
            } else {
                kill_at = Some(Instant::now() + LINGER);
            }
        }
        if reaped.none_left {
            return;
        }
    }
}

/// Kills everything, again and again: what forks while it is looked for is found in the next round.
async fn kill_all(tree: &mut GuardedTree, reports: &mut Reports) {
    let mut pause = Duration::from_millis(2);
    loop {
        tree.kill();
        sleep(pause).await;
        let reaped = tree.reap();
        if let Some(ending) = reaped.main_ended {
            reports.send(&Report::Exited(ending));
        }
        if reaped.none_left {
            return;
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn report_shared_memory(tree: &mut GuardedTree, reports: &mut Reports) {
    for file in tree.observe_shared_memory() {
        reports.send(&Report::SharedMemory(file));
    }
}

/// Does what the runner would have done at the end. Guards of one run do it side by side; the last one succeeds.
async fn tidy_up(made: &[super::shared_memory::SharedFile], scratch: Option<&Path>) {
    let mut made = made.to_vec();
    for _ in 0..TIDY_ROUNDS {
        (_, made) = remove_unused(Path::new(SHARED_MEMORY_FOLDER), &made);
        let scratch_is_gone =
            scratch.is_none_or(|folder| fs::remove_dir_all(folder).is_ok() || !folder.exists());
        if made.is_empty() && scratch_is_gone {
            return;
        }
        sleep(TIDY_PAUSE).await;
    }
}

/// Binds the guard, and so everything it starts, to the cores.
fn bind_to_cores(cores: &[u32]) -> io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let available = sched_getaffinity(None)?;
    let mut wanted = CpuSet::new();
    for core in cores {
        let index = *core as usize;
        if index >= CpuSet::MAX_CPU || !available.is_set(index) {
            return Err(io::Error::other(format!(
                "core {core} is not available to this process"
            )));
        }
        wanted.set(index);
    }
    sched_setaffinity(None, &wanted)?;
    Ok(())
}

/// Starts the program in a process group of its own, so that a signal to the group does not reach the guard.
fn start_program(command: &[OsString]) -> io::Result<std::process::Child> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no program given",
        ));
    };
    let log = io::stderr().as_fd().try_clone_to_owned()?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// The signals of interest. Those that end a process are caught and then left alone: only the runner's orders end a guard.
/// (Caught and not ignored, since the program would inherit an ignored signal.)
struct Signals {
    child: Signal,
    _caught: [Signal; 3],
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            child: signal(SignalKind::child())?,
            _caught: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    async fn child_ended(&mut self) {
        if self.child.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Orders from the runner.
struct Orders {
    lines: Lines<BufReader<pipe::Receiver>>,
}

impl Orders {
    fn open() -> io::Result<Self> {
        let stdin = io::stdin().as_fd().try_clone_to_owned()?;
        let lines = BufReader::new(pipe::Receiver::from_owned_fd(stdin)?).lines();
        Ok(Self { lines })
    }

    /// The next order; `None` when the runner is gone. Lines that are no order are passed over.
    async fn next(&mut self) -> Option<Order> {
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) => {
                    if let Some(order) = Order::parse(&line) {
                        return Some(order);
                    }
                }
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Whether the pipe has come to its end by now.
    async fn runner_is_gone(&mut self) -> bool {
        while let Ok(order) = tokio::time::timeout(Duration::from_millis(1), self.next()).await {
            if order.is_none() {
                return true;
            }
        }
        false
    }
}

/// Reports to the runner. A runner that is gone cannot read them; that is noticed on the other pipe.
struct Reports {
    pipe: File,
}

impl Reports {
    fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: File::from(pipe),
        }
    }

    fn send(&mut self, report: &Report) {
        let _ = self.pipe.write_all(report.line().as_bytes());
    }
}
