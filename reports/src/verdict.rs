//! What became of each `[[expect]]`: met, not met, undecided, or not measured with the reason.

use schemas::scenario::Metric;
use serde::Serialize;

pub(crate) mod declared;
pub(crate) mod judge;
pub(crate) mod measure;
mod words;

use crate::{analysis::Unit, stats::Estimate};

/// What became of an expectation. The order is the order of attention: the last is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The whole interval satisfies the bound.
    Met,
    /// Nothing was measured that could decide it.
    NotMeasured,
    /// The interval straddles the bound, or there is none.
    Undecided,
    /// The whole interval violates the bound.
    NotMet,
}

/// Why an expectation was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotMeasuredCause {
    /// The experiment is INVALID.
    Invalid,
    /// The engine or the experiment cannot run here.
    Unsupported,
    /// The run ended before.
    NotRun,
    /// The rows or sensors hold no value for it.
    NoValue,
    /// It is for other profiles.
    OtherProfile,
    /// Its `where` matches no experiment.
    NoMatch,
}

/// One expectation about one engine, over all experiments that it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpectationResult {
    /// Number of the `[[expect]]` table in the file, from 0.
    pub index: u32,
    /// In words: `ttft of lmcache at most 0.5 × baseline`.
    pub text: String,
    /// What is measured.
    pub metric: Metric,
    /// Name of the engine.
    pub engine: String,
    /// The bounds in the unit of the measured value.
    pub at_most: Option<f64>,
    /// The bounds in the unit of the measured value.
    pub at_least: Option<f64>,
    /// The unit of bounds and values.
    pub unit: Unit,
    /// The worst of the cases.
    pub verdict: Verdict,
    /// Experiment by experiment; one without an experiment when none is matched.
    pub cases: Vec<Case>,
}

/// One expectation in one experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// An index into `Analysis::experiments`.
    pub experiment: Option<u32>,
    /// The experiment's name, `context 4096`.
    pub label: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What was measured, in the expectation's unit.
    pub measured: Option<Estimate>,
    /// Why it was not measured.
    pub cause: Option<NotMeasuredCause>,
    /// The reason in words, for undecided and not measured ones.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests;
