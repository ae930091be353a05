//! Which metrics two runs are compared in: those that the scenario expects something of, else TTFT of later requests.

use indexmap::IndexMap;
use schemas::scenario::{Expect, Metric, OneOrMany, Requests, Statistic};

use crate::{analysis::ExperimentAnalysis, facts::Facts, verdict::declared};

/// One metric of one engine in one experiment of the newer run.
pub(crate) struct Wanted {
    pub experiment: u32,
    /// The experiment's name.
    pub label: String,
    /// The engine's name.
    pub engine: String,
    /// Over which requests: those of the expectation, or those that it relates them to.
    pub requests: Requests,
    /// The engine whose outputs are compared with, for equal outputs.
    pub compared_with: Option<String>,
    /// The metric, its statistic, phase and tier. Bounds are of no matter.
    pub expect: Expect,
}

impl Wanted {
    fn same_as(&self, other: &Self) -> bool {
        let key = |wanted: &Self| {
            (
                wanted.experiment,
                wanted.engine.clone(),
                wanted.requests,
                wanted.compared_with.clone(),
                wanted.expect.metric,
                wanted.expect.statistic,
                wanted.expect.phase,
                wanted.expect.tier.clone(),
            )
        };
        key(self) == key(other)
    }
}

/// Every metric of `[[expect]]`: of its engines and of the engine that they are held against, over its requests and those that they are held against. A difference of the
/// ratio of two engines says less: it hides that both became slower. Without expectations: the median TTFT of later requests of every engine.
pub(crate) fn metrics(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> Vec<Wanted> {
    let plan = &facts.data.plan;
    let mut found: Vec<Wanted> = Vec::new();
    for experiment in experiments {
        let add = |expect: &Expect, found: &mut Vec<Wanted>| {
            for wanted in of(expect, experiment) {
                if !found.iter().any(|other| other.same_as(&wanted)) {
                    found.push(wanted);
                }
            }
        };
        if plan.expectations.is_empty() {
            for engine in &plan.engines {
                let requests = facts.warm_requests(experiment.experiment);
                add(&later_ttft(&engine.name, requests), &mut found);
            }
        }
        for expect in &plan.expectations {
            let here = expect
                .profile
                .as_ref()
                .is_none_or(|profiles| profiles.values().contains(&plan.profile));
            if here && declared::matches(facts, expect, experiment) {
                add(expect, &mut found);
            }
        }
    }
    found
}

fn of(expect: &Expect, experiment: &ExperimentAnalysis) -> Vec<Wanted> {
    let of_outputs = expect.metric == Metric::OutputsEqual;
    let others = expect.relative_to.iter().filter(|_| !of_outputs);
    let requests = std::iter::once(expect.requests).chain(expect.relative_to_requests);
    let engines = expect.engine.values().iter().chain(others);
    engines
        .flat_map(|engine| requests.clone().map(move |requests| (engine, requests)))
        .map(|(engine, requests)| Wanted {
            experiment: experiment.experiment,
            label: experiment.label.clone(),
            engine: engine.clone(),
            requests,
            compared_with: expect.relative_to.clone().filter(|_| of_outputs),
            expect: expect.clone(),
        })
        .collect()
}

fn later_ttft(engine: &str, requests: Requests) -> Expect {
    Expect {
        metric: Metric::Ttft,
        engine: OneOrMany::One(engine.to_owned()),
        requests,
        phase: None,
        tier: None,
        statistic: Statistic::Median,
        only_where: IndexMap::new(),
        profile: None,
        relative_to: None,
        relative_to_requests: None,
        at_most: None,
        at_least: None,
    }
}
