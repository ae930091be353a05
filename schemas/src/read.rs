//! Reads scenario and profile files and reports every problem of a file at once.
//!
//! A file is parsed into a tree with spans, the tree is walked along the JSON Schema that is generated from the types, rules that span
//! tables are checked on the tree, and only then the types are filled, which can no longer fail.

mod args;
mod engines;
mod expected;
mod format;
#[cfg(test)]
mod mutants;
mod names;
mod nearest;
mod problem;
mod rules;
mod syntax;
mod table;
mod text;
mod tree;
mod walk;
mod warnings;

use std::sync::LazyLock;

use serde::de::DeserializeOwned;

pub use self::format::KEYWORDS;
use self::{
    format::Format,
    names::Names,
    problem::{Class, Problem, Problems},
    tree::Node,
    walk::Walk,
};
use crate::{diagnostic::Diagnostic, profile::Profile, scenario::Scenario, schema};

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the user named it.
    pub path: String,
    /// Its text.
    pub text: String,
}

static SCENARIO: LazyLock<Format> = LazyLock::new(|| Format::new(schema::scenario()));
static PROFILE: LazyLock<Format> = LazyLock::new(|| Format::new(schema::profile()));

/// Reads a scenario, or says everything that is wrong with it, in the order of the file.
pub fn scenario(source: &Source) -> Result<Scenario, Vec<Diagnostic>> {
    read(source, scenario_problems(source))
}

/// Reads a profile, or says everything that is wrong with it, in the order of the file.
pub fn profile(source: &Source) -> Result<Profile, Vec<Diagnostic>> {
    read(source, profile_problems(source))
}

/// What a user should know of a scenario that can be read, but hardly does what its author meant. Empty for one that cannot.
pub fn scenario_warnings(source: &Source) -> Vec<Diagnostic> {
    let (tree, errors) = tree::parse(&source.text);
    if errors.is_empty() {
        warnings::scenario(&Node::root(&tree))
    } else {
        Vec::new()
    }
}

fn scenario_problems(source: &Source) -> Vec<Diagnostic> {
    problems(source, &SCENARIO, rules::scenario)
}

fn profile_problems(source: &Source) -> Vec<Diagnostic> {
    problems(source, &PROFILE, |root, _, problems| {
        rules::profile(root, problems)
    })
}

fn problems(
    source: &Source,
    format: &Format,
    rules: impl FnOnce(&Node<'_>, &Names<'_>, &mut Problems),
) -> Vec<Diagnostic> {
    let (tree, errors) = tree::parse(&source.text);
    let root = Node::root(&tree);
    let names = Names::collect(&root);
    let mut problems = Walk::new(&source.text, format, &names).file(&root);
    if errors.is_empty() {
        rules(&root, &names, &mut problems);
    } else {
        // Text was lost around a syntax error: what seems missing or unknown may stand there.
        problems.hold_back(&source.text, &errors);
        for error in syntax::first_of_each_line(&source.text, &errors) {
            problems.push(Problem {
                class: Class::Syntax,
                diagnostic: syntax::diagnostic(&source.text, &root, error),
            });
        }
    }
    problems.into_diagnostics()
}

/// Fills the type. After a walk without problems this cannot fail, which a test holds; if it did, the user would still be told where.
fn read<T: DeserializeOwned>(
    source: &Source,
    problems: Vec<Diagnostic>,
) -> Result<T, Vec<Diagnostic>> {
    if !problems.is_empty() {
        return Err(problems);
    }
    toml::from_str(&source.text).map_err(|error| match error.span() {
        Some(span) => vec![Diagnostic::error(span, error.message())],
        None => vec![Diagnostic::error_of_file(error.message())],
    })
}
