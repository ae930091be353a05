//! What a recorded answer says: content and when it came, counts, and faults. Pure.

use std::{borrow::Cow, iter::Peekable};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

use super::{
    exchange::{Mark, Recording},
    sse::Events,
};

/// What opens a line of data, as engines write it.
const FIELD: &[u8] = b"data: ";
/// How much of an engine's error text a row keeps.
const TEXT_MAX_CHARS: usize = 500;

/// What a stream says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Arrival of the first event of any kind.
    pub(super) first_event_ns: Option<u64>,
    /// Arrivals of events with content, in order.
    pub(super) content_ns: Vec<u64>,
    /// All content, reasoning included.
    pub(super) text: String,
    /// Content tokens in the first content event, where the event itself tells.
    pub(super) first_event_tokens: Option<u32>,
    pub(super) usage: Option<Usage>,
    pub(super) server_ttft_ns: Option<u64>,
    pub(super) server_queue_ns: Option<u64>,
    /// Absolute times at which a paced engine served.
    pub(super) served: Option<Served>,
    pub(super) finish_reason: Option<String>,
    /// `[DONE]` was there.
    pub(super) done: bool,
    /// The first thing that was wrong.
    pub(super) fault: Option<Fault>,
}

/// What was wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The engine sent an error event.
    Stream(String),
    /// Something that the protocol does not know.
    Protocol(String),
}

/// The engine's own counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptTokensDetails>,
    #[serde(default, deserialize_with = "if_it_fits")]
    served: Option<Served>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
struct PromptTokensDetails {
    cached_tokens: Option<u32>,
}

impl Usage {
    pub(super) fn cached_tokens(&self) -> Option<u32> {
        self.prompt_tokens_details
            .and_then(|details| details.cached_tokens)
    }
}

/// When a paced engine served: absolute CLOCK_MONOTONIC times in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Served {
    pub(super) first_token_ns: Option<u64>,
    pub(super) last_token_ns: Option<u64>,
}

/// The engine's own times, in ms.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Metrics {
    time_to_first_token_ms: Option<f64>,
    queue_time_ms: Option<f64>,
}

/// A piece of JSON text that stays where it is when nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    object: Option<Text<'a>>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, deserialize_with = "if_it_fits")]
    metrics: Option<Metrics>,
    #[serde(default, deserialize_with = "if_it_fits")]
    served: Option<Served>,
}

/// A value where it has the shape that we know: another engine may mean something else by the name.
fn if_it_fits<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Text<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Text<'a>>,
}

/// Reads a recorded stream. `whole` says that its last byte was the last of the body, so that an event without a blank line counts too.
pub fn read_stream(recording: &Recording, whole: bool) -> Answer {
    let mut answer = Answer {
        content_ns: Vec::with_capacity(recording.marks.len()),
        ..Answer::default()
    };
    let mut pattern: Option<Pattern<'_>> = None;
    let mut marks = recording.marks.iter().peekable();
    let mut events = Events::new(&recording.bytes);
    loop {
        if let Some((text, length)) = pattern.and_then(|pattern| pattern.fill(events.rest())) {
            let end = events.pass_over(length);
            let Some(at_ns) = arrival_ns(&mut marks, end) else {
                break;
            };
            answer.add_content(text, at_ns);
            continue;
        }
        let Some(event) = events.next() else { break };
        if !event.whole && !whole {
            break;
        }
        let Some(at_ns) = arrival_ns(&mut marks, event.end) else {
            break;
        };
        answer.first_event_ns.get_or_insert(at_ns);
        if event.data.as_ref() == b"[DONE]" {
            answer.done = true;
            break;
        }
        if event.name == b"error" {
            answer.set_fault(Fault::Stream(error_text(&event.data)));
            continue;
        }
        match event.data {
            Cow::Borrowed(data) => match serde_json::from_slice::<Chunk<'_>>(data) {
                Ok(chunk) => {
                    pattern = Pattern::of(&chunk, data, &recording.bytes[..event.end]).or(pattern);
                    answer.take_chunk(chunk, data, at_ns);
                }
                Err(error) => answer.set_not_a_chunk(&error),
            },
            // An event of several lines.
            Cow::Owned(data) => match serde_json::from_slice(&data) {
                Ok(chunk) => answer.take_chunk(chunk, &data, at_ns),
                Err(error) => answer.set_not_a_chunk(&error),
            },
        }
    }
    answer
}

/// When the byte before `end` arrived: an event is there when the bytes that complete it are.
fn arrival_ns<'a>(marks: &mut Peekable<impl Iterator<Item = &'a Mark>>, end: usize) -> Option<u64> {
    while marks.peek().is_some_and(|mark| mark.end < end) {
        marks.next();
    }
    marks.peek().map(|mark| mark.at_ns)
}

