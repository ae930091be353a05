//! The library behind the `runner` binary: one module per stage of a run, args → discover → read → plan → preflight → execute → record → report.

mod adapter;
pub mod args;
pub mod clock;
mod counters;
mod discover;
mod event;
mod execute;
mod folder;
mod host;
mod http;
mod interpreter;
pub mod load;
mod model_facts;
mod plan;
mod preflight;
pub mod process;
mod profile;
mod progress;
pub mod prompt;
mod read;
mod record;
pub mod run;
mod telemetry;
