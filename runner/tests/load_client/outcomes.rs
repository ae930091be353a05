//! Every way in which a request can come out, against a scripted engine.

use std::time::Duration;

use runner::load::{Schedule, Target};
use schemas::row::{Outcome, Row, TokenCount};

use crate::{
    engine::{Engine, Reply, Then, content, event, well, whole_stream},
    turns::{client, collect, run, singles, stops, turn},
};

const ONE: Schedule = Schedule::Closed { concurrency: 1 };

fn stream(pieces: Vec<String>, then: Then) -> Reply {
    Reply::Stream {
        pieces,
        pause: Duration::ZERO,
        then,
    }
}

/// The row of one request for four tokens that is answered so.
fn one(reply: Reply) -> Row {
    let engine = Engine::start(move |_| reply.clone());
    let mut turn = turn(engine.target(), ONE, singles(1, 4));
    turn.request_timeout_ns = 400_000_000;
    let told = run(turn);
    assert_eq!(told.rows.len(), 1);
    told.rows.into_iter().next().expect("one row")
}

fn without_usage() -> Vec<String> {
    whole_stream(4)
        .into_iter()
        .filter(|piece| !piece.contains("usage"))
        .collect()
}

#[test]
fn a_whole_stream_is_ok() {
    let row = one(well(4));
    assert_eq!((row.outcome, row.detail.as_deref()), (Outcome::Ok, None));
    assert_eq!(
        (
            row.expr_id,
            row.experiment,
            row.trial,
            row.engine_id,
            row.engine.as_str()
        ),
        (3, 1, 1, 2, "scripted")
    );
    assert_eq!(row.text.as_deref(), Some(" t0 t1 t2 t3"));
    assert_eq!(row.text_hash.as_deref().map(str::len), Some(16));
    assert_eq!(
        (row.output_tokens, row.token_count, row.prompt_tokens),
        (Some(4), Some(TokenCount::Usage), Some(7))
    );
    assert_eq!(
        (row.first_event_tokens, row.event_offsets_ns.len()),
        (Some(1), 4)
    );
    assert_eq!(
        (
            row.http_status,
            row.finish_reason.as_deref(),
            row.reconnects
        ),
        (Some(200), Some("length"), 0)
    );
    let stamps = [
        row.connect_ns,
        row.connected_ns,
        row.sent_ns,
        row.headers_ns,
        row.first_event_ns,
        row.first_content_ns,
        row.last_content_ns,
        row.done_ns,
    ];
    assert!(
        stamps.iter().all(Option::is_some) && stamps.is_sorted(),
        "{stamps:?}"
    );
    assert!(
        Some(row.intended_ns) <= row.sent_ns,
        "nothing is sent before its time"
    );
    assert!(
        row.connected_ns <= Some(row.intended_ns),
        "the connection stands before its time"
    );
}

#[test]
fn missing_usage_is_counted_by_events() {
    let row = one(stream(without_usage(), Then::End));
    assert_eq!(row.outcome, Outcome::Ok);
    assert_eq!(
        (row.output_tokens, row.token_count),
        (Some(4), Some(TokenCount::Events))
    );
    assert_eq!((row.prompt_tokens, row.cached_tokens), (None, None));
}

#[test]
fn nobody_listening_is_refused() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let told = run(turn(
        Target::local(port),
        Schedule::Open {
            offsets_ns: vec![0, 1_000_000],
        },
        singles(2, 4),
    ));
    assert_eq!(told.rows.len(), 2);
    for row in told.rows {
        assert_eq!(
            (row.outcome, row.sent_ns, row.text.clone()),
            (Outcome::Refused, None, None)
        );
        assert!(
            row.detail
                .is_some_and(|detail| detail.contains(&port.to_string()))
        );
    }
    assert_eq!(told.report.lateness, None);
}

#[test]
fn another_status_keeps_the_engines_words() {
    let row = one(Reply::Status(
        500,
        r#"{"error":{"message":"out of memory"}}"#.to_owned(),
    ));
    assert_eq!(
        (row.outcome, row.http_status, row.detail.as_deref()),
        (Outcome::HttpStatus, Some(500), Some("out of memory"))
    );
    let row = one(Reply::Status(404, "no such page".to_owned()));
    assert_eq!(
        (row.outcome, row.detail.as_deref()),
        (Outcome::HttpStatus, Some("no such page"))
    );
}

#[test]
fn a_cut_stream_keeps_what_arrived() {
    let row = one(stream(
        whole_stream(4).into_iter().take(3).collect(),
        Then::Cut,
    ));
    assert_eq!(
        (row.outcome, row.text.as_deref()),
        (Outcome::ConnectionLost, Some(" t0 t1"))
    );
    assert_eq!(
        (row.output_tokens, row.token_count),
        (Some(2), Some(TokenCount::Events))
    );
    assert!(row.first_content_ns.is_some() && row.done_ns.is_some());
}

