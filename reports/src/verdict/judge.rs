//! The judgement of `[[expect]]`: each table against each experiment that it is about.
//!
//! Numbers with trials behind them are decided by their 95 % interval: met when the whole interval satisfies the bound, not met when the whole interval violates it, else
//! undecided; below 3 trials there is no interval, so they are undecided. Shares (`completed`, `cached-fraction`, `outputs-equal`) and peaks of memory
//! are counts of what happened, and are decided on the value itself.

use schemas::scenario::{Bound, Expect, Metric};

use crate::{
    analysis::{ExperimentAnalysis, State, Unit},
    facts::Facts,
    metrics,
    stats::Estimate,
    verdict::{Case, ExpectationResult, NotMeasuredCause, Verdict, declared, measure, words},
};

/// Every expectation, in the file's order; one about several engines gives one for each.
pub(crate) fn expectations(
    facts: &Facts<'_>,
    experiments: &[ExperimentAnalysis],
) -> Vec<ExpectationResult> {
    facts
        .data
        .plan
        .expectations
        .iter()
        .enumerate()
        .flat_map(|(index, expect)| {
            expect
                .engine
                .values()
                .iter()
                .map(move |engine| judge(facts, experiments, index as u32, expect, engine))
        })
        .collect()
}

/// A reason not to measure.
pub(crate) struct NotMeasured {
    pub cause: NotMeasuredCause,
    pub reason: String,
}

impl NotMeasured {
    pub(crate) fn new(cause: NotMeasuredCause, reason: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
        }
    }
}

/// The bounds in the unit of the measured value.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    at_most: Option<f64>,
    at_least: Option<f64>,
}

fn judge(
    facts: &Facts<'_>,
    experiments: &[ExperimentAnalysis],
    index: u32,
    expect: &Expect,
    engine: &str,
) -> ExpectationResult {
    let unit = unit(expect);
    let bound = |bound: &Option<Bound>| bound.as_ref().map(|bound| in_unit(bound, unit));
    let (at_most, at_least) = (bound(&expect.at_most), bound(&expect.at_least));
    let unreadable = at_most == Some(None) || at_least == Some(None);
    let bounds = Bounds {
        at_most: at_most.flatten(),
        at_least: at_least.flatten(),
    };
    let cases = if unreadable {
        vec![nowhere(NotMeasured::new(
            NotMeasuredCause::NoValue,
            format!(
                "a bound of {} is in another unit",
                metrics::name(expect.metric)
            ),
        ))]
    } else {
        cases(facts, experiments, expect, engine, bounds)
    };
    ExpectationResult {
        index,
        text: words::text(expect, engine, unit),
        metric: expect.metric,
        engine: engine.to_owned(),
        at_most: bounds.at_most,
        at_least: bounds.at_least,
        unit,
        verdict: cases
            .iter()
            .map(|case| case.verdict)
            .max()
            .unwrap_or(Verdict::NotMeasured),
        cases,
    }
}

/// The unit of an expectation's values: a ratio's where it compares, else the metric's own. Equal outputs are a share although they name another engine.
fn unit(expect: &Expect) -> Unit {
    let compares = expect.relative_to.is_some() || expect.relative_to_requests.is_some();
    if compares && expect.metric != Metric::OutputsEqual {
        Unit::Ratio
    } else {
        metrics::unit(expect.metric)
    }
}

/// A bound as a number of the unit; `None` when it is a quantity of another unit.
fn in_unit(bound: &Bound, unit: Unit) -> Option<f64> {
    match (bound, unit) {
        (Bound::Number(number), Unit::Share | Unit::Ratio) => Some(*number),
        (Bound::Quantity(text), Unit::Seconds) => text
            .parse()
            .ok()
            .map(|found: schemas::quantity::Duration| found.0 as f64 / 1e9),
        (Bound::Quantity(text), Unit::Bytes) => text
            .parse()
            .ok()
            .map(|found: schemas::quantity::Bytes| found.0 as f64),
        (Bound::Quantity(text), Unit::TokensPerSecond | Unit::RequestsPerSecond) => text
            .parse()
            .ok()
            .map(|found: schemas::quantity::Rate| found.0),
        (Bound::Number(_), _) | (Bound::Quantity(_), Unit::Share | Unit::Ratio) => None,
    }
}

