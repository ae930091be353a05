//! The dispatcher: it owns a run's state, signals and sinks, and asks executors (processes, the load client) in one order.

mod engines;
mod events;
mod order;
mod prepare;
mod turn;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use schemas::{
    manifest::{ClientRecord, Ending, Heartbeat, Manifest, ProcessRecord, Telltale},
    plan::{FORMAT, Plan},
    row::Row,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::RunClock,
    event::EventKind,
    folder::{FolderError, RunFolder},
    host,
    load::{Client, ClientError},
    model_facts::{self, ModelError},
    plan::running_engines,
    process::Kept,
    progress::{Progress, Verbosity},
    prompt::{self, Occasion, PromptError, TemplateOverhead, TextSource, TrialPrompts},
    read::Loaded,
    record::{RecordError, Recorder},
    sharing::Sharing,
    telemetry::{Telemetry, Watched},
};
use engines::Live;
use events::Disturbance;
use order::Slot;

/// Words of the text whose template overhead is asked for.
const SAMPLE_TOKENS: u32 = 16;

/// What a run is told besides its plan.
#[derive(Debug)]
pub struct RunInput<'a> {
    /// The scenario file.
    pub loaded: &'a Loaded,
    /// What to do.
    pub plan: &'a Plan,
    /// Why this profile.
    pub profile_reason: &'a str,
    /// Cores of the runner's request path.
    pub client_cores: &'a [u32],
    /// Each engine answers some requests before it is measured.
    pub warm_up: bool,
    /// Versions of what the engines are made of.
    pub versions: indexmap::IndexMap<String, String>,
    /// What a reader of the report has to know of them.
    pub warnings: &'a [String],
    /// Where run folders go.
    pub outputs: &'a std::path::Path,
    /// How much is printed.
    pub verbosity: Verbosity,
    /// Engines that come from the scenario before, and that go on to the one after.
    pub sharing: &'a Sharing,
}

/// Where a run was recorded, and how it ended.
#[derive(Debug)]
pub struct Executed {
    /// Its folder.
    pub folder: PathBuf,
    /// How it ended.
    pub ending: Ending,
    /// The user wants no further run, though this one may have been complete by then.
    pub interrupted: bool,
}

/// Why a run could not even be recorded.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The run folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The journals.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The load client's threads.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Texts of exact length.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The model's tokenizer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A thread, a signal handler, the runner's own path.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Why a run stops before its end.
#[derive(Debug)]
enum Stop {
    /// By the user.
    Interrupted,
    /// In words, with the log's last lines.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Failed(text)
    }
}

