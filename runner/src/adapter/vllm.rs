//! vLLM: one API server process, with or without its own prefix cache, and with what keeps KV beyond it.

use indexmap::IndexMap;
use schemas::{
    plan::{Launch, Probe, Role},
    scenario::{Backend, EngineKind, KeptBy},
};

use super::{Request, lmcache};

/// Tokens that vLLM's own cache finds as one where no `--block-size` is given: its default on a GPU. On a CPU it takes 128, so that profile says so.
const BLOCK_TOKENS: u32 = 16;

/// Time between TERM and KILL. An idle server ends within 3 s; one with an open stream waits for its client.
const GRACE_NS: u64 = 5_000_000_000;

/// Environment of every vLLM process: no look-ups on the network, no usage reports, the same hashes in every process, a log without delay.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("HF_HUB_OFFLINE", "1"),
    ("VLLM_NO_USAGE_STATS", "1"),
    ("DO_NOT_TRACK", "1"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONUNBUFFERED", "1"),
];

/// The processes of a vLLM engine, what keeps its cache first, and what a user should know.
///
/// # Errors
/// In words, what cannot be had here.
pub(crate) fn launches(
    request: &Request<'_>,
    device_indices: &[u32],
) -> Result<(Vec<Launch>, Vec<String>), String> {
    let engine = request.engine;
    let backend = engine
        .backend
        .as_ref()
        .ok_or("an engine that is started needs a backend")?;
    if request.model.used.starts_with("builtin:") {
        return Err(format!(
            "vLLM cannot load `{}`, which is inside the runner; `--profile cpu` has a model for both",
            request.model.used
        ));
    }
    let python = request.python.found.as_ref().ok_or_else(|| {
        format!(
            "no Python with vLLM is found ({}); `ci/setup-cpu-stack.sh` installs one for the CPU, `runner doctor` tells what is missing",
            request.python.in_words()
        )
    })?;
    let python = python.display().to_string();
    let offload = offload(request, backend)?;
    let kept = lmcache::kept(request, backend, &python)?;

    let port = format!("{{port.{}}}", request.name);
    let mut command: Vec<String> = vec![
        python,
        "-m".into(),
        "vllm.entrypoints.openai.api_server".into(),
    ];
    command.extend(own_arguments(request, &port)?);
    command.extend(offload);
    command.extend(kept.arguments);
    command.extend(given_arguments(request).cloned());

    let mut env: IndexMap<String, String> = ENVIRONMENT
        .iter()
        .chain(
            lmcache::ENVIRONMENT
                .iter()
                .filter(|_| lmcache::has_tiers(backend)),
        )
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    if !request.on_devices() {
        env.extend(threads(request)?.map(|cores| ("VLLM_CPU_OMP_THREADS_BIND".to_owned(), cores)));
    }
    let visible = visible_devices(device_indices);
    env.extend(visible.clone());
    env.extend(kept.env);
    let (_, profile_env) = request.extras(EngineKind::Vllm);
    env.extend(profile_env);
    env.extend(engine.env.clone());

    let health = Probe::Http {
        url: format!("http://127.0.0.1:{port}/health"),
        contains: None,
    };
    let mut launches = kept.sidecars;
    for sidecar in &mut launches {
        // A cache server of its own opens the engine's device memory by the same numbers.
        sidecar.env.extend(visible.clone());
        // What an engine needs works on its cores: on the client's it would hold up the client.
        sidecar.cores = request.profile.cores.engine.clone();
    }
    launches.push(Launch {
        name: request.name.to_owned(),
        role: Role::Engine,
        command,
        env,
        files: kept.files,
        ports: IndexMap::from([(request.name.to_owned(), request.fixed_port)]),
        probe: match kept.registered {
            None => health,
            Some((url, text)) => Probe::All(vec![
                health,
                Probe::Http {
                    url,
                    contains: Some(text),
                },
            ]),
        },
        metrics_url: Some(format!("http://127.0.0.1:{port}/metrics")),
        grace_ns: GRACE_NS,
        cores: request.profile.cores.engine.clone(),
    });
    Ok((launches, kept.warnings))
}

/// What shows an engine no other devices than these. CUDA counts the fastest first unless told to count as NVML does, whose indices these are.
fn visible_devices(indices: &[u32]) -> Vec<(String, String)> {
    if indices.is_empty() {
        return Vec::new();
    }
    let indices: Vec<String> = indices.iter().map(u32::to_string).collect();
    vec![
        ("CUDA_DEVICE_ORDER".to_owned(), "PCI_BUS_ID".to_owned()),
        ("CUDA_VISIBLE_DEVICES".to_owned(), indices.join(",")),
    ]
}

