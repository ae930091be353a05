//! The built-in engine: an OpenAI-compatible server that runs a Llama model on the CPU and keeps its KV cache in tiers.

mod api;
mod args;
mod builtin;
mod chat;
mod clock;
mod error;
mod generation;
mod hash;
mod kv;
mod load;
mod metrics;
mod model;
mod paced;
mod scheduler;
mod server;
mod tiers;
mod tokenizer;

pub use args::{EngineArgs, LoadFormat};
pub use builtin::write_builtin_model;
pub use error::EngineError;
pub use model::config::{ModelShape, model_shape};
pub use server::{serve, serve_on};
pub use tokenizer::{
    builtin_chat_template, builtin_tokenizer, builtin_tokenizer_config, builtin_tokenizer_json,
};
