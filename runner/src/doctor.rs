//! What this host has for a profile, what is missing, and the command that gets it.

use std::{io::Write as _, path::Path, process::ExitCode};

use reports::exit::Exit;
use schemas::{
    profile::Profile,
    scenario::{EngineKind, LmcacheMode},
};

use crate::{
    compatibility::{self, Connector},
    devices,
    interpreter::{self, Search},
    model_facts,
    profile::{self, Chosen, ProfileError},
    versions::{self, Versions},
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What: `vllm`, `model`.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do; null where nothing is missing.
    pub fix: Option<String>,
}

impl Finding {
    fn there(what: &str, found: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            found: found.into(),
            fix: None,
        }
    }

    fn missing(what: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            fix: Some(fix.into()),
            ..Self::there(what, found)
        }
    }
}

/// What a profile is examined with: facts about this host.
#[derive(Debug)]
struct Facts {
    cores: usize,
    devices: Vec<String>,
    python: Search,
    versions: Option<Versions>,
}

/// Prints what was found: of one profile, or of all that ship. Exit code 3 when the named one lacks something; without a name 0, because the
/// built-in engine always runs.
pub fn run(asked: Option<&str>) -> ExitCode {
    match report(asked) {
        Ok((text, complete)) => {
            // A closed stdout is no reason to fail.
            let _ = write!(anstream::stdout(), "{text}");
            if complete || asked.is_none() {
                Exit::AllMet.into()
            } else {
                Exit::CouldNotRun.into()
            }
        }
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "error: {error}");
            Exit::Usage.into()
        }
    }
}

fn report(asked: Option<&str>) -> Result<(String, bool), ProfileError> {
    let names: Vec<&str> = match asked {
        Some(name) => vec![name],
        None => profile::shipped().collect(),
    };
    let mut text = String::new();
    let mut complete = true;
    for name in names {
        let chosen = profile::choose(name, false)?;
        let findings = examine(&chosen.profile, &facts(&chosen.profile));
        complete &= findings.iter().all(|finding| finding.fix.is_none());
        text.push_str(&in_words(&chosen, &findings));
    }
    Ok((text, complete))
}

fn facts(profile: &Profile) -> Facts {
    let python = interpreter::search(profile.interpreter.as_ref());
    Facts {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        devices: devices::names(),
        versions: python.found.as_deref().map(versions::ask),
        python,
    }
}

fn examine(profile: &Profile, facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![cores(profile, facts)];
    let on_devices = profile.memory_share.is_some() || profile.devices.is_some();
    if on_devices {
        findings.push(device_finding(facts));
    }
    if profile.engine == EngineKind::Vllm {
        let install = if on_devices {
            "ci/setup-gpu-stack.sh (without a network: ci/offline-bundle.sh), or let KVBENCH_PYTHON name an interpreter that has vLLM"
        } else {
            "ci/setup-cpu-stack.sh"
        };
        findings.extend(packages(facts, install));
        findings.extend(pair(profile, facts, install));
        findings.push(redis(facts, on_devices));
    }
    let model = profile.stand_in.as_ref().or(profile.default_model.as_ref());
    findings.extend(model.map(|model| model_finding(profile, model)));
    findings
}

fn cores(profile: &Profile, facts: &Facts) -> Finding {
    let highest = [&profile.cores.engine, &profile.cores.client]
        .into_iter()
        .flatten()
        .flatten()
        .max();
    let found = format!("{} to use", facts.cores);
    match highest {
        Some(highest) if *highest as usize >= facts.cores => Finding::missing(
            "cores",
            format!("{found}, but the profile binds to core {highest}"),
            "copy the profile, change its [cores], and name the copy: --profile FILE",
        ),
        _ => Finding::there("cores", found),
    }
}

fn device_finding(facts: &Facts) -> Finding {
    if facts.devices.is_empty() {
        Finding::missing(
            "devices",
            "NVML sees no GPU",
            "install the NVIDIA driver, or run with --profile cpu",
        )
    } else {
        Finding::there("devices", facts.devices.join(", "))
    }
}

fn packages(facts: &Facts, install: &str) -> Vec<Finding> {
    let elsewhere = facts.python.variable.as_ref().map(|variable| {
        format!("unset {variable}, or let it name the interpreter of an environment that has vLLM")
    });
    let install = elsewhere.as_deref().unwrap_or(install);
    let place = facts.python.in_words();
    match &facts.versions {
        None => vec![Finding::missing("python", place, install)],
        Some(Err(reason)) => vec![Finding::missing("python", reason.clone(), install)],
        Some(Ok(versions)) => {
            let python = versions.get("python").map_or("?", String::as_str);
            let mut findings = vec![Finding::there("python", format!("{python} ({place})"))];
            findings.push(match versions.get("vllm") {
                Some(version) => Finding::there("vllm", version.clone()),
                None => Finding::missing("vllm", "not installed there", install),
            });
            findings.push(match versions.get("lmcache") {
                Some(version) => Finding::there("lmcache", version.clone()),
                None => Finding::missing("lmcache", "not installed there", install),
            });
            for name in ["torch", "transformers"] {
                let version = versions.get(name);
                findings.extend(version.map(|version| Finding::there(name, version.clone())));
            }
            findings
        }
    }
}

