//! The forward pass of a Llama model over candle tensors, with the engine's own linear layers and attention.

use std::sync::Arc;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::{Embedding, Module, RmsNorm};

use super::attention::{Attention, Queries};
use super::config::ModelConfig;
use super::kernel::swiglu;
use super::linear::{PackedLinear, with_values};
use super::rope::Rope;
use super::weights::Weights;
use crate::kv::{KvBlock, KvLayout};

/// Consecutive tokens of one sequence that go through the model in one pass. They lie within one block.
pub(crate) struct Span<'a> {
    pub(crate) tokens: &'a [u32],
    /// Position of the first token.
    pub(crate) start: usize,
    /// KV of the sequence; the block of these tokens is written to and held by nobody else.
    pub(crate) blocks: &'a mut [Arc<KvBlock>],
    /// Whether the logits after the last token are wanted.
    pub(crate) wants_logits: bool,
}

struct Layer {
    input_norm: RmsNorm,
    query: PackedLinear,
    key: PackedLinear,
    value: PackedLinear,
    attention_output: PackedLinear,
    feed_forward_norm: RmsNorm,
    gate: PackedLinear,
    up: PackedLinear,
    down: PackedLinear,
}

/// A loaded model.
pub(crate) struct Llama {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    logits: PackedLinear,
    attention: Attention,
    rope: Rope,
    weight_bytes: u64,
}

/// Random query and key layers are made this much larger, so that attention prefers some tokens to others and the
/// output depends on the context.
const ATTENTION_GAIN: f32 = 2.0;

impl Llama {
    /// Takes all tensors of the model out of `weights`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape than the configuration says.
    pub(crate) fn load(
        config: &ModelConfig,
        chunk_tokens: usize,
        mut weights: Weights,
    ) -> Result<Self> {
        let shape = &config.shape;
        let (hidden, intermediate) = (shape.hidden_size, shape.intermediate_size);
        let (query_width, kv_width) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        let table = weights.take(
            "model.embed_tokens.weight",
            (shape.vocab_size, hidden),
            (hidden as f32).sqrt(),
        )?;
        let mut layers = Vec::with_capacity(shape.layers);
        for index in 0..shape.layers {
            let name = |part: &str| format!("model.layers.{index}.{part}.weight");
            let mut norm = |part| -> Result<RmsNorm> {
                Ok(RmsNorm::new(
                    weights.take_vector(&name(part), hidden)?,
                    config.rms_norm_epsilon,
                ))
            };
            let (input_norm, feed_forward_norm) =
                (norm("input_layernorm")?, norm("post_attention_layernorm")?);
            let mut linear = |part, outputs, inputs, gain| -> Result<PackedLinear> {
                PackedLinear::new(&weights.take(&name(part), (outputs, inputs), gain)?)
            };
            layers.push(Layer {
                input_norm,
                query: linear("self_attn.q_proj", query_width, hidden, ATTENTION_GAIN)?,
                key: linear("self_attn.k_proj", kv_width, hidden, ATTENTION_GAIN)?,
                value: linear("self_attn.v_proj", kv_width, hidden, 1.0)?,
                attention_output: linear("self_attn.o_proj", hidden, query_width, 1.0)?,
                feed_forward_norm,
                gate: linear("mlp.gate_proj", intermediate, hidden, 1.0)?,
                up: linear("mlp.up_proj", intermediate, hidden, 1.0)?,
                down: linear("mlp.down_proj", hidden, intermediate, 1.0)?,
            });
        }
        let norm = RmsNorm::new(
            weights.take_vector("model.norm.weight", hidden)?,
            config.rms_norm_epsilon,
        );
        let logits = if config.tie_word_embeddings {
            PackedLinear::new(&table)?
        } else {
            PackedLinear::new(&weights.take("lm_head.weight", (shape.vocab_size, hidden), 1.0)?)?
        };
        let linear_bytes = |layer: &Layer| {
            [
                &layer.query,
                &layer.key,
                &layer.value,
                &layer.attention_output,
                &layer.gate,
                &layer.up,
                &layer.down,
            ]
            .map(PackedLinear::bytes)
            .iter()
            .sum::<u64>()
        };
        let table_bytes = (shape.vocab_size * hidden * size_of::<f32>()) as u64;
        Ok(Self {
            weight_bytes: table_bytes
                + logits.bytes()
                + layers.iter().map(linear_bytes).sum::<u64>(),
            embedding: Embedding::new(table, hidden),
            layers,
            norm,
            logits,
            attention: Attention {
                layout: KvLayout::new(shape, chunk_tokens),
                heads: shape.heads,
            },
            rope: Rope::new(config),
        })
    }

