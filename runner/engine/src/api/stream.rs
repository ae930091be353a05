//! The body of a streamed answer: it is filled at the moment the connection asks for bytes, so its stamps are those
//! of handing over.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::answer::{Choice, EventWriter, Said, Served};

/// Events that go into one piece of the body. After each piece the connection gets to flush.
const EVENTS_AT_ONCE: usize = 32;

/// The connection is to be broken here, as a paced script says.
#[derive(Debug, thiserror::Error)]
#[error("the paced script breaks the connection here")]
pub(crate) struct ScriptedCut;

/// A stream of server-sent events.
pub(crate) struct AnswerStream {
    choices: Vec<Choice>,
    /// Which choices have not said anything yet.
    silent: Vec<bool>,
    writer: EventWriter,
    served: Served,
    include_usage: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// More may be ready, but what was handed over must be flushed first.
    Flushing,
    /// The connection breaks once everything is flushed.
    Breaking,
    Broken,
    Ended,
}

impl AnswerStream {
    pub(crate) fn new(
        choices: Vec<Choice>,
        writer: EventWriter,
        received_ns: u64,
        include_usage: bool,
    ) -> Self {
        let served = Served {
            received_ns,
            first_token_ns: None,
            last_token_ns: None,
        };
        Self {
            silent: vec![true; choices.len()],
            choices,
            writer,
            served,
            include_usage,
            state: State::Open,
        }
    }

    /// Writes what is ready now; how many events that were.
    fn fill(&mut self, context: &mut Context<'_>) -> usize {
        let mut events = 0;
        for index in 0..self.choices.len() {
            while events < EVENTS_AT_ONCE
                && self.state == State::Open
                && self.choices[index].summary.is_none()
            {
                let Poll::Ready(said) = self.choices[index].poll(context) else {
                    break;
                };
                events += 1;
                if std::mem::take(&mut self.silent[index]) && self.writer.is_chat() {
                    self.writer.role(index);
                }
                match said {
                    // A special id, or a character that is not complete, has no text of its own.
                    Ok(Said::Text(text)) if text.is_empty() => {}
                    Ok(Said::Text(text)) => {
                        self.writer.content(index, &text);
                        self.served.stamp();
                    }
                    Ok(Said::End(reason)) => {
                        let rest = self.choices[index].text.finish();
                        if !rest.is_empty() {
                            self.writer.content(index, &rest);
                            self.served.stamp();
                        }
                        self.writer.finish(index, reason);
                    }
                    Ok(Said::Cut) => self.state = State::Breaking,
                    Ok(Said::Garbage) => {
                        self.writer.garbage();
                        self.state = State::Ended;
                    }
                    Err(error) => {
                        self.writer.event(&error.json());
                        self.writer.done();
                        self.state = State::Ended;
                    }
                }
                if self.served.first_token_ns == self.served.last_token_ns
                    && self.served.first_token_ns.is_some()
                {
                    // The first token leaves alone: others would delay it after its stamp.
                    return EVENTS_AT_ONCE;
                }
            }
        }
        events
    }
}

impl Body for AnswerStream {
    type Data = Bytes;
    type Error = ScriptedCut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ScriptedCut>>> {
        let this = &mut *self;
        match this.state {
            State::Open => {}
            State::Flushing => {
                this.state = State::Open;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Breaking => {
                this.state = State::Broken;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Broken => return Poll::Ready(Some(Err(ScriptedCut))),
            State::Ended => return Poll::Ready(None),
        }
        let events = this.fill(context);
        if this.state == State::Open && this.choices.iter().all(|choice| choice.summary.is_some()) {
            if this.include_usage {
                this.writer.usage(&this.choices, &this.served);
            }
            this.writer.done();
            this.state = State::Ended;
        }
        if this.state == State::Open && events >= EVENTS_AT_ONCE {
            this.state = State::Flushing;
        }
        if this.writer.buffer.is_empty() {
            if this.state == State::Ended {
                return Poll::Ready(None);
            }
            if this.state != State::Open {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(this.writer.buffer.split().freeze()))))
    }
}
