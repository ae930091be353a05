//! Every metric's one definition.
//!
//! "First" and "last" are the first and the last *content* event of a request's stream. Times are seconds. A metric that cannot be told is `None`, never 0.
//! The functions read stamps whatever the outcome; statistics are made over requests that ended `ok` (see [`measured`]).

use schemas::{
    row::{Outcome, RequestKind},
    scenario::{Goodput, Metric, Requests},
};

use crate::{
    analysis::{Definition, Unit},
    frame::{Frame, Request},
};

const NS_PER_S: f64 = 1e9;

/// `later − earlier` in seconds.
fn between(earlier: Option<u64>, later: Option<u64>) -> Option<f64> {
    let (earlier, later) = (earlier?, later?);
    Some((later as f64 - earlier as f64) / NS_PER_S)
}

/// Whether a request's times enter statistics: it ended `ok`. Failed requests keep their row and count in `completed`, attainment and goodput.
pub fn measured(request: &Request) -> bool {
    request.outcome == Outcome::Ok
}

/// Whether a request counts in shares: it was due and its end was not the user's doing.
pub fn due(request: &Request) -> bool {
    request.outcome != Outcome::Cancelled
}

/// Time to first token in s: from just before the request's first byte is written to the first content event.
pub fn ttft_s(request: &Request) -> Option<f64> {
    between(request.sent_ns, request.first_content_ns)
}

/// Time to first token in s from when the schedule wanted the request sent: what a user behind the schedule waits.
pub fn ttft_from_intended_s(request: &Request) -> Option<f64> {
    between(Some(request.intended_ns), request.first_content_ns)
}

/// Inter-token latency in ns: the gaps between a request's successive content events, one value a gap.
pub fn itl_ns(frame: &Frame, index: usize) -> impl Iterator<Item = u64> + '_ {
    frame
        .event_offsets_ns(index)
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]))
}

/// Inter-token latency in s.
pub fn itl_s(frame: &Frame, index: usize) -> impl Iterator<Item = f64> + '_ {
    itl_ns(frame, index).map(|gap| gap as f64 / NS_PER_S)
}

/// Time per output token in s: (last − first) / (output tokens − tokens in the first event).
pub fn tpot_s(request: &Request) -> Option<f64> {
    let tokens = request
        .output_tokens?
        .checked_sub(request.first_event_tokens?)?;
    let span = between(request.first_content_ns, request.last_content_ns)?;
    (tokens > 0).then(|| span / f64::from(tokens))
}

/// Latency in s: from just before the request's first byte is written to the last content event.
pub fn latency_s(request: &Request) -> Option<f64> {
    between(request.sent_ns, request.last_content_ns)
}

/// Throughput in tokens/s: output tokens / (last − first). `None` below 2 tokens, or where all of them came at once.
pub fn throughput(request: &Request) -> Option<f64> {
    let tokens = request.output_tokens.filter(|tokens| *tokens >= 2)?;
    let span = between(request.first_content_ns, request.last_content_ns)?;
    (span > 0.0).then(|| f64::from(tokens) / span)
}

/// Lateness of the client in s: sent − intended.
pub fn lateness_s(request: &Request) -> Option<f64> {
    between(Some(request.intended_ns), request.sent_ns)
}

/// Error of a measured TTFT in s: the first content's arrival − when a paced engine handed its first token to the socket.
pub fn ttft_error_s(request: &Request) -> Option<f64> {
    between(request.served_first_ns, request.first_content_ns)
}

/// The value of a metric that a request has exactly one of; `None` for metrics of several requests, and for ITL.
pub fn value(metric: Metric, request: &Request) -> Option<f64> {
    match metric {
        Metric::Ttft => ttft_s(request),
        Metric::Tpot => tpot_s(request),
        Metric::Latency => latency_s(request),
        Metric::Throughput => throughput(request),
        Metric::Itl
        | Metric::Goodput
        | Metric::Completed
        | Metric::CachedFraction
        | Metric::GpuMemory
        | Metric::Rss
        | Metric::OutputsEqual => None,
    }
}

/// Whether a request is one of those that are asked about.
pub fn matches(requests: Requests, kind: RequestKind) -> bool {
    match requests {
        Requests::Reused => kind == RequestKind::Reused,
        Requests::Cold => kind == RequestKind::Cold,
        Requests::Grown => kind == RequestKind::Grown,
        Requests::Batched => kind == RequestKind::Batched,
        Requests::All => true,
    }
}

