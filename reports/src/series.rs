//! One engine in one experiment: its requests as points, its estimates and its distributions.

use std::collections::{BTreeMap, HashMap};

use schemas::{
    row::{Outcome, RequestKind},
    sample::Edge,
    scenario::{Metric, Requests, Statistic},
};

use crate::{
    analysis::{
        CounterDelta, Distribution, EngineResult, MetricEstimate, Outcomes, Ratio, RequestPoint,
    },
    facts::Facts,
    metrics, rising,
    stats::{self, Estimate},
    values::{self, Comparison},
    verdict::measure::PerTrial,
};

/// What an engine's rows in an experiment say.
pub(crate) fn engine_result(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> EngineResult {
    let (estimates, distributions) = spread(facts, experiment, engine_id);
    let goodput = facts.data.plan.goodput.as_ref();
    let frame = facts.frame();
    EngineResult {
        engine_id,
        skipped: facts.skipped(experiment, engine_id).map(str::to_owned),
        outcomes: outcomes(
            facts
                .requests(experiment, engine_id)
                .map(|(_, request)| request.outcome),
        ),
        points: points(facts, experiment, engine_id),
        estimates,
        distributions,
        wall_throughput: over_turns(facts, experiment, engine_id, |turn| {
            metrics::wall_throughput(frame, turn)
        }),
        attainment: goodput.and_then(|limits| {
            share_over_turns(facts, experiment, engine_id, |turn| {
                let (good, due) = metrics::attained(frame, turn, limits);
                (due > 0).then(|| good as f64 / due as f64)
            })
        }),
        goodput: goodput.and_then(|limits| {
            over_turns(facts, experiment, engine_id, |turn| {
                metrics::goodput(frame, turn, limits)
            })
        }),
        completed: completed(facts, experiment, engine_id, Requests::All).map(|found| found.value),
        cached_fraction: share_over_turns(facts, experiment, engine_id, |turn| {
            metrics::cached_fraction(frame, facts.cacheable_tokens(), turn, Requests::All)
        }),
        counters: counters(facts, experiment, engine_id),
    }
}

/// Rows by outcome.
pub(crate) fn outcomes(rows: impl Iterator<Item = Outcome>) -> Outcomes {
    let mut counts = HashMap::<Outcome, u64>::new();
    for outcome in rows {
        *counts.entry(outcome).or_default() += 1;
    }
    let all = counts.values().sum();
    let ok = counts.remove(&Outcome::Ok).unwrap_or(0);
    let mut failed: Vec<(Outcome, u64)> = counts.into_iter().collect();
    failed.sort_by_key(|(outcome, count)| {
        (
            std::cmp::Reverse(*count),
            crate::frame::outcome_name(*outcome),
        )
    });
    Outcomes {
        rows: all,
        ok,
        failed,
    }
}

/// Share of an engine's due requests of an experiment that ended `ok`, over all trials together; n counts requests. No interval: it is a count, not a sample's mean.
pub(crate) fn completed(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    requests: Requests,
) -> Option<Estimate> {
    let (mut due, mut ok) = (0u32, 0u32);
    for (_, request) in facts.requests(experiment, engine_id) {
        if metrics::due(request) && metrics::matches(requests, request.kind) {
            due += 1;
            ok += u32::from(metrics::measured(request));
        }
    }
    (due > 0).then(|| Estimate {
        value: f64::from(ok) / f64::from(due),
        low: None,
        high: None,
        n: due,
    })
}

/// The mean over turns of a number that each turn has one of, which is never below 0.
pub(crate) fn over_turns(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    number: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Estimate> {
    let values: Vec<f64> = facts
        .turns(experiment, engine_id)
        .filter_map(|(_, turn)| number(turn))
        .collect();
    stats::level_estimate(&values)
}

/// The mean over turns of a share that each turn has one of. No interval: it is a count of what happened, not a sample's mean.
pub(crate) fn share_over_turns(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    share: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Estimate> {
    over_turns(facts, experiment, engine_id, share).map(|found| Estimate {
        low: None,
        high: None,
        ..found
    })
}

/// Ratios of an engine to another, for every metric and kind of request that both have values of.
pub(crate) fn ratios(
    facts: &Facts<'_>,
    experiment: u32,
    above: &EngineResult,
    below: &EngineResult,
) -> Vec<Ratio> {
    let paired = facts.interleaved(experiment, above.engine_id, below.engine_id);
    above
        .estimates
        .iter()
        .filter_map(|numerator| {
            let (metric, requests) = (numerator.metric, numerator.requests);
            let denominator = below.estimate(metric, requests)?;
            let comparison = Comparison::new(facts, paired, metric);
            Some(Ratio {
                metric,
                requests,
                engine_id: above.engine_id,
                relative_to: below.engine_id,
                estimate: comparison.ratio(&numerator.per_trial, &denominator.per_trial)?,
                paired: comparison.paired,
            })
        })
        .collect()
}

fn points(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Vec<RequestPoint> {
    let outliers = outliers(facts, experiment, engine_id);
    facts
        .requests(experiment, engine_id)
        .map(|(index, request)| RequestPoint {
            trial: request.trial,
            request_id: request.request_id,
            kind: request.kind,
            outcome: request.outcome,
            ttft_s: metrics::ttft_s(request),
            throughput: metrics::throughput(request),
            intended_ns: request.intended_ns,
            connect_ns: request.connect_ns,
            sent_ns: request.sent_ns,
            first_content_ns: request.first_content_ns,
            last_content_ns: request.last_content_ns,
            done_ns: request.done_ns,
            prompt_tokens: request.prompt_tokens,
            expected_cached_tokens: request.expected_cached_tokens,
            cached_tokens: request.cached_tokens,
            outlier: outliers.contains(&index),
        })
        .collect()
}

/// Requests whose TTFT is far from that of the requests of the same kind and context length, over all trials.
fn outliers(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
) -> std::collections::HashSet<usize> {
    let mut alike = BTreeMap::<(RequestKind, u32), (Vec<usize>, Vec<f64>)>::new();
    for (index, request) in facts.requests(experiment, engine_id) {
        if let Some(ttft) = metrics::ttft_s(request).filter(|_| metrics::measured(request)) {
            let (indices, values) = alike
                .entry((request.kind, request.context_tokens))
                .or_default();
            indices.push(index);
            values.push(ttft);
        }
    }
    alike
        .into_values()
        .flat_map(|(indices, values)| {
            indices
                .into_iter()
                .zip(stats::outliers(&values))
                .filter(|(_, far)| *far)
                .map(|(index, _)| index)
        })
        .collect()
}

/// Estimates and distributions of every metric, for each kind of request and for all together.
fn spread(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
) -> (Vec<MetricEstimate>, Vec<Distribution>) {
    let kinds = measured_by_kind(facts, experiment, engine_id);
    let mut estimates = Vec::new();
    let mut distributions = Vec::new();
    for metric in values::OF_REQUESTS {
        let mut all = BTreeMap::<u32, Vec<Vec<f64>>>::new();
        let mut of_kinds = Vec::new();
        for (kind, requests) in values::KINDS {
            let Some(trials) = kinds.get(&kind) else {
                continue;
            };
            let mut medians = PerTrial::new();
            for (trial, rows) in trials {
                let sorted = values::sorted(facts.frame(), metric, rows.iter().copied());
                if let Some(median) = values::statistic(&sorted, Statistic::Median) {
                    medians.push((*trial, median));
                    all.entry(*trial).or_default().push(sorted);
                }
            }
            if medians.is_empty() {
                continue;
            }
            estimates.extend(estimate(metric, requests, medians));
            let rows = trials.iter().flat_map(|(_, rows)| rows).copied();
            let sorted = values::sorted(facts.frame(), metric, rows);
            distributions.extend(distribution(metric, requests, &sorted));
            of_kinds.push(sorted);
        }
        let medians: PerTrial = all
            .iter()
            .filter_map(|(trial, kinds)| Some((*trial, rising::middle(kinds)?)))
            .collect();
        if !medians.is_empty() {
            estimates.extend(estimate(metric, Requests::All, medians));
            let sorted = rising::merged(of_kinds);
            distributions.extend(distribution(metric, Requests::All, &sorted));
        }
    }
    (estimates, distributions)
}

/// Row numbers by trial.
type RowsByTrial = Vec<(u32, Vec<usize>)>;

/// The rows that enter statistics, by kind of request.
fn measured_by_kind(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
) -> BTreeMap<RequestKind, RowsByTrial> {
    let requests = &facts.frame().requests;
    let mut kinds = BTreeMap::<RequestKind, RowsByTrial>::new();
    for (trial, turn) in facts.turns(experiment, engine_id) {
        for &index in turn {
            let request = &requests[index];
            if !metrics::measured(request) {
                continue;
            }
            let trials = kinds.entry(request.kind).or_default();
            match trials.last_mut() {
                Some((last, rows)) if *last == trial => rows.push(index),
                _ => trials.push((trial, vec![index])),
            }
        }
    }
    kinds
}

/// The estimate of each trial's median.
fn estimate(metric: Metric, requests: Requests, per_trial: PerTrial) -> Option<MetricEstimate> {
    Some(MetricEstimate {
        metric,
        requests,
        statistic: Statistic::Median,
        unit: metrics::unit(metric),
        estimate: values::mean_of(&per_trial)?,
        per_trial,
    })
}

fn distribution(metric: Metric, requests: Requests, sorted: &[f64]) -> Option<Distribution> {
    Some(Distribution {
        metric,
        requests,
        unit: metrics::unit(metric),
        summary: stats::summary(sorted)?,
        ecdf: stats::ecdf(sorted),
    })
}

/// Counters of an engine and its sidecars that moved during its turns; buckets of histograms are left to `counters.parquet`.
///
/// One that a process did not show before a turn, although it was asked, and shows afterwards stood at 0: Prometheus' clients make a counter with labels
/// at its first use.
fn counters(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Vec<CounterDelta> {
    let mut found = BTreeMap::<(&str, &str, &str), BTreeMap<u32, [Option<(u64, f64)>; 2]>>::new();
    let mut asked_before = BTreeMap::<(&str, u32), u64>::new();
    for counter in &facts.data.counters {
        if counter.experiment != experiment
            || facts.owner(&counter.subject) != Some(engine_id)
            || counter.name.ends_with("_bucket")
        {
            continue;
        }
        if counter.edge == Edge::Before {
            asked_before.insert((&counter.subject, counter.trial), counter.at_ns);
        }
        let edges = found
            .entry((&counter.subject, &counter.name, &counter.labels))
            .or_default()
            .entry(counter.trial)
            .or_default();
        let edge = match counter.edge {
            Edge::Before => &mut edges[0],
            Edge::After => &mut edges[1],
        };
        *edge = Some((counter.at_ns, counter.value));
    }
    found
        .into_iter()
        .filter_map(|((subject, name, labels), trials)| {
            let whole: Vec<((u64, f64), (u64, f64))> = trials
                .into_iter()
                .filter_map(|(trial, [before, after])| {
                    let unborn = || {
                        let asked = asked_before.get(&(subject, trial))?;
                        counts_up(name).then_some((*asked, 0.0))
                    };
                    Some((before.or_else(unborn)?, after?))
                })
                .collect();
            let (_, before) = whole
                .iter()
                .map(|(before, _)| *before)
                .min_by_key(|(at, _)| *at)?;
            let (_, after) = whole
                .iter()
                .map(|(_, after)| *after)
                .max_by_key(|(at, _)| *at)?;
            let delta: f64 = whole
                .iter()
                .map(|((_, before), (_, after))| after - before)
                .sum();
            (delta != 0.0).then(|| CounterDelta {
                subject: subject.to_owned(),
                name: name.to_owned(),
                labels: labels.to_owned(),
                before,
                after,
                delta,
            })
        })
        .collect()
}

/// By Prometheus' naming: a counter, or the count or sum of a histogram.
fn counts_up(name: &str) -> bool {
    ["_total", "_count", "_sum"]
        .iter()
        .any(|end| name.ends_with(end))
}
