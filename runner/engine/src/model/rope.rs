//! Rotary position embedding: turns halves of each head by angles that grow with the position.

use super::config::{ModelConfig, RopeScaling};

/// Cosines and sines of all positions: position after position, `head_dim / 2` each.
pub(crate) struct Rope {
    cosines: Vec<f32>,
    sines: Vec<f32>,
    half: usize,
}

impl Rope {
    /// Tables for all positions of a model.
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let half = config.shape.head_dim / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|index| {
                let exponent = (2 * index) as f32 / config.shape.head_dim as f32;
                scale(1.0 / config.rope_theta.powf(exponent), config.rope_scaling)
            })
            .collect();
        let angles = (0..config.shape.max_positions).flat_map(|position| {
            frequencies
                .iter()
                .map(move |frequency| position as f32 * frequency)
        });
        let (sines, cosines) = angles.map(f32::sin_cos).unzip();
        Self {
            cosines,
            sines,
            half,
        }
    }

    /// Turns one head (`head_dim` values) to its position and multiplies it by `factor`. Element i is paired with
    /// element i + head_dim / 2, as in Hugging Face's checkpoints.
    pub(crate) fn turn(&self, head: &mut [f32], position: usize, factor: f32) {
        let row = position * self.half..(position + 1) * self.half;
        let (first, second) = head.split_at_mut(self.half);
        let angles = self.cosines[row.clone()].iter().zip(&self.sines[row]);
        for ((first, second), (cosine, sine)) in first.iter_mut().zip(second).zip(angles) {
            let (a, b) = (*first, *second);
            *first = (a * cosine - b * sine) * factor;
            *second = (b * cosine + a * sine) * factor;
        }
    }
}

/// A frequency after the model's scaling; definition: "rope_type" in Hugging Face's modeling_rope_utils.
fn scale(frequency: f32, scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low,
            high,
            original_positions,
        } => {
            let wavelength = 2.0 * std::f32::consts::PI / frequency;
            let smooth = ((original_positions / wavelength - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_keeps_the_length_and_only_differences_of_positions_matter() {
        let rope = Rope::new(&ModelConfig::builtin("builtin:tiny").unwrap());
        let head: Vec<f32> = (0..64).map(|i| (i as f32 * 0.37).sin()).collect();
        let turned = |position| {
            let mut copy = head.clone();
            rope.turn(&mut copy, position, 1.0);
            copy
        };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        assert!((dot(&turned(77), &turned(77)) - dot(&head, &head)).abs() < 1e-3);
        assert!((dot(&turned(110), &turned(100)) - dot(&turned(10), &turned(0))).abs() < 1e-3);
        assert!((dot(&turned(110), &turned(100)) - dot(&turned(90), &turned(0))).abs() > 1e-1);
    }

    #[test]
    fn long_wavelengths_are_stretched_and_short_ones_kept() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original_positions: 8192.0,
        };
        assert_eq!(scale(1.0, scaling), 1.0);
        assert_eq!(scale(1e-5, scaling), 1e-5 / 8.0);
    }
}
