//! What the chat template adds to a prompt: asked of the engine once, then planned.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Tokens that the chat template adds to a prompt's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateOverhead {
    /// To a prompt of one user message.
    pub single_tokens: u32,
    /// More for every reply and question that follow.
    pub per_exchange_tokens: u32,
}

impl TemplateOverhead {
    /// Overhead of a conversation's turn, counted from 0.
    pub fn at_turn(&self, turn: u32) -> u32 {
        self.single_tokens + turn * self.per_exchange_tokens
    }

    /// From counts that the engine's `/tokenize` gave for one message of `content_tokens`, and for three such messages (user, assistant, user).
    /// `None` when the counts are smaller than the contents: the engine's tokenizer is not ours.
    pub fn from_counts(content_tokens: u32, one_message: u32, three_messages: u32) -> Option<Self> {
        let single_tokens = one_message.checked_sub(content_tokens)?;
        let per_exchange_tokens = three_messages
            .checked_sub(3 * content_tokens)?
            .checked_sub(single_tokens)?;
        Some(Self {
            single_tokens,
            per_exchange_tokens,
        })
    }
}

/// Why an answer cannot be used.
#[derive(Debug, Error)]
pub enum TokenizeError {
    /// It is not the JSON of a count.
    #[error("the answer holds no count: {0}")]
    NoCount(#[from] serde_json::Error),
}

/// Messages that alternate user, assistant, user, ….
fn messages(contents: &[&str]) -> Vec<serde_json::Value> {
    contents
        .iter()
        .enumerate()
        .map(|(index, content)| serde_json::json!({ "role": if index % 2 == 0 { "user" } else { "assistant" }, "content": content }))
        .collect()
}

/// Body of a `POST /tokenize` for messages that alternate user, assistant, user, …, with the template applied as for an answer.
pub fn tokenize_request(model: &str, contents: &[&str]) -> Vec<u8> {
    let messages = messages(contents);
    serde_json::json!({ "model": model, "messages": messages, "add_generation_prompt": true })
        .to_string()
        .into_bytes()
}

/// Body of a request for one token to the same messages, whose `usage` counts them.
pub fn usage_request(model: &str, contents: &[&str]) -> Vec<u8> {
    let messages = messages(contents);
    serde_json::json!({ "model": model, "messages": messages, "max_tokens": 1, "stream": false })
        .to_string()
        .into_bytes()
}

/// Prompt tokens in the `usage` of an answer without streaming.
///
/// # Errors
/// [`TokenizeError::NoCount`].
pub fn parse_prompt_tokens(answer: &[u8]) -> Result<u32, TokenizeError> {
    #[derive(Deserialize)]
    struct Answer {
        usage: Usage,
    }
    #[derive(Deserialize)]
    struct Usage {
        prompt_tokens: u32,
    }
    Ok(serde_json::from_slice::<Answer>(answer)?
        .usage
        .prompt_tokens)
}

/// Count in the answer of `/tokenize`.
///
/// # Errors
/// [`TokenizeError::NoCount`].
pub fn parse_token_count(answer: &[u8]) -> Result<u32, TokenizeError> {
    #[derive(Deserialize)]
    struct Answer {
        count: u32,
    }
    Ok(serde_json::from_slice::<Answer>(answer)?.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_comes_from_two_counts() {
        let overhead = TemplateOverhead::from_counts(10, 17, 52).expect("an overhead");
        assert_eq!(
            overhead,
            TemplateOverhead {
                single_tokens: 7,
                per_exchange_tokens: 15
            }
        );
        assert_eq!(overhead.at_turn(0), 7);
        assert_eq!(overhead.at_turn(3), 52);
        assert_eq!(TemplateOverhead::from_counts(10, 9, 52), None);
    }

    #[test]
    fn roles_alternate() {
        let body: serde_json::Value =
            serde_json::from_slice(&tokenize_request("m", &["a", "b", "c"])).expect("JSON");
        assert_eq!(
            body["messages"][1],
            serde_json::json!({ "role": "assistant", "content": "b" })
        );
        assert_eq!(body["messages"][2]["role"], "user");
        assert_eq!(
            parse_token_count(br#"{"count":5,"tokens":[1]}"#).ok(),
            Some(5)
        );
        assert!(parse_token_count(b"{}").is_err());
        assert_eq!(
            parse_prompt_tokens(br#"{"usage":{"prompt_tokens":9}}"#).ok(),
            Some(9)
        );
    }
}