/// Whether a request ended `ok` within all limits. A limit on ITL holds for its largest gap. What cannot be told is not within a limit.
pub fn within_limits(frame: &Frame, index: usize, limits: &Goodput) -> bool {
    let request = &frame.requests[index];
    let keeps = |limit: Option<schemas::quantity::Duration>, value: Option<f64>| match limit {
        None => true,
        Some(limit) => value.is_some_and(|value| value <= limit.0 as f64 / NS_PER_S),
    };
    measured(request)
        && keeps(limits.ttft, ttft_s(request))
        && keeps(limits.tpot, tpot_s(request))
        && keeps(limits.latency, latency_s(request))
        && keeps(
            limits.itl,
            itl_s(frame, index).fold(None, |worst: Option<f64>, gap| {
                Some(worst.map_or(gap, |worst| worst.max(gap)))
            }),
        )
}

/// Requests of one turn within all limits and requests due.
pub fn attained(frame: &Frame, turn: &[usize], limits: &Goodput) -> (u64, u64) {
    let due = turn
        .iter()
        .filter(|&&index| due(&frame.requests[index]))
        .count() as u64;
    let good = turn
        .iter()
        .filter(|&&index| within_limits(frame, index, limits))
        .count() as u64;
    (good, due)
}

/// Goodput of one turn in requests/s: requests within all limits / (last content of any − first intended).
/// Of a request without content its end stands for its last content, so that failing can shorten the span no more than it raises the count.
pub fn goodput(frame: &Frame, turn: &[usize], limits: &Goodput) -> Option<f64> {
    let (good, due) = attained(frame, turn, limits);
    if due == 0 {
        return None;
    }
    if good == 0 {
        return Some(0.0);
    }
    let span = wall_s(frame, turn)?;
    (span > 0.0).then(|| good as f64 / span)
}

/// Output tokens per second of one turn over its wall time: from the first intended to the last content.
pub fn wall_throughput(frame: &Frame, turn: &[usize]) -> Option<f64> {
    let tokens: u64 = turn
        .iter()
        .filter_map(|&index| frame.requests[index].output_tokens)
        .map(u64::from)
        .sum();
    let span = wall_s(frame, turn)?;
    (span > 0.0 && tokens > 0).then(|| tokens as f64 / span)
}

/// From the first intended of a turn to its last content (of a request without content: its end), in s.
fn wall_s(frame: &Frame, turn: &[usize]) -> Option<f64> {
    let requests = || turn.iter().map(|&index| &frame.requests[index]);
    between(
        requests().map(|request| request.intended_ns).min(),
        requests()
            .filter_map(|request| request.last_content_ns.or(request.done_ns))
            .max(),
    )
}

/// Share of a turn's due requests that ended `ok`.
pub fn completed(frame: &Frame, turn: &[usize]) -> Option<f64> {
    let requests = || {
        turn.iter()
            .map(|&index| &frame.requests[index])
            .filter(|request| due(request))
    };
    let due = requests().count();
    let ok = requests().filter(|request| measured(request)).count();
    (due > 0).then(|| ok as f64 / due as f64)
}

/// Tokens of each of a turn's prompts that could be cached: the part of its context that stood after earlier requests of the same context in this turn.
/// `None` for a request before which nothing stood. `turn` is in order of `request_id`.
///
/// In a conversation (`multi-turn`) that is everything before the new question: earlier questions, the replies to them, and the template's tokens around
/// each. Plans do not know the template, so it is counted by the engine: the prompt, less that of the first question, which had nothing before it.
pub fn cacheable_tokens(frame: &Frame, turn: &[usize], workload: &str) -> Vec<Option<u32>> {
    let mut stood = std::collections::BTreeMap::<u32, u32>::new();
    let mut first_question = std::collections::BTreeMap::<u32, Option<u32>>::new();
    turn.iter()
        .map(|&index| {
            let request = &frame.requests[index];
            let tokens = if workload == "multi-turn" {
                let first = *first_question.entry(request.context_id).or_insert(
                    request
                        .prompt_tokens
                        .filter(|_| request.context_tokens == 0),
                );
                request.prompt_tokens?.checked_sub(first?)
            } else {
                let entry = stood.entry(request.context_id).or_insert(0);
                let before = *entry;
                *entry = before.max(request.context_tokens);
                Some(before.min(request.context_tokens))
            };
            tokens.filter(|tokens| *tokens > 0)
        })
        .collect()
}

