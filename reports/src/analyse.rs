//! From a run's facts to its analysis: the order in which things are made known.

use rayon::prelude::*;

use crate::{
    agreement,
    analysis::TurnHealth,
    analysis::{Analysis, ExperimentAnalysis, RunValidity, State},
    answer, breakeven, client,
    facts::Facts,
    folder::RunData,
    headline, overview, resources, series,
    validity::{flags, judge},
    verdict,
};

/// Everything that is known of a run. Pure: the same facts give the same analysis.
pub fn analyse(data: &RunData) -> Analysis {
    let facts = Facts::new(data);
    let client = client::health(&facts);
    let ids: Vec<u32> = facts.experiment_ids().collect();
    let experiments: Vec<ExperimentAnalysis> = ids
        .into_par_iter()
        .filter_map(|experiment| experiment_analysis(&facts, experiment, &client.turns))
        .collect();
    let headline = headline::rows(&facts, &experiments);
    Analysis {
        run: overview::run(&facts),
        question: data.plan.question.clone(),
        answer: answer::answer(&facts, &experiments, &headline),
        validity: run_validity(&experiments),
        expectations: verdict::judge::expectations(&facts, &experiments),
        engines: overview::engines(&facts),
        paying: breakeven::paying(&facts, &experiments),
        resources: resources::series(&facts),
        memory: resources::memory(&facts),
        turns: resources::turns(&facts),
        lives: resources::lives(&facts),
        events: data.events.clone(),
        warnings: overview::warnings(&facts, &experiments),
        substitutions: data.plan.substitutions.clone(),
        skipped: skipped(data),
        appendix: overview::appendix(&facts),
        headline,
        experiments,
        client,
    }
}

fn experiment_analysis(
    facts: &Facts<'_>,
    experiment: u32,
    turns: &[TurnHealth],
) -> Option<ExperimentAnalysis> {
    let planned = facts.experiment(experiment)?;
    let engines: Vec<_> = facts
        .engine_ids()
        .map(|engine| series::engine_result(facts, experiment, engine))
        .collect();
    let reference = facts.baseline_id();
    let others = || {
        engines
            .iter()
            .filter(|engine| Some(engine.engine_id) != reference)
    };
    let ratios = reference
        .and_then(|id| engines.iter().find(|engine| engine.engine_id == id))
        .map(|below| {
            others()
                .flat_map(|above| series::ratios(facts, experiment, above, below))
                .collect()
        })
        .unwrap_or_default();
    let agreement = reference
        .map(|id| {
            others()
                .flat_map(|engine| agreement::agreements(facts, experiment, engine.engine_id, id))
                .collect()
        })
        .unwrap_or_default();
    let ran = engines.iter().any(|engine| engine.outcomes.rows > 0);
    let invalid = judge::reasons(facts, experiment, &engines, turns);
    Some(ExperimentAnalysis {
        experiment,
        label: planned.label.clone(),
        workload: planned.workload.clone(),
        point: planned.point.clone(),
        context_tokens: planned.context_tokens,
        arrival: overview::arrival(planned),
        trials: facts.trials(experiment),
        state: match (ran, invalid.is_empty()) {
            (false, _) => State::NotRun,
            (true, true) => State::Valid,
            (true, false) => State::Invalid,
        },
        invalid,
        flags: flags::flags(facts, experiment, &engines),
        not_run: (!ran).then(|| not_run(facts, experiment)),
        ratios,
        break_even: breakeven::break_even(facts, experiment, &engines),
        agreement,
        engines,
    })
}

/// Why an experiment has no rows.
fn not_run(facts: &Facts<'_>, experiment: u32) -> String {
    let reasons: Vec<Option<&str>> = facts
        .engine_ids()
        .map(|engine| facts.skipped(experiment, engine))
        .collect();
    match (reasons.iter().all(Option::is_some), reasons.first()) {
        (true, Some(Some(reason))) => (*reason).to_owned(),
        _ => facts
            .data
            .partial()
            .unwrap_or_else(|| "it has no rows".to_owned()),
    }
}

fn run_validity(experiments: &[ExperimentAnalysis]) -> RunValidity {
    let count = |state: State| {
        experiments
            .iter()
            .filter(|experiment| experiment.state == state)
            .count() as u32
    };
    let (valid, invalid, not_run) = (
        count(State::Valid),
        count(State::Invalid),
        count(State::NotRun),
    );
    RunValidity {
        state: match (invalid, valid) {
            (0, 0) => State::NotRun,
            (0, _) => State::Valid,
            _ => State::Invalid,
        },
        worst: experiments
            .iter()
            .filter_map(|experiment| experiment.invalid.first())
            .min_by_key(|reason| reason.gravity())
            .cloned(),
        invalid,
        valid,
        not_run,
    }
}

/// What could not run here: of the whole run, then experiment by experiment.
fn skipped(data: &RunData) -> Vec<schemas::plan::Skipped> {
    let mut all = data.plan.skipped.clone();
    for experiment in &data.plan.experiments {
        for skipped in &experiment.skipped_engines {
            let mut skipped = skipped.clone();
            if !skipped.what.contains(&experiment.label) {
                skipped.what = format!("{}, {}", skipped.what, experiment.label);
            }
            if !all.contains(&skipped) {
                all.push(skipped);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests;
