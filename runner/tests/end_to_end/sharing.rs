//! A baseline that is the same in several scenarios of one invocation is one process, and nothing is less safe for it.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
};

use schemas::manifest::{Ending, Manifest, ProcessRecord};

use crate::{
    signal,
    support::{Workshop, manifest, processes_of, rows, stderr, wait_until},
};

/// A cached engine that takes its time where asked to, beside a baseline whose launch is the same in every such scenario.
fn scenario(requests: u32, baseline: &str) -> String {
    format!(
        r#"
question = "Is the baseline started once?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 64
reuse-count = {requests}
query-length = 8
output-length = 8

[engine.cached]
kind = "builtin"
backend.local-cpu = {{ capacity = "1GB" }}
paced = {{ prefill-tokens-per-second = 100000, time-per-output-token = "10ms" }}

[engine.baseline]
kind = "builtin"
backend.none = {{}}
{baseline}

[trials]
at-least = 1
"#
    )
}

/// Enough requests for a test to interfere.
const MANY: u32 = 200;

const IN_TURN: &str = r#"
description = "one engine lives at a time"
engine = "builtin"
residency = "in-turn"
closed-arrivals = true
"#;

/// A workshop whose runs make their temporary folders in it.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path().join("t")).expect("a folder");
    workshop
}

fn command(workshop: &Workshop, args: &[&str]) -> std::process::Command {
    let mut command = workshop.command_of_runner(args);
    command.env("TMPDIR", workshop.path().join("t"));
    command
}

fn run(workshop: &Workshop, args: &[&str]) -> Output {
    command(workshop, args).output().expect("the runner starts")
}

