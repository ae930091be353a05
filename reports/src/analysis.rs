//! What is known of a run: one value that holds everything a rendering needs, and nothing that has to be computed again.
//!
//! Built by [`crate::analyse`] from a run folder's facts alone. Times of metrics are seconds (`_s`), stamps are nanoseconds since the run started (`_ns`).
//! Missing is `None`, never 0.

use indexmap::IndexMap;
use schemas::{
    manifest::{Ending, Host},
    plan::{Happened, Model, Skipped, Substitution, Tier},
    profile::Residency,
    row::{Outcome, RequestKind},
    scenario::{Metric, Phase, Requests, Statistic},
};
use serde::Serialize;

use crate::{
    agreement::Agreement,
    breakeven::{BreakEven, PayingContext},
    stats::{Estimate, Summary},
    validity::{Flag, InvalidReason},
    verdict::ExpectationResult,
};

/// Everything that is known of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// What the run was: scenario, host, versions, start and end.
    pub run: RunFacts,
    /// The scenario's question.
    pub question: String,
    /// The question's answer in one sentence, with the numbers behind it.
    pub answer: Answer,
    /// Whether the numbers may be believed.
    pub validity: RunValidity,
    /// The scenario's `[[expect]]` tables with their verdicts, in the file's order; a table about several engines has one entry for each.
    pub expectations: Vec<ExpectationResult>,
    /// Engines in the file's order: `engine_id` is the index.
    pub engines: Vec<EngineFacts>,
    /// The table engine × context, without the baseline's own rows when there is another engine.
    pub headline: Vec<HeadlineRow>,
    /// One for each point of the workload's matrix, in the plan's order.
    pub experiments: Vec<ExperimentAnalysis>,
    /// From which context length each engine pays.
    pub paying: Vec<PayingContext>,
    /// Sensors over time, one series a process tree or device.
    pub resources: Vec<ResourceSeries>,
    /// Peaks of each engine over the run.
    pub memory: Vec<EngineMemory>,
    /// Turns (an experiment's trial on one engine) in order of time: the shaded spans of charts over time.
    pub turns: Vec<Turn>,
    /// Lives of engines and sidecars.
    pub lives: Vec<ProcessLife>,
    /// What the scenario's events did, in order of time.
    pub events: Vec<Happened>,
    /// How well the client kept time.
    pub client: ClientHealth,
    /// What a reader should know, most important first.
    pub warnings: Vec<Warning>,
    /// Everything that runs otherwise than the scenario says.
    pub substitutions: Vec<Substitution>,
    /// What could not run here.
    pub skipped: Vec<Skipped>,
    /// Everything verbatim that the appendix shows.
    pub appendix: Appendix,
}

/// What the run was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFacts {
    /// The scenario file's stem.
    pub scenario: String,
    /// The scenario file as the user named it.
    pub scenario_path: String,
    /// The folder's name.
    pub run_id: String,
    /// Start by the wall clock, RFC 3339, UTC.
    pub started: String,
    /// End by the wall clock.
    pub ended: Option<String>,
    /// How it ended; `None` when the runner was killed.
    pub ending: Option<Ending>,
    /// Why the run is only a part of what was planned; `None` when it is whole.
    pub partial: Option<String>,
    /// The runner's version.
    pub version: String,
    /// Versions of the engines and what they are made of.
    pub versions: IndexMap<String, String>,
    /// The host.
    pub host: Host,
    /// Git commit of the scenario's folder.
    pub git_commit: Option<String>,
    /// Name of the profile.
    pub profile: String,
    /// Why this profile.
    pub profile_reason: String,
    /// Seed of texts, gaps and orders.
    pub seed: u64,
    /// How the engines lived together.
    pub residency: Residency,
    /// The model as declared and as run.
    pub model: Model,
    /// BLAKE3 over all prompts, salts apart.
    pub prompt_fingerprint: Option<String>,
    /// Some engine is paced: "paced engine: times are scripted" belongs on page one.
    pub paced: bool,
    /// The weights are random: times are real, texts are not.
    pub random_weights: bool,
    /// Requests over all trials that ran or were to run, as far as the plan fixes them.
    pub planned_requests: u64,
    /// How the rows came out.
    pub outcomes: Outcomes,
}