/// Runs one plan and records it. Whatever happens, the rows are on disk and the processes gone when this returns, but for the engines that go on to the
/// next scenario: those of the one before are in `kept`, and those for the one after are left there by a run that is complete.
///
/// # Errors
/// When nothing could be recorded; everything else is an [`Ending`]. What is in `kept` then is still to be stopped.
pub async fn run(input: RunInput<'_>, kept: &mut Vec<Kept>) -> Result<Executed, ExecuteError> {
    let started = jiff::Timestamp::now();
    let clock = RunClock::start();
    let utc = started.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    let folder = RunFolder::create(input.outputs, &input.plan.scenario, &utc)?;
    folder.write("scenario.toml", input.loaded.text.as_bytes())?;
    folder.write("plan.json", &json(input.plan))?;

    let nonce: u64 = rand::random();
    let manifest = Manifest {
        format: FORMAT,
        run_id: folder.run_id().to_owned(),
        scenario_path: input.loaded.path.display().to_string(),
        profile: input.plan.profile.clone(),
        profile_reason: input.profile_reason.to_owned(),
        started: started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ended: None,
        started_monotonic_ns: clock.to_monotonic_ns(0),
        ending: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // The built-in engine has the runner's version; other engines tell their own.
        versions: input.versions.clone(),
        host: host::describe(),
        git_commit: host::git_commit(&input.loaded.path),
        command_line: std::env::args().collect(),
        salt_nonce: format!("{nonce:016x}"),
        prompt_fingerprint: None,
        processes: Vec::new(),
        client: None,
        warnings: [&input.plan.warnings[..], input.warnings].concat(),
        telltales: Vec::new(),
    };
    folder.write("manifest.json", &json(&manifest))?;

    let running = running_engines(input.plan);
    if running.is_empty() {
        return finish_without_running(&folder, manifest);
    }
    let recorder = Recorder::start(&folder)?;
    let watched = Watched::default();
    let telemetry =
        Telemetry::start(clock, watched.clone(), recorder.sender()?).map_err(|source| {
            ExecuteError::System {
                action: "start the telemetry thread",
                source,
            }
        })?;
    let client = Client::spawn(clock, input.client_cores)?;
    let texts = TextSource::new(
        model_facts::tokenizer(&input.plan.model.used)?,
        input.plan.seed,
    )?;
    let interrupted = CancellationToken::new();
    let live = Live::new(&folder, clock, input.plan, watched, interrupted.clone())?;

    let mut dispatcher = Dispatcher {
        plan: input.plan,
        clock,
        progress: Progress::new(input.plan, &running, input.verbosity),
        recorder,
        client,
        texts: Arc::new(texts),
        first_prompts: None,
        warm_up: input.warm_up,
        nonce,
        live,
        interrupted,
        overheads: BTreeMap::new(),
        without_counters: BTreeSet::new(),
        fingerprints: BTreeMap::new(),
        heartbeats: Vec::new(),
        pilots: BTreeMap::new(),
        manifest,
        disturbance: Disturbance::default(),
        disturbed: BTreeSet::new(),
        sharing: input.sharing,
        handed: running
            .iter()
            .copied()
            .filter(|engine| input.sharing.hands(&input.plan.engines[*engine].name))
            .collect(),
        unwell: BTreeSet::new(),
    };
    dispatcher.emit(EventKind::RunStarted {
        folder: folder.path().to_owned(),
    })?;
    if !input.warm_up {
        dispatcher.warn(
            "no warm-up requests were sent: the first measured ones pay for what a start leaves undone".into(),
        )?;
    }
    dispatcher.live.inherit(std::mem::take(kept));
    let ran = dispatcher.all(&running).await;
    let handed_on = match ran {
        Ok(()) => dispatcher.hand_on(),
        Err(_) => Vec::new(),
    };
    let ended = dispatcher.end().await;
    drop(telemetry);
    let interrupted = dispatcher.interrupted.is_cancelled();

    let ending = match (ran, ended) {
        (Ok(()), Ok(())) => Ending::Complete,
        (Err(Stop::Interrupted), _) => Ending::Interrupted,
        (Err(Stop::Failed(reason)), _) | (Ok(()), Err(Stop::Failed(reason))) => {
            Ending::Failed { reason }
        }
        (Ok(()), Err(Stop::Interrupted)) => Ending::Interrupted,
    };
    dispatcher
        .progress
        .show(&EventKind::RunEnded(ending.clone()));
    let Dispatcher {
        recorder,
        mut manifest,
        client,
        heartbeats,
        fingerprints,
        ..
    } = dispatcher;
    drop(client);
    let recorded = recorder.finish();
    let ending = match recorded {
        Ok(()) => ending,
        Err(error) => Ending::Failed {
            reason: error.to_string(),
        },
    };
    for process in handed_on {
        if ending == Ending::Complete {
            manifest.processes.push(ProcessRecord {
                handed_to: (input.sharing.handed.as_ref()).map(|next| next.scenario.clone()),
                ..process.record().clone()
            });
            kept.push(process);
        } else {
            manifest.processes.push(process.stop().await.0);
        }
    }
    manifest.ended = Some(
        jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
    );
    manifest.ending = Some(ending.clone());
    manifest.prompt_fingerprint = fingerprint(&fingerprints);
    manifest.client = Some(ClientRecord {
        cpu_ns: crate::clock::process_cpu_ns(),
        peak_rss_bytes: host::peak_rss_bytes(),
        heartbeat: heartbeats,
    });
    folder.write("manifest.json", &json(&manifest))?;
    folder.remove_empty_rooms();
    Ok(Executed {
        folder: folder.path().to_owned(),
        ending,
        interrupted,
    })
}

/// Nothing can run here: the folder holds the plan with its reasons, and no rows.
fn finish_without_running(
    folder: &RunFolder,
    mut manifest: Manifest,
) -> Result<Executed, ExecuteError> {
    Recorder::start(folder)?.finish()?;
    manifest.ended = Some(manifest.started.clone());
    manifest.ending = Some(Ending::Complete);
    folder.write("manifest.json", &json(&manifest))?;
    folder.remove_empty_rooms();
    Ok(Executed {
        folder: folder.path().to_owned(),
        ending: Ending::Complete,
        interrupted: false,
    })
}

