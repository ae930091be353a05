//! An answer on its way to the client: events of generations to text, with their times.

use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::clock::now_ns;
use crate::generation::{EventStream, FinishReason, GenerationEvent, Summary};
use crate::tokenizer::TextStream;

/// Which of the two interfaces answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    Chat,
    Completion,
}

/// What all parts of an answer repeat.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) interface: Interface,
    pub(crate) id: String,
    /// Unix time in seconds.
    pub(crate) created: u64,
    pub(crate) model: String,
}

impl Label {
    /// An object of the answer, or of one chunk of its stream.
    pub(crate) fn object(&self, is_chunk: bool, choices: &Value) -> Value {
        let object = match (self.interface, is_chunk) {
            (Interface::Chat, true) => "chat.completion.chunk",
            (Interface::Chat, false) => "chat.completion",
            (Interface::Completion, _) => "text_completion",
        };
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    /// One choice of a stream's chunk.
    fn choice(&self, index: usize, content: &Value, reason: Option<FinishReason>) -> Value {
        let reason = reason.map(FinishReason::name);
        let mut choice = json!({"index": index, "logprobs": null, "finish_reason": reason});
        match self.interface {
            Interface::Chat => choice["delta"] = content.clone(),
            Interface::Completion => choice["text"] = content.clone(),
        }
        choice
    }
}

/// One prompt's generation with what is known of it so far.
pub(crate) struct Choice {
    pub(crate) events: EventStream,
    pub(crate) text: TextStream,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    pub(crate) summary: Option<Summary>,
}

/// What a choice says next.
pub(crate) enum Said {
    /// A token's text.
    Text(String),
    /// The last of it.
    End(FinishReason),
    Cut,
    Garbage,
}

impl Choice {
    pub(crate) fn new(events: EventStream, text: TextStream, prompt_tokens: usize) -> Self {
        Self {
            events,
            text,
            prompt_tokens: prompt_tokens as u64,
            completion_tokens: 0,
            summary: None,
        }
    }

    /// The next thing it says.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Said, ApiError>> {
        let Poll::Ready(event) = self.events.poll_next(context) else {
            return Poll::Pending;
        };
        Poll::Ready(match event {
            Some(GenerationEvent::Token(id)) => {
                self.completion_tokens += 1;
                self.text
                    .push(id)
                    .map(Said::Text)
                    .map_err(ApiError::internal)
            }
            Some(GenerationEvent::Finished(summary)) => {
                self.summary = Some(summary);
                Ok(Said::End(summary.reason))
            }
            Some(GenerationEvent::Failed(reason)) => Err(ApiError::internal(reason)),
            Some(GenerationEvent::Cut) => Ok(Said::Cut),
            Some(GenerationEvent::Garbage) => Ok(Said::Garbage),
            None => Err(ApiError::internal("the engine stopped")),
        })
    }
}

/// When the parts of an answer were handed to the socket, nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// When the head of the request had arrived.
    pub(crate) received_ns: u64,
    pub(crate) first_token_ns: Option<u64>,
    pub(crate) last_token_ns: Option<u64>,
}

impl Served {
    /// Notes that content is being handed over.
    pub(crate) fn stamp(&mut self) {
        let now_ns = now_ns();
        self.first_token_ns.get_or_insert(now_ns);
        self.last_token_ns = Some(now_ns);
    }
}

/// Adds `usage`, `metrics` and `served` to an answer, or to the chunk at the end of a stream.
pub(crate) fn add_usage(answer: &mut Value, choices: &[Choice], served: &Served) {
    let sum = |number: fn(&Choice) -> u64| choices.iter().map(number).sum::<u64>();
    let (prompt, completion) = (
        sum(|choice| choice.prompt_tokens),
        sum(|choice| choice.completion_tokens),
    );
    let cached = sum(|choice| choice.summary.map_or(0, |summary| summary.cached_tokens));
    answer["usage"] = json!({
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    });
    // As vLLM counts: time in line apart from the time to the first token. Of several prompts, the first.
    if let Some(summary) = choices.first().and_then(|choice| choice.summary) {
        let milliseconds = |from: u64, to: u64| to.saturating_sub(from) as f64 * 1e-6;
        answer["metrics"] = json!({
            "time_to_first_token_ms": milliseconds(summary.scheduled_ns, summary.first_token_ns),
            "queue_time_ms": milliseconds(served.received_ns, summary.scheduled_ns),
        });
    }
    answer["served"] = json!({
        "received_ns": served.received_ns,
        "first_token_ns": served.first_token_ns,
        "last_token_ns": served.last_token_ns,
    });
}

/// Writes the chunks of a stream in the format of server-sent events.
pub(crate) struct EventWriter {
    label: Label,
    pub(crate) buffer: BytesMut,
    /// Everything before and after the text of a content chunk, for each choice.
    frames: Vec<(Bytes, Bytes)>,
}

impl EventWriter {
    pub(crate) fn new(label: Label, choices: usize) -> Self {
        // A text that JSON leaves as it is and that stands nowhere else in a chunk.
        const MARK: &str = "\u{1}";
        let frame = |index| {
            let content = match label.interface {
                Interface::Chat => json!({"content": MARK}),
                Interface::Completion => json!(MARK),
            };
            let chunk = label
                .object(true, &json!([label.choice(index, &content, None)]))
                .to_string();
            let mark = json!(MARK).to_string();
            let (before, after) = chunk.split_once(&mark).unwrap_or((&chunk, ""));
            (
                Bytes::from(format!("data: {before}")),
                Bytes::from(format!("{after}\n\n")),
            )
        };
        Self {
            buffer: BytesMut::new(),
            frames: (0..choices).map(frame).collect(),
            label,
        }
    }

    /// A chunk with one token's text.
    pub(crate) fn content(&mut self, index: usize, text: &str) {
        let Some((before, after)) = self.frames.get(index) else {
            return;
        };
        self.buffer.extend_from_slice(before);
        // Writing into memory cannot fail.
        serde_json::to_writer((&mut self.buffer).writer(), text).unwrap_or_default();
        self.buffer.extend_from_slice(after);
    }

    /// The chunk that opens a chat: a role and no content.
    pub(crate) fn role(&mut self, index: usize) {
        let choice = self
            .label
            .choice(index, &json!({"role": "assistant", "content": ""}), None);
        self.event(&self.label.object(true, &json!([choice])));
    }

    /// The chunk that says why a choice ended.
    pub(crate) fn finish(&mut self, index: usize, reason: FinishReason) {
        let content = match self.label.interface {
            Interface::Chat => json!({}),
            Interface::Completion => json!(""),
        };
        let choice = self.label.choice(index, &content, Some(reason));
        self.event(&self.label.object(true, &json!([choice])));
    }

    /// The chunk with the numbers of tokens.
    pub(crate) fn usage(&mut self, choices: &[Choice], served: &Served) {
        let mut chunk = self.label.object(true, &json!([]));
        add_usage(&mut chunk, choices, served);
        self.event(&chunk);
    }

    /// Any object.
    pub(crate) fn event(&mut self, object: &Value) {
        self.buffer
            .extend_from_slice(format!("data: {object}\n\n").as_bytes());
    }

    /// The end of the stream.
    pub(crate) fn done(&mut self) {
        self.buffer.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// Something that is no stream.
    pub(crate) fn garbage(&mut self) {
        self.buffer
            .extend_from_slice(b"data: {\"choices\": [{\"delta\": \n\n\x00\xff<html>\n\n");
    }

    /// Whether a chat is answered, which begins with a role.
    pub(crate) fn is_chat(&self) -> bool {
        self.label.interface == Interface::Chat
    }
}
