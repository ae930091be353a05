//! The built-in engine: the runner starts itself as its process.

use indexmap::IndexMap;
use schemas::{
    plan::{Launch, Probe, Role},
    scenario::{EngineKind, KeptBy},
};

use super::Request;

/// Time between TERM and KILL; the engine ends within a second.
const GRACE_NS: u64 = 5_000_000_000;

/// The one process of a built-in engine, and whether its backend promises hits.
///
/// # Errors
/// In words, what the built-in engine does not have.
pub(crate) fn launches(request: &Request<'_>) -> Result<(Vec<Launch>, bool), String> {
    let engine = request.engine;
    let backend = engine
        .backend
        .as_ref()
        .ok_or("an engine that is started needs a backend")?;
    if backend.remote.is_some() {
        return Err("the built-in engine has no remote tiers".into());
    }
    if engine.tensor_parallel.is_some_and(|devices| devices > 1) {
        return Err("the built-in engine runs on one device".into());
    }
    let kept_by_engine = |by: KeptBy| by == KeptBy::Engine;
    if backend
        .local_cpu
        .as_ref()
        .is_some_and(|tier| kept_by_engine(tier.by))
        || backend
            .local_disk
            .as_ref()
            .is_some_and(|tier| kept_by_engine(tier.by))
    {
        return Err("the built-in engine's local tiers are its own; `by = \"engine\"` is about vLLM's offloading".into());
    }
    if backend
        .local_disk
        .as_ref()
        .is_some_and(|disk| disk.direct_io == Some(true))
    {
        return Err("the built-in engine's disk tier reads through the page cache".into());
    }

    let port = format!("{{port.{}}}", request.name);
    let mut command: Vec<String> = [
        "{self}",
        "engine",
        "--model",
        &request.model.used,
        "--served-model-name",
        &request.model.served_name,
        "--port",
        &port,
    ]
    .map(str::to_owned)
    .to_vec();
    let mut option = |name: &str, value: String| command.extend([format!("--{name}"), value]);
    option("seed", request.seed.to_string());
    if request.model.weights_missing {
        option("load-format", "dummy".into());
    }
    if let Some(prefix) = &backend.prefix {
        option(
            "prefix",
            prefix
                .capacity
                .map_or(DEFAULT_PREFIX_BYTES, |capacity| capacity.0)
                .to_string(),
        );
    }
    if let Some(cpu) = &backend.local_cpu {
        option("local-cpu", cpu.capacity.0.to_string());
    }
    if let Some(disk) = &backend.local_disk {
        option("local-disk", disk.capacity.0.to_string());
        option(
            "local-disk-path",
            request.disk_path(backend).unwrap_or_default(),
        );
    }
    if let Some(cores) = &request.profile.cores.engine {
        option("threads", cores.len().to_string());
    }
    if engine
        .lmcache
        .as_ref()
        .and_then(|lmcache| lmcache.save_decode_cache)
        == Some(true)
    {
        command.push("--save-decode-cache".into());
    }
    let mut files = IndexMap::new();
    if let Some(script) = paced_script(request) {
        let path = format!("{{run}}/files/{}.paced.json", request.name);
        files.insert(path.clone(), script);
        command.extend(["--paced".to_owned(), path]);
    }
    let (profile_args, mut env) = request.extras(EngineKind::Builtin);
    command.extend(profile_args.iter().cloned());
    command.extend(engine.args.iter().cloned());
    env.extend(engine.env.clone());

    let launch = Launch {
        name: request.name.to_owned(),
        role: Role::Engine,
        command,
        env,
        files,
        ports: IndexMap::from([(request.name.to_owned(), request.fixed_port)]),
        probe: Probe::Http {
            url: format!("http://127.0.0.1:{port}/health"),
            contains: None,
        },
        metrics_url: Some(format!("http://127.0.0.1:{port}/metrics")),
        grace_ns: GRACE_NS,
        cores: request.profile.cores.engine.clone(),
    };
    Ok((vec![launch], backend.none.is_none()))
}

/// Size of the prefix tier of a scenario that names none.
const DEFAULT_PREFIX_BYTES: u64 = 2_000_000_000;

/// The scenario's `paced` table as a file of its own.
fn paced_script(request: &Request<'_>) -> Option<String> {
    let script = serde_json::to_string_pretty(request.engine.paced.as_ref()?).ok()?;
    Some(format!("{script}\n"))
}
