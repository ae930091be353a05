//! A comparison for a terminal: what differs between the runs, a line for each metric, and what it comes to.

use anstyle::{AnsiColor, Style};
use schemas::scenario::{Metric, Statistic};

use crate::{figures, metrics, number, phrase, text_table, values};

use super::{Compared, Comparison, Difference, Finding, RunName};

const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const OPEN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();
/// Characters of a differing value at most; `--json` has them whole.
const LONGEST: usize = 60;

/// The text, lines ended by newlines.
pub(crate) fn terminal(comparison: &Comparison, color: bool) -> String {
    let paint = |style: Style, text: &str| {
        if color && style != PLAIN {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    };
    let mut text = String::new();
    let mut line = |style: Style, content: &str| {
        text.push_str(&format!("  {}\n", paint(style, content)));
    };
    line(PLAIN, &run("A", &comparison.base));
    line(PLAIN, &run("B", &comparison.new));
    for difference in &comparison.differences {
        line(OPEN, &differing(difference));
    }
    if let Some(reason) = &comparison.not_comparable {
        line(PLAIN, "");
        line(OPEN, &format!("○ not comparable  {reason}"));
        return text;
    }
    line(PLAIN, "");
    let rows: Vec<Vec<String>> = std::iter::once(head())
        .chain(comparison.metrics.iter().map(row))
        .collect();
    for (number, content) in text_table::lines(&rows).iter().enumerate() {
        let style = match number
            .checked_sub(1)
            .map(|index| comparison.metrics[index].finding)
        {
            None => FAINT,
            Some(finding) => style(finding),
        };
        line(style, content);
    }
    line(PLAIN, "");
    let worst = comparison.metrics.iter().map(|metric| metric.finding).max();
    line(worst.map_or(OPEN, style), &summary(comparison));
    text
}

fn run(letter: &str, name: &RunName) -> String {
    format!("{letter}  {}, run {}", name.scenario, name.run_id)
}

fn differing(difference: &Difference) -> String {
    let value = |value: &Option<String>| {
        value
            .as_deref()
            .map_or_else(|| figures::UNKNOWN.to_owned(), shortened)
    };
    let (a, b) = (value(&difference.base), value(&difference.new));
    if a == b {
        // Equal as far as there is room.
        return format!("not the same: {}", difference.what);
    }
    format!("not the same: {}: {a} in A, {b} in B", difference.what)
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST {
        return line;
    }
    let front: String = line.chars().take(LONGEST - 1).collect();
    format!("{front}…")
}

fn head() -> Vec<String> {
    ["experiment", "engine", "metric", "A", "B", "B / A", ""]
        .map(str::to_owned)
        .to_vec()
}

fn row(metric: &Compared) -> Vec<String> {
    let alone = |found: &Option<crate::stats::Estimate>| {
        found.map_or_else(
            || figures::UNKNOWN.to_owned(),
            |found| phrase::quantity(found.value, metric.unit),
        )
    };
    let ratio = figures::estimate_or_unknown(metric.ratio.as_ref(), crate::analysis::Unit::Ratio);
    let word = finding(metric.finding);
    let found = match &metric.reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word.to_owned(),
    };
    vec![
        metric.label.clone(),
        metric.engine.clone(),
        named(metric),
        alone(&metric.base),
        alone(&metric.new),
        ratio,
        found,
    ]
}

/// The metric in words: `ttft of reused requests`.
fn named(metric: &Compared) -> String {
    let name = metrics::name(metric.metric);
    let statistic = match metric.statistic {
        Statistic::Median => String::new(),
        other => format!("{} ", values::statistic_name(other)),
    };
    match metric.metric {
        Metric::Goodput | Metric::GpuMemory | Metric::Rss => format!("{statistic}{name}"),
        _ => format!(
            "{statistic}{name} of {} requests",
            metrics::requests_name(metric.requests)
        ),
    }
}

fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Better => "● better",
        Finding::NoDifferenceSeen => "● no difference seen",
        Finding::NotComparable => "○ not comparable",
        Finding::Worse => "■ worse",
    }
}

fn style(finding: Finding) -> Style {
    match finding {
        Finding::Better => GOOD,
        Finding::NoDifferenceSeen => PLAIN,
        Finding::NotComparable => OPEN,
        Finding::Worse => BAD,
    }
}

fn summary(comparison: &Comparison) -> String {
    let counted = [
        (Finding::Worse, "worse"),
        (Finding::Better, "better"),
        (Finding::NoDifferenceSeen, "without a difference seen"),
        (Finding::NotComparable, "not comparable"),
    ];
    let parts: Vec<String> = counted
        .into_iter()
        .filter_map(|(wanted, words)| {
            let number = comparison
                .metrics
                .iter()
                .filter(|metric| metric.finding == wanted)
                .count();
            (number > 0).then(|| format!("{number} {words}"))
        })
        .collect();
    if parts.is_empty() {
        return "○ nothing to compare".to_owned();
    }
    format!(
        "of {}: {} (beyond ±{}, 95 % intervals, corrected for their number)",
        number::counted(comparison.metrics.len() as u64, "metric", "metrics"),
        parts.join(", "),
        phrase::percent(comparison.threshold)
    )
}
