//! What an expectation measures in one experiment: the estimate of its metric, alone or as a ratio.

use schemas::scenario::{Expect, Metric, Phase, Requests};

use crate::{
    agreement,
    facts::{Facts, Span},
    metrics, resources, series,
    stats::Estimate,
    values::{self, Comparison},
    verdict::{NotMeasuredCause, judge::NotMeasured},
};

/// Values by trial.
pub(crate) type PerTrial = Vec<(u32, f64)>;

/// The estimate that an expectation's bounds are held against, in the expectation's unit.
pub(crate) fn measure(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    relative_to: Option<u32>,
    expect: &Expect,
) -> Result<Estimate, NotMeasured> {
    let no_value = |reason: String| NotMeasured::new(NotMeasuredCause::NoValue, reason);
    let of_phase;
    let facts = match expect.phase {
        None => facts,
        Some(phase) => {
            of_phase = phase_of(facts, experiment, engine_id, phase)?;
            &of_phase
        }
    };
    told_apart(facts, engine_id, expect)?;
    if expect.metric == Metric::OutputsEqual {
        return outputs_equal(facts, experiment, engine_id, relative_to, expect);
    }
    let of = |engine: u32, requests: Requests, for_ratio: bool| {
        one(facts, experiment, engine, requests, expect, for_ratio)
    };
    match (relative_to, expect.relative_to_requests) {
        (None, None) => match of(engine_id, expect.requests, false)? {
            Found::Trials(trials) => values::mean_of(&trials)
                .ok_or_else(|| no_value(format!("{} has no values", metrics::name(expect.metric)))),
            Found::Count(estimate) => Ok(estimate),
        },
        (other, requests) => {
            let other = other.unwrap_or(engine_id);
            let above = of(engine_id, expect.requests, true)?;
            let below = of(other, requests.unwrap_or(expect.requests), true)?;
            ratio(
                facts,
                experiment,
                (engine_id, other),
                expect.metric,
                above,
                below,
            )
        }
    }
}

/// The facts of one phase only.
pub(crate) fn phase_of<'a>(
    facts: &Facts<'a>,
    experiment: u32,
    engine_id: u32,
    phase: Phase,
) -> Result<Facts<'a>, NotMeasured> {
    let found = facts.of_phase(phase);
    if found.has_rows(experiment, engine_id) {
        Ok(found)
    } else {
        Err(NotMeasured::new(
            NotMeasuredCause::NoValue,
            "no event was recorded that requests could be before or after",
        ))
    }
}

/// Whether rows tell which requests an expectation about a tier is about.
pub(crate) fn told_apart(
    facts: &Facts<'_>,
    engine_id: u32,
    expect: &Expect,
) -> Result<(), NotMeasured> {
    if let Some(tier) = &expect.tier {
        let tiers = facts
            .engine(engine_id)
            .map_or(&[][..], |engine| &engine.tiers);
        if !matches!(tiers, [only] if only.name == *tier) {
            return Err(NotMeasured::new(
                NotMeasuredCause::NoValue,
                format!(
                    "requests do not tell which of several tiers served them, and {} does not have {tier} alone",
                    facts.engine_name(engine_id)
                ),
            ));
        }
    }
    Ok(())
}

/// What one engine's requests give.
enum Found {
    /// A value a trial.
    Trials(PerTrial),
    /// One number for the whole.
    Count(Estimate),
}

fn one(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    requests: Requests,
    expect: &Expect,
    for_ratio: bool,
) -> Result<Found, NotMeasured> {
    let name = facts.engine_name(engine_id);
    let no_value = |reason: String| NotMeasured::new(NotMeasuredCause::NoValue, reason);
    let missing = |what: &str| no_value(format!("{name}: {what}"));
    match expect.metric {
        Metric::Ttft | Metric::Itl | Metric::Tpot | Metric::Latency | Metric::Throughput => {
            of_requests(facts, experiment, engine_id, requests, expect).map(Found::Trials)
        }
        Metric::Goodput => {
            let limits = facts
                .data
                .plan
                .goodput
                .as_ref()
                .ok_or_else(|| missing("the scenario has no [goodput] limits"))?;
            let trials: PerTrial = facts
                .turns(experiment, engine_id)
                .filter_map(|(trial, turn)| {
                    Some((trial, metrics::goodput(facts.frame(), turn, limits)?))
                })
                .collect();
            if trials.is_empty() {
                return Err(missing("no trial has a goodput"));
            }
            Ok(Found::Trials(trials))
        }
        Metric::Completed => series::completed(facts, experiment, engine_id, requests)
            .map(Found::Count)
            .ok_or_else(|| {
                missing(&format!(
                    "no {} requests were due",
                    metrics::requests_name(requests)
                ))
            }),
        Metric::CachedFraction => series::share_over_turns(facts, experiment, engine_id, |turn| {
            metrics::cached_fraction(facts.frame(), facts.cacheable_tokens(), turn, requests)
        })
        .map(Found::Count)
        .ok_or_else(|| missing("no request tells its cached tokens")),
        Metric::GpuMemory => {
            let peak = peaks(facts, experiment, engine_id)
                .gpu_bytes
                .ok_or_else(|| missing("no sensor tells its device memory"))?;
            // Two peaks only repeat the engines' memory flags: what is compared lies beyond the pool, where that is known.
            let pool = resources::pool_bytes(facts, engine_id).filter(|_| for_ratio);
            Ok(bytes(
                pool.and_then(|pool| peak.checked_sub(pool)).unwrap_or(peak),
            ))
        }
        Metric::Rss => peaks(facts, experiment, engine_id)
            .together_rss_bytes
            .map(bytes)
            .ok_or_else(|| missing("no sensor tells its resident memory")),
        // Judged before: it has no value of one engine.
        Metric::OutputsEqual => Err(missing("outputs are compared, not measured alone")),
    }
}

