//! Prometheus text of an engine or a sidecar becomes counters.

use prometheus_parse::{Scrape, Value};
use schemas::sample::{Counter, Edge};

/// Where and when counters were read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// ns since the run started.
    pub at_ns: u64,
    /// The process that was asked.
    pub subject: &'a str,
    /// Index of the experiment.
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// Before or after the requests.
    pub edge: Edge,
}

/// All plain values of a scrape; of histograms and summaries their sums and counts, which the format gives as plain values too.
pub fn parse(text: &str, reading: Reading<'_>) -> Vec<Counter> {
    let lines = text.lines().map(|line| Ok(line.to_owned()));
    let Ok(scrape) = Scrape::parse(lines) else { return Vec::new() };
    let counters = scrape.samples.into_iter().filter_map(|sample| {
        let value = match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
            Value::Histogram(_) | Value::Summary(_) => return None,
        };
        let mut labels: Vec<String> =
            sample.labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        labels.sort();
        value.is_finite().then(|| Counter {
            at_ns: reading.at_ns,
            subject: reading.subject.to_owned(),
            experiment: reading.experiment,
            trial: reading.trial,
            edge: reading.edge,
            name: sample.metric,
            labels: labels.join(","),
            value,
        })
    });
    counters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_keep_their_names_and_labels() {
        let text = "# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{model=\"m\",engine=\"0\"} 42\n\
                    # TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 2\nx_sum 1.5\nx_count 2\n";
        let reading = Reading { at_ns: 5, subject: "e", experiment: 1, trial: 2, edge: Edge::After };
        let counters = parse(text, reading);
        let tokens = counters.iter().find(|counter| counter.name == "vllm:prompt_tokens_total").unwrap();
        assert_eq!((tokens.value, tokens.labels.as_str()), (42.0, "engine=\"0\",model=\"m\""));
        assert!(counters.iter().any(|counter| counter.name == "x_count" && counter.value == 2.0), "{counters:?}");
    }
}
