//! What is asked: the workload kinds and the lengths they take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    quantity::Duration,
    scenario::OneOrMany,
    schema::{mark, rule},
};

/// What is asked: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    SharedContext(SharedContext),
    GrowingContext(GrowingContext),
    MultiTurn(MultiTurn),
    MixedBatch(MixedBatch),
}

/// Requests that share a long context; the first with each context is cold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [
    rule::not_both("contexts", "working-set", "`working-set` counts the contexts itself"),
    rule::needs("working-set", "working-set-of", "a working set is a multiple of one tier's capacity"),
    rule::needs("working-set-of", "working-set", "how many times the tier's capacity?"),
]))]
pub struct SharedContext {
    /// Tokens of the shared context.
    #[schemars(transform = mark::positive)]
    pub context_length: OneOrMany<u32>,
    /// Requests that share each context; the first is cold.
    #[schemars(transform = mark::positive)]
    pub reuse_count: OneOrMany<u32>,
    /// Tokens of the question behind the context, different in every request.
    #[schemars(transform = mark::positive)]
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    #[schemars(transform = mark::positive)]
    pub output_length: OneOrMany<u32>,
    /// How many different contexts. By default 1.
    #[schemars(transform = mark::positive, extend("default" = 1))]
    pub contexts: Option<OneOrMany<u32>>,
    /// Instead of `contexts`: as many as fill this multiple of a tier's capacity.
    #[schemars(transform = mark::above_zero)]
    pub working_set: Option<OneOrMany<f64>>,
    /// The tier that `working-set` is a multiple of: `ENGINE.TIER`.
    #[schemars(transform = mark::names("sized-tier"))]
    pub working_set_of: Option<String>,
    /// The order in which contexts are used again: the reuse distance.
    #[serde(default)]
    pub order: Order,
}

/// In which order several contexts are used again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GrowingContext {
    /// Tokens that each growth adds (a).
    #[schemars(transform = mark::positive)]
    pub step: OneOrMany<u32>,
    /// Number of requests.
    #[schemars(transform = mark::positive)]
    pub requests: OneOrMany<u32>,
    /// Tokens of the question behind the context.
    #[schemars(transform = mark::positive)]
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    #[schemars(transform = mark::positive)]
    pub output_length: OneOrMany<u32>,
}

/// Conversations in which each reply joins the next turn's messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MultiTurn {
    /// Turns of each conversation.
    #[schemars(transform = mark::positive)]
    pub turns: OneOrMany<u32>,
    /// Tokens of each turn's question.
    #[schemars(transform = mark::positive)]
    pub query_length: OneOrMany<u32>,
    /// Output tokens of each turn, exactly.
    #[schemars(transform = mark::positive)]
    pub output_length: OneOrMany<u32>,
    /// Number of conversations. By default 1.
    #[schemars(transform = mark::positive, extend("default" = 1))]
    pub conversations: Option<OneOrMany<u32>>,
    /// Pause between a reply's last content and the next turn. By default none.
    #[schemars(extend("default" = "0s"))]
    pub think_time: Option<OneOrMany<Duration>>,
}

/// Steps that send a reused and a fresh prompt together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MixedBatch {
    /// Tokens of each document.
    #[schemars(transform = mark::positive)]
    pub context_length: OneOrMany<u32>,
    /// Rounds after the first document was sent once: the same again, a fresh one alone, both as one step.
    #[schemars(transform = mark::positive)]
    pub rounds: OneOrMany<u32>,
    /// Tokens of the question behind the context.
    #[schemars(transform = mark::positive)]
    pub query_length: OneOrMany<u32>,
    /// Output tokens, exactly.
    #[schemars(transform = mark::positive)]
    pub output_length: OneOrMany<u32>,
}
