//! The runner's parts, one module a stage.

pub mod process;
