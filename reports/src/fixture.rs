//! A small run for the tests of renderings, made by hand.

use indexmap::IndexMap;
use schemas::{
    manifest::{Ending, Host},
    plan::{Model, Substitution},
    profile::Residency,
    scenario::{Metric, Requests},
};

use crate::{
    analysis::{
        Analysis, Answer, Appendix, ClientHealth, EngineFacts, ExperimentAnalysis, HeadlineRow,
        Outcomes, RunFacts, RunValidity, State, Unit,
    },
    stats::Estimate,
    validity::InvalidReason,
    verdict::{Case, ExpectationResult, NotMeasuredCause, Verdict},
};

const CONTEXTS: [u32; 2] = [2048, 4096];

/// Two engines, two contexts, one expectation that is met in both.
pub(crate) fn analysis() -> Analysis {
    let ratios = [estimate(0.14, 0.02), estimate(0.10, 0.01)];
    Analysis {
        run: run(),
        question: "How much sooner is it?".to_owned(),
        answer: Answer {
            sentence: "Reusing a 4096-token context gave the first token 9.9 times sooner."
                .to_owned(),
            experiment: Some(1),
            engine_id: Some(0),
            baseline_id: Some(1),
            ratio: Some(ratios[1]),
        },
        validity: RunValidity {
            state: State::Valid,
            worst: None,
            invalid: 0,
            valid: 2,
            not_run: 0,
        },
        expectations: vec![ExpectationResult {
            index: 0,
            text: "ttft of lmcache at most 0.5 × baseline".to_owned(),
            metric: Metric::Ttft,
            engine: "lmcache".to_owned(),
            at_most: Some(0.5),
            at_least: None,
            unit: Unit::Ratio,
            verdict: Verdict::Met,
            cases: (0..2)
                .map(|index| Case {
                    experiment: Some(index as u32),
                    label: format!("context {}", CONTEXTS[index]),
                    verdict: Verdict::Met,
                    measured: Some(ratios[index]),
                    cause: None,
                    reason: None,
                })
                .collect(),
        }],
        engines: vec![engine(0, "lmcache", false), engine(1, "baseline", true)],
        headline: vec![
            headline(0, [0.71, 0.09, 0.66], ratios[0], 1792),
            headline(1, [1.73, 0.14, 1.40], ratios[1], 3840),
        ],
        experiments: (0..2).map(experiment).collect(),
        paying: Vec::new(),
        resources: Vec::new(),
        memory: Vec::new(),
        turns: Vec::new(),
        lives: Vec::new(),
        events: Vec::new(),
        client: ClientHealth {
            cpu_ns: None,
            peak_rss_bytes: None,
            lateness: None,
            lateness_ecdf: Vec::new(),
            ttft_error: None,
            reconnects: 0,
            overhead_s: None,
            wall_s: 60.0,
            turns: Vec::new(),
        },
        warnings: Vec::new(),
        substitutions: vec![Substitution {
            what: "context-length".to_owned(),
            declared: "8192, 16384".to_owned(),
            used: "2048, 4096".to_owned(),
            reason: "profile cpu".to_owned(),
        }],
        skipped: Vec::new(),
        appendix: Appendix {
            scenario_text: String::new(),
            command_line: Vec::new(),
            launches: Vec::new(),
            definitions: Vec::new(),
        },
    }
}

/// The same run with its second experiment INVALID.
pub(crate) fn invalid() -> Analysis {
    let mut analysis = analysis();
    let reason = InvalidReason::HitMissing {
        engine: "lmcache".to_owned(),
        log_line: None,
        median_share: 0.0,
        requests: 9,
    };
    analysis.validity = RunValidity {
        state: State::Invalid,
        worst: Some(reason.clone()),
        invalid: 1,
        valid: 1,
        not_run: 0,
    };
    analysis.experiments[1].state = State::Invalid;
    analysis.experiments[1].invalid = vec![reason];
    analysis.headline[1].state = State::Invalid;
    let expectation = &mut analysis.expectations[0];
    expectation.verdict = Verdict::NotMeasured;
    let case = &mut expectation.cases[1];
    case.verdict = Verdict::NotMeasured;
    case.measured = None;
    case.cause = Some(NotMeasuredCause::Invalid);
    case.reason = Some("the experiment is INVALID".to_owned());
    analysis
}

