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

mod facts;
mod rows;
mod verdicts;

use facts::{appendix, lives, resources, run_facts, warnings};
use rows::{empty_result, experiment, invalid_reason, request, summarise};
use verdicts::{answer, expectations, headline, paying};

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
                    path: None,
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
        events: Vec::new(),
        client: ClientHealth {
            cpu_ns: Some(4_310_000_000),
            peak_rss_bytes: Some(61_000_000),
            lateness: stats::summary(&lateness),
            lateness_ecdf: stats::ecdf(&lateness),
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
