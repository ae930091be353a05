//! What loading KV costs beside computing it again, and from which context length it pays.

use schemas::scenario::{Metric, Phase};
use serde::Serialize;

use crate::{
    analysis::{EngineResult, ExperimentAnalysis, State},
    facts::Facts,
    metrics, number,
    series::engine_result,
    stats::{self, Estimate},
};

/// Loading against recomputing in one experiment, for requests that were hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakEven {
    /// The engine that loads.
    pub engine_id: u32,
    /// The engine that recomputes.
    pub relative_to: u32,
    /// Of which requests it is, where the run has an event: of those before it.
    pub phase: Option<Phase>,
    /// The tiers that loaded, in words.
    pub tier: String,
    /// Median cached tokens × KV bytes of a token.
    pub kv_bytes: Option<u64>,
    /// Bytes over the wire a request, by the tier's own counters; null without.
    pub wire_bytes: Option<u64>,
    /// TTFT of later requests of the engine that loads.
    pub reused_s: Option<Estimate>,
    /// TTFT of the same requests of the engine that recomputes.
    pub recomputed_s: Option<Estimate>,
    /// TTFT with the KV in device memory: a `prefix` engine's.
    pub floor_s: Option<Estimate>,
    /// Why there is no floor.
    pub floor_note: Option<String>,
    /// kv bytes / (reused − floor).
    pub achieved_kv_bytes_per_s: Option<f64>,
    /// wire bytes / (reused − floor).
    pub achieved_wire_bytes_per_s: Option<f64>,
    /// kv bytes / (recomputed − floor): below it, loading is slower than computing.
    pub tie_kv_bytes_per_s: Option<f64>,
    /// wire bytes / (recomputed − floor).
    pub tie_wire_bytes_per_s: Option<f64>,
    /// Why bandwidths are missing.
    pub note: Option<String>,
}

/// From which context length an engine pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayingContext {
    /// The engine that loads.
    pub engine_id: u32,
    /// The engine that recomputes.
    pub relative_to: u32,
    /// Where it pays.
    pub pays: Pays,
    /// Shortest context measured.
    pub shortest_tokens: u32,
    /// Longest context measured.
    pub longest_tokens: u32,
    /// In words.
    pub sentence: String,
}

/// Where an engine pays, within the measured range only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pays {
    /// At every length measured.
    Everywhere,
    /// At no length measured.
    Nowhere,
    /// From this length, interpolated between two measured ones.
    From { tokens: u32 },
    /// Up to this length only, interpolated.
    UpTo { tokens: u32 },
    /// It pays here and there: the ratio crosses 1 more than once.
    InPlaces,
}

/// What loading costs and saves for each engine with tiers, beside the engine that recomputes.
///
/// `wire_bytes` is null: the tiers that this version starts count no bytes on the wire. Where the run has an event, only what was before it counts: a tier
/// that was killed in between has no bandwidth.
pub(crate) fn break_even(
    facts: &Facts<'_>,
    experiment: u32,
    engines: &[EngineResult],
) -> Vec<BreakEven> {
    if facts.data.events.is_empty() {
        return undisturbed(facts, experiment, engines);
    }
    let before = facts.before_events();
    let engines: Vec<EngineResult> = engines
        .iter()
        .map(|engine| engine_result(&before, experiment, engine.engine_id))
        .collect();
    let mut found = undisturbed(&before, experiment, &engines);
    for entry in &mut found {
        entry.phase = Some(Phase::BeforeEvent);
    }
    found
}

fn undisturbed(facts: &Facts<'_>, experiment: u32, engines: &[EngineResult]) -> Vec<BreakEven> {
    let Some(baseline_id) = facts
        .baseline_id()
        .filter(|&id| facts.engine(id).is_some_and(|engine| engine.baseline))
    else {
        return Vec::new();
    };
    let requests = facts.warm_requests(experiment);
    let ttft = |engine_id: u32| {
        engines
            .iter()
            .find(|engine| engine.engine_id == engine_id)?
            .estimate(Metric::Ttft, requests)
            .map(|found| found.estimate)
    };
    let floor_s = facts
        .engine_ids()
        .find(|&id| in_device_only(facts, id))
        .and_then(ttft);
    engines
        .iter()
        .filter(|engine| loads(facts, engine.engine_id) && !engine.points.is_empty())
        .map(|engine| {
            let mut found = BreakEven {
                engine_id: engine.engine_id,
                relative_to: baseline_id,
                phase: None,
                tier: facts
                    .engine(engine.engine_id)
                    .map_or_else(String::new, |engine| engine.backend.clone()),
                kv_bytes: kv_bytes(facts, experiment, engine.engine_id),
                wire_bytes: None,
                reused_s: ttft(engine.engine_id),
                recomputed_s: ttft(baseline_id),
                floor_s,
                floor_note: floor_s.is_none().then(|| {
                    "floor not measured: no engine of this run keeps its KV in device memory alone"
                        .to_owned()
                }),
                achieved_kv_bytes_per_s: None,
                achieved_wire_bytes_per_s: None,
                tie_kv_bytes_per_s: None,
                tie_wire_bytes_per_s: None,
                note: None,
            };
            found.fill_bandwidths();
            found
        })
        .collect()
}

