//! What is left when a guard or its holder goes: nothing.

use super::*;

#[tokio::test]
async fn when_a_guard_is_killed_what_it_guarded_is_cleaned_up() {
    let mut run = Run::new("no-guard");
    let (own_session, no_id) = (run.path("own-session"), run.path("no-id"));
    let text = format!(
        "(setsid sh -c 'echo $$ > {}; sleep 600' &); \
         (env -i PATH=\"$PATH\" sh -c 'echo $$ > {}; sleep 600' &); echo up; exec sleep 600",
        own_session.display(),
        no_id.display()
    );
    let process = run.start(&script("engine", &text)).await.expect("it is up");
    let neighbour = run
        .start(&script("neighbour", "echo up; exec sleep 600"))
        .await
        .expect("it is up");
    let pids = [wait_for_pid(&own_session).await, wait_for_pid(&no_id).await];
    let main = process.pid().to_string();
    kill_9(process.guard_pid());
    let death = tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    assert_eq!(death.ending, ProcessEnding::GuardLost);
    for pid in pids.iter().chain([&main]) {
        assert!(!lives(pid), "{pid}");
    }
    let record = process.stop().await;
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("its guard was killed"), Some(false))
    );
    assert_eq!(
        carrying(&run.run_id).len(),
        2,
        "the neighbour and its guard are left alone"
    );
    neighbour.stop().await;
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_dropped_process_is_killed() {
    let mut run = Run::new("dropped");
    let process = run
        .start(&script("engine", "trap '' TERM; echo up; sleep 600"))
        .await
        .expect("it is up");
    let starting = run
        .supervisor
        .spawn(&script("other", "exec sleep 600"), &mut run.ports)
        .expect("it starts");
    drop((process, starting));
    eventually("nothing is left", || carrying(&run.run_id).is_empty()).await;
}

#[tokio::test]
async fn shared_memory_of_the_run_is_removed_and_no_other() {
    let mut run = Run::new("shared");
    let shared = PathBuf::from(format!("/dev/shm/kvbench-test-{}", run.run_id));
    let foreign = PathBuf::from(format!("/dev/shm/kvbench-test-foreign-{}", run.run_id));
    let mut launch = script("sharing", "");
    let text = format!(
        "import mmap, time
with open('{}', 'w+b') as file:
    file.truncate(4096)
    held = mmap.mmap(file.fileno(), 4096)
print('up', flush=True)
time.sleep(600)",
        shared.display()
    );
    launch.command = ["python3", "-c", &text].map(str::to_owned).to_vec();
    let process = run.start(&launch).await.expect("it is up");
    fs::write(&foreign, "x").expect("it can be made");
    kill_9(process.guard_pid());
    tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    process.stop().await;
    assert!(
        shared.exists(),
        "the guard that would have removed it was killed"
    );
    let name = shared
        .file_name()
        .expect("it has one")
        .to_string_lossy()
        .into_owned();
    assert_eq!(
        run.supervisor.sweep().await,
        SweepReport {
            shared_memory: vec![name],
            ..SweepReport::default()
        }
    );
    assert!(!shared.exists() && foreign.exists());
    fs::remove_file(foreign).expect("it is ours");
}

#[tokio::test]
async fn a_sweep_kills_strays_and_removes_the_temporary_folder() {
    let mut run = Run::new("sweep");
    let launch = script(
        "engine",
        "echo $TMPDIR > {run}/scratch; touch $TMPDIR/left; echo up; exec sleep 600",
    );
    let process = run.start(&launch).await.expect("it is up");
    let scratch = PathBuf::from(wait_for_pid(&run.path("scratch")).await);
    process.stop().await;
    assert!(scratch.join("left").exists());
    let mut stray = std::process::Command::new("sleep")
        .arg("600")
        .env(runner::process::RUN_ID_VARIABLE, &run.run_id)
        .spawn()
        .expect("sleep is there");
    let report = run.supervisor.sweep().await;
    assert_eq!(report.strays.len(), 1);
    assert_eq!(report.strays[0].pid.unsigned_abs(), stray.id());
    assert_eq!(report.left, [""; 0]);
    assert!(!stray.wait().expect("it is ours").success());
    assert!(!scratch.exists());
}
