//! One answer of the paced mode: tokens become due by the clock, whoever looks.

use std::sync::Arc;
use std::task::{Context, Poll};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use schemas::scenario::PacedFailureKind;

use super::engine::PacedEngine;
use crate::clock::now_ns;
use crate::generation::{FinishReason, GenerationEvent, Summary};
use crate::hash::ChunkHash;

/// The times of one answer.
pub(crate) struct Pace {
    /// When the request arrived.
    pub(crate) start_ns: u64,
    /// From arrival to the first token.
    pub(crate) first_token_ns: f64,
    /// From one token to the next.
    pub(crate) token_ns: f64,
    /// Standard deviation of the logarithm of every time, and where it is drawn from.
    pub(crate) jitter: Option<(f64, ChaCha8Rng)>,
}

impl Pace {
    fn spread(&mut self, time_ns: f64) -> u64 {
        let factor = self.jitter.as_mut().map_or(1.0, |(deviation, generator)| {
            let normal: f64 = StandardNormal.sample(generator);
            (normal * *deviation).exp()
        });
        (time_ns * factor) as u64
    }
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Failure {
        kind: PacedFailureKind,
        after: u64,
    },
    /// The engine ends; `number` is the request's.
    Exit {
        after: u64,
        number: u64,
    },
}

/// The events of one answer.
pub(crate) struct PacedStream {
    engine: Arc<PacedEngine>,
    pace: Pace,
    words: ChaCha8Rng,
    max_tokens: u64,
    cached_tokens: u64,
    /// Chunks of the prompt, kept once it is read.
    names: Vec<ChunkHash>,
    ending: Ending,
    sent: u64,
    due_ns: u64,
    /// The time for which an alarm is set; more than one would wake the task more than once.
    alarm_ns: u64,
    first_token_ns: u64,
    over: bool,
}

impl PacedStream {
    pub(crate) fn new(
        engine: Arc<PacedEngine>,
        mut pace: Pace,
        words: ChaCha8Rng,
        max_tokens: u64,
        cached_tokens: u64,
        names: Vec<ChunkHash>,
        ending: Ending,
    ) -> Self {
        let due_ns = pace.start_ns + pace.spread(pace.first_token_ns);
        Self {
            engine,
            pace,
            words,
            max_tokens,
            cached_tokens,
            names,
            ending,
            sent: 0,
            due_ns,
            alarm_ns: 0,
            first_token_ns: 0,
            over: false,
        }
    }

    /// The next event, once it is due.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<GenerationEvent> {
        if self.over {
            return Poll::Pending;
        }
        let now_ns = if self.due_ns > self.pace.start_ns {
            now_ns()
        } else {
            self.pace.start_ns
        };
        if now_ns < self.due_ns {
            if self.alarm_ns != self.due_ns {
                self.alarm_ns = self.due_ns;
                self.engine
                    .timer
                    .wake_at(self.due_ns, context.waker().clone());
            }
            return Poll::Pending;
        }
        if let Some(event) = self.scripted_end() {
            self.over = true;
            return event;
        }
        if self.sent == self.max_tokens {
            self.over = true;
            self.engine.metrics.full_length_requests.add(1);
            return Poll::Ready(GenerationEvent::Finished(self.summary()));
        }
        if self.sent == 0 {
            self.first_token_ns = self.due_ns;
            self.engine
                .metrics
                .observe_ttft_ns(self.due_ns - self.pace.start_ns);
            self.engine.store(&self.names);
        }
        self.sent += 1;
        self.engine.metrics.generation_tokens.add(1);
        if self.sent < self.max_tokens {
            self.due_ns += self.pace.spread(self.pace.token_ns);
        }
        Poll::Ready(GenerationEvent::Token(
            self.words.random_range(self.engine.vocabulary.clone()),
        ))
    }

    /// What the script puts in place of the next event, if it is its turn.
    fn scripted_end(&mut self) -> Option<Poll<GenerationEvent>> {
        match self.ending {
            Ending::Failure { kind, after } if self.sent >= after => match kind {
                PacedFailureKind::Cut => Some(Poll::Ready(GenerationEvent::Cut)),
                PacedFailureKind::Garbage => Some(Poll::Ready(GenerationEvent::Garbage)),
                PacedFailureKind::ErrorEvent => {
                    let reason = "the paced script fails this request".to_owned();
                    Some(Poll::Ready(GenerationEvent::Failed(reason)))
                }
                PacedFailureKind::Short => {
                    Some(Poll::Ready(GenerationEvent::Finished(self.summary())))
                }
                PacedFailureKind::Stall => Some(Poll::Pending),
                PacedFailureKind::Http500 | PacedFailureKind::Exit => None,
            },
            Ending::Exit { after, number } if self.sent >= after => {
                if self.engine.exit.send(number).is_err() {
                    // The engine is ending already.
                }
                Some(Poll::Pending)
            }
            Ending::Complete | Ending::Failure { .. } | Ending::Exit { .. } => None,
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            reason: FinishReason::Length,
            cached_tokens: self.cached_tokens,
            scheduled_ns: self.pace.start_ns,
            first_token_ns: self.first_token_ns.max(self.pace.start_ns),
        }
    }
}

impl Drop for PacedStream {
    fn drop(&mut self) {
        self.engine.metrics.running.add(-1);
    }
}