    /// Bytes of the weights in memory.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Computes the KV values of all tokens and, for each span that wants them, the logits after its last token, in
    /// the order of the spans.
    ///
    /// # Errors
    /// When a token id is not in the vocabulary or a block that must be written to is shared.
    pub(crate) fn forward(&self, spans: &mut [Span<'_>]) -> Result<Vec<Vec<f32>>> {
        let tokens: Vec<u32> = spans
            .iter()
            .flat_map(|span| span.tokens.iter().copied())
            .collect();
        let rows = tokens.len();
        let tokens = Tensor::from_vec(tokens, rows, &Device::Cpu)?;
        let mut hidden = self.embedding.forward(&tokens)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut normed = layer.input_norm.forward(&hidden)?;
            self.write_kv(index, layer, &normed, spans)?;
            let mut rows: Vec<QueryRows> = spans.iter().map(QueryRows::all).collect();
            if index + 1 == self.layers.len() {
                // After the last layer only the last row of a prompt is looked at, so only that row is computed.
                rows = spans.iter().map(QueryRows::last).collect();
                let picked = picked_rows(spans);
                if picked.is_empty() {
                    return Ok(Vec::new());
                }
                let picked = Tensor::new(picked, &Device::Cpu)?;
                hidden = hidden.index_select(&picked, 0)?;
                normed = normed.index_select(&picked, 0)?;
            }
            let attended = self.attend(index, layer, &normed, &rows, spans)?;
            hidden = add(&hidden, layer.attention_output.apply(&attended))?;
            let normed = layer.feed_forward_norm.forward(&hidden)?;
            let gated = with_values(&normed, |values| {
                let mut gate = layer.gate.apply(values);
                swiglu(&mut gate, &layer.up.apply(values));
                gate
            })?;
            hidden = add(&hidden, layer.down.apply(&gated))?;
        }
        let logits = self.logits.forward(&self.norm.forward(&hidden)?)?;
        let width = logits.dim(D::Minus1)?;
        with_values(&logits, |values| {
            values.chunks_exact(width).map(<[f32]>::to_vec).collect()
        })
    }