/// vLLM's own offloading to host memory.
fn offload(request: &Request<'_>, backend: &Backend) -> Result<Vec<String>, String> {
    let by_engine = |by| by == KeptBy::Engine;
    if backend
        .local_disk
        .as_ref()
        .is_some_and(|tier| by_engine(tier.by))
    {
        return Err("vLLM itself keeps no KV on a disk; LMCache does (leave out `by`)".into());
    }
    let Some(tier) = backend.local_cpu.as_ref().filter(|tier| by_engine(tier.by)) else {
        return Ok(Vec::new());
    };
    if !request.on_devices() {
        return Err("vLLM's own offloading works between a GPU and its host, and this profile runs on a CPU".into());
    }
    if lmcache::has_tiers(backend) {
        return Err("vLLM takes one keeper of KV beyond its own cache: either itself (`by = \"engine\"`) or LMCache".into());
    }
    // vLLM counts 2^30 bytes.
    let gib = tier.capacity.0 as f64 / f64::from(1 << 30);
    Ok([
        "--kv-offloading-size",
        &gib.to_string(),
        "--kv-offloading-backend",
        "native",
    ]
    .map(str::to_owned)
    .to_vec())
}

/// Cores of each worker on a CPU, `0-3|4-7` in vLLM's words; null where the profile binds none.
fn threads(request: &Request<'_>) -> Result<Option<String>, String> {
    let Some(cores) = &request.profile.cores.engine else {
        return Ok(None);
    };
    let workers = request.tensor_parallel().unwrap_or(1) as usize;
    let each = cores.len() / workers.max(1);
    if each == 0 {
        return Err(format!(
            "tensor parallel {workers} needs a core for each worker, and the profile gives engines {}",
            cores.len()
        ));
    }
    let groups = cores.chunks(each).take(workers).map(|group| {
        let cores: Vec<String> = group.iter().map(u32::to_string).collect();
        cores.join(",")
    });
    Ok(Some(groups.collect::<Vec<_>>().join("|")))
}

/// Arguments as typed in the profile, for the model, and in the scenario. To vLLM the last of a name counts.
fn given_arguments<'a>(request: &Request<'a>) -> impl DoubleEndedIterator<Item = &'a String> {
    let (profile_args, _) = request.extras(EngineKind::Vllm);
    let model_args = request
        .settings()
        .map_or(&[][..], |settings| settings.args.as_slice());
    profile_args
        .iter()
        .chain(model_args)
        .chain(&request.engine.args)
}

/// Tokens that vLLM's own cache finds as one.
pub(crate) fn block_tokens(request: &Request<'_>) -> u32 {
    let mut after: Option<&String> = None;
    for argument in given_arguments(request).rev() {
        let value = match argument.split_once('=') {
            Some(("--block-size" | "--block_size", value)) => Some(value),
            _ if argument == "--block-size" || argument == "--block_size" => {
                after.map(String::as_str)
            }
            _ => None,
        };
        if let Some(tokens) = value.and_then(|value| value.parse().ok()) {
            return tokens;
        }
        after = Some(argument);
    }
    BLOCK_TOKENS
}

