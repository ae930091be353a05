//! What can stop the engine.

use std::io;
use std::path::{Path, PathBuf};

/// Why the engine could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A paced script is not the TOML it should be.
    #[error("{}: not a valid script: {source}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value of a paced script makes no sense.
    #[error("{}: {reason}", path.display())]
    ScriptValue {
        /// The file.
        path: PathBuf,
        /// Which value and why.
        reason: String,
    },
    /// The configuration describes a model that this engine cannot run.
    #[error("{}: {reason}", path.display())]
    UnsupportedModel {
        /// The configuration file.
        path: PathBuf,
        /// What is not supported.
        reason: String,
    },
    /// A weights file cannot be used.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The weights file, or the model's folder.
        path: PathBuf,
        /// What is wrong with it.
        source: candle_core::Error,
    },
    /// A tokenizer file cannot be used.
    #[error("{}: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A chat template does not parse.
    #[error("chat template: {0}")]
    ChatTemplate(#[source] minijinja::Error),
    /// The name begins with `builtin:` and is none of the built-in models.
    #[error("no built-in model is called {0}; there are builtin:tiny and builtin:small")]
    UnknownModel(String),
    /// Two arguments do not go together, or a value is out of range.
    #[error("{0}")]
    Arguments(String),
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Host and port.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Threads, timers or signals could not be set up.
    #[error("cannot set up {what}: {source}")]
    Setup {
        /// What was being set up.
        what: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A paced script told the engine to die.
    #[error("the paced script ended the engine at request {request}")]
    ScriptedExit {
        /// Number of the request, from 1.
        request: u64,
    },
    /// The compute thread stopped although nobody asked for it.
    #[error("the compute thread stopped")]
    ComputeStopped,
}

impl EngineError {
    /// An I/O error on a path.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
