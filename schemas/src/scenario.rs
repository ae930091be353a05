//! A scenario file as types: one file, one question.
//!
//! These derives are the only declaration of the format; `scenario.schema.json` is generated from them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::quantity::{Bytes, Duration, Rate};

/// One value, or a list of values that multiplies into experiments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values in the order of the file.
    pub fn values(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// One file, one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// What the run answers, as a person would ask it. The report's title.
    pub question: String,
    /// A hub name (`meta-llama/Llama-3.1-8B-Instruct`), `builtin:tiny`, `builtin:small`, or a path that starts with `.` or `/`. By default the profile's.
    pub model: Option<String>,
    /// Seeds everything that is drawn: texts, arrival gaps, orders.
    #[serde(default)]
    pub seed: u64,
    /// For the reader of the report; shown in its appendix.
    pub notes: Option<String>,
    /// What is asked.
    pub workload: Workload,
    /// When it is asked; by default the next request when the last is done.
    pub arrival: Option<Arrival>,
    /// The serving processes under test, in the order of the file.
    pub engine: IndexMap<String, Engine>,
    /// What happens to the processes while requests run.
    #[serde(default)]
    pub event: Vec<Event>,
    /// What makes the scenario a test.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// Limits that a request has to keep to count as good.
    pub goodput: Option<Goodput>,
    /// Deadlines.
    #[serde(default)]
    pub timeout: Timeout,
    /// How often each experiment is repeated.
    #[serde(default)]
    pub trials: Trials,
}

/// What is asked: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    SharedContext(SharedContext),
    GrowingContext(GrowingContext),
    MultiTurn(MultiTurn),
    MixedBatch(MixedBatch),
}

/// Requests that share a long context; the first with each context is cold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SharedContext {
    /// Tokens of the shared context.
    pub context_length: OneOrMany<u32>,
    /// Requests that share each context; the first is cold.
    pub reuse_count: OneOrMany<u32>,
    /// Tokens of the question behind the context, different in every request.
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    pub output_length: OneOrMany<u32>,
    /// How many different contexts.
    pub contexts: Option<OneOrMany<u32>>,
    /// Instead of `contexts`: as many as fill this multiple of a tier's capacity.
    pub working_set: Option<OneOrMany<f64>>,
    /// The tier that `working-set` is a multiple of: `ENGINE.TIER`.
    pub working_set_of: Option<String>,
    /// The order in which contexts are used again: the reuse distance.
    #[serde(default)]
    pub order: Order,
}

/// In which order several contexts are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// All requests of a context, then the next context.
    #[default]
    Grouped,
    /// Each context once, then each again.
    RoundRobin,
    /// Seeded random order.
    Shuffled,
}

/// One context that grows: a, 2a, 2a, 3a, 3a, …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowingContext {
    /// Tokens that each growth adds (a).
    pub step: OneOrMany<u32>,
    /// Number of requests.
    pub requests: OneOrMany<u32>,
    /// Tokens of the question behind the context.
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    pub output_length: OneOrMany<u32>,
}

/// Conversations in which each reply joins the next turn's messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MultiTurn {
    /// Turns of each conversation.
    pub turns: OneOrMany<u32>,
    /// Tokens of each turn's question.
    pub query_length: OneOrMany<u32>,
    /// Output tokens of each turn, exactly.
    pub output_length: OneOrMany<u32>,
    /// Number of conversations.
    pub conversations: Option<OneOrMany<u32>>,
    /// Pause between a reply's last content and the next turn.
    pub think_time: Option<OneOrMany<Duration>>,
}

/// Steps that send a reused and a fresh prompt together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MixedBatch {
    /// Tokens of each document.
    pub context_length: OneOrMany<u32>,
    /// Rounds after the first document was sent once: the same again, a fresh one alone, both as one step.
    pub rounds: OneOrMany<u32>,
    /// Tokens of the question behind the context.
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    pub output_length: OneOrMany<u32>,
}

/// When requests are sent: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// One after a fixed time, whether or not the last one is done.
    Constant(Constant),
    /// Exponential gaps with a mean rate.
    Poisson(Poisson),
    /// The next when one of `concurrency` is done.
    Closed(Closed),
}

/// Exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Constant {
    /// Time between two arrivals.
    pub interval: Option<Duration>,
    /// Arrivals per second.
    pub rate: Option<Rate>,
}

/// Memoryless arrivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Poisson {
    /// Mean arrivals per second.
    pub rate: Rate,
}

/// A fixed number in flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Closed {
    /// How many are in flight at once.
    pub concurrency: u32,
}

