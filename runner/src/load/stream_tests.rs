//! Everything between recorded bytes and a row: the same row whatever the chunking, the right times, and no bytes that break it.

use std::sync::LazyLock;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use schemas::row::{Outcome, RequestKind, Row, TokenCount};

use super::{
    answer::{Answer, read_stream},
    exchange::{End, Exchange, Intended, Recording},
    rows::make_row,
    turn::{Identity, RequestFacts},
};
use crate::clock::RunClock;

static CLOCK: LazyLock<RunClock> = LazyLock::new(RunClock::start);

/// As vLLM sends it: the role alone, contents, the finish with the last content, counts with the engine's own times.
const USUAL: &str = concat!(
    r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":" héllo"},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"\u20ac\n"},"logprobs":null,"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"!"},"logprobs":null,"finish_reason":"length","stop_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":40,"total_tokens":43,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":32}},"metrics":{"time_to_first_token_ms":72.1,"queue_time_ms":0.5}}"#,
    "\n\ndata: [DONE]\n\n",
);

/// Carriage returns, comments, an event over several lines, reasoning first, and a name nobody knows.
const UNUSUAL: &str = concat!(
    ": ping\r\n\r\nevent: message\r\nid: 1\r\ndata: {\"choices\":[{\"delta\":\r\ndata:{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}}]}\r\n\r\n",
    ": ping\r\nretry: 5\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning\":\"?\"}}],\"surprise\":[1,{}]}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"a b\",\"reasoning_content\":null}}],\"usage\":null}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"metrics\":\"none\"}\r\n\r\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"prompt_tokens_details\":null}}\r\n\r\n",
    "data: [DONE]\r\n\r\n",
);

/// Several tokens a chunk, with counts in every chunk.
const BUNDLED: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"one two\"}}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\" three\"},\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"served\":{\"first_token_ns\":18446744073709551615,\"last_token_ns\":null}}}\n\n",
    "data: [DONE]",
);

/// An error in the middle.
const BROKEN: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"one\"}}]}\n\n",
    "data: {\"object\":\"error\",\"message\":\"no memory\",\"code\":500}\n\n",
    "data: [DONE]\n\n",
);

const STREAMS: [&str; 4] = [USUAL, UNUSUAL, BUNDLED, BROKEN];

fn row_of(recording: Recording, end: End) -> Row {
    let facts = RequestFacts {
        request_id: 1,
        kind: RequestKind::Reused,
        context_id: 0,
        turn: 2,
        context_tokens: 32,
        query_tokens: 8,
        asked_output_tokens: 3,
        planned_prompt_tokens: Some(40),
        expected_cached_tokens: Some(32),
    };
    let mut exchange = Exchange::new(facts, 0, Intended::At(5));
    exchange.sent_ns = Some(7);
    exchange.http_status = Some(200);
    exchange.recording = recording;
    exchange.end = end;
    let identity = Identity {
        expr_id: 0,
        experiment: 0,
        trial: 0,
        engine_id: 0,
        engine: "e".to_owned(),
    };
    make_row(&identity, &exchange, 5, &CLOCK)
}

/// The stream in pieces that arrive at 1000, 2000, …; `cuts` are where pieces end.
fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Recording {
    let mut recording = Recording::default();
    let mut from = 0;
    for (piece, &to) in (1..).zip(cuts.iter().chain([&bytes.len()])) {
        recording.append(&bytes[from..to.max(from)], piece * 1000);
        from = to.max(from);
    }
    recording
}

/// The row without what depends on times.
fn timeless(mut row: Row) -> Row {
    for stamp in [
        &mut row.first_event_ns,
        &mut row.first_content_ns,
        &mut row.last_content_ns,
    ] {
        *stamp = stamp.map(|_| 0);
    }
    row.event_offsets_ns
        .iter_mut()
        .for_each(|offset_ns| *offset_ns = 0);
    row
}

fn whole(stream: &str) -> Row {
    row_of(in_pieces(stream.as_bytes(), &[]), End::Complete)
}

#[test]
fn the_usual_stream_is_read() {
    let row = whole(USUAL);
    assert_eq!(
        (row.outcome, row.text.as_deref()),
        (Outcome::Ok, Some(" héllo€\n!"))
    );
    assert_eq!(
        (row.prompt_tokens, row.output_tokens, row.cached_tokens),
        (Some(40), Some(3), Some(32))
    );
    assert_eq!(
        (row.server_ttft_ns, row.server_queue_ns),
        (Some(72_100_000), Some(500_000))
    );
    assert_eq!(
        (row.first_event_tokens, row.event_offsets_ns.len()),
        (Some(1), 3),
        "the role is no content"
    );
    assert_eq!(
        (row.planned_prompt_tokens, row.expected_cached_tokens),
        (Some(40), Some(32))
    );
}

