//! From a planned experiment to requests.

use schemas::plan::Experiment;
use thiserror::Error;

use super::{source::TextSource, template::TemplateOverhead, tokenizer::TokenizerError};
use crate::load::ArrivalItem;

/// Why prompts cannot be made.
#[derive(Debug, Error)]
pub enum PromptError {
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// The prompts of one (experiment, trial): the same for every engine.
#[derive(Debug, Clone)]
pub struct TrialPrompts {}

impl TrialPrompts {
    /// The turn's arrivals for one engine (by index); `overhead` is what the chat template adds, where it is known.
    pub fn arrivals(
        &self,
        _engine: usize,
        _overhead: Option<TemplateOverhead>,
    ) -> Vec<ArrivalItem> {
        unimplemented!()
    }

    /// BLAKE3 over all prompts without their salts, hexadecimal: the same in every run of the same plan.
    pub fn fingerprint(&self) -> &str {
        unimplemented!()
    }

    /// Contents of the longest prompt's first message and its planned tokens without the template: what `/tokenize` is to verify.
    pub fn longest(&self) -> (&str, u32) {
        unimplemented!()
    }
}

/// Makes the prompts of one (experiment, trial). `nonce` differs between runs.
///
/// # Errors
/// [`PromptError`].
pub fn build(
    _source: &TextSource,
    _experiment: &Experiment,
    _index: u32,
    _trial: u32,
    _nonce: u64,
    _model: &str,
) -> Result<TrialPrompts, PromptError> {
    unimplemented!()
}

/// Requests that warm an engine up: each prompt length of the experiments once, with text of their own and few output tokens.
///
/// # Errors
/// [`PromptError`].
pub fn warm_up(
    _source: &TextSource,
    _experiments: &[&Experiment],
    _nonce: u64,
    _model: &str,
) -> Result<Vec<ArrivalItem>, PromptError> {
    unimplemented!()
}
