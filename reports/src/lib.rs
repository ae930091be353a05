//! Reports: from the rows of a run folder to a verdict and its renderings.

pub mod agreement;
pub mod analysis;
pub mod block;
pub mod breakeven;
pub mod chart;
pub mod columns;
pub mod csv;
pub mod folder;
pub mod frame;
pub mod journal;
pub mod metrics;
pub mod pages;
pub mod pdf;
mod sensors;
pub mod stats;
pub mod validity;
pub mod verdict;
