//! Starts that succeed, and every way in which one fails.

use super::*;

#[tokio::test]
async fn a_server_is_started_asked_and_stopped() {
    let mut run = Run::new("server");
    let mut launch = script("web", "");
    launch.command = ["python3", "serve.py", "{port.web}"]
        .map(str::to_owned)
        .to_vec();
    launch.command[1] = "{run}/conf/serve.py".to_owned();
    launch.files.insert(
        "{run}/conf/serve.py".to_owned(),
        "import http.server, os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        names = ('KVBENCH_RUN_ID', 'KVBENCH_PROCESS', 'GREETING')
        self.wfile.write(' '.join(os.environ[name] for name in names).encode())
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
"
        .to_owned(),
    );
    launch
        .env
        .insert("GREETING".to_owned(), "at-{port.web}".to_owned());
    launch.ports.insert("web".to_owned(), None);
    run.ports.reserve(&launch).expect("there are free ports");
    let port = run.ports.number("web").expect("it was reserved");
    let contains = format!("{} web at-{port}", run.run_id);
    launch.probe = Probe::Http {
        url: "http://127.0.0.1:{port.web}/".to_owned(),
        contains: Some(contains),
    };

    for _start_and_restart in 0..2 {
        let process = run.start(&launch).await.expect("it serves");
        assert_eq!(
            run.ports.number("web"),
            Some(port),
            "a restart keeps its port"
        );
        assert_eq!(process.record().command.last(), Some(&port.to_string()));
        let record = process.stop().await;
        let ready_ns = record.ready_ns.expect("it was ready");
        let stopping_ns = record.stopping_ns.expect("it was told");
        assert!(
            record.started_ns < ready_ns && ready_ns <= stopping_ns,
            "{record:?}"
        );
        assert!(
            record.ended_ns.expect("it is gone") >= stopping_ns,
            "{record:?}"
        );
        assert_eq!(record.ending.as_deref(), Some("exit code 0"));
        assert_eq!(
            (record.expected, record.last_lines),
            (Some(true), Vec::new())
        );
    }
    assert_eq!(
        run.log("web").matches("GET / ").count(),
        2,
        "one answered question a start"
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn cores_bind_and_missing_ones_are_named() {
    let mut run = Run::new("cores");
    let mut launch = script(
        "bound",
        "grep Cpus_allowed_list /proc/self/status; echo up; exec sleep 600",
    );
    let core = some_core();
    launch.cores = Some(vec![core]);
    let process = run.start(&launch).await.expect("it is up");
    assert!(
        run.log("bound")
            .starts_with(&format!("Cpus_allowed_list:\t{core}\n")),
        "{}",
        run.log("bound")
    );
    process.kill().await;
    launch.cores = Some(vec![core, 1000]);
    let error = run.start(&launch).await.expect_err("no host has so many");
    let text = error.to_string();
    assert_eq!(
        text,
        "engine `bound` could not be started: core 1000 is not available to this process"
    );
    assert!(error.record.is_none());
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn both_streams_are_in_the_log_in_order() {
    let mut run = Run::new("streams");
    let launch = script(
        "both",
        "echo one; echo two >&2; echo three; echo up >&2; exec sleep 600",
    );
    let process = run.start(&launch).await.expect("it is up");
    assert_eq!(process.log(), run.path("logs/both.log"));
    assert_eq!(run.log("both"), "one\ntwo\nthree\nup\n");
    process.kill().await;
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn an_end_before_readiness_quotes_the_last_lines_of_this_start() {
    let mut run = Run::new("early-end");
    let launch = script("engine", "echo of the first start; exit 1");
    run.start(&launch).await.expect_err("it ends");
    let mut launch = script(
        "engine",
        "echo loading; echo 'RuntimeError: no such device' >&2; exit 3",
    );
    launch.probe = Probe::Http {
        url: "http://127.0.0.1:{port.http}/".to_owned(),
        contains: None,
    };
    launch.ports.insert("http".to_owned(), None);
    let error = run.start(&launch).await.expect_err("it ends");
    assert!(matches!(
        error.kind,
        StartErrorKind::Exited {
            ending: ProcessEnding::ExitCode(3),
            ..
        }
    ));
    let record = error.record.as_ref().expect("there was a process");
    assert_eq!(
        (record.ending.as_deref(), record.expected),
        (Some("exit code 3"), Some(false))
    );
    let text = error.to_string();
    let (before, rest) = text.split_once(" after ").expect("a time is told");
    assert_eq!(
        before,
        "engine `engine` ended before it was ready (exit code 3"
    );
    let (_, quoted) = rest.split_once('\n').expect("lines are quoted");
    let log = run.path("logs/engine.log");
    assert_eq!(
        quoted,
        format!(
            "  its last lines ({}):\n    loading\n    RuntimeError: no such device",
            log.display()
        )
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn not_ready_by_the_deadline_says_what_was_found_and_ends_it() {
    let mut run = Run::new("deadline");
    let launch = script("slow", "echo still loading; exec sleep 600");
    let starting = run
        .supervisor
        .spawn(&launch, &mut run.ports)
        .expect("it starts");
    assert_eq!(starting.log(), run.path("logs/slow.log"));
    let deadline = Duration::from_millis(400);
    let error = starting
        .ready(deadline, &CancellationToken::new())
        .await
        .expect_err("it never is");
    let text = error.to_string();
    let first = "engine `slow` was not ready within 0.4 s: the awaited line is not in its log; `ready` under [timeout] in the scenario gives it longer\n";
    assert!(
        text.starts_with(first) && text.ends_with("):\n    still loading"),
        "{text}"
    );
    assert_eq!(
        error.record.expect("there was a process").expected,
        Some(true)
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_cancelled_start_leaves_nothing() {
    let mut run = Run::new("cancelled");
    let launch = script("slow", "exec sleep 600");
    let starting = run
        .supervisor
        .spawn(&launch, &mut run.ports)
        .expect("it starts");
    let cancel = CancellationToken::new();
    let (result, ()) = tokio::join!(starting.ready(PATIENCE, &cancel), async { cancel.cancel() });
    assert!(matches!(
        result.expect_err("it was cancelled").kind,
        StartErrorKind::Cancelled
    ));
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_missing_program_is_told_with_the_path_that_was_searched() {
    let mut run = Run::new("missing");
    let mut launch = script("engine", "");
    launch.command[0] = "no-such-engine".to_owned();
    launch
        .env
        .insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let error = run.start(&launch).await.expect_err("it is not there");
    assert_eq!(
        error.to_string(),
        "engine `engine` could not be started: program `no-such-engine` not found in PATH (/usr/bin:/bin)"
    );
    launch.command[0] = "{run}/venv/bin/python".to_owned();
    let error = run.start(&launch).await.expect_err("it is not there");
    let program = run.path("venv/bin/python");
    assert_eq!(
        error.to_string(),
        format!(
            "engine `engine` could not be started: program `{}` not found",
            program.display()
        )
    );
    run.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_taken_port_names_its_owner_and_nothing_starts() {
    let mut run = Run::new("taken");
    let mut launch = script("engine", "echo up");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let number = taken.local_addr().expect("it is bound").port();
    launch.ports.insert("http".to_owned(), Some(number));
    let error = run.start(&launch).await.expect_err("it is taken");
    let pid = std::process::id();
    let expected =
        format!("engine `engine` could not be started: port {number} is taken by pid {pid} (");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(!run.path("logs/engine.log").exists());
    run.assert_nothing_is_left().await;
}
