//! Sensors over time, peaks of memory, and the lives of processes.

use std::collections::{BTreeMap, BTreeSet};

use schemas::sample::Sample;

use crate::{
    analysis::{EngineMemory, ProcessLife, ResourceSeries, SubjectRole, Turn},
    facts::{Facts, Span},
};

/// One series for each process tree and device, and for the host, in order of their first reading. Devices that no engine of the run sees are left out.
pub(crate) fn series(facts: &Facts<'_>) -> Vec<ResourceSeries> {
    let mut found: Vec<ResourceSeries> = Vec::new();
    let others = others_devices(facts);
    for sample in facts
        .data
        .samples
        .iter()
        .filter(|sample| !others(&sample.subject))
    {
        let position = found
            .iter()
            .position(|series| series.subject == sample.subject);
        let series = match position {
            Some(position) => &mut found[position],
            None => {
                found.push(empty(facts, &sample.subject));
                let last = found.len() - 1;
                &mut found[last]
            }
        };
        series.at_ns.push(sample.at_ns);
        series.rss_bytes.push(sample.rss_bytes);
        series.cpu_ns.push(sample.cpu_ns);
        series.disk_read_bytes.push(sample.disk_read_bytes);
        series.disk_written_bytes.push(sample.disk_written_bytes);
        series.gpu_memory_bytes.push(sample.gpu_memory_bytes);
        series
            .gpu_utilisation_percent
            .push(sample.gpu_utilisation_percent);
        series
            .gpu_power_milliwatts
            .push(sample.gpu_power_milliwatts);
        series.loopback_bytes.push(sample.loopback_bytes);
    }
    found
}

/// Whether a subject is a device of the host that was given to none of the engines. Where no plan says which it was, none is.
fn others_devices(facts: &Facts<'_>) -> impl Fn(&str) -> bool {
    let ours: BTreeSet<String> = facts
        .data
        .plan
        .engines
        .iter()
        .flat_map(|engine| &engine.device_indices)
        .map(|index| format!("gpu-{index}"))
        .collect();
    move |subject| !ours.is_empty() && subject.starts_with("gpu-") && !ours.contains(subject)
}

fn empty(facts: &Facts<'_>, subject: &str) -> ResourceSeries {
    ResourceSeries {
        subject: subject.to_owned(),
        engine_id: facts.owner(subject),
        role: role(facts, subject),
        at_ns: Vec::new(),
        rss_bytes: Vec::new(),
        cpu_ns: Vec::new(),
        disk_read_bytes: Vec::new(),
        disk_written_bytes: Vec::new(),
        gpu_memory_bytes: Vec::new(),
        gpu_utilisation_percent: Vec::new(),
        gpu_power_milliwatts: Vec::new(),
        loopback_bytes: Vec::new(),
    }
}

fn role(facts: &Facts<'_>, subject: &str) -> SubjectRole {
    match facts.owner(subject) {
        Some(_) if subject.contains('.') => SubjectRole::Sidecar,
        Some(_) => SubjectRole::Engine,
        None if subject.starts_with("gpu-") => SubjectRole::Device,
        None if subject == "host" => SubjectRole::Host,
        None => SubjectRole::Runner,
    }
}

/// What memory an engine took in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Peaks {
    /// Resident memory of the engine's tree.
    pub rss_bytes: Option<u64>,
    /// Resident memory of all its sidecars' trees together.
    pub sidecars_rss_bytes: Option<u64>,
    /// Resident memory of the engine's and its sidecars' trees together.
    pub together_rss_bytes: Option<u64>,
    /// Device memory of the engine's tree.
    pub gpu_bytes: Option<u64>,
}

/// The largest readings of an engine within the spans; over the whole run without any.
pub(crate) fn peaks(facts: &Facts<'_>, engine_id: u32, spans: Option<&[Span]>) -> Peaks {
    // Readings of one round carry one stamp.
    let mut rounds = BTreeMap::<u64, Peaks>::new();
    let within = |sample: &&Sample| {
        spans.is_none_or(|spans| {
            spans
                .iter()
                .any(|span| (span.from_ns..=span.to_ns).contains(&sample.at_ns))
        })
    };
    let own = facts
        .data
        .samples
        .iter()
        .filter(within)
        .filter(|sample| facts.owner(&sample.subject) == Some(engine_id));
    for sample in own {
        let round = rounds.entry(sample.at_ns).or_default();
        add(&mut round.together_rss_bytes, sample.rss_bytes);
        if role(facts, &sample.subject) == SubjectRole::Sidecar {
            add(&mut round.sidecars_rss_bytes, sample.rss_bytes);
        } else {
            add(&mut round.rss_bytes, sample.rss_bytes);
            add(&mut round.gpu_bytes, sample.gpu_memory_bytes);
        }
    }
    rounds
        .into_values()
        .fold(Peaks::default(), |peaks, round| Peaks {
            rss_bytes: peaks.rss_bytes.max(round.rss_bytes),
            sidecars_rss_bytes: peaks.sidecars_rss_bytes.max(round.sidecars_rss_bytes),
            together_rss_bytes: peaks.together_rss_bytes.max(round.together_rss_bytes),
            gpu_bytes: peaks.gpu_bytes.max(round.gpu_bytes),
        })
}