fn cases(
    facts: &Facts<'_>,
    experiments: &[ExperimentAnalysis],
    expect: &Expect,
    engine: &str,
    bounds: Bounds,
) -> Vec<Case> {
    let profile = &facts.data.plan.profile;
    if let Some(profiles) = &expect.profile
        && !profiles.values().contains(profile)
    {
        return vec![nowhere(NotMeasured::new(
            NotMeasuredCause::OtherProfile,
            format!(
                "it is for profile {}, and this run is under {profile}",
                profiles.values().join(", ")
            ),
        ))];
    }
    let Some(engine_id) = facts.engine_id(engine) else {
        return vec![nowhere(NotMeasured::new(
            NotMeasuredCause::Unsupported,
            format!("the plan has no engine {engine}"),
        ))];
    };
    let matched: Vec<&ExperimentAnalysis> = experiments
        .iter()
        .filter(|experiment| declared::matches(facts, expect, experiment))
        .collect();
    if matched.is_empty() {
        return vec![nowhere(declared::why_none(facts, expect, engine_id))];
    }
    matched
        .into_iter()
        .map(|experiment| {
            let measured = ready(facts, experiment, engine_id, expect).and_then(|relative_to| {
                measure::measure(facts, experiment.experiment, engine_id, relative_to, expect)
            });
            let (verdict, measured, cause, reason) = match measured {
                Err(not) => (
                    Verdict::NotMeasured,
                    None,
                    Some(not.cause),
                    Some(not.reason),
                ),
                Ok(found) => {
                    let (verdict, reason) = decide(&found, bounds, by_value(expect));
                    (verdict, Some(found), None, reason)
                }
            };
            Case {
                experiment: Some(experiment.experiment),
                label: experiment.label.clone(),
                verdict,
                measured,
                cause,
                reason,
            }
        })
        .collect()
}

/// A case about no experiment.
fn nowhere(not: NotMeasured) -> Case {
    Case {
        experiment: None,
        label: String::new(),
        verdict: Verdict::NotMeasured,
        measured: None,
        cause: Some(not.cause),
        reason: Some(not.reason),
    }
}

/// Whether an experiment can answer at all; gives the engine that is compared with.
fn ready(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    engine_id: u32,
    expect: &Expect,
) -> Result<Option<u32>, NotMeasured> {
    let relative_to = match &expect.relative_to {
        None if expect.metric == Metric::OutputsEqual => {
            facts.baseline_id().filter(|id| *id != engine_id)
        }
        None => None,
        Some(name) => Some(facts.engine_id(name).ok_or_else(|| {
            NotMeasured::new(
                NotMeasuredCause::Unsupported,
                format!("the plan has no engine {name}"),
            )
        })?),
    };
    for id in [Some(engine_id), relative_to].into_iter().flatten() {
        let name = facts.engine_name(id);
        if let Some(reason) = facts.skipped(experiment.experiment, id) {
            return Err(NotMeasured::new(
                NotMeasuredCause::Unsupported,
                format!("{name} cannot run it here: {reason}"),
            ));
        }
        if !facts.has_rows(experiment.experiment, id) {
            let reason = match facts.data.partial() {
                Some(partial) => format!("{name} was not asked: {partial}"),
                None => format!("{name} has no rows"),
            };
            return Err(NotMeasured::new(NotMeasuredCause::NotRun, reason));
        }
    }
    if experiment.state == State::Invalid {
        let reason = experiment
            .invalid
            .first()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        return Err(NotMeasured::new(
            NotMeasuredCause::Invalid,
            format!("the experiment is INVALID{reason}"),
        ));
    }
    Ok(relative_to)
}

