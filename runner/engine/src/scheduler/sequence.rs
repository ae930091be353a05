//! One request on its way through the engine.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::sampling::{Sampler, Vocabulary};
use crate::clock::now_ns;
use crate::generation::{FinishReason, GenerationEvent, GenerationRequest, Summary};
use crate::hash::ChunkHash;
use crate::kv::{KvBlock, KvPool};
use crate::metrics::Metrics;
use crate::tiers::lru::Use;

/// A request that waits to be scheduled, and where its events go.
pub(crate) struct Submission {
    pub(crate) request: GenerationRequest,
    pub(crate) events: UnboundedSender<GenerationEvent>,
}

/// A scheduled request.
pub(crate) struct Sequence {
    pub(crate) request: GenerationRequest,
    pub(crate) events: UnboundedSender<GenerationEvent>,
    /// Prompt and output.
    pub(crate) tokens: Vec<u32>,
    /// Tokens whose KV values are in `blocks`.
    pub(crate) computed: usize,
    pub(crate) blocks: Vec<Arc<KvBlock>>,
    /// Blocks that it may still take from the pool.
    pub(crate) reserved_blocks: usize,
    /// Names of the whole chunks of `tokens` that have KV values.
    pub(crate) names: Vec<ChunkHash>,
    /// Numbers of its chunks in the prefix tier.
    pub(crate) uses: Option<Use>,
    pub(crate) cached_tokens: u64,
    pub(crate) scheduled_ns: u64,
    pub(crate) first_token_ns: u64,
    sampler: Sampler,
}

/// What a token did to its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    GoesOn,
    Ended,
}

impl Sequence {
    pub(crate) fn new(submission: Submission, reserved_blocks: usize) -> Self {
        let Submission { request, events } = submission;
        Self {
            tokens: request.prompt.clone(),
            computed: 0,
            blocks: Vec::new(),
            reserved_blocks,
            names: Vec::new(),
            uses: None,
            cached_tokens: 0,
            scheduled_ns: now_ns(),
            first_token_ns: 0,
            sampler: Sampler::new(request.sampling),
            request,
            events,
        }
    }

    /// Whether the whole prompt has been read.
    pub(crate) fn is_generating(&self) -> bool {
        self.tokens.len() > self.request.prompt.len()
    }

    /// Makes sure that there is a block for the next token; false when the pool is full, which the reservation made
    /// when the request was scheduled rules out.
    pub(crate) fn grow(&mut self, pool: &KvPool, chunk_tokens: usize) -> bool {
        if self.computed / chunk_tokens < self.blocks.len() {
            return true;
        }
        let Some(block) = pool.block() else {
            return false;
        };
        self.blocks.push(Arc::new(block));
        self.reserved_blocks = self.reserved_blocks.saturating_sub(1);
        true
    }

    /// Chooses the next token, tells the client, and says whether the answer is complete.
    pub(crate) fn step(
        &mut self,
        mut logits: Vec<f32>,
        vocabulary: &Vocabulary,
        metrics: &Metrics,
    ) -> Progress {
        let generated = self.tokens.len() - self.request.prompt.len();
        let may_end = !self.request.ignore_eos && generated >= self.request.min_tokens;
        let id = self.sampler.next(&mut logits, vocabulary, may_end);
        self.tokens.push(id);
        metrics.generation_tokens.add(1);
        if generated == 0 {
            self.first_token_ns = now_ns();
            metrics.observe_ttft_ns(self.first_token_ns.saturating_sub(self.request.received_ns));
        }
        self.send(GenerationEvent::Token(id));
        let reason = if vocabulary.ends_text(id) {
            metrics.stopped_requests.add(1);
            FinishReason::Stop
        } else if generated + 1 == self.request.max_tokens {
            metrics.full_length_requests.add(1);
            FinishReason::Length
        } else {
            return Progress::GoesOn;
        };
        self.send(GenerationEvent::Finished(Summary {
            reason,
            cached_tokens: self.cached_tokens,
            scheduled_ns: self.scheduled_ns,
            first_token_ns: self.first_token_ns,
        }));
        Progress::Ended
    }

    /// Tells the client that the answer cannot be completed.
    pub(crate) fn fail(&self, reason: &str) {
        self.send(GenerationEvent::Failed(reason.to_owned()));
    }

    fn send(&self, event: GenerationEvent) {
        if self.events.send(event).is_err() {
            // The client is gone; the scheduler drops the sequence before its next step.
        }
    }
}
