//! LMCache beside vLLM: inside the engine's process, or as a server of its own.

mod in_process;
mod server;

use indexmap::IndexMap;
use schemas::{
    plan::Launch,
    scenario::{Backend, KeptBy, LmcacheMode},
};

use super::{Request, remote::Servers};

/// Environment of every process that LMCache runs in: no usage reports, no banner.
pub(super) const ENVIRONMENT: [(&str, &str); 2] = [
    ("LMCACHE_TRACK_USAGE", "false"),
    ("LMCACHE_DISABLE_BANNER", "1"),
];

/// What LMCache logs when it serves without ever caching, or has lost its place of storage. It stays "healthy" all the while.
pub(super) const TELLTALES: [&str; 4] = [
    "No supported cpu connector",
    "degraded mode",
    "Failed to connect",
    "Failed to store",
];

/// Memory that LMCache needs to pass KV on to a tier beyond host memory, where the longest prompt is not known.
const STAGING_BYTES: u64 = 4 << 30;

/// What LMCache adds to an engine.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Processes that are started before the engine.
    pub(super) sidecars: Vec<Launch>,
    /// Arguments of the engine.
    pub(super) arguments: Vec<String>,
    /// Environment of the engine.
    pub(super) env: IndexMap<String, String>,
    /// Files that the engine reads.
    pub(super) files: IndexMap<String, String>,
    /// URL with symbols, and text, of an answer that shows that the engine is registered with the server.
    pub(super) registered: Option<(String, String)>,
    /// What a user should know.
    pub(super) warnings: Vec<String>,
}

/// What LMCache has to keep for an engine; nothing where the backend has no tier of its.
///
/// # Errors
/// In words, what cannot be had in the mode.
pub(super) fn kept(request: &Request<'_>, backend: &Backend, python: &str) -> Result<Kept, String> {
    if !has_tiers(backend) {
        return Ok(Kept::default());
    }
    let servers = Servers::of(request, backend, python)?;
    match mode(request) {
        LmcacheMode::InProcess => in_process::kept(request, backend, servers),
        LmcacheMode::Multiprocess => server::kept(request, backend, servers, python),
    }
}

/// Whether LMCache keeps any tier of a backend.
pub(super) fn has_tiers(backend: &Backend) -> bool {
    local_cpu(backend).is_some() || backend.local_disk.is_some() || backend.remote.is_some()
}

/// Where LMCache runs: as the scenario insists, else as the profile says, else inside the engine, its own default.
pub(super) fn mode(request: &Request<'_>) -> LmcacheMode {
    let insisted = request
        .engine
        .lmcache
        .as_ref()
        .and_then(|lmcache| lmcache.mode);
    insisted
        .or(request.profile.lmcache_mode)
        .unwrap_or(LmcacheMode::InProcess)
}

/// Bytes of host memory that LMCache keeps KV in.
fn local_cpu(backend: &Backend) -> Option<u64> {
    backend
        .local_cpu
        .as_ref()
        .filter(|tier| tier.by == KeptBy::Lmcache)
        .map(|tier| tier.capacity.0)
}

/// Host memory through which KV passes on its way to a tier beyond it: room for two prompts of the greatest length, because a store and a
/// load may overlap. A smaller one loses the rest of a prompt silently.
fn staging_bytes(request: &Request<'_>) -> u64 {
    let model = request.model;
    match (model.kv_bytes_per_token, model.max_length) {
        (Some(token), Some(length)) => (2 * token * u64::from(length)).max(1 << 30),
        _ => STAGING_BYTES,
    }
}

/// That memory passes through host memory though no tier is declared there.
fn staging_warning(request: &Request<'_>) -> String {
    format!(
        "{}: no `local-cpu` is declared; LMCache still passes KV through {} of host memory, the least that holds two prompts of the greatest length",
        request.name,
        schemas::quantity::Bytes(staging_bytes(request))
    )
}

/// Bytes as LMCache counts sizes: its "GB" are 2^30 bytes.
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
