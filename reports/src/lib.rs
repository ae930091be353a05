//! Reports: from the rows of a run folder to a verdict and its renderings.

pub mod agreement;
mod analyse;
pub mod analysis;
mod answer;
pub mod breakeven;
mod client;
pub mod columns;
pub mod csv;
mod facts;
pub mod folder;
pub mod frame;
mod headline;
pub mod journal;
#[cfg(test)]
mod made_up;
pub mod metrics;
mod overview;
mod phrase;
mod resources;
mod sensors;
mod series;
pub mod stats;
pub mod validity;
mod values;
pub mod verdict;

pub use analyse::analyse;