impl RunFacts {
    /// Why it is partial, with what a log said of it: several lines, for those who have no page of warnings beside it.
    pub fn partial_in_full(&self) -> Option<String> {
        let mut text = self.partial.clone()?;
        if let Some(Ending::Failed { reason }) = &self.ending {
            // Its first line is there already.
            for line in reason.lines().skip(1) {
                text.push('\n');
                text.push_str(line);
            }
        }
        Some(text)
    }
}

/// Rows by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// All rows.
    pub rows: u64,
    /// Rows that ended `ok`.
    pub ok: u64,
    /// The others, by outcome, most frequent first.
    pub failed: Vec<(Outcome, u64)>,
}

/// The question's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// One sentence with numbers, interval and number of trials; or why there is no answer.
    pub sentence: String,
    /// The experiment it is about, an index into [`Analysis::experiments`].
    pub experiment: Option<u32>,
    /// The engine it is about.
    pub engine_id: Option<u32>,
    /// The engine it is compared with.
    pub baseline_id: Option<u32>,
    /// TTFT of `engine_id` over TTFT of `baseline_id`.
    pub ratio: Option<Estimate>,
}

/// Whether the run's numbers may be believed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunValidity {
    /// The worst of the experiments that ran.
    pub state: State,
    /// The reason that the front page names: the first of the worst experiment.
    pub worst: Option<InvalidReason>,
    /// Experiments that are INVALID.
    pub invalid: u32,
    /// Experiments that are VALID.
    pub valid: u32,
    /// Experiments that were skipped or have no rows.
    pub not_run: u32,
}

/// Where an experiment (or a run) stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Measured, and nothing speaks against it.
    Valid,
    /// No rows: skipped here, or the run ended before.
    NotRun,
    /// Measured, but not to be believed.
    Invalid,
}

/// One engine of the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineFacts {
    /// Index in the file's order.
    pub engine_id: u32,
    /// Name in the scenario file.
    pub name: String,
    /// `vllm`, `builtin`, or `attached`.
    pub kind: String,
    /// The stack of tiers in words.
    pub backend: String,
    /// The tiers near to far.
    pub tiers: Vec<Tier>,
    /// It has no backend, and is what the others are compared with. Drawn in neutral grey.
    pub baseline: bool,
    /// Its times are scripted.
    pub paced: bool,
    /// It promises hits for reused requests.
    pub promises_hits: bool,
    /// Tokens that are found and loaded as one.
    pub chunk_tokens: u32,
}

/// One line of the headline table. Times are TTFT in seconds: the mean over trials of each trial's median, with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeadlineRow {
    /// An index into [`Analysis::experiments`].
    pub experiment: u32,
    /// The experiment's name, `context 4096`.
    pub label: String,
    /// Longest context in tokens.
    pub context_tokens: u32,
    /// The engine.
    pub engine_id: u32,
    /// Which of its requests, where an event happened: what comes before it and what comes after are two answers.
    pub phase: Option<Phase>,
    /// Which requests `warm` is about: `reused`, or `grown`, `batched`, where the workload has no reused ones.
    pub warm_requests: Requests,
    /// TTFT of cold requests.
    pub cold_s: Option<Estimate>,
    /// TTFT of the later requests.
    pub warm_s: Option<Estimate>,
    /// The same of the baseline's same requests.
    pub baseline_warm_s: Option<Estimate>,
    /// The engine it is compared with.
    pub baseline_id: Option<u32>,
    /// TTFT over the baseline's, later requests: below 1 is sooner.
    pub ratio: Option<Estimate>,
    /// Cached share of the tokens that could be cached, later requests.
    pub cached_fraction: Option<Estimate>,
    /// Median cached tokens of a later request.
    pub cached_tokens: Option<u64>,
    /// Median prompt tokens of a later request.
    pub prompt_tokens: Option<u64>,
    /// Where the experiment stands.
    pub state: State,
    /// Why numbers are missing.
    pub note: Option<String>,
}

