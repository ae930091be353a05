//! Scenario and profile become a plan: pure, seeded, the same bytes every time.

mod arrival;
mod cache;
mod events;
mod model;
pub mod print;
mod scale;
mod workload;

use schemas::{
    plan::{EnginePlan, Experiment, FORMAT, Model, Plan, Skipped, Substitution, TrialPlan},
    profile::{Limits, Profile, Residency},
    scenario::{Metric, Scenario},
};

use crate::{adapter, interpreter::Search};

pub use model::{ModelFacts, ModelName, resolve as resolve_model};

/// What the command line says on top of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `-m`: the model instead of the scenario's.
    pub model: Option<String>,
    /// `-p`: fixed ports for the engines, in the file's order.
    pub ports: Vec<u16>,
    /// `--trials`: exactly this many.
    pub trials: Option<u32>,
    /// `--seed`: instead of the scenario's.
    pub seed: Option<u64>,
}

/// Everything that a plan is made of. Facts about the model are read beforehand, so that planning itself reads nothing.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The scenario file's stem.
    pub name: &'a str,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Name of the profile.
    pub profile_name: &'a str,
    /// The profile.
    pub profile: &'a Profile,
    /// What the command line says.
    pub overrides: &'a Overrides,
    /// The model's names, paths expanded.
    pub names: &'a ModelName,
    /// What is known of the model that will be used.
    pub facts: &'a ModelFacts,
    /// What was found of the profile's interpreter.
    pub python: &'a Search,
    /// Accelerators of this host; with none, plans for them are still made, to be looked at.
    pub devices: usize,
}

/// Computes the plan.
pub fn build(inputs: Inputs<'_>) -> Plan {
    let Inputs {
        name,
        scenario,
        profile_name,
        profile,
        overrides,
        names,
        facts,
        python,
        devices,
    } = inputs;
    let mut substitutions = Vec::new();
    let mut skipped = Vec::new();
    let mut warnings = Vec::new();

    if names.declared != names.used {
        substitutions.push(Substitution {
            what: "model".into(),
            declared: names.declared.clone(),
            used: names.used.clone(),
            reason: format!("profile {profile_name}"),
        });
    }
    let model = Model {
        served_name: names.served_name(),
        declared: names.declared.clone(),
        used: names.used.clone(),
        kv_bytes_per_token: facts.kv_bytes_per_token,
        max_length: names.max_length.or(facts.max_length),
        dtype: facts.dtype.clone(),
        random_weights: facts.random_weights,
        weights_missing: facts.weights_missing,
    };

    let seed = overrides.seed.unwrap_or(scenario.seed);
    let trials = trial_plan(
        scenario,
        &limits(profile, &model),
        overrides,
        profile_name,
        &mut substitutions,
    );

    let mut devices_taken = 0;
    let engines: Vec<EnginePlan> = scenario
        .engine
        .iter()
        .enumerate()
        .map(|(index, (engine_name, engine))| {
            let request = adapter::Request {
                name: engine_name,
                index,
                engine,
                model: &model,
                profile,
                python,
                devices,
                devices_taken,
                together: scenario
                    .engine
                    .values()
                    .filter(|engine| engine.attach.is_none())
                    .count(),
                fixed_port: overrides.ports.get(index).copied(),
                seed,
            };
            match adapter::plan(&request) {
                Ok(planned) => {
                    if profile.residency == Residency::SideBySide {
                        devices_taken += planned.engine.devices;
                    }
                    warnings.extend(planned.warnings);
                    planned.engine
                }
                Err(unsupported) => {
                    skipped.push(Skipped {
                        engine: Some(index as u32),
                        what: format!("engine {engine_name}"),
                        reason: unsupported.reason,
                    });
                    unsupported.engine
                }
            }
        })
        .collect();
    leave_out_pointless_baselines(&engines, &mut skipped);
    if let Some((metric, _)) = trials.until.filter(|(metric, _)| *metric != Metric::Ttft) {
        warnings.push(format!(
            "`until` is judged on the TTFT of later requests, not on {metric:?} as the scenario says"
        ));
    }

    let limits = limits(profile, &model);
    let workload = scale::apply(
        &scenario.workload,
        &limits,
        profile_name,
        &mut substitutions,
    );
    let (arrival, arrival_substitution) =
        arrival::choose(scenario, closed_arrivals(profile, &model), profile_name);
    substitutions.extend(arrival_substitution);

    let mut experiments: Vec<Experiment> = Vec::new();
    for point in workload::points(&workload) {
        let index = experiments.len() as u32;
        match workload::experiment(&workload, &point, &engines, &model, seed, index) {
            Ok(mut drawn) => {
                drawn.arrival =
                    arrival::plan(&arrival, &drawn.requests, trials.at_most, seed, index);
                drawn.expected_cached_tokens = engines
                    .iter()
                    .map(|engine| cache::expected(engine, &drawn, &model))
                    .collect();
                experiments.push(drawn);
            }
            Err(reason) => skipped.push(Skipped {
                engine: None,
                what: workload::label(&workload, &point),
                reason,
            }),
        }
    }
    let mut events = Vec::new();
    match events::plan(
        &scenario.event,
        &engines,
        &not_skipped(&engines, &skipped),
        &experiments,
    ) {
        Ok(planned) => events = planned,
        Err(reason) => skipped.push(Skipped {
            engine: None,
            what: SCENARIO.into(),
            reason,
        }),
    }

    Plan {
        format: FORMAT,
        scenario: name.to_owned(),
        question: scenario.question.clone(),
        profile: profile_name.to_owned(),
        seed,
        model,
        residency: profile.residency,
        engines,
        experiments,
        trials,
        substitutions,
        skipped,
        expectations: scenario.expect.clone(),
        events,
        goodput: scenario.goodput.clone(),
        warnings,
        ready_timeout_ns: scenario.timeout.ready.0,
        request_timeout_ns: scenario.timeout.request.0,
    }
}

