//! A scenario file as types: one file, one question.
//!
//! These derives are the only declaration of the format; `scenario.schema.json` is generated from them, and files are read against it.

mod arrival;
mod backend;
mod engine;
mod event;
mod expect;
mod paced;
mod workload;

use std::borrow::Cow;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use self::{
    arrival::{Arrival, Closed, Constant, Poisson},
    backend::{
        Backend, Empty, KeptBy, Lm, LocalCpu, LocalDisk, Prefix, Redis, RedisSentinel, Remote,
        Serde, Storage,
    },
    engine::{Attach, Engine, EngineKind, Lmcache, LmcacheMode},
    event::Event,
    expect::{Bound, Expect, Metric, Phase, Requests, Statistic},
    paced::{Paced, PacedFailure, PacedFailureKind},
    workload::{GrowingContext, MixedBatch, MultiTurn, Order, SharedContext, Workload},
};
use crate::{
    quantity::Duration,
    schema::{mark, rule},
};

/// One value, or a list of values that multiplies into experiments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A single value.
    One(T),
    /// A list; never empty, without duplicates.
    Many(Vec<T>),
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }] })
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Scenario {
    /// What the run answers, as a person would ask it. The report's title.
    #[schemars(transform = mark::not_empty)]
    pub question: String,
    /// A hub name (`meta-llama/Llama-3.1-8B-Instruct`), `builtin:tiny`, `builtin:small`, or a path that starts with `.` or `/`. By default the profile's.
    #[schemars(transform = mark::model)]
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
    #[schemars(transform = mark::engine_names)]
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

/// Limits that a request has to keep to count as good.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Goodput {
    /// Time to first token.
    #[schemars(transform = mark::positive)]
    pub ttft: Option<Duration>,
    /// Every gap between content events.
    #[schemars(transform = mark::positive)]
    pub itl: Option<Duration>,
    /// Time per output token after the first.
    #[schemars(transform = mark::positive)]
    pub tpot: Option<Duration>,
    /// From sent to last content.
    #[schemars(transform = mark::positive)]
    pub latency: Option<Duration>,
}

/// Deadlines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timeout {
    /// From an engine's or sidecar's start until it answers.
    #[schemars(transform = mark::positive)]
    pub ready: Duration,
    /// From a request's first byte until its stream's end.
    #[schemars(transform = mark::positive)]
    pub request: Duration,
}

impl Default for Timeout {
    fn default() -> Self {
        Self {
            ready: Duration(600_000_000_000),
            request: Duration(300_000_000_000),
        }
    }
}

/// How often each experiment is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(extend("allOf" = [rule::needs("until", "at-most", "the most trials that may be needed")]))]
pub struct Trials {
    /// At least this many; with `until` they are the pilot (Stein's two-stage rule).
    #[schemars(transform = mark::positive)]
    pub at_least: u32,
    /// Never more than this many; by default `at-least`.
    #[schemars(transform = mark::positive)]
    pub at_most: Option<u32>,
    /// Repeats until the interval is narrow enough.
    pub until: Option<Until>,
}

impl Default for Trials {
    fn default() -> Self {
        Self {
            at_least: 5,
            at_most: None,
            until: None,
        }
    }
}

/// When enough is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Until {
    /// Of which metric.
    pub metric: Metric,
    /// Half of the 95 % interval's width, as a share of the value.
    #[schemars(transform = mark::open_share)]
    pub half_width: f64,
}