#[test]
fn a_connection_that_closes_without_an_answer_is_lost() {
    let row = one(Reply::Close);
    assert_eq!((row.outcome, row.reconnects), (Outcome::ConnectionLost, 0));
    assert!(row.sent_ns.is_some() && row.first_event_ns.is_none());
}

#[test]
fn a_stall_ends_at_the_deadline() {
    for (reply, words) in [
        (Reply::Stall, "before the first content"),
        (
            stream(whole_stream(4)[..3].to_vec(), Then::Stall),
            "after 2 content events",
        ),
    ] {
        let row = one(reply);
        assert_eq!(row.outcome, Outcome::Timeout);
        assert!(
            row.detail
                .as_deref()
                .is_some_and(|detail| detail.contains(words)),
            "{:?}",
            row.detail
        );
        assert!(
            row.done_ns
                .is_some_and(|done_ns| done_ns - row.intended_ns >= 400_000_000),
            "not before the deadline"
        );
    }
}

#[test]
fn a_connection_that_closes_after_the_end_does_not_matter() {
    let mut pieces = whole_stream(4);
    assert_eq!(
        one(stream(pieces.clone(), Then::Cut)).outcome,
        Outcome::Ok,
        "`[DONE]` was there"
    );
    pieces.pop();
    assert_eq!(
        one(stream(pieces, Then::Cut)).outcome,
        Outcome::ConnectionLost,
        "`[DONE]` was not there"
    );
}

#[test]
fn bytes_of_another_protocol_are_a_bad_stream() {
    assert_eq!(
        one(Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())).outcome,
        Outcome::BadStream
    );
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    assert_eq!(
        one(Reply::Raw(
            [head, b"zz\r\nnot a chunk\r\n".to_vec()].concat()
        ))
        .outcome,
        Outcome::BadStream
    );
    let not_json = one(stream(
        vec!["data: <html>\n\n".to_owned(), "data: [DONE]\n\n".to_owned()],
        Then::End,
    ));
    assert_eq!(not_json.outcome, Outcome::BadStream);
    let no_stream = one(Reply::Status(
        200,
        r#"{"choices":[{"message":{"content":"hello"}}]}"#.to_owned(),
    ));
    assert_eq!(no_stream.outcome, Outcome::BadStream);
    assert!(
        no_stream
            .detail
            .is_some_and(|detail| detail.contains("no event stream"))
    );
    let no_end = one(stream(vec![content("a")], Then::End));
    assert_eq!(
        (no_end.outcome, no_end.text.as_deref()),
        (Outcome::BadStream, Some("a"))
    );
}

#[test]
fn an_error_inside_the_stream_is_a_stream_error() {
    let error = serde_json::json!({ "error": { "message": "engine core died", "code": 500 } });
    let named = format!(
        "event: error\ndata: {}\n\n",
        serde_json::json!({ "message": "engine core died" })
    );
    for piece in [event(&error), named] {
        for then in [Then::End, Then::Cut] {
            let row = one(stream(vec![content("a"), piece.clone()], then));
            assert_eq!(
                (row.outcome, row.detail.as_deref()),
                (Outcome::StreamError, Some("engine core died")),
                "{piece} {then:?}"
            );
            assert_eq!(row.text.as_deref(), Some("a"));
        }
    }
}

#[test]
fn fewer_tokens_than_asked_are_truncated() {
    let row = one(well(3));
    assert_eq!(
        (row.outcome, row.output_tokens),
        (Outcome::Truncated, Some(3))
    );
    assert!(row.detail.is_some_and(|detail| detail.contains("3 of 4")));
}

#[test]
fn the_end_of_the_engine_names_what_it_broke() {
    let engine = Engine::start(|seen| match seen.number {
        0 => stream(vec![content("a")], Then::Cut),
        _ => stream(vec![content("a")], Then::Stall),
    });
    let (client, _) = client();
    let stops = stops();
    let exited = stops.engine_exited.clone();
    let events = client.start(
        turn(
            engine.target(),
            Schedule::Open {
                offsets_ns: vec![0; 4],
            },
            singles(4, 4),
        ),
        stops,
    );
    let watch = std::thread::spawn(move || {
        while engine.seen().len() < 4 {
            std::thread::yield_now();
        }
        exited.cancel();
    });
    let told = collect(events.expect("a turn"), |_| {});
    watch.join().expect("no panic");
    let outcomes: Vec<Outcome> = told.rows.iter().map(|row| row.outcome).collect();
    assert_eq!(outcomes, [Outcome::EngineExited; 4]);
}