/// What [`Skipped::what`] says when nothing of a scenario can run.
const SCENARIO: &str = "scenario";

/// Engines that run, by index.
pub fn running_engines(plan: &Plan) -> Vec<usize> {
    let nothing = plan
        .skipped
        .iter()
        .any(|skipped| skipped.engine.is_none() && skipped.what == SCENARIO);
    if nothing {
        return Vec::new();
    }
    not_skipped(&plan.engines, &plan.skipped)
}

fn not_skipped(engines: &[EnginePlan], skipped: &[Skipped]) -> Vec<usize> {
    (0..engines.len())
        .filter(|index| {
            !skipped
                .iter()
                .any(|skipped| skipped.engine == Some(*index as u32))
        })
        .collect()
}

/// A baseline alone compares with nothing: when no other engine can run, it is left out too.
fn leave_out_pointless_baselines(engines: &[EnginePlan], skipped: &mut Vec<Skipped>) {
    let out =
        |index: usize, skipped: &[Skipped]| skipped.iter().any(|s| s.engine == Some(index as u32));
    if skipped.is_empty()
        || engines
            .iter()
            .enumerate()
            .any(|(index, e)| !e.baseline && !out(index, skipped))
    {
        return;
    }
    for (index, engine) in engines.iter().enumerate() {
        if !out(index, skipped) {
            skipped.push(Skipped {
                engine: Some(index as u32),
                what: format!("engine {}", engine.name),
                reason: "no engine that it could be compared with can run here".into(),
            });
        }
    }
}

/// A scenario for a built-in model was made for any host: it runs as it says.
fn limits(profile: &Profile, model: &Model) -> Limits {
    if model.declared.starts_with("builtin:") {
        Limits::default()
    } else {
        profile.limits.clone()
    }
}

/// Likewise its arrivals.
fn closed_arrivals(profile: &Profile, model: &Model) -> bool {
    profile.closed_arrivals && !model.declared.starts_with("builtin:")
}

fn trial_plan(
    scenario: &Scenario,
    limits: &Limits,
    overrides: &Overrides,
    profile_name: &str,
    substitutions: &mut Vec<Substitution>,
) -> TrialPlan {
    if let Some(trials) = overrides.trials {
        return TrialPlan {
            at_least: trials,
            at_most: trials,
            until: None,
        };
    }
    let declared = &scenario.trials;
    let at_most = declared.at_most.unwrap_or(declared.at_least);
    let cap = limits.trials.unwrap_or(u32::MAX);
    if at_most > cap {
        substitutions.push(Substitution {
            what: "trials".into(),
            declared: at_most.to_string(),
            used: cap.to_string(),
            reason: format!("profile {profile_name}"),
        });
    }
    TrialPlan {
        at_least: declared.at_least.min(cap),
        at_most: at_most.min(cap),
        until: declared
            .until
            .as_ref()
            .map(|until| (until.metric, until.half_width)),
    }
}
