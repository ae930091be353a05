//! What the load client is told and what it answers: a turn (one experiment, trial and engine), its events and its report.

use bytes::Bytes;
use schemas::row::{RequestKind, Row};

use super::{histogram::Spread, target::Target};

/// One experiment of one trial on one engine: who is asked, what, and when.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The engine's address.
    pub target: Target,
    /// What every row of the turn carries.
    pub identity: Identity,
    /// When arrivals are released.
    pub schedule: Schedule,
    /// What arrives, in order of release.
    pub arrivals: Vec<ArrivalItem>,
    /// Deadline of a request, from its release to the end of its stream.
    pub request_timeout_ns: u64,
}

/// What every row of a turn carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Number of the (experiment, trial) pair.
    pub expr_id: u32,
    /// Index of the experiment in the plan.
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// Index of the engine in the scenario file's order.
    pub engine_id: u32,
    /// Name of the engine.
    pub engine: String,
}

/// When arrivals are released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At fixed offsets from the turn's origin, one for each arrival, in ascending order. Arrivals without an offset are never released.
    Open {
        /// Offsets in ns.
        offsets_ns: Vec<u64>,
    },
    /// The next arrival when one of `concurrency` is done.
    Closed {
        /// Arrivals under way at once, at least 1.
        concurrency: u32,
    },
}

/// What arrives.
#[derive(Debug, Clone)]
pub enum ArrivalItem {
    /// One request.
    Single(RequestItem),
    /// Requests that are sent at once, as one step.
    Batch(Vec<RequestItem>),
    /// Requests of which each carries the replies to the earlier ones.
    Conversation(Conversation),
}

impl ArrivalItem {
    /// How many requests it consists of.
    pub fn requests(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Batch(items) => items.len(),
            Self::Conversation(conversation) => conversation.turns.len(),
        }
    }
}

/// One request with its body, ready to be sent.
#[derive(Debug, Clone)]
pub struct RequestItem {
    /// What its row says of it.
    pub facts: RequestFacts,
    /// The JSON body in pieces; contexts share their memory.
    pub body: Body,
}

/// The JSON body of a request in pieces that are written one after another without being copied together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    parts: Vec<Bytes>,
    length_bytes: u64,
}

impl Body {
    /// A body of these pieces; empty ones are left out.
    pub fn new(parts: impl IntoIterator<Item = Bytes>) -> Self {
        let parts: Vec<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let length_bytes = parts.iter().map(|part| part.len() as u64).sum();
        Self {
            parts,
            length_bytes,
        }
    }

    /// The pieces in order.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Length of all pieces together: the request's `content-length`.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }
}

/// Turns of one conversation. The body of a turn is
/// `opening question₀ (reply_open reply question_open question)… closing`, with replies as JSON string contents.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// From the first byte to where the first question's text begins.
    pub opening: Bytes,
    /// Between a question's text and the reply to it.
    pub reply_open: Bytes,
    /// Between a reply and the next question's text.
    pub question_open: Bytes,
    /// The turns in order, at least one.
    pub turns: Vec<ConversationTurn>,
}

impl Conversation {
    /// The body of a turn, given the replies to all turns before it as JSON string contents.
    pub(crate) fn body(&self, turn: usize, replies: &[Bytes]) -> Body {
        let mut parts = vec![self.opening.clone()];
        for (earlier, reply) in self.turns.iter().take(turn).zip(replies) {
            parts.extend([
                earlier.question.clone(),
                self.reply_open.clone(),
                reply.clone(),
                self.question_open.clone(),
            ]);
        }
        if let Some(last) = self.turns.get(turn) {
            parts.extend([last.question.clone(), last.closing.clone()]);
        }
        Body::new(parts)
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub struct ConversationTurn {
    /// What its row says of it.
    pub facts: RequestFacts,
    /// The question's text as the content of a JSON string.
    pub question: Bytes,
    /// From the end of the question's text to the last byte.
    pub closing: Bytes,
    /// Pause after the previous turn's last content; 0 for the first turn.
    pub think_time_ns: u64,
}

/// What a row says of its request before it is sent; the fields are those of [`Row`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFacts {
    /// Number of the request within the trial.
    pub request_id: u32,
    /// What it is with respect to the cache.
    pub kind: RequestKind,
    /// Which context, conversation or step it belongs to.
    pub context_id: u32,
    /// Which turn, or which use of its context.
    pub turn: u32,
    /// Tokens of context as planned.
    pub context_tokens: u32,
    /// Tokens of the question as planned.
    pub query_tokens: u32,
    /// Output tokens asked for.
    pub asked_output_tokens: u32,
    /// Prompt tokens planned, where the template's share is known.
    pub planned_prompt_tokens: Option<u32>,
    /// Cached tokens that the engine should report, where they are promised.
    pub expected_cached_tokens: Option<u32>,
}

/// What the client reports while a turn runs.
#[derive(Debug, Clone)]
pub enum LoadEvent {
    /// The schedule begins; offsets count from here.
    Started {
        /// The turn's origin on the run's clock.
        origin_ns: u64,
    },
    /// Requests came to their end, whatever end that was, in this order.
    Finished(Vec<Row>),
    /// The turn is over: the last event.
    Done(Box<TurnReport>),
}

/// What the client says of itself after a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnReport {
    /// The turn's origin on the run's clock.
    pub origin_ns: u64,
    /// When the last request was over.
    pub ended_ns: u64,
    /// Requests in the turn.
    pub planned: u32,
    /// Requests that became due: as many as there are rows.
    pub released: u32,
    /// Most requests in flight at once.
    pub in_flight_peak: u32,
    /// Connections opened.
    pub connections_opened: u32,
    /// Connections found closed before any response byte, and replaced.
    pub reconnects: u32,
    /// Sent − intended over all requests that were sent, in ns; null when none was.
    pub lateness: Option<Spread>,
    /// How much later than due a 1 ms heartbeat of the request thread came, in ns; null when the turn was too short for one.
    pub heartbeat: Option<Spread>,
    /// CPU time of the request thread in this turn.
    pub request_thread_cpu_ns: u64,
    /// CPU time of the parser thread in this turn.
    pub parser_thread_cpu_ns: u64,
}
