//! What a run was: scenario, host, engines, warnings, and what the appendix shows.

use schemas::{
    manifest::Ending,
    plan::{ArrivalPlan, Experiment},
    scenario::EngineKind,
};

use crate::{
    analysis::{Appendix, EngineFacts, ExperimentAnalysis, LaunchText, RunFacts, Warning},
    facts::Facts,
    metrics,
    number::{count, significant},
    series,
};

const NS_PER_S: f64 = 1e9;

/// Scenario, host, versions, start and end.
pub(crate) fn run(facts: &Facts<'_>) -> RunFacts {
    let (plan, manifest) = (&facts.data.plan, &facts.data.manifest);
    RunFacts {
        scenario: plan.scenario.clone(),
        scenario_path: manifest.scenario_path.clone(),
        run_id: manifest.run_id.clone(),
        started: manifest.started.clone(),
        ended: manifest.ended.clone(),
        ending: manifest.ending.clone(),
        partial: facts.data.partial(),
        version: manifest.version.clone(),
        versions: manifest.versions.clone(),
        host: manifest.host.clone(),
        git_commit: manifest.git_commit.clone(),
        profile: manifest.profile.clone(),
        profile_reason: manifest.profile_reason.clone(),
        seed: plan.seed,
        residency: plan.residency,
        model: plan.model.clone(),
        prompt_fingerprint: manifest.prompt_fingerprint.clone(),
        paced: plan.engines.iter().any(|engine| engine.paced),
        random_weights: plan.model.random_weights,
        planned_requests: planned_requests(facts),
        outcomes: series::outcomes(facts.frame().requests.iter().map(|request| request.outcome)),
    }
}

/// Requests of all trials that run in any case, and of those beyond that have begun.
fn planned_requests(facts: &Facts<'_>) -> u64 {
    facts
        .experiment_ids()
        .filter_map(|id| {
            let experiment = facts.experiment(id)?;
            let engines = facts
                .engine_ids()
                .filter(|engine| facts.skipped(id, *engine).is_none())
                .count() as u64;
            let trials = u64::from(facts.data.plan.trials.at_least.max(facts.trials(id)));
            Some(experiment.requests.len() as u64 * engines * trials)
        })
        .sum()
}

/// Engines in the file's order.
pub(crate) fn engines(facts: &Facts<'_>) -> Vec<EngineFacts> {
    facts
        .data
        .plan
        .engines
        .iter()
        .zip(0..)
        .map(|(engine, engine_id)| EngineFacts {
            engine_id,
            name: engine.name.clone(),
            kind: match engine.kind {
                Some(EngineKind::Vllm) => "vllm",
                Some(EngineKind::Builtin) => "builtin",
                None => "attached",
            }
            .to_owned(),
            backend: engine.backend.clone(),
            tiers: engine.tiers.clone(),
            // One of several without a backend at most.
            baseline: engine.baseline
                && facts
                    .baseline_id()
                    .is_none_or(|baseline_id| baseline_id == engine_id),
            paced: engine.paced,
            promises_hits: engine.promises_hits,
            chunk_tokens: engine.chunk_tokens,
        })
        .collect()
}

/// When requests of an experiment were sent, in words.
pub(crate) fn arrival(experiment: &Experiment) -> String {
    match &experiment.arrival {
        ArrivalPlan::Closed { concurrency: 1 } => "one after the other".to_owned(),
        ArrivalPlan::Closed { concurrency } => {
            format!("{} at a time", count(u64::from(*concurrency)))
        }
        ArrivalPlan::Open { kind, offsets_ns } => {
            let gap_s = offsets_ns.first().and_then(|trial| {
                let span = trial.last()?.checked_sub(*trial.first()?)?;
                (trial.len() > 1).then(|| span as f64 / (trial.len() - 1) as f64 / NS_PER_S)
            });
            match gap_s {
                None => format!("{kind} arrivals, one a trial"),
                Some(gap) if kind == "constant" && gap >= 0.1 => {
                    format!("every {} s", shortest(gap))
                }
                Some(gap) if kind == "constant" => {
                    format!("{}/s, evenly", significant(1.0 / gap, 3))
                }
                Some(gap) => format!(
                    "{kind} arrivals, {}/s on average",
                    significant(1.0 / gap, 3)
                ),
            }
        }
    }
}

