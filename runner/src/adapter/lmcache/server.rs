//! LMCache as a server of its own: `lmcache server` beside the engine, `LMCacheMPConnector` in it.

use indexmap::IndexMap;
use schemas::{
    plan::{Launch, Probe, Role},
    scenario::{Backend, Remote, Serde},
};
use serde_json::{Value, json};

use super::{
    super::{
        Request,
        remote::{Place, Servers},
    },
    ENVIRONMENT, Kept, gib, local_cpu, staging_bytes, staging_warning,
};

/// Seconds that an engine waits for its cache server. LMCache's own default, 300, holds up every request of the engine when the server is gone.
const ANSWER_TIMEOUT_S: u32 = 5;
/// Seconds between signs of life. LMCache's own default is 10.
const HEARTBEAT_S: u32 = 1;

/// An idle server ends within 5 s.
const GRACE_NS: u64 = 10_000_000_000;

/// Starts LMCache's command line where no console script is installed; `-m lmcache.cli.main` does nothing and exits 0.
const ENTRY: &str = "import sys; from lmcache.cli.main import main; sys.exit(main())";

/// # Errors
/// In words, what cannot be had.
pub(super) fn kept(
    request: &Request<'_>,
    backend: &Backend,
    servers: Servers,
    python: &str,
) -> Result<Kept, String> {
    let lmcache = request.engine.lmcache.clone().unwrap_or_default();
    if lmcache.layer_wise == Some(true) {
        return Err("LMCache as a server cannot load layer by layer; inside the engine it can (`lmcache.mode = \"in-process\"`)".into());
    }
    if !lmcache.config.is_empty() {
        return Err("`lmcache.config` holds settings of LMCache inside the engine, and here it runs as a server".into());
    }
    let mut warnings = Vec::new();
    let memory = match local_cpu(backend) {
        Some(bytes) => bytes,
        None => {
            warnings.push(staging_warning(request));
            staging_bytes(request)
        }
    };
    let name = format!("{}.lmcache", request.name);
    let (port, http) = (format!("{{port.{name}}}"), format!("{{port.{name}.http}}"));
    let mut command: Vec<String> = [python, "-c", ENTRY, "server"].map(str::to_owned).to_vec();
    let mut option = |name: &str, value: String| command.extend([format!("--{name}"), value]);
    option("host", "127.0.0.1".into());
    option("port", port.clone());
    option("http-host", "127.0.0.1".into());
    option("http-port", http.clone());
    option("l1-size-gb", gib(memory).to_string());
    option("eviction-policy", "LRU".into());
    option("chunk-size", request.lmcache_chunk_tokens().to_string());
    option("supported-transfer-mode", "auto".into());
    if !request.on_devices() {
        // Without a name KV values pass pickled, which takes three times as long. The port makes it unique on the host.
        option("shm-name", format!("kvbench-{port}"));
    }
    let beyond = beyond_memory(request, backend, &servers)?;
    if local_cpu(backend).is_none() {
        // Host memory is a buffer then, and keeps nothing.
        option("l2-store-policy", "skip_l1".into());
    }
    for adapter in beyond {
        option("l2-adapter", unquote_ports(&adapter));
    }
    let env = ENVIRONMENT
        .iter()
        .chain(&[("PYTHONHASHSEED", "0"), ("PYTHONUNBUFFERED", "1")])
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let server = Launch {
        name: name.clone(),
        role: Role::Sidecar,
        command,
        env,
        files: IndexMap::new(),
        ports: IndexMap::from([(name.clone(), None), (format!("{name}.http"), None)]),
        probe: Probe::Http {
            url: format!("http://127.0.0.1:{http}/healthcheck"),
            contains: Some("\"healthy\"".into()),
        },
        metrics_url: Some(format!("http://127.0.0.1:{http}/metrics")),
        grace_ns: GRACE_NS,
        cores: None,
    };
    let mut sidecars = servers.launches;
    sidecars.push(server);
    Ok(Kept {
        sidecars,
        arguments: vec![
            "--kv-transfer-config".to_owned(),
            transfer(&port, lmcache.save_decode_cache),
        ],
        env: IndexMap::new(),
        files: IndexMap::new(),
        // The server describes the engines that are registered, with the names of their models; without one there is no such key.
        registered: Some((
            format!("http://127.0.0.1:{http}/status"),
            "\"model_name\"".to_owned(),
        )),
        warnings,
    })
}

/// What the engine is told: source `lmcache.integration.vllm.lmcache_mp_connector`.
fn transfer(port: &str, save_decode_cache: Option<bool>) -> String {
    let mut extra = json!({
        "lmcache.mp.host": "tcp://127.0.0.1",
        "lmcache.mp.port": format!("#{port}#"),
        "lmcache.mp.mq_timeout": ANSWER_TIMEOUT_S,
        "lmcache.mp.heartbeat_interval": HEARTBEAT_S,
    });
    if let Some(save) = save_decode_cache {
        extra["lmcache.mp.save_decode_cache"] = json!(save);
    }
    unquote_ports(&json!({
        "kv_connector": "LMCacheMPConnector",
        "kv_role": "kv_both",
        "kv_connector_module_path": "lmcache.integration.vllm.lmcache_mp_connector",
        "kv_connector_extra_config": extra,
    }))
}

/// A port is a number in JSON, and its symbol would not be JSON: it is written `"#{port.NAME}#"`, and loses its quotes here.
fn unquote_ports(json: &Value) -> String {
    json.to_string().replace("\"#", "").replace("#\"", "")
}

/// The tiers beyond host memory as LMCache's adapters of its second level, near to far.
fn beyond_memory(
    request: &Request<'_>,
    backend: &Backend,
    servers: &Servers,
) -> Result<Vec<Value>, String> {
    let mut adapters = Vec::new();
    if let Some(disk) = &backend.local_disk {
        // Without `eviction` the capacity is not kept to.
        adapters.push(json!({
            "type": "fs_native",
            "base_path": request.disk_path(backend),
            "use_odirect": disk.direct_io.unwrap_or(false),
            "max_capacity_gb": gib(disk.capacity.0),
            "eviction": {"eviction_policy": "LRU"},
        }));
    }
    if let Some(remote) = &backend.remote {
        if matches!(remote, Remote::Lm(_)) {
            return Err("LMCache as a server has no `lm://` tier; inside the engine it has (`lmcache.mode = \"in-process\"`)".into());
        }
        let Some(Place { host, port }) = &servers.place else {
            return Err(format!(
                "LMCache as a server takes a {} server by its host and port, which this URL does not give",
                remote.name()
            ));
        };
        // A port that is known already is a number, one that is to be found a symbol.
        let port = port
            .parse::<u16>()
            .map_or_else(|_| json!(format!("#{port}#")), Value::from);
        let mut adapter = json!({"type": "resp", "host": host, "port": port});
        match remote.serde() {
            None | Some(Serde::Naive) => {}
            Some(Serde::Fp8) => adapter["serde"] = json!({"type": "fp8"}),
            Some(Serde::Cachegen | Serde::Kivi) => {
                return Err("LMCache as a server has no cachegen or kivi serde; inside the engine it has (`lmcache.mode = \"in-process\"`)".into());
            }
        }
        adapters.push(adapter);
    }
    Ok(adapters)
}