/// One point of the workload's matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExperimentAnalysis {
    /// Index in the plan.
    pub experiment: u32,
    /// Its name: what varies between experiments.
    pub label: String,
    /// Workload kind.
    pub workload: String,
    /// The values of this point by the scenario's key.
    pub point: IndexMap<String, serde_json::Value>,
    /// Longest context in tokens.
    pub context_tokens: u32,
    /// When requests were sent, in words: `one after the other`, `every 8 s`.
    pub arrival: String,
    /// Trials with at least one row.
    pub trials: u32,
    /// Where it stands.
    pub state: State,
    /// Why it is INVALID, worst first.
    pub invalid: Vec<InvalidReason>,
    /// What a reader should know of it although it is VALID.
    pub flags: Vec<Flag>,
    /// Why there are no rows, where there are none.
    pub not_run: Option<String>,
    /// One for each engine, in the file's order.
    pub engines: Vec<EngineResult>,
    /// Ratios of each engine to the baseline (else to the first engine), per kind of request.
    pub ratios: Vec<Ratio>,
    /// What each engine's loads cost and save.
    pub break_even: Vec<BreakEven>,
    /// Whether texts are equal.
    pub agreement: Vec<Agreement>,
}

/// One engine in one experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineResult {
    /// The engine.
    pub engine_id: u32,
    /// Why it did not run here, where the plan says so.
    pub skipped: Option<String>,
    /// How its rows came out.
    pub outcomes: Outcomes,
    /// Its requests in order of trial and `request_id`.
    pub points: Vec<RequestPoint>,
    /// One estimate for each metric × kind of request that has values: the mean over trials of each trial's median.
    pub estimates: Vec<MetricEstimate>,
    /// How single values spread, for each metric × kind of request that has values.
    pub distributions: Vec<Distribution>,
    /// Output tokens per second of wall time, over the turns' requests.
    pub wall_throughput: Option<Estimate>,
    /// Share of requests within all `[goodput]` limits; `None` without limits.
    pub attainment: Option<Estimate>,
    /// Requests per second within all limits.
    pub goodput: Option<Estimate>,
    /// Share of requests that ended `ok`.
    pub completed: Option<f64>,
    /// Share of cached tokens, of those that could be cached, later requests.
    pub cached_fraction: Option<Estimate>,
    /// Counters that moved during its turns, summed over trials.
    pub counters: Vec<CounterDelta>,
}

impl EngineResult {
    /// The estimate for a metric and kind of request.
    pub fn estimate(&self, metric: Metric, requests: Requests) -> Option<&MetricEstimate> {
        self.estimates
            .iter()
            .find(|found| found.metric == metric && found.requests == requests)
    }

    /// The distribution for a metric and kind of request.
    pub fn distribution(&self, metric: Metric, requests: Requests) -> Option<&Distribution> {
        self.distributions
            .iter()
            .find(|found| found.metric == metric && found.requests == requests)
    }
}

/// One request, as charts need it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RequestPoint {
    /// Number of the trial.
    pub trial: u32,
    /// Number within engine, experiment and trial.
    pub request_id: u32,
    /// What it is with respect to the cache.
    pub kind: RequestKind,
    /// How it came out.
    pub outcome: Outcome,
    /// TTFT; `None` without content.
    pub ttft_s: Option<f64>,
    /// Output tokens per second between first and last content.
    pub throughput: Option<f64>,
    /// When the schedule wanted it sent.
    pub intended_ns: u64,
    /// When its connection began to open, where it needed one.
    pub connect_ns: Option<u64>,
    /// Just before its first byte was written.
    pub sent_ns: Option<u64>,
    /// First content.
    pub first_content_ns: Option<u64>,
    /// Last content.
    pub last_content_ns: Option<u64>,
    /// The stream's end, or what ended it.
    pub done_ns: Option<u64>,
    /// Prompt tokens by the engine.
    pub prompt_tokens: Option<u32>,
    /// Cached tokens by the plan, where the backend promises them.
    pub expected_cached_tokens: Option<u32>,
    /// Cached tokens by the engine.
    pub cached_tokens: Option<u32>,
    /// Far from its neighbours by the modified z-score; shown, never dropped.
    pub outlier: bool,
}

