//! Two runs of one scenario against each other: what became better, what worse, and what cannot be compared.
//!
//! Two runs share no trials, so their trials are compared as two samples: Welch's t on the logarithm of each trial's statistic. A difference is called only where the
//! 95 % interval of the ratio lies wholly beyond the threshold, after Holm's correction over all metrics that were compared: noise between two runs of one engine on one
//! host (other clocks, another layout of memory) is no difference that anybody wants to hear of.

mod alike;
mod text;
mod trials;
mod wanted;

use std::path::Path;

use schemas::scenario::{Metric, Requests, Statistic};
use serde::Serialize;

use crate::{
    analyse,
    analysis::{Analysis, ExperimentAnalysis, State, Unit},
    exit::Exit,
    facts::Facts,
    folder::{self, FolderError, RunData, RunFolder},
    metrics,
    stats::{Estimate, LogDifference, holm, level_estimate},
};

use self::wanted::Wanted;

/// The chance of calling a difference where there is none, over all metrics of a comparison together.
const WRONG_CALLS: f64 = 0.05;

/// What two runs of a scenario say about each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The run that the other is held against.
    pub base: RunName,
    /// The other.
    pub new: RunName,
    /// A ratio between 1 − this and 1 + this is no difference.
    pub threshold: f64,
    /// Why the runs cannot be compared at all.
    pub not_comparable: Option<String>,
    /// What differs between the runs, apart from the numbers: a reader has to know it before saying what made the difference.
    pub differences: Vec<Difference>,
    /// Metric by metric.
    pub metrics: Vec<Compared>,
}

/// Which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunName {
    /// The scenario file's stem.
    pub scenario: String,
    /// The folder's name.
    pub run_id: String,
    /// Start by the wall clock, RFC 3339, UTC.
    pub started: String,
}

/// Something that is not the same in both runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What: `processor`, `vllm`, `command line of engine lmcache`.
    pub what: String,
    /// In the base run; null where it has none.
    pub base: Option<String>,
    /// In the other.
    pub new: Option<String>,
}

/// One metric of one engine in one experiment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The experiment's name, `context 4096`.
    pub label: String,
    /// The engine's name.
    pub engine: String,
    /// What is measured.
    pub metric: Metric,
    /// Over which requests.
    pub requests: Requests,
    /// Which statistic of a trial's requests.
    pub statistic: Statistic,
    /// The unit of `base` and `new`.
    pub unit: Unit,
    /// The mean over trials in the base run.
    pub base: Option<Estimate>,
    /// The mean over trials in the other.
    pub new: Option<Estimate>,
    /// new / base: exp of the difference of the mean logarithms, with its 95 % interval for itself alone.
    pub ratio: Option<Estimate>,
    /// How likely a ratio so far beyond the threshold is without a difference; after Holm's correction.
    pub p: Option<f64>,
    /// What it comes to.
    pub finding: Finding,
    /// Why it cannot be compared, or why it is not called a difference although it looks like one.
    pub reason: Option<String>,
    /// It cannot be compared because the experiment is INVALID in one of the runs.
    pub invalid: bool,
}

/// What the comparison of a metric comes to. The order is the order of attention: the last is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// Better, by more than the threshold.
    Better,
    /// The interval reaches into the threshold's band, or lies in it.
    NoDifferenceSeen,
    /// One of the runs has no number that may be believed.
    NotComparable,
    /// Worse, by more than the threshold.
    Worse,
}

/// Reads two run folders and compares them; nothing is written into them.
///
/// # Errors
/// A folder cannot be read.
pub fn compare_folders(base: &Path, new: &Path, threshold: f64) -> Result<Comparison, FolderError> {
    let (base, _) = RunFolder::open(base)?.read()?;
    let (new, _) = RunFolder::open(new)?.read()?;
    Ok(compare(&base, &new, threshold))
}