/// A run's state.
struct Dispatcher<'a> {
    plan: &'a Plan,
    clock: RunClock,
    progress: Progress,
    recorder: Recorder,
    client: Client,
    texts: Arc<TextSource>,
    /// Prompts of the first trial of the first experiment, made while the engines start.
    first_prompts: Option<JoinHandle<Result<TrialPrompts, PromptError>>>,
    warm_up: bool,
    nonce: u64,
    live: Live<'a>,
    interrupted: CancellationToken,
    /// What the chat template adds, by engine, where `/tokenize` told.
    overheads: BTreeMap<usize, TemplateOverhead>,
    /// Attached engines that show no counters.
    without_counters: BTreeSet<usize>,
    fingerprints: BTreeMap<(usize, u32), String>,
    heartbeats: Vec<Heartbeat>,
    /// TTFTs of later requests in seconds, by (experiment, engine) and trial: what `until` looks at.
    pilots: BTreeMap<(usize, usize), BTreeMap<u32, Vec<f64>>>,
    manifest: Manifest,
    /// What events have done to the turn under way.
    disturbance: Disturbance,
    /// Engines that events have left other than they found them.
    disturbed: BTreeSet<usize>,
    sharing: &'a Sharing,
    /// Engines that are to go on to the next scenario.
    handed: BTreeSet<usize>,
    /// Engines that did not answer a request as they should: they go on to nobody.
    unwell: BTreeSet<usize>,
}