/// What surrounds the content in an event that says nothing else, from `data:` to the blank line. Events of one stream differ in nothing but their
/// content, so that one of them tells how to read the others: the same bytes around plain text are the same JSON around another string.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Pattern<'a> {
    /// `data` is the event's only line, and `event` ends where the event does.
    fn of(chunk: &Chunk<'a>, data: &[u8], event: &'a [u8]) -> Option<Self> {
        let silent = chunk.error.is_none()
            && chunk
                .object
                .as_ref()
                .is_none_or(|object| object.0 != "error")
            && chunk.usage.is_none()
            && chunk.metrics.is_none()
            && chunk.served.is_none();
        let [choice] = chunk.choices.as_deref()? else {
            return None;
        };
        let delta = choice
            .delta
            .as_ref()
            .filter(|_| silent && choice.finish_reason.is_none())?;
        let (Some(Text(Cow::Borrowed(text))), None, None) =
            (&delta.content, &delta.reasoning_content, &delta.reasoning)
        else {
            return None;
        };
        let offset = |part: &[u8]| part.as_ptr().addr().checked_sub(event.as_ptr().addr());
        let line = offset(data)?.checked_sub(FIELD.len())?;
        let blank_line = offset(data)? + data.len();
        let start = offset(text.as_bytes())?;
        let framed = event.get(line..)?.starts_with(FIELD) && event.get(blank_line..)? == b"\n\n";
        framed.then_some(Self {
            before: event.get(line..start)?,
            after: event.get(start + text.len()..)?,
        })
    }

    /// The content of an event of this pattern and the event's length, if these bytes begin with one and its content is plain.
    fn fill<'b>(&self, bytes: &'b [u8]) -> Option<(&'b str, usize)> {
        let rest = bytes.strip_prefix(self.before)?;
        let (text, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
        rest.strip_prefix(self.after)?;
        let plain = text.iter().all(|&byte| byte >= 0x20 && byte != b'\\');
        let text = std::str::from_utf8(text).ok().filter(|_| plain)?;
        Some((text, self.before.len() + text.len() + self.after.len()))
    }
}

impl Answer {
    fn take_chunk(&mut self, chunk: Chunk<'_>, data: &[u8], at_ns: u64) {
        if chunk.error.is_some() || chunk.object.is_some_and(|object| object.0 == "error") {
            self.set_fault(Fault::Stream(error_text(data)));
            return;
        }
        let length_before = self.text.len();
        for choice in chunk.choices.into_iter().flatten() {
            if let Some(delta) = choice.delta {
                // An engine that names reasoning twice means it once.
                let reasoning = delta.reasoning_content.or(delta.reasoning);
                for text in [reasoning, delta.content].into_iter().flatten() {
                    self.text.push_str(&text.0);
                }
            }
            if let Some(reason) = choice.finish_reason {
                self.finish_reason = Some(reason.0.into_owned());
            }
        }
        if self.text.len() > length_before {
            if self.content_ns.is_empty() {
                self.first_event_tokens = chunk.usage.and_then(|usage| usage.completion_tokens);
            }
            self.content_ns.push(at_ns);
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage);
            self.served = self.served.or(usage.served);
        }
        self.served = self.served.or(chunk.served);
        if let Some(metrics) = chunk.metrics {
            self.server_ttft_ns = metrics.time_to_first_token_ms.and_then(milliseconds_to_ns);
            self.server_queue_ns = metrics.queue_time_ms.and_then(milliseconds_to_ns);
        }
    }

    fn add_content(&mut self, text: &str, at_ns: u64) {
        if !text.is_empty() {
            self.text.push_str(text);
            self.content_ns.push(at_ns);
        }
    }

    fn set_not_a_chunk(&mut self, error: &serde_json::Error) {
        self.set_fault(Fault::Protocol(format!(
            "an event is no chunk of a completion: {error}"
        )));
    }

    fn set_fault(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

fn milliseconds_to_ns(milliseconds: f64) -> Option<u64> {
    (milliseconds.is_finite() && milliseconds >= 0.0).then(|| (milliseconds * 1e6).round() as u64)
}

/// The message in an error's JSON, or the beginning of the bytes as they are.
pub(super) fn error_text(bytes: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
    let message = parsed.as_ref().and_then(|value| {
        let error = value.get("error").unwrap_or(value);
        ["message", "detail"]
            .iter()
            .find_map(|key| error.get(key)?.as_str())
            .or_else(|| error.as_str())
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(bytes), Cow::Borrowed);
    text.trim().chars().take(TEXT_MAX_CHARS).collect()
}
