//! The choice of the next token from logits.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::generation::Sampling;

/// Ids that may not be generated, or that end a text.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    /// Never generated unless they end a text, ascending.
    special: Arc<[u32]>,
    /// Ids that end a text.
    end_of_text: Arc<[u32]>,
    /// Ids from here on have no text: a model may have more rows than the tokenizer has ids.
    size: usize,
}

impl Vocabulary {
    pub(crate) fn new(special: &[u32], end_of_text: &[u32], size: usize) -> Self {
        Self {
            special: special.into(),
            end_of_text: end_of_text.into(),
            size,
        }
    }

    pub(crate) fn ends_text(&self, id: u32) -> bool {
        self.end_of_text.contains(&id)
    }

    /// Makes what may not be generated impossible.
    fn mask(&self, logits: &mut [f32], may_end: bool) {
        let size = self.size.min(logits.len());
        logits[size..].fill(f32::NEG_INFINITY);
        for id in self.special.iter().chain(&*self.end_of_text) {
            if !(may_end && self.ends_text(*id))
                && let Some(logit) = logits.get_mut(*id as usize)
            {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// Chooses the tokens of one answer.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    generator: ChaCha8Rng,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            generator: ChaCha8Rng::seed_from_u64(sampling.seed),
        }
    }

    /// The next id; the text can end with it where `may_end` says so.
    pub(crate) fn next(
        &mut self,
        logits: &mut [f32],
        vocabulary: &Vocabulary,
        may_end: bool,
    ) -> u32 {
        vocabulary.mask(logits, may_end);
        let best = most_likely(logits);
        if self.sampling.temperature <= 0.0 {
            return best as u32;
        }
        let largest = logits[best];
        let mut weights: Vec<(usize, f32)> = logits
            .iter()
            .map(|logit| ((logit - largest) / self.sampling.temperature).exp())
            .enumerate()
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        if self.sampling.top_p < 1.0 {
            keep_most_likely(&mut weights, self.sampling.top_p);
        }
        let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
        let mut rest = self.generator.random::<f32>() * total;
        for (id, weight) in &weights {
            rest -= weight;
            if rest < 0.0 {
                return *id as u32;
            }
        }
        best as u32
    }
}

fn most_likely(logits: &[f32]) -> usize {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best
}

fn keep_most_likely(weights: &mut Vec<(usize, f32)>, share: f32) {
    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    let enough = weights.iter().position(|(_, weight)| {
        sum += weight;
        sum >= share * total
    });
    weights.truncate(enough.map_or(weights.len(), |index| index + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::new(&[0, 1], &[1], 4)
    }

    fn draw(temperature: f32, top_p: f32, seed: u64, count: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(Sampling {
            temperature,
            top_p,
            seed,
        });
        (0..count)
            .map(|_| sampler.next(&mut [9.0, 8.0, 1.0, 2.0, 99.0], &vocabulary(), false))
            .collect()
    }

    #[test]
    fn greedy_takes_the_best_that_may_be_taken() {
        assert_eq!(draw(0.0, 1.0, 0, 1), [3]);
        let mut sampler = Sampler::new(Sampling {
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        });
        assert_eq!(
            sampler.next(&mut [9.0, 8.0, 1.0, 2.0, 99.0], &vocabulary(), true),
            1
        );
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let drawn = draw(1.0, 1.0, 5, 2000);
        assert_eq!(drawn, draw(1.0, 1.0, 5, 2000));
        assert_ne!(drawn, draw(1.0, 1.0, 6, 2000));
        let share = drawn.iter().filter(|id| **id == 3).count() as f64 / 2000.0;
        let expected = 1f64.exp() / (1.0 + 1f64.exp());
        assert!((share - expected).abs() < 0.05, "share {share}");
        assert!(drawn.iter().all(|id| [2, 3].contains(id)));
        assert!(draw(1.0, 0.5, 5, 200).iter().all(|id| *id == 3));
    }
}
