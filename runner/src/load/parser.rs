//! The parser thread: takes finished exchanges, makes rows of them, and tells the driver how conversations go on.

use std::{collections::HashMap, sync::mpsc::Receiver};

use bytes::Bytes;
use schemas::row::{Outcome, Row};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{
    driver::Counts,
    exchange::{End, Exchange, Intended, Stop},
    histogram::Histogram,
    rows::make_row,
    turn::{Body, Conversation, Identity, LoadEvent, RequestFacts, TurnReport},
};
use crate::{
    clock::{RunClock, thread_cpu_ns},
    prompt::json_content,
};

/// What the request thread tells the parser thread.
pub(super) enum ToParser {
    /// A turn begins.
    Begin(Box<Beginning>),
    /// Its schedule begins.
    Started { origin_ns: u64 },
    /// Requests are over, in this order.
    Finished(Vec<Exchange>),
    /// The turn is over.
    Over {
        counts: Counts,
        request_thread_cpu_ns: u64,
    },
}

/// What the parser thread needs to know of a turn.
pub(super) struct Beginning {
    pub(super) identity: Identity,
    pub(super) planned: u32,
    pub(super) conversations: HashMap<u32, Conversation>,
    pub(super) events: mpsc::Sender<LoadEvent>,
    pub(super) hand_backs: UnboundedSender<HandBack>,
}

/// What the parser thread tells the driver.
pub(super) enum HandBack {
    /// The next turn of a conversation.
    FollowUp {
        arrival: u32,
        facts: RequestFacts,
        body: Body,
        intended_ns: u64,
    },
    /// A conversation is over.
    Over { arrival: u32 },
}

/// A turn as the parser thread sees it.
struct Progress {
    identity: Identity,
    planned: u32,
    conversations: HashMap<u32, Talk>,
    events: mpsc::Sender<LoadEvent>,
    hand_backs: UnboundedSender<HandBack>,
    /// Last content of each arrival so far.
    ends_ns: HashMap<u32, u64>,
    lateness: Histogram,
    released: u32,
    cpu_at_start_ns: u64,
}

/// A conversation under way.
struct Talk {
    conversation: Conversation,
    replies: Vec<Bytes>,
}

/// Serves turns until the request thread is gone.
pub(super) fn serve(messages: Receiver<ToParser>, clock: RunClock) {
    let mut progress: Option<Progress> = None;
    for message in messages {
        match (message, &mut progress) {
            (ToParser::Begin(beginning), progress) => *progress = Some(Progress::new(*beginning)),
            (ToParser::Started { origin_ns }, Some(progress)) => {
                progress.emit(LoadEvent::Started { origin_ns })
            }
            (ToParser::Finished(exchanges), Some(progress)) => progress.finish(exchanges, &clock),
            (
                ToParser::Over {
                    counts,
                    request_thread_cpu_ns,
                },
                current @ Some(_),
            ) => {
                if let Some(progress) = current.take() {
                    progress.report(counts, request_thread_cpu_ns);
                }
            }
            // Nothing is told of a turn that has not begun.
            (ToParser::Started { .. } | ToParser::Finished(_) | ToParser::Over { .. }, None) => {}
        }
    }
}

impl Progress {
    fn new(beginning: Beginning) -> Self {
        let talks = beginning.conversations.into_iter();
        Self {
            identity: beginning.identity,
            planned: beginning.planned,
            conversations: talks
                .map(|(arrival, conversation)| {
                    (
                        arrival,
                        Talk {
                            conversation,
                            replies: Vec::new(),
                        },
                    )
                })
                .collect(),
            events: beginning.events,
            hand_backs: beginning.hand_backs,
            ends_ns: HashMap::new(),
            lateness: Histogram::new(),
            released: 0,
            cpu_at_start_ns: thread_cpu_ns(),
        }
    }

    fn finish(&mut self, exchanges: Vec<Exchange>, clock: &RunClock) {
        let mut rows = Vec::with_capacity(exchanges.len());
        for exchange in exchanges {
            self.make_rows(exchange, clock, &mut rows);
        }
        // Their number fits, as the plan's does.
        self.released += rows.len() as u32;
        self.emit(LoadEvent::Finished(rows));
    }

