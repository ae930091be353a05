//! Made-up analyses for looking at reports and for testing them: seeded, of any size, with every kind of trouble.

use indexmap::IndexMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reports::{
    agreement::Agreement,
    analysis::{
        Analysis, Answer, Appendix, ClientHealth, CounterDelta, Definition, Distribution,
        EngineFacts, EngineMemory, EngineResult, ExperimentAnalysis, HeadlineRow, LaunchText,
        MetricEstimate, Outcomes, ProcessLife, Ratio, RequestPoint, ResourceSeries, RunFacts,
        RunValidity, State, SubjectRole, Turn, TurnHealth, Unit, Warning,
    },
    breakeven::{BreakEven, PayingContext, Pays},
    stats::{self, Estimate},
    validity::{Flag, InvalidReason},
    verdict::{Case, ExpectationResult, NotMeasuredCause, Verdict},
};
use schemas::{
    manifest::{Ending, Gpu, Host},
    plan::{Model, Skipped, Substitution, Tier},
    profile::Residency,
    row::{Outcome, RequestKind},
    scenario::{Metric, Requests, Statistic},
};

/// What to make.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Names; the last is the baseline.
    pub(crate) engines: Vec<String>,
    pub(crate) contexts: Vec<u32>,
    /// Requests of a trial on one engine.
    pub(crate) requests: u32,
    pub(crate) trials: u32,
    /// Every experiment is INVALID.
    pub(crate) invalid: bool,
    /// No request was ever sent.
    pub(crate) empty: bool,
    /// The run was stopped after half of the experiments.
    pub(crate) partial: bool,
    /// Some requests fail.
    pub(crate) failures: bool,
    /// The host has a device.
    pub(crate) device: bool,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            engines: vec!["lmcache".to_owned(), "baseline".to_owned()],
            contexts: vec![8192, 16384, 24576],
            requests: 10,
            trials: 3,
            invalid: false,
            empty: false,
            partial: false,
            failures: false,
            device: true,
        }
    }
}

/// The named runs that a report has to look right for.
pub(crate) fn gallery() -> Vec<(&'static str, Spec)> {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let plain = Spec::default();
    vec![
        ("two-engines", plain.clone()),
        (
            "one-engine",
            Spec {
                engines: names(&["vllm"]),
                contexts: vec![4096],
                ..plain.clone()
            },
        ),
        (
            "four-engines",
            Spec {
                engines: names(&["prefix", "lmcache-cpu", "lmcache-disk", "baseline"]),
                contexts: vec![1024, 2048, 4096, 8192, 12288, 16384, 20480, 24576],
                failures: true,
                ..plain.clone()
            },
        ),
        (
            "three-requests",
            Spec {
                requests: 3,
                trials: 1,
                contexts: vec![1024, 4096],
                device: false,
                ..plain.clone()
            },
        ),
        (
            "many-requests",
            Spec {
                requests: 3000,
                trials: 1,
                failures: true,
                ..plain.clone()
            },
        ),
        (
            "long-name",
            Spec {
                engines: names(&[
                    "an-engine-whose-name-was-chosen-by-somebody-who-likes-words-x",
                    "baseline-without-any-cache-at-all-and-a-long-name-for-it-too",
                ]),
                ..plain.clone()
            },
        ),
        (
            "all-invalid",
            Spec {
                invalid: true,
                ..plain.clone()
            },
        ),
        (
            "nothing-measured",
            Spec {
                empty: true,
                trials: 0,
                ..plain.clone()
            },
        ),
        (
            "partial",
            Spec {
                partial: true,
                failures: true,
                contexts: vec![1024, 4096, 8192, 16384],
                ..plain
            },
        ),
    ]
}

