//! The engine without arithmetic: it spends scripted times, to check what others measure.

pub(crate) mod engine;
pub(crate) mod script;
pub(crate) mod stream;
pub(crate) mod timer;
