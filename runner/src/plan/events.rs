//! Which processes and tiers an `[[event]]` is about: pure.

use schemas::{
    plan::{ArrivalPlan, EnginePlan, EventAction, EventPlan, EventTarget, Experiment, Trigger},
    scenario::{Event, OneOrMany},
};

/// The events of a scenario. One that is about a process which this host does not start makes the scenario impossible here.
///
/// # Errors
/// In words, why an event cannot happen here.
pub(crate) fn plan(
    events: &[Event],
    engines: &[EnginePlan],
    running: &[usize],
    experiments: &[Experiment],
) -> Result<Vec<EventPlan>, String> {
    let closed = experiments
        .iter()
        .all(|experiment| matches!(experiment.arrival, ArrivalPlan::Closed { .. }));
    events
        .iter()
        .map(|event| one(event, engines, running, closed))
        .collect()
}

fn one(
    event: &Event,
    engines: &[EnginePlan],
    running: &[usize],
    closed: bool,
) -> Result<EventPlan, String> {
    let trigger = match (event.at, event.after_request) {
        (Some(at), _) => Trigger::AtNs(at.0),
        (None, number) => Trigger::AfterRequest(number.unwrap_or_default()),
    };
    if event.hold && closed && matches!(trigger, Trigger::AtNs(_)) {
        return Err("an event `at` a time cannot hold a closed schedule, whose requests go out whenever one is done: write `after-request`".to_owned());
    }
    let (action, names) = action(event);
    let mut targets = Vec::new();
    for name in names {
        targets.extend(target(&name, action, engines, running)?);
    }
    Ok(EventPlan {
        trigger,
        action,
        targets,
        hold: event.hold,
    })
}

/// The action that is stated, and its targets as the scenario names them.
fn action(event: &Event) -> (EventAction, Vec<String>) {
    let listed =
        |names: &Option<OneOrMany<String>>| names.as_ref().map(|names| names.values().to_vec());
    let actions = [
        (EventAction::Restart, listed(&event.restart)),
        (EventAction::Kill, listed(&event.kill)),
        (EventAction::Pause, listed(&event.pause)),
        (EventAction::Resume, listed(&event.resume)),
        (
            EventAction::Corrupt,
            event.corrupt.clone().map(|tier| vec![tier]),
        ),
    ];
    let stated = actions
        .into_iter()
        .find_map(|(action, names)| Some((action, names?)));
    stated.unwrap_or((EventAction::Restart, Vec::new()))
}

/// The target of this name; null where its engine does not run here anyhow.
fn target(
    name: &str,
    action: EventAction,
    engines: &[EnginePlan],
    running: &[usize],
) -> Result<Option<EventTarget>, String> {
    let engine_name = name.split('.').next().unwrap_or(name);
    let Some((index, engine)) = engines
        .iter()
        .enumerate()
        .find(|(_, engine)| engine.name == engine_name)
    else {
        return Err(format!("there is no engine {engine_name}"));
    };
    if !running.contains(&index) {
        return Ok(None);
    }
    let there = if action == EventAction::Corrupt {
        let tier = name.strip_prefix(engine_name).unwrap_or_default();
        engine.tiers.iter().any(|candidate| {
            candidate.path.is_some() && Some(candidate.name.as_str()) == tier.strip_prefix('.')
        })
    } else {
        engine.launches.iter().any(|launch| launch.name == name)
    };
    if !there {
        return Err(format!(
            "it has an [[event]] for {name}, which is not among what is started here"
        ));
    }
    Ok(Some(EventTarget {
        engine: index as u32,
        name: name.to_owned(),
    }))
}
