//! The values of a metric trial by trial, also of those metrics that a verdict counts over all trials together.

use schemas::scenario::Metric;

use crate::{
    agreement,
    facts::Facts,
    metrics, resources,
    verdict::measure::{PerTrial, of_requests, phase_of, told_apart},
};

use super::wanted::Wanted;

/// Each trial's value, or why there is none.
pub(crate) fn of(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    wanted: &Wanted,
) -> Result<PerTrial, String> {
    let expect = &wanted.expect;
    let of_phase;
    let facts = match expect.phase {
        None => facts,
        Some(phase) => {
            of_phase = phase_of(facts, experiment, engine_id, phase).map_err(|not| not.reason)?;
            &of_phase
        }
    };
    told_apart(facts, engine_id, expect).map_err(|not| not.reason)?;
    let by_turn = |value: &dyn Fn(u32, &[usize]) -> Option<f64>| -> PerTrial {
        facts
            .turns(experiment, engine_id)
            .filter_map(|(trial, turn)| Some((trial, value(trial, turn)?)))
            .collect()
    };
    let frame = facts.frame();
    let trials = match expect.metric {
        Metric::Ttft | Metric::Itl | Metric::Tpot | Metric::Latency | Metric::Throughput => {
            return of_requests(facts, experiment, engine_id, wanted.requests, expect)
                .map_err(|not| not.reason);
        }
        Metric::Goodput => {
            let limits = facts.data.plan.goodput.as_ref();
            let limits = limits.ok_or("the scenario has no [goodput] limits")?;
            by_turn(&|_, turn| metrics::goodput(frame, turn, limits))
        }
        Metric::Completed => by_turn(&|_, turn| {
            let asked: Vec<usize> = turn
                .iter()
                .copied()
                .filter(|&index| metrics::matches(wanted.requests, frame.requests[index].kind))
                .collect();
            metrics::completed(frame, &asked)
        }),
        Metric::CachedFraction => by_turn(&|_, turn| {
            metrics::cached_fraction(frame, facts.cacheable_tokens(), turn, wanted.requests)
        }),
        Metric::GpuMemory => {
            // The pool only repeats a flag: what is compared lies beyond it, where it is known.
            let pool = resources::pool_bytes(facts, engine_id);
            by_turn(&|_, turn| {
                let peak =
                    resources::peaks(facts, engine_id, Some(&[facts.span(turn)?])).gpu_bytes?;
                let beyond = pool.and_then(|pool| peak.checked_sub(pool));
                Some(beyond.unwrap_or(peak) as f64)
            })
        }
        Metric::Rss => by_turn(&|_, turn| {
            let span = facts.span(turn)?;
            let peaks = resources::peaks(facts, engine_id, Some(&[span]));
            Some(peaks.together_rss_bytes? as f64)
        }),
        Metric::OutputsEqual => {
            let other = match &wanted.compared_with {
                Some(name) => facts.engine_id(name),
                None => facts.baseline_id(),
            };
            let other = other
                .filter(|other| *other != engine_id)
                .ok_or("there is no other engine to compare outputs with")?;
            by_turn(&|trial, _| {
                agreement::between(
                    facts,
                    experiment,
                    engine_id,
                    other,
                    wanted.requests,
                    |request| {
                        request.trial == trial && metrics::matches(wanted.requests, request.kind)
                    },
                )?
                .share()
            })
        }
    };
    if trials.is_empty() {
        return Err(format!(
            "no trial has a value of {}",
            metrics::name(expect.metric)
        ));
    }
    Ok(trials)
}
