//! Plans as golden files: each `plans/NAME.toml`, planned with the built-in profile, prints as `plans/NAME.txt`.
//!
//! `UPDATE_GOLDEN=1` rewrites the texts. Adding a case adds files only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use runner::{
    interpreter::Search,
    model_facts,
    plan::{self, Inputs, ModelFacts, Overrides},
    profile,
};
use schemas::{plan::Plan, read::Source};

/// A scenario planned under a profile, for a host of known parts.
fn plan_of(path: &Path, profile_name: &str) -> Plan {
    let text = fs::read_to_string(path).expect("a scenario");
    let source = Source {
        path: path.display().to_string(),
        text,
    };
    let scenario = schemas::read::scenario(&source).unwrap_or_else(|problems| {
        panic!("{}", schemas::diagnostic::render(&source, &problems, false))
    });
    let chosen = profile::choose(profile_name, false).expect("a profile of the runner");
    let names = plan::resolve_model(&scenario, &chosen.profile, None);
    let (facts, python, devices) = if profile_name == "builtin" {
        let facts = model_facts::read(&names.used).expect("a built-in model");
        (facts, Search::default(), 0)
    } else {
        (llama_3_1_8b(), gpu_stack(), 2)
    };
    plan::build(Inputs {
        name: &runner::discover::name(path),
        scenario: &scenario,
        profile_name: &chosen.name,
        profile: &chosen.profile,
        overrides: &Overrides::default(),
        names: &names,
        facts: &facts,
        python: &python,
        devices,
    })
}

/// The shape that the scenarios were made for, in the 16-bit format that its weights have.
fn llama_3_1_8b() -> ModelFacts {
    ModelFacts {
        kv_bytes_per_token: Some(128 << 10),
        max_length: Some(131_072),
        dtype: Some("bfloat16".into()),
        random_weights: false,
        weights_missing: false,
    }
}

/// A host that has everything.
fn gpu_stack() -> Search {
    Search {
        found: Some("/stack/venv/bin/python".into()),
        servers: [("redis-server".to_owned(), "/stack/bin/redis-server".into())].into(),
        ..Search::default()
    }
}

fn files_of(folder: &str, least: usize) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= least, "the corpus is there");
    files
}

fn scenarios() -> Vec<PathBuf> {
    files_of("tests/plans", 6)
}

/// Compares each plan with its golden file, or rewrites that.
fn check(plans: impl IntoIterator<Item = (String, PathBuf)>) {
    let mut wrong = Vec::new();
    for (text, golden) in plans {
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
fn plans_print_as_their_golden_files() {
    check(scenarios().into_iter().map(|path| {
        let text = plan::print::text(&plan_of(&path, "builtin"), "golden test");
        (text, path.with_extension("txt"))
    }));
}

/// Every process of every scenario of the repository on a host with two GPUs: commands, environment, files, ports, probes.
#[test]
fn shipped_scenarios_print_as_their_golden_files_on_gpus() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans/gpu");
    check(files_of("../scenarios", 20).into_iter().map(|path| {
        let text = plan::print::text(&plan_of(&path, "gpu"), "golden test");
        let name = path.file_stem().expect("a name").to_owned();
        (text, golden.join(name).with_extension("txt"))
    }));
}

#[test]
fn a_plan_is_the_same_to_the_byte_and_survives_its_file() {
    for path in scenarios() {
        let plan = plan_of(&path, "builtin");
        let first = serde_json::to_string(&plan).expect("JSON");
        let again = plan_of(&path, "builtin");
        assert_eq!(first, serde_json::to_string(&again).expect("JSON"));
        let read: Plan = serde_json::from_str(&first).expect("a plan");
        assert_eq!(read, plan);
    }
}
