//! Bodies of chat requests: pieces of JSON around prompts.

use bytes::Bytes;

use super::json_content;

/// Between a question's text and the reply to it.
const REPLY_OPEN: &[u8] = br#""},{"role":"assistant","content":""#;
/// Between a reply and the next question's text.
const QUESTION_OPEN: &[u8] = br#""},{"role":"user","content":""#;

/// What bodies for one model have in common.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// From the first byte to where the first question's text begins.
    pub(super) opening: Bytes,
    pub(super) reply_open: Bytes,
    pub(super) question_open: Bytes,
}

impl Frame {
    pub(super) fn new(model: &str) -> Self {
        let mut opening = br#"{"model":""#.to_vec();
        opening.extend_from_slice(&json_content(model));
        opening.extend_from_slice(br#"","messages":[{"role":"user","content":""#);
        Self {
            opening: Bytes::from(opening),
            reply_open: Bytes::from_static(REPLY_OPEN),
            question_open: Bytes::from_static(QUESTION_OPEN),
        }
    }
}

/// From the end of the last question's text to the last byte: exactly `output_tokens` tokens, greedy, as a stream with counts at its end.
pub(super) fn closing(output_tokens: u32) -> Bytes {
    Bytes::from(format!(
        r#""}}],"stream":true,"stream_options":{{"include_usage":true}},"temperature":0,"max_tokens":{output_tokens},"min_tokens":{output_tokens},"ignore_eos":true}}"#
    ))
}
