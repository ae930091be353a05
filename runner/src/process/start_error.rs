//! Why a process could not be started, in words that name it and quote its log.

use std::{
    env,
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use schemas::{manifest::ProcessRecord, plan::Role};

use super::{
    ending::ProcessEnding,
    ports::PortError,
    readiness::{ProbeError, Unready},
    symbols::UnknownPort,
};

/// Why a process could not be started.
#[derive(Debug)]
pub struct StartError {
    /// Name of the launch.
    pub name: String,
    /// What it is to the engine.
    pub role: Role,
    /// Its log.
    pub log: PathBuf,
    /// Its life as far as it came, for the manifest; `None` when no process was made.
    pub record: Option<ProcessRecord>,
    /// What went wrong.
    pub kind: StartErrorKind,
}

/// What went wrong with a start.
#[derive(Debug)]
pub enum StartErrorKind {
    /// A port cannot be had.
    Port(PortError),
    /// The launch uses a port that nobody has.
    UnknownPort(UnknownPort),
    /// The probe cannot be asked.
    Probe(ProbeError),
    /// The program is not there.
    ProgramNotFound {
        /// The command's first word.
        program: String,
        /// The `PATH` that was looked through; `None` where the word is a path.
        search_path: Option<String>,
    },
    /// A file or the log cannot be written.
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The process cannot be made.
    Spawn {
        /// What the system said.
        reason: String,
    },
    /// It ended before it answered.
    Exited {
        /// How.
        ending: ProcessEnding,
        /// Time since its start.
        after: Duration,
    },
    /// It did not answer in time.
    NotReady {
        /// The deadline.
        deadline: Duration,
        /// What was found instead of the wanted answer; `None` where not even the first question was over.
        found: Option<Unready>,
    },
    /// The run was interrupted meanwhile.
    Cancelled,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = role_in_words(self.role);
        let name = &self.name;
        match &self.kind {
            StartErrorKind::Exited { ending, after } => write!(
                formatter,
                "{role} `{name}` ended before it was ready ({ending} after {})",
                seconds(*after)
            )?,
            StartErrorKind::NotReady { deadline, found } => {
                write!(
                    formatter,
                    "{role} `{name}` was not ready within {}",
                    seconds(*deadline)
                )?;
                if let Some(found) = found {
                    write!(formatter, ": {found}")?;
                }
                write!(
                    formatter,
                    "; `ready` under [timeout] in the scenario gives it longer"
                )?;
            }
            StartErrorKind::Cancelled => {
                write!(formatter, "{role} `{name}` was stopped before it was ready")?
            }
            kind => write!(formatter, "{role} `{name}` could not be started: {kind}")?,
        }
        match &self.record {
            Some(record) => write_last_lines(formatter, &record.last_lines, &self.log),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StartErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(error) => write!(formatter, "{error}"),
            Self::UnknownPort(error) => write!(formatter, "{error}"),
            Self::Probe(error) => write!(formatter, "{error}"),
            Self::ProgramNotFound {
                program,
                search_path: Some(search_path),
            } => {
                write!(
                    formatter,
                    "program `{program}` not found in PATH ({search_path})"
                )
            }
            Self::ProgramNotFound {
                program,
                search_path: None,
            } => write!(formatter, "program `{program}` not found"),
            Self::File { path, source } => {
                write!(formatter, "cannot write {}: {source}", path.display())
            }
            Self::Spawn { reason } => write!(formatter, "{reason}"),
            Self::Exited { ending, after } => {
                write!(formatter, "{ending} after {}", seconds(*after))
            }
            Self::NotReady { deadline, .. } => {
                write!(formatter, "not ready within {}", seconds(*deadline))
            }
            Self::Cancelled => write!(formatter, "cancelled"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            StartErrorKind::Port(PortError::NotBound { source, .. }) => Some(source),
            _ => None,
        }
    }
}

/// `engine`, `sidecar`.
pub(super) fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Engine => "engine",
        Role::Sidecar => "sidecar",
    }
}

/// Whole seconds, or tenths below ten.
pub(super) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let decimals = usize::from(seconds < 9.95 && time.subsec_nanos() != 0);
    format!("{seconds:.decimals$} s")
}

/// The quotation below a failure, indented.
pub(super) fn write_last_lines(
    formatter: &mut fmt::Formatter<'_>,
    lines: &[String],
    log: &Path,
) -> fmt::Result {
    let log = seen_from_here(log);
    if lines.is_empty() {
        return write!(formatter, "\n  its log is empty ({})", log.display());
    }
    write!(formatter, "\n  its last lines ({}):", log.display())?;
    for line in lines {
        write!(formatter, "\n    {line}")?;
    }
    Ok(())
}

/// The path as a user in the current folder would type it.
fn seen_from_here(path: &Path) -> &Path {
    env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_the_current_folder_is_shown_from_there() {
        let here = env::current_dir().expect("there is one");
        assert_eq!(
            seen_from_here(&here.join("outputs/a.log")),
            Path::new("outputs/a.log")
        );
        assert_eq!(
            seen_from_here(Path::new("/other/a.log")),
            Path::new("/other/a.log")
        );
    }

    #[test]
    fn seconds_have_tenths_below_ten() {
        let shown: Vec<String> = [0, 340, 2000, 9940, 9990, 12_400]
            .map(|ms| seconds(Duration::from_millis(ms)))
            .to_vec();
        assert_eq!(shown, ["0 s", "0.3 s", "2 s", "9.9 s", "10 s", "12 s"]);
    }
}
