//! Whether two engines gave the same text to the same prompt.

use schemas::scenario::Requests;
use serde::Serialize;

/// Texts of one engine against those of another that recomputes, over requests with equal prompts (same experiment, trial and `request_id`).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// The engine.
    pub engine_id: u32,
    /// The engine whose texts it is compared with.
    pub relative_to: u32,
    /// Over which requests.
    pub requests: Requests,
    /// Pairs in which both ended `ok`.
    pub pairs: u64,
    /// Pairs with equal texts.
    pub equal: u64,
    /// Mean length of the equal prefix in characters, over all pairs whose texts are known.
    pub mean_equal_prefix_characters: Option<f64>,
    /// Mean share of the shorter text that the equal prefix makes up.
    pub mean_equal_prefix_share: Option<f64>,
    /// Pairs whose first words differ, of those whose texts are known.
    pub first_word_differs: Option<u64>,
}

impl Agreement {
    /// Share of pairs with equal texts; `None` without pairs.
    pub fn share(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.equal as f64 / self.pairs as f64)
    }
}
