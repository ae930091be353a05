//! Reports: from the rows of a run folder to a verdict and its renderings.

pub mod agreement;
pub mod analysis;
pub mod breakeven;
pub mod columns;
pub mod csv;
pub mod exit;
mod figures;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod frame;
pub mod journal;
mod junit;
mod markdown;
pub mod metrics;
mod report;
mod sensors;
pub mod stats;
mod terminal;
pub mod validity;
pub mod verdict;

pub use report::{ReportError, Reported, finish, report};