    fn write_kv(
        &self,
        index: usize,
        layer: &Layer,
        normed: &Tensor,
        spans: &mut [Span<'_>],
    ) -> Result<()> {
        let layout = &self.attention.layout;
        let (chunk, head_dim) = (layout.chunk_tokens, layout.head_dim);
        let width = layout.kv_heads * head_dim;
        let (mut keys, values) = with_values(normed, |rows| {
            (layer.key.apply(rows), layer.value.apply(rows))
        })?;
        let mut rows = keys.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for span in spans {
            let Some(block) = span
                .blocks
                .get_mut(span.start / chunk)
                .and_then(Arc::get_mut)
            else {
                candle_core::bail!("the block at position {} is missing or shared", span.start)
            };
            for (offset, (key_row, value_row)) in rows.by_ref().take(span.tokens.len()).enumerate()
            {
                let position = span.start + offset;
                let slot = position % chunk;
                let heads = key_row
                    .chunks_exact_mut(head_dim)
                    .zip(value_row.chunks_exact(head_dim));
                for (head, (key, value)) in heads.enumerate() {
                    self.rope.turn(key, position, 1.0);
                    let (keys, values) =
                        layout.keys_and_values_mut(block.values_mut(), index, head);
                    for (column, component) in
                        keys.iter_mut().skip(slot).step_by(chunk).zip(key.iter())
                    {
                        *column = *component;
                    }
                    values[slot * head_dim..(slot + 1) * head_dim].copy_from_slice(value);
                }
            }
        }
        Ok(())
    }

    fn attend(
        &self,
        index: usize,
        layer: &Layer,
        normed: &Tensor,
        rows: &[QueryRows],
        spans: &[Span<'_>],
    ) -> Result<Vec<f32>> {
        let head_dim = self.attention.layout.head_dim;
        let width = self.attention.heads * head_dim;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut queries = with_values(normed, |rows| layer.query.apply(rows))?;
        let mut output = vec![0f32; queries.len()];
        let (mut query_rest, mut output_rest) = (&mut queries[..], &mut output[..]);
        for (rows, span) in rows.iter().zip(spans) {
            let (values, rest) = query_rest.split_at_mut(rows.count * width);
            let (attended, output) = output_rest.split_at_mut(rows.count * width);
            (query_rest, output_rest) = (rest, output);
            for (offset, row) in values.chunks_exact_mut(width).enumerate() {
                for head in row.chunks_exact_mut(head_dim) {
                    self.rope.turn(head, rows.start + offset, scale);
                }
            }
            if rows.count > 0 {
                let queries = Queries {
                    values,
                    start: rows.start,
                    blocks: span.blocks,
                };
                self.attention.attend(index, &queries, attended);
            }
        }
        Ok(output)
    }
}

/// `hidden + update`. Candle's own addition wakes threads beyond those that were asked for.
fn add(hidden: &Tensor, mut update: Vec<f32>) -> Result<Tensor> {
    with_values(hidden, |values| {
        update
            .iter_mut()
            .zip(values)
            .for_each(|(sum, value)| *sum += value)
    })?;
    Tensor::from_vec(update, hidden.shape(), hidden.device())
}

/// The rows of a span that are computed beyond their KV values.
struct QueryRows {
    start: usize,
    count: usize,
}

impl QueryRows {
    fn all(span: &Span<'_>) -> Self {
        Self {
            start: span.start,
            count: span.tokens.len(),
        }
    }

    fn last(span: &Span<'_>) -> Self {
        Self {
            start: span.start + span.tokens.len() - 1,
            count: usize::from(span.wants_logits),
        }
    }
}

/// Indices, among the rows of all spans, of those whose logits are wanted.
fn picked_rows(spans: &[Span<'_>]) -> Vec<u32> {
    let mut end = 0;
    let mut picked = Vec::new();
    for span in spans {
        end += span.tokens.len() as u32;
        if span.wants_logits {
            picked.push(end - 1);
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvPool;

    fn tiny() -> (Llama, KvPool) {
        let mut config = ModelConfig::builtin("builtin:tiny").unwrap();
        config.shape.max_positions = 512;
        let layout = KvLayout::new(&config.shape, 32);
        (
            Llama::load(&config, 32, Weights::Random { seed: 7 }).unwrap(),
            KvPool::new(&layout, 64),
        )
    }

    fn tokens(count: usize) -> Vec<u32> {
        (0..count as u32).map(|i| 7 + i * 7919 % 770).collect()
    }

    /// Logits after each prefix length in `wanted`, with the tokens taken in pieces of the given size.
    fn logits(model: &Llama, pool: &KvPool, tokens: &[u32], piece: usize) -> Vec<f32> {
        let mut blocks: Vec<_> = (0..tokens.len().div_ceil(32))
            .map(|_| Arc::new(pool.block().unwrap()))
            .collect();
        let mut start = 0;
        loop {
            let end = (start + piece).min(start / 32 * 32 + 32).min(tokens.len());
            let wants_logits = end == tokens.len();
            let span = Span {
                tokens: &tokens[start..end],
                start,
                blocks: &mut blocks,
                wants_logits,
            };
            let mut logits = model.forward(&mut [span]).unwrap();
            if wants_logits {
                return logits.remove(0);
            }
            start = end;
        }
    }

    #[test]
    fn pieces_and_single_tokens_give_the_same_bits() {
        let (model, pool) = tiny();
        let tokens = tokens(75);
        let whole = logits(&model, &pool, &tokens, 32);
        assert_eq!(whole, logits(&model, &pool, &tokens, 13));
        assert_eq!(whole, logits(&model, &pool, &tokens, 1));
    }

    #[test]
    fn a_batch_gives_the_same_bits_as_each_sequence_alone() {
        let (model, pool) = tiny();
        let (long, short) = (tokens(40), tokens(20).into_iter().rev().collect::<Vec<_>>());
        let (alone_long, alone_short) = (
            logits(&model, &pool, &long, 32),
            logits(&model, &pool, &short, 32),
        );
        let mut long_blocks = vec![
            Arc::new(pool.block().unwrap()),
            Arc::new(pool.block().unwrap()),
        ];
        let mut short_blocks = vec![Arc::new(pool.block().unwrap())];
        let span = Span {
            tokens: &long[..32],
            start: 0,
            blocks: &mut long_blocks,
            wants_logits: false,
        };
        assert!(model.forward(&mut [span]).unwrap().is_empty());
        let mut spans = [
            Span {
                tokens: &long[32..],
                start: 32,
                blocks: &mut long_blocks,
                wants_logits: true,
            },
            Span {
                tokens: &short,
                start: 0,
                blocks: &mut short_blocks,
                wants_logits: true,
            },
        ];
        assert_eq!(
            model.forward(&mut spans).unwrap(),
            vec![alone_long, alone_short]
        );
    }

    #[test]
    fn the_first_token_changes_the_last_logits() {
        let (model, pool) = tiny();
        let mut tokens = tokens(75);
        let before = logits(&model, &pool, &tokens, 32);
        tokens[0] += 1;
        assert_ne!(before, logits(&model, &pool, &tokens, 32));
    }

    #[test]
    fn a_shared_block_is_not_written_to() {
        let (model, pool) = tiny();
        let mut blocks = vec![Arc::new(pool.block().unwrap())];
        let shared = Arc::clone(&blocks[0]);
        let span = Span {
            tokens: &[8],
            start: 0,
            blocks: &mut blocks,
            wants_logits: true,
        };
        assert!(
            model
                .forward(&mut [span])
                .unwrap_err()
                .to_string()
                .contains("shared")
        );
        drop(shared);
    }
}
