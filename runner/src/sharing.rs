//! Which engines without any cache serve several scenarios of one invocation, and in which order the scenarios run so that many do: pure.
//!
//! An engine with `backend.none` keeps nothing between requests, so one that would be started in the same way for the next scenario need not be started
//! again. Only neighbours share: what goes on serving keeps its share of the device's memory, and a scenario in between may need it.

use std::collections::BTreeSet;

use schemas::{
    plan::{EnginePlan, Plan},
    profile::Residency,
    scenario::Metric,
};

use crate::plan::running_engines;

/// Engines that go on from one scenario to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The other scenario.
    pub scenario: String,
    /// The engines by name, which is the same in both.
    pub engines: BTreeSet<String>,
}

impl Handover {
    /// The engines in words: `baseline`, `baseline and chunked`.
    pub fn in_words(&self) -> String {
        let names: Vec<&str> = self.engines.iter().map(String::as_str).collect();
        names.join(" and ")
    }
}

/// What one scenario shares with its neighbours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Engines that the scenario before leaves running for this one.
    pub taken: Option<Handover>,
    /// Engines that this one leaves running for the scenario after.
    pub handed: Option<Handover>,
}

impl Sharing {
    /// The engine was started by a scenario before.
    pub fn takes(&self, engine: &str) -> bool {
        holds(self.taken.as_ref(), engine)
    }

    /// The engine goes on to the scenario after.
    pub fn hands(&self, engine: &str) -> bool {
        holds(self.handed.as_ref(), engine)
    }
}

fn holds(handover: Option<&Handover>, engine: &str) -> bool {
    handover.is_some_and(|handover| handover.engines.contains(engine))
}

/// What each of the plans shares with its neighbours, when they run in this order.
pub fn between(plans: &[&Plan]) -> Vec<Sharing> {
    let mut sharing = vec![Sharing::default(); plans.len()];
    for (index, pair) in plans.windows(2).enumerate() {
        let &[before, after] = pair else { continue };
        let mut engines = shared(before, after);
        if before.residency == Residency::InTurn {
            // One engine lives at a time: what goes on is the last before and the first after, and no third scenario's unless it is alone.
            let alone = running_engines(before).len() == 1;
            engines.retain(|engine| alone || !sharing[index].takes(engine));
            engines = engines.into_iter().take(1).collect();
        }
        if engines.is_empty() {
            continue;
        }
        let handover = |plan: &Plan| {
            Some(Handover {
                scenario: plan.scenario.clone(),
                engines: engines.clone(),
            })
        };
        sharing[index].handed = handover(after);
        sharing[index + 1].taken = handover(before);
    }
    sharing
}

/// The plans in the order in which they run, as indexes: as given, but a scenario that can go on with an engine of the one before follows it at once.
pub fn order(plans: &[&Plan]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..plans.len()).collect();
    let mut order: Vec<usize> = Vec::new();
    while !left.is_empty() {
        let next = order.last().and_then(|last| {
            left.iter()
                .position(|index| !shared(plans[*last], plans[*index]).is_empty())
        });
        order.push(left.remove(next.unwrap_or(0)));
    }
    order
}

/// Names of the engines that may serve both scenarios, one after the other. Whatever speaks against it decides.
fn shared(before: &Plan, after: &Plan) -> BTreeSet<String> {
    let about_memory = |plan: &Plan| {
        // A process that has served before holds what it grew to then.
        let mut metrics = plan.expectations.iter().map(|expected| expected.metric);
        metrics.any(|metric| matches!(metric, Metric::GpuMemory | Metric::Rss))
    };
    let alike = before.profile == after.profile
        && before.residency == after.residency
        && before.model.used == after.model.used
        // After an event engines may have to be started again, or end without ending the run.
        && before.events.is_empty()
        && after.events.is_empty()
        && !about_memory(after);
    if !alike {
        return BTreeSet::new();
    }
    let of = |plan| {
        running_engines(plan)
            .into_iter()
            .map(|index| &plan.engines[index])
    };
    of(before)
        .filter(|engine| is_stateless(engine) && of(after).any(|other| *engine == other))
        .map(|engine| engine.name.clone())
        .collect()
}

