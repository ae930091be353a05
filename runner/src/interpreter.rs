//! Where the interpreter of Python engines is, and how paths of a profile are read.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use schemas::profile::Interpreter;

/// What a look for the interpreter came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Where it is.
    pub found: Option<PathBuf>,
    /// The environment variable that was set, and so decided.
    pub variable: Option<String>,
    /// Each place that was looked at, and what was there, in words.
    pub looked_at: Vec<String>,
    /// Server programs that cache tiers need, by name, where they are found.
    pub servers: BTreeMap<String, PathBuf>,
}

/// Programs that are looked for beside the interpreter, in the `bin` folder of the stack that holds it, and on `PATH`.
pub const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

impl Search {
    /// The places in one line, for an error.
    pub fn in_words(&self) -> String {
        if self.looked_at.is_empty() {
            "the profile names none".to_owned()
        } else {
            self.looked_at.join(", ")
        }
    }
}

/// Looks for the interpreter of a profile. What the environment variable names counts alone, so that a misspelt path is not passed over;
/// without it, the path counts. Nothing is run.
pub fn search(interpreter: Option<&Interpreter>) -> Search {
    interpreter.map_or_else(Search::default, |interpreter| {
        let mut search = search_with(interpreter, |name| std::env::var_os(name));
        search.servers = servers(search.found.as_deref());
        search
    })
}

fn servers(interpreter: Option<&Path>) -> BTreeMap<String, PathBuf> {
    let beside = interpreter.and_then(Path::parent);
    // venv/bin/python and bin/redis-server are parts of one stack.
    let stack = beside
        .and_then(Path::parent)
        .and_then(Path::parent)
        .map(|stack| stack.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = beside
        .map(Path::to_owned)
        .into_iter()
        .chain(stack)
        .chain(std::env::split_paths(&path))
        .collect();
    let found = SERVERS.into_iter().filter_map(|program| {
        let places = folders.iter().map(|folder| folder.join(program));
        let place = places.into_iter().find(|place| place.is_file())?;
        Some((program.to_owned(), place))
    });
    found.collect()
}

fn search_with(interpreter: &Interpreter, variable: impl Fn(&str) -> Option<OsString>) -> Search {
    let mut looked_at = Vec::new();
    let mut candidate = None;
    let mut decided_by = None;
    if let Some(name) = &interpreter.env {
        match variable(name).filter(|value| !value.is_empty()) {
            Some(value) => {
                candidate = Some((PathBuf::from(value), format!("{name}=")));
                decided_by = Some(name.clone());
            }
            None => looked_at.push(format!("{name} is not set")),
        }
    }
    if candidate.is_none() {
        candidate = interpreter
            .path
            .as_deref()
            .map(|path| (PathBuf::from(expand(path)), String::new()));
    }
    let found = candidate.and_then(|(path, named)| {
        let there = path.is_file();
        let state = if there { "is there" } else { "is not there" };
        looked_at.push(format!("{named}{} {state}", path.display()));
        there.then_some(path)
    });
    Search {
        found,
        variable: decided_by,
        looked_at,
        servers: BTreeMap::new(),
    }
}

/// Expands a leading `~` and components of the form `$NAME`.
pub fn expand(path: &str) -> String {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let path = match path.strip_prefix("~/") {
        Some(rest) => format!("{}/{rest}", variable("HOME")),
        None => path.to_owned(),
    };
    let mut expanded = String::new();
    for (index, part) in path.split('/').enumerate() {
        if index > 0 {
            expanded.push('/');
        }
        match part.strip_prefix('$') {
            Some(name) => expanded.push_str(&variable(name)),
            None => expanded.push_str(part),
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(path: &str) -> Interpreter {
        Interpreter {
            env: Some("PYTHON_OF_A_TEST".to_owned()),
            path: Some(path.to_owned()),
        }
    }

    #[test]
    fn the_path_counts_where_the_variable_is_not_set() {
        let search = search_with(&interpreter("/bin/sh"), |_| None);
        assert_eq!(search.found, Some(PathBuf::from("/bin/sh")));
        let search = search_with(&interpreter("/nowhere/python"), |_| Some("".into()));
        assert_eq!(search.found, None);
        assert_eq!(
            search.in_words(),
            "PYTHON_OF_A_TEST is not set, /nowhere/python is not there"
        );
    }

    #[test]
    fn a_variable_that_names_nothing_is_not_passed_over() {
        let search = search_with(&interpreter("/bin/sh"), |_| Some("/nowhere/python".into()));
        assert_eq!(search.found, None);
        assert_eq!(
            search.in_words(),
            "PYTHON_OF_A_TEST=/nowhere/python is not there"
        );
    }
}
