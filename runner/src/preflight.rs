//! What can be known to go wrong before the first process starts.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
};

use schemas::{plan::Plan, profile::Residency};

use crate::{
    compatibility::Finding, devices, model_facts, plan::running_engines, versions::Versions,
};

/// Free space that a run folder needs at least: logs and rows.
const DISK_ROOM_BYTES: u64 = 200_000_000;

/// What to do about an interpreter that will not do.
const INSTALL: &str = "`runner doctor` tells what is missing and how to install it";

/// Problems of one plan on this host, in words, each with what to do about it.
pub fn problems(plan: &Plan, outputs: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for index in running_engines(plan) {
        let engine = &plan.engines[index];
        if let Some(variable) = engine
            .attach
            .as_ref()
            .and_then(|attach| attach.api_key_env.as_deref())
            && std::env::var_os(variable).is_none()
        {
            problems.push(format!(
                "engine {}: the environment variable {variable} that holds its API key is not set",
                engine.name
            ));
        }
        for launch in &engine.launches {
            let program = launch.command.first().map_or("", String::as_str);
            if program != "{self}" && !is_program(program) {
                problems.push(format!(
                    "{}: there is no program {program}; `runner --dry-run` shows the whole command",
                    launch.name
                ));
            }
            for (name, port) in &launch.ports {
                if let Some(port) = port
                    && TcpListener::bind(("127.0.0.1", *port)).is_err()
                {
                    problems.push(format!("{}: port {port} ({name}) is taken; end what listens there or leave out `--ports`", launch.name));
                }
            }
        }
    }
    if !running_engines(plan).is_empty()
        && let Err(error) = model_facts::tokenizer_file(&plan.model.used)
    {
        problems.push(error.to_string());
    }
    problems.extend(device_problem(plan));
    problems.extend(memory_problem(plan));
    problems.extend(disk_problem(outputs));
    problems
}

/// Interpreters that have no vLLM, or do not run.
pub fn interpreter_problems(answers: &BTreeMap<PathBuf, Versions>) -> Vec<String> {
    let problems = answers.iter().filter_map(|(program, answer)| match answer {
        Err(reason) => Some(format!("{reason}; {INSTALL}")),
        Ok(versions) if !versions.contains_key("vllm") => {
            Some(format!("{} has no vLLM; {INSTALL}", program.display()))
        }
        Ok(_) => None,
    });
    problems.collect()
}

/// Versions that are known not to work together.
pub fn version_problems(findings: &[Finding]) -> Vec<String> {
    let problems = findings.iter().filter_map(|finding| match finding {
        Finding::Incompatible(text) => Some(format!("{text}; {INSTALL}")),
        Finding::Untested(_) => None,
    });
    problems.collect()
}

/// An engine with a device of its own needs one that is there.
fn device_problem(plan: &Plan) -> Option<String> {
    let wanted = running_engines(plan)
        .into_iter()
        .map(|index| plan.engines[index].devices as usize);
    let wanted: usize = match plan.residency {
        Residency::SideBySide => wanted.sum(),
        Residency::InTurn | Residency::Resident => wanted.max().unwrap_or(0),
    };
    let found = devices::names().len();
    let named = running_engines(plan)
        .into_iter()
        .flat_map(|index| &plan.engines[index].device_indices)
        .max();
    if wanted > found {
        return Some(format!(
            "{} needs {wanted} devices, found {found}; `runner doctor` tells what each profile needs",
            plan.scenario
        ));
    }
    named.filter(|index| **index as usize >= found).map(|index| {
        format!(
            "profile {} names device {index}, and this host's are 0 to {}; `nvidia-smi -L` lists them",
            plan.profile,
            found.saturating_sub(1)
        )
    })
}

fn is_program(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Host memory tiers of engines that live together must fit.
fn memory_problem(plan: &Plan) -> Option<String> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let available = system.available_memory();
    let wanted: u64 = plan
        .experiments
        .iter()
        .map(|experiment| {
            let tokens: u64 = experiment
                .requests
                .iter()
                .map(|r| u64::from(r.context_tokens + r.query_tokens))
                .sum();
            tokens * plan.model.kv_bytes_per_token.unwrap_or(0)
        })
        .max()?;
    let host_tiers = running_engines(plan)
        .into_iter()
        .flat_map(|index| &plan.engines[index].tiers);
    let total: u64 = host_tiers
        .filter(|tier| tier.name == "local-cpu")
        .map(|tier| {
            tier.capacity_bytes
                .map_or(wanted, |capacity| capacity.min(wanted))
        })
        .sum();
    (available > 0 && total > available).then(|| {
        format!(
            "the local-cpu tiers will hold up to {:.1} GB and {:.1} GB of memory are free; shorten contexts or lower the capacity",
            total as f64 / 1e9,
            available as f64 / 1e9
        )
    })
}

fn disk_problem(outputs: &Path) -> Option<String> {
    let existing = outputs
        .ancestors()
        .find(|folder| folder.is_dir() || folder.as_os_str().is_empty())?;
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let space = rustix::fs::statvfs(existing).ok()?;
    let free = space.f_bavail * space.f_frsize;
    (free < DISK_ROOM_BYTES).then(|| {
        format!(
            "{} has {:.0} MB free and a run needs {:.0} MB",
            existing.display(),
            free as f64 / 1e6,
            DISK_ROOM_BYTES as f64 / 1e6
        )
    })
}
