//! How a request came out, from what its connection and its stream say. Pure.

use schemas::row::Outcome;

use super::{
    answer::{Answer, Fault, error_text},
    exchange::{End, Exchange, Stop},
};

/// The outcome, and the reason in words when it is not `ok`.
pub(super) fn outcome(exchange: &Exchange, answer: &Answer) -> (Outcome, Option<String>) {
    let failed = |outcome, detail: String| (outcome, Some(detail));
    // A stream that has said that it is over is over, whatever happened to its connection afterwards.
    if answer.done && answered_well(exchange) {
        return judge_stream(exchange, answer);
    }
    match &exchange.end {
        End::NotSent(reason) => failed(Outcome::NotSent, reason.clone()),
        End::Refused(reason) => failed(Outcome::Refused, reason.clone()),
        End::Stopped(stop) => stopped(*stop, exchange, answer),
        End::Complete if answered_well(exchange) => judge_stream(exchange, answer),
        _ if exchange.http_status.is_some() && !answered_well(exchange) => {
            failed(Outcome::HttpStatus, error_text(&exchange.recording.bytes))
        }
        End::Lost(reason) => match &answer.fault {
            Some(Fault::Stream(text)) => failed(Outcome::StreamError, text.clone()),
            Some(Fault::Protocol(_)) | None => failed(Outcome::ConnectionLost, reason.clone()),
        },
        End::Malformed(reason) => failed(Outcome::BadStream, reason.clone()),
        // Whole, but without a status: HTTP has no such answer.
        End::Complete => failed(Outcome::BadStream, "an answer without a status".to_owned()),
    }
}

fn answered_well(exchange: &Exchange) -> bool {
    exchange.http_status == Some(200)
}

fn stopped(stop: Stop, exchange: &Exchange, answer: &Answer) -> (Outcome, Option<String>) {
    let progress = match (exchange.sent_ns, answer.content_ns.len()) {
        (None, _) => "before it could be sent".to_owned(),
        (Some(_), 0) => "before the first content".to_owned(),
        (Some(_), events) => format!("after {events} content events"),
    };
    let (outcome, reason) = match stop {
        Stop::Deadline => (Outcome::Timeout, "the deadline passed"),
        _ if exchange.sent_ns.is_none() => (Outcome::NotSent, "the run ended"),
        Stop::Cancelled => (Outcome::Cancelled, "the run was interrupted"),
        Stop::EngineExited => (Outcome::EngineExited, "the engine's process ended"),
    };
    (outcome, Some(format!("{reason} {progress}")))
}

/// Judges a stream that arrived whole.
fn judge_stream(exchange: &Exchange, answer: &Answer) -> (Outcome, Option<String>) {
    match &answer.fault {
        Some(Fault::Stream(text)) => return (Outcome::StreamError, Some(text.clone())),
        Some(Fault::Protocol(text)) => return (Outcome::BadStream, Some(text.clone())),
        None => {}
    }
    if answer.first_event_ns.is_none() {
        let text = format!(
            "the answer is no event stream: {}",
            error_text(&exchange.recording.bytes)
        );
        return (Outcome::BadStream, Some(text));
    }
    if !answer.done && answer.finish_reason.is_none() {
        return (
            Outcome::BadStream,
            Some("the stream ended without its finish marker".to_owned()),
        );
    }
    let asked = exchange.facts.asked_output_tokens;
    let reason = answer.finish_reason.as_deref().unwrap_or("none");
    let short = match answer.usage.and_then(|usage| usage.completion_tokens) {
        Some(tokens) => (tokens < asked).then(|| format!("{tokens} of {asked} tokens")),
        // Without counts, an engine that says it stopped at the limit is believed: an event may hold several tokens.
        None => (reason != "length" && answer.content_ns.len() < asked as usize).then(|| {
            format!(
                "{} content events for {asked} tokens",
                answer.content_ns.len()
            )
        }),
    };
    match short {
        Some(short) => (
            Outcome::Truncated,
            Some(format!("{short}, finish reason {reason}")),
        ),
        None => (Outcome::Ok, None),
    }
}
