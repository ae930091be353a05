//! What happens in a run: the one enum that progress display and recorder consume.

use std::path::PathBuf;

use schemas::{
    manifest::{Ending, ProcessRecord},
    plan::Happened,
    row::Row,
    sample::{Counter, Sample},
};

/// One thing that happened. Consumers match every variant by name, so that a new one cannot be overlooked.
#[derive(Debug)]
pub enum EventKind {
    /// The run folder exists.
    RunStarted {
        /// Where it is.
        folder: PathBuf,
    },
    /// A process is being started; people tail its log meanwhile.
    ProcessStarting {
        /// The launch's name.
        name: String,
        /// Its log.
        log: PathBuf,
    },
    /// Its probe was answered.
    ProcessReady {
        /// The launch's name.
        name: String,
        /// From start to answer.
        took_ns: u64,
    },
    /// A process that an earlier run of the invocation started serves this one too.
    ProcessTakenOver {
        /// The launch's name.
        name: String,
        /// The run that started it, `SCENARIO/RUN`.
        started_by: String,
    },
    /// It is gone, by order or not.
    ProcessEnded(ProcessRecord),
    /// One engine's turn of one trial begins.
    TurnStarted {
        /// Index of the experiment.
        experiment: u32,
        /// Number of the trial.
        trial: u32,
        /// Index of the engine.
        engine: u32,
        /// Requests that it will have.
        requests: u32,
    },
    /// Requests have their rows.
    RequestsFinished(Vec<Row>),
    /// One engine's turn of one trial is over.
    TurnEnded,
    /// An event of the scenario happened to a process or a tier.
    Happened(Happened),
    /// Counters were read.
    Counters(Vec<Counter>),
    /// The sensors were read.
    Sampled(Vec<Sample>),
    /// Something a reader of the numbers should know.
    Warning(String),
    /// Nothing more will come.
    RunEnded(Ending),
}
