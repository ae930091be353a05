//! The headline table: engine × context.

use schemas::scenario::{Metric, Requests};

use crate::{
    analysis::{EngineResult, ExperimentAnalysis, HeadlineRow, State},
    breakeven::median_tokens,
    facts::Facts,
    metrics,
    series::over_turns,
    stats::Estimate,
};

/// One line for each experiment and engine, without the engine that the others are compared with.
pub(crate) fn rows(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> Vec<HeadlineRow> {
    let baseline_id = facts.baseline_id();
    experiments
        .iter()
        .flat_map(|experiment| {
            experiment
                .engines
                .iter()
                .filter(move |engine| Some(engine.engine_id) != baseline_id)
                .map(move |engine| row(facts, experiment, engine, baseline_id))
        })
        .collect()
}

fn row(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    engine: &EngineResult,
    baseline_id: Option<u32>,
) -> HeadlineRow {
    let number = experiment.experiment;
    let warm_requests = facts.warm_requests(number);
    let ttft = |engine: &EngineResult, requests: Requests| -> Option<Estimate> {
        engine
            .estimate(Metric::Ttft, requests)
            .map(|found| found.estimate)
    };
    let baseline = baseline_id.and_then(|id| {
        experiment
            .engines
            .iter()
            .find(|engine| engine.engine_id == id)
    });
    let later = |requests: Requests| {
        over_turns(facts, number, engine.engine_id, |turn| {
            metrics::cached_fraction(facts.frame(), turn, &experiment.workload, requests)
        })
    };
    HeadlineRow {
        experiment: number,
        label: experiment.label.clone(),
        context_tokens: experiment.context_tokens,
        engine_id: engine.engine_id,
        warm_requests,
        cold_s: ttft(engine, Requests::Cold),
        warm_s: ttft(engine, warm_requests),
        baseline_warm_s: baseline.and_then(|baseline| ttft(baseline, warm_requests)),
        baseline_id,
        ratio: experiment
            .ratios
            .iter()
            .find(|ratio| {
                ratio.engine_id == engine.engine_id
                    && Some(ratio.relative_to) == baseline_id
                    && ratio.metric == Metric::Ttft
                    && ratio.requests == warm_requests
            })
            .map(|ratio| ratio.estimate),
        cached_fraction: later(warm_requests),
        cached_tokens: median_tokens(facts, number, engine.engine_id, |request| {
            request.cached_tokens
        }),
        prompt_tokens: median_tokens(facts, number, engine.engine_id, |request| {
            request.prompt_tokens
        }),
        state: experiment.state,
        note: note(facts, experiment, engine),
    }
}

/// Why numbers are missing, or are not to be believed.
fn note(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    engine: &EngineResult,
) -> Option<String> {
    if let Some(skipped) = &engine.skipped {
        return Some(skipped.clone());
    }
    if let Some(not_run) = &experiment.not_run {
        return Some(not_run.clone());
    }
    if engine.outcomes.rows == 0 {
        return Some(
            facts
                .data
                .partial()
                .unwrap_or_else(|| "it was not asked".to_owned()),
        );
    }
    if engine.outcomes.ok == 0 {
        return Some("no request ended ok".to_owned());
    }
    (experiment.state == State::Invalid)
        .then(|| experiment.invalid.first().map(ToString::to_string))
        .flatten()
}
