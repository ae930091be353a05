//! The rows of a run in memory: numbers in one compact record a request, texts and event offsets beside them.
//!
//! A [`schemas::row::Row`] owns several heap texts; a million of them would not fit in a small host. Here a request is `Copy`, and what is
//! rare (reasons of failures) or large (texts, offsets) is held apart.

use std::collections::BTreeMap;

use schemas::{
    row::{Outcome, RequestKind, Row, TokenCount},
    scenario::Phase,
};

use crate::texts::Texts;

/// One request's facts; the fields are those of [`Row`] without its texts and event offsets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// See [`Row::expr_id`].
    pub expr_id: u32,
    /// See [`Row::experiment`].
    pub experiment: u32,
    /// See [`Row::trial`].
    pub trial: u32,
    /// See [`Row::engine_id`].
    pub engine_id: u32,
    /// See [`Row::request_id`].
    pub request_id: u32,
    /// See [`Row::kind`].
    pub kind: RequestKind,
    /// See [`Row::context_id`].
    pub context_id: u32,
    /// See [`Row::turn`].
    pub turn: u32,
    /// See [`Row::context_tokens`].
    pub context_tokens: u32,
    /// See [`Row::query_tokens`].
    pub query_tokens: u32,
    /// See [`Row::asked_output_tokens`].
    pub asked_output_tokens: u32,
    /// See [`Row::planned_prompt_tokens`].
    pub planned_prompt_tokens: Option<u32>,
    /// See [`Row::expected_cached_tokens`].
    pub expected_cached_tokens: Option<u32>,
    /// See [`Row::phase`].
    pub phase: Option<Phase>,
    /// See [`Row::intended_ns`].
    pub intended_ns: u64,
    /// See [`Row::connect_ns`].
    pub connect_ns: Option<u64>,
    /// See [`Row::connected_ns`].
    pub connected_ns: Option<u64>,
    /// See [`Row::sent_ns`].
    pub sent_ns: Option<u64>,
    /// See [`Row::headers_ns`].
    pub headers_ns: Option<u64>,
    /// See [`Row::first_event_ns`].
    pub first_event_ns: Option<u64>,
    /// See [`Row::first_content_ns`].
    pub first_content_ns: Option<u64>,
    /// See [`Row::last_content_ns`].
    pub last_content_ns: Option<u64>,
    /// See [`Row::done_ns`].
    pub done_ns: Option<u64>,
    /// See [`Row::first_event_tokens`].
    pub first_event_tokens: Option<u32>,
    /// See [`Row::prompt_tokens`].
    pub prompt_tokens: Option<u32>,
    /// See [`Row::output_tokens`].
    pub output_tokens: Option<u32>,
    /// See [`Row::token_count`].
    pub token_count: Option<TokenCount>,
    /// See [`Row::cached_tokens`].
    pub cached_tokens: Option<u32>,
    /// See [`Row::server_ttft_ns`].
    pub server_ttft_ns: Option<u64>,
    /// See [`Row::server_queue_ns`].
    pub server_queue_ns: Option<u64>,
    /// See [`Row::served_first_ns`].
    pub served_first_ns: Option<u64>,
    /// See [`Row::served_last_ns`].
    pub served_last_ns: Option<u64>,
    /// See [`Row::outcome`].
    pub outcome: Outcome,
    /// See [`Row::http_status`].
    pub http_status: Option<u32>,
    /// See [`Row::reconnects`].
    pub reconnects: u32,
}

/// All requests of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Their numbers, in the journal's order.
    pub requests: Vec<Request>,
    /// Event offsets of all requests, one after another.
    offsets_ns: Vec<u64>,
    /// Where in `offsets_ns` each request's offsets end.
    offset_ends: Vec<usize>,
    /// Hash of the text as written, where there is one.
    pub text_hashes: Texts,
    /// `finish_reason` as the engine gave it.
    pub finish_reasons: Texts,
    /// Generated texts; where they were not read it is empty.
    pub texts: Texts,
    /// Reasons in words by index of the request.
    pub details: BTreeMap<usize, String>,
    /// Engine names by `engine_id`.
    pub engine_names: BTreeMap<u32, String>,
}