/// One process that we start, without any tier, and with nothing of its own in a run folder.
fn is_stateless(engine: &EnginePlan) -> bool {
    let [launch] = engine.launches.as_slice() else {
        return false;
    };
    let of_no_folder = || serde_json::to_string(launch).is_ok_and(|text| !text.contains("{run}"));
    engine.baseline && engine.tiers.is_empty() && engine.attach.is_none() && of_no_folder()
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use schemas::{
        plan::{
            AttachPlan, EventAction, EventPlan, FORMAT, Launch, Model, Probe, Role, Tier,
            TrialPlan, Trigger,
        },
        scenario::{EngineKind, Expect},
    };

    use super::*;

    fn engine(name: &str, backend: &str, arguments: &str) -> EnginePlan {
        let baseline = backend == "none";
        let tier = Tier {
            name: backend.to_owned(),
            capacity_bytes: None,
            path: None,
        };
        EnginePlan {
            name: name.to_owned(),
            kind: Some(EngineKind::Builtin),
            backend: backend.to_owned(),
            tiers: if baseline { Vec::new() } else { vec![tier] },
            baseline,
            promises_hits: !baseline,
            chunk_tokens: 256,
            paced: false,
            devices: 0,
            device_indices: Vec::new(),
            telltales: Vec::new(),
            launches: vec![Launch {
                name: name.to_owned(),
                role: Role::Engine,
                command: ["{self}", "--port", &format!("{{port.{name}}}"), arguments]
                    .map(str::to_owned)
                    .to_vec(),
                env: IndexMap::new(),
                files: IndexMap::new(),
                ports: IndexMap::from([(name.to_owned(), None)]),
                probe: Probe::LogLine {
                    contains: "up".to_owned(),
                },
                metrics_url: None,
                grace_ns: 0,
                cores: None,
            }],
            attach: None,
        }
    }

    fn plan(scenario: &str, engines: Vec<EnginePlan>) -> Plan {
        Plan {
            format: FORMAT,
            scenario: scenario.to_owned(),
            question: String::new(),
            profile: "p".to_owned(),
            seed: 0,
            model: Model {
                declared: "m".to_owned(),
                used: "m".to_owned(),
                served_name: "m".to_owned(),
                kv_bytes_per_token: None,
                max_length: None,
                dtype: None,
                random_weights: false,
                weights_missing: false,
            },
            residency: Residency::Resident,
            engines,
            experiments: Vec::new(),
            trials: TrialPlan {
                at_least: 1,
                at_most: 1,
                until: None,
            },
            substitutions: Vec::new(),
            skipped: Vec::new(),
            expectations: Vec::new(),
            events: Vec::new(),
            goodput: None,
            warnings: Vec::new(),
            ready_timeout_ns: 0,
            request_timeout_ns: 0,
        }
    }

    fn pair(scenario: &str, arguments: &str) -> Plan {
        let engines = vec![
            engine("baseline", "none", arguments),
            engine("cached", "local-cpu", arguments),
        ];
        plan(scenario, engines)
    }

    fn handed(plans: &[Plan]) -> Vec<String> {
        let sharing = between(&plans.iter().collect::<Vec<_>>());
        for index in 1..plans.len() {
            let names = |handover: &Option<Handover>| handover.as_ref().map(Handover::in_words);
            assert_eq!(
                names(&sharing[index].taken),
                names(&sharing[index - 1].handed)
            );
        }
        sharing
            .iter()
            .map(|sharing| {
                sharing
                    .handed
                    .as_ref()
                    .map_or_else(String::new, Handover::in_words)
            })
            .collect()
    }

    #[test]
    fn a_baseline_goes_on_as_long_as_its_launch_stays_the_same() {
        let plans = [
            pair("a", "x"),
            pair("b", "x"),
            pair("c", "x"),
            pair("d", "y"),
        ];
        assert_eq!(handed(&plans), ["baseline", "baseline", "", ""]);
        let sharing = between(&plans.iter().collect::<Vec<_>>());
        assert!(sharing[1].takes("baseline") && sharing[1].hands("baseline"));
        assert!(!sharing[1].takes("cached") && !sharing[2].hands("baseline"));
    }

    /// What is changed, and how.
    type Change = (&'static str, fn(&mut Plan));

    #[test]
    fn whatever_differs_or_touches_it_speaks_against_sharing() {
        let same = pair("b", "x");
        let change: [Change; 13] = [
            ("launch", |plan| {
                plan.engines[0].launches[0]
                    .env
                    .insert("A".into(), "1".into());
            }),
            ("port", |plan| {
                plan.engines[0].launches[0]
                    .ports
                    .insert("baseline".into(), Some(8000));
            }),
            ("devices", |plan| plan.engines[0].devices = 2),
            ("device indices", |plan| {
                plan.engines[0].device_indices = vec![1]
            }),
            ("model", |plan| plan.model.used = "other".into()),
            ("residency", |plan| plan.residency = Residency::InTurn),
            ("profile", |plan| plan.profile = "other".into()),
            ("name", |plan| plan.engines[0].name = "other".into()),
            ("cache", |plan| plan.engines[0].baseline = false),
            ("attach", |plan| {
                plan.engines[0].attach = Some(AttachPlan {
                    url: "http://127.0.0.1:1".into(),
                    api_key_env: None,
                });
            }),
            ("event", |plan| {
                plan.events.push(EventPlan {
                    trigger: Trigger::AfterRequest(1),
                    action: EventAction::Restart,
                    targets: Vec::new(),
                    hold: false,
                });
            }),
            ("memory", |plan| {
                let expected: Expect = serde_json::from_value(serde_json::json!({
                    "metric": "rss", "engine": "cached", "at-most": "2GB",
                }))
                .expect("an expectation");
                plan.expectations.push(expected);
            }),
            ("skipped", |plan| {
                plan.skipped.push(schemas::plan::Skipped {
                    engine: Some(0),
                    what: "engine baseline".into(),
                    reason: String::new(),
                });
            }),
        ];
        assert_eq!(handed(&[pair("a", "x"), same.clone()]), ["baseline", ""]);
        for (what, change) in change {
            let mut other = same.clone();
            change(&mut other);
            assert_eq!(handed(&[pair("a", "x"), other]), ["", ""], "{what}");
        }
    }

    #[test]
    fn what_stands_in_the_run_folder_is_not_shared() {
        assert_eq!(
            handed(&[pair("a", "{run}/script"), pair("b", "{run}/script")]),
            ["", ""]
        );
    }

    #[test]
    fn in_turn_an_engine_is_the_last_before_and_the_first_after() {
        let in_turn = |mut plan: Plan| {
            plan.residency = Residency::InTurn;
            plan
        };
        let pairs = ["a", "b", "c", "d"].map(|name| in_turn(pair(name, "x")));
        assert_eq!(handed(&pairs), ["baseline", "", "baseline", ""]);
        let alone =
            ["a", "b", "c"].map(|name| in_turn(plan(name, vec![engine("baseline", "none", "x")])));
        assert_eq!(handed(&alone), ["baseline", "baseline", ""]);
        let two = ["a", "b", "c"].map(|name| {
            in_turn(plan(
                name,
                vec![engine("one", "none", "x"), engine("two", "none", "y")],
            ))
        });
        assert_eq!(handed(&two), ["one", "two", ""]);
    }

    #[test]
    fn scenarios_that_share_follow_each_other_and_the_rest_keeps_its_order() {
        let plans = [
            pair("a", "x"),
            pair("b", "y"),
            pair("c", "z"),
            pair("d", "x"),
            pair("e", "y"),
        ];
        let plans: Vec<&Plan> = plans.iter().collect();
        assert_eq!(order(&plans), [0, 3, 1, 4, 2]);
        assert_eq!(order(&[]), [0; 0]);
    }
}
