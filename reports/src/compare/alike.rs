//! Whether two runs asked the same, and what else is not the same in them.
//!
//! What was asked has to be equal: scenario, model, profile, requests, arrivals, and where each engine keeps its KV. What it ran on and with may differ, because that is what
//! people compare (another version, another flag, another card); each such difference is named, so that nobody takes it for another.

use std::collections::BTreeSet;

use schemas::plan::{ArrivalPlan, EnginePlan, Experiment, Role};

use crate::{
    analysis::{Analysis, ExperimentAnalysis},
    facts::Facts,
    folder::RunData,
};

use super::Difference;

/// Why two runs cannot be compared at all.
pub(crate) fn why_not(base: &RunData, new: &RunData) -> Option<String> {
    let differs = |what: &str, a: &str, b: &str| {
        (a != b).then(|| format!("A has {what} {a}, B {b}: they do not answer one question"))
    };
    let (a, b) = (&base.plan, &new.plan);
    differs("scenario", &a.scenario, &b.scenario)
        .or_else(|| differs("model", &a.model.used, &b.model.used))
        .or_else(|| differs("profile", &a.profile, &b.profile))
        .or_else(|| {
            (a.residency != b.residency).then(|| {
                "the engines lived together in another way: each had another share of the host"
                    .to_owned()
            })
        })
        .or_else(|| (a.events != b.events).then(|| "other events happen in A and B".to_owned()))
}

/// The experiment of the base run that asked the same as one of the newer run, for an engine that kept its KV in the same places; else why there is none.
pub(crate) fn counterpart<'a>(
    base: &Facts<'_>,
    analysis: &'a Analysis,
    new: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    engine: &str,
) -> Result<&'a ExperimentAnalysis, String> {
    let found = analysis
        .experiments
        .iter()
        .find(|found| found.workload == experiment.workload && found.point == experiment.point)
        .ok_or_else(|| format!("A has no {}", experiment.label))?;
    let planned = (
        base.experiment(found.experiment),
        new.experiment(experiment.experiment),
    );
    if let (Some(before), Some(after)) = planned {
        same_requests(before, after)?;
    }
    let plan = |facts: &Facts<'_>| {
        let engines = &facts.data.plan.engines;
        engines.iter().find(|found| found.name == engine).cloned()
    };
    match (plan(base), plan(new)) {
        (Some(before), Some(after)) => same_engine(&before, &after)?,
        (None, _) => return Err(format!("A has no engine {engine}")),
        (_, None) => return Err(format!("B has no engine {engine}")),
    }
    Ok(found)
}

fn same_requests(before: &Experiment, after: &Experiment) -> Result<(), String> {
    if before.requests != after.requests {
        return Err(format!("{} asks for other requests in A", after.label));
    }
    let alike = match (&before.arrival, &after.arrival) {
        (ArrivalPlan::Closed { concurrency: a }, ArrivalPlan::Closed { concurrency: b }) => a == b,
        (
            ArrivalPlan::Open {
                kind: a,
                offsets_ns: before,
            },
            ArrivalPlan::Open {
                kind: b,
                offsets_ns: after,
            },
        ) => {
            // One of the runs may have planned more trials.
            a == b && before.iter().zip(after).all(|(one, other)| one == other)
        }
        _ => false,
    };
    if alike {
        Ok(())
    } else {
        Err(format!(
            "the requests of {} came at other times in A",
            after.label
        ))
    }
}

fn same_engine(before: &EnginePlan, after: &EnginePlan) -> Result<(), String> {
    let name = &after.name;
    if before.kind != after.kind {
        return Err(format!("{name} is another kind of engine in A"));
    }
    if before.backend != after.backend {
        return Err(format!(
            "{name} keeps its KV elsewhere: {} in A, {} in B",
            before.backend, after.backend
        ));
    }
    Ok(())
}

/// What differs in what the runs ran on and with.
pub(crate) fn differences(base: &RunData, new: &RunData) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |what: &str, base: Option<String>, new: Option<String>| {
        if base != new {
            found.push(Difference {
                what: what.to_owned(),
                base,
                new,
            });
        }
    };
    let (a, b) = (&base.manifest, &new.manifest);
    add("host", a.host.name.clone(), b.host.name.clone());
    add(
        "processor",
        a.host.processor.clone(),
        b.host.processor.clone(),
    );
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    add("cores", number(a.host.cores), number(b.host.cores));
    let cards = |host: &schemas::manifest::Host| {
        let names: Vec<&str> = host.gpus.iter().map(|gpu| gpu.name.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    add("devices", cards(&a.host), cards(&b.host));
    add("driver", a.host.driver.clone(), b.host.driver.clone());
    add("system", a.host.system.clone(), b.host.system.clone());
    add("runner", Some(a.version.clone()), Some(b.version.clone()));
    let packages: BTreeSet<&String> = a.versions.keys().chain(b.versions.keys()).collect();
    for package in packages {
        let version = |of: &schemas::manifest::Manifest| of.versions.get(package).cloned();
        add(package, version(a), version(b));
    }
    let seed = |data: &RunData| Some(data.plan.seed.to_string());
    add("seed", seed(base), seed(new));
    // With the same seed the same prompts are expected, unless there were more trials of them.
    let trials = |data: &RunData| data.frame.requests.iter().map(|found| found.trial).max();
    if base.plan.seed == new.plan.seed && trials(base) == trials(new) {
        let prompts = |of: &schemas::manifest::Manifest| of.prompt_fingerprint.clone();
        add("prompts", prompts(a), prompts(b));
    }
    for after in &new.plan.engines {
        let before = base
            .plan
            .engines
            .iter()
            .find(|found| found.name == after.name);
        let Some(before) = before else { continue };
        for (role, what) in [(Role::Engine, "start of"), (Role::Sidecar, "sidecars of")] {
            let started = |engine: &EnginePlan| {
                let texts: Vec<String> = engine
                    .launches
                    .iter()
                    .filter(|launch| launch.role == role)
                    .map(|launch| {
                        let env = launch
                            .env
                            .iter()
                            .map(|(name, value)| format!("{name}={value}"));
                        let files = launch
                            .files
                            .iter()
                            .map(|(path, text)| format!("{path}: {text}"));
                        env.chain(launch.command.iter().cloned())
                            .chain(files)
                            .collect::<Vec<_>>()
                            .join(" ")
                    })
                    .collect();
                (!texts.is_empty()).then(|| texts.join("; "))
            };
            add(
                &format!("{what} {}", after.name),
                started(before),
                started(after),
            );
        }
    }
    add("partial", base.partial(), new.partial());
    found
}
