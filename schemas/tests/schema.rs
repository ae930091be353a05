//! The committed JSON Schemas are the generated ones, and use only keywords that the reader knows.

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::Value;

fn check_committed(name: &str, schema: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = schemas::schema::to_text(schema);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, text,
        "{name} is stale: run `UPDATE_GOLDEN=1 cargo test --release -p schemas`"
    );
}

#[test]
fn committed_schemas_are_fresh() {
    check_committed("scenario.schema.json", &schemas::schema::scenario());
    check_committed("profile.schema.json", &schemas::schema::profile());
}

#[test]
fn the_written_text_is_the_schema() {
    for schema in [schemas::schema::scenario(), schemas::schema::profile()] {
        let read: Value = serde_json::from_str(&schemas::schema::to_text(&schema)).unwrap();
        assert_eq!(read, schema);
    }
}

/// Keywords whose value maps names to schemas; the names are no keywords.
const NAMED: [&str; 1] = ["properties"];

fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(key.clone());
                if NAMED.contains(&key.as_str()) {
                    value
                        .as_object()
                        .unwrap()
                        .values()
                        .for_each(|value| keywords(value, found));
                } else if !["default", "const", "enum", "required", "dependentRequired"]
                    .contains(&key.as_str())
                {
                    keywords(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keywords(item, found)),
        _ => {}
    }
}

/// A keyword that is not listed here is one that the reader would silently pass over: teach it first.
#[test]
fn schemas_use_known_keywords_only() {
    let mut found = BTreeSet::new();
    keywords(&schemas::schema::scenario(), &mut found);
    keywords(&schemas::schema::profile(), &mut found);
    let known: BTreeSet<String> = schemas::read::KEYWORDS
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    assert_eq!(found, known);
}