#[test]
fn the_unusual_stream_is_read() {
    let row = whole(UNUSUAL);
    assert_eq!(
        (row.outcome, row.text.as_deref()),
        (Outcome::Ok, Some("hm?a b")),
        "reasoning named twice is there once"
    );
    assert_eq!(
        (
            row.finish_reason.as_deref(),
            row.cached_tokens,
            row.server_ttft_ns
        ),
        (Some("stop"), None, None)
    );
}

#[test]
fn bundled_tokens_are_counted_by_the_engine() {
    let row = whole(BUNDLED);
    assert_eq!(
        (row.outcome, row.output_tokens, row.token_count),
        (Outcome::Ok, Some(3), Some(TokenCount::Usage))
    );
    assert_eq!(
        (row.first_event_tokens, row.event_offsets_ns.len()),
        (Some(2), 2)
    );
    assert!(row.served_first_ns.is_some() && row.served_last_ns.is_none());
}

#[test]
fn an_error_keeps_what_came_before() {
    let row = whole(BROKEN);
    assert_eq!(
        (row.outcome, row.detail.as_deref(), row.text.as_deref()),
        (Outcome::StreamError, Some("no memory"), Some("one"))
    );
}

#[test]
fn every_split_in_two_gives_the_same_row() {
    for stream in STREAMS {
        let expected = timeless(whole(stream));
        for cut in 0..=stream.len() {
            let row = row_of(in_pieces(stream.as_bytes(), &[cut]), End::Complete);
            assert_eq!(timeless(row), expected, "cut at {cut}");
        }
    }
}

#[test]
fn an_event_arrives_with_its_last_byte() {
    for stream in STREAMS {
        let cuts: Vec<usize> = (1..stream.len()).collect();
        let row = row_of(in_pieces(stream.as_bytes(), &cuts), End::Complete);
        assert_eq!(timeless(row.clone()), timeless(whole(stream)));
        // The last byte of each event by another way: the blank lines.
        let blank = if stream.contains('\r') {
            "\r\n\r\n"
        } else {
            "\n\n"
        };
        let ends = stream
            .match_indices(blank)
            .map(|(at, _)| (at + blank.len()) as u64 * 1000);
        let mut content_ns: Vec<u64> = row
            .event_offsets_ns
            .iter()
            .map(|offset_ns| offset_ns + 7)
            .collect();
        assert_eq!(
            (row.first_content_ns, row.last_content_ns),
            (content_ns.first().copied(), content_ns.last().copied())
        );
        content_ns.retain(|at_ns| !ends.clone().any(|end_ns| end_ns == *at_ns));
        assert_eq!(content_ns, [0_u64; 0]);
    }
}

#[test]
fn a_stream_cut_anywhere_is_lost_unless_it_had_ended() {
    let done = USUAL.find("data: [DONE]").expect("an end") + "data: [DONE]\n\n".len();
    for cut in 0..USUAL.len() {
        let row = row_of(
            in_pieces(&USUAL.as_bytes()[..cut], &[]),
            End::Lost("reset".to_owned()),
        );
        assert_eq!(row.outcome == Outcome::Ok, cut >= done, "cut at {cut}");
        assert!(
            row.outcome == Outcome::Ok || row.outcome == Outcome::ConnectionLost,
            "cut at {cut}"
        );
    }
}