/// Two scenarios with one baseline, the second of which is under way when this returns; and the baseline's process id.
fn in_the_second(workshop: &Workshop) -> (Child, i32) {
    let first = workshop.scenario("first", &scenario(2, ""));
    let second = workshop.scenario("second", &scenario(MANY, ""));
    let mut child = command(
        workshop,
        &["--profile", "builtin", "--no-report", &first, &second],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the runner starts");
    workshop.wait_for_rows(&mut child, "second", 3);
    let first = manifest(&workshop.run_folder("first"));
    (child, pid_of_baseline(&first))
}

fn baseline(manifest: &Manifest) -> &ProcessRecord {
    let mut processes = manifest.processes.iter();
    processes
        .find(|process| process.name == "baseline")
        .unwrap_or_else(|| panic!("no baseline in {:#?}", manifest.processes))
}

fn pid_of_baseline(manifest: &Manifest) -> i32 {
    baseline(manifest).pid.expect("it answered")
}

fn port(process: &ProcessRecord) -> u16 {
    let mut words = process.command.iter();
    words.find(|word| *word == "--port").expect("a port");
    words.next().expect("a number").parse().expect("a number")
}

/// No process, no port, no temporary folder.
fn assert_nothing_is_left(workshop: &Workshop, scenarios: &[&str]) {
    let folders: Vec<PathBuf> = scenarios
        .iter()
        .map(|scenario| workshop.run_folder(scenario))
        .collect();
    assert_eq!(processes_of(&folders[0]), Vec::<u32>::new());
    for process in folders.iter().flat_map(|folder| manifest(folder).processes) {
        assert!(TcpStream::connect(("127.0.0.1", port(&process))).is_err());
    }
    wait_until("the temporary folders are gone", || {
        is_empty(&workshop.path().join("t"))
    });
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("a folder").next().is_none()
}

#[test]
fn one_process_serves_the_scenarios_that_would_start_it_alike() {
    let workshop = workshop();
    let files = [
        workshop.scenario("a", &scenario(2, "")),
        workshop.scenario("b", &scenario(3, "env = { OTHER = \"1\" }")),
        workshop.scenario("c", &scenario(4, "")),
        workshop.scenario("d", &scenario(2, "")),
    ];
    let mut args = vec!["--profile", "builtin"];
    args.extend(files.iter().map(String::as_str));
    let plan = run(&workshop, &[&["--dry-run"], &args[..]].concat());
    let plan = String::from_utf8_lossy(&plan.stdout);
    assert!(plan.contains("baseline shared with a"), "{plan}");
    assert!(plan.contains("baseline shared with c"), "{plan}");

    let output = run(&workshop, &args);
    let text = stderr(&output);
    let folders = ["a", "b", "c", "d"].map(|scenario| workshop.run_folder(scenario));
    let manifests = folders.each_ref().map(|folder| manifest(folder));
    for (manifest, folder) in manifests.iter().zip(&folders) {
        assert_eq!(manifest.ending, Some(Ending::Complete), "{text}");
        assert!(!is_empty(&folder.join("logs")));
    }
    let [a, b, c, d] = &manifests;
    let pid = pid_of_baseline(a);
    assert_eq!([pid_of_baseline(c), pid_of_baseline(d)], [pid, pid]);
    assert_ne!(pid_of_baseline(b), pid);

    let started_by = Some(format!("a/{}", a.run_id));
    let [first, other, next, last] = [a, b, c, d].map(baseline);
    assert_eq!(first.handed_to.as_deref(), Some("c"));
    assert_eq!(next.handed_to.as_deref(), Some("d"));
    assert_eq!(
        (&next.started_by, &last.started_by),
        (&started_by, &started_by)
    );
    assert_eq!((&first.started_by, &last.handed_to), (&None, &None));
    assert_eq!((&other.started_by, &other.handed_to), (&None, &None));
    assert_eq!((first.expected, first.ended_ns), (None, None));
    assert_eq!((last.expected, last.started_ns), (Some(true), 0));
    assert!(last.ended_ns > last.stopping_ns);

    // Each engine has a row for every request, and the counters of each run are its own.
    for (folder, requests) in folders.iter().zip([2, 3, 4, 2]) {
        assert_eq!(rows(folder).len(), 2 * requests);
    }
    let log = |folder: &PathBuf| {
        let log = fs::metadata(folder.join("logs/baseline.log")).expect("a log");
        std::os::unix::fs::MetadataExt::ino(&log)
    };
    assert_eq!(
        log(&folders[0]),
        log(&folders[3]),
        "one log in both folders"
    );
    let summary = |folder: &PathBuf| fs::read_to_string(folder.join("summary.md")).expect("one");
    assert!(summary(&folders[0]).contains("baseline went on to serve c."));
    let told = format!(
        "baseline is the process that run a/{} had started",
        a.run_id
    );
    assert!(
        summary(&folders[2]).contains(&told),
        "{}",
        summary(&folders[2])
    );
    assert!(!summary(&folders[1]).contains("is the process that run"));
    assert_nothing_is_left(&workshop, &["a", "b", "c", "d"]);
}

#[test]
fn in_turn_it_is_the_last_engine_before_and_the_first_after() {
    let workshop = workshop();
    let host = workshop.scenario("host", IN_TURN);
    let reversed = scenario(2, "").replace("engine.cached", "engine.other");
    let first = workshop.scenario("first", &scenario(2, ""));
    let second = workshop.scenario("second", &reversed);
    let output = run(
        &workshop,
        &["--profile", &host, "--no-report", &first, &second],
    );
    let (first, second) = (workshop.run_folder("first"), workshop.run_folder("second"));
    let (first, second) = (manifest(&first), manifest(&second));
    assert_eq!(second.ending, Some(Ending::Complete), "{}", stderr(&output));
    assert_eq!(pid_of_baseline(&first), pid_of_baseline(&second));
    let of = |manifest: &Manifest, name: &str| -> ProcessRecord {
        let mut processes = manifest.processes.iter();
        processes
            .find(|process| process.name == name)
            .expect("it ran")
            .clone()
    };
    assert!(of(&first, "cached").ended_ns < Some(baseline(&first).started_ns));
    assert!(baseline(&second).ended_ns < Some(of(&second, "other").started_ns));
    assert_nothing_is_left(&workshop, &["first", "second"]);
}

#[test]
fn without_a_warm_up_nothing_is_shared() {
    let workshop = workshop();
    let files = ["a", "b"].map(|name| workshop.scenario(name, &scenario(2, "")));
    let output = run(
        &workshop,
        &[
            "--profile",
            "builtin",
            "--no-report",
            "--no-warm-up",
            &files[0],
            &files[1],
        ],
    );
    let [a, b] = ["a", "b"].map(|scenario| manifest(&workshop.run_folder(scenario)));
    assert_ne!(
        pid_of_baseline(&a),
        pid_of_baseline(&b),
        "{}",
        stderr(&output)
    );
    assert_eq!(baseline(&a).expected, Some(true));
}

#[test]
fn a_runner_killed_in_the_second_scenario_leaves_nothing() {
    let workshop = workshop();
    let (mut child, _) = in_the_second(&workshop);
    child.kill().expect("SIGKILL");
    child.wait().expect("it is gone");
    let folder = workshop.run_folder("second");
    wait_until("the engines' end", || processes_of(&folder).is_empty());
    assert_nothing_is_left(&workshop, &["first", "second"]);
    assert!(rows(&folder).len() >= 3);
}

#[test]
fn a_shared_engine_killed_in_the_second_scenario_ends_that_with_its_last_lines() {
    let workshop = workshop();
    let (child, pid) = in_the_second(&workshop);
    // The built-in engine has nothing to tell, so its log gets a line from here: in the first folder, where the engine writes.
    let last_line = "an engine's last words";
    let written = workshop.run_folder("first").join("logs/baseline.log");
    fs::write(written, format!("{last_line}\n")).expect("a log");
    signal(pid.unsigned_abs(), "KILL");
    let output = child.wait_with_output().expect("it ends");
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    let folder = workshop.run_folder("second");
    let log = folder.join("logs/baseline.log");
    for told in [
        "engine `baseline` ended unasked (signal 9",
        last_line,
        &format!(
            "outputs/second/{}/logs/baseline.log",
            manifest(&folder).run_id
        ),
    ] {
        assert!(text.contains(told), "no `{told}` in:\n{text}");
    }
    let record = baseline(&manifest(&folder)).clone();
    assert_eq!((record.expected, record.pid), (Some(false), Some(pid)));
    assert!(record.last_lines.iter().any(|line| line == last_line));
    assert_nothing_is_left(&workshop, &["first", "second"]);

    // The second folder stands alone.
    fs::remove_dir_all(workshop.path().join("outputs/first")).expect("it is ours");
    assert!(log.is_file());
    workshop.report(&[folder.to_str().expect("a path")]);
    let summary = fs::read_to_string(folder.join("summary.md")).expect("a summary");
    assert!(
        summary.contains("signal 9") && summary.contains("had started"),
        "{summary}"
    );
}

#[test]
fn a_shared_engine_whose_guard_is_killed_is_found() {
    let workshop = workshop();
    let (child, pid) = in_the_second(&workshop);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let guard = fields
        .split(' ')
        .nth(1)
        .expect("a parent")
        .parse()
        .expect("a number");
    signal(guard, "KILL");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("its guard was killed"),
        "{}",
        stderr(&output)
    );
    assert_nothing_is_left(&workshop, &["first", "second"]);
}

