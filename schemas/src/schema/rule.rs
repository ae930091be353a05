//! Rules between the keys of one table, as JSON Schema, so that editors and the reader know them alike.
//!
//! Each has a `description`: the reason, which the reader gives as the hint.

use serde_json::{Value, json};

fn required(keys: &[&str]) -> Vec<Value> {
    keys.iter()
        .map(|key| json!({ "required": [key] }))
        .collect()
}

/// One of the keys, and only one.
pub(crate) fn exactly_one(keys: &[&str], why: &str) -> Value {
    json!({ "description": why, "oneOf": required(keys) })
}

/// One of the keys, or several.
pub(crate) fn at_least_one(keys: &[&str], why: &str) -> Value {
    json!({ "description": why, "anyOf": required(keys) })
}

/// Either key, or none.
pub(crate) fn not_both(first: &str, second: &str, why: &str) -> Value {
    json!({ "description": why, "not": { "required": [first, second] } })
}

/// The first key only with the second.
pub(crate) fn needs(first: &str, second: &str, why: &str) -> Value {
    json!({ "description": why, "dependentRequired": { first: [second] } })
}
