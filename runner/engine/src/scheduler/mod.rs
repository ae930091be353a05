//! Continuous batching on one compute thread: prompts are read in pieces between steps of all running answers.

pub(crate) mod prefix;
mod reuse;
pub(crate) mod sampling;
pub(crate) mod sequence;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;

use crate::error::EngineError;
use crate::generation::{EventStream, GenerationRequest};
use crate::hash::ChunkHash;
use crate::kv::{KvLayout, KvPool};
use crate::metrics::Metrics;
use crate::model::llama::{Llama, Span};
use crate::tiers::stack::LocalTiers;
use prefix::PrefixCache;
use sampling::Vocabulary;
use sequence::{Progress, Sequence, Submission};

/// How long to wait before looking again whether blocks that the writer holds are free.
const RETRY: Duration = Duration::from_millis(1);

/// Everything that the compute thread works with.
pub(crate) struct Scheduler {
    pub(crate) model: Llama,
    pub(crate) layout: KvLayout,
    pub(crate) pool: KvPool,
    pub(crate) prefix: Option<PrefixCache>,
    pub(crate) tiers: LocalTiers,
    pub(crate) save_decode_cache: bool,
    /// Where the chains of chunk names begin.
    pub(crate) root: ChunkHash,
    pub(crate) vocabulary: Vocabulary,
    /// Chunks of a prompt that are computed between two steps of the running answers.
    pub(crate) prefill_chunks: usize,
    pub(crate) max_batch: usize,
    pub(crate) metrics: Arc<Metrics>,
}

/// Hands requests to the compute thread. The thread ends when all handles are gone and its work is done.
#[derive(Clone)]
pub(crate) struct SchedulerHandle {
    submissions: Sender<Submission>,
    metrics: Arc<Metrics>,
}

impl SchedulerHandle {
    /// Puts a request in line. The stream ends at once when the compute thread is gone.
    pub(crate) fn submit(&self, request: GenerationRequest) -> EventStream {
        let (events, receiver) = unbounded_channel();
        self.metrics.waiting.add(1);
        if self
            .submissions
            .send(Submission { request, events })
            .is_err()
        {
            self.metrics.waiting.add(-1);
        }
        EventStream::Computed(receiver)
    }
}

struct Run {
    scheduler: Scheduler,
    submissions: Receiver<Submission>,
    waiting: VecDeque<Submission>,
    running: Vec<Sequence>,
}

impl Scheduler {
    /// Starts the compute thread with `threads` threads under it. The receiver ends when the thread does.
    ///
    /// # Errors
    /// When threads cannot be started.
    pub(crate) fn start(
        self,
        threads: usize,
    ) -> Result<(SchedulerHandle, oneshot::Receiver<()>), EngineError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("compute-{index}"))
            .build()
            .map_err(|error| EngineError::Setup {
                what: "compute threads",
                source: std::io::Error::other(error),
            })?;
        let (submissions, receiver) = channel();
        let (alive, stopped) = oneshot::channel();
        let handle = SchedulerHandle {
            submissions,
            metrics: Arc::clone(&self.metrics),
        };
        let mut run = Run {
            scheduler: self,
            submissions: receiver,
            waiting: VecDeque::new(),
            running: Vec::new(),
        };
        let compute = move || {
            let _alive = alive;
            // Inside the pool: its first thread is then this loop itself, and small operations need no hand-over.
            pool.install(|| run.run());
        };
        std::thread::Builder::new()
            .name("scheduler".to_owned())
            .spawn(compute)
            .map_err(|source| EngineError::Setup {
                what: "the compute thread",
                source,
            })?;
        Ok((handle, stopped))
    }
}

impl Run {
    fn run(&mut self) {
        while self.receive() {
            self.drop_cancelled();
            self.admit();
            self.prefill();
            self.decode();
            self.report();
        }
    }

