//! Every valid file loads, among them every shipped scenario and profile, and together they use every key there is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use schemas::{
    diagnostic::render,
    read::{self, Source},
};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no file in {}", folder.display());
    files
}

fn load(path: &Path, profile: bool) {
    let source = Source {
        path: path.display().to_string(),
        text: fs::read_to_string(path).unwrap(),
    };
    let result = if profile {
        read::profile(&source).map(|_| ())
    } else {
        read::scenario(&source).map(|_| ())
    };
    if let Err(problems) = result {
        panic!("{}", render(&source, &problems, false));
    }
}

#[test]
fn valid_files_load() {
    for path in toml_files(&root().join("schemas/tests/valid")) {
        let profile = path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("profile-");
        load(&path, profile);
    }
}

#[test]
fn shipped_files_load_without_warnings() {
    for path in toml_files(&root().join("scenarios")) {
        load(&path, false);
        let source = Source {
            path: path.display().to_string(),
            text: fs::read_to_string(&path).unwrap(),
        };
        let warnings = read::scenario_warnings(&source);
        assert!(warnings.is_empty(), "{}", render(&source, &warnings, false));
    }
    for path in toml_files(&root().join("scenarios/profiles")) {
        load(&path, true);
    }
}

#[test]
fn shipped_files_name_their_schema() {
    for (folder, line) in [
        ("scenarios", "#:schema ../schemas/scenario.schema.json"),
        (
            "scenarios/profiles",
            "#:schema ../../schemas/profile.schema.json",
        ),
    ] {
        for path in toml_files(&root().join(folder)) {
            assert_eq!(
                fs::read_to_string(&path).unwrap().lines().next(),
                Some(line),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn the_engines_keep_the_order_of_the_file() {
    let text = "question = \"q\"\n[workload.multi-turn]\nturns = 1\nquery-length = 1\noutput-length = 1\n\
                [engine.z]\nbackend.none = {}\n[engine.a]\nbackend.none = {}\n[engine.m]\nbackend.none = {}\n";
    let scenario = read::scenario(&Source {
        path: String::new(),
        text: text.to_owned(),
    })
    .unwrap();
    assert_eq!(scenario.engine.keys().collect::<Vec<_>>(), ["z", "a", "m"]);
}

#[test]
fn defaults_are_those_of_the_schema() {
    let text = fs::read_to_string(root().join("schemas/tests/valid/without-arrival.toml")).unwrap();
    let scenario = read::scenario(&Source {
        path: String::new(),
        text,
    })
    .unwrap();
    let schema = schemas::schema::scenario();
    let default = |path: &str| {
        schema
            .pointer(&format!("/properties/{path}/default"))
            .cloned()
    };
    assert_eq!(default("seed"), Some(scenario.seed.into()));
    assert_eq!(
        default("trials/properties/at-least"),
        Some(scenario.trials.at_least.into())
    );
    assert_eq!(
        default("timeout/properties/ready"),
        Some(scenario.timeout.ready.to_string().into())
    );
}

/// All keys that a schema names, through tables and lists.
fn schema_keys(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            for (keyword, value) in object {
                match (keyword.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        for (key, value) in properties {
                            keys.insert(key.clone());
                            schema_keys(value, keys);
                        }
                    }
                    ("default", _) => {}
                    _ => schema_keys(value, keys),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| schema_keys(item, keys)),
        _ => {}
    }
}

fn file_keys(value: &toml::Value, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                keys.insert(key.clone());
                file_keys(value, keys);
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| file_keys(item, keys)),
        _ => {}
    }
}

#[test]
fn every_key_is_used_by_a_valid_file_and_explained_in_the_readme() {
    let (mut known, mut used) = (BTreeSet::new(), BTreeSet::new());
    schema_keys(&schemas::schema::scenario(), &mut known);
    schema_keys(&schemas::schema::profile(), &mut known);
    for path in toml_files(&root().join("schemas/tests/valid")) {
        file_keys(
            &toml::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
            &mut used,
        );
    }
    assert_eq!(
        known.difference(&used).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not used"
    );
    let readme = fs::read_to_string(root().join("scenarios/README.md")).unwrap();
    // Between backquotes, in a line or a block.
    let code = readme.split('`').skip(1).step_by(2);
    let words: BTreeSet<&str> = code
        .flat_map(|code| code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')))
        .collect();
    let unexplained: Vec<&String> = known
        .iter()
        .filter(|key| !words.contains(key.as_str()))
        .collect();
    assert_eq!(
        unexplained,
        Vec::<&String>::new(),
        "not in scenarios/README.md"
    );
}
