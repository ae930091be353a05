//! Text of exact length.

use super::{builder::PromptError, tokenizer::Tokenizer};

/// Text of exact length.
#[derive(Debug)]
pub struct TextSource {}

impl TextSource {
    /// Chooses the words.
    ///
    /// # Errors
    /// [`PromptError`].
    pub fn new(_tokenizer: Tokenizer, _seed: u64) -> Result<Self, PromptError> {
        unimplemented!()
    }
}
