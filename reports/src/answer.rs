//! The scenario's question answered in one sentence.

use schemas::{
    plan::{EnginePlan, Tier},
    scenario::{Metric, Phase, Requests},
};

use crate::{
    analysis::{Answer, ExperimentAnalysis, HeadlineRow, State, Unit},
    facts::Facts,
    metrics,
    number::{count, counted, significant},
    phrase::{self, quantity},
    series,
    stats::Estimate,
    values::Comparison,
};

/// The answer: the first expectation's engine that is not the baseline (else the first such engine) at the longest context that is VALID.
pub(crate) fn answer(
    facts: &Facts<'_>,
    experiments: &[ExperimentAnalysis],
    headline: &[HeadlineRow],
) -> Answer {
    let candidates = || {
        headline.iter().filter(|row| {
            row.state == State::Valid && (row.warm_s.is_some() || row.cold_s.is_some())
        })
    };
    let wanted = wanted_engine(facts);
    let chosen = longest(candidates().filter(|row| Some(row.engine_id) == wanted))
        .or_else(|| longest(candidates()));
    match chosen {
        Some(row) if row.phase.is_some() => of_event(facts, headline, row),
        Some(row) => of_row(facts, experiments, row),
        None => Answer {
            sentence: none(facts, experiments),
            experiment: None,
            engine_id: None,
            baseline_id: None,
            ratio: None,
        },
    }
}

fn wanted_engine(facts: &Facts<'_>) -> Option<u32> {
    let baseline = facts.baseline_id();
    facts
        .data
        .plan
        .expectations
        .iter()
        .flat_map(|expect| expect.engine.values())
        .filter_map(|name| facts.engine_id(name))
        .chain(facts.engine_ids())
        .find(|id| Some(*id) != baseline)
}

/// The longest context, a compared one before one that stands alone; the first of equals.
fn longest<'a>(rows: impl Iterator<Item = &'a HeadlineRow>) -> Option<&'a HeadlineRow> {
    rows.reduce(|best, row| {
        let key = |row: &HeadlineRow| (row.ratio.is_some(), row.context_tokens);
        if key(row) > key(best) { row } else { best }
    })
}

/// Why there is no answer.
fn none(facts: &Facts<'_>, experiments: &[ExperimentAnalysis]) -> String {
    if let Some(invalid) = experiments
        .iter()
        .find(|experiment| experiment.state == State::Invalid)
    {
        let reason = invalid
            .invalid
            .first()
            .map_or_else(String::new, |reason| format!(", because {reason}"));
        return format!("No answer: {} is INVALID{reason}.", invalid.label);
    }
    let rows = &facts.frame().requests;
    let reason = if !rows.is_empty() {
        "no request ended ok".to_owned()
    } else if let Some(partial) = facts.data.partial() {
        partial.trim_end_matches('.').to_owned()
    } else if let Some(skipped) = facts.data.plan.skipped.first() {
        format!("{} cannot run here: {}", skipped.what, skipped.reason)
    } else {
        "there are no rows".to_owned()
    };
    format!("No answer: nothing was measured; {reason}.")
}

/// Two times that are compared, with what the sentence says of the second.
struct Compared {
    own: Estimate,
    other: Estimate,
    ratio: Estimate,
    paired: bool,
    than: Than,
}

enum Than {
    /// Another engine that recomputes.
    Recomputing,
    /// Another engine without a cache; both read for the first time, so that nothing can pay.
    FirstReading,
    /// Another engine, which keeps KV too.
    Engine(String),
    /// Its own cold requests.
    OwnCold,
}

impl Than {
    /// The engine that a run compares with.
    fn baseline(engine: &EnginePlan, requests: Requests) -> Self {
        match (engine.baseline, requests) {
            (true, Requests::Cold) => Self::FirstReading,
            (true, _) => Self::Recomputing,
            (false, _) => Self::Engine(engine.name.clone()),
        }
    }
}

