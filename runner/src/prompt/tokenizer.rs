//! The model's own tokenizer.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a tokenizer cannot be used.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The bytes are no `tokenizer.json`.
    #[error("not a tokenizer.json: {reason}")]
    Format {
        /// What the library says.
        reason: String,
    },
    /// A text could not be encoded.
    #[error("a text cannot be encoded: {reason}")]
    Encode {
        /// What the library says.
        reason: String,
    },
}

/// The model's own tokenizer, as its `tokenizer.json` defines it.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Format`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut inner =
            tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| TokenizerError::Format {
                reason: error.to_string(),
            })?;
        // A file may ask for truncation or padding; both would falsify counts.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| TokenizerError::Format {
                reason: error.to_string(),
            })?;
        Ok(Self { inner })
    }

    /// From a `tokenizer.json`, or from a directory that holds one.
    ///
    /// # Errors
    /// [`TokenizerError::Read`] and [`TokenizerError::Format`].
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let path = if path.is_dir() {
            path.join("tokenizer.json")
        } else {
            path.to_owned()
        };
        let bytes = std::fs::read(&path).map_err(|source| TokenizerError::Read { path, source })?;
        Self::from_bytes(&bytes)
    }

    /// Ids of a text, without the tokens that a template or a post-processor adds.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding =
            self.inner
                .encode_fast(text, false)
                .map_err(|error| TokenizerError::Encode {
                    reason: error.to_string(),
                })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The vocabulary without added (special) tokens, sorted by id: token as written in the file, and id.
    pub(crate) fn vocabulary(&self) -> Vec<(String, u32)> {
        let added = self.inner.get_added_tokens_decoder();
        let mut tokens: Vec<(String, u32)> = self
            .inner
            .get_vocab(false)
            .into_iter()
            .filter(|(_, id)| !added.contains_key(id))
            .collect();
        tokens.sort_unstable_by_key(|&(_, id)| id);
        tokens
    }

    /// The text of one id, where the tokenizer can tell.
    pub(crate) fn decode_one(&self, id: u32) -> Option<String> {
        self.inner.decode(&[id], false).ok()
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tokenizer")
            .field("vocabulary", &self.inner.get_vocab_size(true))
            .finish()
    }
}