/// A serving process under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Engine {
    /// Which engine; by default the profile's.
    pub kind: Option<EngineKind>,
    /// Measures an engine that runs already.
    pub attach: Option<Attach>,
    /// Where its KV cache is kept, near to far. Required unless attached; absent there means unknown and promises nothing.
    pub backend: Option<Backend>,
    /// How LMCache is run and set.
    pub lmcache: Option<Lmcache>,
    /// Devices that share each layer.
    pub tensor_parallel: Option<u32>,
    /// Absent means the engine's own default.
    pub chunked_prefill: Option<bool>,
    /// More arguments for the engine, as typed on its command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// More environment for the engine.
    #[serde(default)]
    pub env: IndexMap<String, String>,
    /// Built-in engine only: spends scripted time instead of computing, to check our own measurements.
    pub paced: Option<Paced>,
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    Vllm,
    Builtin,
}

/// An engine that runs already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attach {
    /// Base URL of an OpenAI-compatible server, with `http://` or `https://`, without `/v1`.
    pub url: String,
    /// Name of the environment variable that holds the key. The key itself is never printed or stored.
    pub api_key_env: Option<String>,
}

/// `none` alone, or a stack of tiers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Backend {
    /// No cache at all: a baseline.
    pub none: Option<Empty>,
    /// The engine's own cache in device memory.
    pub prefix: Option<Prefix>,
    /// Host memory.
    pub local_cpu: Option<LocalCpu>,
    /// A directory of this host.
    pub local_disk: Option<LocalDisk>,
    /// A cache server.
    pub remote: Option<Remote>,
}

/// A table without keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The engine's own cache in device memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prefix {
    /// Its size; by default what the engine takes.
    pub capacity: Option<Bytes>,
}

/// Who keeps a local tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptBy {
    /// LMCache (or, for the built-in engine, its own tier).
    #[default]
    Lmcache,
    /// The engine's own offloading.
    Engine,
}

/// Host memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalCpu {
    /// The engine's total.
    pub capacity: Bytes,
    /// Who keeps it.
    #[serde(default)]
    pub by: KeptBy,
}

/// A directory of this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalDisk {
    /// The engine's total.
    pub capacity: Bytes,
    /// Where; by default inside the run folder, removed after the run.
    pub path: Option<String>,
    /// Opens files past the page cache.
    pub direct_io: Option<bool>,
    /// Who keeps it.
    #[serde(default)]
    pub by: KeptBy,
}

/// A cache server: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// LMCache's `lm://` server.
    Lm(Lm),
    Redis(Redis),
    Valkey(Redis),
    RedisSentinel(RedisSentinel),
}

/// How KV is written for a remote tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Serde {
    Naive,
    Cachegen,
    Kivi,
    Fp8,
}

/// LMCache's `lm://` server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lm {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// Where the server keeps it.
    pub storage: Option<Storage>,
    /// A server that runs already; by default one is started.
    pub url: Option<String>,
}

/// Where an `lm://` server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    Memory,
    Disk,
}

/// A Redis or Valkey server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Redis {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// The server's memory limit.
    pub capacity: Option<Bytes>,
    /// A server that runs already; by default one is started.
    pub url: Option<String>,
}

/// Redis behind Sentinels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RedisSentinel {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// The monitored service's name.
    pub service: Option<String>,
    /// Sentinels that run already; by default one master, one replica and three sentinels are started.
    pub url: Option<String>,
}

/// How LMCache is run and set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lmcache {
    /// Inside the engine, or as a server of its own; by default the profile's.
    pub mode: Option<LmcacheMode>,
    /// Tokens of a chunk.
    pub chunk_size: Option<u32>,
    /// Loads layer by layer while computing (the predecessor's "pipelined").
    pub layer_wise: Option<bool>,
    /// Stores what is generated, too.
    pub save_decode_cache: Option<bool>,
    /// Any other of LMCache's settings, as in its YAML.
    #[serde(default)]
    pub config: IndexMap<String, serde_json::Value>,
}

/// Where LMCache runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LmcacheMode {
    InProcess,
    Multiprocess,
}

/// Scripted time for the built-in engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Paced {
    /// Prompt tokens computed per second.
    pub prefill_tokens_per_second: Option<f64>,
    /// Time between two output tokens.
    pub time_per_output_token: Option<Duration>,
    /// Time before the first token that no cache saves.
    pub base_latency: Option<Duration>,
    /// Bytes loaded per second, by tier.
    #[serde(default)]
    pub load_bytes_per_second: IndexMap<String, f64>,
    /// Relative spread of the scripted times (standard deviation of the logarithm), seeded.
    pub jitter: Option<f64>,
    /// Scripted failures by the request's number at the engine.
    #[serde(default)]
    pub fail: Vec<PacedFailure>,
}