/// Each trial's statistic of a metric that single requests have values of.
pub(crate) fn of_requests(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    requests: Requests,
    expect: &Expect,
) -> Result<PerTrial, NotMeasured> {
    let no_value = |reason: String| NotMeasured::new(NotMeasuredCause::NoValue, reason);
    let trials = values::by_trial(facts, experiment, engine_id, expect.metric, |request| {
        metrics::matches(requests, request.kind)
            // With one tier only, what was cached came from it.
            && (expect.tier.is_none() || request.cached_tokens.is_some_and(|tokens| tokens > 0))
    });
    if trials.is_empty() {
        return Err(no_value(format!(
            "no {} request of {} has a {}",
            metrics::requests_name(requests),
            facts.engine_name(engine_id),
            metrics::name(expect.metric)
        )));
    }
    let most = trials
        .iter()
        .map(|trial| trial.sorted.len())
        .max()
        .unwrap_or(0);
    let per_trial: PerTrial = trials
        .iter()
        .filter_map(|trial| {
            Some((
                trial.trial,
                values::statistic(&trial.sorted, expect.statistic)?,
            ))
        })
        .collect();
    // A statistic of some trials only would leave out the small ones unsaid.
    if per_trial.len() < trials.len() {
        return Err(no_value(format!(
            "{most} values a trial are too few for a {}",
            values::statistic_name(expect.statistic)
        )));
    }
    Ok(per_trial)
}

fn ratio(
    facts: &Facts<'_>,
    experiment: u32,
    (engine_id, other): (u32, u32),
    metric: Metric,
    above: Found,
    below: Found,
) -> Result<Estimate, NotMeasured> {
    let found = match (above, below) {
        (Found::Trials(above), Found::Trials(below)) => {
            let comparison = if engine_id == other {
                // Requests of one trial belong together.
                Comparison {
                    paired: true,
                    pilot: None,
                }
            } else {
                Comparison::of(facts, experiment, engine_id, other, metric)
            };
            comparison.ratio(&above, &below)
        }
        (Found::Count(above), Found::Count(below)) => (below.value > 0.0).then(|| Estimate {
            value: above.value / below.value,
            low: None,
            high: None,
            n: above.n.min(below.n),
        }),
        (Found::Trials(_), Found::Count(_)) | (Found::Count(_), Found::Trials(_)) => None,
    };
    found.ok_or_else(|| {
        NotMeasured::new(
            NotMeasuredCause::NoValue,
            format!(
                "{} gives no ratio: no trial in common, or a value of 0",
                metrics::name(metric)
            ),
        )
    })
}

fn outputs_equal(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    relative_to: Option<u32>,
    expect: &Expect,
) -> Result<Estimate, NotMeasured> {
    let no_value = |reason: String| NotMeasured::new(NotMeasuredCause::NoValue, reason);
    let other = relative_to
        .filter(|other| *other != engine_id)
        .ok_or_else(|| no_value("there is no other engine to compare outputs with".to_owned()))?;
    let found = agreement::between(
        facts,
        experiment,
        engine_id,
        other,
        expect.requests,
        |request| metrics::matches(expect.requests, request.kind),
    )
    .ok_or_else(|| {
        no_value(format!(
            "no {} request ended ok on both engines with a known text",
            metrics::requests_name(expect.requests)
        ))
    })?;
    let value = found
        .share()
        .ok_or_else(|| no_value("there are no pairs of outputs".to_owned()))?;
    Ok(Estimate {
        value,
        low: None,
        high: None,
        n: u32::try_from(found.pairs).unwrap_or(u32::MAX),
    })
}

fn peaks(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> resources::Peaks {
    let spans: Vec<Span> = facts
        .turns(experiment, engine_id)
        .filter_map(|(_, turn)| facts.span(turn))
        .collect();
    resources::peaks(facts, engine_id, Some(&spans))
}

fn bytes(value: u64) -> Found {
    Found::Count(Estimate {
        value: value as f64,
        low: None,
        high: None,
        n: 1,
    })
}
