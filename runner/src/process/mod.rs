//! Process life: what the plan launches is started under guard, awaited, watched, stopped, and leaves nothing behind.
//!
//! spawned ([`Supervisor::spawn`]) → ready ([`Starting::ready`]) → serving ([`Process::exited`]) → terminating ([`Process::stop`]: TERM to the group, grace,
//! KILL) → gone. Between the runner and every program stands a guard ([`guard_main`]), so that no program outlives the runner, whatever ends it.

mod ending;
mod follower;
mod guard;
mod guarded;
mod guarded_tree;
mod kept;
mod log_tail;
mod port_owner;
mod ports;
mod process_table;
mod program;
mod protocol;
mod readiness;
mod running;
mod scratch;
mod shared_memory;
mod signals;
mod start_error;
mod strays;
mod supervisor;
mod symbols;
mod usage;

use std::sync::Arc;

pub use ending::ProcessEnding;
pub use guard::{GuardArgs, guard_main};
pub use kept::Kept;
pub use port_owner::PortOwner;
pub use ports::{PortError, Ports};
pub use readiness::{ProbeError, Unready};
pub use running::{Death, Process, Starting};
pub use signals::{Interruption, Interruptions};
pub use start_error::{StartError, StartErrorKind};
pub use strays::{PROCESS_NAME_VARIABLE, RUN_ID_VARIABLE, Stray, carrying};
pub use supervisor::{FolderError, RunSettings, Supervisor, SweepReport};
pub use symbols::{Symbols, UnknownPort};
pub use usage::{Usage, trees};

/// The run's clock: ns since the run started.
pub type NowNs = Arc<dyn Fn() -> u64 + Send + Sync>;