fn add(sum: &mut Option<u64>, value: Option<u64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0) + value);
    }
}

/// Peaks of each engine over the run.
pub(crate) fn memory(facts: &Facts<'_>) -> Vec<EngineMemory> {
    facts
        .engine_ids()
        .map(|engine_id| {
            let peaks = peaks(facts, engine_id, None);
            let pool_bytes = pool_bytes(facts, engine_id);
            EngineMemory {
                engine_id,
                peak_rss_bytes: peaks.rss_bytes,
                sidecars_peak_rss_bytes: peaks.sidecars_rss_bytes,
                peak_gpu_bytes: peaks.gpu_bytes,
                pool_bytes,
                beyond_pool_bytes: peaks
                    .gpu_bytes
                    .zip(pool_bytes)
                    .and_then(|(peak, pool)| peak.checked_sub(pool)),
            }
        })
        .collect()
}

/// KV blocks × tokens of a block × bytes of a token, by the labels of `vllm:cache_config_info`.
pub(crate) fn pool_bytes(facts: &Facts<'_>, engine_id: u32) -> Option<u64> {
    let token_bytes = facts.data.plan.model.kv_bytes_per_token?;
    let info = facts.data.counters.iter().find(|counter| {
        counter.name == "vllm:cache_config_info" && facts.owner(&counter.subject) == Some(engine_id)
    })?;
    let blocks = label(&info.labels, "num_gpu_blocks")?;
    let block_tokens = label(&info.labels, "block_size")?;
    blocks.checked_mul(block_tokens)?.checked_mul(token_bytes)
}

/// A whole number among labels as `name="value",…`.
fn label(labels: &str, name: &str) -> Option<u64> {
    labels.split(',').find_map(|label| {
        let (found, value) = label.split_once('=')?;
        (found.trim() == name)
            .then(|| value.trim().trim_matches('"').parse().ok())
            .flatten()
    })
}

/// Turns in order of time.
pub(crate) fn turns(facts: &Facts<'_>) -> Vec<Turn> {
    let mut turns: Vec<Turn> = facts
        .all_turns()
        .filter_map(|(experiment, engine_id, trial, turn)| {
            let span = facts.span(turn)?;
            let first = facts.frame().requests.get(*turn.first()?)?;
            Some(Turn {
                expr_id: first.expr_id,
                experiment,
                trial,
                engine_id,
                from_ns: span.from_ns,
                to_ns: span.to_ns,
            })
        })
        .collect();
    turns.sort_by_key(|turn| (turn.from_ns, turn.engine_id));
    turns
}

/// Engines that one process was in several runs of an invocation, each in a sentence.
pub(crate) fn shared(lives: &[ProcessLife]) -> impl Iterator<Item = String> {
    lives.iter().filter_map(|life| {
        let before = life.started_by.as_ref().map(|run| {
            format!(
                "is the process that run {run} had started with the same command line, and its memory what it had grown to"
            )
        });
        let after = life
            .handed_to
            .as_ref()
            .map(|scenario| format!("went on to serve {scenario}"));
        let both: Vec<String> = before.into_iter().chain(after).collect();
        (!both.is_empty()).then(|| format!("{} {}.", life.name, both.join("; it ")))
    })
}

/// Lives of engines and sidecars in order of their starts.
pub(crate) fn lives(facts: &Facts<'_>) -> Vec<ProcessLife> {
    let mut lives: Vec<ProcessLife> = facts
        .data
        .manifest
        .processes
        .iter()
        .map(|process| ProcessLife {
            name: process.name.clone(),
            engine_id: facts.owner(&process.name),
            role: role(facts, &process.name),
            command: process.command.clone(),
            started_by: process.started_by.clone(),
            handed_to: process.handed_to.clone(),
            started_ns: process.started_ns,
            ready_ns: process.ready_ns,
            stopping_ns: process.stopping_ns,
            ended_ns: process.ended_ns,
            ending: process.ending.clone(),
            expected: process.expected,
            last_lines: process.last_lines.clone(),
        })
        .collect();
    lives.sort_by_key(|life| life.started_ns);
    lives
}