/// One scripted failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PacedFailure {
    /// Number of the generation request at the engine, from 0.
    pub request: u64,
    /// How it fails.
    pub how: PacedFailureKind,
    /// Content events sent before it fails.
    #[serde(default)]
    pub after_events: u32,
}

/// How a scripted request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PacedFailureKind {
    /// Answers with HTTP 500.
    Http500,
    /// Closes the connection.
    Cut,
    /// Never sends another byte.
    Stall,
    /// Sends bytes that are no stream.
    Garbage,
    /// Sends an error event inside the stream.
    ErrorEvent,
    /// Ends the stream early, in order.
    Short,
    /// Ends the process.
    Exit,
}

/// Something that happens to a process while requests run. Exactly one of the actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Event {
    /// When, from a trial's first intended request.
    pub at: Option<Duration>,
    /// Instead of `at`: after this many requests are done.
    pub after_request: Option<u32>,
    /// Stops in order and starts again.
    pub restart: Option<OneOrMany<String>>,
    /// Kills outright.
    pub kill: Option<OneOrMany<String>>,
    /// Freezes (SIGSTOP).
    pub pause: Option<OneOrMany<String>>,
    /// Thaws (SIGCONT).
    pub resume: Option<OneOrMany<String>>,
    /// Replaces a disk tier's files by other bytes of the same size: `ENGINE.local-disk`.
    pub corrupt: Option<String>,
    /// The schedule waits until the target is ready again.
    #[serde(default)]
    pub hold: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    Ttft,
    Itl,
    Tpot,
    Latency,
    Throughput,
    Goodput,
    Completed,
    CachedFraction,
    GpuMemory,
    Rss,
    OutputsEqual,
}

/// Which requests an expectation is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requests {
    #[default]
    Reused,
    Cold,
    Grown,
    Batched,
    All,
}

/// Requests before or after the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    BeforeEvent,
    AfterEvent,
}

/// Which statistic of the requests' values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    #[default]
    Median,
    Mean,
    P90,
    P95,
    P99,
    Max,
    Min,
}

/// A bound: a number is a ratio or a share, a quantity carries its unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// A ratio or a share.
    Number(f64),
    /// `"250ms"`, `"8GB"` or `"100/s"`.
    Quantity(String),
}

/// What makes a scenario a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Expect {
    /// What is measured.
    pub metric: Metric,
    /// Of which engine or engines.
    pub engine: OneOrMany<String>,
    /// Over which requests.
    #[serde(default)]
    pub requests: Requests,
    /// Before or after the first event.
    pub phase: Option<Phase>,
    /// Served by which tier.
    pub tier: Option<String>,
    /// Which statistic of the requests' values.
    #[serde(default)]
    pub statistic: Statistic,
    /// Only in experiments with these workload values.
    #[serde(default, rename = "where")]
    pub only_where: IndexMap<String, serde_json::Value>,
    /// Only under these profiles.
    pub profile: Option<OneOrMany<String>>,
    /// The bound is on the ratio to this engine.
    pub relative_to: Option<String>,
    /// The bound is on the ratio to other requests of the same engine.
    pub relative_to_requests: Option<Requests>,
    /// Upper bound.
    pub at_most: Option<Bound>,
    /// Lower bound.
    pub at_least: Option<Bound>,
}

/// Limits that a request has to keep to count as good.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Goodput {
    pub ttft: Option<Duration>,
    pub itl: Option<Duration>,
    pub tpot: Option<Duration>,
    pub latency: Option<Duration>,
}

/// Deadlines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timeout {
    /// From an engine's or sidecar's start until it answers.
    pub ready: Duration,
    /// From a request's first byte until its stream's end.
    pub request: Duration,
}

impl Default for Timeout {
    fn default() -> Self {
        Self { ready: Duration(600_000_000_000), request: Duration(300_000_000_000) }
    }
}

/// How often each experiment is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trials {
    /// At least this many; with `until` they are the pilot (Stein's two-stage rule).
    pub at_least: u32,
    /// Never more than this many; by default `at-least`.
    pub at_most: Option<u32>,
    /// Repeats until the interval is narrow enough.
    pub until: Option<Until>,
}

impl Default for Trials {
    fn default() -> Self {
        Self { at_least: 5, at_most: None, until: None }
    }
}

/// When enough is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Until {
    /// Of which metric.
    pub metric: Metric,
    /// Half of the 95 % interval's width, as a share of the value.
    pub half_width: f64,
}
