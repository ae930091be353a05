//! What a run was: versions, host, seeds, how it ended. The file `manifest.json`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The file `manifest.json`, written when the run starts and again when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`crate::plan::FORMAT`]; a reader refuses a number it does not know.
    pub format: u32,
    /// The run's id: the folder's name.
    pub run_id: String,
    /// The scenario file as the user named it.
    pub scenario_path: String,
    /// Name of the profile, and why this one.
    pub profile: String,
    /// Why this profile: `--profile`, or what `auto` found.
    pub profile_reason: String,
    /// Start by the wall clock, RFC 3339, UTC.
    pub started: String,
    /// End by the wall clock; null while it runs, and for ever if the runner was killed.
    pub ended: Option<String>,
    /// The monotonic clock (CLOCK_MONOTONIC) at the run's ns 0.
    pub started_monotonic_ns: u64,
    /// How it ended; null while it runs.
    pub ending: Option<Ending>,
    /// The runner's version.
    pub version: String,
    /// Versions of the engines and what they are made of: `vllm` → `0.24.0`.
    pub versions: IndexMap<String, String>,
    /// The host.
    pub host: Host,
    /// Git commit of the folder that the scenario lies in, where there is one.
    pub git_commit: Option<String>,
    /// The command line, secrets apart.
    pub command_line: Vec<String>,
    /// Mixed into every salt, so that no run warms another.
    pub salt_nonce: String,
    /// BLAKE3 over all prompts in order of the plan, salts apart.
    pub prompt_fingerprint: Option<String>,
    /// Every start and end of a process, with the reason of an end that nobody ordered.
    pub processes: Vec<ProcessRecord>,
    /// Time of the runner itself.
    pub client: Option<ClientRecord>,
    /// What a reader of the numbers should know.
    pub warnings: Vec<String>,
    /// Lines of logs that tell of a cache which serves without caching, the first of each kind.
    #[serde(default)]
    pub telltales: Vec<Telltale>,
}

/// A line of a process's log that a reader of the numbers should see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telltale {
    /// Index of the engine whose process it is.
    pub engine: u32,
    /// The process.
    pub process: String,
    /// The line.
    pub line: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Everything planned was asked.
    Complete,
    /// Stopped by the user.
    Interrupted,
    /// Could not go on: the reason, with the log's last lines.
    Failed { reason: String },
}

/// The host of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Operating system and kernel.
    pub system: Option<String>,
    /// The processor's name.
    pub processor: Option<String>,
    /// Cores that the runner may use.
    pub cores: Option<u32>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Devices by NVML, in its order; empty where it sees none.
    pub gpus: Vec<Gpu>,
    /// The driver's version by NVML.
    pub driver: Option<String>,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Its memory.
    pub memory_bytes: Option<u64>,
}

/// One process's life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Name of the launch.
    pub name: String,
    /// Command line as started, ports filled in.
    pub command: Vec<String>,
    /// Its process id; null when it never answered.
    #[serde(default)]
    pub pid: Option<i32>,
    /// The run that had started it, `SCENARIO/RUN`, where that was one before in the same invocation; null when this run did. Its times are then 0.
    #[serde(default)]
    pub started_by: Option<String>,
    /// The scenario of the same invocation that went on with it, so that it did not end with this run; null for one that did.
    #[serde(default)]
    pub handed_to: Option<String>,
    /// ns since the run started.
    pub started_ns: u64,
    /// When its probe was answered.
    pub ready_ns: Option<u64>,
    /// When it was told to stop.
    pub stopping_ns: Option<u64>,
    /// When it was gone.
    pub ended_ns: Option<u64>,
    /// How it ended, in words: `exit code 0`, `signal 9`.
    pub ending: Option<String>,
    /// Whether the runner asked it to.
    pub expected: Option<bool>,
    /// The log's last lines, where the end was not expected.
    pub last_lines: Vec<String>,
}

/// What the runner itself took, and how well it kept time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientRecord {
    /// CPU time of the runner's process.
    pub cpu_ns: u64,
    /// Its largest resident memory.
    pub peak_rss_bytes: Option<u64>,
    /// Largest gap of the 1 ms heartbeat on the request thread, by (experiment, trial, engine) turn: `expr_id`, `engine_id`, ns.
    pub heartbeat: Vec<Heartbeat>,
}

/// The 1 ms heartbeat of the request thread over one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The (experiment, trial) pair.
    pub expr_id: u32,
    /// The engine.
    pub engine_id: u32,
    /// Largest lateness of a beat; null when the turn was too short for one.
    pub worst_ns: Option<u64>,
    /// 99th percentile of the beats' lateness; null likewise.
    pub p99_ns: Option<u64>,
    /// CPU time of the request thread.
    pub thread_cpu_ns: u64,
    /// Length of the turn.
    pub wall_ns: u64,
}
