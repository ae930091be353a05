//! The forward pass against logits that Hugging Face transformers computed with the same weights and tokens
//! (`tests/fixtures/llama/make.py` made them).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::config::{ModelConfig, RopeScaling};
use super::llama::{Llama, Span};
use super::weights::Weights;
use crate::kv::{KvLayout, KvPool};

const CHUNK_TOKENS: usize = 32;

#[derive(Deserialize)]
struct Expected {
    tokens: Vec<u32>,
    /// By the number of tokens before them.
    logits: BTreeMap<usize, Vec<f32>>,
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")
}

/// Largest difference to the expected logits, over all prefixes of the tokens.
fn largest_difference(config: &ModelConfig) -> f32 {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert!(expected.logits.len() >= 5);
    let (weights, _) = Weights::read(&folder()).unwrap();
    let model = Llama::load(config, CHUNK_TOKENS, weights).unwrap();
    let pool = KvPool::new(&KvLayout::new(&config.shape, CHUNK_TOKENS), 8);
    let mut largest = 0f32;
    for (length, expected_logits) in &expected.logits {
        let mut blocks: Vec<_> = (0..length.div_ceil(CHUNK_TOKENS))
            .map(|_| Arc::new(pool.block().unwrap()))
            .collect();
        let mut logits = Vec::new();
        for start in (0..*length).step_by(CHUNK_TOKENS) {
            let end = (start + CHUNK_TOKENS).min(*length);
            let tokens = &expected.tokens[start..end];
            let span = Span {
                tokens,
                start,
                blocks: &mut blocks,
                wants_logits: end == *length,
            };
            logits = model.forward(&mut [span]).unwrap();
        }
        for (value, expected) in logits[0].iter().zip(expected_logits) {
            largest = largest.max((value - expected).abs());
        }
    }
    largest
}

#[test]
fn logits_equal_those_of_transformers() {
    let difference = largest_difference(&ModelConfig::read(&folder()).unwrap());
    assert!(difference <= 1e-3, "largest difference {difference}");
}

#[test]
fn a_wrong_configuration_would_be_noticed() {
    let config = ModelConfig::read(&folder()).unwrap();
    let without_scaling = ModelConfig {
        rope_scaling: RopeScaling::None,
        ..config.clone()
    };
    let other_base = ModelConfig {
        rope_theta: 10_000.0,
        ..config.clone()
    };
    let other_epsilon = ModelConfig {
        rms_norm_epsilon: 1e-5,
        ..config
    };
    for wrong in [without_scaling, other_base, other_epsilon] {
        let difference = largest_difference(&wrong);
        assert!(difference > 1e-2, "{wrong:?} differs by {difference} only");
    }
}