/// Whether a metric counts what happened, so that the value itself decides.
fn by_value(expect: &Expect) -> bool {
    match expect.metric {
        Metric::Completed
        | Metric::CachedFraction
        | Metric::OutputsEqual
        | Metric::GpuMemory
        | Metric::Rss => true,
        Metric::Ttft
        | Metric::Itl
        | Metric::Tpot
        | Metric::Latency
        | Metric::Throughput
        | Metric::Goodput => false,
    }
}

/// The verdict on an estimate, with the reason where it is undecided.
fn decide(found: &Estimate, bounds: Bounds, by_value: bool) -> (Verdict, Option<String>) {
    let interval = if by_value {
        Some((found.value, found.value))
    } else {
        found.interval()
    };
    let Some((low, high)) = interval else {
        return (
            Verdict::Undecided,
            Some(format!(
                "{} give no interval: at least 3 are needed",
                crate::number::counted(u64::from(found.n), "trial", "trials")
            )),
        );
    };
    let above = bounds.at_most.is_some_and(|most| low > most);
    let below = bounds.at_least.is_some_and(|least| high < least);
    if above || below {
        return (Verdict::NotMet, None);
    }
    let under = bounds.at_most.is_none_or(|most| high <= most);
    let over = bounds.at_least.is_none_or(|least| low >= least);
    if under && over {
        (Verdict::Met, None)
    } else {
        (
            Verdict::Undecided,
            Some("the interval reaches over the bound".to_owned()),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn estimate(value: f64, interval: Option<(f64, f64)>) -> Estimate {
        Estimate {
            value,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            n: 5,
        }
    }

    fn most(bound: f64) -> Bounds {
        Bounds {
            at_most: Some(bound),
            at_least: None,
        }
    }

    #[test]
    fn the_whole_interval_decides() {
        let decided =
            |low, high, bounds| decide(&estimate(0.5, Some((low, high))), bounds, false).0;
        assert_eq!(decided(0.4, 0.5, most(0.5)), Verdict::Met);
        assert_eq!(decided(0.4, 0.51, most(0.5)), Verdict::Undecided);
        assert_eq!(decided(0.51, 0.6, most(0.5)), Verdict::NotMet);
        let both = Bounds {
            at_most: Some(1.25),
            at_least: Some(0.9),
        };
        assert_eq!(decided(0.9, 1.25, both), Verdict::Met);
        assert_eq!(decided(0.8, 1.0, both), Verdict::Undecided);
        assert_eq!(decided(0.7, 0.8, both), Verdict::NotMet);
    }

    #[test]
    fn without_an_interval_only_counts_are_decided() {
        let found = estimate(0.1, None);
        assert_eq!(decide(&found, most(0.5), false).0, Verdict::Undecided);
        assert!(decide(&found, most(0.5), false).1.is_some());
        assert_eq!(decide(&found, most(0.5), true).0, Verdict::Met);
        assert_eq!(decide(&found, most(0.05), true).0, Verdict::NotMet);
    }

    #[test]
    fn bounds_are_read_in_the_metrics_unit() {
        let quantity = |text: &str| Bound::Quantity(text.to_owned());
        assert_eq!(in_unit(&quantity("250ms"), Unit::Seconds), Some(0.25));
        assert_eq!(in_unit(&quantity("8GB"), Unit::Bytes), Some(8e9));
        assert_eq!(
            in_unit(&quantity("100/s"), Unit::TokensPerSecond),
            Some(100.0)
        );
        assert_eq!(in_unit(&quantity("8GB"), Unit::Seconds), None);
        assert_eq!(in_unit(&Bound::Number(0.5), Unit::Ratio), Some(0.5));
        assert_eq!(in_unit(&Bound::Number(0.5), Unit::Seconds), None);
    }

    proptest! {
        /// A looser bound never turns a met expectation into one that is not.
        #[test]
        fn loosening_never_hurts(low in 0.0f64..2.0, width in 0.0f64..1.0, bound in 0.0f64..3.0, more in 0.0f64..1.0) {
            let found = estimate(low + width / 2.0, Some((low, low + width)));
            let (strict, loose) = (decide(&found, most(bound), false).0, decide(&found, most(bound + more), false).0);
            prop_assert!(loose <= strict);
        }
    }
}
