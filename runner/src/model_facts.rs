//! What is known of a model before anything starts: read from its directory, or from the built-in engine's own shapes.

use std::path::{Path, PathBuf};

use crate::{plan::ModelFacts, prompt};

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The directory has no such file.
    #[error("model directory {} has no {file}: a copy of the model from its hub has one, and `ci/setup-cpu-stack.sh` writes a whole stand-in", .path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
        /// Which file.
        file: &'static str,
    },
    /// A path, and nothing is there.
    #[error("there is no model directory {}; `ci/setup-cpu-stack.sh` makes the stand-in of the profile `cpu`", .0.display())]
    NoDirectory(PathBuf),
    /// The file is no JSON, or lacks what every Llama-like model states.
    #[error("cannot understand {}: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The tokenizer cannot be read.
    #[error(transparent)]
    Tokenizer(#[from] prompt::TokenizerError),
    /// Texts of exact length need the model's tokenizer, and it is not on this host.
    #[error(
        "the tokenizer of `{0}` is not on this host: give the model as a directory that holds tokenizer.json"
    )]
    NoTokenizer(String),
}

/// Facts about the model that will be used. A hub name that is not a directory here has none.
///
/// # Errors
/// When a directory is there, but not a model's.
pub fn read(used: &str) -> Result<ModelFacts, ModelError> {
    if let Some(shape) = engine::model_shape(used) {
        return Ok(ModelFacts {
            kv_bytes_per_token: Some(shape.kv_bytes_per_token),
            max_length: u32::try_from(shape.max_positions).ok(),
            dtype: None,
            random_weights: true,
            weights_missing: false,
        });
    }
    let directory = Path::new(used);
    if !directory.is_dir() {
        return Ok(ModelFacts::default());
    }
    let path = directory.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|_| ModelError::Missing {
        path: directory.to_owned(),
        file: "config.json",
    })?;
    let config: Config = serde_json::from_str(&text).map_err(|error| ModelError::Config {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let weights_missing = !has_weights(directory);
    Ok(ModelFacts {
        kv_bytes_per_token: config.kv_bytes_per_token(),
        max_length: config.max_position_embeddings,
        dtype: config.torch_dtype,
        random_weights: weights_missing || config.random_weights,
        weights_missing,
    })
}

/// The model's own tokenizer.
///
/// # Errors
/// When there is none on this host, or it cannot be read.
pub fn tokenizer(used: &str) -> Result<prompt::Tokenizer, ModelError> {
    match tokenizer_file(used)? {
        Some(directory) => Ok(prompt::Tokenizer::from_file(&directory)?),
        None => Ok(prompt::Tokenizer::from_bytes(
            engine::builtin_tokenizer_json(),
        )?),
    }
}

/// The directory that holds the model's tokenizer; null for a model that is built in.
///
/// # Errors
/// When there is none on this host.
pub fn tokenizer_file(used: &str) -> Result<Option<PathBuf>, ModelError> {
    if used.starts_with("builtin:") {
        return Ok(None);
    }
    let directory = Path::new(used);
    if directory.is_dir() {
        let missing = || ModelError::Missing {
            path: directory.to_owned(),
            file: "tokenizer.json",
        };
        return directory
            .join("tokenizer.json")
            .is_file()
            .then(|| Some(directory.to_owned()))
            .ok_or_else(missing);
    }
    if used.starts_with('/') || used.starts_with('.') {
        return Err(ModelError::NoDirectory(directory.to_owned()));
    }
    Err(ModelError::NoTokenizer(used.to_owned()))
}

fn has_weights(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| {
        path.extension()
            .is_some_and(|e| e == "safetensors" || e == "bin")
    })
}

/// The keys of a Hugging Face `config.json` that decide the size of the KV cache, and what its weights are.
#[derive(Debug, serde::Deserialize)]
struct Config {
    hidden_size: Option<u64>,
    num_hidden_layers: Option<u64>,
    num_attention_heads: Option<u64>,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    max_position_embeddings: Option<u32>,
    #[serde(alias = "dtype")]
    torch_dtype: Option<String>,
    /// Not a key of the format: the stand-in that the setup scripts write says so of its weights.
    #[serde(default)]
    random_weights: bool,
}

impl Config {
    /// 2 (K and V) × layers × KV heads × head size × bytes of a value.
    fn kv_bytes_per_token(&self) -> Option<u64> {
        let heads = self.num_attention_heads?;
        let head_dim = self.head_dim.or_else(|| Some(self.hidden_size? / heads))?;
        let value_bytes = match self.torch_dtype.as_deref() {
            Some("float32") => 4,
            _ => 2,
        };
        Some(
            2 * self.num_hidden_layers?
                * self.num_key_value_heads.unwrap_or(heads)
                * head_dim
                * value_bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kv_of_the_llama_3_1_8b_shape_is_128_kib_a_token() {
        let config: Config = serde_json::from_str(
            r#"{"hidden_size":4096,"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"torch_dtype":"bfloat16"}"#,
        )
        .unwrap();
        assert_eq!(config.kv_bytes_per_token(), Some(128 * 1024));
    }
}
