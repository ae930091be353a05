//! What a type alone does not say of a field: ranges, patterns, and whose names a text takes. Each is a transform for `#[schemars(transform = …)]`.
//!
//! Four keywords are ours: `x-names` (the text names something of the same file), `x-text` (the text has a reader of its own), `x-expected`
//! (what to tell a user who wrote something else), and `x-secret` (the value is never shown). Other readers of the schema pass over them.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::{model, quantity};

/// Visits the schemas of the values themselves: through "one or many", lists and maps.
fn each_value(schema: &mut Value, visit: &mut dyn FnMut(&mut Map<String, Value>)) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(branches) = object.get_mut("anyOf").and_then(Value::as_array_mut) {
        for branch in branches {
            each_value(branch, visit);
        }
    } else if let Some(items) = object.get_mut("items") {
        each_value(items, visit);
    } else if let Some(values) = object
        .get_mut("additionalProperties")
        .filter(|values| values.is_object())
    {
        each_value(values, visit);
    } else {
        visit(object);
    }
}

fn has_type(object: &Map<String, Value>, name: &str) -> bool {
    match object.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

fn set(schema: &mut Schema, of_type: &str, entries: Value) {
    let Value::Object(entries) = entries else {
        return;
    };
    let mut value = std::mem::take(schema).to_value();
    each_value(&mut value, &mut |object| {
        if has_type(object, of_type) {
            object.extend(entries.clone());
        }
    });
    if let Ok(changed) = Schema::try_from(value) {
        *schema = changed;
    }
}

/// Integers of at least 1, quantities above 0.
pub(crate) fn positive(schema: &mut Schema) {
    set(schema, "integer", json!({ "minimum": 1 }));
    let mut value = std::mem::take(schema).to_value();
    each_value(&mut value, &mut quantity::require_positive);
    if let Ok(changed) = Schema::try_from(value) {
        *schema = changed;
    }
}

/// Numbers above 0.
pub(crate) fn above_zero(schema: &mut Schema) {
    set(
        schema,
        "number",
        json!({ "exclusiveMinimum": 0, "x-expected": "a number above 0" }),
    );
}

/// Numbers of at least 0.
pub(crate) fn not_negative(schema: &mut Schema) {
    set(
        schema,
        "number",
        json!({ "minimum": 0, "x-expected": "a number of at least 0" }),
    );
}

/// Numbers above 0 and up to 1.
pub(crate) fn share(schema: &mut Schema) {
    set(
        schema,
        "number",
        json!({ "exclusiveMinimum": 0, "maximum": 1, "x-expected": "a share above 0 and up to 1" }),
    );
}

/// Numbers strictly between 0 and 1.
pub(crate) fn open_share(schema: &mut Schema) {
    set(
        schema,
        "number",
        json!({ "exclusiveMinimum": 0, "exclusiveMaximum": 1, "x-expected": "a share between 0 and 1, like 0.1" }),
    );
}

/// A text that is not blank.
pub(crate) fn not_empty(schema: &mut Schema) {
    set(
        schema,
        "string",
        json!({ "pattern": "\\S", "x-expected": "a text that is not empty" }),
    );
}

/// A text of a given form.
pub(crate) fn pattern(pattern: &'static str, expected: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        set(
            schema,
            "string",
            json!({ "pattern": pattern, "x-expected": expected }),
        )
    }
}

/// The name of an environment variable.
pub(crate) fn variable_name(schema: &mut Schema) {
    set(
        schema,
        "string",
        json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "x-expected": "the name of an environment variable" }),
    );
}

/// The name of a profile; whether it exists is known only where it is looked up.
pub(crate) fn profile_name(schema: &mut Schema) {
    set(
        schema,
        "string",
        json!({ "pattern": NAME, "x-expected": "a profile's name, like \"cpu\"" }),
    );
}

/// A hub name, a built-in model or a path.
pub(crate) fn model(schema: &mut Schema) {
    set(
        schema,
        "string",
        json!({ "x-text": "model", "x-expected": model::EXPECTED, "pattern": model::PATTERN }),
    );
}

/// As [`model`], or a path that starts with `~` or a variable.
pub(crate) fn model_place(schema: &mut Schema) {
    set(
        schema,
        "string",
        json!({ "x-text": "model-place", "x-expected": model::EXPECTED, "pattern": model::PLACE_PATTERN }),
    );
}

/// A name that the same file gives: `engine`, `process`, `sized-tier` or `disk-tier`.
pub(crate) fn names(kind: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| set(schema, "string", json!({ "x-names": kind }))
}

/// Form of the names that a file gives to engines.
const NAME: &str = "^[a-z][a-z0-9-]*$";

/// A table with at least one entry whose keys are names of engines.
pub(crate) fn engine_names(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), 1.into());
    schema.insert(
        "propertyNames".to_owned(),
        json!({ "pattern": NAME, "x-expected": "a name of lower-case letters, digits and hyphens that starts with a letter" }),
    );
}

/// A table whose values are single ones.
pub(crate) fn scalars(schema: &mut Schema) {
    schema.insert("minProperties".to_owned(), 1.into());
    schema.insert(
        "additionalProperties".to_owned(),
        json!({ "type": ["integer", "number", "string"], "x-expected": "one of the workload's values" }),
    );
}

/// A list without duplicates.
pub(crate) fn distinct(schema: &mut Schema) {
    schema.insert("uniqueItems".to_owned(), true.into());
}
