//! What is wrong with a file, where, and how a person sees it.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::read::Source;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but hardly means what it says.
    Warning,
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is, in bytes of the source; `None` for the file as a whole.
    pub span: Option<Range<usize>>,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// A short remark right at the place: `did you mean …?`.
    pub caret: Option<String>,
    /// How to put it right, or what the key means.
    pub hint: Option<String>,
    /// A second place that belongs to the problem, and what is there.
    pub label: Option<(Range<usize>, String)>,
    /// Bytes of the source that are never shown.
    pub secret: Option<Range<usize>>,
}

/// A place in a file as people and editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, Some(span), message.into())
    }

    /// An error of the file as a whole.
    pub fn error_of_file(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, None, message.into())
    }

    /// A warning at a place.
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, Some(span), message.into())
    }

    fn new(severity: Severity, span: Option<Range<usize>>, message: String) -> Self {
        Self {
            severity,
            span,
            message,
            caret: None,
            hint: None,
            label: None,
            secret: None,
        }
    }

    /// Adds the remark at the place.
    pub fn with_caret(mut self, caret: impl Into<String>) -> Self {
        self.caret = Some(caret.into());
        self
    }

    /// Adds the hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the second place.
    pub fn with_label(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.label = Some((span, text.into()));
        self
    }

    /// Line and column of the place; `None` for the file as a whole.
    pub fn position(&self, source: &Source) -> Option<Position> {
        let start = floor(&source.text, self.span.as_ref()?.start);
        let before = &source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Some(Position {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }
}

/// All problems of one file as text, each with its line and a caret; ends with a newline unless there are none.
pub fn render(source: &Source, diagnostics: &[Diagnostic], color: bool) -> String {
    let shown = shown_text(&source.text, diagnostics);
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&renderer.render(&[group(source, &shown, diagnostic)]));
        text.push('\n');
    }
    text
}

fn group<'a>(source: &'a Source, shown: &'a str, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let group = match &diagnostic.span {
        None => title.element(Origin::path(source.path.as_str())),
        Some(span) => {
            let primary = AnnotationKind::Primary
                .span(first_line(shown, span))
                .label(diagnostic.caret.as_deref());
            let second = diagnostic.label.as_ref().map(|(span, text)| {
                AnnotationKind::Context
                    .span(first_line(shown, span))
                    .label(text.as_str())
            });
            title.element(
                Snippet::source(shown)
                    .path(source.path.as_str())
                    .annotation(primary)
                    .annotations(second),
            )
        }
    };
    match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    }
}

/// The source as it is shown: secrets masked, and what a terminal would act on replaced, byte for byte so that spans stay right.
fn shown_text(text: &str, diagnostics: &[Diagnostic]) -> String {
    let secrets: Vec<&Range<usize>> = diagnostics
        .iter()
        .filter_map(|diagnostic| diagnostic.secret.as_ref())
        .collect();
    let mut shown = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        if secrets.iter().any(|secret| secret.contains(&at)) && !character.is_control() {
            shown.extend(std::iter::repeat_n('*', character.len_utf8()));
        } else if character.is_ascii_control() && !matches!(character, '\n' | '\r' | '\t') {
            shown.push('?');
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The part of a span on its first line: the place is meant, not the whole of a long list. Kept inside the text and off the middle of characters.
fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    let line = &text[start..end];
    let length = line.find(['\n', '\r']).unwrap_or(line.len());
    start..start + length
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            path: "scenarios/mine.toml".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn counts_columns_in_characters() {
        let source = source("a = 1\nµé = 2\r\nb = 3");
        let at = source.text.find("= 2").unwrap();
        assert_eq!(
            Diagnostic::error(at..at + 1, "x").position(&source),
            Some(Position { line: 2, column: 4 })
        );
        let at = source.text.find("b = 3").unwrap();
        assert_eq!(
            Diagnostic::error(at..at + 1, "x").position(&source),
            Some(Position { line: 3, column: 1 })
        );
    }

    #[test]
    fn looks_as_a_person_expects() {
        let source = source("question = \"a\"\nreuse_count = 10\n");
        let diagnostic = Diagnostic::error(15..26, "unknown key `reuse_count`")
            .with_caret("did you mean `reuse-count`?");
        let expected = "\
error: unknown key `reuse_count`
 --> scenarios/mine.toml:2:1
  |
2 | reuse_count = 10
  | ^^^^^^^^^^^ did you mean `reuse-count`?
";
        assert_eq!(render(&source, &[diagnostic], false), expected);
    }

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let source = source("api-key-env = \"sk-µ123\"\nb = \"\u{1b}[31m\"\n");
        let at = source.text.find("sk-").unwrap();
        let mut secret = Diagnostic::error(0..11, "no name");
        secret.secret = Some(at..at + 8);
        let escape = Diagnostic::error(source.text.len() - 4..source.text.len(), "odd");
        let text = render(&source, &[secret, escape], false);
        assert!(
            !text.contains("sk-") && !text.contains("123") && !text.contains('\u{1b}'),
            "{text}"
        );
    }

    #[test]
    fn spans_outside_the_text_do_no_harm() {
        let source = source("é");
        for span in [0..1, 1..2, 5..9, 2..2] {
            assert!(!render(&source, &[Diagnostic::error(span, "x")], true).is_empty());
        }
    }
}
