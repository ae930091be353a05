//! Scenario files become scenarios; every problem of every file is reported before anything starts.

use std::path::{Path, PathBuf};

use schemas::{diagnostic, read::Source, scenario::Scenario};

/// A scenario and the text that it came from.
#[derive(Debug)]
pub struct Loaded {
    /// Its name: the file's stem.
    pub name: String,
    /// The file as found.
    pub path: PathBuf,
    /// Its text, kept verbatim for the run folder.
    pub text: String,
    /// What it says.
    pub scenario: Scenario,
}

/// All problems of all files, rendered for a person.
#[derive(Debug, thiserror::Error)]
#[error("{rendered}{problems} in {files}; nothing was started")]
pub struct Problems {
    rendered: String,
    problems: String,
    files: String,
}

/// Reads all files.
///
/// # Errors
/// [`Problems`], with those of all files.
pub fn scenarios(files: &[PathBuf], color: bool) -> Result<Vec<Loaded>, Problems> {
    let mut loaded = Vec::new();
    let (mut rendered, mut problems, mut bad_files) = (String::new(), 0, 0);
    for path in files {
        match scenario(path, color) {
            Ok(scenario) => loaded.push(scenario),
            Err((text, count)) => {
                rendered.push_str(&text);
                if !text.ends_with('\n') {
                    rendered.push('\n');
                }
                problems += count;
                bad_files += 1;
            }
        }
    }
    if bad_files == 0 {
        return Ok(loaded);
    }
    Err(Problems {
        rendered,
        problems: count(problems, "problem"),
        files: count(bad_files, "file"),
    })
}

fn scenario(path: &Path, color: bool) -> Result<Loaded, (String, usize)> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| (format!("error: cannot read {shown}: {error}"), 1))?;
    let source = Source { path: shown, text };
    match schemas::read::scenario(&source) {
        Ok(scenario) => Ok(Loaded {
            name: crate::discover::name(path),
            path: path.to_owned(),
            text: source.text,
            scenario,
        }),
        Err(diagnostics) => Err((
            diagnostic::render(&source, &diagnostics, color),
            diagnostics.len(),
        )),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
