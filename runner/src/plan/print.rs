//! The plan for people: what `--dry-run` prints.

use std::fmt::Write as _;

use schemas::{
    plan::{ArrivalPlan, EventPlan, Launch, Plan, Probe, Trigger},
    row::RequestKind,
};

use super::running_engines;

/// The plan as text. Every default and every substitution is in it.
pub fn text(plan: &Plan, profile_reason: &str) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_plan(&mut out, plan, profile_reason);
    out
}

fn write_plan(out: &mut String, plan: &Plan, profile_reason: &str) -> std::fmt::Result {
    writeln!(out, "{}  {}", plan.scenario, plan.question)?;
    writeln!(out, "  profile    {} ({profile_reason})", plan.profile)?;
    writeln!(out, "  model      {}", plan.model.used)?;
    if let Some(bytes) = plan.model.kv_bytes_per_token {
        writeln!(out, "  kv cache   {bytes} bytes a token")?;
    }
    if plan.model.random_weights {
        writeln!(out, "  weights    random")?;
    }
    writeln!(out, "  seed       {}", plan.seed)?;
    let trials = &plan.trials;
    let until = trials.until.map_or_else(String::new, |(_, half_width)| {
        format!(", more until the half-width is {half_width} of the value")
    });
    writeln!(
        out,
        "  trials     {} to {}{until}",
        trials.at_least, trials.at_most
    )?;
    writeln!(
        out,
        "  deadlines  ready {} s, request {} s",
        plan.ready_timeout_ns / 1_000_000_000,
        plan.request_timeout_ns / 1_000_000_000
    )?;
    writeln!(out, "  engines    {}", word(&plan.residency))?;
    for substitution in &plan.substitutions {
        let schemas::plan::Substitution {
            what,
            declared,
            used,
            reason,
        } = substitution;
        writeln!(
            out,
            "  instead    {what}: {used} instead of {declared} ({reason})"
        )?;
    }
    for skipped in &plan.skipped {
        writeln!(out, "  skipped    {}: {}", skipped.what, skipped.reason)?;
    }
    for warning in &plan.warnings {
        writeln!(out, "  warning    {warning}")?;
    }

    let running = running_engines(plan);
    for (index, engine) in plan.engines.iter().enumerate() {
        let state = if running.contains(&index) {
            ""
        } else {
            "  (skipped)"
        };
        writeln!(out, "\n  engine {}  {}{state}", engine.name, engine.backend)?;
        if let Some(attach) = &engine.attach {
            writeln!(out, "    attached to {}", attach.url)?;
        }
        for launch in &engine.launches {
            write_launch(out, launch)?;
        }
    }
    for event in &plan.events {
        writeln!(out, "\n  event  {}", event_in_words(event))?;
    }
    for (index, experiment) in plan.experiments.iter().enumerate() {
        let arrival = match &experiment.arrival {
            ArrivalPlan::Closed { concurrency } => format!("closed, {concurrency} at once"),
            ArrivalPlan::Open { kind, offsets_ns } => {
                let span = offsets_ns
                    .first()
                    .and_then(|trial| trial.last())
                    .copied()
                    .unwrap_or(0);
                format!("{kind}, over {:.1} s", span as f64 / 1e9)
            }
        };
        writeln!(
            out,
            "\n  experiment {index}  {} · {} · {arrival}",
            experiment.label, experiment.workload
        )?;
        let count = |kind| {
            experiment
                .requests
                .iter()
                .filter(|request| request.kind == kind)
                .count()
        };
        let kinds = [
            RequestKind::Cold,
            RequestKind::Reused,
            RequestKind::Grown,
            RequestKind::Batched,
        ];
        let kinds: Vec<String> = kinds
            .into_iter()
            .filter(|kind| count(*kind) > 0)
            .map(|kind| format!("{} {}", count(kind), word(&kind)))
            .collect();
        writeln!(
            out,
            "    {} requests a trial and engine: {}",
            experiment.requests.len(),
            kinds.join(", ")
        )?;
        if let Some(request) = experiment.requests.last() {
            writeln!(
                out,
                "    context up to {}, query {}, output {} tokens",
                experiment.context_tokens, request.query_tokens, request.output_tokens
            )?;
        }
        for (engine, expected) in plan.engines.iter().zip(&experiment.expected_cached_tokens) {
            let most = expected.as_ref().and_then(|tokens| tokens.iter().max());
            let promise = most.map_or_else(
                || "not promised".to_owned(),
                |most| format!("up to {most} tokens"),
            );
            writeln!(out, "    cached at {}: {promise}", engine.name)?;
        }
    }
    let requests: usize = plan
        .experiments
        .iter()
        .map(|experiment| experiment.requests.len())
        .sum();
    let total = requests * running.len() * trials.at_least as usize;
    writeln!(
        out,
        "\n  {total} requests in all, {} {}",
        plan.expectations.len(),
        match plan.expectations.len() {
            1 => "expectation",
            _ => "expectations",
        }
    )
}

fn write_launch(out: &mut String, launch: &Launch) -> std::fmt::Result {
    writeln!(out, "    process {} ({})", launch.name, word(&launch.role))?;
    writeln!(
        out,
        "      command  {}",
        launch
            .command
            .iter()
            .map(|word| quote(word))
            .collect::<Vec<_>>()
            .join(" ")
    )?;
    for (name, value) in &launch.env {
        writeln!(out, "      env      {name}={}", quote(value))?;
    }
    for (name, fixed) in &launch.ports {
        let port = fixed.map_or_else(|| "a free one".to_owned(), |port| port.to_string());
        writeln!(out, "      port     {name}: {port}")?;
    }
    for probe in flat(&launch.probe) {
        writeln!(out, "      ready    {}", in_words(probe))?;
    }
    for (path, content) in &launch.files {
        writeln!(out, "      file     {path}")?;
        for line in content.lines() {
            writeln!(out, "               {line}")?;
        }
    }
    Ok(())
}

fn event_in_words(event: &EventPlan) -> String {
    let when = match event.trigger {
        Trigger::AtNs(at_ns) => format!("{:.1} s into a trial", at_ns as f64 / 1e9),
        Trigger::AfterRequest(requests) => format!("after {requests} requests of a trial"),
    };
    let targets: Vec<&str> = event
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    let hold = if event.hold {
        ", and the schedule waits until it is ready again"
    } else {
        ""
    };
    format!(
        "{when}: {} {}{hold}",
        word(&event.action),
        targets.join(", ")
    )
}

/// The probe's parts.
fn flat(probe: &Probe) -> Vec<&Probe> {
    match probe {
        Probe::All(all) => all.iter().flat_map(flat).collect(),
        one => vec![one],
    }
}

fn in_words(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, contains } => match contains {
            None => format!("GET {url} gives 200"),
            Some(text) => format!("GET {url} gives 200 with `{text}`"),
        },
        Probe::LogLine { contains } => format!("a line of its log has `{contains}`"),
        Probe::Redis {
            address,
            command,
            contains,
        } => format!("{address} answers {} with `{contains}`", command.join(" ")),
        Probe::All(_) => String::new(),
    }
}

/// A unit variant's name as the files spell it.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Quoted for a shell where it has to be.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,{}@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
