//! Where the interpreter of Python engines is, and how paths of a profile are read.

use std::path::PathBuf;

use schemas::profile::Interpreter;

/// The first that exists: what the environment variable names, then the path. Neither is run.
pub fn find(interpreter: &Interpreter) -> Option<PathBuf> {
    let from_env = interpreter
        .env
        .as_ref()
        .and_then(std::env::var_os)
        .map(PathBuf::from);
    let from_path = interpreter
        .path
        .as_deref()
        .map(|path| PathBuf::from(expand(path)));
    from_env
        .into_iter()
        .chain(from_path)
        .find(|path| path.is_file())
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
