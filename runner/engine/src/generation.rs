//! What is asked of the engine and what it answers, whichever way it spends the time.

use std::task::{Context, Poll};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::paced::stream::PacedStream;

/// One prompt to continue.
#[derive(Clone, Debug)]
pub(crate) struct GenerationRequest {
    /// At least one token.
    pub(crate) prompt: Vec<u32>,
    /// At least 1; prompt and output fit into the model.
    pub(crate) max_tokens: usize,
    pub(crate) min_tokens: usize,
    /// Go on after an id that ends the text; such ids are then not generated at all.
    pub(crate) ignore_eos: bool,
    pub(crate) sampling: Sampling,
    /// When the request arrived, nanoseconds of the monotonic clock.
    pub(crate) received_ns: u64,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampling {
    /// 0 takes the most likely token.
    pub(crate) temperature: f32,
    /// The smallest set of tokens that has this share of the probability is drawn from.
    pub(crate) top_p: f32,
    pub(crate) seed: u64,
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum GenerationEvent {
    /// A generated id.
    Token(u32),
    /// The answer is complete.
    Finished(Summary),
    /// The answer cannot be completed.
    Failed(String),
    /// The paced script says that the connection breaks here.
    Cut,
    /// The paced script says that something else than a stream comes here.
    Garbage,
}

/// What is known about an answer when it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) reason: FinishReason,
    /// Prompt tokens whose KV values came from a tier.
    pub(crate) cached_tokens: u64,
    /// When the request left the line, nanoseconds of the monotonic clock.
    pub(crate) scheduled_ns: u64,
    /// When the first token was known, nanoseconds of the monotonic clock.
    pub(crate) first_token_ns: u64,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// An id that ends the text.
    Stop,
    /// As many tokens as were asked for.
    Length,
}

impl FinishReason {
    /// The name in OpenAI's answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// The events of one answer. Dropping it cancels the generation.
pub(crate) enum EventStream {
    /// Computed by the scheduler.
    Computed(UnboundedReceiver<GenerationEvent>),
    /// Served by the clock.
    Paced(Box<PacedStream>),
}

impl EventStream {
    /// The next event; `None` when the answer ended without [`GenerationEvent::Finished`].
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<GenerationEvent>> {
        match self {
            Self::Computed(events) => events.poll_recv(context),
            Self::Paced(stream) => stream.poll_next(context).map(Some),
        }
    }
}