/// What an event did: what was so before it, and what of the requests after it.
fn of_event(facts: &Facts<'_>, headline: &[HeadlineRow], row: &HeadlineRow) -> Answer {
    let (experiment, engine) = (row.experiment, row.engine_id);
    let of = |phase: Phase| {
        headline.iter().find(|other| {
            (other.experiment, other.engine_id, other.phase) == (experiment, engine, Some(phase))
        })
    };
    let mut events = facts.data.events.iter();
    let event = events.find(|event| (event.experiment, event.engine) == (experiment, engine));
    let event = event.map_or_else(
        || "the event".to_owned(),
        |event| format!("{} was {}", event.target, phrase::done(event.action)),
    );
    let found = |row: &HeadlineRow| {
        let time = phrase::estimate(&row.warm_s?, Unit::Seconds);
        let cached = row.cached_tokens.zip(row.prompt_tokens);
        let cached = cached.map_or_else(String::new, |(cached, of)| {
            format!(", {} of {} tokens cached", count(cached), count(of))
        });
        Some(format!("the first token came after {time}{cached}"))
    };
    let mut sentence = match of(Phase::BeforeEvent).and_then(found) {
        Some(before) => format!("Until {event}: {before}. "),
        None => String::new(),
    };
    let later = facts.of_phase(Phase::AfterEvent);
    let ended = series::completed(&later, experiment, engine, Requests::All);
    sentence.push_str(&match ended {
        Some(ended) => format!(
            "After that {} of {} finished",
            (ended.value * f64::from(ended.n)).round(),
            counted(u64::from(ended.n), "request", "requests")
        ),
        None => "No request was due after that".to_owned(),
    });
    if let Some(after) = of(Phase::AfterEvent).and_then(found) {
        sentence.push_str(&format!("; {after}"));
    }
    let times = later
        .requests(experiment, engine)
        .filter_map(|(_, request)| {
            metrics::measured(request)
                .then(|| metrics::ttft_s(request))
                .flatten()
        });
    if let Some(longest) = times.reduce(f64::max) {
        let longest = quantity(longest, Unit::Seconds);
        sentence.push_str(&format!("; the latest came after {longest}"));
    }
    Answer {
        sentence: format!("{sentence}."),
        experiment: Some(experiment),
        engine_id: Some(engine),
        baseline_id: None,
        ratio: None,
    }
}

fn of_row(facts: &Facts<'_>, experiments: &[ExperimentAnalysis], row: &HeadlineRow) -> Answer {
    let experiment = experiments
        .iter()
        .find(|experiment| experiment.experiment == row.experiment);
    let compared = experiment.and_then(|experiment| {
        with_baseline(facts, experiment, row).or_else(|| with_own_cold(facts, experiment, row))
    });
    let done = subject(facts, row, row.warm_requests);
    let mut sentence = match &compared {
        Some(compared) => compared.sentence(&done),
        None => {
            let found = row.warm_s.or(row.cold_s);
            let time = found.map_or_else(
                || "—".to_owned(),
                |found| crate::phrase::estimate(&found, Unit::Seconds),
            );
            let trials = found.map_or(0, |found| u64::from(found.n));
            format!(
                "{done} gave the first token after {time} ({}); there is nothing to compare it with.",
                counted(trials, "trial", "trials")
            )
        }
    };
    if let Some(batched) = experiment.and_then(|experiment| as_one_step(facts, experiment, row)) {
        sentence = format!(
            "{sentence} {}",
            batched.sentence(&subject(facts, row, Requests::Batched))
        );
    }
    Answer {
        sentence,
        experiment: Some(row.experiment),
        engine_id: Some(row.engine_id),
        baseline_id: row.baseline_id.filter(|_| row.baseline_warm_s.is_some()),
        ratio: row.ratio,
    }
}

fn with_baseline(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    row: &HeadlineRow,
) -> Option<Compared> {
    let baseline = facts.engine(row.baseline_id?)?;
    let paired = experiment
        .ratios
        .iter()
        .find(|ratio| ratio.engine_id == row.engine_id && ratio.metric == Metric::Ttft)?
        .paired;
    Some(Compared {
        own: row.warm_s?,
        other: row.baseline_warm_s?,
        ratio: row.ratio?,
        paired,
        than: Than::baseline(baseline, row.warm_requests),
    })
}

fn with_own_cold(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    row: &HeadlineRow,
) -> Option<Compared> {
    if facts.baseline_id().is_some() || row.warm_requests == Requests::Cold {
        return None;
    }
    let engine = experiment
        .engines
        .iter()
        .find(|engine| engine.engine_id == row.engine_id)?;
    let warm = engine.estimate(Metric::Ttft, row.warm_requests)?;
    let cold = engine.estimate(Metric::Ttft, Requests::Cold)?;
    let comparison = Comparison {
        paired: true,
        pilot: None,
    };
    Some(Compared {
        own: warm.estimate,
        other: cold.estimate,
        ratio: comparison.ratio(&warm.per_trial, &cold.per_trial)?,
        paired: true,
        than: Than::OwnCold,
    })
}

