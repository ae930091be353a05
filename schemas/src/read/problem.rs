//! The problems found so far, and which of them to believe.

use std::ops::Range;

use toml::de::Error;

use crate::diagnostic::Diagnostic;

/// What kind of problem it is: after a syntax error some kinds are only its echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The text is no TOML.
    Syntax,
    /// A key or value that cannot stand where it stands.
    Form,
    /// Something that ought to be there.
    Missing,
    /// A name that nothing in the file has, or a rule over several keys.
    Relation,
}

/// A problem with its kind.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) class: Class,
    pub(super) diagnostic: Diagnostic,
}

/// All problems of a file.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// A problem of the kind [`Class::Form`].
    pub(super) fn form(&mut self, diagnostic: Diagnostic) {
        self.push(Problem {
            class: Class::Form,
            diagnostic,
        });
    }

    /// A problem of the kind [`Class::Missing`].
    pub(super) fn missing(&mut self, diagnostic: Diagnostic) {
        self.push(Problem {
            class: Class::Missing,
            diagnostic,
        });
    }

    /// A problem of the kind [`Class::Relation`].
    pub(super) fn relation(&mut self, diagnostic: Diagnostic) {
        self.push(Problem {
            class: Class::Relation,
            diagnostic,
        });
    }

    /// Whether a problem stands inside this place.
    pub(super) fn any_in(&self, place: &Range<usize>) -> bool {
        self.0.iter().any(|problem| {
            problem
                .diagnostic
                .span
                .as_ref()
                .is_some_and(|span| span.start >= place.start && span.end <= place.end)
        })
    }

    /// Keeps what a syntax error elsewhere cannot have caused: wrong keys and values on other lines.
    pub(super) fn hold_back(&mut self, text: &str, errors: &[Error]) {
        let line = |at: usize| {
            text.as_bytes()[..at.min(text.len())]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count()
        };
        let broken: Vec<usize> = errors
            .iter()
            .filter_map(|error| error.span())
            .map(|span| line(span.start))
            .collect();
        self.0.retain(|problem| {
            problem.class == Class::Form
                && problem
                    .diagnostic
                    .span
                    .as_ref()
                    .is_some_and(|span| !broken.contains(&line(span.start)))
        });
    }

    /// In the order of the file.
    pub(super) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.0.sort_by_key(|problem| {
            problem
                .diagnostic
                .span
                .as_ref()
                .map(|span| (span.start, span.end))
        });
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for problem in self.0 {
            if !diagnostics.contains(&problem.diagnostic) {
                diagnostics.push(problem.diagnostic);
            }
        }
        diagnostics
    }
}