/// A number as short as three decimals allow.
fn shortest(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a reader should know, most important first.
pub(crate) fn warnings(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> Vec<Warning> {
    let plain = |text: String| Warning {
        text,
        experiment: None,
        advice: None,
        lines: Vec::new(),
    };
    let manifest = &facts.data.manifest;
    let mut warnings = Vec::new();
    if let Some(Ending::Failed { reason }) = &manifest.ending {
        let mut lines = reason.lines().map(str::to_owned);
        warnings.push(Warning {
            text: format!(
                "The run could not go on: {}",
                lines.next().unwrap_or_default()
            ),
            experiment: None,
            advice: None,
            lines: lines.collect(),
        });
    } else if let Some(partial) = facts.data.partial() {
        warnings.push(Warning {
            text: format!("The run is partial: {partial}"),
            experiment: None,
            advice: Some("What is shown is what was measured until then.".to_owned()),
            lines: Vec::new(),
        });
    }
    for process in &manifest.processes {
        if process.expected == Some(false) {
            warnings.push(Warning {
                text: format!(
                    "{} ended although nothing had stopped it: {}",
                    process.name,
                    process
                        .ending
                        .as_deref()
                        .unwrap_or("nothing is known of how")
                ),
                experiment: None,
                advice: None,
                lines: process.last_lines.clone(),
            });
        }
    }
    for experiment in experiments {
        for reason in &experiment.invalid {
            warnings.push(Warning {
                text: format!("{} is INVALID: {reason}", experiment.label),
                experiment: Some(experiment.experiment),
                advice: Some(reason.advice().to_owned()),
                lines: Vec::new(),
            });
        }
    }
    for experiment in experiments {
        for flag in &experiment.flags {
            warnings.push(Warning {
                experiment: Some(experiment.experiment),
                ..plain(format!("{}: {flag}", experiment.label))
            });
        }
    }
    warnings.extend(failures(facts));
    let said = manifest
        .warnings
        .iter()
        .chain(&facts.data.plan.warnings)
        .chain(&facts.data.notes);
    for text in said {
        if !warnings.iter().any(|warning| warning.text == *text) {
            warnings.push(plain(text.clone()));
        }
    }
    warnings
}

/// Reasons of failed requests in their own words, each once with its number.
fn failures(facts: &Facts<'_>) -> Vec<Warning> {
    let mut reasons = std::collections::BTreeMap::<(u32, &str), u64>::new();
    for (index, detail) in &facts.frame().details {
        if let Some(request) = facts.frame().requests.get(*index)
            && !metrics::measured(request)
        {
            *reasons
                .entry((request.engine_id, detail.as_str()))
                .or_default() += 1;
        }
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    // More would hide the others; every request's own reason is in requests.csv.
    reasons.truncate(10);
    reasons
        .into_iter()
        .map(|((engine_id, detail), requests)| Warning {
            text: format!(
                "{} of {} failed",
                crate::number::counted(requests, "request", "requests"),
                facts.engine_name(engine_id)
            ),
            experiment: None,
            advice: None,
            lines: detail.lines().map(str::to_owned).collect(),
        })
        .collect()
}

/// What the appendix shows verbatim.
pub(crate) fn appendix(facts: &Facts<'_>) -> Appendix {
    Appendix {
        scenario_text: facts.data.scenario_text.clone(),
        command_line: facts.data.manifest.command_line.clone(),
        launches: facts
            .data
            .plan
            .engines
            .iter()
            .zip(0..)
            .flat_map(|(engine, engine_id)| {
                engine.launches.iter().map(move |launch| LaunchText {
                    name: launch.name.clone(),
                    engine_id,
                    command: launch.command.clone(),
                    env: launch.env.clone(),
                    files: launch.files.clone(),
                })
            })
            .collect(),
        definitions: metrics::DEFINITIONS.to_vec(),
    }
}
