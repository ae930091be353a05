//! What clients send, as far as this engine acts on it.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::ApiError;
use crate::generation::Sampling;

/// Fields that `/v1/completions` and `/v1/chat/completions` share.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Common {
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) stream: bool,
    stream_options: Option<StreamOptions>,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) max_completion_tokens: Option<u64>,
    min_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) ignore_eos: bool,
    temperature: Option<f32>,
    top_p: Option<f32>,
    seed: Option<u64>,
    n: Option<u64>,
    #[serde(default)]
    echo: bool,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Common {
    /// Whether a stream ends with a chunk that says how many tokens there were.
    pub(crate) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage)
    }

    /// How tokens are chosen; `seed` where the request names none.
    pub(crate) fn sampling(&self, seed: u64) -> Result<Sampling, ApiError> {
        let temperature = self.temperature.unwrap_or(1.0);
        if !(0.0..=100.0).contains(&temperature) {
            return Err(ApiError::parameter(
                "temperature",
                format!("temperature is {temperature}, not between 0 and 100"),
            ));
        }
        let top_p = self.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(ApiError::parameter(
                "top_p",
                format!("top_p is {top_p}, not above 0 and at most 1"),
            ));
        }
        Ok(Sampling {
            temperature,
            top_p,
            seed: self.seed.unwrap_or(seed),
        })
    }

    /// Numbers of tokens to generate, at least and at most, when the model has `room` tokens after the prompt.
    pub(crate) fn lengths(
        &self,
        prompt: usize,
        max_model_len: usize,
        default: Option<u64>,
    ) -> Result<(usize, usize), ApiError> {
        let room = max_model_len.saturating_sub(prompt);
        let asked = self.max_completion_tokens.or(self.max_tokens).or(default);
        let most = asked.map_or(room, |most| usize::try_from(most).unwrap_or(usize::MAX));
        if room == 0 || most > room {
            let wanted = asked.map_or_else(|| "any".to_owned(), |most| most.to_string());
            return Err(ApiError::bad_request(format!(
                "this model's maximum context length is {max_model_len} tokens, but the request has {prompt} prompt \
                 tokens and asks for {wanted} output tokens"
            )));
        }
        let least = usize::try_from(self.min_tokens.unwrap_or(0)).unwrap_or(usize::MAX);
        if most == 0 {
            return Err(ApiError::parameter(
                "max_tokens",
                "max_tokens must be at least 1",
            ));
        }
        if least > most {
            let message = format!("min_tokens is {least}, more than max_tokens, which is {most}");
            return Err(ApiError::parameter("min_tokens", message));
        }
        Ok((least, most))
    }

    /// Refuses what this engine cannot do rather than ignoring it.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(ApiError::parameter(
                "n",
                "only one answer a prompt can be asked for",
            ));
        }
        if self.echo {
            return Err(ApiError::parameter(
                "echo",
                "the prompt cannot be repeated in the answer",
            ));
        }
        Ok(())
    }
}

/// Body of `/v1/completions`.
#[derive(Debug, Deserialize)]
pub(crate) struct CompletionRequest {
    pub(crate) prompt: Prompts,
    #[serde(flatten)]
    pub(crate) common: Common,
}

/// Body of `/v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    pub(crate) messages: Vec<Value>,
    #[serde(default = "yes")]
    pub(crate) add_generation_prompt: bool,
    #[serde(flatten)]
    pub(crate) common: Common,
}

/// Body of `/tokenize`: a prompt, or messages.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenizeRequest {
    pub(crate) model: Option<String>,
    pub(crate) prompt: Option<String>,
    pub(crate) messages: Option<Vec<Value>>,
    #[serde(default = "yes")]
    pub(crate) add_generation_prompt: bool,
    pub(crate) add_special_tokens: Option<bool>,
}

/// Body of `/detokenize`.
#[derive(Debug, Deserialize)]
pub(crate) struct DetokenizeRequest {
    pub(crate) model: Option<String>,
    pub(crate) tokens: Vec<u32>,
}

fn yes() -> bool {
    true
}

/// One prompt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

/// The prompts of a completion: a text, a list of texts, a list of ids, or a list of lists of ids.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prompts(pub(crate) Vec<Prompt>);

