//! A profile as types: how scenarios run on one kind of host.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    scenario::{EngineKind, LmcacheMode},
    schema::mark,
};

/// How scenarios run on one kind of host. Precedence: scenario > `[model."NAME"]` > the profile's other keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Profile {
    /// What kind of host this is for, in one line.
    #[schemars(transform = mark::not_empty)]
    pub description: String,
    /// The engine of scenarios that state none.
    pub engine: EngineKind,
    /// How a scenario's engines live together.
    pub residency: Residency,
    /// The model of scenarios that state none. In a path `~` and `$NAME` are expanded.
    #[schemars(transform = mark::model_place)]
    pub default_model: Option<String>,
    /// Stands in for every declared hub name that has no path of its own below. In a path `~` and `$NAME` are expanded.
    #[schemars(transform = mark::model_place)]
    pub stand_in: Option<String>,
    /// `constant` arrivals become closed ones with concurrency 1, because a CPU's TTFT exceeds the gap.
    #[serde(default)]
    pub closed_arrivals: bool,
    /// Caps on what a scenario asks.
    #[serde(default)]
    pub limits: Limits,
    /// Cores that processes are bound to.
    #[serde(default)]
    pub cores: Cores,
    /// How the interpreter of Python engines is found.
    pub interpreter: Option<Interpreter>,
    /// Where LMCache runs unless the scenario insists.
    pub lmcache_mode: Option<LmcacheMode>,
    /// Devices, by index, that engines may take; absent means all.
    #[schemars(transform = mark::distinct)]
    pub devices: Option<Vec<u32>>,
    /// Share of a device's memory for all engines on it together.
    #[schemars(transform = mark::share)]
    pub memory_share: Option<f64>,
    /// What is listened on; by default 127.0.0.1.
    #[schemars(transform = mark::not_empty)]
    pub host: Option<String>,
    /// More arguments for engines of the profile's kind, as typed on their command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// More environment for engines of the profile's kind.
    #[serde(default)]
    pub env: IndexMap<String, String>,
    /// Settings by declared model name.
    #[serde(default)]
    pub model: IndexMap<String, ModelSettings>,
}

/// How a scenario's engines live together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Residency {
    /// One engine at a time; each is started once a scenario, so trials are not interleaved.
    InTurn,
    /// All started, one after another; asked in turn and never at once, so trials interleave A B B A.
    Resident,
    /// Each on its own device.
    SideBySide,
}

/// Caps on what a scenario asks; what exceeds one is brought down to it, and said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Longest context in tokens. When a scenario asks for a longer one, all its contexts are scaled by the same factor, in whole chunks.
    #[schemars(transform = mark::positive)]
    pub context_length: Option<u32>,
    /// Most requests per context.
    #[schemars(transform = mark::positive)]
    pub reuse_count: Option<u32>,
    /// Longest output in tokens.
    #[schemars(transform = mark::positive)]
    pub output_length: Option<u32>,
    /// Most contexts, conversations, rounds or turns.
    #[schemars(transform = mark::positive)]
    pub contexts: Option<u32>,
    /// Most trials.
    #[schemars(transform = mark::positive)]
    pub trials: Option<u32>,
}

/// Cores that processes are bound to; absent means not bound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cores {
    /// Of engines.
    #[schemars(transform = mark::distinct)]
    pub engine: Option<Vec<u32>>,
    /// Of the runner and its request path.
    #[schemars(transform = mark::distinct)]
    pub client: Option<Vec<u32>>,
}

/// How the interpreter of Python engines is found, in this order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Interpreter {
    /// An environment variable that names it.
    #[schemars(transform = mark::variable_name)]
    pub env: Option<String>,
    /// A path; `~` and `$NAME` are expanded.
    #[schemars(transform = mark::not_empty)]
    pub path: Option<String>,
}

/// Settings for one declared model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelSettings {
    /// Directory, or `builtin:` name, that is used for it. `~` and `$NAME` are expanded.
    #[schemars(transform = mark::model_place)]
    pub path: Option<String>,
    /// Devices that share each layer.
    #[schemars(transform = mark::positive)]
    pub tensor_parallel: Option<u32>,
    /// The engine's chunked prefill.
    pub chunked_prefill: Option<bool>,
    /// The engine may run code that the model ships.
    pub trust_remote_code: Option<bool>,
    /// Longest prompt and output together.
    #[schemars(transform = mark::positive)]
    pub max_length: Option<u32>,
    /// More arguments for the engine.
    #[serde(default)]
    pub args: Vec<String>,
}
