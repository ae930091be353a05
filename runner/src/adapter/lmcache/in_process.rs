//! LMCache inside the engine's process: `LMCacheConnectorV1` and its YAML.

use indexmap::IndexMap;
use schemas::scenario::{Backend, Serde};
use serde_json::{Value, json};

use super::{
    super::{Request, remote::Servers},
    Kept, gib, local_cpu, staging_bytes, staging_warning,
};

/// What the engine is told: source `lmcache.integration.vllm`.
const TRANSFER: &str = r#"{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_both"}"#;

/// # Errors
/// In words, what cannot be had.
pub(super) fn kept(
    request: &Request<'_>,
    backend: &Backend,
    servers: Servers,
) -> Result<Kept, String> {
    let mut warnings = Vec::new();
    if !request.on_devices() {
        warnings.push(format!(
            "{}: LMCache inside the engine finds no connector for a CPU: it serves, and nothing is ever reused",
            request.name
        ));
    }
    if local_cpu(backend).is_none() {
        warnings.push(staging_warning(request));
    }
    let file = format!("{{run}}/files/{}.lmcache.yaml", request.name);
    let settings = settings(request, backend, &servers)?;
    let yaml: String = settings
        .iter()
        // JSON is YAML.
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect();
    let mut env = IndexMap::from([("LMCACHE_CONFIG_FILE".to_owned(), file.clone())]);
    env.extend(servers.env);
    Ok(Kept {
        sidecars: servers.launches,
        arguments: vec!["--kv-transfer-config".to_owned(), TRANSFER.to_owned()],
        env,
        files: IndexMap::from([(file, yaml)]),
        registered: None,
        warnings,
    })
}

/// LMCache's own keys (`lmcache.v1.config`). Sizes are per worker.
fn settings(
    request: &Request<'_>,
    backend: &Backend,
    servers: &Servers,
) -> Result<IndexMap<String, Value>, String> {
    let lmcache = request.engine.lmcache.clone().unwrap_or_default();
    let workers = f64::from(request.tensor_parallel().unwrap_or(1));
    let declared = local_cpu(backend);
    let mut settings = IndexMap::from([
        (
            "chunk_size".to_owned(),
            json!(request.lmcache_chunk_tokens()),
        ),
        ("local_cpu".to_owned(), json!(declared.is_some())),
        (
            "max_local_cpu_size".to_owned(),
            json!(gib(declared.unwrap_or_else(|| staging_bytes(request))) / workers),
        ),
    ]);
    let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
    if let Some(disk) = &backend.local_disk {
        let path = request.disk_path(backend).unwrap_or_default();
        set("local_disk", json!(format!("file://{path}/")));
        set("max_local_disk_size", json!(gib(disk.capacity.0) / workers));
        if disk.direct_io == Some(true) {
            set("extra_config", json!({"use_odirect": true}));
        }
    }
    if let Some(url) = &servers.url {
        set("remote_url", json!(url));
        let serde = match backend.remote.as_ref().and_then(|remote| remote.serde()) {
            None | Some(Serde::Naive) => "naive",
            Some(Serde::Cachegen) if lmcache.layer_wise == Some(true) => {
                return Err("CacheGen takes whole chunks, and an engine that loads layer by layer hands over one layer at a time: LMCache 0.5.0 ends the engine at its first store, and 0.5.6 encodes in the same way".into());
            }
            Some(Serde::Cachegen) => "cachegen",
            Some(Serde::Kivi) => "kivi",
            Some(Serde::Fp8) => {
                return Err("LMCache inside the engine has no fp8 serde; its server has (`lmcache.mode = \"multiprocess\"`)".into());
            }
        };
        set("remote_serde", json!(serde));
    }
    if let Some(layer_wise) = lmcache.layer_wise {
        set("use_layerwise", json!(layer_wise));
    }
    if let Some(save) = lmcache.save_decode_cache {
        set("save_decode_cache", json!(save));
    }
    settings.extend(lmcache.config);
    Ok(settings)
}