/// Makes the analysis of a spec: the same for the same spec.
pub(crate) fn analysis(spec: &Spec) -> Analysis {
    let mut noise = ChaCha8Rng::seed_from_u64(7);
    let baseline = spec.engines.len() - 1;
    let several = spec.engines.len() > 1;
    let mut now_ns = 30_000_000_000_u64;
    let mut turns = Vec::new();
    let mut experiments = Vec::new();
    let ran =
        |index: usize| !spec.empty && (!spec.partial || index < spec.contexts.len().div_ceil(2));
    for (index, context) in spec.contexts.iter().enumerate() {
        let mut engines: Vec<EngineResult> = (0..spec.engines.len())
            .map(|id| empty_result(id as u32))
            .collect();
        if ran(index) {
            for trial in 0..spec.trials {
                for (id, engine) in engines.iter_mut().enumerate() {
                    let from_ns = now_ns;
                    for number in 0..spec.requests {
                        let point =
                            request(spec, &mut noise, id, *context, trial, number, &mut now_ns);
                        engine.points.push(point);
                    }
                    turns.push(Turn {
                        expr_id: turns.len() as u32,
                        experiment: index as u32,
                        trial,
                        engine_id: id as u32,
                        from_ns,
                        to_ns: now_ns,
                    });
                    now_ns += 300_000_000;
                }
            }
            engines
                .iter_mut()
                .for_each(|engine| summarise(engine, spec.trials));
        }
        experiments.push(experiment(spec, index, *context, engines, ran(index)));
    }
    let headline = headline(spec, &experiments);
    let answer = answer(spec, &headline);
    let state = experiments
        .iter()
        .filter(|found| found.state != State::NotRun)
        .map(|found| found.state)
        .max()
        .unwrap_or(State::NotRun);
    let points = || {
        experiments
            .iter()
            .flat_map(|experiment| &experiment.engines)
            .flat_map(|engine| &engine.points)
    };
    let ok = points()
        .filter(|point| point.outcome == Outcome::Ok)
        .count() as u64;
    let rows = points().count() as u64;
    let lateness: Vec<f64> = {
        let mut late: Vec<f64> = points()
            .filter_map(|point| Some((point.sent_ns? - point.intended_ns) as f64 / 1e9))
            .collect();
        late.sort_by(f64::total_cmp);
        late
    };
    let facts = spec
        .engines
        .iter()
        .enumerate()
        .map(|(id, name)| EngineFacts {
            engine_id: id as u32,
            name: name.clone(),
            kind: "vllm".to_owned(),
            backend: if id == baseline && several {
                "none".to_owned()
            } else {
                "local-cpu 20GB".to_owned()
            },
            tiers: if id == baseline {
                Vec::new()
            } else {
                vec![Tier {
                    name: "local-cpu".to_owned(),
                    capacity_bytes: Some(20_000_000_000),
                }]
            },
            baseline: id == baseline && several,
            paced: false,
            promises_hits: id != baseline,
            chunk_tokens: 256,
        });
    let client_turns = turns.iter().map(|turn| TurnHealth {
        experiment: turn.experiment,
        trial: turn.trial,
        engine_id: turn.engine_id,
        requests: u64::from(spec.requests),
        lateness: stats::summary(&lateness[..lateness.len().min(200)]),
        asked_rate: None,
        achieved_rate: None,
        heartbeat_p99_ns: Some(180_000),
        heartbeat_worst_ns: Some(2_400_000),
        thread_cpu_share: Some(0.031),
    });
    Analysis {
        run: run_facts(spec, rows, ok),
        question: "How much sooner does the first token come when a shared context is reused from host memory?".to_owned(),
        answer,
        validity: RunValidity {
            state,
            worst: spec.invalid.then(|| invalid_reason(&spec.engines[0])),
            invalid: experiments.iter().filter(|found| found.state == State::Invalid).count() as u32,
            valid: experiments.iter().filter(|found| found.state == State::Valid).count() as u32,
            not_run: experiments.iter().filter(|found| found.state == State::NotRun).count() as u32,
        },
        expectations: expectations(spec, &headline, &experiments),
        engines: facts.collect(),
        paying: paying(spec, &headline),
        headline,
        resources: resources(spec, &mut noise, now_ns),
        memory: (0..spec.engines.len())
            .filter(|_| !spec.empty)
            .map(|id| EngineMemory {
                engine_id: id as u32,
                peak_rss_bytes: Some(5_300_000_000 + id as u64 * 200_000_000),
                sidecars_peak_rss_bytes: (id != baseline).then_some(21_400_000_000),
                peak_gpu_bytes: spec.device.then_some(33_900_000_000 + id as u64 * 300_000_000),
                pool_bytes: spec.device.then_some(15_200_000_000),
                beyond_pool_bytes: spec.device.then_some(18_700_000_000 + id as u64 * 300_000_000),
            })
            .collect(),
        lives: lives(spec, now_ns),
        client: ClientHealth {
            cpu_ns: Some(4_310_000_000),
            peak_rss_bytes: Some(61_000_000),
            lateness: stats::summary(&lateness),
            lateness_ecdf: stats::ecdf(lateness.clone()),
            ttft_error: None,
            reconnects: 2,
            overhead_s: Some(1.84),
            wall_s: now_ns as f64 / 1e9,
            turns: client_turns.collect(),
        },
        turns,
        warnings: warnings(spec),
        substitutions: vec![Substitution {
            what: "model".to_owned(),
            declared: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
            used: "builtin:small".to_owned(),
            reason: "profile builtin".to_owned(),
        }],
        skipped: if spec.engines.len() > 2 {
            vec![Skipped { engine: Some(2), what: "engine lmcache-disk, layer-wise".to_owned(), reason: "not on a CPU".to_owned() }]
        } else {
            Vec::new()
        },
        appendix: appendix(spec),
        experiments,
    }
}

