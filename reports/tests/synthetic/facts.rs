//! What the run was: host, sensors, processes, warnings, appendix.

use super::*;

pub(super) fn run_facts(spec: &Spec, rows: u64, ok: u64) -> RunFacts {
    RunFacts {
        scenario: "host-memory".to_owned(),
        scenario_path: "scenarios/host-memory.toml".to_owned(),
        run_id: "2026-11-24T08-12-33Z".to_owned(),
        started: "2026-11-24T08:12:33Z".to_owned(),
        ended: Some("2026-11-24T08:31:02Z".to_owned()),
        ending: Some(if spec.partial {
            Ending::Interrupted
        } else {
            Ending::Complete
        }),
        partial: spec
            .partial
            .then(|| "interrupted by the user after 2 of 4 experiments".to_owned()),
        version: "0.1.0".to_owned(),
        versions: IndexMap::from([
            ("vllm".to_owned(), "0.24.0".to_owned()),
            ("lmcache".to_owned(), "0.5.0".to_owned()),
        ]),
        host: Host {
            name: Some("bench-03".to_owned()),
            system: Some("Linux 6.1.0".to_owned()),
            processor: Some("AMD EPYC 9454".to_owned()),
            cores: Some(16),
            memory_bytes: Some(137_438_953_472),
            gpus: if spec.device {
                vec![Gpu {
                    name: "NVIDIA H100 80GB HBM3".to_owned(),
                    memory_bytes: Some(85_899_345_920),
                }]
            } else {
                Vec::new()
            },
            driver: spec.device.then(|| "570.86".to_owned()),
        },
        git_commit: Some("3fce3b5b7a6e".to_owned()),
        profile: "gpu".to_owned(),
        profile_reason: "auto: a device and vLLM are there".to_owned(),
        seed: 42,
        residency: Residency::Resident,
        model: Model {
            declared: "meta-llama/Llama-3.1-8B-Instruct".to_owned(),
            used: "models/llama-8b-shape".to_owned(),
            served_name: "m".to_owned(),
            kv_bytes_per_token: Some(131_072),
            max_length: Some(32_768),
            dtype: None,
            random_weights: true,
            weights_missing: false,
        },
        prompt_fingerprint: Some("9c1185a5c5e9fc54".to_owned()),
        paced: spec.engines.len() == 1,
        random_weights: true,
        planned_requests: u64::from(spec.requests)
            * spec.contexts.len() as u64
            * spec.engines.len() as u64,
        outcomes: Outcomes {
            rows,
            ok,
            failed: if ok < rows {
                vec![(Outcome::Timeout, rows - ok)]
            } else {
                Vec::new()
            },
        },
    }
}

pub(super) fn resources(spec: &Spec, noise: &mut ChaCha8Rng, end_ns: u64) -> Vec<ResourceSeries> {
    if spec.empty {
        return Vec::new();
    }
    let at_ns: Vec<u64> = (0..1500).map(|index| end_ns / 1500 * index).collect();
    let mut all = Vec::new();
    let baseline = spec.engines.len() - 1;
    for (id, name) in spec.engines.iter().enumerate() {
        let mut add = |subject: String, role: SubjectRole, level: f64, device: bool| {
            let rise = |index: usize| level * (1.0 - (-(index as f64) / 120.0).exp());
            let mut values = |scale: f64| {
                (0..1500)
                    .map(|index| {
                        Some((rise(index) * scale * (1.0 + 0.01 * noise.random::<f64>())) as u64)
                    })
                    .collect::<Vec<_>>()
            };
            let rss = values(1.0);
            let gpu = if device {
                values(6.0)
            } else {
                vec![None; 1500]
            };
            all.push(ResourceSeries {
                subject,
                engine_id: Some(id as u32),
                role,
                at_ns: at_ns.clone(),
                rss_bytes: rss,
                cpu_ns: vec![None; 1500],
                disk_read_bytes: vec![Some(0); 1500],
                disk_written_bytes: vec![Some(0); 1500],
                gpu_memory_bytes: gpu,
                gpu_utilisation_percent: vec![None; 1500],
                gpu_power_milliwatts: vec![None; 1500],
                loopback_bytes: vec![None; 1500],
            });
        };
        add(
            name.clone(),
            SubjectRole::Engine,
            5.3e9 + id as f64 * 4e8,
            spec.device,
        );
        if id != baseline && id < 2 {
            add(
                format!("{name}.lmcache"),
                SubjectRole::Sidecar,
                2.1e10,
                false,
            );
        }
    }
    all
}

