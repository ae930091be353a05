//! What an engine is asked before anything is measured: what the chat template adds, whether lengths are exact, and a warm-up.

use schemas::plan::Plan;

use crate::{
    http::{self, HttpError},
    load::Target,
    prompt::{self, TemplateOverhead, TrialPrompts},
};

/// What `/tokenize` of an engine says about prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lengths {
    /// The template's share is known, and the longest prompt has the planned length.
    Exact(TemplateOverhead),
    /// The engine has no `/tokenize`: prompts are only checked against `usage`, afterwards.
    Unknown,
    /// The engine counts another number of tokens than planned, so its tokenizer is not ours.
    Off {
        /// Planned, with the template.
        planned: u32,
        /// Counted by the engine.
        counted: u32,
    },
}

/// Asks `/tokenize` for the template's share (with `sample`, a text of `sample_tokens`), and verifies the longest prompt of an experiment.
///
/// # Errors
/// When the engine does not answer at all.
pub(crate) async fn lengths(
    target: &Target,
    plan: &Plan,
    sample: (&str, u32),
    prompts: &TrialPrompts,
) -> Result<Lengths, HttpError> {
    let (text, tokens) = sample;
    let model = plan.model.served_name.as_str();
    let count = async |contents: &[&str]| -> Result<Option<u32>, HttpError> {
        let body = prompt::tokenize_request(model, contents);
        let answer = http::post_json(target, "/tokenize", body).await?;
        Ok((answer.status == 200)
            .then(|| prompt::parse_token_count(&answer.body).ok())
            .flatten())
    };
    let (Some(one), Some(three)) = (count(&[text]).await?, count(&[text, text, text]).await?)
    else {
        return Ok(Lengths::Unknown);
    };
    let Some(overhead) = TemplateOverhead::from_counts(tokens, one, three) else {
        return Ok(Lengths::Off {
            planned: tokens,
            counted: one,
        });
    };
    let (longest, planned) = prompts.longest();
    let planned = planned + overhead.single_tokens;
    match count(&[longest]).await? {
        Some(counted) if counted != planned => Ok(Lengths::Off { planned, counted }),
        Some(_) => Ok(Lengths::Exact(overhead)),
        None => Ok(Lengths::Unknown),
    }
}