fn factor(id: usize, baseline: usize) -> f64 {
    if id == baseline {
        1.0
    } else {
        [0.14, 0.22, 1.25][id % 3]
    }
}

fn request(
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

fn empty_result(engine_id: u32) -> EngineResult {
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

fn summarise(engine: &mut EngineResult, trials: u32) {
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
                    ecdf: stats::ecdf(values),
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

fn experiment(
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

fn invalid_reason(engine: &str) -> InvalidReason {
    InvalidReason::HitMissing {
        engine: engine.to_owned(),
        median_share: 0.0,
        requests: 27,
    }
}

fn headline(spec: &Spec, experiments: &[ExperimentAnalysis]) -> Vec<HeadlineRow> {
    let baseline = spec.engines.len() - 1;
    let several = spec.engines.len() > 1;
    let mut rows = Vec::new();
    for experiment in experiments {
        for id in (0..spec.engines.len()).filter(|id| !several || *id != baseline) {
            let of = |id: usize, requests: Requests| {
                experiment.engines[id]
                    .estimate(Metric::Ttft, requests)
                    .map(|found| found.estimate)
            };
            let measured = experiment.state != State::NotRun;
            rows.push(HeadlineRow {
                experiment: experiment.experiment,
                label: experiment.label.clone(),
                context_tokens: experiment.context_tokens,
                engine_id: id as u32,
                warm_requests: Requests::Reused,
                cold_s: of(id, Requests::Cold),
                warm_s: of(id, Requests::Reused),
                baseline_warm_s: if several {
                    of(baseline, Requests::Reused)
                } else {
                    None
                },
                baseline_id: several.then_some(baseline as u32),
                ratio: experiment
                    .ratios
                    .iter()
                    .find(|ratio| ratio.engine_id as usize == id)
                    .map(|ratio| ratio.estimate),
                cached_fraction: measured.then_some(Estimate {
                    value: if spec.invalid { 0.0 } else { 1.0 },
                    low: None,
                    high: None,
                    n: spec.trials,
                }),
                cached_tokens: measured.then_some(if spec.invalid {
                    0
                } else {
                    u64::from(experiment.context_tokens)
                }),
                prompt_tokens: measured.then_some(u64::from(experiment.context_tokens) + 28),
                state: experiment.state,
                note: experiment.not_run.clone(),
            });
        }
    }
    rows
}

fn answer(spec: &Spec, headline: &[HeadlineRow]) -> Answer {
    let measured = headline
        .iter()
        .rev()
        .find(|row| row.warm_s.is_some() && row.engine_id == 0);
    let sentence = match measured {
        None => "No answer: nothing was measured, because no engine ever answered.".to_owned(),
        Some(row) => match (&row.ratio, &row.warm_s, &row.baseline_warm_s) {
            (Some(ratio), Some(own), Some(other)) => format!(
                "Reusing a {}-token context from host memory gave the first token {:.1} times sooner ({:.3} s instead of {:.3} s; {} paired trials).",
                row.context_tokens,
                1.0 / ratio.value,
                own.value,
                other.value,
                spec.trials
            ),
            (_, Some(own), _) => format!(
                "The first token of a reused {}-token context came after {:.3} s.",
                row.context_tokens, own.value
            ),
            _ => "No answer.".to_owned(),
        },
    };
    Answer {
        sentence,
        experiment: measured.map(|row| row.experiment),
        engine_id: measured.map(|row| row.engine_id),
        baseline_id: measured.and_then(|row| row.baseline_id),
        ratio: measured.and_then(|row| row.ratio),
    }
}

fn expectations(
    spec: &Spec,
    headline: &[HeadlineRow],
    experiments: &[ExperimentAnalysis],
) -> Vec<ExpectationResult> {
    let name = &spec.engines[0];
    let cases: Vec<Case> = headline
        .iter()
        .filter(|row| row.engine_id == 0)
        .map(|row| {
            let invalid = experiments[row.experiment as usize].state == State::Invalid;
            match (&row.ratio, invalid) {
                (Some(ratio), false) => Case {
                    experiment: Some(row.experiment),
                    label: row.label.clone(),
                    verdict: if ratio.interval().is_none() {
                        Verdict::Undecided
                    } else if ratio.value < 0.5 {
                        Verdict::Met
                    } else {
                        Verdict::NotMet
                    },
                    measured: Some(*ratio),
                    cause: None,
                    reason: ratio
                        .interval()
                        .is_none()
                        .then(|| "no interval below three trials".to_owned()),
                },
                (_, invalid) => Case {
                    experiment: Some(row.experiment),
                    label: row.label.clone(),
                    verdict: Verdict::NotMeasured,
                    measured: None,
                    cause: Some(if invalid {
                        NotMeasuredCause::Invalid
                    } else {
                        NotMeasuredCause::NotRun
                    }),
                    reason: Some(if invalid {
                        "the experiment is INVALID".to_owned()
                    } else {
                        "the experiment did not run".to_owned()
                    }),
                },
            }
        })
        .collect();
    let worst = cases
        .iter()
        .map(|case| case.verdict)
        .max()
        .unwrap_or(Verdict::NotMeasured);
    vec![
        ExpectationResult {
            index: 0,
            text: format!("ttft of {name} at most 0.5 × baseline"),
            metric: Metric::Ttft,
            engine: name.clone(),
            at_most: Some(0.5),
            at_least: None,
            unit: Unit::Ratio,
            verdict: worst,
            cases,
        },
        ExpectationResult {
            index: 1,
            text: format!("ttft of {name} at most 60 ms"),
            metric: Metric::Ttft,
            engine: name.clone(),
            at_most: Some(0.06),
            at_least: None,
            unit: Unit::Seconds,
            verdict: Verdict::NotMet,
            cases: headline
                .iter()
                .rev()
                .filter(|row| row.engine_id == 0)
                .take(1)
                .map(|row| Case {
                    experiment: Some(row.experiment),
                    label: row.label.clone(),
                    verdict: if row.warm_s.is_some() {
                        Verdict::NotMet
                    } else {
                        Verdict::NotMeasured
                    },
                    measured: row.warm_s,
                    cause: None,
                    reason: None,
                })
                .collect(),
        },
    ]
}

fn paying(spec: &Spec, headline: &[HeadlineRow]) -> Vec<PayingContext> {
    if spec.contexts.len() < 2
        || spec.engines.len() < 2
        || headline.iter().all(|row| row.ratio.is_none())
    {
        return Vec::new();
    }
    vec![PayingContext {
        engine_id: 0,
        relative_to: spec.engines.len() as u32 - 1,
        pays: Pays::Everywhere,
        shortest_tokens: spec.contexts[0],
        longest_tokens: spec.contexts[spec.contexts.len() - 1],
        sentence: format!("{} pays at every context length measured.", spec.engines[0]),
    }]
}

fn run_facts(spec: &Spec, rows: u64, ok: u64) -> RunFacts {
    RunFacts {
        scenario: "host-memory".to_owned(),
        scenario_path: "scenarios/host-memory.toml".to_owned(),
        run_id: "2026-11-24T08-12-33Z".to_owned(),
        started: "2026-11-24T08:12:33Z".to_owned(),
        ended: Some("2026-11-24T08:31:02Z".to_owned()),
        ending: Some(if spec.partial {
            Ending::Interrupted
        } else {
            Ending::Complete
        }),
        partial: spec
            .partial
            .then(|| "interrupted by the user after 2 of 4 experiments".to_owned()),
        version: "0.1.0".to_owned(),
        versions: IndexMap::from([
            ("vllm".to_owned(), "0.24.0".to_owned()),
            ("lmcache".to_owned(), "0.5.0".to_owned()),
        ]),
        host: Host {
            name: Some("bench-03".to_owned()),
            system: Some("Linux 6.1.0".to_owned()),
            processor: Some("AMD EPYC 9454".to_owned()),
            cores: Some(16),
            memory_bytes: Some(137_438_953_472),
            gpus: if spec.device {
                vec![Gpu {
                    name: "NVIDIA H100 80GB HBM3".to_owned(),
                    memory_bytes: Some(85_899_345_920),
                }]
            } else {
                Vec::new()
            },
            driver: spec.device.then(|| "570.86".to_owned()),
        },
        git_commit: Some("3fce3b5b7a6e".to_owned()),
        profile: "gpu".to_owned(),
        profile_reason: "auto: a device and vLLM are there".to_owned(),
        seed: 42,
        residency: Residency::Resident,
        model: Model {
            declared: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
            used: "models/llama-8b-shape".to_owned(),
            served_name: "m".to_owned(),
            kv_bytes_per_token: Some(131_072),
            max_length: Some(32_768),
            random_weights: true,
        },
        prompt_fingerprint: Some("9c1185a5c5e9fc54".to_owned()),
        paced: spec.engines.len() == 1,
        random_weights: true,
        planned_requests: u64::from(spec.requests)
            * spec.contexts.len() as u64
            * spec.engines.len() as u64,
        outcomes: Outcomes {
            rows,
            ok,
            failed: if ok < rows {
                vec![(Outcome::Timeout, rows - ok)]
            } else {
                Vec::new()
            },
        },
    }
}

fn resources(spec: &Spec, noise: &mut ChaCha8Rng, end_ns: u64) -> Vec<ResourceSeries> {
    if spec.empty {
        return Vec::new();
    }
    let at_ns: Vec<u64> = (0..1500).map(|index| end_ns / 1500 * index).collect();
    let mut all = Vec::new();
    let baseline = spec.engines.len() - 1;
    for (id, name) in spec.engines.iter().enumerate() {
        let mut add = |subject: String, role: SubjectRole, level: f64, device: bool| {
            let rise = |index: usize| level * (1.0 - (-(index as f64) / 120.0).exp());
            let mut values = |scale: f64| {
                (0..1500)
                    .map(|index| {
                        Some((rise(index) * scale * (1.0 + 0.01 * noise.random::<f64>())) as u64)
                    })
                    .collect::<Vec<_>>()
            };
            let rss = values(1.0);
            let gpu = if device {
                values(6.0)
            } else {
                vec![None; 1500]
            };
            all.push(ResourceSeries {
                subject,
                engine_id: Some(id as u32),
                role,
                at_ns: at_ns.clone(),
                rss_bytes: rss,
                cpu_ns: vec![None; 1500],
                disk_read_bytes: vec![Some(0); 1500],
                disk_written_bytes: vec![Some(0); 1500],
                gpu_memory_bytes: gpu,
                gpu_utilisation_percent: vec![None; 1500],
                gpu_power_milliwatts: vec![None; 1500],
            });
        };
        add(
            name.clone(),
            SubjectRole::Engine,
            5.3e9 + id as f64 * 4e8,
            spec.device,
        );
        if id != baseline && id < 2 {
            add(
                format!("{name}.lmcache"),
                SubjectRole::Sidecar,
                2.1e10,
                false,
            );
        }
    }
    all
}

fn lives(spec: &Spec, end_ns: u64) -> Vec<ProcessLife> {
    let life = |id: usize, name: String, role: SubjectRole, start: u64| ProcessLife {
        name,
        engine_id: Some(id as u32),
        role,
        command: vec!["python".to_owned(), "-m".to_owned(), "engine".to_owned()],
        started_ns: start,
        ready_ns: (!spec.empty).then_some(start + 12_000_000_000),
        stopping_ns: (!spec.empty).then_some(end_ns),
        ended_ns: Some(end_ns + 2_000_000_000),
        ending: Some("exit code 0".to_owned()),
        expected: Some(!spec.empty),
        last_lines: if spec.empty {
            vec!["RuntimeError: no kernel image is available".to_owned()]
        } else {
            Vec::new()
        },
    };
    let mut lives = Vec::new();
    for (id, name) in spec.engines.iter().enumerate() {
        if id + 1 < spec.engines.len() {
            lives.push(life(
                id,
                format!("{name}.lmcache"),
                SubjectRole::Sidecar,
                500_000_000,
            ));
        }
        lives.push(life(
            id,
            name.clone(),
            SubjectRole::Engine,
            6_000_000_000 + id as u64 * 2_000_000_000,
        ));
    }
    lives
}

fn warnings(spec: &Spec) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if spec.empty {
        warnings.push(Warning {
            text: "lmcache never answered: exit code 1".to_owned(),
            advice: Some("Read logs/lmcache.log; the last lines are below.".to_owned()),
            lines: vec![
                "Traceback (most recent call last):".to_owned(),
                "    raise RuntimeError(\"no kernel image is available\")".to_owned(),
                "RuntimeError: no kernel image is available".to_owned(),
            ],
        });
    }
    if spec.failures {
        warnings.push(Warning {
            text: "4 % of the requests failed (12 of 300)".to_owned(),
            advice: Some("Their rows have the reason in `detail`.".to_owned()),
            lines: Vec::new(),
        });
    }
    warnings
}

fn appendix(spec: &Spec) -> Appendix {
    let scenario = "question = \"How much sooner does the first token come when a shared context is reused from host memory?\"\nmodel    = \"meta-llama/Llama-3.1-8B-Instruct\"\n\n[workload.shared-context]\ncontext-length = [8192, 16384, 24576]   # tokens\nreuse-count    = 10\nquery-length   = 16\noutput-length  = 200\n\n[arrival.constant]\ninterval = \"8s\"\n\n[engine.lmcache]\nbackend.local-cpu = { capacity = \"20GB\" }\n\n[engine.baseline]\nbackend.none = {}\n";
    Appendix {
        scenario_text: scenario.to_owned(),
        command_line: vec!["runner".to_owned(), "scenarios/host-memory.toml".to_owned()],
        launches: spec
            .engines
            .iter()
            .enumerate()
            .map(|(id, name)| LaunchText {
                name: name.clone(),
                engine_id: id as u32,
                command: format!("python -m vllm.entrypoints.openai.api_server --model models/llama-8b-shape --served-model-name m --port {{port.{name}}} --no-enable-prefix-caching --max-model-len 32768 --gpu-memory-utilization 0.42").split(' ').map(str::to_owned).collect(),
                env: IndexMap::from([("PYTHONHASHSEED".to_owned(), "0".to_owned())]),
                files: IndexMap::new(),
            })
            .collect(),
        definitions: vec![
            Definition { name: "TTFT", unit: "s", text: "From just before the request's first byte is written to the arrival of the first event with content." },
            Definition { name: "ITL", unit: "s", text: "Gaps between events with content, as a distribution." },
            Definition { name: "throughput", unit: "tokens/s", text: "Output tokens over the time from the first to the last event with content; unknown below two tokens." },
        ],
    }
}
