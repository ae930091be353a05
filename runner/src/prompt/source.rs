//! Text of exact length: the same for the same seed and name, and different for every other name.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

use super::{
    tokenizer::{Tokenizer, TokenizerError},
    words::Words,
};

/// A salt makes this many different contexts, as a power of two, where the context has room for it.
const SALT_BITS: f64 = 72.0;
/// And has at least this many words.
const SALT_WORDS_MIN: u32 = 8;

/// Why prompts cannot be made.
#[derive(Debug, Error)]
pub enum PromptError {
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The vocabulary holds too few words that stay one token in any company.
    #[error(
        "the tokenizer has fewer than {least} words that are one token each beside one another"
    )]
    NoWords {
        /// Words needed.
        least: usize,
    },
    /// A text came out longer or shorter than planned.
    #[error("a prompt of {planned} tokens encodes to {encoded}")]
    Inexact {
        /// Tokens planned.
        planned: u32,
        /// Tokens that the tokenizer makes of it.
        encoded: usize,
    },
}

/// Makes texts of exact length.
#[derive(Debug)]
pub struct TextSource {
    tokenizer: Tokenizer,
    seed: u64,
    words: Words,
    salt_words: u32,
}

/// The words of one text, drawn one after another.
pub(super) struct Stream<'a> {
    source: &'a TextSource,
    random: ChaCha8Rng,
}

impl TextSource {
    /// Chooses the words of texts from the tokenizer's vocabulary.
    ///
    /// # Errors
    /// [`PromptError::NoWords`], [`PromptError::Tokenizer`].
    pub fn new(tokenizer: Tokenizer, seed: u64) -> Result<Self, PromptError> {
        let words = Words::choose(&tokenizer)?;
        let bits = (words.followers.len() as f64).log2();
        let salt_words = ((SALT_BITS / bits).ceil() as u32).max(SALT_WORDS_MIN);
        Ok(Self {
            tokenizer,
            seed,
            words,
            salt_words,
        })
    }

    /// A whole message of `tokens` tokens, the same for the same seed, name and numbers.
    pub fn text(&self, name: &str, numbers: &[u64], tokens: u32) -> String {
        let mut text = String::new();
        self.stream(name, numbers).message(&mut text, tokens);
        text
    }

    /// Checks that a text has as many tokens as planned.
    ///
    /// # Errors
    /// [`PromptError::Inexact`], [`PromptError::Tokenizer`].
    pub fn verify(&self, text: &str, planned: u32) -> Result<(), PromptError> {
        let encoded = self.tokenizer.encode(text)?.len();
        if encoded == planned as usize {
            Ok(())
        } else {
            Err(PromptError::Inexact { planned, encoded })
        }
    }

    /// The words of the text of this name and these numbers.
    pub(super) fn stream(&self, name: &str, numbers: &[u64]) -> Stream<'_> {
        self.keyed(self.seed, name, numbers)
    }

    /// Opens a message with words that no other run, experiment, trial or context opens with. At most `tokens` of them; gives how many.
    pub(super) fn write_salt(
        &self,
        text: &mut String,
        nonce: u64,
        numbers: &[u64],
        tokens: u32,
    ) -> u32 {
        let words = self.salt_words.min(tokens);
        self.keyed(nonce, "salt", numbers).message(text, words);
        words
    }

    fn keyed(&self, key: u64, name: &str, numbers: &[u64]) -> Stream<'_> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key.to_le_bytes());
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        Stream {
            source: self,
            random: ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()),
        }
    }
}

impl Stream<'_> {
    /// Appends a whole message: an opener and what follows it.
    pub(super) fn message(&mut self, text: &mut String, tokens: u32) {
        if tokens > 0 {
            text.push_str(pick(&self.source.words.openers, &mut self.random));
            self.follow(text, tokens - 1);
        }
    }

    /// Appends words that go on with a message.
    pub(super) fn follow(&mut self, text: &mut String, tokens: u32) {
        for _ in 0..tokens {
            text.push_str(pick(&self.source.words.followers, &mut self.random));
        }
    }
}

fn pick<'a>(words: &'a [Box<str>], random: &mut ChaCha8Rng) -> &'a str {
    // Multiply and shift; the bias is below one in a million for pools of this size.
    let index = (u64::from(random.next_u32()) * words.len() as u64) >> 32;
    words.get(index as usize).map_or("", |word| word)
}
