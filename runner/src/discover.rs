//! Patterns become scenario files: sorted, each once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Where scenarios are looked for when no pattern is given (`-l` alone).
pub const DEFAULT_PATTERN: &str = "scenarios/*.toml";

/// Why no list of files could be made.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// A file was named that is not there.
    #[error("no file matches `{0}`")]
    NoMatch(String),
    /// Files matched, but the filter took them all.
    #[error("no scenario's name matches the filter `{0}`")]
    NothingLeft(String),
    /// The glob itself is wrong.
    #[error("`{pattern}` is not a pattern: {source}")]
    Pattern {
        /// As typed.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
    /// A folder could not be read.
    #[error("cannot read {}: {}", .0.path().display(), .0.error())]
    Read(#[from] glob::GlobError),
}

/// The files that match, by path, each once. Every pattern must match something.
///
/// # Errors
/// See [`DiscoverError`].
pub fn files(patterns: &[String], filter: Option<&Regex>) -> Result<Vec<PathBuf>, DiscoverError> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        let path = Path::new(pattern);
        let matches = if path.is_file() {
            vec![path.to_owned()]
        } else if path.is_dir() {
            expand(
                &format!(
                    "{}/*.toml",
                    glob::Pattern::escape(pattern.trim_end_matches('/'))
                ),
                pattern,
            )?
        } else {
            expand(pattern, pattern)?
        };
        if matches.is_empty() {
            return Err(DiscoverError::NoMatch(pattern.clone()));
        }
        found.extend(matches);
    }
    let mut seen = BTreeSet::new();
    let files: Vec<PathBuf> = found
        .into_iter()
        .filter(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())))
        .filter(|path| filter.is_none_or(|filter| filter.is_match(&name(path))))
        .collect();
    match (files.is_empty(), filter) {
        (true, Some(filter)) => Err(DiscoverError::NothingLeft(filter.to_string())),
        _ => Ok(files),
    }
}

/// A scenario's name: its file's stem.
pub fn name(path: &Path) -> String {
    path.file_stem().map_or_else(
        || "scenario".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

fn expand(pattern: &str, typed: &str) -> Result<Vec<PathBuf>, DiscoverError> {
    let paths = glob::glob(pattern).map_err(|source| DiscoverError::Pattern {
        pattern: typed.to_owned(),
        source,
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_named_once_however_they_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["b.toml", "a.toml", "c.txt"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let at = |file: &str| folder.path().join(file).display().to_string();
        let found = files(
            &[
                at("b.toml"),
                at("*.toml"),
                folder.path().display().to_string(),
            ],
            None,
        )
        .unwrap();
        assert_eq!(
            found.iter().map(|path| name(path)).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(matches!(
            files(&[at("z*.toml")], None),
            Err(DiscoverError::NoMatch(_))
        ));
        let none = Regex::new("zzz").unwrap();
        assert!(matches!(
            files(&[at("*.toml")], Some(&none)),
            Err(DiscoverError::NothingLeft(_))
        ));
    }
}