/// Where reused requests were also sent with others as one step: how that compares with the baseline.
fn as_one_step(
    facts: &Facts<'_>,
    experiment: &ExperimentAnalysis,
    row: &HeadlineRow,
) -> Option<Compared> {
    if row.warm_requests == Requests::Batched {
        return None;
    }
    let baseline = facts.engine(row.baseline_id?)?;
    let found = |engine_id| {
        let mut engines = experiment.engines.iter();
        engines
            .find(|engine| engine.engine_id == engine_id)?
            .estimate(Metric::Ttft, Requests::Batched)
    };
    let (own, other) = (found(row.engine_id)?, found(row.baseline_id?)?);
    let comparison = Comparison::of(
        facts,
        row.experiment,
        row.engine_id,
        row.baseline_id?,
        Metric::Ttft,
    );
    Some(Compared {
        own: own.estimate,
        other: other.estimate,
        ratio: comparison.ratio(&own.per_trial, &other.per_trial)?,
        paired: comparison.paired,
        than: Than::baseline(baseline, Requests::Batched),
    })
}

/// What was done, as the sentence's beginning.
fn subject(facts: &Facts<'_>, row: &HeadlineRow, requests: Requests) -> String {
    let tokens = count(u64::from(row.context_tokens));
    let a = article(&tokens);
    let engine = facts.engine(row.engine_id);
    let place = engine.map_or_else(String::new, |engine| place(&engine.tiers));
    let from = if place.is_empty() {
        format!("with {}", facts.engine_name(row.engine_id))
    } else {
        format!("from {place}")
    };
    let keeping = if place.is_empty() {
        from.clone()
    } else {
        format!("with {place} behind the engine")
    };
    match requests {
        Requests::Reused | Requests::All => format!("Reusing {a} {tokens}-token context {from}"),
        Requests::Grown => {
            format!("Going on in a context that grew to {tokens} tokens, {keeping},")
        }
        Requests::Batched => {
            format!(
                "Sending a reused and a fresh prompt of {tokens} tokens as one step, {keeping},"
            )
        }
        Requests::Cold => {
            format!("Reading {a} {tokens}-token context for the first time, {keeping},")
        }
    }
}

/// Eight, eleven and eighteen begin with a vowel, and so do their thousands.
fn article(number: &str) -> &'static str {
    let leading = number.split(',').next().unwrap_or_default();
    if leading.starts_with('8') || matches!(leading, "11" | "18") {
        "an"
    } else {
        "a"
    }
}

/// The tiers in words, near to far.
fn place(tiers: &[Tier]) -> String {
    let names: Vec<&str> = tiers.iter().map(|tier| tier_words(&tier.name)).collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [near @ .., far] => format!("{} and {far}", near.join(", ")),
    }
}

fn tier_words(name: &str) -> &str {
    match name {
        "prefix" => "the engine's own memory",
        "local-cpu" => "host memory",
        "local-disk" => "the local disk",
        "remote.lm" => "an LMCache server",
        "remote.redis" => "Redis",
        "remote.redis-sentinel" => "Redis behind Sentinel",
        "remote.valkey" => "Valkey",
        other => other,
    }
}