/// What is known of vLLM and LMCache together; nothing of what ran, or where one of them is missing.
fn pair(profile: &Profile, facts: &Facts, install: &str) -> Option<Finding> {
    let versions = facts.versions.as_ref()?.as_ref().ok()?;
    versions.get("lmcache")?;
    let connector = match profile.lmcache_mode {
        Some(LmcacheMode::Multiprocess) => Connector::Server,
        Some(LmcacheMode::InProcess) | None => Connector::InProcess,
    };
    let finding = match compatibility::judge(versions, Some(connector))? {
        compatibility::Finding::Incompatible(text) => Finding::missing("versions", text, install),
        compatibility::Finding::Untested(text) => Finding::there("versions", text),
    };
    Some(finding)
}

/// Redis tiers need the server; Valkey, which few hosts have, is only told where it is.
fn redis(facts: &Facts, on_devices: bool) -> Finding {
    let fix = if on_devices {
        "install redis-server (Debian and Ubuntu: `sudo apt-get install redis-server`)"
    } else {
        "ci/setup-cpu-stack.sh"
    };
    let servers = &facts.python.servers;
    let valkey = servers.get("valkey-server");
    match servers.get("redis-server") {
        Some(place) => Finding::there(
            "redis-server",
            valkey.map_or_else(
                || place.display().to_string(),
                |valkey| format!("{}, and {}", place.display(), valkey.display()),
            ),
        ),
        None => Finding::missing("redis-server", "not found: redis tiers cannot run", fix),
    }
}

fn model_finding(profile: &Profile, declared: &str) -> Finding {
    let settings = profile.model.get(declared);
    let path = settings.and_then(|settings| settings.path.as_deref());
    let used = interpreter::expand(path.unwrap_or(declared));
    let there = model_facts::tokenizer_file(&used)
        .and_then(|directory| model_facts::read(&used).map(|_| directory));
    match there {
        Ok(_) => Finding::there("model", used),
        Err(error) => Finding::missing(
            "model",
            error.to_string(),
            if Path::new(&used).is_absolute() {
                "ci/setup-cpu-stack.sh".to_owned()
            } else {
                format!(
                    "download it, and name its folder: `-m DIR`, or `path` under [model.\"{declared}\"] in a copy of the profile"
                )
            },
        ),
    }
}

fn in_words(chosen: &Chosen, findings: &[Finding]) -> String {
    let mut text = format!("{}: {}\n", chosen.name, chosen.profile.description);
    for Finding { what, found, fix } in findings {
        let mark = if fix.is_some() { "missing" } else { "ok" };
        text.push_str(&format!("  {mark:<8} {what:<13} {found}\n"));
        if let Some(fix) = fix {
            text.push_str(&format!("  {:<8} {:<13} -> {fix}\n", "", ""));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(profile: &str) -> Vec<Finding> {
        let mut profile = profile::choose(profile, false).expect("shipped").profile;
        // Whatever the host of the test has there.
        profile.stand_in = profile.stand_in.map(|model| match model.as_str() {
            builtin if builtin.starts_with("builtin:") => model,
            _ => "/nowhere/model".to_owned(),
        });
        let facts = Facts {
            cores: 2,
            devices: Vec::new(),
            python: Search {
                found: None,
                variable: None,
                looked_at: vec!["/nowhere/python is not there".to_owned()],
                ..Search::default()
            },
            versions: None,
        };
        examine(&profile, &facts)
    }

    fn missing(findings: &[Finding]) -> Vec<&str> {
        let missing = findings.iter().filter(|finding| finding.fix.is_some());
        missing.map(|finding| finding.what.as_str()).collect()
    }

    #[test]
    fn a_bare_host_lacks_nothing_for_the_built_in_engine() {
        assert_eq!(missing(&bare("builtin")), Vec::<&str>::new());
    }

    #[test]
    fn a_bare_host_is_told_the_command_for_each_thing_that_is_missing() {
        let cpu = bare("cpu");
        assert_eq!(missing(&cpu), ["python", "redis-server", "model"]);
        for finding in cpu.iter().filter(|finding| finding.fix.is_some()) {
            assert_eq!(finding.fix.as_deref(), Some("ci/setup-cpu-stack.sh"));
        }
        assert_eq!(
            missing(&bare("gpu")),
            ["devices", "python", "redis-server", "model"]
        );
    }

    #[test]
    fn a_profile_for_more_cores_than_there_are_is_told() {
        let mut profile = profile::choose("cpu", false).expect("shipped").profile;
        profile.cores.client = Some(vec![7]);
        let facts = Facts {
            cores: 2,
            devices: Vec::new(),
            python: Search::default(),
            versions: None,
        };
        assert!(cores(&profile, &facts).fix.is_some());
    }
}
