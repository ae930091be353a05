//! Reports: from the rows of a run folder to a verdict and its renderings.

pub mod agreement;
pub mod analysis;
pub mod breakeven;
pub mod stats;
pub mod validity;
pub mod verdict;
