//! One request and the raw answer to it: bytes and the times they arrived, nothing interpreted.

use super::turn::RequestFacts;

/// When a request was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intended {
    /// At this time on the run's clock.
    At(u64),
    /// Right after the last content of this arrival. The time becomes known when that arrival's answers are parsed.
    After { arrival: u32 },
}

/// What ended an exchange, as far as the connection can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The answer is whole by the rules of HTTP.
    Complete,
    /// No connection could be opened.
    Refused(String),
    /// The connection broke.
    Lost(String),
    /// The bytes are not HTTP.
    Malformed(String),
    /// Somebody ended it.
    Stopped(Stop),
    /// It was due, but there was no time to send it.
    NotSent(String),
}

/// Why an exchange is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its deadline passed.
    Deadline,
    /// The run was interrupted.
    Cancelled,
    /// The engine's process ended.
    EngineExited,
}

/// Up to which byte the answer had arrived at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) end: usize,
    pub(super) at_ns: u64,
}

/// The answer's bytes and when they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    pub(super) bytes: Vec<u8>,
    pub(super) marks: Vec<Mark>,
}

impl Recording {
    /// With room for the answer to a request for this many tokens.
    pub fn for_tokens(tokens: u32) -> Self {
        let mut recording = Self::default();
        recording.clear_for_tokens(tokens);
        recording
    }

    /// Empty again, with room for the answer to a request for this many tokens, so that appending seldom has to move it.
    pub(super) fn clear_for_tokens(&mut self, tokens: u32) {
        // A chunk of one token is 180 to 300 bytes; pages that stay untouched cost nothing.
        const CHUNK_BYTES: usize = 256;
        const OVERHEAD_CHUNKS: usize = 4;
        // A request for a very long answer may end early: it grows as it comes.
        const CHUNKS_MAX: usize = 4096;
        let chunks = (tokens as usize + OVERHEAD_CHUNKS).min(CHUNKS_MAX);
        self.bytes.clear();
        self.bytes.reserve(chunks * CHUNK_BYTES);
        self.marks.clear();
        self.marks.reserve(chunks);
    }

    /// Appends bytes that arrived at a time (a stamp of the run's clock); bytes of one read share a mark.
    pub fn append(&mut self, bytes: &[u8], at_ns: u64) {
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        match self.marks.last_mut() {
            Some(mark) if mark.at_ns == at_ns => mark.end = end,
            _ => self.marks.push(Mark { end, at_ns }),
        }
    }
}

/// One request and the raw answer to it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) facts: RequestFacts,
    pub(super) arrival: u32,
    pub(super) intended: Intended,
    pub(super) connect_ns: Option<u64>,
    pub(super) connected_ns: Option<u64>,
    pub(super) sent_ns: Option<u64>,
    pub(super) headers_ns: Option<u64>,
    pub(super) done_ns: Option<u64>,
    pub(super) http_status: Option<u16>,
    pub(super) reconnects: u32,
    pub(super) recording: Recording,
    pub(super) end: End,
}

impl Exchange {
    /// One that has not begun.
    pub(super) fn new(facts: RequestFacts, arrival: u32, intended: Intended) -> Self {
        Self {
            facts,
            arrival,
            intended,
            connect_ns: None,
            connected_ns: None,
            sent_ns: None,
            headers_ns: None,
            done_ns: None,
            http_status: None,
            reconnects: 0,
            recording: Recording::default(),
            end: End::Complete,
        }
    }
}
