//! The command line of the engine.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of one engine process.
#[derive(Args, Clone, Debug)]
pub struct EngineArgs {
    /// Model: `builtin:tiny`, `builtin:small`, or a Hugging Face model directory.
    #[arg(long, default_value = "builtin:tiny")]
    pub model: String,
    /// Name that requests use for the model; default: the value of --model.
    #[arg(long)]
    pub served_model_name: Option<String>,
    /// Where the weights of a model directory come from. Built-in models have random ones.
    #[arg(long, value_enum, default_value_t = LoadFormat::Auto)]
    pub load_format: LoadFormat,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Keep the KV cache of finished requests in the engine's own memory, at most so many bytes of it, running
    /// requests included.
    #[arg(long, value_name = "CAPACITY_BYTES")]
    pub prefix: Option<u64>,
    /// Copy KV chunks to host memory, at most so many bytes.
    #[arg(long, value_name = "CAPACITY_BYTES")]
    pub local_cpu: Option<u64>,
    /// Copy KV chunks to files, at most so many bytes.
    #[arg(long, value_name = "CAPACITY_BYTES", requires = "local_disk_path")]
    pub local_disk: Option<u64>,
    /// Folder of the files of --local-disk; made if missing.
    #[arg(long, value_name = "DIR", requires = "local_disk")]
    pub local_disk_path: Option<PathBuf>,
    /// Also copy the KV of generated tokens to --local-cpu and --local-disk.
    #[arg(long)]
    pub save_decode_cache: bool,
    /// Tokens of one chunk of KV cache; only whole chunks are reused.
    #[arg(long, value_name = "TOKENS", default_value_t = 256)]
    pub chunk_size: usize,
    /// Prompt tokens computed between two steps of the running streams, rounded up to whole chunks.
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    pub prefill_chunk: usize,
    /// Longest prompt and output together; default: what the model and the memory of --prefix take.
    #[arg(long, value_name = "TOKENS")]
    pub max_model_len: Option<usize>,
    /// Threads that compute; default: one less than there are cores, at least one.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Requests that are computed at the same time; more wait in line. In the paced mode none waits.
    #[arg(long, value_name = "REQUESTS", default_value_t = 16)]
    pub max_batch: usize,
    /// Seed of random weights and, where a request gives none, of sampling.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Spend the times that a script states instead of computing: a file with the keys of a scenario's `paced` table,
    /// in TOML or, where its name ends so, in .json.
    #[arg(long, value_name = "FILE")]
    pub paced: Option<PathBuf>,
}

/// Where weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LoadFormat {
    /// The safetensors files of the model directory.
    Auto,
    /// Random values; the directory needs only its configuration and tokenizer.
    Dummy,
}