    fn make_rows(&mut self, exchange: Exchange, clock: &RunClock, rows: &mut Vec<Row>) {
        let arrival = exchange.arrival;
        let intended_ns = match exchange.intended {
            Intended::At(at_ns) => at_ns,
            // The other arrival has finished before this one began, so its end is known; all its requests have rows.
            Intended::After { arrival } => self.ends_ns.get(&arrival).copied().unwrap_or(0),
        };
        let stopped = match &exchange.end {
            End::Stopped(Stop::Cancelled | Stop::EngineExited) | End::NotSent(_) => true,
            End::Stopped(Stop::Deadline)
            | End::Complete
            | End::Refused(_)
            | End::Lost(_)
            | End::Malformed(_) => false,
        };
        let row = make_row(&self.identity, exchange, intended_ns, clock);
        let end_ns = row.last_content_ns.or(row.done_ns).unwrap_or(intended_ns);
        let latest_ns = self.ends_ns.entry(arrival).or_default();
        *latest_ns = end_ns.max(*latest_ns);
        if let Some(sent_ns) = row.sent_ns {
            self.lateness.add(sent_ns.saturating_sub(intended_ns));
        }
        // Before the rows go out, which may have to wait for their reader.
        let unsent = if stopped {
            Vec::new()
        } else {
            self.go_on(arrival, &row, end_ns, clock)
        };
        rows.push(row);
        rows.extend(unsent);
    }

    /// Goes on with a conversation. A turn without a reply ends it: gives the rows of those that cannot be asked any more.
    fn go_on(&mut self, arrival: u32, row: &Row, end_ns: u64, clock: &RunClock) -> Vec<Row> {
        let Some(talk) = self.conversations.get_mut(&arrival) else {
            return Vec::new();
        };
        let next = talk.replies.len() + 1;
        let reply = match row.outcome {
            Outcome::Ok | Outcome::Truncated => row.text.as_deref(),
            Outcome::Refused
            | Outcome::HttpStatus
            | Outcome::Timeout
            | Outcome::ConnectionLost
            | Outcome::StreamError
            | Outcome::BadStream
            | Outcome::EngineExited
            | Outcome::Cancelled
            | Outcome::NotSent => None,
        };
        let hand_back = match (reply, talk.conversation.turns.get(next)) {
            (Some(reply), Some(turn)) => {
                talk.replies.push(json_content(reply));
                HandBack::FollowUp {
                    arrival,
                    facts: turn.facts.clone(),
                    body: talk.conversation.body(next, &talk.replies),
                    intended_ns: end_ns + turn.think_time_ns,
                }
            }
            (None, Some(_)) | (_, None) => HandBack::Over { arrival },
        };
        let mut unsent = Vec::new();
        if matches!(hand_back, HandBack::Over { .. })
            && let Some(talk) = self.conversations.remove(&arrival)
        {
            let mut due_ns = end_ns;
            for turn in talk.conversation.turns.into_iter().skip(next) {
                due_ns += turn.think_time_ns;
                let mut exchange = Exchange::new(turn.facts, arrival, Intended::At(due_ns));
                exchange.end = End::NotSent(format!(
                    "turn {} of its conversation brought no reply",
                    row.turn
                ));
                unsent.push(make_row(&self.identity, exchange, due_ns, clock));
            }
        }
        // The driver no longer listens when the turn was stopped.
        let _ = self.hand_backs.send(hand_back);
        unsent
    }

    fn report(self, counts: Counts, request_thread_cpu_ns: u64) {
        let report = TurnReport {
            origin_ns: counts.origin_ns,
            ended_ns: counts.ended_ns,
            planned: self.planned,
            released: self.released,
            in_flight_peak: counts.in_flight_peak,
            connections_opened: counts.connections_opened,
            reconnects: counts.reconnects,
            lateness: self.lateness.spread(),
            heartbeat: counts.heartbeat,
            request_thread_cpu_ns,
            parser_thread_cpu_ns: thread_cpu_ns().saturating_sub(self.cpu_at_start_ns),
        };
        self.emit(LoadEvent::Done(Box::new(report)));
    }

    fn emit(&self, event: LoadEvent) {
        // A reader that has left does not stop the turn.
        let _ = self.events.blocking_send(event);
    }
}
