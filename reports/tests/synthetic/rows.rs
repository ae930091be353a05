//! Requests and what is computed from them.

use super::*;

pub(super) fn factor(id: usize, baseline: usize) -> f64 {
    if id == baseline {
        1.0
    } else {
        [0.14, 0.22, 1.25][id % 3]
    }
}

pub(super) fn request(
    spec: &Spec,
    noise: &mut ChaCha8Rng,
    id: usize,
    context: u32,
    trial: u32,
    number: u32,
    now_ns: &mut u64,
) -> RequestPoint {
    let baseline = spec.engines.len() - 1;
    let cold = number == 0;
    let full = 0.02 + f64::from(context) * 2.2e-5 + f64::from(context).powi(2) * 5e-10;
    let jitter = 1.0
        + 0.04 * (noise.random::<f64>() - 0.5)
        + if noise.random::<f64>() < 0.02 {
            0.4
        } else {
            0.0
        };
    let ttft = full
        * jitter
        * if cold {
            if id == baseline { 1.0 } else { 1.12 }
        } else {
            factor(id, baseline)
        };
    let tpot = 0.012 * (1.0 + 0.08 * (noise.random::<f64>() - 0.5));
    let failed = spec.failures && noise.random::<f64>() < 0.04 && !cold;
    let intended_ns = *now_ns;
    let sent_ns = intended_ns + 40_000 + (noise.random::<f64>().powi(4) * 900_000.0) as u64;
    let first = sent_ns + (ttft * 1e9) as u64;
    let last = first + (tpot * 199.0 * 1e9) as u64;
    *now_ns = last + 20_000_000;
    let expected = (!cold && id != baseline).then_some(context / 256 * 256);
    RequestPoint {
        trial,
        request_id: number,
        kind: if cold {
            RequestKind::Cold
        } else {
            RequestKind::Reused
        },
        outcome: if !failed {
            Outcome::Ok
        } else if noise.random::<bool>() {
            Outcome::Timeout
        } else {
            Outcome::EngineExited
        },
        ttft_s: (!failed).then_some(ttft),
        throughput: (!failed).then_some(1.0 / tpot),
        intended_ns,
        connect_ns: Some(intended_ns.saturating_sub(3_000_000)),
        sent_ns: Some(sent_ns),
        first_content_ns: (!failed).then_some(first),
        last_content_ns: (!failed).then_some(last),
        done_ns: Some(last),
        prompt_tokens: Some(context + 28),
        expected_cached_tokens: expected,
        cached_tokens: Some(if spec.invalid {
            0
        } else {
            expected.unwrap_or(0)
        }),
        outlier: false,
    }
}

pub(super) fn empty_result(engine_id: u32) -> EngineResult {
    EngineResult {
        engine_id,
        skipped: None,
        outcomes: Outcomes::default(),
        points: Vec::new(),
        estimates: Vec::new(),
        distributions: Vec::new(),
        wall_throughput: None,
        attainment: None,
        goodput: None,
        completed: None,
        cached_fraction: None,
        counters: Vec::new(),
    }
}

type Read = fn(&RequestPoint) -> Option<f64>;

pub(super) fn summarise(engine: &mut EngineResult, trials: u32) {
    let metrics: [(Metric, Unit, Read); 2] = [
        (Metric::Ttft, Unit::Seconds, |point| point.ttft_s),
        (Metric::Throughput, Unit::TokensPerSecond, |point| {
            point.throughput
        }),
    ];
    for (metric, unit, read) in metrics {
        for (requests, kind) in [
            (Requests::Cold, RequestKind::Cold),
            (Requests::Reused, RequestKind::Reused),
        ] {
            let mut per_trial = Vec::new();
            for trial in 0..trials {
                let mut values: Vec<f64> = engine
                    .points
                    .iter()
                    .filter(|point| point.trial == trial && point.kind == kind)
                    .filter_map(read)
                    .collect();
                per_trial.extend(stats::median(&mut values).map(|value| (trial, value)));
            }
            let medians: Vec<f64> = per_trial.iter().map(|(_, value)| *value).collect();
            if let Some(estimate) = stats::mean_estimate(&medians) {
                engine.estimates.push(MetricEstimate {
                    metric,
                    requests,
                    statistic: Statistic::Median,
                    unit,
                    estimate,
                    per_trial,
                });
            }
            let mut values: Vec<f64> = engine
                .points
                .iter()
                .filter(|point| point.kind == kind)
                .filter_map(read)
                .collect();
            values.sort_by(f64::total_cmp);
            if let Some(summary) = stats::summary(&values) {
                engine.distributions.push(Distribution {
                    metric,
                    requests,
                    unit,
                    summary,
                    ecdf: stats::ecdf(&values),
                });
            }
        }
    }
    let gaps: Vec<f64> = (0..500)
        .map(|index| 0.011 + 0.002 * (f64::from(index) / 500.0).powi(3))
        .collect();
    if let Some(summary) = stats::summary(&gaps) {
        engine.distributions.push(Distribution {
            metric: Metric::Itl,
            requests: Requests::All,
            unit: Unit::Seconds,
            summary,
            ecdf: gaps,
        });
    }
    engine.counters.push(CounterDelta {
        subject: "engine".to_owned(),
        name: "vllm:external_prefix_cache_hits_total".to_owned(),
        labels: String::new(),
        before: 0.0,
        after: 73_728.0,
        delta: 73_728.0,
    });
}

