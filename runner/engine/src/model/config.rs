//! The shape of a Llama model: the built-in ones, and what a Hugging Face `config.json` says.

use std::path::Path;

use serde::Deserialize;

use crate::error::EngineError;
use crate::model::kernel::TILE_COLUMNS;

/// The sizes of a model that a caller can need before it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// Transformer layers.
    pub layers: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Token ids that the model knows, special ones included.
    pub vocab_size: usize,
    /// Positions that the model takes, prompt and output together, in tokens.
    pub max_positions: usize,
    /// Bytes of KV cache of one token in this engine: keys and values of all layers in f32.
    pub kv_bytes_per_token: u64,
}

/// Rotary position embedding (Su et al. 2021), with Llama 3's stretching of long wavelengths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// All frequencies divided by the factor.
    Linear { factor: f32 },
    /// Wavelengths above `original_positions / low` divided by `factor`, those below `original_positions / high` kept,
    /// interpolated between.
    Llama3 {
        factor: f32,
        low: f32,
        high: f32,
        original_positions: f32,
    },
}

/// Everything the forward pass needs to know about a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    pub(crate) shape: ModelShape,
    pub(crate) rms_norm_epsilon: f64,
    pub(crate) rope_theta: f32,
    pub(crate) rope_scaling: RopeScaling,
    pub(crate) tie_word_embeddings: bool,
    /// Ids that end a generation.
    pub(crate) end_of_text: Vec<u32>,
}

/// The shape of a built-in model; `None` for any other name.
///
/// `builtin:tiny` reads a cold prompt of 4,096 tokens in about half a second on one core, `builtin:small` is the size
/// of the smallest models that serving engines are tried with on a CPU (8 layers, hidden size 512).
pub fn model_shape(name: &str) -> Option<ModelShape> {
    ModelConfig::builtin(name).map(|config| config.shape)
}

impl ModelConfig {
    /// The configuration of a built-in model.
    pub(crate) fn builtin(name: &str) -> Option<Self> {
        let (layers, hidden_size, heads, kv_heads, intermediate_size) = match name {
            "builtin:tiny" => (3, 256, 4, 2, 768),
            "builtin:small" => (8, 512, 8, 4, 1536),
            _ => return None,
        };
        let head_dim = 64;
        let shape = ModelShape {
            layers,
            hidden_size,
            heads,
            kv_heads,
            head_dim,
            intermediate_size,
            vocab_size: crate::tokenizer::BUILTIN_VOCAB_SIZE,
            max_positions: 32_768,
            kv_bytes_per_token: kv_bytes_per_token(layers, kv_heads, head_dim),
        };
        Some(Self {
            shape,
            rms_norm_epsilon: 1e-5,
            rope_theta: 500_000.0,
            rope_scaling: RopeScaling::None,
            tie_word_embeddings: false,
            end_of_text: vec![crate::tokenizer::BUILTIN_END_OF_TEXT],
        })
    }

    /// Reads `config.json` of a model directory.
    ///
    /// # Errors
    /// When the file is missing, not JSON, or describes a model that is not a Llama this engine can run.
    pub(crate) fn read(directory: &Path) -> Result<Self, EngineError> {
        let path = directory.join("config.json");
        let text =
            std::fs::read_to_string(&path).map_err(|source| EngineError::io(&path, source))?;
        let file: ConfigFile = serde_json::from_str(&text).map_err(|source| EngineError::Json {
            path: path.clone(),
            source,
        })?;
        file.check()
            .map_err(|reason| EngineError::UnsupportedModel { path, reason })
    }

    /// The same configuration as a Hugging Face `config.json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let shape = &self.shape;
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size,
            "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "vocab_size": shape.vocab_size,
            "max_position_embeddings": shape.max_positions,
            "rms_norm_eps": self.rms_norm_epsilon,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": 1,
            "eos_token_id": self.end_of_text,
            "torch_dtype": "bfloat16",
        })
    }
}

fn kv_bytes_per_token(layers: usize, kv_heads: usize, head_dim: usize) -> u64 {
    (layers * kv_heads * head_dim * 2 * size_of::<f32>()) as u64
}

/// The keys of a Hugging Face `config.json` that change what a Llama computes.
#[derive(Deserialize)]
struct ConfigFile {
    #[serde(default)]
    architectures: Vec<String>,
    hidden_act: Option<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    #[serde(default = "default_positions")]
    max_position_embeddings: usize,
    #[serde(default = "default_epsilon")]
    rms_norm_eps: f64,
    rope_theta: Option<f32>,
    rope_scaling: Option<RopeFile>,
    /// Where recent versions of transformers write both of the former.
    rope_parameters: Option<RopeFile>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    eos_token_id: Option<OneOrMany>,
}

