//! An expectation in words: `ttft of lmcache at most 0.5 × baseline`.

use schemas::scenario::{Bound, Expect, Metric, Requests, Statistic};

use crate::{analysis::Unit, metrics, phrase, values};

/// The expectation about one engine as a reader says it; what is usual (median, reused requests) is left out.
pub(crate) fn text(expect: &Expect, engine: &str, unit: Unit) -> String {
    let mut text = String::new();
    if expect.statistic != Statistic::Median {
        text += values::statistic_name(expect.statistic);
        text += " ";
    }
    text += metrics::name(expect.metric);
    if expect.requests != Requests::Reused && of_requests(expect.metric) {
        text += &format!(" of {} requests", metrics::requests_name(expect.requests));
    }
    text += &format!(" of {engine}");
    if let Some(tier) = &expect.tier {
        text += &format!(" served by {tier}");
    }
    if let Some(phase) = expect.phase {
        text += &format!(" {}", phrase::phase(phase));
    }
    text += " ";
    text += &bounds(expect);
    text += &relative(expect, unit);
    for (key, value) in &expect.only_where {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text += &format!(", at {key} {value}");
    }
    text
}

fn bounds(expect: &Expect) -> String {
    match (&expect.at_least, &expect.at_most) {
        (Some(least), Some(most)) => {
            format!("at least {} and at most {}", bound(least), bound(most))
        }
        (Some(least), None) => format!("at least {}", bound(least)),
        (None, Some(most)) => format!("at most {}", bound(most)),
        (None, None) => "without a bound".to_owned(),
    }
}

fn bound(bound: &Bound) -> String {
    match bound {
        Bound::Number(number) => number.to_string(),
        Bound::Quantity(text) => text.clone(),
    }
}

fn relative(expect: &Expect, unit: Unit) -> String {
    if expect.metric == Metric::OutputsEqual {
        return expect
            .relative_to
            .as_ref()
            .map_or_else(String::new, |other| format!(", compared with {other}"));
    }
    if unit != Unit::Ratio {
        return String::new();
    }
    match (&expect.relative_to, expect.relative_to_requests) {
        (Some(other), None) => format!(" × {other}"),
        (Some(other), Some(requests)) => {
            format!(
                " × {} requests of {other}",
                metrics::requests_name(requests)
            )
        }
        (None, Some(requests)) => format!(" × its {} requests", metrics::requests_name(requests)),
        (None, None) => String::new(),
    }
}

/// Whether a metric depends on which requests are asked about.
fn of_requests(metric: Metric) -> bool {
    !matches!(metric, Metric::Goodput | Metric::GpuMemory | Metric::Rss)
}
