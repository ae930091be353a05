//! When requests are sent: the arrival kinds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    quantity::{Duration, Rate},
    schema::{mark, rule},
};

/// When requests are sent: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// One after a fixed time, whether or not the last one is done.
    Constant(Constant),
    /// Exponential gaps with a mean rate.
    Poisson(Poisson),
    /// The next when one of `concurrency` is done.
    Closed(Closed),
}

/// Arrivals at a fixed pace: either `interval` or `rate`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [rule::exactly_one(&["interval", "rate"], "the gap or its inverse")]))]
pub struct Constant {
    /// Time between two arrivals.
    #[schemars(transform = mark::positive)]
    pub interval: Option<Duration>,
    /// Arrivals per second.
    #[schemars(transform = mark::positive)]
    pub rate: Option<Rate>,
}

/// Memoryless arrivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Poisson {
    /// Mean arrivals per second.
    #[schemars(transform = mark::positive)]
    pub rate: Rate,
}

/// A fixed number in flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Closed {
    /// How many are in flight at once.
    #[schemars(transform = mark::positive)]
    pub concurrency: u32,
}