impl BreakEven {
    /// Bandwidths from bytes and times, or the note why there are none.
    fn fill_bandwidths(&mut self) {
        let Some(floor) = self.floor_s else {
            return;
        };
        let beyond = |time: Option<Estimate>| {
            time.map(|time| time.value - floor.value)
                .filter(|span| *span > 0.0)
        };
        let (load, compute) = (beyond(self.reused_s), beyond(self.recomputed_s));
        let over = |bytes: Option<u64>, span: Option<f64>| Some(bytes? as f64 / span?);
        self.achieved_kv_bytes_per_s = over(self.kv_bytes, load);
        self.achieved_wire_bytes_per_s = over(self.wire_bytes, load);
        self.tie_kv_bytes_per_s = over(self.kv_bytes, compute);
        self.tie_wire_bytes_per_s = over(self.wire_bytes, compute);
        self.note = if self.kv_bytes.is_none() {
            Some(
                "the engine reports no cached tokens, or the model's KV size is unknown".to_owned(),
            )
        } else if load.is_none() && self.reused_s.is_some() {
            Some("loading took no longer than the floor: no bandwidth can be told".to_owned())
        } else if compute.is_none() && self.recomputed_s.is_some() {
            Some("recomputing took no longer than the floor: there is nothing to save".to_owned())
        } else {
            None
        };
    }
}

/// KV in the engine's own device memory and nowhere else.
fn in_device_only(facts: &Facts<'_>, engine_id: u32) -> bool {
    facts
        .engine(engine_id)
        .is_some_and(|engine| matches!(engine.tiers.as_slice(), [tier] if tier.name == "prefix"))
}

/// Whether an engine has tiers from which KV has to be loaded.
fn loads(facts: &Facts<'_>, engine_id: u32) -> bool {
    facts
        .engine(engine_id)
        .is_some_and(|engine| engine.tiers.iter().any(|tier| tier.name != "prefix"))
}

/// Median cached tokens of the later requests × KV bytes of a token.
fn kv_bytes(facts: &Facts<'_>, experiment: u32, engine_id: u32) -> Option<u64> {
    let tokens = median_tokens(facts, experiment, engine_id, |request| {
        request.cached_tokens
    })?;
    facts
        .data
        .plan
        .model
        .kv_bytes_per_token?
        .checked_mul(tokens)
}

/// Median of a count of tokens over an experiment's later requests that ended `ok` and tell it.
pub(crate) fn median_tokens(
    facts: &Facts<'_>,
    experiment: u32,
    engine_id: u32,
    count: impl Fn(&crate::frame::Request) -> Option<u32>,
) -> Option<u64> {
    let requests = facts.warm_requests(experiment);
    let mut tokens: Vec<f64> = facts
        .requests(experiment, engine_id)
        .filter(|(_, request)| {
            metrics::measured(request) && metrics::matches(requests, request.kind)
        })
        .filter_map(|(_, request)| count(request).map(f64::from))
        .collect();
    stats::median(&mut tokens).map(|median| median.round() as u64)
}

