//! The judgement of one experiment: every rule against its rows, counters, processes and the client's own clock.
//!
//! Thresholds, and why they are what they are:
//! - lateness, open loops only (elsewhere the schedule follows the replies): 1 ms for the 99th percentile, 10 ms for a largest value, or 1 % of the smallest median TTFT
//!   where that is more. What is late by less cannot move a TTFT's median by a percent.
//! - heartbeat: 5 ms for the 99th percentile or 1 % of that TTFT; 50 ms for the worst beat or 10 % of it, never more than 250 ms.

use schemas::{
    plan::{ArrivalPlan, Happened},
    row::{Outcome, RequestKind},
    scenario::{Phase, Requests},
};

use crate::{
    agreement,
    analysis::{EngineResult, TurnHealth},
    client,
    facts::Facts,
    metrics, stats,
    validity::{InvalidReason, LatenessStatistic},
};

const NS_PER_S: f64 = 1e9;
/// Requests from which the 99th percentile of lateness is judged, and below which the largest.
const P99_FROM: u64 = 100;
const LATE_P99_S: f64 = 0.001;
const LATE_MAX_S: f64 = 0.010;
const LATE_SHARE: f64 = 0.01;
const BEAT_P99_S: f64 = 0.005;
const BEAT_P99_SHARE: f64 = 0.01;
const BEAT_WORST_S: f64 = 0.050;
const BEAT_WORST_SHARE: f64 = 0.10;
const BEAT_WORST_MOST_S: f64 = 0.250;
/// Share of the promised tokens that the median hit must reach.
const LEAST_HIT: f64 = 0.9;
/// Tokens that may stand before the salt where the chat template's share is unknown.
const TEMPLATE_TOKENS: u32 = 64;
/// Cached tokens by the engine's counters: its own cache, and what it loads through a connector.
const CACHED_COUNTERS: [&str; 2] = [
    "vllm:prefix_cache_hits_total",
    "vllm:external_prefix_cache_hits_total",
];

/// Why an experiment is INVALID, worst first; empty when it is VALID.
pub(crate) fn reasons(
    facts: &Facts<'_>,
    experiment: u32,
    engines: &[EngineResult],
    turns: &[TurnHealth],
) -> Vec<InvalidReason> {
    let ids = || {
        facts
            .engine_ids()
            .filter(|&engine| facts.has_rows(experiment, engine))
    };
    let mut found = Vec::new();
    for engine in ids() {
        found.extend(restarted(facts, experiment, engine));
    }
    found.extend(ids().filter_map(|engine| cold_was_cached(facts, experiment, engine)));
    found.extend(ids().filter_map(|engine| hit_missing(facts, experiment, engine)));
    found.extend(
        engines
            .iter()
            .filter_map(|engine| counters_disagree(facts, experiment, engine)),
    );
    found.extend(ids().filter_map(|engine| prompt_length_off(facts, experiment, engine)));
    found.extend(ids().filter_map(|engine| client_late(facts, experiment, engine)));
    found.extend(ids().filter_map(|engine| client_starved(facts, experiment, engine, turns)));
    found.extend(ids().filter_map(|engine| first_token_differs(facts, experiment, engine)));
    found
}