/// Compares two runs. Pure: the same facts give the same comparison.
pub fn compare(base: &RunData, new: &RunData, threshold: f64) -> Comparison {
    let (base, new) = (Side::new(base), Side::new(new));
    let not_comparable = alike::why_not(base.facts.data, new.facts.data);
    let mut metrics: Vec<Compared> = if not_comparable.is_some() {
        Vec::new()
    } else {
        wanted::metrics(&new.facts, &new.analysis.experiments)
            .iter()
            .map(|wanted| one(&base, &new, wanted, threshold))
            .collect()
    };
    judge(&mut metrics, threshold);
    Comparison {
        differences: alike::differences(base.facts.data, new.facts.data),
        base: base.name(),
        new: new.name(),
        threshold,
        not_comparable,
        metrics,
    }
}

impl Comparison {
    /// What the comparison says to the shell: as a run does, with worse in place of not met. With `strict` whatever could not be compared is a failure.
    pub fn exit(&self, strict: bool) -> Exit {
        let nothing = self
            .metrics
            .iter()
            .all(|metric| metric.finding == Finding::NotComparable);
        let of_all = if nothing {
            Exit::NothingRan
        } else {
            Exit::AllMet
        };
        self.metrics
            .iter()
            .map(|metric| match metric.finding {
                Finding::Worse => Exit::NotMet,
                Finding::NotComparable if metric.invalid => Exit::Invalid,
                Finding::NotComparable if strict => Exit::Undecided,
                Finding::NotComparable | Finding::NoDifferenceSeen | Finding::Better => {
                    Exit::AllMet
                }
            })
            .fold(of_all, Exit::worse)
    }

    /// The comparison for a terminal, in lines ended by newlines.
    pub fn terminal(&self, color: bool) -> String {
        text::terminal(self, color)
    }

    /// Writes the comparison as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), FolderError> {
        let text = serde_json::to_string_pretty(self).map_err(|source| FolderError::Json {
            path: path.to_owned(),
            source,
        })?;
        folder::write_text(path, &format!("{text}\n"))
    }
}

/// One run of the two.
struct Side<'a> {
    facts: Facts<'a>,
    analysis: Analysis,
}

impl<'a> Side<'a> {
    fn new(data: &'a RunData) -> Self {
        Self {
            facts: Facts::new(data),
            analysis: analyse(data),
        }
    }

    fn experiment(&self, number: u32) -> Option<&ExperimentAnalysis> {
        let mut experiments = self.analysis.experiments.iter();
        experiments.find(|found| found.experiment == number)
    }

    fn name(&self) -> RunName {
        let run = &self.analysis.run;
        RunName {
            scenario: run.scenario.clone(),
            run_id: run.run_id.clone(),
            started: run.started.clone(),
        }
    }

    /// The trials' values of what is wanted in an experiment, or why there are none to believe.
    fn trials(
        &self,
        experiment: &ExperimentAnalysis,
        wanted: &Wanted,
    ) -> Result<Vec<f64>, Unknown> {
        let label = &experiment.label;
        match experiment.state {
            State::Valid => {}
            State::Invalid => {
                let reason = experiment.invalid.first();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                return Err(Unknown {
                    reason: format!("{label} is INVALID{reason}"),
                    invalid: true,
                });
            }
            State::NotRun => {
                let reason = experiment.not_run.as_deref().unwrap_or("it has no rows");
                return Err(format!("{label} was not run: {reason}").into());
            }
        }
        let name = &wanted.engine;
        let engine = self
            .facts
            .engine_id(name)
            .ok_or_else(|| format!("the run has no engine {name}"))?;
        if let Some(reason) = self.facts.skipped(experiment.experiment, engine) {
            return Err(format!("{name} cannot run it here: {reason}").into());
        }
        let trials = trials::of(&self.facts, experiment.experiment, engine, wanted)?;
        Ok(trials.into_iter().map(|(_, value)| value).collect())
    }
}

/// Why a run has no value of a metric.
struct Unknown {
    reason: String,
    invalid: bool,
}

impl From<String> for Unknown {
    fn from(reason: String) -> Self {
        Self {
            reason,
            invalid: false,
        }
    }
}

