//! An analysis with what every page looks up again and again: engines' marks and names, and which requests are compared.

use schemas::{row::RequestKind, scenario::Requests};

use crate::{
    analysis::{Analysis, EngineResult, ExperimentAnalysis, State},
    chart::{
        style::{EngineMark, engine_marks},
        time::Moment,
    },
    phrase,
};

/// Characters of an engine's name in a title at most.
const LONGEST_NAME: usize = 24;

/// What pages read.
pub(crate) struct View<'a> {
    pub(crate) analysis: &'a Analysis,
    /// Marks by `engine_id`.
    pub(crate) marks: Vec<EngineMark>,
    /// Which requests the run compares: reused ones, or what the workload has in their place.
    pub(crate) warm: Requests,
}

impl<'a> View<'a> {
    pub(crate) fn new(analysis: &'a Analysis) -> Self {
        let marks = engine_marks(
            analysis
                .engines
                .iter()
                .map(|engine| (engine.name.as_str(), engine.baseline)),
        );
        let warm = analysis
            .headline
            .first()
            .map_or(Requests::Reused, |row| row.warm_requests);
        Self {
            analysis,
            marks,
            warm,
        }
    }

    pub(crate) fn name(&self, engine_id: u32) -> &str {
        self.mark(engine_id).map_or("—", |mark| mark.name.as_str())
    }

    /// The name as it fits a title: long ones are cut in the middle; the appendix has them in full.
    pub(crate) fn short_name(&self, engine_id: u32) -> String {
        let characters: Vec<char> = self.name(engine_id).chars().collect();
        if characters.len() <= LONGEST_NAME {
            return characters.into_iter().collect();
        }
        let head: String = characters[..LONGEST_NAME / 2].iter().collect();
        let tail: String = characters[characters.len() - LONGEST_NAME / 2 + 1..]
            .iter()
            .collect();
        format!("{head}…{tail}")
    }

    pub(crate) fn mark(&self, engine_id: u32) -> Option<&EngineMark> {
        self.marks.get(engine_id as usize)
    }

    /// Experiments with rows.
    pub(crate) fn measured(&self) -> impl Iterator<Item = &'a ExperimentAnalysis> {
        self.analysis.experiments.iter().filter(|experiment| {
            experiment
                .engines
                .iter()
                .any(|engine| !engine.points.is_empty())
        })
    }

    /// The experiment that the answer is about, else the last with rows.
    pub(crate) fn central(&self) -> Option<&'a ExperimentAnalysis> {
        let chosen = self
            .analysis
            .answer
            .experiment
            .and_then(|index| self.analysis.experiments.get(index as usize));
        chosen.or_else(|| self.measured().last())
    }

    /// Engines of an experiment with rows, and their marks.
    pub(crate) fn engines(
        &self,
        experiment: &'a ExperimentAnalysis,
    ) -> impl Iterator<Item = (&'a EngineResult, &EngineMark)> {
        experiment
            .engines
            .iter()
            .filter(|engine| !engine.points.is_empty())
            .filter_map(|engine| self.mark(engine.engine_id).map(|mark| (engine, mark)))
    }

    /// What happened to the run's processes although nobody ordered it.
    pub(crate) fn incidents(&self) -> Vec<Moment> {
        let happened = self.analysis.events.iter().map(|event| Moment {
            label: format!("{} {}", event.target, phrase::done(event.action)),
            at_s: event.at_ns as f64 / 1e9,
        });
        let ends = self
            .analysis
            .lives
            .iter()
            .filter(|life| life.expected == Some(false));
        let ends_at = ends.filter_map(|life| {
            let how = life
                .ending
                .as_ref()
                .map(|how| format!(": {how}"))
                .unwrap_or_default();
            Some(Moment {
                label: format!("{} ended{how}", life.name),
                at_s: life.ended_ns? as f64 / 1e9,
            })
        });
        happened.chain(ends_at).collect()
    }

    /// The first reason why an experiment is INVALID.
    pub(crate) fn invalid(&self, experiment: &ExperimentAnalysis) -> Option<String> {
        (experiment.state == State::Invalid).then(|| {
            experiment
                .invalid
                .first()
                .map_or_else(|| "see warnings".to_owned(), ToString::to_string)
        })
    }

    /// Whether a request is drawn as cold.
    pub(crate) fn cold(kind: RequestKind) -> bool {
        kind == RequestKind::Cold
    }
}
