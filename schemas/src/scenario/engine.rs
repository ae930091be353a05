//! An engine of a scenario: which serving process, how it is set, or where it runs already.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    scenario::{Backend, Paced},
    schema::{mark, rule},
};

/// Why `attach` stands without the keys that start an engine.
const ATTACHED: &str = "an attached engine runs already, so nothing can be set on it";

/// A serving process under test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [
    rule::at_least_one(&["backend", "attach"], "where the KV cache is kept; `backend.none = {}` for a baseline without any"),
    rule::not_both("attach", "kind", ATTACHED),
    rule::not_both("attach", "lmcache", ATTACHED),
    rule::not_both("attach", "tensor-parallel", ATTACHED),
    rule::not_both("attach", "chunked-prefill", ATTACHED),
    rule::not_both("attach", "args", ATTACHED),
    rule::not_both("attach", "env", ATTACHED),
    rule::not_both("attach", "paced", ATTACHED),
]))]
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
    #[schemars(transform = mark::positive)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// vLLM's OpenAI-compatible server.
    Vllm,
    /// The suite's own engine: nothing to install.
    Builtin,
}

/// An engine that runs already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Attach {
    /// Base URL of an OpenAI-compatible server, with `http://` or `https://`, without `/v1`.
    #[schemars(transform = mark::pattern("^https?://[^ /]+(/[^ ]*)?$", "a base URL like \"http://127.0.0.1:8000\""))]
    pub url: String,
    /// Name of the environment variable that holds the key. The key itself is never printed or stored.
    #[schemars(transform = mark::variable_name, extend("x-secret" = true))]
    pub api_key_env: Option<String>,
}

/// How LMCache is run and set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Lmcache {
    /// Inside the engine, or as a server of its own; by default the profile's.
    pub mode: Option<LmcacheMode>,
    /// Tokens of a chunk.
    #[schemars(transform = mark::positive)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LmcacheMode {
    /// Inside the engine's process.
    InProcess,
    /// A server of its own beside the engine.
    Multiprocess,
}