/// A process ended unasked while its engine was being asked.
fn restarted(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Vec<InvalidReason> {
    let spans: Vec<_> = facts
        .turns(experiment, engine_id)
        .filter_map(|(_, turn)| facts.span(turn))
        .collect();
    let hurt = facts
        .requests(experiment, engine_id)
        .any(|(_, request)| request.outcome == Outcome::EngineExited);
    let (Some(from), Some(to)) = (
        spans.iter().map(|span| span.from_ns).min(),
        spans.iter().map(|span| span.to_ns).max(),
    ) else {
        return Vec::new();
    };
    facts
        .data
        .manifest
        .processes
        .iter()
        .filter(|process| {
            process.expected == Some(false) && facts.owner(&process.name) == Some(engine_id)
        })
        .filter(|process| {
            process
                .ended_ns
                .is_some_and(|ended| hurt || (from..=to).contains(&ended))
        })
        // What a declared event led to is a result.
        .filter(|process| !followed_an_event(facts, engine_id, process.ended_ns))
        .map(|process| InvalidReason::EngineRestarted {
            engine: facts.engine_name(engine_id).to_owned(),
            process: process.name.clone(),
            ending: process
                .ending
                .clone()
                .unwrap_or_else(|| "nothing is known of how".to_owned()),
        })
        .collect()
}

/// Whether an event had happened to the engine in the turn in which something of it ended.
fn followed_an_event(facts: &Facts<'_>, engine_id: u32, ended_ns: Option<u64>) -> bool {
    let before = |event: &&Happened| Some(event.at_ns) <= ended_ns;
    let events = facts.data.events.iter();
    let last = events
        .filter(|event| event.engine == engine_id)
        .filter(before)
        .max_by_key(|event| event.at_ns);
    last.is_some_and(|event| {
        let mut turns = facts.turns(event.experiment, engine_id);
        let turn = turns.find(|(trial, _)| *trial == event.trial);
        let span = turn.and_then(|(_, turn)| facts.span(turn));
        span.is_none_or(|span| ended_ns <= Some(span.to_ns))
    })
}

/// A cold request, or any of an engine without a cache, had more cached tokens than stand before its salt: those of the chat template, where its share is known.
fn cold_was_cached(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<InvalidReason> {
    let without_cache = facts
        .engine(engine_id)
        .is_some_and(|engine| engine.baseline);
    let (mut requests, mut worst) = (0, None);
    for (_, request) in facts.requests(experiment, engine_id) {
        if request.kind != RequestKind::Cold && !without_cache {
            continue;
        }
        let template = request
            .planned_prompt_tokens
            .map_or(TEMPLATE_TOKENS, |planned| {
                planned.saturating_sub(request.context_tokens + request.query_tokens)
            });
        let allowed = request.expected_cached_tokens.unwrap_or(0) + template;
        if let Some(cached) = request.cached_tokens.filter(|cached| *cached > allowed) {
            requests += 1;
            worst = worst.max(Some((cached, allowed)));
        }
    }
    let (worst_cached_tokens, allowed_tokens) = worst?;
    Some(InvalidReason::ColdWasCached {
        engine: facts.engine_name(engine_id).to_owned(),
        requests,
        worst_cached_tokens,
        allowed_tokens,
    })
}

/// Shares of the promised cached tokens that later requests found.
fn hit_shares(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Vec<f64> {
    facts
        .requests(experiment, engine_id)
        .filter(|(_, request)| metrics::measured(request) && request.kind != RequestKind::Cold)
        // What an event leaves of a cache is asked, and not promised.
        .filter(|(_, request)| request.phase != Some(Phase::AfterEvent))
        .filter_map(|(_, request)| {
            let expected = request
                .expected_cached_tokens
                .filter(|tokens| *tokens > 0)?;
            Some(f64::from(request.cached_tokens?) / f64::from(expected))
        })
        .collect()
}

fn hit_missing(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<InvalidReason> {
    facts
        .engine(engine_id)
        .filter(|engine| engine.promises_hits)?;
    let mut shares = hit_shares(facts, experiment, engine_id);
    let requests = shares.len() as u64;
    let median_share = stats::median(&mut shares).filter(|median| *median < LEAST_HIT)?;
    let mut lines = facts.data.manifest.telltales.iter();
    let log_line = lines.find(|found| found.engine == engine_id);
    Some(InvalidReason::HitMissing {
        engine: facts.engine_name(engine_id).to_owned(),
        log_line: log_line.map(|found| found.line.clone()),
        median_share,
        requests,
    })
}

/// Per-request and counter totals of cached tokens differ by more than a chunk a request. Judged only where every request ended `ok` and tells its tokens, and
/// the counters were read: a failed request may have been counted without telling.
fn counters_disagree(
    facts: &Facts<'_>,
    experiment: u32,
    engine: &EngineResult,
) -> Option<InvalidReason> {
    let engine_id = engine.engine_id;
    let mut reported_tokens = 0;
    let mut requests = 0;
    for (_, request) in facts.requests(experiment, engine_id) {
        // A process that was started again counts from 0.
        if !metrics::measured(request) || request.phase == Some(Phase::AfterEvent) {
            return None;
        }
        reported_tokens += u64::from(request.cached_tokens?);
        requests += 1;
    }
    let name = facts.engine_name(engine_id);
    let read: Vec<&str> = CACHED_COUNTERS
        .into_iter()
        .filter(|counter| {
            facts.data.counters.iter().any(|found| {
                found.experiment == experiment && found.subject == name && found.name == *counter
            })
        })
        .collect();
    if read.is_empty() || requests == 0 {
        return None;
    }
    // Counters that did not move are not among the deltas: their share is 0.
    let counted_tokens: f64 = engine
        .counters
        .iter()
        .filter(|counter| counter.subject == name && read.contains(&counter.name.as_str()))
        .map(|counter| counter.delta)
        .sum();
    let chunk = u64::from(facts.engine(engine_id)?.chunk_tokens.max(1));
    let allowed_tokens = chunk * requests;
    ((reported_tokens as f64 - counted_tokens).abs() > allowed_tokens as f64).then(|| {
        InvalidReason::CountersDisagree {
            engine: name.to_owned(),
            reported_tokens,
            counted_tokens,
            allowed_tokens,
            counters: read.join(" + "),
        }
    })
}

fn prompt_length_off(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<InvalidReason> {
    let mut off = facts
        .requests(experiment, engine_id)
        .filter_map(|(_, request)| {
            let (planned, found) = (request.planned_prompt_tokens?, request.prompt_tokens?);
            (planned != found).then_some((planned, found))
        });
    let (planned_tokens, found_tokens) = off.next()?;
    Some(InvalidReason::PromptLengthOff {
        engine: facts.engine_name(engine_id).to_owned(),
        requests: 1 + off.count() as u64,
        planned_tokens,
        found_tokens,
    })
}

fn client_late(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<InvalidReason> {
    let ArrivalPlan::Open { .. } = facts.experiment(experiment)?.arrival else {
        return None;
    };
    let lateness = client::lateness(
        facts
            .requests(experiment, engine_id)
            .map(|(_, request)| request),
    )?;
    let (statistic, late_s, least) = match lateness.p99.filter(|_| lateness.n >= P99_FROM) {
        Some(p99) => (LatenessStatistic::P99, p99, LATE_P99_S),
        None => (LatenessStatistic::Max, lateness.max, LATE_MAX_S),
    };
    let ttft = facts
        .smallest_median_ttft_s(experiment, engine_id)
        .unwrap_or(0.0);
    let allowed_s = least.max(LATE_SHARE * ttft);
    (late_s > allowed_s).then(|| InvalidReason::ClientLate {
        engine: facts.engine_name(engine_id).to_owned(),
        statistic,
        late_s,
        allowed_s,
    })
}

/// The worst turn's heartbeat decides.
fn client_starved(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    turns: &[TurnHealth],
) -> Option<InvalidReason> {
    let beats = || {
        turns
            .iter()
            .filter(|turn| turn.experiment == experiment && turn.engine_id == engine_id)
    };
    let p99 = beats().filter_map(|turn| turn.heartbeat_p99_ns).max();
    let worst = beats().filter_map(|turn| turn.heartbeat_worst_ns).max();
    let (p99, worst) = (p99.or(worst)?, worst.or(p99)?);
    let ttft = facts
        .smallest_median_ttft_s(experiment, engine_id)
        .unwrap_or(0.0);
    let heartbeat_p99_s = p99 as f64 / NS_PER_S;
    let heartbeat_worst_s = worst as f64 / NS_PER_S;
    let allowed_p99_s = BEAT_P99_S.max(BEAT_P99_SHARE * ttft);
    let allowed_worst_s = (BEAT_WORST_SHARE * ttft).clamp(BEAT_WORST_S, BEAT_WORST_MOST_S);
    (heartbeat_p99_s > allowed_p99_s || heartbeat_worst_s > allowed_worst_s).then(|| {
        InvalidReason::ClientStarved {
            engine: facts.engine_name(engine_id).to_owned(),
            heartbeat_p99_s,
            heartbeat_worst_s,
            allowed_p99_s,
            allowed_worst_s,
        }
    })
}

/// A lossless tier's later replies begin otherwise than recomputed ones more often than its cold replies do, by 95 % Wilson intervals that do not touch.
/// Never with random weights, whose logits are too close together to tell.
fn first_token_differs(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
) -> Option<InvalidReason> {
    let baseline_id = facts.baseline_id().filter(|id| *id != engine_id)?;
    let lossy = facts
        .engine(engine_id)
        .is_none_or(|engine| engine.tiers.is_empty() || engine.backend.contains("cachegen"));
    if lossy
        || facts.data.plan.model.random_weights
        || !facts
            .engine(baseline_id)
            .is_some_and(|engine| engine.baseline)
    {
        return None;
    }
    let differing = |later: bool| {
        let found = agreement::between(
            facts,
            experiment,
            engine_id,
            baseline_id,
            Requests::All,
            |request| (request.kind != RequestKind::Cold) == later,
        )?;
        Some((found.first_word_differs?, found.pairs))
    };
    let (reused, cold) = (differing(true)?, differing(false)?);
    let reused_interval = stats::share_interval(reused.0, reused.1)?;
    let cold_interval = stats::share_interval(cold.0, cold.1)?;
    (reused_interval.0 > cold_interval.1).then(|| InvalidReason::FirstTokenDiffers {
        engine: facts.engine_name(engine_id).to_owned(),
        relative_to: facts.engine_name(baseline_id).to_owned(),
        reused_share: reused.0 as f64 / reused.1 as f64,
        cold_share: cold.0 as f64 / cold.1 as f64,
    })
}
