//! The JSON Schemas of scenario and profile files, generated from the types.
//!
//! They serve editors, through the `#:schema` line of a file, and the reader of this crate, which walks a file along them.

pub(crate) mod mark;
pub(crate) mod rule;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Value, json};

use crate::{profile::Profile, scenario::Scenario};

/// The schema of scenario files.
pub fn scenario() -> Value {
    generate::<Scenario>()
}

/// The schema of profile files.
pub fn profile() -> Value {
    generate::<Profile>()
}

/// A schema as the text of its committed file: keys in alphabetical order, so that no build setting changes it.
pub fn to_text(schema: &Value) -> String {
    let mut text = String::new();
    write_sorted(schema, 0, &mut text);
    text.push('\n');
    text
}

fn write_sorted(value: &Value, indent: usize, text: &mut String) {
    let pad = "  ".repeat(indent + 1);
    let close = "  ".repeat(indent);
    match value {
        Value::Object(object) if !object.is_empty() => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            text.push_str("{\n");
            for (index, key) in keys.iter().enumerate() {
                let comma = if index + 1 < keys.len() { "," } else { "" };
                text.push_str(&format!("{pad}{}: ", Value::String((*key).clone())));
                write_sorted(&object[*key], indent + 1, text);
                text.push_str(&format!("{comma}\n"));
            }
            text.push_str(&format!("{close}}}"));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            text.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                let comma = if index + 1 < items.len() { "," } else { "" };
                text.push_str(&pad);
                write_sorted(item, indent + 1, text);
                text.push_str(&format!("{comma}\n"));
            }
            text.push_str(&format!("{close}]"));
        }
        _ => text.push_str(&value.to_string()),
    }
}

fn generate<T: JsonSchema>() -> Value {
    // Inlined: the format has no recursion, and a property then carries its own description beside its type.
    let mut settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.transforms.push(Box::new(plain));
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Brings what the derives give into the form that suits TOML.
fn plain(schema: &mut Schema) {
    transform_subschemas(&mut plain, schema);
    without_null(schema);
    kinds_as_properties(schema);
    words_as_texts(schema);
    number_ranges(schema);
    lists(schema);
}

/// `Option` adds `null`, which TOML lacks: an absent key says the same.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = object.get_mut(keyword) else {
            continue;
        };
        branches.retain(|branch| branch != &json!({ "type": "null" }));
        if let [only] = branches.as_slice() {
            let only = only.clone();
            object.remove(keyword);
            for (key, value) in only.as_object().into_iter().flatten() {
                object.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
}

/// Kinds are enums in Rust and table keys in the file: `oneOf` of tables with one key each becomes one table with exactly one of these keys.
/// Left as `oneOf`, an editor underlines the whole table for a mistake inside.
fn kinds_as_properties(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let Some(Value::Array(branches)) = object.get("oneOf") else {
        return;
    };
    let mut properties = serde_json::Map::new();
    for branch in branches {
        let Some(kind) = branch.get("properties").and_then(Value::as_object) else {
            return;
        };
        for (name, value) in kind {
            let mut value = value.clone();
            if let (Some(value), Some(description)) =
                (value.as_object_mut(), branch.get("description"))
            {
                value.insert("description".to_owned(), description.clone());
            }
            properties.insert(name.clone(), value);
        }
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), "object".into());
    object.insert("properties".to_owned(), properties.into());
    object.insert("additionalProperties".to_owned(), false.into());
    object.insert("minProperties".to_owned(), 1.into());
    object.insert("maxProperties".to_owned(), 1.into());
}

/// Documented words of an enum become `oneOf` of `const`; their common type says at once that they are texts.
fn words_as_texts(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let words = object.get("oneOf").and_then(Value::as_array);
    if words.is_some_and(|words| {
        words
            .iter()
            .all(|word| word.get("const").is_some_and(Value::is_string))
    }) {
        object.insert("type".to_owned(), "string".into());
    }
}

/// Rust's integer types as ranges, since `format` is only a remark; TOML's integers end at 2⁶³ − 1.
fn number_ranges(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    match object.remove("format").as_ref().and_then(Value::as_str) {
        Some("uint32") => _ = object.insert("maximum".to_owned(), u32::MAX.into()),
        Some("uint64") => _ = object.insert("maximum".to_owned(), i64::MAX.into()),
        _ => {}
    }
}

/// A list that is written has something in it; the default of an absent one needs no mention.
fn lists(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if object.get("type").is_some_and(|name| name == "array") {
        object.insert("minItems".to_owned(), 1.into());
    }
    if object
        .get("default")
        .is_some_and(|default| default == &json!([]) || default == &json!({}))
    {
        object.remove("default");
    }
}
