//! The plan of a run as data: what will be started, and what will be asked when.
//!
//! `runner` computes it from a scenario and a profile without clock, random state or I/O; the same file and seed give the same bytes.
//! It is printed by `--dry-run`, written to `plan.json`, and read by `reports`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    profile::Residency,
    row::RequestKind,
    scenario::{EngineKind, Expect, Goodput, Metric},
};

/// Version of the plan's and the run folder's format.
pub const FORMAT: u32 = 1;

/// Everything a run will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario file's stem.
    pub scenario: String,
    /// The scenario's question.
    pub question: String,
    /// Name of the profile.
    pub profile: String,
    /// Seed of texts, gaps and orders.
    pub seed: u64,
    /// The model as declared and as run.
    pub model: Model,
    /// How the engines live together.
    pub residency: Residency,
    /// Engines in the file's order; `engine_id` is the index.
    pub engines: Vec<EnginePlan>,
    /// The workload's matrix.
    pub experiments: Vec<Experiment>,
    /// Repetitions.
    pub trials: TrialPlan,
    /// Everything that runs otherwise than the scenario says.
    pub substitutions: Vec<Substitution>,
    /// What cannot run here, with the reason; counted and shown.
    pub skipped: Vec<Skipped>,
    /// What makes the run a test.
    pub expectations: Vec<Expect>,
    /// What happens to processes while requests run, in every trial.
    #[serde(default)]
    pub events: Vec<EventPlan>,
    /// Limits that a request has to keep to count as good.
    pub goodput: Option<Goodput>,
    /// What a user should know before the run starts.
    pub warnings: Vec<String>,
    /// Deadline for a process to answer.
    pub ready_timeout_ns: u64,
    /// Deadline for a request.
    pub request_timeout_ns: u64,
}

impl Plan {
    /// Index of the engine that the others are compared with: one without a backend, of several the one that an expectation is relative to, else the
    /// first. Where all have one, the first that an expectation is relative to, else the first of the file. `None` with one engine.
    pub fn baseline(&self) -> Option<usize> {
        if self.engines.len() < 2 {
            return None;
        }
        let named = self
            .expectations
            .iter()
            .filter_map(|expect| expect.relative_to.as_deref())
            .find_map(|name| self.engines.iter().position(|engine| engine.name == name));
        named
            .filter(|index| self.engines[*index].baseline)
            .or_else(|| self.engines.iter().position(|engine| engine.baseline))
            .or(named)
            .or(Some(0))
    }
}

/// The model as declared and as run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// What the scenario (or `-m`) says.
    pub declared: String,
    /// `builtin:NAME` or a directory or a hub name: what the engines get.
    pub used: String,
    /// Name that requests carry.
    pub served_name: String,
    /// Bytes of KV cache per token over all layers, where the shape is known.
    pub kv_bytes_per_token: Option<u64>,
    /// Longest prompt and output together, where known.
    pub max_length: Option<u32>,
    /// Number format of weights and KV values that the model states, `bfloat16`.
    pub dtype: Option<String>,
    /// The weights are random: times are real, texts are not.
    pub random_weights: bool,
    /// The model comes without weights, so an engine has to make random ones.
    #[serde(default)]
    pub weights_missing: bool,
}

/// One engine of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnginePlan {
    /// Name in the scenario file.
    pub name: String,
    /// Which engine; null when attached.
    pub kind: Option<EngineKind>,
    /// The stack of tiers in words, near to far: `none`, `local-cpu 20GB`, `prefix + redis`.
    pub backend: String,
    /// The tiers near to far; empty for `none` and when unknown.
    pub tiers: Vec<Tier>,
    /// `backend.none`: what the others are compared with.
    pub baseline: bool,
    /// The backend promises hits, so that a reused request without them makes the experiment INVALID.
    pub promises_hits: bool,
    /// Tokens that are found and loaded as one.
    pub chunk_tokens: u32,
    /// Times are scripted: the run checks the suite and says nothing of an engine.
    pub paced: bool,
    /// Accelerators that it takes; 0 on a CPU and when attached.
    #[serde(default)]
    pub devices: u32,
    /// Which, by NVML's index; empty where it takes the first that it sees.
    #[serde(default)]
    pub device_indices: Vec<u32>,
    /// Lines of its processes' logs that a reader of the report has to see: texts that such a line contains.
    #[serde(default)]
    pub telltales: Vec<String>,
    /// Processes in the order of their start: sidecars first, the engine last. Empty when attached.
    pub launches: Vec<Launch>,
    /// Base URL when attached.
    pub attach: Option<AttachPlan>,
}

/// One place where KV is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// `prefix`, `local-cpu`, `local-disk`, `remote.redis`, …
    pub name: String,
    /// Its size, where it is bounded and known.
    pub capacity_bytes: Option<u64>,
    /// The directory that holds its files, with symbols; null for a tier that has none on this host.
    #[serde(default)]
    pub path: Option<String>,
}

/// Something that happens to processes while requests run: once in every trial, on each engine that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPlan {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: EventAction,
    /// To what.
    pub targets: Vec<EventTarget>,
    /// The schedule waits until the target is ready again.
    pub hold: bool,
}

