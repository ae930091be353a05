//! Flags: what a reader should know of an experiment that may be believed.

use schemas::{
    plan::ArrivalPlan,
    row::{Outcome, TokenCount},
};

use crate::{
    analysis::EngineResult, facts::Facts, frame, metrics, stats, validity::Flag, values::Comparison,
};

/// Stolen share of the CPU time of all cores that is worth telling.
const STOLEN_SHARE: f64 = 0.05;

/// What a reader should know of an experiment although it may be believed.
pub(crate) fn flags(facts: &Facts<'_>, experiment: u32, engines: &[EngineResult]) -> Vec<Flag> {
    let mut flags = Vec::new();
    let ran: Vec<&EngineResult> = engines
        .iter()
        .filter(|engine| engine.outcomes.rows > 0)
        .collect();
    if ran.is_empty() {
        return flags;
    }
    for engine in &ran {
        let failed = engine.outcomes.rows - engine.outcomes.ok;
        if let Some((most, _)) = engine.outcomes.failed.first() {
            flags.push(Flag::Failures {
                engine: facts.engine_name(engine.engine_id).to_owned(),
                requests: failed,
                of: engine.outcomes.rows,
                most: frame::outcome_name(*most).to_owned(),
            });
        }
    }
    let trials = facts.trials(experiment);
    if (trials as usize) < stats::LEAST_FOR_INTERVAL {
        flags.push(Flag::FewTrials { trials });
    }
    let unpaired = facts.baseline_id().is_some_and(|baseline| {
        facts.has_rows(experiment, baseline)
            && ran.iter().any(|engine| {
                engine.engine_id != baseline
                    && !facts.interleaved(experiment, engine.engine_id, baseline)
            })
    });
    if unpaired {
        flags.push(Flag::Unpaired);
    }
    flags.extend(half_width(facts, experiment, engines, trials));
    flags.extend(cpu_stolen(facts, experiment));
    for engine in ran {
        let name = || facts.engine_name(engine.engine_id).to_owned();
        flags.extend(overlapped(facts, experiment, engine.engine_id));
        let outliers = engine.points.iter().filter(|point| point.outlier).count() as u64;
        if outliers > 0 {
            flags.push(Flag::Outliers {
                engine: name(),
                requests: outliers,
                of: engine.outcomes.rows,
            });
        }
        let promised = || {
            engine.points.iter().filter(|point| {
                point.outcome == Outcome::Ok
                    && point
                        .expected_cached_tokens
                        .is_some_and(|tokens| tokens > 0)
            })
        };
        if promised().count() > 0 && promised().all(|point| point.cached_tokens.is_none()) {
            flags.push(Flag::NoEvidence { engine: name() });
        }
        let counted = facts
            .requests(experiment, engine.engine_id)
            .filter(|(_, request)| request.token_count == Some(TokenCount::Events))
            .count() as u64;
        if counted > 0 {
            flags.push(Flag::TokensFromEvents {
                engine: name(),
                requests: counted,
            });
        }
        flags.extend(page_cache(facts, experiment, engine.engine_id));
    }
    flags
}

/// `until` was asked for and its half-width not reached: of the ratio to the baseline, or of the engine's own value where there is no baseline.
fn half_width(
    facts: &Facts<'_>,
    experiment: u32,
    engines: &[EngineResult],
    trials: u32,
) -> Option<Flag> {
    let (metric, asked) = facts.data.plan.trials.until?;
    let requests = facts.warm_requests(experiment);
    let baseline = facts.baseline_id();
    let reached = engines
        .iter()
        .filter(|engine| Some(engine.engine_id) != baseline)
        .filter_map(|engine| {
            let own = engine.estimate(metric, requests)?;
            let estimate = match baseline.and_then(|id| {
                engines
                    .iter()
                    .find(|other| other.engine_id == id)?
                    .estimate(metric, requests)
                    .map(|found| (id, found))
            }) {
                Some((id, other)) => {
                    Comparison::of(facts, experiment, engine.engine_id, id, metric)
                        .ratio(&own.per_trial, &other.per_trial)?
                }
                None => own.estimate,
            };
            let (low, high) = estimate.interval()?;
            Some(if baseline.is_some() {
                (high / low).sqrt() - 1.0
            } else {
                (high - low) / 2.0 / estimate.value
            })
        })
        .max_by(f64::total_cmp)?;
    (reached > asked).then(|| Flag::HalfWidthNotReached {
        metric: metrics::name(metric).to_owned(),
        reached,
        asked,
        trials,
    })
}

