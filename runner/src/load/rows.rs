//! Makes a row of an exchange. Pure.

use schemas::row::{Row, TokenCount};

use super::{
    answer::{Answer, read_stream},
    exchange::{End, Exchange},
    outcome::outcome,
    turn::Identity,
};
use crate::clock::RunClock;

/// The row of an exchange that was to be sent at `intended_ns`.
pub(super) fn make_row(
    identity: &Identity,
    exchange: &Exchange,
    intended_ns: u64,
    clock: &RunClock,
) -> Row {
    let answer = if exchange.http_status == Some(200) {
        read_stream(&exchange.recording, exchange.end == End::Complete)
    } else {
        Answer::default()
    };
    let (outcome, detail) = outcome(exchange, &answer);
    let (output_tokens, token_count) = output_tokens(&answer);
    let first_event_tokens = first_event_tokens(&answer, output_tokens);
    let on_our_clock =
        |monotonic_ns: Option<u64>| monotonic_ns.and_then(|ns| clock.from_monotonic_ns(ns));
    let sent_ns = exchange.sent_ns;
    let text = (!answer.text.is_empty()).then_some(answer.text);
    let facts = &exchange.facts;
    Row {
        expr_id: identity.expr_id,
        experiment: identity.experiment,
        trial: identity.trial,
        engine_id: identity.engine_id,
        engine: identity.engine.clone(),
        request_id: facts.request_id,
        kind: facts.kind,
        context_id: facts.context_id,
        turn: facts.turn,
        context_tokens: facts.context_tokens,
        query_tokens: facts.query_tokens,
        asked_output_tokens: facts.asked_output_tokens,
        planned_prompt_tokens: facts.planned_prompt_tokens,
        expected_cached_tokens: facts.expected_cached_tokens,
        // The dispatcher knows of events, the load path does not.
        phase: None,
        intended_ns,
        connect_ns: exchange.connect_ns,
        connected_ns: exchange.connected_ns,
        sent_ns,
        headers_ns: exchange.headers_ns,
        first_event_ns: answer.first_event_ns,
        first_content_ns: answer.content_ns.first().copied(),
        last_content_ns: answer.content_ns.last().copied(),
        done_ns: exchange.done_ns,
        event_offsets_ns: match sent_ns {
            Some(sent_ns) => answer
                .content_ns
                .iter()
                .map(|at_ns| at_ns.saturating_sub(sent_ns))
                .collect(),
            None => Vec::new(),
        },
        first_event_tokens,
        prompt_tokens: answer.usage.and_then(|usage| usage.prompt_tokens),
        output_tokens,
        token_count,
        cached_tokens: answer.usage.and_then(|usage| usage.cached_tokens()),
        server_ttft_ns: answer.server_ttft_ns,
        server_queue_ns: answer.server_queue_ns,
        served_first_ns: on_our_clock(answer.served.and_then(|served| served.first_token_ns)),
        served_last_ns: on_our_clock(answer.served.and_then(|served| served.last_token_ns)),
        outcome,
        detail,
        http_status: exchange.http_status,
        reconnects: exchange.reconnects,
        finish_reason: answer.finish_reason,
        text_hash: text.as_deref().map(text_hash),
        text,
    }
}

/// BLAKE3 of a text, first 16 hexadecimal digits.
fn text_hash(text: &str) -> String {
    let mut digits = blake3::hash(text.as_bytes()).to_hex().to_string();
    digits.truncate(16);
    digits
}

fn output_tokens(answer: &Answer) -> (Option<u32>, Option<TokenCount>) {
    match answer.usage.and_then(|usage| usage.completion_tokens) {
        Some(tokens) => (Some(tokens), Some(TokenCount::Usage)),
        None if answer.content_ns.is_empty() => (None, None),
        None => (
            u32::try_from(answer.content_ns.len()).ok(),
            Some(TokenCount::Events),
        ),
    }
}

/// Content tokens in the first content event: as the event says, or 1 where there are as many events as tokens, or all where there is one event.
fn first_event_tokens(answer: &Answer, output_tokens: Option<u32>) -> Option<u32> {
    let events = u32::try_from(answer.content_ns.len())
        .ok()
        .filter(|&events| events > 0)?;
    answer.first_event_tokens.or(match output_tokens? {
        tokens if tokens == events => Some(1),
        tokens if events == 1 => Some(tokens),
        _ => None,
    })
}
