//! The library behind the `runner` binary: one module per stage of a run.

pub mod clock;
pub mod load;
pub mod prompt;
