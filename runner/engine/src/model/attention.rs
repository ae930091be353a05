//! Causal attention over blocks of KV cache: what is masked is skipped, and scores never leave the CPU's cache.

use std::sync::Arc;

use rayon::prelude::*;

use super::kernel::{Matrix, MatrixMut, Sizes, SoftmaxStep, TILE_COLUMNS, multiply};
use crate::kv::{KvBlock, KvLayout};

/// Query rows taken through all keys together: with 256 keys their scores fill 128 KiB.
const LARGEST_TILE_ROWS: usize = 128;

/// Consecutive tokens of one sequence within one block, already turned to their positions and scaled.
pub(crate) struct Queries<'a> {
    /// One row of `heads · head_dim` a token.
    pub(crate) values: &'a [f32],
    /// Position of the first row.
    pub(crate) start: usize,
    /// KV of the sequence up to and including the rows themselves.
    pub(crate) blocks: &'a [Arc<KvBlock>],
}

/// Attention of one layer, for models with `heads` query heads.
pub(crate) struct Attention {
    pub(crate) layout: KvLayout,
    pub(crate) heads: usize,
}

impl Attention {
    fn row_values(&self) -> usize {
        self.heads * self.layout.head_dim
    }

    /// Writes one output row (`heads · head_dim`) for each query row; `output` must be all zeros.
    pub(crate) fn attend(&self, layer: usize, queries: &Queries<'_>, output: &mut [f32]) {
        let row_values = self.row_values();
        let rows = output.len() / row_values;
        let tile_rows = rows
            .div_ceil(rayon::current_num_threads())
            .clamp(1, LARGEST_TILE_ROWS);
        let tile = |(index, output): (usize, &mut [f32])| {
            let first = index * tile_rows;
            let queries = Queries {
                values: &queries.values[first * row_values..],
                start: queries.start + first,
                blocks: queries.blocks,
            };
            self.attend_tile(layer, &queries, output);
        };
        if rows <= tile_rows {
            tile((0, output));
        } else {
            output
                .par_chunks_mut(tile_rows * row_values)
                .enumerate()
                .for_each(tile);
        }
    }

