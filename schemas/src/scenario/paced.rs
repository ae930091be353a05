//! Scripted times and failures of the built-in engine, to check the suite's own measurements.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{quantity::Duration, schema::mark};

/// Scripted time for the built-in engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Paced {
    /// Prompt tokens computed per second.
    #[schemars(transform = mark::above_zero)]
    pub prefill_tokens_per_second: Option<f64>,
    /// Time between two output tokens.
    pub time_per_output_token: Option<Duration>,
    /// Time before the first token that no cache saves.
    pub base_latency: Option<Duration>,
    /// Bytes loaded per second, by tier of this engine.
    #[serde(default)]
    #[schemars(transform = mark::above_zero)]
    pub load_bytes_per_second: IndexMap<String, f64>,
    /// Relative spread of the scripted times (standard deviation of the logarithm), seeded.
    #[schemars(transform = mark::not_negative)]
    pub jitter: Option<f64>,
    /// Scripted failures by the request's number at the engine.
    #[serde(default)]
    pub fail: Vec<PacedFailure>,
}

/// One scripted failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
