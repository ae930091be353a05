//! Whether the client kept time: lateness, rates, heartbeat, its own cost.

use schemas::plan::ArrivalPlan;

use crate::{
    analysis::{ClientHealth, TurnHealth},
    facts::Facts,
    frame::Request,
    metrics,
    stats::{self, Summary},
};

const NS_PER_S: f64 = 1e9;

/// How well the client kept time over the run.
pub(crate) fn health(facts: &Facts<'_>) -> ClientHealth {
    let requests = &facts.frame().requests;
    let lateness = sorted(requests.iter().filter_map(metrics::lateness_s));
    let record = facts.data.manifest.client.as_ref();
    let wall_ns = wall_ns(facts);
    ClientHealth {
        cpu_ns: record.map(|record| record.cpu_ns),
        peak_rss_bytes: record.and_then(|record| record.peak_rss_bytes),
        lateness: stats::summary(&lateness),
        lateness_ecdf: stats::ecdf(&lateness),
        ttft_error: stats::summary(&sorted(requests.iter().filter_map(metrics::ttft_error_s))),
        reconnects: requests
            .iter()
            .map(|request| u64::from(request.reconnects))
            .sum(),
        overhead_s: (!requests.is_empty()).then(|| {
            let busy = covered_ns(busy_spans(facts, wall_ns));
            wall_ns.saturating_sub(busy) as f64 / NS_PER_S
        }),
        wall_s: wall_ns as f64 / NS_PER_S,
        turns: facts
            .all_turns()
            .map(|(experiment, engine_id, trial, turn)| {
                turn_health(facts, experiment, engine_id, trial, turn)
            })
            .collect(),
    }
}

fn turn_health(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    trial: u32,
    turn: &[usize],
) -> TurnHealth {
    let requests = || turn.iter().map(|&index| &facts.frame().requests[index]);
    let open = facts
        .experiment(experiment)
        .is_some_and(|experiment| matches!(experiment.arrival, ArrivalPlan::Open { .. }));
    let rate_of = |stamps: Vec<u64>| open.then(|| rate(stamps)).flatten();
    let expr_id = requests().next().map(|request: &Request| request.expr_id);
    let beat = facts
        .data
        .manifest
        .client
        .iter()
        .flat_map(|client| &client.heartbeat)
        .find(|beat| Some(beat.expr_id) == expr_id && beat.engine_id == engine_id);
    TurnHealth {
        experiment,
        trial,
        engine_id,
        requests: turn.len() as u64,
        lateness: lateness(requests()),
        asked_rate: rate_of(requests().map(|request| request.intended_ns).collect()),
        achieved_rate: rate_of(requests().filter_map(|request| request.sent_ns).collect()),
        heartbeat_p99_ns: beat.and_then(|beat| beat.p99_ns),
        heartbeat_worst_ns: beat.and_then(|beat| beat.worst_ns),
        thread_cpu_share: beat
            .filter(|beat| beat.wall_ns > 0)
            .map(|beat| beat.thread_cpu_ns as f64 / beat.wall_ns as f64),
    }
}

/// sent − intended of some requests, in s.
pub(crate) fn lateness<'a>(requests: impl Iterator<Item = &'a Request>) -> Option<Summary> {
    stats::summary(&sorted(requests.filter_map(metrics::lateness_s)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Intervals per second between the first and the last of some stamps; `None` below two of them.
fn rate(stamps: Vec<u64>) -> Option<f64> {
    let span = stamps.iter().max()? - stamps.iter().min()?;
    (span > 0).then(|| (stamps.len() - 1) as f64 * NS_PER_S / span as f64)
}

/// The last stamp that anything left.
fn wall_ns(facts: &Facts<'_>) -> u64 {
    let rows = facts
        .frame()
        .requests
        .iter()
        .map(|request| request.done_ns.unwrap_or(request.intended_ns))
        .max();
    let processes = facts
        .data
        .manifest
        .processes
        .iter()
        .filter_map(|process| process.ended_ns.or(process.ready_ns))
        .max();
    let samples = facts.data.samples.iter().map(|sample| sample.at_ns).max();
    rows.max(processes).max(samples).unwrap_or(0)
}

/// When an engine was starting or stopping, or a turn was on.
fn busy_spans(facts: &Facts<'_>, end_ns: u64) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = facts
        .all_turns()
        .filter_map(|(.., turn)| facts.span(turn))
        .map(|span| (span.from_ns, span.to_ns))
        .collect();
    for process in &facts.data.manifest.processes {
        let ended = process.ended_ns.unwrap_or(end_ns);
        spans.push((process.started_ns, process.ready_ns.unwrap_or(ended)));
        if let Some(stopping) = process.stopping_ns {
            spans.push((stopping, ended));
        }
    }
    spans
}

/// Length of the union of spans.
fn covered_ns(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable();
    let mut covered = 0;
    let mut reached = 0;
    for (from, to) in spans {
        let from = from.max(reached);
        if to > from {
            covered += to - from;
            reached = to;
        }
    }
    covered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_count_once() {
        assert_eq!(covered_ns(vec![(10, 20), (15, 30), (40, 50), (12, 14)]), 30);
        assert_eq!(covered_ns(Vec::new()), 0);
    }

    #[test]
    fn a_rate_needs_two_stamps() {
        assert_eq!(rate(vec![0, 500_000_000, 1_000_000_000]), Some(2.0));
        assert_eq!(rate(vec![7]), None);
        assert_eq!(rate(Vec::new()), None);
    }
}
