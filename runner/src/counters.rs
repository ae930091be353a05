//! Prometheus text of an engine or a sidecar becomes counters.

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

/// All finite values of a text in Prometheus' exposition format; of histograms and summaries their sums and counts, not the buckets.
///
/// Written here because the parsers on crates.io refuse the colon in names, which every name of vLLM has.
pub fn parse(text: &str, reading: Reading<'_>) -> Vec<Counter> {
    let samples = text.lines().filter_map(sample);
    let plain = samples.filter(|(name, labels, value)| {
        let is_part =
            labels.iter().any(|label| label.starts_with("quantile=")) || name.ends_with("_bucket");
        value.is_finite() && !is_part
    });
    let counters = plain.map(|(name, labels, value)| Counter {
        at_ns: reading.at_ns,
        subject: reading.subject.to_owned(),
        experiment: reading.experiment,
        trial: reading.trial,
        edge: reading.edge,
        name: name.to_owned(),
        labels: labels.join(","),
        value,
    });
    counters.collect()
}

/// `name{label="value",…} value [timestamp]` as name, sorted labels and value; null for comments and anything else.
fn sample(line: &str) -> Option<(&str, Vec<&str>, f64)> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))?;
    let (name, rest) = line.split_at(end);
    let (mut labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    labels.sort_unstable();
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    (!name.is_empty()).then_some((name, labels, value))
}

/// Labels up to the closing brace, as written, and what follows. A quoted value may hold commas, braces and escaped quotes.
fn labels(text: &str) -> Option<(Vec<&str>, &str)> {
    let mut labels = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | '}' if !quoted => {
                let label = text[start..at].trim();
                if !label.is_empty() {
                    labels.push(label);
                }
                start = at + 1;
                if c == '}' {
                    return Some((labels, &text[start..]));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything_and_nonsense_is_passed_over() {
        let parsed = sample(r#"a:b{z="1,}",y="q\"}",} 3 1700000000"#);
        assert_eq!(
            parsed,
            Some(("a:b", vec![r#"y="q\"}""#, r#"z="1,}""#], 3.0))
        );
        for line in ["", "# HELP a b", "a{", "a{x=\"} 1", "a b", "{} 1", "a"] {
            assert_eq!(sample(line), None, "{line}");
        }
    }

    #[test]
    fn counters_keep_their_names_and_labels() {
        let text = "# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{model=\"m\",engine=\"0\"} 42\n\
                    # TYPE x histogram\nx_bucket{le=\"1\"} 1\nx_bucket{le=\"+Inf\"} 2\nx_sum 1.5\nx_count 2\n";
        let reading = Reading {
            at_ns: 5,
            subject: "e",
            experiment: 1,
            trial: 2,
            edge: Edge::After,
        };
        let counters = parse(text, reading);
        let tokens = counters
            .iter()
            .find(|counter| counter.name == "vllm:prompt_tokens_total")
            .unwrap();
        assert_eq!(
            (tokens.value, tokens.labels.as_str()),
            (42.0, "engine=\"0\",model=\"m\"")
        );
        assert!(
            counters
                .iter()
                .any(|counter| counter.name == "x_count" && counter.value == 2.0),
            "{counters:?}"
        );
        assert!(counters.iter().all(|counter| counter.name != "x_bucket"));
    }
}
