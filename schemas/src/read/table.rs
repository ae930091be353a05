//! The part of the walk that looks at tables: unknown and missing keys, and rules between keys.

use serde_json::{Map, Value};

use super::{
    nearest::{listed, nearest},
    tree::Node,
    walk::{Step, Walk},
};
use crate::diagnostic::Diagnostic;

impl Walk<'_> {
    pub(super) fn table(&mut self, schema: &Map<String, Value>, node: &Node<'_>) {
        let empty = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let others = schema
            .get("additionalProperties")
            .filter(|others| *others != false);
        let entries = node.entries();
        let mut known: Vec<(&str, &Node<'_>)> = Vec::new();
        // What unknown keys probably mean: those are not reported as missing, too.
        let mut meant: Vec<&str> = Vec::new();
        for (key, child) in &entries {
            if let Some(property) = properties.get(*key) {
                known.push((*key, child));
                self.enter(key, property, child);
            } else if let Some(others) = others {
                known.push((*key, child));
                self.key_form(schema, key, child);
                self.enter(key, others, child);
            } else {
                meant.extend(self.unknown(schema, properties, key, child, &entries));
            }
        }
        let has = |key: &str| known.iter().any(|(name, _)| *name == key) || meant.contains(&key);
        for key in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !has(key) {
                self.missing(key, properties.get(key), node);
            }
        }
        self.number_of_keys(schema, properties, &known, entries.is_empty(), node);
        for rule in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.rule(rule, &known, &has, node);
        }
    }

    fn enter(&mut self, key: &str, schema: &Value, child: &Node<'_>) {
        self.path.push(Step::Key(key.to_owned()));
        self.value(schema, child);
        self.path.pop();
    }

    /// `propertyNames`: the form of keys that the file chooses.
    fn key_form(&mut self, schema: &Map<String, Value>, key: &str, child: &Node<'_>) {
        let Some(form) = schema.get("propertyNames").and_then(Value::as_object) else {
            return;
        };
        if !self.format.matches(form, key) {
            let expected = form
                .get("x-expected")
                .and_then(Value::as_str)
                .unwrap_or("another name");
            self.problems.form(Diagnostic::error(
                child.key_span(),
                format!("expected {expected}, found `{key}`"),
            ));
        }
    }

    /// Reports an unknown key, and gives the key that was probably meant.
    fn unknown<'s>(
        &mut self,
        schema: &Map<String, Value>,
        properties: &'s Map<String, Value>,
        key: &str,
        child: &Node<'_>,
        entries: &[(&str, Node<'_>)],
    ) -> Option<&'s str> {
        let free = properties
            .keys()
            .map(String::as_str)
            .filter(|name| !entries.iter().any(|(other, _)| other == name));
        let meant = nearest(key, free);
        let what = if schema.contains_key("maxProperties") {
            "kind"
        } else {
            "key"
        };
        let mut problem = Diagnostic::error(
            child.key_span(),
            format!("unknown {what} `{key}` in {}", self.place()),
        );
        if let Some(meant) = meant {
            problem = problem.with_caret(format!("did you mean `{meant}`?"));
        } else if let Some(place) = self.belongs(key) {
            problem = problem.with_caret(place);
        }
        let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
        names.sort_unstable();
        let hint = if names.is_empty() {
            "this table has no keys".to_owned()
        } else {
            format!("known here: {}", listed(names, "and"))
        };
        self.problems.form(problem.with_hint(hint));
        meant
    }

    /// Where a key that is unknown here would be known.
    fn belongs(&self, key: &str) -> Option<String> {
        let top = self
            .format
            .schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        if let Some(top) = top.filter(|_| !self.path.is_empty()) {
            return Some(match top.get("type").and_then(Value::as_str) {
                Some("object") => format!("write [{key}]"),
                Some("array") => format!("write [[{key}]]"),
                _ => "it goes above the first [table]".to_owned(),
            });
        }
        match self.format.places(key).as_slice() {
            [place] => Some(format!("it belongs in [{place}]")),
            [first, second] => Some(format!("it belongs in [{first}] or [{second}]")),
            _ => None,
        }
    }

    fn missing(&mut self, key: &str, property: Option<&Value>, node: &Node<'_>) {
        let is = |name: &str| {
            property
                .and_then(|property| property.get("type"))
                .is_some_and(|found| found == name)
        };
        let kinds = property.is_some_and(|property| property.get("maxProperties").is_some());
        let what = match key {
            _ if self.path.is_empty() && is("object") && kinds => {
                format!("missing table [{key}.KIND]")
            }
            _ if self.path.is_empty() && is("object") => format!("missing table [{key}.NAME]"),
            _ if self.path.is_empty() => format!("missing key `{key}`"),
            _ => format!("missing key `{key}` in {}", self.place()),
        };
        let problem = match self.path.last() {
            Some(_) => Diagnostic::error(node.span(), what),
            None => Diagnostic::error_of_file(what),
        };
        let mut hint = property
            .and_then(|property| property.get("description"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if kinds
            && let Some(properties) = property
                .and_then(|property| property.get("properties"))
                .and_then(Value::as_object)
        {
            hint = format!("{hint} KIND is {}.", listed(sorted(properties), "or"));
        }
        self.problems.missing(if hint.is_empty() {
            problem
        } else {
            problem.with_hint(hint)
        });
    }

    /// `minProperties` and `maxProperties`.
    fn number_of_keys(
        &mut self,
        schema: &Map<String, Value>,
        properties: &Map<String, Value>,
        known: &[(&str, &Node<'_>)],
        empty: bool,
        node: &Node<'_>,
    ) {
        if empty && schema.contains_key("minProperties") {
            let mut problem = Diagnostic::error(node.span(), format!("{} is empty", self.place()));
            if !properties.is_empty() {
                problem =
                    problem.with_hint(format!("it takes {}", listed(sorted(properties), "or")));
            }
            self.problems.missing(problem);
        }
        if schema.get("maxProperties").is_some_and(|most| most == 1)
            && let [(first, first_node), rest @ ..] = known
        {
            for (key, child) in rest {
                let message = format!(
                    "a second kind in {}: `{key}` beside `{first}`",
                    self.place()
                );
                self.problems.relation(
                    Diagnostic::error(child.key_span(), message)
                        .with_label(first_node.key_span(), "the first")
                        .with_hint("exactly one kind; a second scenario file for the other"),
                );
            }
        }
    }

    /// A rule between keys: one of the forms that `schema::rule` makes.
    fn rule(
        &mut self,
        rule: &Value,
        known: &[(&str, &Node<'_>)],
        has: &dyn Fn(&str) -> bool,
        node: &Node<'_>,
    ) {
        let why = rule
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let present = |keys: &[&str]| {
            known
                .iter()
                .filter(|(key, _)| keys.contains(key))
                .copied()
                .collect::<Vec<_>>()
        };
        if let Some(keys) = rule
            .get("oneOf")
            .or_else(|| rule.get("anyOf"))
            .map(required_of_branches)
        {
            let found = present(&keys);
            if !keys.iter().any(|key| has(key)) {
                let only = if rule.get("oneOf").is_some() {
                    "exactly one of "
                } else {
                    ""
                };
                let message = format!("{} needs {only}{}", self.place(), listed(keys, "or"));
                self.problems
                    .missing(Diagnostic::error(node.span(), message).with_hint(why));
            } else if rule.get("oneOf").is_some() && found.len() > 1 {
                self.exclusive(&found, why);
            }
        } else if let Some(keys) = rule.get("not").map(required) {
            let found = present(&keys);
            if found.len() > 1 {
                self.exclusive(&found, why);
            }
        } else if let Some(needs) = rule.get("dependentRequired").and_then(Value::as_object) {
            for (key, needed) in needs {
                for needed in needed
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                {
                    if let (Some((_, child)), false) = (present(&[key]).first(), has(needed)) {
                        let message = format!("`{key}` needs `{needed}` beside it");
                        self.problems
                            .missing(Diagnostic::error(child.key_span(), message).with_hint(why));
                    }
                }
            }
        }
    }

    fn exclusive(&mut self, found: &[(&str, &Node<'_>)], why: &str) {
        let mut found = found.to_vec();
        found.sort_by_key(|(_, child)| child.key_span().start);
        if let [(first, first_node), rest @ ..] = found.as_slice() {
            for (key, child) in rest {
                self.problems.relation(
                    Diagnostic::error(
                        child.key_span(),
                        format!("`{key}` cannot stand beside `{first}`"),
                    )
                    .with_label(first_node.key_span(), "the other")
                    .with_hint(why),
                );
            }
        }
    }
}

fn sorted(properties: &Map<String, Value>) -> Vec<&str> {
    let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn required(schema: &Value) -> Vec<&str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn required_of_branches(branches: &Value) -> Vec<&str> {
    branches
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(required)
        .collect()
}