/// A metric of one engine over one kind of request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricEstimate {
    /// Which metric.
    pub metric: Metric,
    /// Over which requests.
    pub requests: Requests,
    /// Which statistic of a trial's requests; `median`.
    pub statistic: Statistic,
    /// The unit, `s` or `tokens/s`.
    pub unit: Unit,
    /// Mean over trials, with the interval where there are enough of them.
    pub estimate: Estimate,
    /// Trial number and that trial's statistic.
    pub per_trial: Vec<(u32, f64)>,
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Tokens per second.
    TokensPerSecond,
    /// Requests per second.
    RequestsPerSecond,
    /// Bytes.
    Bytes,
    /// A share of 1, or a ratio.
    Share,
    /// A ratio of two numbers of one unit.
    Ratio,
}

/// How single values spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// Which metric: `ttft`, `itl`, `tpot`, `latency` or `throughput`.
    pub metric: Metric,
    /// Over which requests.
    pub requests: Requests,
    /// The unit.
    pub unit: Unit,
    /// Number and quantiles.
    pub summary: Summary,
    /// The values in rising order; where there are more than 2,001, so many quantiles at even steps, minimum and maximum included. An ECDF in either case.
    pub ecdf: Vec<f64>,
}

/// A ratio of two engines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ratio {
    /// Which metric.
    pub metric: Metric,
    /// Over which requests.
    pub requests: Requests,
    /// Above the line.
    pub engine_id: u32,
    /// Below the line.
    pub relative_to: u32,
    /// exp of the mean over trials of ln(A/B).
    pub estimate: Estimate,
    /// The trials were interleaved, so that they are compared pair by pair.
    pub paired: bool,
}

/// One counter over one experiment's turns on one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CounterDelta {
    /// The process that was asked.
    pub subject: String,
    /// Its name.
    pub name: String,
    /// Its labels; empty without.
    pub labels: String,
    /// First reading before the experiment's first turn.
    pub before: f64,
    /// Last reading after its last turn.
    pub after: f64,
    /// What it grew by in the turns.
    pub delta: f64,
}

/// Sensors of one process tree, one device or the host over time; every vector is as long as `at_ns`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResourceSeries {
    /// `engine`, `engine.lmcache`, `runner`, `gpu-0`, or `host`.
    pub subject: String,
    /// The engine it belongs to.
    pub engine_id: Option<u32>,
    /// What it is.
    pub role: SubjectRole,
    /// When it was read.
    pub at_ns: Vec<u64>,
    /// Resident memory.
    pub rss_bytes: Vec<Option<u64>>,
    /// CPU time used so far.
    pub cpu_ns: Vec<Option<u64>>,
    /// Bytes read at the block layer so far.
    pub disk_read_bytes: Vec<Option<u64>>,
    /// Bytes written at the block layer so far.
    pub disk_written_bytes: Vec<Option<u64>>,
    /// Device memory.
    pub gpu_memory_bytes: Vec<Option<u64>>,
    /// Device utilisation.
    pub gpu_utilisation_percent: Vec<Option<u32>>,
    /// Device power.
    pub gpu_power_milliwatts: Vec<Option<u32>>,
    /// Bytes over the host's loopback interface so far.
    pub loopback_bytes: Vec<Option<u64>>,
}

/// What a sampled subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectRole {
    /// An engine's process tree.
    Engine,
    /// A sidecar's process tree.
    Sidecar,
    /// The runner itself.
    Runner,
    /// A whole device.
    Device,
    /// The host.
    Host,
}

/// Peaks of one engine over the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineMemory {
    /// The engine.
    pub engine_id: u32,
    /// Largest resident memory of the engine's tree.
    pub peak_rss_bytes: Option<u64>,
    /// Largest resident memory of all its sidecars' trees together.
    pub sidecars_peak_rss_bytes: Option<u64>,
    /// Largest device memory of the engine's tree.
    pub peak_gpu_bytes: Option<u64>,
    /// KV blocks × block bytes, from the engine's own metrics.
    pub pool_bytes: Option<u64>,
    /// `peak_gpu_bytes` − `pool_bytes`: weights and overhead.
    pub beyond_pool_bytes: Option<u64>,
}