impl Dispatcher<'_> {
    fn emit(&mut self, event: EventKind) -> Result<(), RecordError> {
        self.progress.show(&event);
        self.recorder.record(event)
    }

    /// Everything that the plan says.
    async fn all(&mut self, running: &[usize]) -> Result<(), Stop> {
        for group in order::groups(self.plan, running, self.sharing) {
            if !self.plan.experiments.is_empty() {
                self.first_prompts = Some(self.make_prompts(0, 0));
            }
            self.start(&group).await?;
            self.prepare(&group).await?;
            for experiment in 0..self.plan.experiments.len() {
                self.experiment(experiment, &group).await?;
            }
            self.stop_but(&self.handed.clone()).await?;
        }
        Ok(())
    }

    /// All trials of one experiment on the engines that live now.
    async fn experiment(&mut self, experiment: usize, group: &[usize]) -> Result<(), Stop> {
        let mut trials = self.plan.trials.at_least;
        let mut trial = 0;
        while trial < trials {
            let prompts = self.prompts(experiment, trial).await?;
            for slot in order::trial(experiment, trial, group) {
                self.turn(slot, &prompts).await?;
            }
            trial += 1;
            if trial == self.plan.trials.at_least {
                trials = self.trials_needed(experiment, group);
                self.announce_more(experiment, group, trials - trial);
            }
        }
        Ok(())
    }

    fn announce_more(&mut self, experiment: usize, group: &[usize], trials: u32) {
        let requests = &self.plan.experiments[experiment].requests;
        let times = u64::from(trials) * group.len() as u64;
        let tokens: u64 = requests.iter().map(crate::progress::planned_tokens).sum();
        self.progress
            .extend(requests.len() as u64 * times, tokens * times);
    }

    /// The prompts of one (experiment, trial). Those of the first were begun while the engines started.
    async fn prompts(&mut self, experiment: usize, trial: u32) -> Result<TrialPrompts, Stop> {
        let task = match self.first_prompts.take() {
            Some(task) if (experiment, trial) == (0, 0) => task,
            Some(_) | None => self.make_prompts(experiment, trial),
        };
        let prompts = task.await??;
        self.fingerprints
            .insert((experiment, trial), prompts.fingerprint().to_owned());
        Ok(prompts)
    }

    /// Makes them on a thread of their own.
    fn make_prompts(
        &self,
        experiment: usize,
        trial: u32,
    ) -> JoinHandle<Result<TrialPrompts, PromptError>> {
        let texts = Arc::clone(&self.texts);
        let occasion = self.occasion(experiment, trial);
        let experiment = self.plan.experiments[experiment].clone();
        let model = self.plan.model.served_name.clone();
        tokio::task::spawn_blocking(move || prompt::build(&texts, &experiment, occasion, &model))
    }

    fn occasion(&self, experiment: usize, trial: u32) -> Occasion {
        Occasion {
            nonce: self.nonce,
            experiment: experiment as u32,
            trial,
        }
    }

    /// Stops what still lives, in order, whatever went wrong before.
    async fn end(&mut self) -> Result<(), Stop> {
        let stopped = self.stop_but(&BTreeSet::new()).await;
        let not_taken = self.stop_kept().await;
        let left = self.live.sweep().await;
        for text in left {
            self.warn(text)?;
        }
        stopped.and(not_taken)
    }

    fn warn(&mut self, text: String) -> Result<(), RecordError> {
        self.manifest.warnings.push(text.clone());
        self.emit(EventKind::Warning(text))
    }

    /// Looks for what an engine's adapter knows as telltales in the logs of its processes; the first line of each is kept.
    fn look_for_telltales(&mut self, engine: usize) {
        let plan = &self.plan.engines[engine];
        for (launch, text) in plan
            .launches
            .iter()
            .flat_map(|launch| plan.telltales.iter().map(move |text| (launch, text)))
        {
            let known = &self.manifest.telltales;
            if known
                .iter()
                .any(|found| found.process == launch.name && found.line.contains(text))
            {
                continue;
            }
            let line = self.live.log_line(&launch.name, text);
            self.manifest.telltales.extend(line.map(|line| Telltale {
                engine: engine as u32,
                process: launch.name.clone(),
                line,
            }));
        }
    }

    fn ended(&mut self, record: ProcessRecord) -> Result<(), RecordError> {
        self.manifest.processes.push(record.clone());
        self.emit(EventKind::ProcessEnded(record))
    }

    fn remember(&mut self, slot: Slot, row: &Row) {
        use schemas::row::{Outcome, RequestKind};
        if row.outcome != Outcome::Ok {
            self.unwell.insert(slot.engine);
        }
        let ttft_ns = row
            .first_content_ns
            .zip(row.sent_ns)
            .map(|(first, sent)| first.saturating_sub(sent));
        if let (Some(ttft_ns), Outcome::Ok, false) =
            (ttft_ns, row.outcome, row.kind == RequestKind::Cold)
        {
            let trials = self
                .pilots
                .entry((slot.experiment, slot.engine))
                .or_default();
            trials
                .entry(slot.trial)
                .or_default()
                .push(ttft_ns as f64 / 1e9);
        }
    }

    /// Stein's second stage: how many trials `until` asks for, after the pilot.
    fn trials_needed(&self, experiment: usize, group: &[usize]) -> u32 {
        let trials = &self.plan.trials;
        let Some((_, half_width)) = trials.until else {
            return trials.at_most;
        };
        let medians = |engine: usize| -> Vec<f64> {
            let by_trial = self.pilots.get(&(experiment, engine)).into_iter().flatten();
            by_trial
                .filter_map(|(_, values)| reports::stats::median(&mut values.clone()))
                .collect()
        };
        let baseline = self
            .plan
            .baseline()
            .filter(|engine| self.plan.engines[*engine].baseline && group.contains(engine));
        let needed = group
            .iter()
            .filter(|engine| Some(**engine) != baseline)
            .map(|engine| {
                let logs: Vec<f64> = match baseline {
                    Some(baseline) => {
                        let pairs = medians(*engine).into_iter().zip(medians(baseline));
                        pairs.map(|(value, base)| (value / base).ln()).collect()
                    }
                    None => medians(*engine).into_iter().map(f64::ln).collect(),
                };
                reports::stats::trials_needed(&logs, half_width)
            });
        needed
            .map(|needed| needed.unwrap_or(trials.at_most))
            .max()
            .unwrap_or(trials.at_least)
            .clamp(trials.at_least, trials.at_most)
    }
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    // Plans and manifests hold only text keys and finite numbers, which serde_json always writes.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

/// One fingerprint over those of all trials, in the plan's order.
fn fingerprint(parts: &BTreeMap<(usize, u32), String>) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    for part in parts.values() {
        hasher.update(part.as_bytes());
    }
    Some(hasher.finalize().to_hex().to_string())
}
