//! Which profile a run uses: the one asked for, or what this host can run.

use std::path::Path;

use schemas::{profile::Profile, read::Source};

use crate::devices;

/// The profiles that ship inside the binary.
const EMBEDDED: [(&str, &str); 5] = [
    (
        "builtin",
        include_str!("../../scenarios/profiles/builtin.toml"),
    ),
    ("cpu", include_str!("../../scenarios/profiles/cpu.toml")),
    (
        "cpu-short",
        include_str!("../../scenarios/profiles/cpu-short.toml"),
    ),
    ("gpu", include_str!("../../scenarios/profiles/gpu.toml")),
    (
        "gpu-short",
        include_str!("../../scenarios/profiles/gpu-short.toml"),
    ),
];

/// Names of the profiles that ship inside the binary.
pub fn shipped() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _)| *name)
}

/// A profile and why it is this one.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its name: `builtin`, or the file's stem.
    pub name: String,
    /// Why this one, in words.
    pub reason: String,
    /// The profile itself.
    pub profile: Profile,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither a shipped profile nor a file.
    #[error("no profile `{0}`: expected auto, {names}, or the path of a profile file", names = shipped().collect::<Vec<_>>().join(", "))]
    Unknown(String),
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Its path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file has mistakes; rendered for a person.
    #[error("{rendered}")]
    Invalid {
        /// All of them, rendered.
        rendered: String,
    },
}

/// The profile of one scenario: with `auto`, one whose model is built in runs as on a host that has nothing else.
///
/// # Errors
/// See [`ProfileError`].
pub fn for_model(asked: &str, found: &Chosen, model: Option<&str>) -> Result<Chosen, ProfileError> {
    if asked == "auto"
        && found.name != "builtin"
        && model.is_some_and(|model| model.starts_with("builtin:"))
    {
        let reason = "its model is built in".to_owned();
        return Ok(Chosen {
            name: "builtin".to_owned(),
            reason,
            profile: embedded("builtin", false)?,
        });
    }
    Ok(found.clone())
}

/// Finds the profile by what `--profile` says.
///
/// # Errors
/// See [`ProfileError`].
pub fn choose(asked: &str, color: bool) -> Result<Chosen, ProfileError> {
    if asked == "auto" {
        let (name, reason) = detect();
        return Ok(Chosen {
            name: name.to_owned(),
            reason,
            profile: embedded(name, color)?,
        });
    }
    if EMBEDDED.iter().any(|(name, _)| *name == asked) {
        return Ok(Chosen {
            name: asked.to_owned(),
            reason: "--profile".to_owned(),
            profile: embedded(asked, color)?,
        });
    }
    let path = Path::new(asked);
    if !path.is_file() {
        return Err(ProfileError::Unknown(asked.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read {
        path: asked.to_owned(),
        source,
    })?;
    let profile = parse(asked, text, color)?;
    Ok(Chosen {
        name: crate::discover::name(path),
        reason: "--profile".to_owned(),
        profile,
    })
}

fn embedded(name: &str, color: bool) -> Result<Profile, ProfileError> {
    let (_, text) = EMBEDDED
        .iter()
        .find(|(embedded, _)| *embedded == name)
        .ok_or_else(|| ProfileError::Unknown(name.to_owned()))?;
    parse(
        &format!("{name}.toml (inside the runner)"),
        (*text).to_owned(),
        color,
    )
}

fn parse(path: &str, text: String, color: bool) -> Result<Profile, ProfileError> {
    let source = Source {
        path: path.to_owned(),
        text,
    };
    schemas::read::profile(&source).map_err(|diagnostics| ProfileError::Invalid {
        rendered: schemas::diagnostic::render(&source, &diagnostics, color),
    })
}

/// What this host can run: `gpu` where NVML sees a device and vLLM is there, `cpu` where the CPU stack is, else `builtin`.
fn detect() -> (&'static str, String) {
    let devices = devices::names().len();
    for name in ["gpu", "cpu"] {
        if name == "gpu" && devices == 0 {
            continue;
        }
        let Ok(profile) = embedded(name, false) else {
            continue;
        };
        if let Some(version) = vllm_version(&profile) {
            let gpu = if devices == 0 {
                "no GPU seen".to_owned()
            } else {
                format!("{devices} GPUs seen")
            };
            return (name, format!("vLLM {version} found, {gpu}"));
        }
    }
    let gpu = if devices == 0 {
        "no GPU and no vLLM found"
    } else {
        "a GPU seen, but no vLLM found"
    };
    ("builtin", gpu.to_owned())
}

/// The version of vLLM in a profile's interpreter, without importing it.
fn vllm_version(profile: &Profile) -> Option<String> {
    let python = crate::interpreter::search(profile.interpreter.as_ref()).found?;
    crate::versions::ask(&python).ok()?.shift_remove("vllm")
}

#[cfg(test)]
mod tests {
    use schemas::profile::Limits;

    use super::*;

    #[test]
    fn gpu_short_is_gpu_without_idle_time_and_with_short_outputs() {
        let gpu = choose("gpu", false).expect("shipped").profile;
        let short = choose("gpu-short", false).expect("shipped").profile;
        assert_ne!(short.description, gpu.description);
        let expected = Profile {
            description: short.description.clone(),
            closed_arrivals: true,
            limits: Limits {
                output_length: Some(16),
                ..Limits::default()
            },
            ..gpu
        };
        assert_eq!(short, expected);
    }
}
