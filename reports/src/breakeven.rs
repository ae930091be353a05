//! What loading KV costs beside computing it again, and from which context length it pays.

use serde::Serialize;

use crate::stats::Estimate;

/// Loading against recomputing in one experiment, for requests that were hit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BreakEven {
    /// The engine that loads.
    pub engine_id: u32,
    /// The engine that recomputes.
    pub relative_to: u32,
    /// The tiers that loaded, in words.
    pub tier: String,
    /// Median cached tokens × KV bytes of a token.
    pub kv_bytes: Option<u64>,
    /// Bytes over the wire a request, by the tier's own counters; null without.
    pub wire_bytes: Option<u64>,
    /// TTFT of later requests of the engine that loads.
    pub reused_s: Option<Estimate>,
    /// TTFT of the same requests of the engine that recomputes.
    pub recomputed_s: Option<Estimate>,
    /// TTFT with the KV in device memory: a `prefix` engine's.
    pub floor_s: Option<Estimate>,
    /// Why there is no floor.
    pub floor_note: Option<String>,
    /// kv bytes / (reused − floor).
    pub achieved_kv_bytes_per_s: Option<f64>,
    /// wire bytes / (reused − floor).
    pub achieved_wire_bytes_per_s: Option<f64>,
    /// kv bytes / (recomputed − floor): below it, loading is slower than computing.
    pub tie_kv_bytes_per_s: Option<f64>,
    /// wire bytes / (recomputed − floor).
    pub tie_wire_bytes_per_s: Option<f64>,
    /// Why bandwidths are missing.
    pub note: Option<String>,
}

/// From which context length an engine pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PayingContext {
    /// The engine that loads.
    pub engine_id: u32,
    /// The engine that recomputes.
    pub relative_to: u32,
    /// Where it pays.
    pub pays: Pays,
    /// Shortest context measured.
    pub shortest_tokens: u32,
    /// Longest context measured.
    pub longest_tokens: u32,
    /// In words.
    pub sentence: String,
}

/// Where an engine pays, within the measured range only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pays {
    /// At every length measured.
    Everywhere,
    /// At no length measured.
    Nowhere,
    /// From this length, interpolated between two measured ones.
    From { tokens: u32 },
    /// Up to this length only, interpolated.
    UpTo { tokens: u32 },
    /// It pays here and there: the ratio crosses 1 more than once.
    InPlaces,
}