/// What the scenario's and the profile's keys come to on vLLM's command line.
fn own_arguments(request: &Request<'_>, port: &str) -> Result<Vec<String>, String> {
    let engine = request.engine;
    let settings = request.settings();
    let host = request.profile.host.as_deref().unwrap_or("127.0.0.1");
    // numpy takes no larger seed.
    let seed = (request.seed % (1 << 31)).to_string();
    let mut arguments = Vec::new();
    let mut option =
        |name: &str, value: &str| arguments.extend([format!("--{name}"), value.to_owned()]);
    option("model", &request.model.used);
    option("served-model-name", &request.model.served_name);
    option("host", host);
    option("port", port);
    option("seed", &seed);
    if request.model.weights_missing {
        option("load-format", "dummy");
    }
    // Left to itself vLLM makes a 16-bit format of float32.
    if let Some(dtype) = &request.model.dtype {
        option("dtype", dtype);
    }
    if let Some(max) = request.model.max_length {
        option("max-model-len", &max.to_string());
    }
    if let Some(devices) = request.tensor_parallel() {
        option("tensor-parallel-size", &devices.to_string());
    }
    if let Some(share) = request.memory_share() {
        option("gpu-memory-utilization", &format!("{share:.3}"));
    }
    let prefix = engine
        .backend
        .as_ref()
        .and_then(|backend| backend.prefix.as_ref());
    if let Some(capacity) = prefix.and_then(|prefix| prefix.capacity) {
        let token_bytes = request
            .model
            .kv_bytes_per_token
            .ok_or("the capacity of `prefix` cannot be set: the KV bytes of a token are not known for this model")?;
        let blocks = capacity.0 / (token_bytes * u64::from(block_tokens(request))).max(1);
        option("num-gpu-blocks-override", &blocks.max(1).to_string());
    }
    let mut flag = |name: &str| arguments.push(format!("--{name}"));
    flag(match prefix {
        Some(_) => "enable-prefix-caching",
        None => "no-enable-prefix-caching",
    });
    match engine.chunked_prefill.or_else(|| settings?.chunked_prefill) {
        Some(true) => flag("enable-chunked-prefill"),
        Some(false) => flag("no-enable-chunked-prefill"),
        None => {}
    }
    if settings.and_then(|settings| settings.trust_remote_code) == Some(true) {
        flag("trust-remote-code");
    }
    flag("enable-prompt-tokens-details");
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use schemas::{
        plan::{Model, Tier},
        profile::Profile,
        read::{self, Source},
        scenario::Engine,
    };

    use super::*;
    use crate::{
        adapter::{self, Planned, Unsupported},
        interpreter::Search,
    };

    const PROFILE: &str = r#"
        description = "a host"
        engine = "vllm"
        residency = "in-turn"
        args = ["--enforce-eager"]
        env = { VLLM_CPU_KVCACHE_SPACE = "2", PYTHONHASHSEED = "7" }
        cores = { engine = [0] }
    "#;

    fn source(text: &str) -> Source {
        Source {
            path: "test.toml".to_owned(),
            text: text.to_owned(),
        }
    }

    fn profile(more: &str) -> Profile {
        read::profile(&source(&format!("{PROFILE}{more}"))).expect("a profile")
    }

    fn engine(keys: &str) -> Engine {
        let text = format!(
            "question = \"q\"\n[workload.shared-context]\ncontext-length = 64\nreuse-count = 2\n\
             query-length = 8\noutput-length = 8\n[engine.e]\n{keys}\n"
        );
        let mut scenario = read::scenario(&source(&text)).expect("a scenario");
        scenario.engine.shift_remove("e").expect("the engine")
    }

    fn model() -> Model {
        Model {
            declared: "org/name".into(),
            used: "/models/name".into(),
            served_name: "org/name".into(),
            kv_bytes_per_token: Some(8192),
            max_length: Some(32768),
            dtype: Some("bfloat16".into()),
            random_weights: true,
            weights_missing: true,
        }
    }

    fn planned(
        engine: &Engine,
        profile: &Profile,
        python: &Search,
    ) -> Result<Planned, Box<Unsupported>> {
        placed(engine, profile, python, 1, 0)
    }

    fn placed(
        engine: &Engine,
        profile: &Profile,
        python: &Search,
        devices: usize,
        devices_taken: u32,
    ) -> Result<Planned, Box<Unsupported>> {
        adapter::plan(&Request {
            name: "e",
            index: 0,
            engine,
            model: &model(),
            profile,
            python,
            devices,
            devices_taken,
            together: 2,
            fixed_port: None,
            seed: (1 << 31) + 5,
        })
    }

    fn python() -> Search {
        Search {
            found: Some(PathBuf::from("/venv/bin/python")),
            ..Search::default()
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn map(pairs: &[(&str, &str)]) -> IndexMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_baseline_is_vllm_without_its_cache() {
        let planned =
            planned(&engine("backend.none = {}"), &profile(""), &python()).expect("a plan");
        let expected = Launch {
            name: "e".into(),
            role: Role::Engine,
            command: words(
                "/venv/bin/python -m vllm.entrypoints.openai.api_server --model /models/name --served-model-name org/name \
                 --host 127.0.0.1 --port {port.e} --seed 5 --load-format dummy --dtype bfloat16 --max-model-len 32768 \
                 --no-enable-prefix-caching --enable-prompt-tokens-details --enforce-eager",
            ),
            env: map(&[
                ("HF_HUB_OFFLINE", "1"),
                ("VLLM_NO_USAGE_STATS", "1"),
                ("DO_NOT_TRACK", "1"),
                ("PYTHONHASHSEED", "7"),
                ("PYTHONUNBUFFERED", "1"),
                ("VLLM_CPU_OMP_THREADS_BIND", "0"),
                ("VLLM_CPU_KVCACHE_SPACE", "2"),
            ]),
            files: IndexMap::new(),
            ports: IndexMap::from([("e".to_owned(), None)]),
            probe: Probe::Http {
                url: "http://127.0.0.1:{port.e}/health".into(),
                contains: None,
            },
            metrics_url: Some("http://127.0.0.1:{port.e}/metrics".into()),
            grace_ns: 5_000_000_000,
            cores: Some(vec![0]),
        };
        assert_eq!(planned.engine.launches, [expected]);
        assert!(planned.engine.baseline && !planned.engine.promises_hits);
        assert_eq!(planned.engine.kind, Some(EngineKind::Vllm));
    }

    #[test]
    fn the_prefix_tier_and_every_key_reach_the_command_line() {
        let engine = engine(
            "backend.prefix = { capacity = \"8MiB\" }\ntensor-parallel = 2\nargs = [\"--swap-space\", \"1\"]\n\
             env = { PYTHONHASHSEED = \"9\" }",
        );
        let mut profile = profile(
            "[model.\"org/name\"]\nchunked-prefill = false\ntensor-parallel = 4\ntrust-remote-code = true\nargs = [\"--quantization\", \"fp8\"]",
        );
        profile.cores.engine = Some(vec![0, 1, 2, 3]);
        let planned = planned(&engine, &profile, &python()).expect("a plan");
        let launch = &planned.engine.launches[0];
        assert_eq!(launch.env["VLLM_CPU_OMP_THREADS_BIND"], "0,1|2,3");
        assert_eq!(
            launch.command[3..],
            words(
                "--model /models/name --served-model-name org/name --host 127.0.0.1 --port {port.e} --seed 5 --load-format dummy \
                 --dtype bfloat16 --max-model-len 32768 --tensor-parallel-size 2 --num-gpu-blocks-override 64 --enable-prefix-caching \
                 --no-enable-chunked-prefill --trust-remote-code --enable-prompt-tokens-details \
                 --enforce-eager --quantization fp8 --swap-space 1"
            )
        );
        assert_eq!(launch.env["PYTHONHASHSEED"], "9");
        assert_eq!(planned.engine.chunk_tokens, 16);
        assert!(planned.engine.promises_hits);
        assert_eq!(
            planned.engine.tiers,
            [Tier {
                name: "prefix".into(),
                capacity_bytes: Some(8 << 20),
                path: None,
            }]
        );
    }

    #[test]
    fn the_last_block_size_that_is_typed_counts() {
        let profile = Profile {
            args: words("--block-size 128 --enforce-eager"),
            ..profile("")
        };
        let tokens = |keys: &str| {
            let planned = planned(&engine(keys), &profile, &python()).expect("a plan");
            planned.engine.chunk_tokens
        };
        assert_eq!(tokens("backend.prefix = {}"), 128);
        assert_eq!(
            tokens("backend.prefix = {}\nargs = [\"--block-size=64\"]"),
            64
        );
        let engine = engine("backend.prefix = { capacity = \"8MiB\" }");
        let planned = planned(&engine, &profile, &python()).expect("a plan");
        let command = planned.engine.launches[0].command.join(" ");
        assert!(
            command.contains("--num-gpu-blocks-override 8 "),
            "{command}"
        );
    }

    #[test]
    fn engines_that_live_together_share_the_device() {
        let profile = profile("").clone();
        let profile = Profile {
            memory_share: Some(0.84),
            residency: schemas::profile::Residency::Resident,
            ..profile
        };
        let planned = planned(&engine("backend.prefix = {}"), &profile, &python()).expect("a plan");
        let command = planned.engine.launches[0].command.join(" ");
        assert!(
            command.contains("--gpu-memory-utilization 0.420 "),
            "{command}"
        );
    }

    /// What the engine may see, and its indices.
    fn seen(
        profile: &Profile,
        keys: &str,
        devices: usize,
        taken: u32,
    ) -> Result<(String, Vec<u32>), String> {
        let planned = placed(&engine(keys), profile, &python(), devices, taken)
            .map_err(|unsupported| unsupported.reason)?;
        let env = &planned.engine.launches[0].env;
        let visible = env.get("CUDA_VISIBLE_DEVICES").cloned().unwrap_or_default();
        assert_eq!(visible.is_empty(), !env.contains_key("CUDA_DEVICE_ORDER"));
        Ok((visible, planned.engine.device_indices))
    }

    #[test]
    fn engines_see_the_devices_that_the_profile_or_living_side_by_side_gives_them() {
        use schemas::profile::Residency::{Resident, SideBySide};
        let on_devices = |residency, devices: Option<Vec<u32>>| Profile {
            memory_share: Some(0.84),
            residency,
            devices,
            ..profile("")
        };
        let none = "backend.none = {}";
        let two = "backend.none = {}\ntensor-parallel = 2";

        let any = on_devices(Resident, None);
        assert_eq!(seen(&any, none, 2, 0), Ok((String::new(), vec![])));
        assert_eq!(
            seen(&any, two, 1, 0),
            Err("needs 2 devices, found 1".into())
        );

        let second = on_devices(Resident, Some(vec![1]));
        assert_eq!(seen(&second, none, 2, 0), Ok(("1".into(), vec![1])));
        assert_eq!(
            seen(&second, two, 2, 0),
            Err("needs 2 devices, the profile names 1".into())
        );

        let apart = on_devices(SideBySide, None);
        assert_eq!(seen(&apart, none, 2, 1), Ok(("1".into(), vec![1])));
        assert_eq!(seen(&apart, two, 4, 1), Ok(("1,2".into(), vec![1, 2])));
        assert_eq!(
            seen(&apart, two, 2, 1),
            Err("needs 2 devices beside 1 of the engines before it, found 2".into())
        );
        let chosen = on_devices(SideBySide, Some(vec![3, 0]));
        assert_eq!(seen(&chosen, none, 4, 1), Ok(("0".into(), vec![0])));
        // To be looked at, on a host without any.
        assert_eq!(seen(&apart, two, 0, 1), Ok(("1,2".into(), vec![1, 2])));
    }

    #[test]
    fn what_cannot_be_had_is_unsupported_with_the_reason() {
        let nowhere = Search {
            looked_at: vec!["KVBENCH_PYTHON is not set".into(), "/x is not there".into()],
            ..Search::default()
        };
        let prefix = engine("backend.prefix = {}");
        let unsupported = planned(&prefix, &profile(""), &nowhere).expect_err("no Python");
        assert!(
            unsupported
                .reason
                .contains("(KVBENCH_PYTHON is not set, /x is not there); `ci/setup-cpu-stack.sh`"),
            "{}",
            unsupported.reason
        );
        assert_eq!(unsupported.engine.launches, []);
        let refused = [
            ("backend.remote.redis = {}", "no `redis-server` is found"),
            (
                "backend.local-cpu = { capacity = \"1GB\", by = \"engine\" }",
                "runs on a CPU",
            ),
            (
                "backend.local-disk = { capacity = \"1GB\", by = \"engine\" }",
                "keeps no KV on a disk",
            ),
            (
                "backend.prefix = {}\ntensor-parallel = 2",
                "needs a core for each worker",
            ),
            (
                "backend.remote.lm = {}\nlmcache.mode = \"multiprocess\"",
                "no `lm://` tier",
            ),
            (
                "backend.remote.redis.url = \"redis://h:1\"\nbackend.remote.redis.serde = \"cachegen\"\nlmcache.mode = \"multiprocess\"",
                "no cachegen",
            ),
            (
                "backend.remote.redis.url = \"redis://h:1\"\nbackend.remote.redis.serde = \"fp8\"",
                "no fp8",
            ),
            (
                "backend.remote.lm.serde = \"cachegen\"\nlmcache.layer-wise = true",
                "CacheGen takes whole chunks",
            ),
            (
                "backend.remote.lm.storage = \"disk\"",
                "in its memory alone",
            ),
            (
                "backend.local-cpu.capacity = \"1GB\"\nlmcache = { layer-wise = true, mode = \"multiprocess\" }",
                "layer by layer",
            ),
        ];
        for (keys, reason) in refused {
            let unsupported = planned(&engine(keys), &profile(""), &python()).expect_err(reason);
            assert!(
                unsupported.reason.contains(reason),
                "{}",
                unsupported.reason
            );
        }
    }
}
