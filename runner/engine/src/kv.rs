//! The engine's own KV memory: blocks of one chunk of tokens, counted so that their bytes stay within a capacity.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::config::ModelShape;

/// Where the keys and values of a layer and a head stand in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvLayout {
    /// Tokens in a block.
    pub(crate) chunk_tokens: usize,
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl KvLayout {
    pub(crate) fn new(shape: &ModelShape, chunk_tokens: usize) -> Self {
        Self {
            chunk_tokens,
            layers: shape.layers,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
        }
    }

    /// f32 values in a block.
    pub(crate) fn block_values(&self) -> usize {
        self.layers * self.kv_heads * 2 * self.head_values()
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(&self) -> u64 {
        (self.block_values() * size_of::<f32>()) as u64
    }

    fn head_values(&self) -> usize {
        self.chunk_tokens * self.head_dim
    }

    fn start(&self, layer: usize, kv_head: usize) -> usize {
        (layer * self.kv_heads + kv_head) * 2 * self.head_values()
    }

    /// Keys, one row of `chunk_tokens` for each of `head_dim` components, and values, one row of `head_dim` for each
    /// token: both are then the right-hand side of a product as they stand.
    pub(crate) fn keys_and_values<'a>(
        &self,
        block: &'a [f32],
        layer: usize,
        kv_head: usize,
    ) -> (&'a [f32], &'a [f32]) {
        let start = self.start(layer, kv_head);
        block[start..start + 2 * self.head_values()].split_at(self.head_values())
    }

    /// The same, to write to.
    pub(crate) fn keys_and_values_mut<'a>(
        &self,
        block: &'a mut [f32],
        layer: usize,
        kv_head: usize,
    ) -> (&'a mut [f32], &'a mut [f32]) {
        let start = self.start(layer, kv_head);
        block[start..start + 2 * self.head_values()].split_at_mut(self.head_values())
    }
}

#[derive(Debug)]
struct PoolState {
    capacity_blocks: usize,
    block_values: usize,
    live_blocks: AtomicUsize,
    /// Memory of returned blocks, so that the next ones need no fresh pages.
    spare: Mutex<Vec<Box<[f32]>>>,
}

/// Hands out blocks, never more at once than the capacity allows.
#[derive(Clone, Debug)]
pub(crate) struct KvPool(Arc<PoolState>);

impl KvPool {
    pub(crate) fn new(layout: &KvLayout, capacity_blocks: usize) -> Self {
        Self(Arc::new(PoolState {
            capacity_blocks,
            block_values: layout.block_values(),
            live_blocks: AtomicUsize::new(0),
            spare: Mutex::new(Vec::new()),
        }))
    }

    pub(crate) fn capacity_blocks(&self) -> usize {
        self.0.capacity_blocks
    }

    /// Blocks that exist now, whoever holds them.
    pub(crate) fn live_blocks(&self) -> usize {
        self.0.live_blocks.load(Ordering::Acquire)
    }

    /// A block with arbitrary finite content; `None` when the pool is full.
    pub(crate) fn block(&self) -> Option<KvBlock> {
        let state = &self.0;
        state
            .live_blocks
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| {
                (live < state.capacity_blocks).then_some(live + 1)
            })
            .ok()?;
        let spare = state
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let values = spare.unwrap_or_else(|| vec![0f32; state.block_values].into_boxed_slice());
        Some(KvBlock {
            values,
            pool: self.clone(),
        })
    }
}

/// The KV values of one chunk of tokens.
#[derive(Debug)]
pub(crate) struct KvBlock {
    values: Box<[f32]>,
    pool: KvPool,
}

impl KvBlock {
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

impl Drop for KvBlock {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        let state = &self.pool.0;
        state
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(values);
        state.live_blocks.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_never_exceeds_its_capacity_and_gets_its_memory_back() {
        let layout = KvLayout {
            chunk_tokens: 16,
            layers: 1,
            kv_heads: 1,
            head_dim: 16,
        };
        let pool = KvPool::new(&layout, 2);
        let first = pool.block().unwrap();
        let second = Arc::new(pool.block().unwrap());
        assert!(pool.block().is_none());
        drop(first);
        let third = pool.block().unwrap();
        let copy = Arc::clone(&second);
        drop(second);
        assert_eq!(pool.live_blocks(), 2);
        drop((third, copy));
        assert_eq!(pool.live_blocks(), 0);
    }

    #[test]
    fn heads_and_layers_do_not_overlap() {
        let layout = KvLayout {
            chunk_tokens: 16,
            layers: 2,
            kv_heads: 3,
            head_dim: 32,
        };
        let mut block = vec![0f32; layout.block_values()];
        for layer in 0..2 {
            for head in 0..3 {
                let (keys, values) = layout.keys_and_values_mut(&mut block, layer, head);
                keys.iter_mut()
                    .chain(values)
                    .for_each(|value| *value += 1.0);
            }
        }
        assert!(block.iter().all(|value| *value == 1.0));
        assert_eq!(layout.block_bytes(), 16 * 2 * 3 * 32 * 2 * 4);
    }
}
