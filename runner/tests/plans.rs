//! Plans as golden files: each `plans/NAME.toml`, planned with the built-in profile, prints as `plans/NAME.txt`.
//!
//! `UPDATE_GOLDEN=1` rewrites the texts. Adding a case adds files only.

use std::{fs, path::Path};

use runner::{
    model_facts,
    plan::{self, Inputs, Overrides},
    profile,
};
use schemas::{plan::Plan, read::Source};

fn plan_of(path: &Path) -> Plan {
    let text = fs::read_to_string(path).expect("a scenario");
    let source = Source {
        path: path.display().to_string(),
        text,
    };
    let scenario = schemas::read::scenario(&source).unwrap_or_else(|problems| {
        panic!("{}", schemas::diagnostic::render(&source, &problems, false))
    });
    let chosen = profile::choose("builtin", false).expect("the built-in profile");
    let names = plan::resolve_model(&scenario, &chosen.profile, None);
    let facts = model_facts::read(&names.used).expect("a built-in model");
    plan::build(Inputs {
        name: &runner::discover::name(path),
        scenario: &scenario,
        profile_name: &chosen.name,
        profile: &chosen.profile,
        overrides: &Overrides::default(),
        names: &names,
        facts: &facts,
        python: &runner::interpreter::Search::default(),
    })
}

fn scenarios() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 6, "the corpus is there");
    files
}

#[test]
fn plans_print_as_their_golden_files() {
    let mut wrong = Vec::new();
    for path in scenarios() {
        let text = plan::print::text(&plan_of(&path), "golden test");
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).expect("a golden file");
        }
        if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_plan_is_the_same_to_the_byte_and_survives_its_file() {
    for path in scenarios() {
        let first = serde_json::to_string(&plan_of(&path)).expect("JSON");
        assert_eq!(first, serde_json::to_string(&plan_of(&path)).expect("JSON"));
        let read: Plan = serde_json::from_str(&first).expect("a plan");
        assert_eq!(read, plan_of(&path));
    }
}