    /// Takes new requests, waiting for one when there is nothing else to do; false when no more can come.
    fn receive(&mut self) -> bool {
        if self.running.is_empty() {
            let next = if self.waiting.is_empty() {
                self.report();
                self.submissions
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.submissions.recv_timeout(RETRY)
            };
            match next {
                Ok(submission) => self.waiting.push_back(submission),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        loop {
            match self.submissions.try_recv() {
                Ok(submission) => self.waiting.push_back(submission),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn drop_cancelled(&mut self) {
        let before = self.waiting.len();
        self.waiting
            .retain(|submission| !submission.events.is_closed());
        self.scheduler
            .metrics
            .waiting
            .add(self.waiting.len() as i64 - before as i64);
        self.running.retain(|sequence| !sequence.events.is_closed());
    }

    /// Schedules requests in the order of their arrival as long as there are places and memory.
    fn admit(&mut self) {
        while self.running.len() < self.scheduler.max_batch
            && let Some(submission) = self.waiting.pop_front()
        {
            let request = &submission.request;
            // The last generated token needs no KV values of its own.
            let tokens = request.prompt.len() + request.max_tokens - 1;
            let mut blocks = tokens.div_ceil(self.scheduler.layout.chunk_tokens);
            let found = self.scheduler.look_up(&request.prompt, blocks);
            blocks -= found.leading.len().min(blocks);
            if !self.reserve(blocks) {
                self.waiting.push_front(submission);
                return;
            }
            self.scheduler.metrics.waiting.add(-1);
            let mut sequence = Sequence::new(submission, blocks);
            self.scheduler.take_cached(&mut sequence, found);
            self.running.push(sequence);
            self.report();
        }
    }

    /// Whether so many blocks can be promised; what nobody uses makes room.
    fn reserve(&mut self, blocks: usize) -> bool {
        let promised: usize = self
            .running
            .iter()
            .map(|sequence| sequence.reserved_blocks)
            .sum();
        let needed = self.scheduler.pool.live_blocks() + promised + blocks;
        let excess = needed.saturating_sub(self.scheduler.pool.capacity_blocks());
        excess == 0
            || self
                .scheduler
                .prefix
                .as_mut()
                .is_some_and(|prefix| prefix.evict(excess))
    }

    /// Reads the next piece of the oldest prompt that is not read yet.
    fn prefill(&mut self) {
        let Some(index) = self
            .running
            .iter()
            .position(|sequence| !sequence.is_generating())
        else {
            return;
        };
        for _ in 0..self.scheduler.prefill_chunks {
            let sequence = &mut self.running[index];
            match prefill_chunk(&mut self.scheduler, sequence) {
                Ok(Progress::GoesOn) if sequence.is_generating() => return,
                Ok(Progress::GoesOn) => {}
                Ok(Progress::Ended) => {
                    self.running.remove(index);
                    return;
                }
                Err(error) => {
                    sequence.fail(&error.to_string());
                    self.running.remove(index);
                    return;
                }
            }
        }
    }

    /// Gives every answer that is being generated its next token, all in one pass through the model.
    fn decode(&mut self) {
        let scheduler = &mut self.scheduler;
        let chunk = scheduler.layout.chunk_tokens;
        let mut failed = None;
        let mut spans = Vec::new();
        for sequence in self
            .running
            .iter_mut()
            .filter(|sequence| sequence.is_generating())
        {
            if !sequence.grow(&scheduler.pool, chunk) {
                failed = Some("no memory is left for KV values".to_owned());
                break;
            }
            let start = sequence.computed;
            spans.push(Span {
                tokens: &sequence.tokens[start..],
                start,
                blocks: &mut sequence.blocks,
                wants_logits: true,
            });
        }
        if spans.is_empty() && failed.is_none() {
            return;
        }
        let logits = match failed {
            None => scheduler
                .model
                .forward(&mut spans)
                .map_err(|error| error.to_string()),
            Some(reason) => Err(reason),
        };
        match logits {
            Ok(logits) => {
                let mut logits = logits.into_iter();
                self.running.retain_mut(|sequence| {
                    if !sequence.is_generating() {
                        return true;
                    }
                    let Some(logits) = logits.next() else {
                        return false;
                    };
                    let named = sequence.names.len();
                    scheduler.advance(sequence, 1);
                    if scheduler.save_decode_cache && sequence.names.len() > named {
                        scheduler.store(sequence, named);
                    }
                    sequence.step(logits, &scheduler.vocabulary, &scheduler.metrics)
                        == Progress::GoesOn
                });
            }
            Err(reason) => self.running.retain(|sequence| {
                if sequence.is_generating() {
                    sequence.fail(&reason);
                }
                !sequence.is_generating()
            }),
        }
    }

    fn report(&self) {
        let metrics = &self.scheduler.metrics;
        metrics.running.set(self.running.len() as i64);
        metrics
            .kv_blocks_used
            .set(self.scheduler.pool.live_blocks() as u64);
    }
}

/// Reads the prompt up to the end of the chunk it stands in; at the prompt's end comes the first token.
fn prefill_chunk(
    scheduler: &mut Scheduler,
    sequence: &mut Sequence,
) -> candle_core::Result<Progress> {
    let chunk = scheduler.layout.chunk_tokens;
    if !sequence.grow(&scheduler.pool, chunk) {
        candle_core::bail!("no memory is left for KV values");
    }
    let start = sequence.computed;
    let end = (start / chunk * chunk + chunk).min(sequence.tokens.len());
    let wants_logits = end == sequence.tokens.len();
    let span = Span {
        tokens: &sequence.tokens[start..end],
        start,
        blocks: &mut sequence.blocks,
        wants_logits,
    };
    let logits = scheduler.model.forward(&mut [span])?;
    scheduler.advance(sequence, end - start);
    let Some(logits) = logits.into_iter().next() else {
        return Ok(Progress::GoesOn);
    };
    let progress = sequence.step(logits, &scheduler.vocabulary, &scheduler.metrics);
    // After the first token, so that no request waits for the copies of its own chunks.
    scheduler.store(sequence, 0);
    Ok(progress)
}
