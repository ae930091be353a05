//! One request of a run, as a fact: the line of the journal `rows.jsonl`.
//!
//! Every released request becomes exactly one row, whatever happened to it. A row holds facts only; means and percentiles never enter it.
//! All stamps are nanoseconds of one monotonic clock since the run started (`manifest.started_monotonic_ns` anchors it).

use serde::{Deserialize, Serialize};

use crate::scenario::Phase;

/// How a request came out. A failed one keeps its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The stream ended with its finish marker and every token asked for arrived.
    Ok,
    /// No connection could be opened.
    Refused,
    /// The engine answered with a status other than 200.
    HttpStatus,
    /// The request's deadline passed.
    Timeout,
    /// The stream ended in order, with fewer tokens than asked for.
    Truncated,
    /// The connection broke before the stream ended.
    ConnectionLost,
    /// The engine sent an error event inside the stream.
    StreamError,
    /// The bytes were not a stream of the protocol.
    BadStream,
    /// The engine's process ended while the request was in flight.
    EngineExited,
    /// The run was interrupted while the request was in flight.
    Cancelled,
    /// The request was due, but could not be sent before the run ended.
    NotSent,
}

/// What a request is with respect to the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// The first with its context in its trial.
    Cold,
    /// A later one with a context that stood whole before.
    Reused,
    /// One whose context stood only in part before.
    Grown,
    /// One sent with others as one step.
    Batched,
}

/// Where the count of output tokens comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenCount {
    /// The engine's own `usage`.
    Usage,
    /// Content events, counted; the engine gave no `usage`.
    Events,
}

/// One request and its stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the (experiment, trial) pair, from 0: the predecessor's `expr_id`.
    pub expr_id: u32,
    /// Index of the experiment in the plan.
    pub experiment: u32,
    /// Number of the trial, from 0.
    pub trial: u32,
    /// Index of the engine in the scenario file's order.
    pub engine_id: u32,
    /// Name of the engine in the scenario file.
    pub engine: String,
    /// Number of the request within engine, experiment and trial, from 0.
    pub request_id: u32,
    /// What the request is with respect to the cache.
    pub kind: RequestKind,
    /// Which context (or conversation, or batch step) it belongs to, from 0.
    pub context_id: u32,
    /// Which turn of its conversation, or which use of its context, from 0.
    pub turn: u32,

    /// Tokens of context as planned.
    pub context_tokens: u32,
    /// Tokens of the question after the context as planned.
    pub query_tokens: u32,
    /// Output tokens asked for.
    pub asked_output_tokens: u32,
    /// Prompt tokens planned (context, query and the chat template's own), where the template's share is known.
    pub planned_prompt_tokens: Option<u32>,
    /// Cached tokens that the engine's tiers should report, where the backend promises them.
    pub expected_cached_tokens: Option<u32>,
    /// Due before or after the trial's first event; null in a scenario without events.
    #[serde(default)]
    pub phase: Option<Phase>,

    /// When the schedule wanted it sent; for closed and multi-turn arrivals the previous last content plus the gap.
    pub intended_ns: u64,
    /// When its connection began to open; null on a connection that was already open.
    pub connect_ns: Option<u64>,
    /// When its connection stood.
    pub connected_ns: Option<u64>,
    /// Just before its first byte was written.
    pub sent_ns: Option<u64>,
    /// When the response's headers had arrived.
    pub headers_ns: Option<u64>,
    /// Arrival of the first event of any kind.
    pub first_event_ns: Option<u64>,
    /// Arrival of the first event with content (reasoning counts).
    pub first_content_ns: Option<u64>,
    /// Arrival of the last event with content.
    pub last_content_ns: Option<u64>,
    /// Arrival of the stream's end, or of what ended it.
    pub done_ns: Option<u64>,
    /// Arrival of every content event, as an offset from `sent_ns`.
    pub event_offsets_ns: Vec<u64>,
    /// Content tokens in the first content event, where it can be told (1 when every event carries one token).
    pub first_event_tokens: Option<u32>,

    /// Prompt tokens by the engine's `usage`.
    pub prompt_tokens: Option<u32>,
    /// Output tokens; `token_count` says by whom.
    pub output_tokens: Option<u32>,
    /// Who counted the output tokens.
    pub token_count: Option<TokenCount>,
    /// `usage.prompt_tokens_details.cached_tokens`.
    pub cached_tokens: Option<u32>,
    /// TTFT by the engine itself, from its `metrics` in the usage chunk, in ns; it excludes `server_queue_ns`.
    pub server_ttft_ns: Option<u64>,
    /// Time the request waited in the engine's queue, by the engine itself.
    pub server_queue_ns: Option<u64>,
    /// When a paced engine handed its first token to the socket, on the run's clock. Real engines give none.
    pub served_first_ns: Option<u64>,
    /// When a paced engine handed its last token to the socket, on the run's clock.
    pub served_last_ns: Option<u64>,

    /// How it came out.
    pub outcome: Outcome,
    /// The reason in words when it is not `ok`: the engine's error text, or what broke.
    pub detail: Option<String>,
    /// The HTTP status, where one arrived.
    pub http_status: Option<u16>,
    /// How many times a connection found closed before any response byte was replaced (0 or 1).
    pub reconnects: u32,
    /// The engine's `finish_reason`.
    pub finish_reason: Option<String>,
    /// The generated text; null where nothing arrived.
    pub text: Option<String>,
    /// BLAKE3 of `text`, first 16 hexadecimal digits.
    pub text_hash: Option<String>,
}