fn one(base: &Side<'_>, new: &Side<'_>, wanted: &Wanted, threshold: f64) -> Compared {
    let mut compared = Compared {
        label: wanted.label.clone(),
        engine: wanted.engine.clone(),
        metric: wanted.expect.metric,
        requests: wanted.requests,
        statistic: wanted.expect.statistic,
        unit: metrics::unit(wanted.expect.metric),
        base: None,
        new: None,
        ratio: None,
        p: None,
        finding: Finding::NotComparable,
        reason: None,
        invalid: false,
    };
    let Some(after) = new.experiment(wanted.experiment) else {
        compared.reason = Some(format!("B has no {}", wanted.label));
        return compared;
    };
    let before = match alike::counterpart(
        &base.facts,
        &base.analysis,
        &new.facts,
        after,
        &wanted.engine,
    ) {
        Ok(before) => before,
        Err(reason) => {
            compared.reason = Some(reason);
            return compared;
        }
    };
    let (below, above) = (base.trials(before, wanted), new.trials(after, wanted));
    compared.base = below
        .as_ref()
        .ok()
        .and_then(|values| level_estimate(values));
    compared.new = above
        .as_ref()
        .ok()
        .and_then(|values| level_estimate(values));
    match (below, above) {
        (Ok(below), Ok(above)) => hold(&mut compared, &below, &above, threshold),
        (below, above) => {
            let unknown = [("A", below.err()), ("B", above.err())];
            let unknown = || {
                unknown
                    .iter()
                    .filter_map(|(run, why)| Some((*run, why.as_ref()?)))
            };
            let reasons: Vec<String> = unknown()
                .map(|(run, why)| format!("{run}: {}", why.reason))
                .collect();
            compared.invalid = unknown().any(|(_, why)| why.invalid);
            compared.reason = Some(reasons.join("; "));
        }
    }
    compared
}

/// Holds the trials of the newer run against those of the base.
fn hold(compared: &mut Compared, below: &[f64], above: &[f64], threshold: f64) {
    let nothing = |values: &[f64]| values.iter().all(|value| *value == 0.0);
    if more_is_better(compared.metric) && nothing(below) != nothing(above) {
        // No ratio, and no doubt.
        (compared.finding, compared.reason) = if nothing(above) {
            (Finding::Worse, Some("it is 0 in B".to_owned()))
        } else {
            (Finding::Better, Some("it is 0 in A".to_owned()))
        };
        return;
    }
    let Some(difference) = LogDifference::new(above, below) else {
        compared.reason = Some("a value of 0 gives no ratio".to_owned());
        return;
    };
    compared.ratio = Some(difference.ratio());
    compared.p = difference.p_beyond(1.0 - threshold, 1.0 + threshold);
    if compared.p.is_none() {
        let fewest = below.len().min(above.len()) as u64;
        compared.reason = Some(format!(
            "{} give no interval: at least 3 are needed in either run",
            crate::number::counted(fewest, "trial", "trials")
        ));
    }
}

/// Corrects the p values of all metrics together and calls what is left.
fn judge(metrics: &mut [Compared], threshold: f64) {
    let alone: Vec<f64> = metrics.iter().filter_map(|metric| metric.p).collect();
    let comparisons = alone.len();
    let corrected = holm(&alone);
    let judged = metrics.iter_mut().filter(|metric| metric.p.is_some());
    for (metric, (alone, corrected)) in judged.zip(alone.into_iter().zip(corrected)) {
        metric.p = Some(corrected);
        let Some(ratio) = metric.ratio else { continue };
        metric.finding = if corrected >= WRONG_CALLS {
            Finding::NoDifferenceSeen
        } else if (ratio.value > 1.0) == more_is_better(metric.metric) {
            Finding::Better
        } else {
            Finding::Worse
        };
        if corrected >= WRONG_CALLS && alone < WRONG_CALLS {
            metric.reason = Some(format!(
                "beyond ±{} alone, but not as one of {comparisons} that are judged together",
                crate::phrase::percent(threshold)
            ));
        }
    }
}

/// Whether a larger value is the better one.
fn more_is_better(metric: Metric) -> bool {
    match metric {
        Metric::Throughput
        | Metric::Goodput
        | Metric::Completed
        | Metric::CachedFraction
        | Metric::OutputsEqual => true,
        Metric::Ttft
        | Metric::Itl
        | Metric::Tpot
        | Metric::Latency
        | Metric::GpuMemory
        | Metric::Rss => false,
    }
}

#[cfg(test)]
mod tests;
