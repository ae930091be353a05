//! The load client against a scripted engine: outcomes, schedules, and what it tells of itself.

mod engine;
mod outcomes;
mod schedules;
mod turns;
