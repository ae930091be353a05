//! Everything that descends from a guard: signalling it, collecting it, knowing when nothing is left.

use std::process::Child;

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, wait},
};

use super::{
    ending::ProcessEnding,
    process_table::{descendants, processes},
    shared_memory::{SharedFile, SharedMemoryWatch},
    strays,
};

/// Everything that descends from this process, the guard.
pub(super) struct GuardedTree {
    main: Pid,
    /// Once collected, the main process's id may belong to a stranger: no signal goes to it or its group any more.
    main_is_collected: bool,
    shared_memory: SharedMemoryWatch,
}

/// What a round of collecting dead children found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    /// The main process ended, seen in this round.
    pub(super) main_ended: Option<ProcessEnding>,
    /// No child is left. The guard is a subreaper, so nothing of the program is.
    pub(super) none_left: bool,
}

impl GuardedTree {
    /// The tree below the guard, whose main process was just started.
    pub(super) fn new(main: Child, shared_memory: SharedMemoryWatch) -> Self {
        // The handle is let go: children are collected here all together, adopted ones included.
        let main = Pid::from_child(&main);
        Self {
            main,
            main_is_collected: false,
            shared_memory,
        }
    }

    /// Id of the main process and of its group.
    pub(super) fn pid(&self) -> i32 {
        self.main.as_raw_nonzero().get()
    }

    /// TERM to the main process's group; once that is gone, to everything left.
    pub(super) fn terminate(&self) {
        if self.main_is_collected {
            for pid in Self::members().into_iter().filter_map(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        } else {
            let _ = kill_process_group(self.main, Signal::TERM);
        }
    }

    /// KILL to everything.
    pub(super) fn kill(&self) {
        if !self.main_is_collected {
            let _ = kill_process_group(self.main, Signal::KILL);
        }
        for pid in Self::members() {
            strays::kill(pid);
        }
    }

    /// Collects all children that have ended, adopted ones included.
    pub(super) fn reap(&mut self) -> Reaped {
        let mut main_ended = None;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main && !self.main_is_collected => {
                    self.main_is_collected = true;
                    main_ended = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Some(ProcessEnding::ExitCode(code)),
                        (None, signal) => signal.map(ProcessEnding::Signal),
                    };
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => {
                    return Reaped {
                        main_ended,
                        none_left: false,
                    };
                }
                Err(_) => {
                    return Reaped {
                        main_ended,
                        none_left: true,
                    };
                }
            }
        }
    }

    /// Waits until some file appears in shared memory.
    pub(super) async fn shared_memory_appeared(&self) {
        self.shared_memory.appeared().await;
    }

    /// Files in shared memory that the tree is seen to have made since the last look.
    pub(super) fn observe_shared_memory(&mut self) -> Vec<SharedFile> {
        self.shared_memory.observe(&Self::members())
    }

    /// All files in shared memory that the tree was seen to have made.
    pub(super) fn into_shared_files(self) -> Vec<SharedFile> {
        self.shared_memory.owned().to_vec()
    }

    fn members() -> Vec<i32> {
        descendants(&processes(), &[getpid().as_raw_nonzero().get()])
    }
}
