//! Where weights come from: safetensors files of a model directory, or a seeded generator.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::Deserialize;

use super::config::ModelConfig;
use crate::error::EngineError;

/// Hands out the tensors of a checkpoint by their names.
pub(crate) enum Weights {
    /// Normally distributed values, the same for the same seed and name.
    Random { seed: u64 },
    /// Tensors read from files, in the type they were stored in.
    Stored(HashMap<String, Tensor>),
}

impl Weights {
    /// Reads `model.safetensors`, or the files that `model.safetensors.index.json` names. Also returns a hash of
    /// their bytes: what a KV cache of this model depends on.
    ///
    /// # Errors
    /// When a file is missing or is not in the safetensors format.
    pub(crate) fn read(directory: &Path) -> Result<(Self, String), EngineError> {
        let mut tensors = HashMap::new();
        let mut hasher = blake3::Hasher::new();
        for path in weight_files(directory)? {
            let bytes = std::fs::read(&path).map_err(|source| EngineError::io(&path, source))?;
            hasher.update(&bytes);
            let loaded =
                candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).map_err(|source| {
                    EngineError::Weights {
                        path: path.clone(),
                        source,
                    }
                })?;
            tensors.extend(loaded);
        }
        Ok((
            Self::Stored(tensors),
            hasher.finalize().to_hex().to_string(),
        ))
    }

    /// The tensor called `name` as f32, which must have the given shape. Random values have variance `gain² / inputs`,
    /// so that a layer keeps the scale of what goes through it.
    ///
    /// # Errors
    /// When the tensor is missing or has another shape.
    pub(crate) fn take(
        &mut self,
        name: &str,
        shape: (usize, usize),
        gain: f32,
    ) -> Result<Tensor, candle_core::Error> {
        match self {
            Self::Random { seed } => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
                let mut generator = ChaCha8Rng::from_seed(*hasher.finalize().as_bytes());
                let scale = gain / (shape.1 as f32).sqrt();
                let normal = |_| {
                    let value: f32 = StandardNormal.sample(&mut generator);
                    value * scale
                };
                let values: Vec<f32> = (0..shape.0 * shape.1).map(normal).collect();
                Tensor::from_vec(values, shape, &Device::Cpu)
            }
            Self::Stored(tensors) => {
                let Some(tensor) = tensors.remove(name) else {
                    candle_core::bail!("tensor {name} is missing")
                };
                if tensor.dims2()? != shape {
                    candle_core::bail!(
                        "tensor {name} has shape {:?} instead of {shape:?}",
                        tensor.shape()
                    )
                }
                tensor.to_dtype(DType::F32)
            }
        }
    }

    /// The vector called `name` as f32; ones where weights are random, as normalisation layers start.
    ///
    /// # Errors
    /// When the tensor is missing or has another length.
    pub(crate) fn take_vector(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Tensor, candle_core::Error> {
        match self {
            Self::Random { .. } => Tensor::ones(length, DType::F32, &Device::Cpu),
            Self::Stored(tensors) => {
                let Some(tensor) = tensors.remove(name) else {
                    candle_core::bail!("tensor {name} is missing")
                };
                if tensor.dims1()? != length {
                    candle_core::bail!(
                        "tensor {name} has shape {:?} instead of {length}",
                        tensor.shape()
                    )
                }
                tensor.to_dtype(DType::F32)
            }
        }
    }
}

/// Everything besides the tokens that KV values depend on, as text.
pub(crate) fn identity(config: &ModelConfig, weights: &str) -> String {
    format!("{}\n{weights}\nf32", config.to_json())
}

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

fn weight_files(directory: &Path) -> Result<Vec<PathBuf>, EngineError> {
    let index = directory.join("model.safetensors.index.json");
    let text = match std::fs::read_to_string(&index) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(vec![directory.join("model.safetensors")]);
        }
        Err(source) => return Err(EngineError::io(&index, source)),
    };
    let parsed: Index = serde_json::from_str(&text).map_err(|source| EngineError::Json {
        path: index,
        source,
    })?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(weights: &mut Weights, name: &str) -> Vec<f32> {
        weights
            .take(name, (64, 64), 1.0)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    #[test]
    fn random_weights_repeat_and_have_the_stated_scale() {
        let mut weights = Weights::Random { seed: 1 };
        let first = values(&mut weights, "a");
        assert_eq!(first, values(&mut Weights::Random { seed: 1 }, "a"));
        assert_ne!(first, values(&mut weights, "b"));
        assert_ne!(first, values(&mut Weights::Random { seed: 2 }, "a"));
        let variance = first.iter().map(|value| value * value).sum::<f32>() / first.len() as f32;
        assert!((variance * 64.0 - 1.0).abs() < 0.1, "variance {variance}");
    }

    #[test]
    fn sharded_files_are_read_through_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = |value: f32| {
            Tensor::full(value, (2, 3), &Device::Cpu)
                .unwrap()
                .to_dtype(DType::BF16)
                .unwrap()
        };
        for (file, name, value) in [("one.safetensors", "a", 1.5), ("two.safetensors", "b", 2.5)] {
            let map = HashMap::from([(name.to_owned(), tensor(value))]);
            candle_core::safetensors::save(&map, folder.path().join(file)).unwrap();
        }
        let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#;
        std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        let (mut weights, _) = Weights::read(folder.path()).unwrap();
        let b = weights.take("b", (2, 3), 1.0).unwrap();
        assert_eq!(b.to_vec2::<f32>().unwrap(), vec![vec![2.5; 3]; 2]);
        assert!(
            weights
                .take("a", (3, 2), 1.0)
                .unwrap_err()
                .to_string()
                .contains("shape")
        );
        assert!(
            weights
                .take("c", (3, 2), 1.0)
                .unwrap_err()
                .to_string()
                .contains("missing")
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = Weights::read(folder.path()).err().unwrap().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}
