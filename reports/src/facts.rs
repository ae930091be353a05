//! A run's facts, grouped for the questions that are asked of them: rows by experiment, engine and trial, and what the plan says of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use schemas::{
    plan::{EnginePlan, Experiment},
    row::RequestKind,
    scenario::{Phase, Requests},
};

use crate::{
    folder::RunData,
    frame::{Frame, Request},
    metrics,
};

/// A run's data with an index of its rows.
pub(crate) struct Facts<'a> {
    /// What the run left.
    pub data: &'a RunData,
    /// Row numbers by (experiment, engine) and trial, in order of `request_id`.
    turns: Turns,
    /// See [`Facts::cacheable_tokens`].
    cacheable_tokens: Arc<[Option<u32>]>,
}

type Turns = BTreeMap<(u32, u32), BTreeMap<u32, Vec<usize>>>;

/// First intended and last done of some requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// First intended, ns since the run started.
    pub from_ns: u64,
    /// Last done, else last intended.
    pub to_ns: u64,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(data: &'a RunData) -> Self {
        let turns = turns_of(data, |_| true);
        let mut cacheable_tokens = vec![None; data.frame.requests.len()];
        for ((experiment, _), trials) in &turns {
            let planned = data.plan.experiments.get(*experiment as usize);
            let workload = planned.map_or("", |experiment| experiment.workload.as_str());
            for turn in trials.values() {
                let tokens = metrics::cacheable_tokens(&data.frame, turn, workload);
                for (index, tokens) in turn.iter().zip(tokens) {
                    cacheable_tokens[*index] = tokens;
                }
            }
        }
        Self {
            data,
            turns,
            cacheable_tokens: cacheable_tokens.into(),
        }
    }

    /// The same facts with only the rows of one phase: every question then is about those.
    pub(crate) fn of_phase(&self, phase: Phase) -> Self {
        self.only(|request| request.phase == Some(phase))
    }

    /// The same facts without the rows after an event: what was so while nothing had happened yet.
    pub(crate) fn before_events(&self) -> Self {
        self.only(|request| {
            request
                .phase
                .is_none_or(|phase| phase == Phase::BeforeEvent)
        })
    }

    fn only(&self, keep: impl Fn(&Request) -> bool) -> Self {
        Self {
            data: self.data,
            turns: turns_of(self.data, keep),
            cacheable_tokens: Arc::clone(&self.cacheable_tokens),
        }
    }

    /// By row: [`metrics::cacheable_tokens`] of its whole turn. What stood before an event stands for the requests after it, whether they find it or not.
    pub(crate) fn cacheable_tokens(&self) -> &[Option<u32>] {
        &self.cacheable_tokens
    }

    /// The rows.
    pub(crate) fn frame(&self) -> &'a Frame {
        &self.data.frame
    }

    /// Trial and row numbers of an engine's turns in an experiment.
    pub(crate) fn turns(
        &self,
        experiment: u32,
        engine_id: u32,
    ) -> impl Iterator<Item = (u32, &[usize])> {
        self.turns
            .get(&(experiment, engine_id))
            .into_iter()
            .flatten()
            .map(|(trial, turn)| (*trial, turn.as_slice()))
    }

    /// Every turn of the run: experiment, engine, trial, row numbers.
    pub(crate) fn all_turns(&self) -> impl Iterator<Item = (u32, u32, u32, &[usize])> {
        self.turns.iter().flat_map(|((experiment, engine), turns)| {
            turns
                .iter()
                .map(|(trial, turn)| (*experiment, *engine, *trial, turn.as_slice()))
        })
    }

    /// An engine's requests in an experiment.
    pub(crate) fn requests(
        &self,
        experiment: u32,
        engine_id: u32,
    ) -> impl Iterator<Item = (usize, &'a Request)> {
        self.turns(experiment, engine_id)
            .flat_map(|(_, turn)| turn)
            .map(|&index| (index, &self.data.frame.requests[index]))
    }

    /// Whether an engine has rows in an experiment.
    pub(crate) fn has_rows(&self, experiment: u32, engine_id: u32) -> bool {
        self.turns.contains_key(&(experiment, engine_id))
    }

    /// How many trials of an experiment have rows.
    pub(crate) fn trials(&self, experiment: u32) -> u32 {
        let trials: BTreeSet<u32> = self
            .turns
            .range((experiment, 0)..=(experiment, u32::MAX))
            .flat_map(|(_, turns)| turns.keys().copied())
            .collect();
        trials.len() as u32
    }

    /// First intended and last done of a turn; `None` without requests.
    pub(crate) fn span(&self, turn: &[usize]) -> Option<Span> {
        let requests = || turn.iter().map(|&index| &self.data.frame.requests[index]);
        Some(Span {
            from_ns: requests().map(|request| request.intended_ns).min()?,
            to_ns: requests()
                .map(|request| request.done_ns.unwrap_or(request.intended_ns))
                .max()?,
        })
    }

    /// Whether the trials of two engines were interleaved: everything of a trial was over before the next one began. Only then are they compared pair by pair.
    pub(crate) fn interleaved(&self, experiment: u32, one: u32, other: u32) -> bool {
        let mut spans = BTreeMap::<u32, Span>::new();
        for engine in [one, other] {
            for (trial, turn) in self.turns(experiment, engine) {
                let Some(span) = self.span(turn) else {
                    continue;
                };
                let whole = spans.entry(trial).or_insert(span);
                whole.from_ns = whole.from_ns.min(span.from_ns);
                whole.to_ns = whole.to_ns.max(span.to_ns);
            }
        }
        spans
            .values()
            .zip(spans.values().skip(1))
            .all(|(before, after)| before.to_ns <= after.from_ns)
    }

    /// The plan's experiment.
    pub(crate) fn experiment(&self, experiment: u32) -> Option<&'a Experiment> {
        self.data.plan.experiments.get(experiment as usize)
    }

    /// The plan's engine.
    pub(crate) fn engine(&self, engine_id: u32) -> Option<&'a EnginePlan> {
        self.data.plan.engines.get(engine_id as usize)
    }

    /// Name of an engine.
    pub(crate) fn engine_name(&self, engine_id: u32) -> &'a str {
        self.engine(engine_id)
            .map_or("unknown", |engine| engine.name.as_str())
    }

    /// Index of the engine with this name.
    pub(crate) fn engine_id(&self, name: &str) -> Option<u32> {
        self.engine_ids()
            .find(|&engine_id| self.engine_name(engine_id) == name)
    }

    /// Engines in the file's order.
    pub(crate) fn engine_ids(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.data.plan.engines.len() as u32
    }

    /// Experiments in the plan's order.
    pub(crate) fn experiment_ids(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.data.plan.experiments.len() as u32
    }

    /// The engine that the others are compared with: [`Plan::baseline`](schemas::plan::Plan::baseline).
    pub(crate) fn baseline_id(&self) -> Option<u32> {
        self.data.plan.baseline().map(|index| index as u32)
    }

    /// Whose process it is: the launch's name is the engine's, or begins with it and a dot.
    pub(crate) fn owner(&self, process: &str) -> Option<u32> {
        let engine = process.split('.').next().unwrap_or(process);
        self.engine_id(engine)
    }

    /// Why an engine cannot run an experiment here, where the plan says so.
    pub(crate) fn skipped(&self, experiment: u32, engine_id: u32) -> Option<&'a str> {
        let here = self
            .experiment(experiment)
            .into_iter()
            .flat_map(|experiment| &experiment.skipped_engines)
            .find(|skipped| skipped.engine.is_none_or(|skipped| skipped == engine_id));
        let everywhere = self.data.plan.skipped.iter().find(|skipped| {
            skipped.engine == Some(engine_id)
                || (skipped.engine.is_none() && skipped.what == "scenario")
        });
        here.or(everywhere).map(|skipped| skipped.reason.as_str())
    }

    /// The kind of later request that an experiment is about: reused ones, else grown, else batched; cold where there is nothing else.
    pub(crate) fn warm_requests(&self, experiment: u32) -> Requests {
        let kinds: BTreeSet<RequestKind> = self
            .experiment(experiment)
            .into_iter()
            .flat_map(|experiment| experiment.requests.iter().map(|request| request.kind))
            .collect();
        [
            (RequestKind::Reused, Requests::Reused),
            (RequestKind::Grown, Requests::Grown),
            (RequestKind::Batched, Requests::Batched),
        ]
        .into_iter()
        .find(|(kind, _)| kinds.contains(kind))
        .map_or(Requests::Cold, |(_, requests)| requests)
    }

    /// The smallest median TTFT among an engine's kinds of request in an experiment, in s: what an error of the client is measured against.
    pub(crate) fn smallest_median_ttft_s(&self, experiment: u32, engine_id: u32) -> Option<f64> {
        let mut by_kind = BTreeMap::<RequestKind, Vec<f64>>::new();
        for (_, request) in self.requests(experiment, engine_id) {
            if let Some(ttft) = metrics::ttft_s(request).filter(|_| metrics::measured(request)) {
                by_kind.entry(request.kind).or_default().push(ttft);
            }
        }
        by_kind
            .values_mut()
            .filter_map(|values| crate::stats::median(values))
            .min_by(f64::total_cmp)
    }
}

fn turns_of(data: &RunData, keep: impl Fn(&Request) -> bool) -> Turns {
    let mut turns = Turns::new();
    let rows = data.frame.requests.iter().enumerate();
    for (index, request) in rows.filter(|(_, request)| keep(request)) {
        turns
            .entry((request.experiment, request.engine_id))
            .or_default()
            .entry(request.trial)
            .or_default()
            .push(index);
    }
    for turn in turns.values_mut().flat_map(BTreeMap::values_mut) {
        turn.sort_by_key(|&index| data.frame.requests[index].request_id);
    }
    turns
}