impl Frame {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        let index = self.requests.len();
        if let Some(detail) = row.detail {
            self.details.insert(index, detail);
        }
        self.engine_names.entry(row.engine_id).or_insert(row.engine);
        self.push_offsets(&row.event_offsets_ns);
        self.text_hashes.push(row.text_hash.as_deref());
        self.finish_reasons.push(row.finish_reason.as_deref());
        self.texts.push(row.text.as_deref());
        self.requests.push(Request {
            expr_id: row.expr_id,
            experiment: row.experiment,
            trial: row.trial,
            engine_id: row.engine_id,
            request_id: row.request_id,
            kind: row.kind,
            context_id: row.context_id,
            turn: row.turn,
            context_tokens: row.context_tokens,
            query_tokens: row.query_tokens,
            asked_output_tokens: row.asked_output_tokens,
            planned_prompt_tokens: row.planned_prompt_tokens,
            expected_cached_tokens: row.expected_cached_tokens,
            phase: row.phase,
            intended_ns: row.intended_ns,
            connect_ns: row.connect_ns,
            connected_ns: row.connected_ns,
            sent_ns: row.sent_ns,
            headers_ns: row.headers_ns,
            first_event_ns: row.first_event_ns,
            first_content_ns: row.first_content_ns,
            last_content_ns: row.last_content_ns,
            done_ns: row.done_ns,
            first_event_tokens: row.first_event_tokens,
            prompt_tokens: row.prompt_tokens,
            output_tokens: row.output_tokens,
            token_count: row.token_count,
            cached_tokens: row.cached_tokens,
            server_ttft_ns: row.server_ttft_ns,
            server_queue_ns: row.server_queue_ns,
            served_first_ns: row.served_first_ns,
            served_last_ns: row.served_last_ns,
            outcome: row.outcome,
            http_status: row.http_status.map(u32::from),
            reconnects: row.reconnects,
        });
    }

    /// A frame whose texts and offsets are still to come.
    pub(crate) fn of_numbers(requests: Vec<Request>) -> Self {
        Self {
            requests,
            ..Self::default()
        }
    }

    pub(crate) fn push_offsets(&mut self, offsets_ns: &[u64]) {
        self.offsets_ns.extend_from_slice(offsets_ns);
        self.offset_ends.push(self.offsets_ns.len());
    }

    /// Takes the offsets of all requests at once: one after another, and where those of each end.
    pub(crate) fn set_offsets(&mut self, offsets_ns: Vec<u64>, ends: Vec<usize>) {
        self.offsets_ns = offsets_ns;
        self.offset_ends = ends;
    }

    /// How many requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Arrivals of a request's content events as offsets from its `sent_ns`.
    pub fn event_offsets_ns(&self, index: usize) -> &[u64] {
        let from = index
            .checked_sub(1)
            .and_then(|before| self.offset_ends.get(before))
            .copied()
            .unwrap_or(0);
        let to = self.offset_ends.get(index).copied().unwrap_or(from);
        &self.offsets_ns[from..to]
    }

    /// All event offsets together.
    pub(crate) fn offset_count(&self) -> usize {
        self.offsets_ns.len()
    }

    /// The text of a request, where it is known.
    pub fn text(&self, index: usize) -> Option<&str> {
        self.texts.get(index)
    }
}

impl FromIterator<Row> for Frame {
    fn from_iter<T: IntoIterator<Item = Row>>(rows: T) -> Self {
        let mut frame = Self::default();
        for row in rows {
            frame.push(row);
        }
        frame
    }
}

/// The name of an outcome in files.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Refused => "refused",
        Outcome::HttpStatus => "http-status",
        Outcome::Timeout => "timeout",
        Outcome::Truncated => "truncated",
        Outcome::ConnectionLost => "connection-lost",
        Outcome::StreamError => "stream-error",
        Outcome::BadStream => "bad-stream",
        Outcome::EngineExited => "engine-exited",
        Outcome::Cancelled => "cancelled",
        Outcome::NotSent => "not-sent",
    }
}

pub(crate) fn outcome_from(name: &str) -> Option<Outcome> {
    const ALL: [Outcome; 11] = [
        Outcome::Ok,
        Outcome::Refused,
        Outcome::HttpStatus,
        Outcome::Timeout,
        Outcome::Truncated,
        Outcome::ConnectionLost,
        Outcome::StreamError,
        Outcome::BadStream,
        Outcome::EngineExited,
        Outcome::Cancelled,
        Outcome::NotSent,
    ];
    ALL.into_iter()
        .find(|outcome| outcome_name(*outcome) == name)
}

/// The name of a kind of request in files.
pub fn kind_name(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Cold => "cold",
        RequestKind::Reused => "reused",
        RequestKind::Grown => "grown",
        RequestKind::Batched => "batched",
    }
}

pub(crate) fn kind_from(name: &str) -> Option<RequestKind> {
    [
        RequestKind::Cold,
        RequestKind::Reused,
        RequestKind::Grown,
        RequestKind::Batched,
    ]
    .into_iter()
    .find(|kind| kind_name(*kind) == name)
}

pub(crate) fn token_count_name(count: TokenCount) -> &'static str {
    match count {
        TokenCount::Usage => "usage",
        TokenCount::Events => "events",
    }
}

pub(crate) fn token_count_from(name: &str) -> Option<TokenCount> {
    [TokenCount::Usage, TokenCount::Events]
        .into_iter()
        .find(|count| token_count_name(*count) == name)
}

/// The name of a phase in files.
pub(crate) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::BeforeEvent => "before-event",
        Phase::AfterEvent => "after-event",
    }
}

pub(crate) fn phase_from(name: &str) -> Option<Phase> {
    [Phase::BeforeEvent, Phase::AfterEvent]
        .into_iter()
        .find(|phase| phase_name(*phase) == name)
}