/// When an event happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// So many ns after the trial's first intended request.
    AtNs(u64),
    /// When so many requests are done.
    AfterRequest(u32),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventAction {
    /// Stopped in order, and started again.
    Restart,
    /// KILL to the process group.
    Kill,
    /// STOP to the process group.
    Pause,
    /// CONT to the process group.
    Resume,
    /// Files get other bytes of the same size.
    Corrupt,
}

/// To what an event happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTarget {
    /// Index of the engine whose process or tier it is.
    pub engine: u32,
    /// Name of the launch, or of the tier as the scenario writes it: `disk.local-disk`.
    pub name: String,
}

/// One target of an event as it happened: a line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When it began, ns since the run started.
    pub at_ns: u64,
    /// When it was done: a restarted process answered again.
    pub done_ns: u64,
    /// Index of the experiment.
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// Index of the engine.
    pub engine: u32,
    /// What.
    pub action: EventAction,
    /// To what: the launch or tier by its name.
    pub target: String,
}

/// An engine that runs already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachPlan {
    /// Base URL, without `/v1`.
    pub url: String,
    /// Name of the environment variable that holds the key.
    pub api_key_env: Option<String>,
}

/// One process to start. Ports are symbolic: `{port.NAME}` in arguments, environment, files and probe stands for a free port that the runner finds;
/// `{run}` for the run folder; `{self}` for the runner's own executable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Name of the process, unique in the run: `lmcache`, `lmcache.remote`. Also its log's name.
    pub name: String,
    /// What it is to the engine.
    pub role: Role,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment on top of the runner's own.
    pub env: IndexMap<String, String>,
    /// Files to write before the start, path (with symbols) to content.
    pub files: IndexMap<String, String>,
    /// Symbolic ports that this process binds, with a fixed number where the user gave one.
    pub ports: IndexMap<String, Option<u16>>,
    /// How to see that it answers.
    pub probe: Probe,
    /// Where its counters are: a URL with symbols, Prometheus text.
    pub metrics_url: Option<String>,
    /// Time between TERM and KILL for its process group.
    pub grace_ns: u64,
    /// Cores that it is bound to.
    pub cores: Option<Vec<u32>>,
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Engine,
    Sidecar,
}

/// How to see that a process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// GET gives 200, and the body contains the text where one is given.
    Http {
        url: String,
        contains: Option<String>,
    },
    /// A line of the log contains the text.
    LogLine { contains: String },
    /// A Redis-protocol command is answered by a reply that contains the text.
    Redis {
        address: String,
        command: Vec<String>,
        contains: String,
    },
    /// Each of these, one after the other.
    All(Vec<Probe>),
}

/// One point of the workload's matrix on all engines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Workload kind: `shared-context`, ….
    pub workload: String,
    /// The values of this point by the scenario's key, in the file's order: `context-length` → 4096.
    pub point: IndexMap<String, serde_json::Value>,
    /// Its name in tables: what varies between experiments, `context 4096`.
    pub label: String,
    /// Longest context in tokens.
    pub context_tokens: u32,
    /// When requests are sent.
    pub arrival: ArrivalPlan,
    /// Requests of one trial on one engine, in order of release.
    pub requests: Vec<PlannedRequest>,
    /// Per engine (file order): cached tokens that each request should report; null where nothing is promised.
    pub expected_cached_tokens: Vec<Option<Vec<u32>>>,
    /// Engines (by index) that cannot run this experiment.
    pub skipped_engines: Vec<Skipped>,
}

/// When requests are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrivalPlan {
    /// At fixed offsets from the trial's start, one list per trial, one offset per arrival (request, conversation or step).
    Open {
        /// `constant` or `poisson`, as the user wrote it.
        kind: String,
        /// Offsets in ns: `[trial][arrival]`.
        offsets_ns: Vec<Vec<u64>>,
    },
    /// The next arrival when one of `concurrency` is done.
    Closed { concurrency: u32 },
}

/// One request of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRequest {
    /// Number within the trial, from 0.
    pub request_id: u32,
    /// Number of the arrival it belongs to: requests of one step share it, turns of one conversation share it.
    pub arrival: u32,
    /// What it is with respect to the cache.
    pub kind: RequestKind,
    /// Which context (or conversation) it uses.
    pub context_id: u32,
    /// Which turn, or which use of its context, from 0.
    pub turn: u32,
    /// Tokens of context before the query; of a conversation: everything said before this turn's question.
    pub context_tokens: u32,
    /// Tokens of the query.
    pub query_tokens: u32,
    /// Output tokens, exactly.
    pub output_tokens: u32,
    /// Pause after the previous turn's last content, for turns after the first.
    pub think_time_ns: Option<u64>,
}

/// Repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialPlan {
    /// Trials that run in any case.
    pub at_least: u32,
    /// Trials that run at most.
    pub at_most: u32,
    /// Metric and half-width (a share of the value) that end the repetition early.
    pub until: Option<(Metric, f64)>,
}

/// Something that runs otherwise than the scenario says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Substitution {
    /// What: `model`, `context-length`, `arrival`, …
    pub what: String,
    /// As the scenario says.
    pub declared: String,
    /// As it runs.
    pub used: String,
    /// Who says so and why: `profile builtin`.
    pub reason: String,
}

/// Something that cannot run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Index of the engine; null when it is about all engines.
    pub engine: Option<u32>,
    /// In words: `engine lmcache`, `context 24576`.
    pub what: String,
    /// Why.
    pub reason: String,
}