/// Starts a long scenario of this name and another after it, and waits until the first answers.
fn in_the_first(workshop: &Workshop, name: &str, second: &str) -> Child {
    let first = workshop.scenario(name, &scenario(MANY, ""));
    let mut child = command(
        workshop,
        &["--profile", "builtin", "--no-report", &first, second],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the runner starts");
    workshop.wait_for_rows(&mut child, name, 3);
    child
}

#[test]
fn ctrl_c_in_either_scenario_ends_the_shared_engine_too() {
    let workshop = workshop();
    let (child, pid) = in_the_second(&workshop);
    signal(child.id(), "INT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let second = manifest(&workshop.run_folder("second"));
    assert_eq!(second.ending, Some(Ending::Interrupted));
    assert_eq!(baseline(&second).pid, Some(pid));
    assert_eq!(baseline(&second).expected, Some(true));
    assert_nothing_is_left(&workshop, &["first", "second"]);

    let second = workshop.scenario("unreached", &scenario(2, ""));
    let child = in_the_first(&workshop, "third", &second);
    signal(child.id(), "INT");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(!workshop.path().join("outputs/unreached").exists());
    assert_nothing_is_left(&workshop, &["third"]);
}

#[test]
fn a_scenario_that_fails_hands_nothing_on() {
    let workshop = workshop();
    let second = workshop.scenario("second", &scenario(2, ""));
    let child = in_the_first(&workshop, "first", &second);
    let folder = workshop.run_folder("first");
    let cached = processes_of(&folder)
        .into_iter()
        .find(|pid| {
            let command = crate::command_line(*pid);
            command.contains("cached.paced") && !command.contains(" guard ")
        })
        .expect("a cached engine");
    signal(cached, "KILL");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let (first, second) = (manifest(&folder), manifest(&workshop.run_folder("second")));
    assert_eq!(second.ending, Some(Ending::Complete), "{}", stderr(&output));
    assert_eq!(baseline(&first).expected, Some(true));
    assert_eq!(
        (&baseline(&first).handed_to, &baseline(&second).started_by),
        (&None, &None)
    );
    assert_ne!(pid_of_baseline(&first), pid_of_baseline(&second));
    assert_nothing_is_left(&workshop, &["first", "second"]);
}
