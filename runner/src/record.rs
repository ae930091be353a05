//! The recorder: a thread that turns events into the run folder's journals, one whole line each, flushed as it goes.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use serde::Serialize;

use crate::{
    event::EventKind,
    folder::{FolderError, RunFolder},
};

/// Events that may wait for the disk before the run waits for it too.
const BACKLOG: usize = 4096;

/// Why a run could not be recorded. A benchmark without rows is no result, so this fails the run.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A journal could not be created.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A line could not be written.
    #[error("cannot write {journal}: {source}")]
    Write {
        /// Which file.
        journal: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The thread is gone.
    #[error("the recorder ended early")]
    Gone,
}

/// Handle to the recorder's thread.
pub struct Recorder {
    sender: Option<SyncSender<EventKind>>,
    thread: Option<JoinHandle<Result<(), RecordError>>>,
}

impl Recorder {
    /// Creates the journals and starts the thread.
    ///
    /// # Errors
    /// When a journal cannot be created.
    pub fn start(folder: &RunFolder) -> Result<Self, RecordError> {
        let mut journals = Journals {
            text: Vec::new(),
            rows: folder.journal("rows.jsonl")?,
            samples: folder.journal("samples.jsonl")?,
            counters: folder.journal("counters.jsonl")?,
            events: folder.journal("events.jsonl")?,
        };
        let (sender, receiver) = sync_channel(BACKLOG);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || journals.record(&receiver))
            .map_err(|source| RecordError::Write {
                journal: "rows.jsonl",
                source,
            })?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
        })
    }

    /// Hands one event over. Events that have no journal cost nothing.
    ///
    /// # Errors
    /// When the recorder has ended, with its reason from [`Recorder::finish`].
    pub fn record(&self, event: EventKind) -> Result<(), RecordError> {
        let sender = self.sender.as_ref().ok_or(RecordError::Gone)?;
        sender.send(event).map_err(|_| RecordError::Gone)
    }

    /// Another way in, for the sensors' thread. It has to be dropped before [`Recorder::finish`] can return.
    ///
    /// # Errors
    /// When the recorder has ended.
    pub fn sender(&self) -> Result<SyncSender<EventKind>, RecordError> {
        self.sender.clone().ok_or(RecordError::Gone)
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    /// What stopped it.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.sender = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(RecordError::Gone),
        }
    }
}

struct Journals {
    /// Lines on their way; kept, so that its memory is.
    text: Vec<u8>,
    rows: File,
    samples: File,
    counters: File,
    events: File,
}

impl Journals {
    fn record(&mut self, events: &Receiver<EventKind>) -> Result<(), RecordError> {
        while let Ok(event) = events.recv() {
            match event {
                EventKind::RequestsFinished(rows) => {
                    append(&mut self.text, &mut self.rows, "rows.jsonl", &rows)?
                }
                EventKind::Sampled(samples) => {
                    append(&mut self.text, &mut self.samples, "samples.jsonl", &samples)?
                }
                EventKind::Happened(happened) => append(
                    &mut self.text,
                    &mut self.events,
                    "events.jsonl",
                    &[happened],
                )?,
                EventKind::Counters(counters) => append(
                    &mut self.text,
                    &mut self.counters,
                    "counters.jsonl",
                    &counters,
                )?,
                EventKind::RunStarted { .. }
                | EventKind::ProcessStarting { .. }
                | EventKind::ProcessReady { .. }
                | EventKind::ProcessTakenOver { .. }
                | EventKind::ProcessEnded(_)
                | EventKind::TurnStarted { .. }
                | EventKind::TurnEnded
                | EventKind::Warning(_)
                | EventKind::RunEnded(_) => {}
            }
        }
        for (file, journal) in [
            (&self.rows, "rows.jsonl"),
            (&self.samples, "samples.jsonl"),
            (&self.counters, "counters.jsonl"),
            (&self.events, "events.jsonl"),
        ] {
            file.sync_all()
                .map_err(|source| RecordError::Write { journal, source })?;
        }
        Ok(())
    }
}

/// One write per call, so that a killed runner leaves at most one broken line, the last.
fn append<T: Serialize>(
    text: &mut Vec<u8>,
    file: &mut File,
    journal: &'static str,
    lines: &[T],
) -> Result<(), RecordError> {
    text.clear();
    for line in lines {
        serde_json::to_writer(&mut *text, line).map_err(|error| RecordError::Write {
            journal,
            source: io::Error::other(error),
        })?;
        text.push(b'\n');
    }
    file.write_all(text)
        .map_err(|source| RecordError::Write { journal, source })
}