/// Requests of a constant arrival that were sent while one of another arrival was still in flight.
fn overlapped(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<Flag> {
    let planned = facts.experiment(experiment)?;
    match &planned.arrival {
        ArrivalPlan::Open { kind, .. } if kind == "constant" => {}
        ArrivalPlan::Open { .. } | ArrivalPlan::Closed { .. } => return None,
    }
    let (mut overlapping, mut of) = (0, 0);
    for (_, turn) in facts.turns(experiment, engine_id) {
        let mut sent: Vec<(u64, u64, u32)> = turn
            .iter()
            .map(|&index| &facts.frame().requests[index])
            .filter_map(|request| {
                let arrival = planned.requests.get(request.request_id as usize)?.arrival;
                Some((
                    request.sent_ns?,
                    request.done_ns.unwrap_or(u64::MAX),
                    arrival,
                ))
            })
            .collect();
        sent.sort_unstable();
        of += sent.len() as u64;
        // Latest end of all arrivals but the one that ends last, and of that one.
        let (mut last, mut last_but_one) = ((0, None), 0);
        for (sent_ns, done_ns, arrival) in sent {
            let others = if last.1 == Some(arrival) {
                last_but_one
            } else {
                last.0
            };
            overlapping += u64::from(sent_ns < others);
            if last.1 == Some(arrival) {
                last.0 = last.0.max(done_ns);
            } else if done_ns > last.0 {
                last_but_one = last.0;
                last = (done_ns, Some(arrival));
            } else {
                last_but_one = last_but_one.max(done_ns);
            }
        }
    }
    (overlapping > 0).then(|| Flag::RequestsOverlapped {
        engine: facts.engine_name(engine_id).to_owned(),
        requests: overlapping,
        of,
    })
}

/// More of the CPU time of all cores was stolen in the experiment's turns than [`STOLEN_SHARE`].
fn cpu_stolen(facts: &Facts<'_>, experiment: u32) -> Option<Flag> {
    let cores = facts.data.manifest.host.cores?;
    let readings: Vec<(u64, u64)> = facts
        .data
        .samples
        .iter()
        .filter_map(|sample| Some((sample.at_ns, sample.stolen_ns?)))
        .collect();
    let (mut stolen_ns, mut wall_ns) = (0, 0);
    for (.., turn) in facts.all_turns().filter(|turn| turn.0 == experiment) {
        let span = facts.span(turn)?;
        let mut within = readings
            .iter()
            .filter(|(at_ns, _)| (span.from_ns..=span.to_ns).contains(at_ns));
        if let Some(first) = within.next()
            && let Some(last) = within.next_back()
        {
            stolen_ns += last.1.saturating_sub(first.1);
            wall_ns += last.0 - first.0;
        }
    }
    let share = stolen_ns as f64 / (wall_ns as f64 * f64::from(cores));
    (share > STOLEN_SHARE).then_some(Flag::CpuStolen { share })
}

/// Block-layer reads under half of the KV bytes loaded, where the disk is the only tier.
fn page_cache(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<Flag> {
    let engine = facts.engine(engine_id)?;
    if !matches!(engine.tiers.as_slice(), [tier] if tier.name == "local-disk") {
        return None;
    }
    let token_bytes = facts.data.plan.model.kv_bytes_per_token?;
    let kv_bytes = facts
        .requests(experiment, engine_id)
        .filter_map(|(_, request)| request.cached_tokens)
        .map(u64::from)
        .sum::<u64>()
        * token_bytes;
    let mut read_bytes = None;
    for (_, turn) in facts.turns(experiment, engine_id) {
        let span = facts.span(turn)?;
        let mut by_subject = std::collections::BTreeMap::<&str, (u64, u64)>::new();
        let within = facts.data.samples.iter().filter(|sample| {
            (span.from_ns..=span.to_ns).contains(&sample.at_ns)
                && facts.owner(&sample.subject) == Some(engine_id)
        });
        for sample in within {
            if let Some(read) = sample.disk_read_bytes {
                let range = by_subject.entry(&sample.subject).or_insert((read, read));
                *range = (range.0.min(read), range.1.max(read));
            }
        }
        for (first, last) in by_subject.into_values() {
            read_bytes = Some(read_bytes.unwrap_or(0) + (last - first));
        }
    }
    let read_bytes = read_bytes?;
    (kv_bytes > 0 && read_bytes < kv_bytes / 2).then(|| Flag::ServedFromPageCache {
        engine: engine.name.clone(),
        read_bytes,
        kv_bytes,
    })
}