fn estimate(value: f64, half: f64) -> Estimate {
    Estimate {
        value,
        low: Some(value - half),
        high: Some(value + half),
        n: 3,
    }
}

fn bare(value: f64) -> Estimate {
    Estimate {
        value,
        low: None,
        high: None,
        n: 1,
    }
}

fn engine(engine_id: u32, name: &str, baseline: bool) -> EngineFacts {
    EngineFacts {
        engine_id,
        name: name.to_owned(),
        kind: "builtin".to_owned(),
        backend: if baseline { "none" } else { "local-cpu" }.to_owned(),
        tiers: Vec::new(),
        baseline,
        paced: false,
        promises_hits: !baseline,
        chunk_tokens: 256,
    }
}

fn headline(index: u32, times_s: [f64; 3], ratio: Estimate, cached_tokens: u64) -> HeadlineRow {
    let context_tokens = CONTEXTS[index as usize];
    let [cold, warm, baseline] = times_s;
    HeadlineRow {
        experiment: index,
        label: format!("context {context_tokens}"),
        context_tokens,
        engine_id: 0,
        phase: None,
        warm_requests: Requests::Reused,
        cold_s: Some(bare(cold)),
        warm_s: Some(estimate(warm, 0.01)),
        baseline_warm_s: Some(bare(baseline)),
        baseline_id: Some(1),
        ratio: Some(ratio),
        cached_fraction: None,
        cached_tokens: Some(cached_tokens),
        prompt_tokens: Some(u64::from(context_tokens)),
        state: State::Valid,
        note: None,
    }
}

fn experiment(index: u32) -> ExperimentAnalysis {
    let context_tokens = CONTEXTS[index as usize];
    ExperimentAnalysis {
        experiment: index,
        label: format!("context {context_tokens}"),
        workload: "shared-context".to_owned(),
        point: IndexMap::from([("context-length".to_owned(), context_tokens.into())]),
        context_tokens,
        arrival: "one after the other".to_owned(),
        trials: 3,
        state: State::Valid,
        invalid: Vec::new(),
        flags: Vec::new(),
        not_run: None,
        engines: Vec::new(),
        ratios: Vec::new(),
        break_even: Vec::new(),
        agreement: Vec::new(),
    }
}

fn run() -> RunFacts {
    RunFacts {
        scenario: "local_cpu".to_owned(),
        scenario_path: "scenarios/local_cpu.toml".to_owned(),
        run_id: "2026-01-02T03-04-05Z".to_owned(),
        started: "2026-01-02T03:04:05Z".to_owned(),
        ended: None,
        ending: Some(Ending::Complete),
        partial: None,
        version: "0.1.0".to_owned(),
        versions: IndexMap::new(),
        host: Host {
            name: None,
            system: None,
            processor: None,
            cores: None,
            memory_bytes: None,
            gpus: Vec::new(),
            driver: None,
        },
        git_commit: None,
        profile: "cpu".to_owned(),
        profile_reason: "asked for".to_owned(),
        seed: 1,
        residency: Residency::Resident,
        model: Model {
            declared: "a/model".to_owned(),
            used: "builtin:tiny".to_owned(),
            served_name: "m".to_owned(),
            kv_bytes_per_token: None,
            max_length: None,
            dtype: None,
            random_weights: false,
            weights_missing: false,
        },
        prompt_fingerprint: None,
        paced: false,
        random_weights: false,
        planned_requests: 60,
        outcomes: Outcomes {
            rows: 60,
            ok: 60,
            failed: Vec::new(),
        },
    }
}
