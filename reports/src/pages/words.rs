//! The words of a report for typed facts: outcomes, kinds of request, verdicts, reasons.

use schemas::{
    row::Outcome,
    scenario::{Metric, Requests},
};

use crate::{
    analysis::{State, Unit},
    block::{Chip, Shape},
    chart::scale::Quantity,
    verdict::Verdict,
};

/// The outcome's name where a request failed.
pub(crate) fn failure(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Ok => None,
        Outcome::Refused => Some("refused"),
        Outcome::HttpStatus => Some("http-status"),
        Outcome::Timeout => Some("timeout"),
        Outcome::Truncated => Some("truncated"),
        Outcome::ConnectionLost => Some("connection-lost"),
        Outcome::StreamError => Some("stream-error"),
        Outcome::BadStream => Some("bad-stream"),
        Outcome::EngineExited => Some("engine-exited"),
        Outcome::Cancelled => Some("cancelled"),
        Outcome::NotSent => Some("not-sent"),
    }
}

/// A kind of request as an adjective.
pub(crate) fn requests(requests: Requests) -> &'static str {
    match requests {
        Requests::Reused => "reused",
        Requests::Cold => "cold",
        Requests::Grown => "grown",
        Requests::Batched => "batched",
        Requests::All => "all",
    }
}

/// A verdict with its shape.
pub(crate) fn verdict(verdict: Verdict) -> Chip {
    match verdict {
        Verdict::Met => Chip::new(Shape::Disc, "met"),
        Verdict::NotMeasured => Chip::new(Shape::Ring, "not measured"),
        Verdict::Undecided => Chip::new(Shape::Triangle, "undecided"),
        Verdict::NotMet => Chip::new(Shape::Square, "not met"),
    }
}

/// Where an experiment stands, with its shape.
pub(crate) fn state(state: State) -> Chip {
    match state {
        State::Valid => Chip::new(Shape::Disc, "VALID"),
        State::NotRun => Chip::new(Shape::Ring, "not run"),
        State::Invalid => Chip::new(Shape::Cross, "INVALID"),
    }
}

/// What an axis or a column of a unit measures.
pub(crate) fn quantity(unit: Unit) -> Quantity {
    match unit {
        Unit::Seconds => Quantity::Seconds,
        Unit::TokensPerSecond => Quantity::TokensPerSecond,
        Unit::Bytes => Quantity::Bytes,
        Unit::RequestsPerSecond | Unit::Ratio => Quantity::Plain,
        Unit::Share => Quantity::Share,
    }
}

/// The page that shows a metric.
pub(crate) fn anchor(metric: Metric) -> &'static str {
    match metric {
        Metric::Ttft => super::TTFT,
        Metric::Throughput => super::THROUGHPUT,
        Metric::Itl | Metric::Tpot | Metric::Latency => super::DISTRIBUTION,
        Metric::GpuMemory | Metric::Rss => super::MEMORY,
        Metric::CachedFraction | Metric::OutputsEqual => super::EVIDENCE,
        Metric::Goodput | Metric::Completed => super::CLIENT,
    }
}
