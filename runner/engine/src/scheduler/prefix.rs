//! The tier `prefix`: full blocks of the engine's own memory that later requests can use as they are.

use std::sync::Arc;

use crate::hash::ChunkHash;
use crate::kv::{KvBlock, KvPool};
use crate::metrics::Metrics;
use crate::tiers::TierKind;
use crate::tiers::lru::{Lru, Use};

/// Full blocks by their names. Those that no request uses make room when others need it.
pub(crate) struct PrefixCache {
    blocks: Lru<Arc<KvBlock>>,
    block_bytes: u64,
    metrics: Arc<Metrics>,
}

impl PrefixCache {
    pub(crate) fn new(pool: &KvPool, block_bytes: u64, metrics: Arc<Metrics>) -> Self {
        let capacity_bytes = pool.capacity_blocks() as u64 * block_bytes;
        metrics
            .tier(TierKind::Prefix)
            .capacity_bytes
            .set(capacity_bytes);
        Self {
            blocks: Lru::new(capacity_bytes),
            block_bytes,
            metrics,
        }
    }

    /// Numbers for the chunks of one context.
    pub(crate) fn draw(&mut self, chunks: usize) -> Use {
        self.blocks.draw(chunks)
    }

    /// The block of a name, marked as used.
    pub(crate) fn get(&mut self, hash: &ChunkHash, used: u64) -> Option<Arc<KvBlock>> {
        self.blocks.touch(hash, used);
        self.blocks.get(hash).cloned()
    }

    /// Offers a full block to later requests. Returns the block to go on with: one of the same name that was there
    /// already has the same values, and two copies would waste memory.
    pub(crate) fn publish(
        &mut self,
        hash: ChunkHash,
        block: Arc<KvBlock>,
        used: u64,
    ) -> Arc<KvBlock> {
        if let Some(existing) = self.get(&hash, used) {
            return existing;
        }
        self.blocks
            .insert(hash, self.block_bytes, used, Arc::clone(&block));
        let tier = self.metrics.tier(TierKind::Prefix);
        tier.stored_chunks.add(1);
        tier.used_bytes.set(self.blocks.used_bytes());
        block
    }

    /// Gives so many blocks that nobody else holds back to the pool; false, and nothing is given, when there are not
    /// enough.
    pub(crate) fn evict(&mut self, blocks: usize) -> bool {
        let unused = |block: &Arc<KvBlock>| Arc::strong_count(block) == 1;
        let Some(evicted) = self
            .blocks
            .evict(blocks as u64 * self.block_bytes, u64::MAX, unused)
        else {
            return false;
        };
        let tier = self.metrics.tier(TierKind::Prefix);
        tier.evicted_chunks.add(evicted.len() as u64);
        tier.used_bytes.set(self.blocks.used_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvLayout;

    #[test]
    fn blocks_in_use_stay_and_doubles_are_dropped() {
        let layout = KvLayout {
            chunk_tokens: 16,
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
        };
        let pool = KvPool::new(&layout, 3);
        let mut cache = PrefixCache::new(&pool, layout.block_bytes(), Arc::new(Metrics::new("m")));
        let names: Vec<_> = (0..2u8).map(|i| ChunkHash::root(&[i])).collect();
        let uses = cache.draw(2);
        let held = cache.publish(names[0], Arc::new(pool.block().unwrap()), uses.of(0));
        let double = cache.publish(names[0], Arc::new(pool.block().unwrap()), uses.of(0));
        assert!(Arc::ptr_eq(&held, &double));
        drop(cache.publish(names[1], Arc::new(pool.block().unwrap()), uses.of(1)));
        assert_eq!(pool.live_blocks(), 2);
        assert!(!cache.evict(2));
        assert!(cache.evict(1));
        assert_eq!(pool.live_blocks(), 1);
        assert!(cache.get(&names[1], 9).is_none());
        drop((held, double));
        assert!(cache.evict(1));
        assert_eq!(pool.live_blocks(), 0);
    }
}
