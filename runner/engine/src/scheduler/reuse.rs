//! What a request takes over from the tiers, and what it leaves there.

use std::sync::Arc;

use super::Scheduler;
use super::sequence::Sequence;
use crate::hash::ChunkHash;
use crate::kv::KvBlock;
use crate::metrics::Lookup;
use crate::tiers::TierKind;
use crate::tiers::lru::Use;
use crate::tiers::stack::Chunks;

/// What is known of a prompt before it is scheduled.
pub(super) struct Found {
    /// Names of its whole chunks, the one of the last token left out.
    names: Vec<ChunkHash>,
    /// Numbers of its chunks in the prefix tier.
    uses: Option<Use>,
    /// Blocks of the prefix tier that it begins with.
    pub(super) leading: Vec<Arc<KvBlock>>,
}

impl Scheduler {
    fn load_chunk(&self, name: &ChunkHash, sequence: &mut Sequence) -> Option<TierKind> {
        if !self.tiers.exist() {
            return None;
        }
        let mut block = self.pool.block()?;
        let kind = self.tiers.load(name, block.values_mut())?;
        sequence.blocks.push(Arc::new(block));
        sequence.reserved_blocks = sequence.reserved_blocks.saturating_sub(1);
        Some(kind)
    }

    /// Finds the beginning of a prompt in the prefix tier, for a request that needs so many blocks in all.
    pub(super) fn look_up(&mut self, prompt: &[u32], blocks: usize) -> Found {
        let mut found = Found {
            names: Vec::new(),
            uses: None,
            leading: Vec::new(),
        };
        if self.prefix.is_none() && !self.tiers.exist() {
            return found;
        }
        // The last token of a prompt is always computed: its logits are in no cache.
        found.names = self
            .root
            .chain(&prompt[..prompt.len() - 1], self.layout.chunk_tokens);
        if let Some(prefix) = &mut self.prefix {
            let uses = prefix.draw(blocks);
            let blocks = found
                .names
                .iter()
                .enumerate()
                .map_while(|(place, name)| prefix.get(name, uses.of(place)));
            found.leading = blocks.collect();
            found.uses = Some(uses);
        }
        found
    }

    /// Takes over what the tiers have of the prompt, near to far, up to the first chunk that none has.
    pub(super) fn take_cached(&mut self, sequence: &mut Sequence, found: Found) {
        let chunk = self.layout.chunk_tokens;
        let mut lookup = Lookup {
            prompt_tokens: sequence.request.prompt.len() as u64,
            asked_prefix: self.prefix.is_some(),
            asked_local: self.tiers.exist(),
            ..Lookup::default()
        };
        sequence.uses = found.uses;
        let mut leading = found.leading.into_iter();
        for (place, name) in found.names.into_iter().enumerate() {
            if let Some(block) = leading.next() {
                sequence.blocks.push(block);
                lookup.hit(TierKind::Prefix, chunk);
            } else if let Some(block) = self
                .prefix
                .as_mut()
                .zip(found.uses)
                .and_then(|(prefix, uses)| prefix.get(&name, uses.of(place)))
            {
                sequence.blocks.push(block);
                sequence.reserved_blocks = sequence.reserved_blocks.saturating_sub(1);
                lookup.hit(TierKind::Prefix, chunk);
            } else if let Some(kind) = self.load_chunk(&name, sequence) {
                lookup.hit(kind, chunk);
            } else {
                break;
            }
            sequence.computed += chunk;
            self.name_last_chunk(sequence, name);
        }
        sequence.cached_tokens = lookup.cached_tokens();
        self.metrics.count_lookup(&lookup);
    }

    /// Notes the name of the chunk that just became whole and offers its block to later requests.
    fn name_last_chunk(&mut self, sequence: &mut Sequence, name: ChunkHash) {
        let place = sequence.names.len();
        sequence.names.push(name);
        if let (Some(prefix), Some(uses)) = (&mut self.prefix, sequence.uses) {
            let block = prefix.publish(name, Arc::clone(&sequence.blocks[place]), uses.of(place));
            sequence.blocks[place] = block;
        }
    }

    /// Counts tokens as computed and names the chunk that they may have completed.
    pub(super) fn advance(&mut self, sequence: &mut Sequence, tokens: usize) {
        sequence.computed += tokens;
        let chunk = self.layout.chunk_tokens;
        if sequence.computed.is_multiple_of(chunk) && (self.prefix.is_some() || self.tiers.exist())
        {
            let last = sequence.names.last().copied().unwrap_or(self.root);
            let name = last.next(&sequence.tokens[sequence.computed - chunk..sequence.computed]);
            self.name_last_chunk(sequence, name);
        }
    }

    /// Hands the named chunks from `first` on to the tiers outside the engine's memory.
    pub(super) fn store(&self, sequence: &Sequence, first: usize) {
        let named = sequence.names.iter().zip(&sequence.blocks).skip(first);
        let chunks: Chunks = named
            .map(|(name, block)| (*name, Some(Arc::clone(block))))
            .collect();
        self.tiers.store(chunks);
    }
}
