//! A metric's values, trial by trial, and the numbers that stand for them.

use schemas::{
    row::RequestKind,
    scenario::{Metric, Requests, Statistic},
};

use crate::{
    facts::Facts,
    frame::{Frame, Request},
    metrics, rising,
    stats::{self, Estimate},
};

/// Metrics that single requests (or, for ITL, single gaps) have values of.
pub(crate) const OF_REQUESTS: [Metric; 5] = [
    Metric::Ttft,
    Metric::Itl,
    Metric::Tpot,
    Metric::Latency,
    Metric::Throughput,
];

/// Kinds of request with the choice that asks for exactly one.
pub(crate) const KINDS: [(RequestKind, Requests); 4] = [
    (RequestKind::Cold, Requests::Cold),
    (RequestKind::Reused, Requests::Reused),
    (RequestKind::Grown, Requests::Grown),
    (RequestKind::Batched, Requests::Batched),
];

/// One trial's values in rising order.
pub(crate) struct TrialValues {
    pub trial: u32,
    pub sorted: Vec<f64>,
}

/// A metric's values over the requests of an engine in an experiment that ended `ok` and that `keep` keeps; trials without any are left out.
pub(crate) fn by_trial(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    metric: Metric,
    keep: impl Fn(&Request) -> bool,
) -> Vec<TrialValues> {
    let frame = facts.frame();
    facts
        .turns(experiment, engine_id)
        .filter_map(|(trial, turn)| {
            let kept = turn.iter().copied().filter(|&index| {
                let request = &frame.requests[index];
                metrics::measured(request) && keep(request)
            });
            let sorted = sorted(frame, metric, kept);
            (!sorted.is_empty()).then_some(TrialValues { trial, sorted })
        })
        .collect()
}

/// A metric's values of some requests in rising order.
pub(crate) fn sorted(
    frame: &Frame,
    metric: Metric,
    requests: impl Iterator<Item = usize>,
) -> Vec<f64> {
    if metric == Metric::Itl {
        let mut gaps_ns = Vec::new();
        requests.for_each(|index| gaps_ns.extend(metrics::itl_ns(frame, index)));
        return rising::seconds(gaps_ns);
    }
    let mut values: Vec<f64> = requests
        .filter_map(|index| metrics::value(metric, &frame.requests[index]))
        .collect();
    rising::sort(&mut values);
    values
}

/// A statistic of values in rising order; `None` without values, and for a quantile that so few values cannot tell.
pub(crate) fn statistic(sorted: &[f64], statistic: Statistic) -> Option<f64> {
    match statistic {
        Statistic::Median => stats::quantile(sorted, 0.5),
        Statistic::Mean => stats::mean(sorted),
        Statistic::P90 => stats::tail_quantile(sorted, 0.9),
        Statistic::P95 => stats::tail_quantile(sorted, 0.95),
        Statistic::P99 => stats::tail_quantile(sorted, 0.99),
        Statistic::Max => sorted.last().copied(),
        Statistic::Min => sorted.first().copied(),
    }
}

/// The name of a statistic in a scenario file.
pub(crate) fn statistic_name(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Median => "median",
        Statistic::Mean => "mean",
        Statistic::P90 => "p90",
        Statistic::P95 => "p95",
        Statistic::P99 => "p99",
        Statistic::Max => "max",
        Statistic::Min => "min",
    }
}

/// How two engines' (or two kinds of requests') trials are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// Trial by trial.
    pub paired: bool,
    /// How many trials were the pilot, where their spread decided how many there are (Stein).
    pub pilot: Option<usize>,
}

impl Comparison {
    /// How trials are compared in a metric, where it is known whether they are pairs.
    pub(crate) fn new(facts: &Facts<'_>, paired: bool, metric: Metric) -> Self {
        let trials = &facts.data.plan.trials;
        Self {
            paired,
            pilot: trials
                .until
                .filter(|(until, _)| *until == metric)
                .map(|_| trials.at_least as usize),
        }
    }

    /// How an engine's trials are compared with another's in an experiment.
    pub(crate) fn of(
        facts: &Facts<'_>,
        experiment: u32,
        one: u32,
        other: u32,
        metric: Metric,
    ) -> Self {
        Self::new(facts, facts.interleaved(experiment, one, other), metric)
    }

    /// The ratio of trial values: exp of the mean of ln(A/B). `None` without common trials, or where a value is not above 0.
    pub(crate) fn ratio(self, above: &[(u32, f64)], below: &[(u32, f64)]) -> Option<Estimate> {
        if !self.paired {
            let values = |of: &[(u32, f64)]| of.iter().map(|(_, value)| *value).collect::<Vec<_>>();
            return stats::unpaired_ratio(&values(above), &values(below));
        }
        let pairs: Vec<(f64, f64)> = above
            .iter()
            .filter_map(|(trial, a)| {
                let (_, b) = below.iter().find(|(other, _)| other == trial)?;
                Some((*a, *b))
            })
            .collect();
        match self.pilot {
            Some(pilot) if pairs.len() > pilot => {
                if pairs.iter().any(|(a, b)| *a <= 0.0 || *b <= 0.0) {
                    return None;
                }
                let logs: Vec<f64> = pairs.iter().map(|(a, b)| (a / b).ln()).collect();
                stats::two_stage_estimate(&logs, pilot).map(|found| found.map(f64::exp))
            }
            _ => stats::paired_ratio(&pairs),
        }
    }
}

/// The mean over trials of each trial's statistic, with its interval. No metric is ever below 0.
pub(crate) fn mean_of(per_trial: &[(u32, f64)]) -> Option<Estimate> {
    let values: Vec<f64> = per_trial.iter().map(|(_, value)| *value).collect();
    stats::level_estimate(&values)
}
