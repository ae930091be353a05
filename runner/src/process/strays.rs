//! Finds and kills processes of a run that nobody guards any more.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::{
    process_table::{ProcessEntry, descendants, environment_holds, processes},
    shared_memory::SharedMemoryWatch,
};

/// The environment variable that carries the run's id in every process of a run.
pub const RUN_ID_VARIABLE: &str = "KVBENCH_RUN_ID";

/// The environment variable that carries the launch's name.
pub const PROCESS_NAME_VARIABLE: &str = "KVBENCH_PROCESS";

/// How long processes are killed again and again before the rest is given up: the kernel holds them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two rounds.
const ROUND: Duration = Duration::from_millis(5);

/// A process of a run that had lost its guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// Its id.
    pub pid: i32,
    /// Its name.
    pub name: String,
}

/// What tells that a process belongs to a run, or to one launch of it.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// The run's id, looked for in the environment.
    pub(super) run_id: String,
    /// The launch's name; `None` for all of the run.
    pub(super) process: Option<String>,
    /// The session that a guard had opened; it stays with its members when the guard dies. A process may overwrite its
    /// environment (many servers do, for a title), but it cannot take another's session.
    pub(super) session: Option<i32>,
}

impl Mark {
    fn environment(&self) -> Vec<String> {
        let mut wanted = vec![format!("{RUN_ID_VARIABLE}={}", self.run_id)];
        if let Some(process) = &self.process {
            wanted.push(format!("{PROCESS_NAME_VARIABLE}={process}"));
        }
        wanted
    }
}

/// All living processes that carry the run's id in their environment, and what descends from them. Blocks for the moment
/// that it takes a program just started to show its environment.
pub fn carrying(run_id: &str) -> Vec<Stray> {
    let mark = Mark {
        run_id: run_id.to_owned(),
        process: None,
        session: None,
    };
    let give_up = std::time::Instant::now() + PATIENCE;
    loop {
        let look = find(&mark);
        if look.is_certain || std::time::Instant::now() > give_up {
            return look.strays;
        }
        std::thread::sleep(ROUND);
    }
}

/// One look at the host's processes.
struct Look {
    /// The living processes that bear the mark, and what descends from them.
    strays: Vec<Stray>,
    /// No process was within `exec`, where nothing tells whose it is.
    is_certain: bool,
}

fn find(mark: &Mark) -> Look {
    let own = std::process::id();
    let wanted = mark.environment();
    let table = processes();
    let mut is_certain = true;
    let mut bears_mark = |entry: &ProcessEntry| {
        mark.session == Some(entry.session)
            || environment_holds(entry.pid, &wanted).unwrap_or_else(|| {
                is_certain = false;
                false
            })
    };
    let mut pids: Vec<i32> = table
        .iter()
        .filter(|entry| entry.pid.unsigned_abs() != own && bears_mark(entry))
        .map(|entry| entry.pid)
        .collect();
    pids.extend(descendants(&table, &pids));
    let strays = table
        .into_iter()
        .filter(|entry| pids.contains(&entry.pid))
        .map(|entry| Stray {
            pid: entry.pid,
            name: entry.name,
        })
        .collect();
    Look { strays, is_certain }
}

/// Kills everything that bears the mark, until a look finds none for certain; what it holds in shared memory is noted first. Returns each process that was found, once.
pub(super) async fn kill_until_none(
    mark: &Mark,
    shared_memory: &Mutex<SharedMemoryWatch>,
) -> Vec<Stray> {
    let give_up = Instant::now() + PATIENCE;
    let mut killed: Vec<Stray> = Vec::new();
    loop {
        let found = find(mark);
        if (found.strays.is_empty() && found.is_certain) || Instant::now() > give_up {
            return killed;
        }
        let pids: Vec<i32> = found.strays.iter().map(|stray| stray.pid).collect();
        shared_memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(&pids);
        for stray in found.strays {
            kill(stray.pid);
            if !killed.contains(&stray) {
                killed.push(stray);
            }
        }
        sleep(ROUND).await;
    }
}

/// KILL to one process. That it is gone already, the only likely error, is as good.
pub(super) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn sleeper(run_id: &str, name: &str) -> std::process::Child {
        Command::new("sleep")
            .arg("600")
            .env(RUN_ID_VARIABLE, run_id)
            .env(PROCESS_NAME_VARIABLE, name)
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep is there")
    }

    #[tokio::test]
    async fn only_what_bears_the_mark_is_killed() {
        let run_id = format!("strays-{}", std::process::id());
        let mut wanted = sleeper(&run_id, "a");
        let mut other = sleeper(&run_id, "b");
        let mut foreign = sleeper(&format!("{run_id}-other"), "a");
        assert_eq!(carrying(&run_id).len(), 2);

        let mark = Mark {
            run_id: run_id.clone(),
            process: Some("a".to_owned()),
            session: None,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let watch = Mutex::new(SharedMemoryWatch::unwoken(folder.path()));
        let killed = kill_until_none(&mark, &watch).await;
        assert_eq!(killed.len(), 1);
        assert_eq!(killed[0].pid.unsigned_abs(), wanted.id());
        assert_eq!(killed[0].name, "sleep");
        assert!(!wanted.wait().expect("it was ours").success());
        assert_eq!(carrying(&run_id).len(), 1);

        for child in [&mut other, &mut foreign] {
            assert!(
                child.try_wait().expect("it is ours").is_none(),
                "it was not to be killed"
            );
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
    }
}