    fn attend_tile(&self, layer: usize, queries: &Queries<'_>, output: &mut [f32]) {
        let KvLayout {
            chunk_tokens,
            kv_heads,
            head_dim,
            ..
        } = self.layout;
        let row_values = self.row_values();
        let rows = output.len() / row_values;
        let group = self.heads / kv_heads;
        // A single row: the heads that share keys are the rows. Many rows: each head is computed on its own.
        let (pass_rows, passes, stride, step) = if rows == 1 {
            (group, 1, head_dim, 0)
        } else {
            (rows, group, row_values, 1)
        };
        let end = queries.start + rows;
        let mut scores = vec![0f32; pass_rows * chunk_tokens];
        let mut maxima = vec![f32::NEG_INFINITY; pass_rows * self.heads];
        let mut sums = vec![0f32; pass_rows * self.heads];
        for kv_head in 0..kv_heads {
            for (index, block) in queries.blocks[..end.div_ceil(chunk_tokens)]
                .iter()
                .enumerate()
            {
                let (keys, values) = self.layout.keys_and_values(block.values(), layer, kv_head);
                let block_start = index * chunk_tokens;
                let visible_keys = (end - block_start).min(chunk_tokens);
                let columns = visible_keys.next_multiple_of(TILE_COLUMNS);
                for pass in 0..passes {
                    let column = (kv_head * group + pass) * head_dim;
                    let state = (kv_head * passes + pass) * pass_rows;
                    multiply(
                        Sizes {
                            rows: pass_rows,
                            depth: head_dim,
                            columns,
                        },
                        Matrix {
                            values: &queries.values[column..],
                            stride,
                        },
                        Matrix {
                            values: keys,
                            stride: chunk_tokens,
                        },
                        MatrixMut {
                            values: &mut scores,
                            stride: chunk_tokens,
                        },
                        false,
                    );
                    SoftmaxStep {
                        scores: &mut scores,
                        stride: chunk_tokens,
                        columns,
                        visible: queries.start + 1 - block_start,
                        visible_step: step,
                        maxima: &mut maxima[state..state + pass_rows],
                        sums: &mut sums[state..state + pass_rows],
                        output: &mut output[column..],
                        output_stride: stride,
                        width: head_dim,
                    }
                    .apply();
                    multiply(
                        Sizes {
                            rows: pass_rows,
                            depth: visible_keys,
                            columns: head_dim,
                        },
                        Matrix {
                            values: &scores,
                            stride: chunk_tokens,
                        },
                        Matrix {
                            values,
                            stride: head_dim,
                        },
                        MatrixMut {
                            values: &mut output[column..],
                            stride,
                        },
                        true,
                    );
                }
            }
        }
        for kv_head in 0..kv_heads {
            for pass in 0..passes {
                let column = (kv_head * group + pass) * head_dim;
                let state = (kv_head * passes + pass) * pass_rows;
                for row in 0..pass_rows {
                    let factor = 1.0 / sums[state + row];
                    let start = column + row * stride;
                    output[start..start + head_dim]
                        .iter_mut()
                        .for_each(|value| *value *= factor);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvPool;

    fn noise(index: usize) -> f32 {
        ((index as u64).wrapping_mul(6_364_136_223_846_793_005) >> 40) as f32 / (1 << 24) as f32
            - 0.5
    }

    /// 100 tokens in blocks of 32; four query heads on two heads of keys and values.
    fn fixture() -> (Attention, Vec<Arc<KvBlock>>, Vec<f32>) {
        let layout = KvLayout {
            chunk_tokens: 32,
            layers: 2,
            kv_heads: 2,
            head_dim: 16,
        };
        let pool = KvPool::new(&layout, 4);
        let blocks = (0..4).map(|block| {
            let mut kv = pool.block().unwrap();
            let values = kv.values_mut();
            values
                .iter_mut()
                .enumerate()
                .for_each(|(i, value)| *value = 4.0 * noise(i + block * 100_000));
            Arc::new(kv)
        });
        let queries = (0..100 * 64).map(|i| 4.0 * noise(i + 777_777)).collect();
        (Attention { layout, heads: 4 }, blocks.collect(), queries)
    }

    /// Attention by its definition, in f64.
    fn expected(
        attention: &Attention,
        blocks: &[Arc<KvBlock>],
        queries: &[f32],
        position: usize,
        head: usize,
    ) -> Vec<f64> {
        let (layout, chunk) = (&attention.layout, attention.layout.chunk_tokens);
        let mut output = vec![0f64; 16];
        let mut total = 0.0;
        for key in 0..=position {
            let (keys, values) = layout.keys_and_values(blocks[key / chunk].values(), 1, head / 2);
            let score: f64 = (0..16)
                .map(|d| {
                    f64::from(queries[position * 64 + head * 16 + d])
                        * f64::from(keys[d * chunk + key % chunk])
                })
                .sum();
            total += score.exp();
            (0..16)
                .for_each(|d| output[d] += score.exp() * f64::from(values[key % chunk * 16 + d]));
        }
        output.into_iter().map(|value| value / total).collect()
    }

    /// All 100 rows, block by block.
    fn attend_all(attention: &Attention, blocks: &[Arc<KvBlock>], queries: &[f32]) -> Vec<f32> {
        let mut output = vec![0f32; queries.len()];
        for (index, output) in output.chunks_mut(32 * 64).enumerate() {
            let start = index * 32;
            attention.attend(
                1,
                &Queries {
                    values: &queries[start * 64..],
                    start,
                    blocks,
                },
                output,
            );
        }
        output
    }

    #[test]
    fn equals_the_definition() {
        let (attention, blocks, queries) = fixture();
        let output = attend_all(&attention, &blocks, &queries);
        for position in 0..100 {
            for head in 0..4 {
                let start = position * 64 + head * 16;
                let expected = expected(&attention, &blocks, &queries, position, head);
                for (value, expected) in output[start..start + 16].iter().zip(expected) {
                    assert!(
                        (f64::from(*value) - expected).abs() < 1e-4,
                        "position {position} head {head}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_tile() {
        let (attention, blocks, queries) = fixture();
        let together = attend_all(&attention, &blocks, &queries);
        for (start, rows) in [
            (0, 1),
            (31, 1),
            (32, 1),
            (99, 1),
            (32, 32),
            (40, 13),
            (96, 3),
        ] {
            let mut apart = vec![0f32; rows * 64];
            let queries = Queries {
                values: &queries[start * 64..],
                start,
                blocks: &blocks,
            };
            attention.attend(1, &queries, &mut apart);
            assert_eq!(apart, together[start * 64..(start + rows) * 64]);
        }
    }
}