/// From which context length each engine pays, over the experiments that are VALID. Nothing where the run has an event: a ratio over what was before it
/// and after tells of neither.
pub(crate) fn paying(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> Vec<PayingContext> {
    if !facts.data.events.is_empty() {
        return Vec::new();
    }
    let Some(baseline_id) = facts.baseline_id() else {
        return Vec::new();
    };
    facts
        .engine_ids()
        .filter(|&engine_id| engine_id != baseline_id)
        .filter_map(|engine_id| {
            let mut logs = std::collections::BTreeMap::<u32, Vec<f64>>::new();
            for experiment in experiments {
                let requests = facts.warm_requests(experiment.experiment);
                let ratio = experiment.ratios.iter().find(|ratio| {
                    ratio.engine_id == engine_id
                        && ratio.relative_to == baseline_id
                        && ratio.metric == Metric::Ttft
                        && ratio.requests == requests
                });
                if let Some(ratio) = ratio.filter(|_| experiment.state == State::Valid) {
                    logs.entry(experiment.context_tokens)
                        .or_default()
                        .push(ratio.estimate.value.ln());
                }
            }
            let points: Vec<(u32, f64)> = logs
                .into_iter()
                .filter_map(|(tokens, logs)| Some((tokens, stats::mean(&logs)?)))
                .collect();
            let (&(shortest_tokens, _), &(longest_tokens, _)) = (points.first()?, points.last()?);
            let pays = where_it_pays(&points);
            Some(PayingContext {
                engine_id,
                relative_to: baseline_id,
                pays,
                shortest_tokens,
                longest_tokens,
                sentence: sentence(
                    facts.engine_name(engine_id),
                    facts.engine_name(baseline_id),
                    pays,
                    shortest_tokens,
                    longest_tokens,
                ),
            })
        })
        .collect()
}

/// Where ln of the ratio is below 0, with crossings interpolated linearly between neighbours. `points` are in rising order of length and not empty.
fn where_it_pays(points: &[(u32, f64)]) -> Pays {
    let pays = |point: &(u32, f64)| point.1 < 0.0;
    let crossings: Vec<(u32, bool)> = points
        .iter()
        .zip(points.iter().skip(1))
        .filter(|(one, next)| pays(one) != pays(next))
        .map(|(one, next)| {
            let share = one.1 / (one.1 - next.1);
            let tokens = f64::from(one.0) + share * f64::from(next.0 - one.0);
            (tokens.round() as u32, pays(next))
        })
        .collect();
    match crossings.as_slice() {
        [] if points.iter().all(pays) => Pays::Everywhere,
        [] => Pays::Nowhere,
        [(tokens, true)] => Pays::From { tokens: *tokens },
        [(tokens, false)] => Pays::UpTo { tokens: *tokens },
        _ => Pays::InPlaces,
    }
}

fn sentence(engine: &str, baseline: &str, pays: Pays, shortest: u32, longest: u32) -> String {
    let tokens = |tokens: u32| number::count(u64::from(tokens));
    let range = if shortest == longest {
        format!(
            "at the one context length measured, {} tokens",
            tokens(shortest)
        )
    } else {
        format!("from {} to {} tokens", tokens(shortest), tokens(longest))
    };
    match pays {
        Pays::Everywhere if shortest == longest => format!("{engine} pays over {baseline} {range}"),
        Pays::Everywhere => {
            format!("{engine} pays over {baseline} at every context length measured, {range}")
        }
        Pays::Nowhere if shortest == longest => {
            format!("{engine} does not pay over {baseline} {range}")
        }
        Pays::Nowhere => {
            format!("{engine} pays over {baseline} at no context length measured, {range}")
        }
        Pays::From { tokens: from } => format!(
            "{engine} pays over {baseline} from about {} tokens on (measured {range})",
            tokens(from)
        ),
        Pays::UpTo { tokens: to } => format!(
            "{engine} pays over {baseline} up to about {} tokens only (measured {range})",
            tokens(to)
        ),
        Pays::InPlaces => format!(
            "{engine} pays over {baseline} at some context lengths and not at others (measured {range})"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64) -> Option<Estimate> {
        Some(Estimate {
            value,
            low: None,
            high: None,
            n: 1,
        })
    }

    #[test]
    fn crossings_are_interpolated_within_the_range_only() {
        assert_eq!(where_it_pays(&[(1024, -0.5)]), Pays::Everywhere);
        assert_eq!(where_it_pays(&[(1024, 0.5), (2048, 0.1)]), Pays::Nowhere);
        assert_eq!(
            where_it_pays(&[(1000, 0.5), (2000, -0.5), (3000, -1.0)]),
            Pays::From { tokens: 1500 }
        );
        assert_eq!(
            where_it_pays(&[(1000, -0.1), (2000, 0.3)]),
            Pays::UpTo { tokens: 1250 }
        );
        assert_eq!(
            where_it_pays(&[(1000, -0.1), (2000, 0.3), (3000, -0.1)]),
            Pays::InPlaces
        );
    }

    #[test]
    fn bandwidths_need_a_floor_and_time_beyond_it() {
        let mut found = BreakEven {
            engine_id: 0,
            relative_to: 1,
            phase: None,
            tier: "local-cpu 20GB".to_owned(),
            kv_bytes: Some(1_000_000_000),
            wire_bytes: None,
            reused_s: estimate(0.15),
            recomputed_s: estimate(0.55),
            floor_s: estimate(0.05),
            floor_note: None,
            achieved_kv_bytes_per_s: None,
            achieved_wire_bytes_per_s: None,
            tie_kv_bytes_per_s: None,
            tie_wire_bytes_per_s: None,
            note: None,
        };
        found.fill_bandwidths();
        assert!((found.achieved_kv_bytes_per_s.unwrap() - 1e10).abs() < 1.0);
        assert!((found.tie_kv_bytes_per_s.unwrap() - 2e9).abs() < 1.0);
        assert_eq!(found.achieved_wire_bytes_per_s, None);
        assert_eq!(found.note, None);

        found.reused_s = estimate(0.04);
        found.fill_bandwidths();
        assert_eq!(found.achieved_kv_bytes_per_s, None);
        assert!(found.note.unwrap().contains("no longer than the floor"));
    }
}
