//! Open and closed schedules, batches and conversations: every released request has its row, and nothing is sent before its time.

use std::{sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use runner::load::{ArrivalItem, Conversation, ConversationTurn, Schedule};
use schemas::row::{Outcome, Row};

use crate::{
    engine::{Engine, Reply, Then, content, well, whole_stream},
    turns::{client, collect, facts, request, run, run_on, singles, stops, turn},
};

fn all_ok(rows: &[Row]) {
    for row in rows {
        assert_eq!(
            (row.outcome, row.detail.as_deref()),
            (Outcome::Ok, None),
            "request {}",
            row.request_id
        );
    }
}

fn slow(tokens: u32, pause: Duration) -> Reply {
    Reply::Stream {
        pieces: whole_stream(tokens),
        pause,
        then: Then::End,
    }
}

#[test]
fn an_open_schedule_is_kept_whatever_the_answers_take() {
    let engine = Engine::start(|_| slow(4, Duration::from_millis(40)));
    let offsets_ns: Vec<u64> = (0..60).map(|number| number * 3_000_000).collect();
    let told = run(turn(
        engine.target(),
        Schedule::Open {
            offsets_ns: offsets_ns.clone(),
        },
        singles(60, 4),
    ));
    all_ok(&told.rows);
    let intended: Vec<u64> = told
        .rows
        .iter()
        .map(|row| row.intended_ns - told.origin_ns)
        .collect();
    assert_eq!(intended, offsets_ns);
    assert!(
        told.rows
            .iter()
            .all(|row| row.sent_ns >= Some(row.intended_ns))
    );
    let lateness = told.report.lateness.expect("requests were sent");
    let worst = told
        .rows
        .iter()
        .filter_map(|row| row.sent_ns.map(|sent_ns| sent_ns - row.intended_ns))
        .max();
    assert_eq!((lateness.count, Some(lateness.max_ns)), (60, worst));
    assert!(
        told.report.in_flight_peak > 10,
        "they overlap: {}",
        told.report.in_flight_peak
    );
    assert!(told.report.heartbeat.is_some_and(|beats| beats.count > 0));
    assert!(told.report.request_thread_cpu_ns > 0 && told.report.parser_thread_cpu_ns > 0);
}

#[test]
fn a_thousand_streams_at_once_lose_none() {
    let engine = Engine::start(|_| slow(3, Duration::from_millis(100)));
    let told = run(turn(
        engine.target(),
        Schedule::Open {
            offsets_ns: vec![0; 1000],
        },
        singles(1000, 3),
    ));
    assert_eq!(told.rows.len(), 1000);
    all_ok(&told.rows);
    let ids: Vec<u32> = told.rows.iter().map(|row| row.request_id).collect();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
    assert_eq!(told.report.in_flight_peak, 1000);
}

#[test]
fn a_closed_schedule_keeps_its_concurrency_and_its_connections() {
    let engine = Engine::start(|_| slow(3, Duration::from_millis(2)));
    let told = run(turn(
        engine.target(),
        Schedule::Closed { concurrency: 4 },
        singles(40, 3),
    ));
    assert_eq!(told.rows.len(), 40);
    all_ok(&told.rows);
    assert_eq!(
        (told.report.in_flight_peak, told.report.connections_opened),
        (4, 4)
    );
    assert!(engine.busy_peak.load(Ordering::SeqCst) <= 4);
    assert_eq!(
        told.rows
            .iter()
            .filter(|row| row.connect_ns.is_some())
            .count(),
        4
    );
    let mut ends: Vec<u64> = told
        .rows
        .iter()
        .filter_map(|row| row.last_content_ns)
        .collect();
    ends.sort_unstable();
    let mut later: Vec<u64> = told
        .rows
        .iter()
        .map(|row| row.intended_ns)
        .filter(|&at_ns| at_ns != told.origin_ns)
        .collect();
    later.sort_unstable();
    assert_eq!(
        later,
        ends[..36],
        "each begins with the last content of another"
    );
}

#[test]
fn a_batch_is_one_step() {
    let engine = Engine::start(|_| well(3));
    let batches = (0..5)
        .map(|step| ArrivalItem::Batch(vec![request(2 * step, 3), request(2 * step + 1, 3)]))
        .collect();
    let told = run(turn(
        engine.target(),
        Schedule::Closed { concurrency: 1 },
        batches,
    ));
    assert_eq!(told.rows.len(), 10);
    all_ok(&told.rows);
    for pair in told.rows.chunks(2) {
        assert_eq!(pair[0].intended_ns, pair[1].intended_ns);
    }
    for (before, after) in told.rows.chunks(2).zip(told.rows.chunks(2).skip(1)) {
        assert_eq!(
            Some(after[0].intended_ns),
            before.iter().filter_map(|row| row.last_content_ns).max()
        );
    }
    assert_eq!(told.report.in_flight_peak, 2);
}

fn conversation(first_request: u32, turns: u32) -> ArrivalItem {
    ArrivalItem::Conversation(Conversation {
        opening: Bytes::from_static(br#"{"messages":[{"role":"user","content":""#),
        reply_open: Bytes::from_static(br#""},{"role":"assistant","content":""#),
        question_open: Bytes::from_static(br#""},{"role":"user","content":""#),
        turns: (0..turns)
            .map(|turn| ConversationTurn {
                facts: facts(first_request + turn, 2),
                question: Bytes::from(format!("q{turn}")),
                closing: Bytes::from_static(br#""}]}"#),
                think_time_ns: if turn == 0 { 0 } else { 5_000_000 },
            })
            .collect(),
    })
}

#[test]
fn a_conversation_carries_its_replies() {
    let engine = Engine::start(|_| Reply::Stream {
        pieces: [
            vec![content("say \"hi\""), content("\n")],
            whole_stream(2)[3..].to_vec(),
        ]
        .concat(),
        pause: Duration::ZERO,
        then: Then::End,
    });
    let told = run(turn(
        engine.target(),
        Schedule::Open {
            offsets_ns: vec![0],
        },
        vec![conversation(0, 3)],
    ));
    all_ok(&told.rows);
    for pair in told.rows.windows(2) {
        assert_eq!(
            Some(pair[1].intended_ns),
            pair[0].last_content_ns.map(|end_ns| end_ns + 5_000_000)
        );
    }
    let messages = engine.seen()[2].body["messages"].clone();
    let texts: Vec<&str> = messages
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(texts, ["q0", "say \"hi\"\n", "q1", "say \"hi\"\n", "q2"]);
}

#[test]
fn a_conversation_without_a_reply_ends_and_every_turn_has_its_row() {
    let engine = Engine::start(|seen| {
        if seen.number == 1 {
            Reply::Status(503, "busy".to_owned())
        } else {
            well(2)
        }
    });
    let arrivals = vec![conversation(0, 4), conversation(4, 2)];
    let told = run(turn(
        engine.target(),
        Schedule::Closed { concurrency: 1 },
        arrivals,
    ));
    let outcomes: Vec<Outcome> = told.rows.iter().map(|row| row.outcome).collect();
    let (ok, not_sent) = (Outcome::Ok, Outcome::NotSent);
    assert_eq!(
        outcomes,
        [ok, Outcome::HttpStatus, not_sent, not_sent, ok, ok]
    );
    assert_eq!(
        (told.rows[2].sent_ns, told.rows[2].http_status),
        (None, None)
    );
    assert!(
        told.rows[3]
            .detail
            .as_deref()
            .is_some_and(|detail| detail.contains("conversation"))
    );
}

#[test]
fn a_connection_found_closed_is_replaced_once_and_counted() {
    let engine = Engine::start(|_| Reply::Stream {
        pieces: whole_stream(2),
        pause: Duration::ZERO,
        then: Then::EndThenClose,
    });
    let told = run(turn(
        engine.target(),
        Schedule::Closed { concurrency: 1 },
        singles(30, 2),
    ));
    assert_eq!(told.rows.len(), 30);
    all_ok(&told.rows);
    let replaced: u32 = told.rows.iter().map(|row| row.reconnects).sum();
    assert_eq!(told.report.reconnects, replaced);
    assert_eq!(replaced, 29, "all but the first");
    assert!(told.rows.iter().all(|row| row.reconnects <= 1));
    for row in told.rows.iter().filter(|row| row.reconnects == 1) {
        assert!(
            row.connected_ns.is_some() && row.connected_ns <= row.sent_ns,
            "sent on the new connection"
        );
    }
    assert_eq!(engine.seen().len(), 30, "no request was seen twice");
}

#[test]
fn interruption_ends_what_runs_and_releases_nothing_more() {
    let engine = Engine::start(|_| Reply::Stream {
        pieces: vec![content("a")],
        pause: Duration::ZERO,
        then: Then::Stall,
    });
    let (client, clock) = client();
    let stops = stops();
    let cancel = stops.cancel.clone();
    let mut offsets_ns = vec![0; 10];
    offsets_ns.extend([3_600_000_000_000; 5]);
    let events = client
        .start(
            turn(
                engine.target(),
                Schedule::Open { offsets_ns },
                singles(15, 4),
            ),
            stops,
        )
        .expect("a turn");
    let watch = std::thread::spawn(move || {
        while engine.seen().len() < 10 {
            std::thread::yield_now();
        }
        cancel.cancel();
    });
    let told = collect(events, |_| {});
    watch.join().expect("no panic");
    assert_eq!(
        (told.rows.len(), told.report.planned, told.report.released),
        (10, 15, 10)
    );
    for row in &told.rows {
        assert_eq!(row.outcome, Outcome::Cancelled);
        assert!(
            row.sent_ns.is_some() && row.done_ns.is_some_and(|done_ns| done_ns <= clock.now_ns())
        );
    }
}

#[test]
fn rows_do_not_wait_for_a_request_that_goes_on() {
    let engine = Engine::start(|seen| {
        if seen.body["request"] == 3 {
            Reply::Stall
        } else {
            well(2)
        }
    });
    let (client, _) = client();
    let stops = stops();
    let cancel = stops.cancel.clone();
    let schedule = Schedule::Closed { concurrency: 4 };
    let events = client
        .start(turn(engine.target(), schedule, singles(4, 2)), stops)
        .expect("a turn");
    let mut rows_seen = 0;
    let told = collect(events, |_| {
        rows_seen += 1;
        if rows_seen == 3 {
            cancel.cancel();
        }
    });
    all_ok(&told.rows[..3]);
    // Had they waited, its time would have run out first.
    assert_eq!(told.rows[3].outcome, Outcome::Cancelled);
}

#[test]
fn what_is_due_when_the_run_is_over_already_is_not_sent() {
    let engine = Engine::start(|_| well(2));
    let (client, _) = client();
    let stops = stops();
    stops.cancel.cancel();
    let told = run_on(
        &client,
        turn(
            engine.target(),
            Schedule::Closed { concurrency: 3 },
            singles(5, 2),
        ),
        stops,
    );
    assert!(
        told.rows
            .iter()
            .all(|row| row.outcome == Outcome::NotSent && row.sent_ns.is_none())
    );
    assert!(engine.seen().is_empty());
}

#[test]
fn one_client_runs_turn_after_turn() {
    let engine = Engine::start(|_| well(2));
    let (client, _) = client();
    let mut last_ns = 0;
    for schedule in [
        Schedule::Closed { concurrency: 2 },
        Schedule::Open {
            offsets_ns: vec![0, 0, 5_000_000],
        },
    ] {
        let told = run_on(
            &client,
            turn(engine.target(), schedule, singles(3, 2)),
            stops(),
        );
        assert_eq!(told.rows.len(), 3);
        all_ok(&told.rows);
        assert!(told.origin_ns > last_ns);
        last_ns = told.report.ended_ns;
    }
    let offsets_ns = vec![0];
    let told = run_on(
        &client,
        turn(
            engine.target(),
            Schedule::Open { offsets_ns },
            singles(3, 2),
        ),
        stops(),
    );
    assert_eq!(
        (told.rows.len(), told.report.planned),
        (1, 3),
        "what has no offset is never released"
    );
    let told = run_on(
        &client,
        turn(
            engine.target(),
            Schedule::Closed { concurrency: 2 },
            Vec::new(),
        ),
        stops(),
    );
    assert_eq!((told.rows.len(), told.report.planned), (0, 0));
}

#[test]
fn a_large_body_arrives_whole_with_its_length() {
    let engine = Engine::start(|_| well(2));
    let text = "x".repeat(1_500_000);
    let shared = Bytes::from(format!(r#"{{"context":"{text}"#));
    let arrivals = (0..3)
        .map(|number| {
            let mut item = request(number, 2);
            item.body = runner::load::Body::new([
                shared.clone(),
                Bytes::new(),
                Bytes::from(format!(r#"","number":{number}}}"#)),
            ]);
            ArrivalItem::Single(item)
        })
        .collect();
    let mut turn = turn(
        engine.target().with_key("secret").expect("a key"),
        Schedule::Closed { concurrency: 1 },
        arrivals,
    );
    turn.request_timeout_ns = 60_000_000_000;
    let told = run(turn);
    all_ok(&told.rows);
    for seen in engine.seen() {
        assert_eq!(
            seen.body["context"].as_str().map(str::len),
            Some(text.len())
        );
        let head = seen.head.to_ascii_lowercase();
        assert!(
            head.starts_with("post /v1/chat/completions http/1.1\r\n")
                && head.contains("authorization: bearer secret")
        );
        assert!(!head.contains("chunked"));
    }
}