#[test]
fn content_that_only_looks_like_another_is_parsed() {
    let usual = r#"data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}"#;
    let tricky = r#"data: {"choices":[{"delta":{"content":"b"},"finish_reason":"stop"},{"delta":{"content":"c"},"finish_reason":null}]}"#;
    let stream = format!("{usual}\n\n{tricky}\n\n{usual}\n\ndata: [DONE]\n\n");
    let answer = read_stream(&in_pieces(stream.as_bytes(), &[]), true);
    assert_eq!(
        (answer.text.as_str(), answer.finish_reason.as_deref()),
        ("abca", Some("stop"))
    );
    assert_eq!((answer.content_ns.len(), answer.fault), (3, None));
    let control = stream.replacen("\"a\"", "\"\t\"", 2);
    assert!(
        read_stream(&in_pieces(control.as_bytes(), &[]), true)
            .fault
            .is_some()
    );
    let error = format!(r#"data: {{"error":{{"message":"{}"}}}}"#, "no");
    let stream = format!("{usual}\n\n{error}\n\n");
    assert!(
        read_stream(&in_pieces(stream.as_bytes(), &[]), true)
            .fault
            .is_some()
    );
}

/// What streams are made of, whole and broken.
const FRAGMENTS: [&str; 32] = [
    "data: ",
    "data:",
    "data",
    "event: error",
    "event:",
    "id: 1",
    ": ping",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "[DONE]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u20ac",
    "\\ud800",
    "null",
    "-1e999",
    "\"choices\":[{\"delta\":{\"content\":\"",
    "\"reasoning\":",
    "\"usage\":{\"prompt_tokens\":",
    "\"error\":",
    "\"served\":{\"first_token_ns\":",
    "\"metrics\":{\"time_to_first_token_ms\":",
    "\"finish_reason\":\"length\"",
    "\u{feff}\u{e9}",
];

/// Bytes that an engine might send on a very bad day: noise, fragments in any order, or a stream with pieces of others in it, cut anywhere.
fn bad_day(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = Vec::new();
    match random.random_range(0..4_u8) {
        0 => {
            bytes.resize(random.random_range(0..200), 0);
            random.fill(&mut bytes[..]);
        }
        1 => {
            for _ in 0..random.random_range(0..60) {
                let fragment = FRAGMENTS.choose(random).copied().unwrap_or_default();
                bytes.extend_from_slice(fragment.as_bytes());
            }
        }
        _ => {
            let stream = STREAMS.choose(random).copied().unwrap_or_default();
            bytes.extend_from_slice(stream.as_bytes());
            for _ in 0..random.random_range(0..6) {
                let at = random.random_range(0..=bytes.len());
                let until = (at + random.random_range(0..12)).min(bytes.len());
                let fragment = FRAGMENTS.choose(random).copied().unwrap_or_default();
                bytes.splice(at..until, fragment.bytes());
            }
            bytes.truncate(random.random_range(0..=2 * bytes.len()));
        }
    }
    bytes
}

/// Bytes in, row out. The inputs are the same in every run; `KVBENCH_FUZZ_INPUTS=10000000` makes more of them.
#[test]
fn no_input_breaks_the_parser() {
    let inputs = match std::env::var("KVBENCH_FUZZ_INPUTS") {
        Ok(number) => number.parse().expect("a number of inputs"),
        Err(_) => 20_000_u64,
    };
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for number in 0..inputs {
        let bytes = bad_day(&mut random);
        let cut = random.random_range(0..=bytes.len());
        let end = if random.random() {
            End::Complete
        } else {
            End::Lost("reset".to_owned())
        };
        let row = row_of(in_pieces(&bytes, &[cut]), end.clone());
        let stamps = [
            row.first_event_ns,
            row.first_content_ns,
            row.last_content_ns,
        ];
        assert!(
            stamps.is_sorted() || row.first_content_ns.is_none(),
            "input {number}: {bytes:?}"
        );
        let uncut = row_of(in_pieces(&bytes, &[]), end);
        assert_eq!(timeless(row), timeless(uncut), "input {number}: {bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_row(which in 0..STREAMS.len(), mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..40)) {
        let stream = STREAMS[which];
        let mut cuts: Vec<usize> = cuts.drain(..).map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let row = row_of(in_pieces(stream.as_bytes(), &cuts), End::Complete);
        let stamps = [row.first_event_ns, row.first_content_ns, row.last_content_ns];
        prop_assert!(stamps.is_sorted());
        prop_assert_eq!(timeless(row), timeless(whole(stream)));
    }

    #[test]
    fn contents_are_read_whatever_surrounds_them(
        contents in proptest::collection::vec((prop_oneof!["[a-z ]{0,6}", any::<String>()], 0..4_u8), 0..30),
    ) {
        let mut stream = String::new();
        for (content, way) in &contents {
            let choice = match way {
                0 | 1 => serde_json::json!({ "delta": { "content": content }, "index": 0 }),
                2 => serde_json::json!({ "delta": { "content": content, "reasoning": null }, "index": 0 }),
                _ => serde_json::json!({ "delta": { "reasoning": content }, "index": 0 }),
            };
            stream.push_str(&format!("data: {}\n\n", serde_json::json!({ "choices": [choice], "id": "c" })));
        }
        let answer = read_stream(&in_pieces(stream.as_bytes(), &[]), true);
        prop_assert_eq!(answer.fault, None);
        prop_assert_eq!(answer.text, contents.iter().map(|(content, _)| content.as_str()).collect::<String>());
        prop_assert_eq!(answer.content_ns.len(), contents.iter().filter(|(content, _)| !content.is_empty()).count());
    }

    #[test]
    fn any_bytes_make_a_row(bytes in proptest::collection::vec(any::<u8>(), 0..600), complete in any::<bool>()) {
        let end = if complete { End::Complete } else { End::Lost("reset".to_owned()) };
        let row = row_of(in_pieces(&bytes, &[]), end);
        prop_assert_ne!(row.outcome, Outcome::Ok);
    }

    #[test]
    fn damaged_streams_make_a_row(
        which in 0..STREAMS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![Just(b'\n'), Just(b'"'), Just(b'{'), Just(b':'), any::<u8>()], 0..3_u8), 1..6),
    ) {
        let mut bytes = STREAMS[which].as_bytes().to_vec();
        for (at, byte, way) in damage {
            let at = at.index(bytes.len());
            match way {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        let recording = in_pieces(&bytes, &[]);
        let answer: Answer = read_stream(&recording, true);
        prop_assert!(answer.content_ns.is_sorted());
        row_of(recording, End::Complete);
    }
}
