//! What the sensors saw: process trees and devices at 10 Hz, and the engines' own counters at the edges of each experiment.
//!
//! A missing sensor is null, never 0.

use serde::{Deserialize, Serialize};

/// One reading of one process tree, one device, or the host: a line of `samples.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Nanoseconds since the run started.
    pub at_ns: u64,
    /// `engine`, `engine.lmcache`, `runner`, `gpu-0`, or `host`.
    pub subject: String,
    /// Resident memory of the whole process tree.
    pub rss_bytes: Option<u64>,
    /// CPU time used so far by the whole process tree.
    pub cpu_ns: Option<u64>,
    /// Bytes read at the block layer so far by the process tree.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written at the block layer so far by the process tree.
    pub disk_written_bytes: Option<u64>,
    /// Device memory: of the process tree (NVML per process), or of the whole device for `gpu-N`.
    pub gpu_memory_bytes: Option<u64>,
    /// Device utilisation in percent.
    pub gpu_utilisation_percent: Option<u32>,
    /// Device power.
    pub gpu_power_milliwatts: Option<u32>,
    /// Bytes that passed the host's loopback interface so far, whoever sent them; of `host` alone.
    pub loopback_bytes: Option<u64>,
    /// CPU time of all cores that the hypervisor has given to others so far, while a process here wanted it; of `host` alone.
    pub stolen_ns: Option<u64>,
}

/// One counter of one process, scraped at the edge of an experiment's turn on an engine: a line of `counters.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counter {
    /// Nanoseconds since the run started.
    pub at_ns: u64,
    /// The process that was asked: `lmcache`, `lmcache.lmcache`, `lmcache.remote`.
    pub subject: String,
    /// Index of the experiment.
    pub experiment: u32,
    /// Number of the trial.
    pub trial: u32,
    /// Before or after the experiment's requests.
    pub edge: Edge,
    /// Name as the process gives it, for example `vllm:prefix_cache_hits_total`.
    pub name: String,
    /// Labels as the process gives them, sorted: `tier="local-cpu"`; empty without labels.
    pub labels: String,
    /// The value.
    pub value: f64,
}

/// Which side of an experiment's requests a counter was read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// Before the first request.
    Before,
    /// After the last row.
    After,
}