pub(super) fn experiment(
    spec: &Spec,
    index: usize,
    context: u32,
    engines: Vec<EngineResult>,
    ran: bool,
) -> ExperimentAnalysis {
    let baseline = spec.engines.len() - 1;
    let several = spec.engines.len() > 1;
    let medians = |id: usize| {
        engines[id]
            .estimate(Metric::Ttft, Requests::Reused)
            .map(|found| found.per_trial.clone())
    };
    let mut ratios = Vec::new();
    let mut break_even = Vec::new();
    let mut agreement = Vec::new();
    for id in (0..engines.len()).filter(|id| several && *id != baseline && ran) {
        if let (Some(own), Some(other)) = (medians(id), medians(baseline)) {
            let pairs: Vec<(f64, f64)> = own
                .iter()
                .zip(&other)
                .map(|((_, own), (_, other))| (*own, *other))
                .collect();
            if let Some(estimate) = stats::paired_ratio(&pairs) {
                ratios.push(Ratio {
                    metric: Metric::Ttft,
                    requests: Requests::Reused,
                    engine_id: id as u32,
                    relative_to: baseline as u32,
                    estimate,
                    paired: true,
                });
            }
        }
        let estimate = |id: usize| {
            engines[id]
                .estimate(Metric::Ttft, Requests::Reused)
                .map(|found| found.estimate)
        };
        let kv = u64::from(context) * 131_072;
        break_even.push(BreakEven {
            engine_id: id as u32,
            relative_to: baseline as u32,
            phase: None,
            tier: "local-cpu".to_owned(),
            kv_bytes: Some(kv),
            wire_bytes: None,
            reused_s: estimate(id),
            recomputed_s: estimate(baseline),
            floor_s: None,
            floor_note: Some(
                "floor not measured: no engine of the run keeps the KV in device memory".to_owned(),
            ),
            achieved_kv_bytes_per_s: None,
            achieved_wire_bytes_per_s: None,
            tie_kv_bytes_per_s: estimate(baseline).map(|found| kv as f64 / found.value),
            tie_wire_bytes_per_s: None,
            note: None,
        });
        agreement.push(Agreement {
            engine_id: id as u32,
            relative_to: baseline as u32,
            requests: Requests::Reused,
            pairs: 27,
            equal: 27,
            mean_equal_prefix_characters: Some(812.3),
            mean_equal_prefix_share: Some(1.0),
            first_word_differs: Some(0),
        });
    }
    let state = match (ran, spec.invalid) {
        (false, _) => State::NotRun,
        (true, true) => State::Invalid,
        (true, false) => State::Valid,
    };
    ExperimentAnalysis {
        experiment: index as u32,
        label: format!("context {context}"),
        workload: "shared-context".to_owned(),
        point: IndexMap::from([
            ("context-length".to_owned(), serde_json::json!(context)),
            ("reuse-count".to_owned(), serde_json::json!(spec.requests)),
        ]),
        context_tokens: context,
        arrival: "one after the other".to_owned(),
        trials: if ran { spec.trials } else { 0 },
        state,
        invalid: if state == State::Invalid {
            vec![invalid_reason(&spec.engines[0])]
        } else {
            Vec::new()
        },
        flags: if ran && spec.trials < 3 {
            vec![Flag::FewTrials {
                trials: spec.trials,
            }]
        } else {
            Vec::new()
        },
        not_run: (!ran).then(|| {
            if spec.empty {
                "the engine never answered".to_owned()
            } else {
                "the run was interrupted before".to_owned()
            }
        }),
        engines,
        ratios,
        break_even,
        agreement,
    }
}

pub(super) fn invalid_reason(engine: &str) -> InvalidReason {
    InvalidReason::HitMissing {
        engine: engine.to_owned(),
        log_line: None,
        median_share: 0.0,
        requests: 27,
    }
}
