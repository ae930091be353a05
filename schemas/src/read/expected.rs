//! What a schema wants, and what stands there instead, in words.

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::{names, nearest::listed, tree::Node};

/// The words that a text may be, where the schema lists them.
pub(super) fn words(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    let branches = schema.get("oneOf")?.as_array()?;
    branches
        .iter()
        .map(|branch| branch.get("const")?.as_str())
        .collect()
}

/// What the schema wants, as it goes behind "expected".
pub(super) fn expected(schema: &Map<String, Value>) -> String {
    if let Some(text) = schema.get("x-expected").and_then(Value::as_str) {
        return text.to_owned();
    }
    if let Some(kind) = schema.get("x-names").and_then(Value::as_str) {
        return names::expected(kind).to_owned();
    }
    if let Some(words) = words(schema) {
        return listed(words, "or");
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        let wanted: Vec<String> = branches
            .iter()
            .filter_map(Value::as_object)
            .map(branch)
            .collect();
        return wanted.join(", or ");
    }
    let minimum = schema.get("minimum").and_then(Value::as_i64).unwrap_or(0);
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") if minimum > 0 => format!("a whole number of at least {minimum}"),
        Some("integer") => "a whole number".to_owned(),
        Some("number") => "a number".to_owned(),
        Some("string") => "a text".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("array") => "a list".to_owned(),
        Some("object") => "a table".to_owned(),
        _ => "a value".to_owned(),
    }
}

fn branch(schema: &Map<String, Value>) -> String {
    if schema.contains_key("items") {
        "a list of such".to_owned()
    } else {
        expected(schema)
    }
}

/// Whether a value has a type that the schema takes, whatever its range or form.
pub(super) fn fits(schema: &Map<String, Value>, value: &DeValue<'_>) -> bool {
    let takes = |name: &str| match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => true,
    };
    match value {
        DeValue::String(_) => takes("string"),
        DeValue::Integer(_) => takes("integer") || takes("number"),
        DeValue::Float(_) => takes("number"),
        DeValue::Boolean(_) => takes("boolean"),
        DeValue::Array(_) => takes("array"),
        DeValue::Table(_) => takes("object"),
        // The formats have no dates.
        DeValue::Datetime(_) => false,
    }
}

/// What stands there, as it goes behind "found": the text itself where it is short.
pub(super) fn found(text: &str, node: &Node<'_>) -> String {
    match node.value() {
        DeValue::Table(_) => return "a table".to_owned(),
        DeValue::Array(_) => return "a list".to_owned(),
        _ => {}
    }
    let written = text.get(node.span()).unwrap_or_default();
    if written.chars().count() <= 60 && !written.contains(char::is_control) {
        written.to_owned()
    } else {
        "a long text".to_owned()
    }
}
