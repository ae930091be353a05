//! Whether an experiment's numbers may be believed: typed reasons against it, each with advice.

use serde::Serialize;

pub(crate) mod flags;
pub(crate) mod judge;
mod words;

/// Why an experiment is INVALID. The order is the order of gravity: the first is the worst.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum InvalidReason {
    /// A process ended or started again although nothing in the scenario said so.
    EngineRestarted {
        engine: String,
        process: String,
        ending: String,
    },
    /// Cold requests, or any of an engine without a cache, had more cached tokens than stand before their salt.
    ColdWasCached {
        engine: String,
        requests: u64,
        worst_cached_tokens: u32,
        allowed_tokens: u32,
    },
    /// The median hit of later requests was below 0.9 of what the plan expects, although the backend promises it.
    HitMissing {
        engine: String,
        median_share: f64,
        requests: u64,
        /// What the log of its processes says to that.
        log_line: Option<String>,
    },
    /// Per-request and counter totals of cached tokens differ by more than a chunk a request.
    CountersDisagree {
        engine: String,
        reported_tokens: u64,
        counted_tokens: f64,
        allowed_tokens: u64,
        counters: String,
    },
    /// A prompt's length was not the planned one.
    PromptLengthOff {
        engine: String,
        requests: u64,
        planned_tokens: u32,
        found_tokens: u32,
    },
    /// The client sent later than the schedule wanted.
    ClientLate {
        engine: String,
        statistic: LatenessStatistic,
        late_s: f64,
        allowed_s: f64,
    },
    /// The client's request thread did not get to run.
    ClientStarved {
        engine: String,
        heartbeat_p99_s: f64,
        heartbeat_worst_s: f64,
        allowed_p99_s: f64,
        allowed_worst_s: f64,
    },
    /// A lossless tier gave another first word than recomputing does, more often than the engine differs from itself.
    FirstTokenDiffers {
        engine: String,
        relative_to: String,
        reused_share: f64,
        cold_share: f64,
    },
}

/// Which statistic of the lateness was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatenessStatistic {
    /// 99th percentile, from 100 requests.
    P99,
    /// The largest, below 100 requests.
    Max,
}

/// What a reader should know of an experiment that may be believed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "flag", rename_all = "kebab-case")]
pub enum Flag {
    /// Requests of a constant arrival overlapped: TTFT includes queueing.
    RequestsOverlapped {
        engine: String,
        requests: u64,
        of: u64,
    },
    /// Only so many trials: no interval.
    FewTrials { trials: u32 },
    /// The trials of the engines were not interleaved.
    Unpaired,
    /// `until` was asked for and its half-width not reached.
    HalfWidthNotReached {
        metric: String,
        reached: f64,
        asked: f64,
        trials: u32,
    },
    /// Values far from the others by the modified z-score; kept.
    Outliers {
        engine: String,
        requests: u64,
        of: u64,
    },
    /// The engine gave no cached tokens although it promises hits: nothing proves that it was hit.
    NoEvidence { engine: String },
    /// Output tokens were counted from events, as the engine gave no `usage`.
    TokensFromEvents { engine: String, requests: u64 },
    /// Rows did not end `ok`.
    Failures {
        engine: String,
        requests: u64,
        of: u64,
        most: String,
    },
    /// The hypervisor gave others so much of the CPU time of all cores while something here wanted it.
    CpuStolen { share: f64 },
    /// Block-layer reads were under half of the KV bytes loaded from a disk tier.
    ServedFromPageCache {
        engine: String,
        read_bytes: u64,
        kv_bytes: u64,
    },
}

#[cfg(test)]
mod tests;
