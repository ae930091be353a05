//! A process that serves on in another run.

use runner::process::Kept;

use super::*;

/// A process that serves, and its own supervisor.
async fn started(run: &mut Run, launch: &Launch) -> (Process, Supervisor) {
    let apart = run.supervisor.apart(&launch.name).expect("a folder");
    let process = apart
        .spawn(launch, &mut run.ports)
        .expect("a shell is there")
        .ready(PATIENCE, &CancellationToken::new())
        .await
        .expect("it says so");
    (process, apart)
}

fn server() -> Launch {
    script("a", "echo up; exec sleep 600")
}

#[tokio::test]
async fn it_outlives_the_sweep_of_its_run_and_is_killed_when_dropped() {
    let mut first = Run::new("kept-1");
    let (process, apart) = started(&mut first, &server()).await;
    let kept = Kept::new(process, apart, &first.ports, "first/1");
    let run_id = format!("{}-a", first.run_id);
    first.assert_nothing_is_left().await;
    assert_eq!(carrying(&run_id).len(), 2, "guard and process");
    drop(kept);
    eventually("it is gone", || carrying(&run_id).is_empty()).await;
}

#[tokio::test]
async fn its_times_and_its_log_are_those_of_the_run_that_it_serves() {
    let mut first = Run::new("times-1");
    let (process, apart) = started(&mut first, &server()).await;
    let kept = Kept::new(process, apart, &first.ports, "first/1");
    // The first run's clock is ahead.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    let mut second = Run::new("times-2");
    let launch = server();
    let Ok((process, apart)) = kept
        .hand_over(&second.supervisor, &launch, &mut second.ports)
        .await
    else {
        panic!("it serves");
    };
    let record = process.record();
    assert_eq!(record.started_by.as_deref(), Some("first/1"));
    assert_eq!((record.started_ns, record.ready_ns), (0, Some(0)));
    first.assert_nothing_is_left().await;
    assert_eq!(second.log("a"), "up\n", "the first run's folder is gone");

    let exited = process.exited();
    kill_9(process.pid());
    let death = exited.await;
    assert_eq!(death.ending, ProcessEnding::Signal(9));
    assert_eq!(death.last_lines, ["up"]);
    assert_eq!(death.log, second.path("logs/a.log"));
    let record = process.stop().await;
    assert_eq!(record.expected, Some(false));
    for ended_ns in [Some(death.ended_ns), record.ended_ns] {
        let ended = Duration::from_nanos(ended_ns.expect("it has ended"));
        assert!(!ended.is_zero() && ended <= begun.elapsed(), "{ended:?}");
    }
    assert!(death.after > Duration::from_nanos(death.ended_ns));
    assert_eq!(apart.sweep().await, SweepReport::default());
    second.assert_nothing_is_left().await;
}

#[tokio::test]
async fn one_that_has_ended_is_not_handed_over() {
    let (mut first, mut second) = (Run::new("ended-1"), Run::new("ended-2"));
    let (process, apart) = started(&mut first, &server()).await;
    kill_9(process.pid());
    eventually("its end is noticed", || process.has_ended()).await;
    let launch = server();
    let kept = Kept::new(process, apart, &first.ports, "first/1");
    // Its log still has the line that the probe looks for.
    let Err((kept, reason)) = kept
        .hand_over(&second.supervisor, &launch, &mut second.ports)
        .await
    else {
        panic!("it is dead");
    };
    assert_eq!(reason, "it had ended (signal 9)");
    let (record, swept) = kept.stop().await;
    assert_eq!(record.expected, Some(false));
    assert_eq!(swept, SweepReport::default());
    first.assert_nothing_is_left().await;
    second.assert_nothing_is_left().await;
}

#[tokio::test]
async fn one_whose_log_cannot_be_linked_is_not_handed_over() {
    let (mut first, mut second) = (Run::new("linked-1"), Run::new("linked-2"));
    let (process, apart) = started(&mut first, &server()).await;
    let kept = Kept::new(process, apart, &first.ports, "first/1");
    fs::write(second.path("logs/a.log"), "taken").expect("a file");
    let launch = server();
    let Err((kept, reason)) = kept
        .hand_over(&second.supervisor, &launch, &mut second.ports)
        .await
    else {
        panic!("its log's place is taken");
    };
    assert!(reason.contains("cannot be linked"), "{reason}");
    let (record, _) = kept.stop().await;
    assert_eq!(record.expected, Some(true));
    first.assert_nothing_is_left().await;
    second.assert_nothing_is_left().await;
}
