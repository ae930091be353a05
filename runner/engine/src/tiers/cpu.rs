//! Chunks in host memory, copied in and out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::lru::{Lru, Use};
use super::{ChunkValues, TierKind, values_of};
use crate::hash::ChunkHash;
use crate::metrics::Metrics;

/// `None`: the place is taken and the copy is being made.
type Copied = Option<Box<[f32]>>;

/// The tier `local-cpu`.
pub(crate) struct CpuTier {
    chunks: Mutex<Lru<Copied>>,
    chunk_bytes: u64,
    metrics: Arc<Metrics>,
}

impl CpuTier {
    /// A tier of `capacity_bytes` for chunks of `chunk_bytes` each.
    pub(crate) fn new(capacity_bytes: u64, chunk_bytes: u64, metrics: Arc<Metrics>) -> Self {
        metrics
            .tier(TierKind::LocalCpu)
            .capacity_bytes
            .set(capacity_bytes);
        Self {
            chunks: Mutex::new(Lru::new(capacity_bytes)),
            chunk_bytes,
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lru<Copied>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers for the chunks of one context.
    pub(crate) fn draw(&self, chunks: usize) -> Use {
        self.lock().draw(chunks)
    }

    /// Copies a chunk's values into `output`; false when it is not here.
    pub(crate) fn load(&self, hash: &ChunkHash, output: &mut [f32]) -> bool {
        let chunks = self.lock();
        let Some(Some(values)) = chunks.get(hash) else {
            return false;
        };
        output.copy_from_slice(values);
        self.metrics
            .tier(TierKind::LocalCpu)
            .read_bytes
            .add(self.chunk_bytes);
        true
    }

    /// Marks a chunk as used, or copies it in where there is room. What other contexts left longest unused makes
    /// room; a context too large for the tier keeps its beginning.
    pub(crate) fn store(&self, hash: ChunkHash, values: &ChunkValues, uses: Use, place: usize) {
        let tier = self.metrics.tier(TierKind::LocalCpu);
        {
            let mut chunks = self.lock();
            if chunks.touch(&hash, uses.of(place)) {
                return;
            }
            let Some(evicted) = chunks.make_room(self.chunk_bytes, uses.before(), Option::is_some)
            else {
                return;
            };
            chunks.insert(hash, self.chunk_bytes, uses.of(place), None);
            tier.evicted_chunks.add(evicted.len() as u64);
            tier.used_bytes.set(chunks.used_bytes());
        }
        let copy = Box::from(values_of(values));
        if let Some(slot) = self.lock().get_mut(&hash) {
            *slot = Some(copy);
        }
        tier.stored_chunks.add(1);
        tier.written_bytes.add(self.chunk_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvLayout, KvPool};

    #[test]
    fn keeps_a_copy_and_stays_within_its_capacity() {
        let layout = KvLayout {
            chunk_tokens: 16,
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
        };
        let bytes = layout.block_bytes();
        let metrics = Arc::new(Metrics::new("model"));
        let tier = CpuTier::new(2 * bytes + 1, bytes, Arc::clone(&metrics));
        let pool = KvPool::new(&layout, 2);
        let names: Vec<_> = (0..4u8).map(|i| ChunkHash::root(&[i])).collect();
        for (index, name) in names.iter().enumerate() {
            let mut block = pool.block().unwrap();
            block.values_mut().fill(index as f32);
            tier.store(*name, &Some(Arc::new(block)), tier.draw(1), 0);
            assert!(tier.lock().used_bytes() <= 2 * bytes);
        }
        let mut values = vec![0f32; layout.block_values()];
        assert!(!tier.load(&names[1], &mut values));
        assert!(tier.load(&names[2], &mut values));
        assert!(values.iter().all(|value| *value == 2.0));
        assert_eq!(metrics.tier(TierKind::LocalCpu).evicted_chunks.get(), 2);
    }

    #[test]
    fn a_context_that_is_too_large_keeps_its_beginning() {
        let metrics = Arc::new(Metrics::new("model"));
        let tier = CpuTier::new(30, 10, metrics);
        let uses = tier.draw(5);
        let names: Vec<_> = (0..5u8).map(|i| ChunkHash::root(&[i])).collect();
        names
            .iter()
            .enumerate()
            .for_each(|(place, name)| tier.store(*name, &None, uses, place));
        let here: Vec<bool> = names.iter().map(|name| tier.load(name, &mut [])).collect();
        assert_eq!(here, [true, true, true, false, false]);
    }
}
