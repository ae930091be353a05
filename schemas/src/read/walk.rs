//! The walk of a file's tree along a schema: every value that does not fit becomes a problem at its place.
//!
//! It knows nothing of scenarios or profiles, only schemas.

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::{
    expected::{expected, fits, found, words},
    format::Format,
    names::Names,
    nearest::{listed, nearest},
    problem::Problems,
    text,
    tree::Node,
};
use crate::diagnostic::Diagnostic;

/// One walk through one file.
pub(super) struct Walk<'a> {
    pub(super) text: &'a str,
    pub(super) format: &'a Format,
    names: &'a Names<'a>,
    pub(super) path: Vec<Step>,
    pub(super) problems: Problems,
}

/// One step from a table to a value inside it.
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an element of a list.
    Element,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str, format: &'a Format, names: &'a Names<'a>) -> Self {
        Self {
            text,
            format,
            names,
            path: Vec::new(),
            problems: Problems::default(),
        }
    }

    /// Walks the whole file.
    pub(super) fn file(mut self, root: &Node<'_>) -> Problems {
        let format = self.format;
        self.value(&format.schema, root);
        self.problems
    }

    pub(super) fn value(&mut self, schema: &Value, node: &Node<'_>) {
        let Some(schema) = schema.as_object().filter(|schema| !schema.is_empty()) else {
            return self.anything(node);
        };
        if let Some(branches) = schema
            .get("anyOf")
            .and_then(Value::as_array)
            .filter(|_| !schema.contains_key("type"))
        {
            return self.choice(schema, branches, node);
        }
        if !fits(schema, node.value()) {
            return self.wrong_type(schema, node);
        }
        match node.value() {
            DeValue::String(text) => self.string(schema, text, node),
            DeValue::Integer(_) => self.integer(schema, node),
            DeValue::Float(_) => self.number(schema, node),
            DeValue::Array(_) => self.list(schema, node),
            DeValue::Table(_)
                if schema.contains_key("properties")
                    || schema.contains_key("additionalProperties") =>
            {
                self.table(schema, node);
            }
            DeValue::Table(_) => self.anything(node),
            DeValue::Boolean(_) | DeValue::Datetime(_) => {}
        }
    }

    /// One value or a list: the branch that takes the value's type speaks for all.
    fn choice(&mut self, schema: &Map<String, Value>, branches: &[Value], node: &Node<'_>) {
        let branch = branches.iter().find(|branch| {
            branch
                .as_object()
                .is_some_and(|branch| fits(branch, node.value()))
        });
        match branch.and_then(Value::as_object) {
            Some(branch) => {
                // The key's description stands beside the choice, its branches have none.
                let mut branch = branch.clone();
                if let Some(description) = schema.get("description") {
                    branch
                        .entry("description")
                        .or_insert_with(|| description.clone());
                }
                self.value(&Value::Object(branch), node);
            }
            None => self.wrong_type(schema, node),
        }
    }

    fn wrong_type(&mut self, schema: &Map<String, Value>, node: &Node<'_>) {
        let mut problem = self.unexpected(schema, &expected(schema), node);
        if let Some(caret) = self.remark(schema, node) {
            problem = problem.with_caret(caret);
        }
        self.problems.form(problem);
    }

    /// What the writer of a value of another type probably has to change.
    fn remark(&self, schema: &Map<String, Value>, node: &Node<'_>) -> Option<String> {
        let key = match self.path.last()? {
            Step::Key(key) => key,
            Step::Element => return None,
        };
        let takes = |name: &str| schema.get("type").is_some_and(|one| one == name);
        match node.value() {
            DeValue::String(text) if takes("object") => {
                let properties = schema.get("properties")?.as_object()?;
                let kind = nearest(text, properties.keys().map(String::as_str))?;
                if properties
                    .get(kind)
                    .and_then(|kind| kind.get("properties"))
                    .is_none()
                {
                    return Some(format!("write {key}.{kind} = {{}}"));
                }
                let header = self
                    .place()
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .to_owned();
                Some(format!("write [{header}.{kind}]"))
            }
            DeValue::String(text) if schema_takes_number(schema) && text.parse::<f64>().is_ok() => {
                Some(format!("write {text} without quotation marks"))
            }
            DeValue::Table(_)
                if takes("array") && schema.get("items")?.get("type")? == "object" =>
            {
                Some(format!("write [[{key}]]"))
            }
            DeValue::Array(elements)
                if takes("object")
                    && elements.iter().all(|element| element.get_ref().is_table()) =>
            {
                Some("write it once, with single brackets".to_owned())
            }
            _ => None,
        }
    }

    /// "expected …, found …", with the key's meaning as the hint.
    fn unexpected(
        &self,
        schema: &Map<String, Value>,
        expected: &str,
        node: &Node<'_>,
    ) -> Diagnostic {
        if schema.contains_key("x-secret") {
            let mut problem = Diagnostic::error(node.key_span(), format!("expected {expected}, found something else"))
                .with_hint("a secret stays out of the file: put it into an environment variable, and that variable's name here");
            problem.secret = Some(node.span());
            return problem;
        }
        let problem = Diagnostic::error(
            node.span(),
            format!("expected {expected}, found {}", found(self.text, node)),
        );
        match schema.get("description").and_then(Value::as_str) {
            Some(description) => problem.with_hint(description),
            None => problem,
        }
    }

    fn string(&mut self, schema: &Map<String, Value>, text: &str, node: &Node<'_>) {
        if let Some(words) = words(schema) {
            if !words.contains(&text) {
                let mut problem = self.unexpected(schema, &expected(schema), node);
                if let Some(word) = nearest(text, words) {
                    problem = problem.with_caret(format!("did you mean \"{word}\"?"));
                }
                self.problems.form(problem);
            }
            return;
        }
        if let Some(kind) = schema.get("x-names").and_then(Value::as_str) {
            return self.name(schema, kind, text, node);
        }
        if let Some(kind) = schema.get("x-text").and_then(Value::as_str)
            && let Err(refusal) = text::check(kind, text)
        {
            let mut problem = self.unexpected(schema, &expected(schema), node);
            if let Some(message) = refusal.message {
                problem.message = message;
            }
            problem.caret = refusal.caret;
            return self.problems.form(problem);
        }
        if !self.format.matches(schema, text) {
            let problem = self.unexpected(schema, &expected(schema), node);
            self.problems.form(problem);
        }
    }

    fn name(&mut self, schema: &Map<String, Value>, kind: &str, text: &str, node: &Node<'_>) {
        let Some(known) = self.names.known(kind).filter(|known| !known.has(text)) else {
            return;
        };
        let mut problem = self.unexpected(schema, &expected(schema), node);
        if let Some(name) = nearest(text, known.names.iter().map(String::as_str)) {
            problem = problem.with_caret(format!("did you mean \"{name}\"?"));
        }
        problem.hint = Some(if let Some(reason) = known.refusal(text) {
            reason.to_owned()
        } else if known.names.is_empty() {
            "this file has none".to_owned()
        } else {
            format!("this file has {}", listed(known.like(text), "and"))
        });
        self.problems.relation(problem);
    }

    fn integer(&mut self, schema: &Map<String, Value>, node: &Node<'_>) {
        if node.integer().is_none() {
            let problem = self.unexpected(schema, "a smaller number", node);
            return self.problems.form(problem);
        }
        self.number(schema, node);
    }

    fn number(&mut self, schema: &Map<String, Value>, node: &Node<'_>) {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let Some(number) = node.number() else {
            let problem = self.unexpected(schema, "a finite number", node);
            return self.problems.form(problem);
        };
        let low = bound("minimum").is_some_and(|minimum| number < minimum)
            || bound("exclusiveMinimum").is_some_and(|minimum| number <= minimum);
        let high = bound("maximum").is_some_and(|maximum| number > maximum)
            || bound("exclusiveMaximum").is_some_and(|maximum| number >= maximum);
        let wanted = match schema.get("maximum") {
            Some(maximum) if high && !schema.contains_key("x-expected") => {
                format!("a number up to {maximum}")
            }
            _ if low && bound("minimum") == Some(0.0) && !schema.contains_key("x-expected") => {
                "a number of at least 0".to_owned()
            }
            _ => expected(schema),
        };
        if low || high {
            let problem = self.unexpected(schema, &wanted, node);
            self.problems.form(problem);
        }
    }

    fn list(&mut self, schema: &Map<String, Value>, node: &Node<'_>) {
        let elements = node.elements();
        if elements.is_empty() && schema.contains_key("minItems") {
            let mut problem = self.unexpected(schema, "something in it", node);
            problem.message = "the list is empty".to_owned();
            return self.problems.form(problem);
        }
        let Some(items) = schema.get("items") else {
            return self.anything(node);
        };
        self.path.push(Step::Element);
        for element in &elements {
            self.value(items, element);
        }
        self.path.pop();
        if schema.contains_key("uniqueItems") {
            self.unique(&elements);
        }
    }

    fn unique(&mut self, elements: &[Node<'_>]) {
        let mut seen: Vec<(String, &Node<'_>)> = Vec::new();
        for element in elements {
            let Some(same) = text::comparable(element) else {
                continue;
            };
            match seen.iter().find(|(earlier, _)| *earlier == same) {
                Some((_, first)) => {
                    let message = format!("{} stands in the list twice", found(self.text, element));
                    self.problems.form(
                        Diagnostic::error(element.span(), message)
                            .with_label(first.span(), "first here"),
                    );
                }
                None => seen.push((same, element)),
            }
        }
    }

    /// A value that the format does not look into: still, the types cannot hold everything that TOML can write.
    fn anything(&mut self, node: &Node<'_>) {
        let refused = match node.value() {
            DeValue::Datetime(_) => Some("a text instead of a date"),
            DeValue::Integer(_) if node.integer().is_none() => Some("a smaller number"),
            DeValue::Float(_) if node.number().is_none() => Some("a finite number"),
            _ => None,
        };
        if let Some(expected) = refused {
            let problem = self.unexpected(&Map::new(), expected, node);
            self.problems.form(problem);
        }
        for child in node
            .entries()
            .into_iter()
            .map(|(_, child)| child)
            .chain(node.elements())
        {
            self.anything(&child);
        }
    }

    /// The table that is walked, as its header is written.
    pub(super) fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.path {
            if let Step::Key(key) = step {
                let bare = !key.is_empty()
                    && key
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
                let key = if bare {
                    key.clone()
                } else {
                    format!("{key:?}")
                };
                place.push_str(if place.is_empty() { "" } else { "." });
                place.push_str(&key);
            }
        }
        match self.path.last() {
            None => "the file".to_owned(),
            Some(Step::Key(_)) => format!("[{place}]"),
            Some(Step::Element) => format!("[[{place}]]"),
        }
    }
}

fn schema_takes_number(schema: &Map<String, Value>) -> bool {
    let takes = |schema: &Map<String, Value>| {
        schema
            .get("type")
            .is_some_and(|name| name == "integer" || name == "number")
    };
    takes(schema)
        || schema
            .get("anyOf")
            .and_then(Value::as_array)
            .is_some_and(|branches| branches.iter().filter_map(Value::as_object).any(takes))
}