/// One experiment's trial on one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// The (experiment, trial) pair.
    pub expr_id: u32,
    /// An index into [`Analysis::experiments`].
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// The engine.
    pub engine_id: u32,
    /// First intended.
    pub from_ns: u64,
    /// Last done (else last intended).
    pub to_ns: u64,
}

/// One process's life.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessLife {
    /// Name of the launch.
    pub name: String,
    /// The engine it belongs to.
    pub engine_id: Option<u32>,
    /// What it is.
    pub role: SubjectRole,
    /// Command line as started.
    pub command: Vec<String>,
    /// The run before that had started it, `SCENARIO/RUN`; null when this run did.
    pub started_by: Option<String>,
    /// The scenario that went on with it; null when it ended with this run.
    pub handed_to: Option<String>,
    /// Its start.
    pub started_ns: u64,
    /// When its probe was answered.
    pub ready_ns: Option<u64>,
    /// When it was told to stop.
    pub stopping_ns: Option<u64>,
    /// When it was gone.
    pub ended_ns: Option<u64>,
    /// How it ended, in words.
    pub ending: Option<String>,
    /// Whether the runner asked it to.
    pub expected: Option<bool>,
    /// The log's last lines, where the end was not expected.
    pub last_lines: Vec<String>,
}

/// How well the client kept time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClientHealth {
    /// CPU time of the runner's process.
    pub cpu_ns: Option<u64>,
    /// Its largest resident memory.
    pub peak_rss_bytes: Option<u64>,
    /// sent − intended over all requests that were sent, in seconds.
    pub lateness: Option<Summary>,
    /// The same as an ECDF of at most 2,001 values.
    pub lateness_ecdf: Vec<f64>,
    /// Measured TTFT − TTFT as served, in seconds; only a paced engine tells.
    pub ttft_error: Option<Summary>,
    /// Connections found closed and replaced.
    pub reconnects: u64,
    /// Wall time less the time in which an engine was starting or stopping, or a request was in flight or not yet due; in seconds.
    pub overhead_s: Option<f64>,
    /// Wall time from the run's start to the last stamp known, in seconds.
    pub wall_s: f64,
    /// Turn by turn.
    pub turns: Vec<TurnHealth>,
}

/// How well the client kept time in one turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnHealth {
    /// An index into [`Analysis::experiments`].
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// The engine.
    pub engine_id: u32,
    /// Rows.
    pub requests: u64,
    /// sent − intended in seconds.
    pub lateness: Option<Summary>,
    /// Requests per second that the schedule asked for, from the first intended to the last; open loops only.
    pub asked_rate: Option<f64>,
    /// Requests per second that were sent, from the first sent to the last; open loops only.
    pub achieved_rate: Option<f64>,
    /// 99th percentile of the 1 ms heartbeat's lateness.
    pub heartbeat_p99_ns: Option<u64>,
    /// Largest lateness of the heartbeat.
    pub heartbeat_worst_ns: Option<u64>,
    /// Share of one core that the request thread used.
    pub thread_cpu_share: Option<f64>,
}

/// Something a reader should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What is the matter.
    pub text: String,
    /// The experiment whose reason or flag it is; null where it is about the run.
    pub experiment: Option<u32>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Log lines that belong to it.
    pub lines: Vec<String>,
}

/// What the appendix shows verbatim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Appendix {
    /// `scenario.toml`.
    pub scenario_text: String,
    /// The runner's command line.
    pub command_line: Vec<String>,
    /// Every process that the plan starts.
    pub launches: Vec<LaunchText>,
    /// Definitions of the metrics that the report uses: name, unit, definition.
    pub definitions: Vec<Definition>,
}

/// A process that the plan starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaunchText {
    /// Name of the process.
    pub name: String,
    /// The engine it belongs to.
    pub engine_id: u32,
    /// Program and arguments with symbolic ports.
    pub command: Vec<String>,
    /// Environment on top of the runner's own.
    pub env: IndexMap<String, String>,
    /// Files written before the start, path to content.
    pub files: IndexMap<String, String>,
}

/// A metric's definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// The metric's name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What it is, and where its clock starts and stops.
    pub text: &'static str,
}
