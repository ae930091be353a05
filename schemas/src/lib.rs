//! The vocabulary of the suite: what a user writes, what a run plans, and what it records.
//!
//! This crate reads text and nothing else: no clock, no process, no socket.

pub mod diagnostic;
pub mod manifest;
pub mod model;
pub mod plan;
pub mod profile;
pub mod quantity;
pub mod read;
pub mod row;
pub mod sample;
pub mod scenario;
pub mod schema;
