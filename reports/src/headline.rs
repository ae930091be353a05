//! The headline table: engine × context.

use schemas::scenario::{Metric, Phase, Requests};

use crate::{
    analysis::{EngineResult, ExperimentAnalysis, HeadlineRow, State},
    breakeven::median_tokens,
    facts::Facts,
    metrics, phrase,
    series::{engine_result, share_over_turns},
    stats::Estimate,
    values::Comparison,
};

/// One line for each experiment and engine, without the engine that the others are compared with; two where an event happened.
pub(crate) fn rows(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> Vec<HeadlineRow> {
    let baseline_id = facts.baseline_id();
    let happened = !facts.data.events.is_empty();
    let phases: Vec<(Phase, Facts<'_>)> = [Phase::BeforeEvent, Phase::AfterEvent]
        .into_iter()
        .filter(|_| happened)
        .map(|phase| (phase, facts.of_phase(phase)))
        .collect();
    let mut rows = Vec::new();
    for experiment in experiments {
        let number = experiment.experiment;
        let engines = || {
            let all = experiment.engines.iter();
            all.filter(|engine| Some(engine.engine_id) != baseline_id)
        };
        for (phase, facts) in &phases {
            let ids = engines().map(|engine| engine.engine_id);
            let ids = ids.filter(|id| facts.has_rows(number, *id));
            rows.extend(ids.map(|id| of_phase(facts, *phase, experiment, id, baseline_id)));
        }
        let untouched = engines().filter(|engine| {
            let mut phases = phases.iter();
            !phases.any(|(_, facts)| facts.has_rows(number, engine.engine_id))
        });
        let baseline = of_engine(experiment, baseline_id);
        rows.extend(untouched.map(|engine| row(facts, experiment, engine, baseline)));
    }
    rows
}

fn of_engine(experiment: &ExperimentAnalysis, id: Option<u32>) -> Option<&EngineResult> {
    let mut engines = experiment.engines.iter();
    engines.find(|engine| Some(engine.engine_id) == id)
}

/// The line of one phase's requests, held against the baseline's of the same phase, or against all of them where no event was about it.
fn of_phase(
    facts: &Facts<'_>,
    phase: Phase,
    experiment: &ExperimentAnalysis,
    engine_id: u32,
    baseline_id: Option<u32>,
) -> HeadlineRow {
    let number = experiment.experiment;
    let engine = engine_result(facts, number, engine_id);
    let baseline = match baseline_id {
        Some(id) if facts.has_rows(number, id) => Some(engine_result(facts, number, id)),
        _ => of_engine(experiment, baseline_id).cloned(),
    };
    let row = row(facts, experiment, &engine, baseline.as_ref());
    let trials = |engine: &EngineResult| {
        engine
            .estimate(Metric::Ttft, row.warm_requests)
            .map(|found| found.per_trial.clone())
    };
    let ratio = baseline.as_ref().and_then(|baseline| {
        let comparison = Comparison::of(facts, number, engine_id, baseline.engine_id, Metric::Ttft);
        comparison.ratio(&trials(&engine)?, &trials(baseline)?)
    });
    HeadlineRow {
        label: format!("{} {}", row.label, phrase::phase(phase)),
        phase: Some(phase),
        ratio,
        ..row
    }
}

fn row(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    engine: &EngineResult,
    baseline: Option<&EngineResult>,
) -> HeadlineRow {
    let number = experiment.experiment;
    let baseline_id = baseline.map(|baseline| baseline.engine_id);
    let warm_requests = facts.warm_requests(number);
    let ttft = |engine: &EngineResult, requests: Requests| -> Option<Estimate> {
        engine
            .estimate(Metric::Ttft, requests)
            .map(|found| found.estimate)
    };
    let later = |requests: Requests| {
        share_over_turns(facts, number, engine.engine_id, |turn| {
            metrics::cached_fraction(facts.frame(), facts.cacheable_tokens(), turn, requests)
        })
    };
    HeadlineRow {
        experiment: number,
        label: experiment.label.clone(),
        context_tokens: experiment.context_tokens,
        engine_id: engine.engine_id,
        phase: None,
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
        // A failure quotes the log under its first line, which has no room in a table.
        note: note(facts, experiment, engine)
            .and_then(|note| note.lines().next().map(str::to_owned)),
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
