//! Ends that were asked for, and one that was not.

use super::*;

#[tokio::test]
async fn what_ignores_term_is_killed_after_its_grace() {
    let mut run = Run::new("grace");
    let mut launch = script(
        "deaf",
        "trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done",
    );
    launch.grace_ns = 300_000_000;
    let record = run.start(&launch).await.expect("it is up").stop().await;
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("signal 9"), Some(true))
    );
    assert!(run.log("deaf").contains("heard"), "TERM came first");
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_second_interruption_turns_a_stop_into_a_kill() {
    let mut run = Run::new("kill-now");
    let mut launch = script(
        "deaf",
        "trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done",
    );
    launch.grace_ns = 3_600_000_000_000;
    let process = run.start(&launch).await.expect("it is up");
    let kill_now = run.supervisor.kill_now().clone();
    let log = run.path("logs/deaf.log");
    let second_interruption = async {
        eventually("TERM came", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains("heard"))
        })
        .await;
        kill_now.cancel();
    };
    let both = async { tokio::join!(process.stop(), second_interruption) };
    let (record, ()) = tokio::time::timeout(PATIENCE, both)
        .await
        .expect("the grace is cut short");
    assert_eq!(record.ending.as_deref(), Some("signal 9"));
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_unasked_end_is_told_and_an_asked_one_is_not() {
    let mut run = Run::new("unasked");
    let launch = script("engine", "echo 'first words'; echo up; exec sleep 600");
    let process = run.start(&launch).await.expect("it is up");
    kill_9(process.pid());
    let death = tokio::time::timeout(PATIENCE, process.exited())
        .await
        .expect("it is told");
    assert_eq!(
        (death.name.as_str(), death.ending),
        ("engine", ProcessEnding::Signal(9))
    );
    assert_eq!(death.last_lines, ["first words", "up"]);
    assert!(
        death
            .to_string()
            .starts_with("engine `engine` ended unasked (signal 9 after "),
        "{death}"
    );
    let record = process.stop().await;
    assert_eq!((record.expected, record.stopping_ns), (Some(false), None));
    assert_eq!(record.last_lines, ["first words", "up"]);

    let process = run.start(&launch).await.expect("it is up");
    let exited = process.exited();
    process.stop().await;
    let told = tokio::time::timeout(Duration::from_millis(200), exited).await;
    assert!(told.is_err(), "{told:?}");
    run.assert_nothing_is_left().await;
}
