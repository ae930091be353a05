//! The library behind the `runner` binary: one module per stage of a run, args → discover → read → plan → preflight → execute → record → report.

pub mod adapter;
pub mod args;
pub mod clock;
pub mod counters;
pub mod devices;
pub mod discover;
pub mod doctor;
pub mod event;
pub mod execute;
pub mod folder;
pub mod host;
pub mod http;
pub mod interpreter;
pub mod load;
pub mod model_facts;
pub mod plan;
pub mod preflight;
pub mod process;
pub mod profile;
pub mod progress;
pub mod prompt;
pub mod read;
pub mod record;
pub mod run;
pub mod telemetry;
pub mod versions;