impl Compared {
    fn sentence(&self, subject: &str) -> String {
        let ratio = self.ratio.value;
        let times = |value: f64| significant(value, 2);
        let seconds = |found: &Estimate| quantity(found.value, Unit::Seconds);
        let trials = counted(
            u64::from(self.ratio.n),
            if self.paired { "paired trial" } else { "trial" },
            if self.paired {
                "paired trials"
            } else {
                "trials"
            },
        );
        let instead = format!("{} instead of {}", seconds(&self.own), seconds(&self.other));
        let than = match &self.than {
            Than::Recomputing | Than::FirstReading => String::new(),
            Than::Engine(name) => format!(" than {name} did"),
            Than::OwnCold => " than reading it for the first time".to_owned(),
        };
        let interval =
            |low: f64, high: f64| format!("95 % interval {} to {}", times(low), times(high));
        match self.ratio.interval() {
            None => {
                let (factor, word) = if ratio <= 1.0 {
                    (1.0 / ratio, "sooner")
                } else {
                    (ratio, "later")
                };
                format!(
                    "{subject} gave the first token {} times {word}{than} ({instead}; {trials}, too few for an interval).",
                    times(factor)
                )
            }
            Some((low, high)) if high < 1.0 => format!(
                "{subject} gave the first token {} times sooner{than} ({instead}; {}; {trials}).",
                times(1.0 / ratio),
                interval(1.0 / high, 1.0 / low)
            ),
            Some((low, high)) if low > 1.0 => {
                // Another cache may be better; only against reading it all again does one pay or not.
                let verdict = match self.than {
                    Than::Recomputing | Than::OwnCold => " does not pay: it",
                    Than::FirstReading | Than::Engine(_) => "",
                };
                format!(
                    "{subject}{verdict} gave the first token {} times later{than} ({instead}; {}; {trials}).",
                    times(ratio),
                    interval(low, high)
                )
            }
            Some((low, high)) => format!(
                "{subject} made no difference to the first token that these trials can tell ({instead}; ratio {}, {}; {trials}).",
                significant(ratio, 3),
                format_args!(
                    "95 % interval {} to {}",
                    significant(low, 3),
                    significant(high, 3)
                )
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::manifest::Ending;

    use super::*;
    use crate::made_up::{MadeUp, expect};

    fn compared(ratio: f64, interval: Option<(f64, f64)>) -> Compared {
        let estimate = |value, interval: Option<(f64, f64)>| Estimate {
            value,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            n: 3,
        };
        Compared {
            own: estimate(0.076, None),
            other: estimate(0.493, None),
            ratio: estimate(ratio, interval),
            paired: true,
            than: Than::Recomputing,
        }
    }

    #[test]
    fn numbers_that_begin_with_a_vowel_have_an() {
        for an in ["8", "8,192", "80,000", "11,000", "18,432"] {
            assert_eq!(article(an), "an", "{an}");
        }
        for a in ["4,096", "1,100", "110", "16,384", "118,000"] {
            assert_eq!(article(a), "a", "{a}");
        }
    }

    #[test]
    fn a_faster_tier_is_sooner() {
        assert_eq!(
            compared(0.154, Some((0.145, 0.166)))
                .sentence("Reusing a 16,384-token context from host memory"),
            "Reusing a 16,384-token context from host memory gave the first token 6.5 times sooner (0.0760 s instead of 0.493 s; 95 % interval 6.0 to 6.9; 3 paired trials)."
        );
    }

    #[test]
    fn a_tier_that_does_not_pay_is_said_so() {
        let sentence = compared(1.9, Some((1.8, 2.0))).sentence("X");
        assert!(sentence.contains("does not pay") && sentence.contains("1.9 times later"));
    }

    #[test]
    fn only_what_saves_recomputing_can_fail_to_pay() {
        let later = || compared(1.9, Some((1.8, 2.0)));
        let cold = Compared {
            than: Than::FirstReading,
            ..later()
        };
        assert!(
            cold.sentence("Reading X")
                .starts_with("Reading X gave the first token 1.9 times later (")
        );
        let other = Compared {
            than: Than::Engine("memory".to_owned()),
            ..later()
        };
        assert!(
            other
                .sentence("X")
                .starts_with("X gave the first token 1.9 times later than memory did (")
        );
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let sentence = compared(0.98, Some((0.95, 1.02))).sentence("X");
        assert!(sentence.contains("no difference") && !sentence.contains("sooner"));
        assert!(
            compared(0.5, None)
                .sentence("X")
                .contains("too few for an interval")
        );
    }

    #[test]
    fn why_nothing_was_measured_is_one_sentence() {
        let mut made_up = MadeUp::new(1);
        made_up.rows.clear();
        made_up.manifest.ending = Some(Ending::Failed {
            reason: "engine `lmcache` ended unasked\n  its last lines (a.log):\n    x".to_owned(),
        });
        assert_eq!(
            made_up.analyse().answer.sentence,
            "No answer: nothing was measured; the run could not go on: engine `lmcache` ended unasked."
        );
    }

    #[test]
    fn without_a_baseline_the_engine_that_expectations_name_stands_in() {
        let mut made_up = MadeUp::new(3).expect(expect(0.5));
        for engine in &mut made_up.plan.engines {
            engine.baseline = false;
        }
        let named = made_up.analyse().answer;
        assert_eq!((named.engine_id, named.baseline_id), (Some(0), Some(1)));
    }

    #[test]
    fn tiers_are_listed_near_to_far() {
        let tier = |name: &str| Tier {
            name: name.to_owned(),
            capacity_bytes: None,
            path: None,
        };
        assert_eq!(place(&[]), "");
        assert_eq!(
            place(&[tier("prefix"), tier("local-cpu"), tier("remote.redis")]),
            "the engine's own memory, host memory and Redis"
        );
    }
}