#[derive(Deserialize)]
struct RopeFile {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<f32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

fn default_positions() -> usize {
    2048
}

fn default_epsilon() -> f64 {
    1e-6
}

impl ConfigFile {
    /// The configuration, or why the engine cannot run it.
    fn check(self) -> Result<ModelConfig, String> {
        if !self
            .architectures
            .iter()
            .any(|name| name == "LlamaForCausalLM")
        {
            return Err(format!(
                "architectures is {:?}, only LlamaForCausalLM can be run",
                self.architectures
            ));
        }
        if self
            .hidden_act
            .as_deref()
            .is_some_and(|name| name != "silu")
        {
            return Err(format!(
                "hidden_act is {:?}, only silu can be run",
                self.hidden_act
            ));
        }
        if self.attention_bias || self.mlp_bias {
            return Err("linear layers with a bias cannot be run".to_owned());
        }
        let heads = self.num_attention_heads;
        let kv_heads = self.num_key_value_heads.unwrap_or(heads);
        let positive = [
            self.hidden_size,
            self.intermediate_size,
            self.num_hidden_layers,
            heads,
            kv_heads,
            self.vocab_size,
        ];
        if positive.contains(&0) || !heads.is_multiple_of(kv_heads) {
            return Err(format!(
                "{heads} query heads cannot share {kv_heads} heads of keys and values, or a size is 0"
            ));
        }
        let head_dim = self.head_dim.unwrap_or(self.hidden_size / heads);
        if head_dim == 0 || !head_dim.is_multiple_of(TILE_COLUMNS) {
            return Err(format!(
                "head_dim is {head_dim}, only multiples of {TILE_COLUMNS} can be run"
            ));
        }
        let theta = self
            .rope_parameters
            .as_ref()
            .and_then(|rope| rope.rope_theta)
            .or(self.rope_theta);
        let scaling = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        Ok(ModelConfig {
            shape: ModelShape {
                layers: self.num_hidden_layers,
                hidden_size: self.hidden_size,
                heads,
                kv_heads,
                head_dim,
                intermediate_size: self.intermediate_size,
                vocab_size: self.vocab_size,
                max_positions: self.max_position_embeddings,
                kv_bytes_per_token: kv_bytes_per_token(self.num_hidden_layers, kv_heads, head_dim),
            },
            rms_norm_epsilon: self.rms_norm_eps,
            rope_theta: theta.unwrap_or(10_000.0),
            rope_scaling: scaling.map_or(Ok(RopeScaling::None), RopeFile::check)?,
            tie_word_embeddings: self.tie_word_embeddings,
            end_of_text: match self.eos_token_id {
                None => Vec::new(),
                Some(OneOrMany::One(id)) => vec![id],
                Some(OneOrMany::Many(ids)) => ids,
            },
        })
    }
}

impl RopeFile {
    fn check(&self) -> Result<RopeScaling, String> {
        let need = |name: &str, value: Option<f32>| {
            value.ok_or_else(|| format!("rope scaling lacks {name}"))
        };
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: need("factor", self.factor)?,
            }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: need("factor", self.factor)?,
                low: need("low_freq_factor", self.low_freq_factor)?,
                high: need("high_freq_factor", self.high_freq_factor)?,
                original_positions: need(
                    "original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            }),
            Some(other) => Err(format!("rope scaling of type {other} cannot be run")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_models_go_through_their_own_config_file() {
        for name in ["builtin:tiny", "builtin:small"] {
            let config = ModelConfig::builtin(name).unwrap();
            let file: ConfigFile = serde_json::from_value(config.to_json()).unwrap();
            assert_eq!(file.check().unwrap(), config);
        }
        assert_eq!(
            model_shape("builtin:small").unwrap().kv_bytes_per_token,
            16_384
        );
        assert_eq!(model_shape("builtin:other"), None);
    }

    #[test]
    fn both_spellings_of_rope_are_read() {
        let mut json = ModelConfig::builtin("builtin:tiny").unwrap().to_json();
        let rope = serde_json::json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_theta": 250_000.0});
        json["rope_parameters"] = rope.clone();
        let new: ConfigFile = serde_json::from_value(json.clone()).unwrap();
        let new = new.check().unwrap();
        assert_eq!(new.rope_theta, 250_000.0);
        let map = json.as_object_mut().unwrap();
        map.remove("rope_parameters");
        map.insert("rope_scaling".to_owned(), rope);
        let old: ConfigFile = serde_json::from_value(json).unwrap();
        let old = old.check().unwrap();
        assert_eq!(old.rope_scaling, new.rope_scaling);
        assert_eq!(old.rope_theta, 500_000.0);
    }

    #[test]
    fn what_cannot_be_run_is_said() {
        let config = ModelConfig::builtin("builtin:tiny").unwrap();
        for (key, value, word) in [
            (
                "architectures",
                serde_json::json!(["GPT2LMHeadModel"]),
                "GPT2LMHeadModel",
            ),
            ("attention_bias", serde_json::json!(true), "bias"),
            ("head_dim", serde_json::json!(20), "head_dim"),
            ("num_key_value_heads", serde_json::json!(3), "share"),
            (
                "rope_scaling",
                serde_json::json!({"rope_type": "yarn"}),
                "yarn",
            ),
        ] {
            let mut json = config.to_json();
            json[key] = value;
            let file: ConfigFile = serde_json::from_value(json).unwrap();
            let reason = file.check().unwrap_err();
            assert!(reason.contains(word), "{reason}");
        }
    }
}