/// Cached fraction of one turn, or of a part of it: cached tokens / tokens that could be cached, summed over the requests asked about that tell both.
/// `cacheable_tokens` has [`cacheable_tokens`] of every row of the frame.
pub fn cached_fraction(
    frame: &Frame,
    cacheable_tokens: &[Option<u32>],
    turn: &[usize],
    requests: Requests,
) -> Option<f64> {
    let (mut cached, mut cacheable) = (0u64, 0u64);
    for &index in turn {
        let (request, could) = (&frame.requests[index], cacheable_tokens[index]);
        if !measured(request) || !matches(requests, request.kind) {
            continue;
        }
        if let (Some(found), Some(could)) = (request.cached_tokens, could) {
            cached += u64::from(found);
            cacheable += u64::from(could);
        }
    }
    (cacheable > 0).then(|| cached as f64 / cacheable as f64)
}

/// The metric's unit.
pub fn unit(metric: Metric) -> Unit {
    match metric {
        Metric::Ttft | Metric::Itl | Metric::Tpot | Metric::Latency => Unit::Seconds,
        Metric::Throughput => Unit::TokensPerSecond,
        Metric::Goodput => Unit::RequestsPerSecond,
        Metric::Completed | Metric::CachedFraction | Metric::OutputsEqual => Unit::Share,
        Metric::GpuMemory | Metric::Rss => Unit::Bytes,
    }
}

/// The metric's name in a scenario file.
pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Ttft => "ttft",
        Metric::Itl => "itl",
        Metric::Tpot => "tpot",
        Metric::Latency => "latency",
        Metric::Throughput => "throughput",
        Metric::Goodput => "goodput",
        Metric::Completed => "completed",
        Metric::CachedFraction => "cached-fraction",
        Metric::GpuMemory => "gpu-memory",
        Metric::Rss => "rss",
        Metric::OutputsEqual => "outputs-equal",
    }
}

/// The name of a choice of requests in a scenario file.
pub fn requests_name(requests: Requests) -> &'static str {
    match requests {
        Requests::Reused => "reused",
        Requests::Cold => "cold",
        Requests::Grown => "grown",
        Requests::Batched => "batched",
        Requests::All => "all",
    }
}

/// The definitions for the reader of a report.
pub const DEFINITIONS: [Definition; 11] = [
    Definition {
        name: "TTFT",
        unit: "s",
        text: "first content event − sent. Sent is taken just before the request's first byte is written, so the upload is inside and the connection beside it. Reasoning content counts; a chunk that carries only a role does not.",
    },
    Definition {
        name: "ITL",
        unit: "s",
        text: "gaps between successive content events of a request, one value a gap.",
    },
    Definition {
        name: "TPOT",
        unit: "s",
        text: "(last − first content event) / (output tokens − tokens in the first event).",
    },
    Definition {
        name: "latency",
        unit: "s",
        text: "last content event − sent.",
    },
    Definition {
        name: "throughput",
        unit: "tokens/s",
        text: "output tokens / (last − first content event) of one request; unknown below 2 tokens.",
    },
    Definition {
        name: "completed",
        unit: "share",
        text: "requests that ended ok / requests due.",
    },
    Definition {
        name: "attainment",
        unit: "share",
        text: "requests within all [goodput] limits / requests due; a failed one is never within them.",
    },
    Definition {
        name: "goodput",
        unit: "requests/s",
        text: "requests within all [goodput] limits / (last content event − first intended) of a turn.",
    },
    Definition {
        name: "cached fraction",
        unit: "share",
        text: "cached tokens by the engine / tokens of the context that stood after earlier requests of the same trial.",
    },
    Definition {
        name: "lateness",
        unit: "s",
        text: "sent − intended: the client's own error.",
    },
    Definition {
        name: "ratio",
        unit: "",
        text: "exp of the mean over trials of ln(A/B) of each trial's median; 95 % interval by Student's t from 3 trials, by the studentised bootstrap from 10.",
    },
];

#[cfg(test)]
mod tests;
