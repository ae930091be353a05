//! Reports: from the rows of a run folder to a verdict and its renderings.

pub mod agreement;
mod analyse;
pub mod analysis;
mod answer;
pub mod block;
pub mod breakeven;
pub mod chart;
mod client;
pub mod columns;
pub mod compare;
pub mod csv;
pub mod exit;
mod facts;
mod figures;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod frame;
mod headline;
pub mod journal;
mod junit;
#[cfg(test)]
mod made_up;
mod markdown;
pub mod metrics;
mod number;
mod overview;
pub mod pages;
pub mod pdf;
mod phrase;
mod report;
mod resources;
mod rising;
mod sensors;
mod series;
pub mod several;
pub mod stats;
mod terminal;
mod text_table;
mod texts;
pub mod validity;
mod values;
pub mod verdict;

pub use analyse::analyse;
pub use report::{ReportError, Reported, finish, report};
pub use texts::Texts;
