//! A file format as the reader uses it: its schema with the patterns compiled.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

/// Keywords of JSON Schema, and ours, that the reader knows, in alphabetical order. Of some it knows that they need no check.
pub const KEYWORDS: &[&str] = &[
    "$schema",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "default",
    "dependentRequired",
    "description",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxProperties",
    "maximum",
    "minItems",
    "minProperties",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "title",
    "type",
    "uniqueItems",
    "x-expected",
    "x-names",
    "x-secret",
    "x-text",
];

/// A schema with its patterns compiled.
pub(super) struct Format {
    pub(super) schema: Value,
    patterns: HashMap<String, Regex>,
}

impl Format {
    pub(super) fn new(schema: Value) -> Self {
        let mut patterns = HashMap::new();
        compile(&schema, &mut patterns);
        Self { schema, patterns }
    }

    /// Whether a text matches the `pattern` of a schema; a schema without one takes every text.
    pub(super) fn matches(&self, schema: &Map<String, Value>, text: &str) -> bool {
        let pattern = schema
            .get("pattern")
            .and_then(Value::as_str)
            .and_then(|pattern| self.patterns.get(pattern));
        pattern.is_none_or(|pattern| pattern.is_match(text))
    }

    /// Tables of the format that take this key, as a user writes their headers.
    pub(super) fn places(&self, key: &str) -> Vec<String> {
        let mut places = Vec::new();
        find(&self.schema, key, &mut Vec::new(), &mut places);
        places
    }
}

fn compile(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(object) => {
            if let Some(pattern) = object.get("pattern").and_then(Value::as_str)
                && let Ok(compiled) = Regex::new(pattern)
            {
                patterns.insert(pattern.to_owned(), compiled);
            }
            object.values().for_each(|value| compile(value, patterns));
        }
        Value::Array(items) => items.iter().for_each(|item| compile(item, patterns)),
        _ => {}
    }
}

fn find(schema: &Value, key: &str, path: &mut Vec<String>, places: &mut Vec<String>) {
    if let Some(items) = schema.get("items") {
        find(items, key, path, places);
    }
    if let Some(values) = schema
        .get("additionalProperties")
        .filter(|values| values.is_object())
    {
        path.push("NAME".to_owned());
        find(values, key, path, places);
        path.pop();
    }
    let mut properties: Vec<(&String, &Value)> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .collect();
    properties.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in properties {
        if name == key && !path.is_empty() {
            places.push(path.join("."));
        }
        path.push(name.clone());
        find(value, key, path, places);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        fn check(schema: &Value) {
            match schema {
                Value::Object(object) => {
                    if let Some(pattern) = object.get("pattern").and_then(Value::as_str) {
                        assert!(Regex::new(pattern).is_ok(), "{pattern}");
                    }
                    object.values().for_each(check);
                }
                Value::Array(items) => items.iter().for_each(check),
                _ => {}
            }
        }
        check(&crate::schema::scenario());
        check(&crate::schema::profile());
    }

    #[test]
    fn finds_where_a_key_belongs() {
        let format = Format::new(crate::schema::scenario());
        assert_eq!(format.places("reuse-count"), ["workload.shared-context"]);
        assert_eq!(format.places("chunk-size"), ["engine.NAME.lmcache"]);
    }
}