/// Anything that can stand in a list of prompts.
enum Item {
    Id(u32),
    Prompt(Prompt),
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a text, a token id or a list of token ids")
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<Item, E> {
        let unknown = || E::invalid_value(de::Unexpected::Unsigned(id), &self);
        u32::try_from(id).map(Item::Id).map_err(|_| unknown())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
        Ok(Item::Prompt(Prompt::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Item, A::Error> {
        let mut ids = Vec::new();
        while let Some(id) = sequence.next_element()? {
            ids.push(id);
        }
        Ok(Item::Prompt(Prompt::Ids(ids)))
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct PromptsVisitor;

impl<'de> Visitor<'de> for PromptsVisitor {
    type Value = Prompts;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(
            "a text, a list of texts, a list of token ids or a list of lists of token ids",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Prompts, E> {
        Ok(Prompts(vec![Prompt::Text(text.to_owned())]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Prompts, A::Error> {
        let mut ids = Vec::new();
        let mut prompts = Vec::new();
        while let Some(item) = sequence.next_element()? {
            match item {
                Item::Id(id) => ids.push(id),
                Item::Prompt(prompt) => prompts.push(prompt),
            }
        }
        match (ids.is_empty(), prompts.is_empty()) {
            (false, true) => Ok(Prompts(vec![Prompt::Ids(ids)])),
            (true, false) => Ok(Prompts(prompts)),
            (true, true) => Err(de::Error::custom("the prompt is empty")),
            (false, false) => Err(de::Error::custom("token ids and prompts stand in one list")),
        }
    }
}

impl<'de> Deserialize<'de> for Prompts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PromptsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(json: &str) -> Result<Vec<Prompt>, String> {
        serde_json::from_str(json)
            .map(|prompts: Prompts| prompts.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_prompt_is_read() {
        let text = |text: &str| Prompt::Text(text.to_owned());
        assert_eq!(prompts(r#""a""#).unwrap(), [text("a")]);
        assert_eq!(prompts(r#"["a", "b"]"#).unwrap(), [text("a"), text("b")]);
        assert_eq!(prompts("[7, 8]").unwrap(), [Prompt::Ids(vec![7, 8])]);
        assert_eq!(
            prompts("[[7], [8, 9]]").unwrap(),
            [Prompt::Ids(vec![7]), Prompt::Ids(vec![8, 9])]
        );
        for (json, word) in [
            ("[]", "empty"),
            ("[1, \"a\"]", "one list"),
            ("[-1]", "-1"),
            ("5", "text"),
            ("[[\"a\"]]", "u32"),
        ] {
            let message = prompts(json).unwrap_err();
            assert!(message.contains(word), "{json}: {message}");
        }
    }

    #[test]
    fn lengths_are_checked_against_the_model() {
        let common = |json: &str| serde_json::from_str::<Common>(json).unwrap();
        assert_eq!(common("{}").lengths(10, 100, None).unwrap(), (0, 90));
        assert_eq!(common("{}").lengths(10, 100, Some(16)).unwrap(), (0, 16));
        assert_eq!(
            common(r#"{"max_completion_tokens": 5, "min_tokens": 5}"#)
                .lengths(95, 100, None)
                .unwrap(),
            (5, 5)
        );
        let message = common(r#"{"max_tokens": 6}"#)
            .lengths(95, 100, None)
            .unwrap_err()
            .json()
            .to_string();
        assert!(
            message.contains("100 tokens") && message.contains("95 prompt"),
            "{message}"
        );
        for json in [
            r#"{"max_tokens": 0}"#,
            r#"{"max_tokens": 2, "min_tokens": 3}"#,
        ] {
            assert!(common(json).lengths(1, 100, None).is_err());
        }
        assert!(common("{}").lengths(100, 100, None).is_err());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let common = |json: &str| serde_json::from_str::<Common>(json).unwrap();
        assert!(common(r#"{"n": 1, "unknown": 5}"#).check().is_ok());
        assert!(common(r#"{"n": 2}"#).check().is_err());
        assert!(common(r#"{"temperature": -1}"#).sampling(0).is_err());
        assert!(common(r#"{"top_p": 0}"#).sampling(0).is_err());
        assert_eq!(
            common(r#"{"temperature": 0, "seed": 3}"#)
                .sampling(0)
                .unwrap()
                .seed,
            3
        );
    }
}
