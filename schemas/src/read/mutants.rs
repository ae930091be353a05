//! A property of the reader: whatever is done to a file, it neither panics nor lets pass what the types then refuse.

use std::{fs, path::PathBuf};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Source, profile_problems, scenario_problems, scenario_warnings};
use crate::{diagnostic::render, profile::Profile, scenario::Scenario};

/// Values that are right in one place and wrong in most.
const VALUES: [&str; 44] = [
    "0",
    "1",
    "-1",
    "16",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999999999999999999999999",
    "0x10",
    "1_000",
    "0.5",
    "10.0",
    "1e400",
    "-0.0",
    "nan",
    "inf",
    "true",
    "\"\"",
    "\"x\"",
    "\"8s\"",
    "\"0s\"",
    "\"99999999999999999h\"",
    "\"20GB\"",
    "\"2/s\"",
    "\"lmcache\"",
    "\"lmcache.local-cpu\"",
    "\"builtin:tiny\"",
    "\"builtin:x\"",
    "\"ttft\"",
    "\"vllm\"",
    "\"10\"",
    "[]",
    "[1, 2]",
    "[1, 1]",
    "[[1]]",
    "[\"8s\", 3]",
    "[\"--port\"]",
    "{}",
    "{ a = 1 }",
    "{ capacity = \"1GB\" }",
    "2026-11-24",
    "2026-11-24T08:00:00Z",
    "'µ'",
    "\"\\u0000\"",
];

/// One change to the lines of a file.
#[derive(Debug, Clone)]
enum Change {
    Remove(Index),
    Repeat(Index, Index),
    Move(Index, Index),
    Value(Index, Index),
    KeyOf(Index, Index),
    Character(Index, Index, char),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        2 => at().prop_map(Change::Remove),
        1 => (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
        2 => (at(), at()).prop_map(|(from, to)| Change::Move(from, to)),
        8 => (at(), at()).prop_map(|(line, value)| Change::Value(line, value)),
        3 => (at(), at()).prop_map(|(line, other)| Change::KeyOf(line, other)),
        1 => (at(), at(), any::<char>()).prop_map(|(line, place, character)| Change::Character(line, place, character)),
        1 => at().prop_map(Change::Cut),
    ]
}

fn apply(lines: &mut Vec<String>, change: Change) {
    if lines.is_empty() {
        return;
    }
    let count = lines.len();
    match change {
        Change::Remove(line) => _ = lines.remove(line.index(count)),
        Change::Repeat(from, to) => lines.insert(to.index(count), lines[from.index(count)].clone()),
        Change::Move(from, to) => {
            let line = lines.remove(from.index(count));
            lines.insert(to.index(count), line);
        }
        Change::Value(line, value) => {
            let line = &mut lines[line.index(count)];
            if let Some((key, _)) = line.split_once('=') {
                *line = format!("{key}= {}", VALUES[value.index(VALUES.len())]);
            }
        }
        Change::KeyOf(line, other) => {
            let (line, other) = (line.index(count), other.index(count));
            let other = lines[other].split_once('=').map(|(key, _)| key.to_owned());
            if let (Some(key), Some((_, value))) = (other, lines[line].split_once('=')) {
                lines[line] = format!("{key}={value}");
            }
        }
        Change::Character(line, place, character) => {
            let line = &mut lines[line.index(count)];
            let places: Vec<usize> = line
                .char_indices()
                .map(|(at, _)| at)
                .chain([line.len()])
                .collect();
            line.insert(places[place.index(places.len())], character);
        }
        Change::Cut(line) => {
            let line = &mut lines[line.index(count)];
            let half = line
                .char_indices()
                .nth(line.chars().count() / 2)
                .map_or(0, |(at, _)| at);
            line.truncate(half);
        }
    }
}

fn valid_files() -> Vec<(bool, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/valid");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let profile = path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("profile-");
            (profile, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// Whether the mutant was let pass.
fn check(profile: bool, text: String) -> Result<bool, TestCaseError> {
    let source = Source {
        path: "mutant.toml".to_owned(),
        text,
    };
    let problems = if profile {
        profile_problems(&source)
    } else {
        scenario_problems(&source)
    };
    prop_assert_eq!(
        problems.is_empty(),
        render(&source, &problems, false).is_empty()
    );
    for problem in &problems {
        prop_assert!(!problem.message.is_empty());
        prop_assert_eq!(problem.span.is_some(), problem.position(&source).is_some());
    }
    if !problems.is_empty() {
        return Ok(false);
    }
    scenario_warnings(&source);
    let refusal = if profile {
        toml::from_str::<Profile>(&source.text).err()
    } else {
        toml::from_str::<Scenario>(&source.text).err()
    };
    prop_assert!(
        refusal.is_none(),
        "the types refuse what the walk let pass: {}\n{}",
        refusal.unwrap(),
        source.text
    );
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_walk_lets_pass_the_types_take(file in any::<Index>(), changes in vec(change(), 0..4)) {
        let files = valid_files();
        let (profile, text) = &files[file.index(files.len())];
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for change in changes {
            apply(&mut lines, change);
        }
        check(*profile, lines.join("\n"))?;
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,80}", lines in vec("(\\[{0,2}[a-z.\"-]{0,12}\\]{0,2}|[a-z.-]{1,9} ?=? ?[\\[{\"0-9a-z.,}\\]]{0,9})", 0..6)) {
        check(false, text)?;
        check(true, lines.join("\n"))?;
    }
}

/// The property above would hold of a reader that refuses everything.
#[test]
fn unchanged_files_pass() {
    for (profile, text) in valid_files() {
        assert!(check(profile, text).unwrap());
    }
}
