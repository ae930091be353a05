//! The headline, the answer, and what became of the expectations.

use super::*;

pub(super) fn headline(spec: &Spec, experiments: &[ExperimentAnalysis]) -> Vec<HeadlineRow> {
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
                phase: None,
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

pub(super) fn answer(spec: &Spec, headline: &[HeadlineRow]) -> Answer {
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

pub(super) fn expectations(
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

pub(super) fn paying(spec: &Spec, headline: &[HeadlineRow]) -> Vec<PayingContext> {
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
