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
    /// The engine has no `/tokenize`: the template's share is from `usage` of two short answers, and prompts are checked afterwards.
    FromUsage(TemplateOverhead),
    /// It does not count at all.
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
        return lengths_from_usage(target, model, sample).await;
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

/// Has two short prompts answered by one token each, and takes the counts of their `usage`.
async fn lengths_from_usage(
    target: &Target,
    model: &str,
    (text, tokens): (&str, u32),
) -> Result<Lengths, HttpError> {
    let count = async |contents: &[&str]| -> Result<Option<u32>, HttpError> {
        let body = prompt::usage_request(model, contents);
        let answer = http::post_json(target, "/v1/chat/completions", body).await?;
        Ok((answer.status == 200)
            .then(|| prompt::parse_prompt_tokens(&answer.body).ok())
            .flatten())
    };
    let (Some(one), Some(three)) = (count(&[text]).await?, count(&[text, text, text]).await?)
    else {
        return Ok(Lengths::Unknown);
    };
    Ok(match TemplateOverhead::from_counts(tokens, one, three) {
        Some(overhead) => Lengths::FromUsage(overhead),
        None => Lengths::Off {
            planned: tokens,
            counted: one,
        },
    })
}

/// What `/v1/models` of an attached engine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Served {
    /// The model is there, or the engine has no such list.
    Yes,
    /// Without the right key it says nothing.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// It does not serve yet, or no more.
    NotReady {
        /// The HTTP status.
        status: u16,
    },
    /// Other models only.
    Others(Vec<String>),
}

/// Asks an attached engine whether it serves a model.
///
/// # Errors
/// When the engine does not answer at all.
pub(crate) async fn served(target: &Target, model: &str) -> Result<Served, HttpError> {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        id: String,
    }
    let answer = http::get(target, "/v1/models").await?;
    if matches!(answer.status, 401 | 403) {
        return Ok(Served::Refused {
            status: answer.status,
        });
    }
    if answer.status >= 500 {
        return Ok(Served::NotReady {
            status: answer.status,
        });
    }
    let Ok(list) = serde_json::from_slice::<List>(&answer.body) else {
        return Ok(Served::Yes);
    };
    if list.data.iter().any(|entry| entry.id == model) {
        return Ok(Served::Yes);
    }
    Ok(Served::Others(
        list.data.into_iter().map(|entry| entry.id).collect(),
    ))
}
