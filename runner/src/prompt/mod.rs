//! Prompts of exact length: words that are single tokens, texts made of them, and the requests' bodies.
//!
//! Everything is made before the clock starts, from the model's own tokenizer, the plan, the plan's seed and the run's nonce.

mod body;
mod builder;
mod json;
#[cfg(test)]
mod prompt_tests;
mod source;
mod template;
mod tokenizer;
mod words;

pub use builder::{Occasion, TrialPrompts, build, build_longest, warm_up};
pub(crate) use json::json_content;
pub use source::{PromptError, TextSource};
pub use template::{
    TemplateOverhead, TokenizeError, parse_prompt_tokens, parse_token_count, tokenize_request,
    usage_request,
};
pub use tokenizer::{Tokenizer, TokenizerError};
