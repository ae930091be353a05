//! What makes a scenario a test: bounds on what was measured.

use std::borrow::Cow;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    quantity::{self, Bytes, Duration, Rate},
    scenario::OneOrMany,
    schema::{mark, rule},
};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Time to first token: first content − sent.
    Ttft,
    /// Gaps between content events.
    Itl,
    /// Time per output token after the first.
    Tpot,
    /// Last content − sent.
    Latency,
    /// Output tokens per second between first and last content.
    Throughput,
    /// Requests per second within all limits of `[goodput]`.
    Goodput,
    /// Share of requests that ended in order.
    Completed,
    /// Share of prompt tokens that came from a cache.
    CachedFraction,
    /// Device memory of the engine's process tree at its peak; a ratio compares what is beyond weights and KV pool.
    GpuMemory,
    /// Peak resident memory of the process tree.
    Rss,
    /// Share of requests whose text is equal: reused against cold, or with `relative-to` against that engine.
    OutputsEqual,
}

/// Which requests an expectation is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Requests {
    /// Those whose whole context stood before.
    #[default]
    Reused,
    /// The first with its context.
    Cold,
    /// Those whose context stood only in part before.
    Grown,
    /// Those sent with others as one step.
    Batched,
    /// Every request.
    All,
}

/// Requests before or after the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Due before it.
    BeforeEvent,
    /// Due after it.
    AfterEvent,
}

/// Which statistic of the requests' values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// 50th percentile.
    #[default]
    Median,
    /// Arithmetic mean.
    Mean,
    /// 90th percentile.
    P90,
    /// 95th percentile.
    P95,
    /// 99th percentile; refused for small samples.
    P99,
    /// Largest.
    Max,
    /// Smallest.
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

impl JsonSchema for Bound {
    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0 },
                { "type": "string", "x-text": "bound", "x-expected": Bound::EXPECTED, "pattern": Bound::pattern() },
            ]
        })
    }
}

impl Bound {
    /// What a user is told when the text is wrong.
    pub const EXPECTED: &'static str =
        "a quantity with its unit, like \"250ms\", \"8GB\" or \"100/s\"";

    fn pattern() -> String {
        quantity::pattern(&[Duration::UNITS, Bytes::UNITS, Rate::UNITS].concat())
    }
}

/// What makes a scenario a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [
    rule::at_least_one(&["at-most", "at-least"], "without a bound nothing is tested"),
    rule::not_both("relative-to", "relative-to-requests", "a ratio has one denominator"),
]))]
pub struct Expect {
    /// What is measured.
    pub metric: Metric,
    /// Of which engine or engines.
    #[schemars(transform = mark::names("engine"))]
    pub engine: OneOrMany<String>,
    /// Over which requests.
    #[serde(default)]
    pub requests: Requests,
    /// Before or after the first event.
    pub phase: Option<Phase>,
    /// Served by which tier: `prefix`, `local-cpu`, `local-disk`, `remote.redis`, …
    pub tier: Option<String>,
    /// Which statistic of the requests' values.
    #[serde(default)]
    pub statistic: Statistic,
    /// Only in experiments with these workload values.
    #[serde(default, rename = "where")]
    #[schemars(transform = mark::scalars)]
    pub only_where: IndexMap<String, serde_json::Value>,
    /// Only under these profiles.
    #[schemars(transform = mark::profile_name)]
    pub profile: Option<OneOrMany<String>>,
    /// The bound is on the ratio to this engine (`outputs-equal`: on the share of texts equal to this engine's).
    #[schemars(transform = mark::names("engine"))]
    pub relative_to: Option<String>,
    /// The bound is on the ratio to other requests of the same engine.
    pub relative_to_requests: Option<Requests>,
    /// Upper bound: a ratio or share as a number, a quantity with its unit.
    pub at_most: Option<Bound>,
    /// Lower bound: a ratio or share as a number, a quantity with its unit.
    pub at_least: Option<Bound>,
}