pub(super) fn lives(spec: &Spec, end_ns: u64) -> Vec<ProcessLife> {
    let life = |id: usize, name: String, role: SubjectRole, start: u64| ProcessLife {
        name,
        engine_id: Some(id as u32),
        role,
        command: vec!["python".to_owned(), "-m".to_owned(), "engine".to_owned()],
        started_by: None,
        handed_to: None,
        started_ns: start,
        ready_ns: (!spec.empty).then_some(start + 12_000_000_000),
        stopping_ns: (!spec.empty).then_some(end_ns),
        ended_ns: Some(end_ns + 2_000_000_000),
        ending: Some("exit code 0".to_owned()),
        expected: Some(!spec.empty),
        last_lines: if spec.empty {
            vec!["RuntimeError: no kernel image is available".to_owned()]
        } else {
            Vec::new()
        },
    };
    let mut lives = Vec::new();
    for (id, name) in spec.engines.iter().enumerate() {
        if id + 1 < spec.engines.len() {
            lives.push(life(
                id,
                format!("{name}.lmcache"),
                SubjectRole::Sidecar,
                500_000_000,
            ));
        }
        lives.push(life(
            id,
            name.clone(),
            SubjectRole::Engine,
            6_000_000_000 + id as u64 * 2_000_000_000,
        ));
    }
    lives
}

pub(super) fn warnings(spec: &Spec) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if spec.empty {
        warnings.push(Warning {
            text: "lmcache never answered: exit code 1".to_owned(),
            experiment: None,
            advice: Some("Read logs/lmcache.log; the last lines are below.".to_owned()),
            lines: vec![
                "Traceback (most recent call last):".to_owned(),
                "    raise RuntimeError(\"no kernel image is available\")".to_owned(),
                "RuntimeError: no kernel image is available".to_owned(),
            ],
        });
    }
    if spec.failures {
        warnings.push(Warning {
            text: "4 % of the requests failed (12 of 300)".to_owned(),
            experiment: None,
            advice: Some("Their rows have the reason in `detail`.".to_owned()),
            lines: Vec::new(),
        });
    }
    warnings
}

pub(super) fn appendix(spec: &Spec) -> Appendix {
    let scenario = "question = \"How much sooner does the first token come when a shared context is reused from host memory?\"\nmodel    = \"meta-llama/Llama-3.1-8B-Instruct\"\n\n[workload.shared-context]\ncontext-length = [8192, 16384, 24576]   # tokens\nreuse-count    = 10\nquery-length   = 16\noutput-length  = 200\n\n[arrival.constant]\ninterval = \"8s\"\n\n[engine.lmcache]\nbackend.local-cpu = { capacity = \"20GB\" }\n\n[engine.baseline]\nbackend.none = {}\n";
    Appendix {
        scenario_text: scenario.to_owned(),
        command_line: vec!["runner".to_owned(), "scenarios/host-memory.toml".to_owned()],
        launches: spec
            .engines
            .iter()
            .enumerate()
            .map(|(id, name)| LaunchText {
                name: name.clone(),
                engine_id: id as u32,
                command: format!("python -m vllm.entrypoints.openai.api_server --model models/llama-8b-shape --served-model-name m --port {{port.{name}}} --no-enable-prefix-caching --max-model-len 32768 --gpu-memory-utilization 0.42").split(' ').map(str::to_owned).collect(),
                env: IndexMap::from([("PYTHONHASHSEED".to_owned(), "0".to_owned())]),
                files: IndexMap::new(),
            })
            .collect(),
        definitions: vec![
            Definition { name: "TTFT", unit: "s", text: "From just before the request's first byte is written to the arrival of the first event with content." },
            Definition { name: "ITL", unit: "s", text: "Gaps between events with content, as a distribution." },
            Definition { name: "throughput", unit: "tokens/s", text: "Output tokens over the time from the first to the last event with content; unknown below two tokens." },
        ],
    }
}
