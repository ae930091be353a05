//! Requests of the paced mode: looked up in the tiers as usual, then served by the clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::scenario::PacedFailureKind;
use tokio::sync::mpsc::UnboundedSender;

use super::script::Script;
use super::stream::{Ending, Pace, PacedStream};
use super::timer::Timer;
use crate::generation::{EventStream, GenerationRequest};
use crate::hash::ChunkHash;
use crate::metrics::{Lookup, Metrics};
use crate::tiers::TierKind;
use crate::tiers::lru::Lru;
use crate::tiers::stack::{Chunks, LocalTiers};

/// What a paced engine consists of.
pub(crate) struct PacedEngine {
    pub(crate) script: Script,
    pub(crate) timer: Arc<Timer>,
    pub(crate) seed: u64,
    pub(crate) root: ChunkHash,
    pub(crate) chunk_tokens: usize,
    pub(crate) chunk_bytes: u64,
    /// The tier prefix: names only, there are no values.
    pub(crate) prefix: Option<Mutex<Lru<()>>>,
    pub(crate) tiers: LocalTiers,
    /// Ids to answer with.
    pub(crate) vocabulary: std::ops::Range<u32>,
    pub(crate) metrics: Arc<Metrics>,
    /// Requests so far.
    pub(crate) requests: AtomicU64,
    /// Receives the number of the request at which the script ends the engine.
    pub(crate) exit: UnboundedSender<u64>,
}

/// A request that is answered with an HTTP status instead of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScriptedRefusal;

impl PacedEngine {
    /// Starts the clock of a request.
    ///
    /// # Errors
    /// When the script refuses this request.
    pub(crate) fn submit(
        self: &Arc<Self>,
        request: &GenerationRequest,
    ) -> Result<EventStream, ScriptedRefusal> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let failure = self
            .script
            .failure(number)
            .map(|failure| (failure.how, u64::from(failure.after_events)));
        if let Some((PacedFailureKind::Http500, _)) = failure {
            return Err(ScriptedRefusal);
        }
        let (lookup, names) = self.look_up(&request.prompt);
        self.metrics.count_lookup(&lookup);
        self.metrics.running.add(1);
        let seed = self.root.next(&request.prompt);
        let mut generator = ChaCha8Rng::from_seed(*seed.bytes());
        // Jitter is another draw for every request and engine, words are the same for the same prompt.
        let jitter = ChaCha8Rng::seed_from_u64(
            self.seed ^ generator.random::<u64>().rotate_left(number as u32 % 64),
        );
        let pace = Pace {
            start_ns: request.received_ns,
            first_token_ns: self.script.first_token_ns(&lookup),
            token_ns: self.script.time_per_output_token_ns as f64,
            jitter: (self.script.jitter > 0.0).then_some((self.script.jitter, jitter)),
        };
        let ending = match failure {
            None | Some((PacedFailureKind::Http500, _)) => Ending::Complete,
            Some((PacedFailureKind::Exit, after)) => Ending::Exit { after, number },
            Some((kind, after)) => Ending::Failure { kind, after },
        };
        Ok(EventStream::Paced(Box::new(PacedStream::new(
            Arc::clone(self),
            pace,
            generator,
            request.max_tokens as u64,
            lookup.cached_tokens(),
            names,
            ending,
        ))))
    }

    /// Finds the prompt's whole chunks in the tiers, up to the first that none has.
    fn look_up(&self, prompt: &[u32]) -> (Lookup, Vec<ChunkHash>) {
        let mut lookup = Lookup {
            prompt_tokens: prompt.len() as u64,
            asked_prefix: self.prefix.is_some(),
            asked_local: self.tiers.exist(),
            ..Lookup::default()
        };
        if !lookup.asked_prefix && !lookup.asked_local {
            return (lookup, Vec::new());
        }
        let names = self.root.chain(prompt, self.chunk_tokens);
        let candidates = (prompt.len() - 1) / self.chunk_tokens;
        for name in &names[..candidates] {
            let near = self
                .prefix
                .as_ref()
                .map(|prefix| prefix.lock().unwrap_or_else(PoisonError::into_inner));
            if near.is_some_and(|prefix| prefix.contains(name)) {
                lookup.hit(TierKind::Prefix, self.chunk_tokens);
            } else if let Some(kind) = self.tiers.load(name, &mut []) {
                lookup.hit(kind, self.chunk_tokens);
            } else {
                break;
            }
        }
        (lookup, names)
    }

    /// Keeps the chunks of a prompt that has just been read.
    pub(crate) fn store(&self, names: &[ChunkHash]) {
        if let Some(prefix) = &self.prefix {
            let mut prefix = prefix.lock().unwrap_or_else(PoisonError::into_inner);
            let tier = self.metrics.tier(TierKind::Prefix);
            let uses = prefix.draw(names.len());
            for (place, name) in names.iter().enumerate() {
                if prefix.touch(name, uses.of(place)) {
                    continue;
                }
                let Some(evicted) = prefix.make_room(self.chunk_bytes, uses.before(), |()| true)
                else {
                    break;
                };
                prefix.insert(*name, self.chunk_bytes, uses.of(place), ());
                tier.evicted_chunks.add(evicted.len() as u64);
                tier.stored_chunks.add(1);
            }
            tier.used_bytes.set(prefix.used_bytes());
        }
        let chunks: Chunks = names.iter().map(|name| (*name, None)).collect();
        self.tiers.store(chunks);
    }
}
