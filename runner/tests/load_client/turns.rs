//! Turns to run and what they tell.

use runner::{
    clock::RunClock,
    load::{
        ArrivalItem, Body, Client, Identity, LoadEvent, RequestFacts, RequestItem, Schedule, Stops,
        Target, Turn, TurnReport,
    },
};
use schemas::row::{RequestKind, Row};
use tokio_util::sync::CancellationToken;

/// A request for `tokens` tokens.
pub(crate) fn request(request_id: u32, tokens: u32) -> RequestItem {
    let body = format!(r#"{{"request":{request_id},"max_tokens":{tokens}}}"#);
    RequestItem {
        facts: facts(request_id, tokens),
        body: Body::new([body.into()]),
    }
}

pub(crate) fn facts(request_id: u32, tokens: u32) -> RequestFacts {
    RequestFacts {
        request_id,
        kind: RequestKind::Cold,
        context_id: 0,
        turn: 0,
        context_tokens: 0,
        query_tokens: 0,
        asked_output_tokens: tokens,
        planned_prompt_tokens: None,
        expected_cached_tokens: None,
    }
}

pub(crate) fn singles(count: u32, tokens: u32) -> Vec<ArrivalItem> {
    (0..count)
        .map(|request_id| ArrivalItem::Single(request(request_id, tokens)))
        .collect()
}

pub(crate) fn turn(target: Target, schedule: Schedule, arrivals: Vec<ArrivalItem>) -> Turn {
    Turn {
        target,
        identity: Identity {
            expr_id: 3,
            experiment: 1,
            trial: 1,
            engine_id: 2,
            engine: "scripted".to_owned(),
        },
        schedule,
        arrivals,
        request_timeout_ns: 20_000_000_000,
    }
}

pub(crate) fn stops() -> Stops {
    Stops {
        cancel: CancellationToken::new(),
        engine_exited: CancellationToken::new(),
    }
}

pub(crate) fn client() -> (Client, RunClock) {
    let clock = RunClock::start();
    (Client::spawn(clock, &[]).expect("threads"), clock)
}

/// Everything that a turn told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) origin_ns: u64,
    /// In order of their request ids.
    pub(crate) rows: Vec<Row>,
    pub(crate) report: TurnReport,
}

pub(crate) fn run(turn: Turn) -> Told {
    let (client, _) = client();
    run_on(&client, turn, stops())
}

pub(crate) fn run_on(client: &Client, turn: Turn, stops: Stops) -> Told {
    collect(client.start(turn, stops).expect("a turn"), |_| {})
}

/// Reads a turn to its end; `watch` sees every row as it comes.
pub(crate) fn collect(
    mut events: tokio::sync::mpsc::Receiver<LoadEvent>,
    mut watch: impl FnMut(&Row),
) -> Told {
    let mut rows = Vec::new();
    let mut origin_ns = None;
    loop {
        match events
            .blocking_recv()
            .expect("the turn goes on until it is done")
        {
            LoadEvent::Started { origin_ns: at_ns } => {
                assert_eq!(origin_ns.replace(at_ns), None, "one start")
            }
            LoadEvent::Finished(finished) => {
                finished.iter().for_each(&mut watch);
                rows.extend(finished);
            }
            LoadEvent::Done(report) => {
                assert!(events.blocking_recv().is_none(), "`Done` is the last event");
                rows.sort_by_key(|row| row.request_id);
                assert_eq!(report.released as usize, rows.len());
                return Told {
                    origin_ns: origin_ns.expect("a start"),
                    rows,
                    report: *report,
                };
            }
        }
    }
}
