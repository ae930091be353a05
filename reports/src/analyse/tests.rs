//! Tests of whole analyses against numbers worked out by hand.

use proptest::prelude::*;
use schemas::{
    manifest::Ending,
    plan::{EventAction, Happened, Skipped},
    row::{Outcome, RequestKind, Row},
    sample::Edge,
    scenario::{Goodput, Metric, Phase, Requests},
};

use crate::{
    analysis::{State, Unit},
    breakeven::Pays,
    made_up::{EXPECTED, MS, MadeUp, S, expect},
    verdict::Verdict,
};

/// Two numbers are equal but for what nanoseconds and logarithms round away.
#[track_caller]
fn assert_close(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0),
        "{found} is not {wanted}"
    );
}

/// Ratios 0.25·e^−0.1, 0.25 and 0.25·e^0.1: their logarithms' mean is ln 0.25 and their standard deviation 0.1,
/// so the 95 % interval is 0.25·exp(±t·0.1/√3) with t = 4.302653 (2 degrees of freedom).
fn three_trials() -> MadeUp {
    let reused = |exponent: f64| (100e6 * exponent.exp()).round() as u64;
    MadeUp::with_reused(&[
        (reused(-0.1), 400 * MS),
        (reused(0.0), 400 * MS),
        (reused(0.1), 400 * MS),
    ])
}

/// vLLM shows `kv_offload_load_bytes_total` from its first load on, and a first trial's 19 GB were left out.
#[test]
fn a_counter_that_was_not_there_before_its_first_use_stood_at_0() {
    let grown = |name: &str| {
        let mut made_up = MadeUp::new(1)
            .counted("other_total", 5.0)
            .counted(name, 7.0);
        made_up
            .counters
            .retain(|counter| counter.name != name || counter.edge == Edge::After);
        let counters = made_up.analyse().experiments[0].engines[0].counters.clone();
        let found = counters.into_iter().find(|counter| counter.name == name);
        found.map(|counter| (counter.before, counter.delta))
    };
    assert_eq!(grown("late_total"), Some((0.0, 1007.0)));
    assert_eq!(grown("late_usage_bytes"), None);
}

#[test]
fn a_run_gives_exactly_the_numbers_worked_out_by_hand() {
    let analysis = three_trials()
        .expect(expect(0.5))
        .expect(expect(0.25))
        .expect(expect(0.1))
        .analyse();
    let experiment = &analysis.experiments[0];
    assert_eq!((experiment.state, experiment.trials), (State::Valid, 3));

    let own = &experiment.engines[0];
    let ttft = own.estimate(Metric::Ttft, Requests::Reused).unwrap();
    assert_eq!((ttft.estimate.n, ttft.unit), (3, Unit::Seconds));
    assert_close(ttft.estimate.value, 0.1 * (1.0 + 2.0 * 0.1f64.cosh()) / 3.0);
    let cold = own.estimate(Metric::Ttft, Requests::Cold).unwrap();
    assert_close(cold.estimate.value, 1.0);
    let itl = own.distribution(Metric::Itl, Requests::All).unwrap();
    assert_eq!(itl.summary.n, 3 * 3 * 10);
    assert_close(itl.summary.median, 0.01);
    for (metric, wanted) in [(Metric::Tpot, 0.01), (Metric::Throughput, 110.0)] {
        assert_close(
            own.estimate(metric, Requests::Reused)
                .unwrap()
                .estimate
                .value,
            wanted,
        );
    }
    let latency = experiment.engines[1].estimate(Metric::Latency, Requests::Reused);
    assert_close(latency.unwrap().estimate.value, 0.5);
    assert_close(
        own.cached_fraction.unwrap().value,
        f64::from(EXPECTED) / 4096.0,
    );
    assert_eq!(own.completed, Some(1.0));

    let ratio = analysis.answer.ratio.unwrap();
    let half = 4.302_652_7 * 0.1 / 3f64.sqrt();
    assert_close(ratio.value, 0.25);
    assert_close(ratio.low.unwrap(), 0.25 * (-half).exp());
    assert_close(ratio.high.unwrap(), 0.25 * half.exp());

    let verdicts: Vec<Verdict> = analysis
        .expectations
        .iter()
        .map(|expectation| expectation.verdict)
        .collect();
    assert_eq!(
        verdicts,
        [Verdict::Met, Verdict::Undecided, Verdict::NotMet]
    );
    assert_eq!(
        analysis.expectations[0].text,
        "ttft of lmcache at most 0.5 × baseline"
    );
    assert_eq!(
        analysis.answer.sentence,
        "Reusing a 4,096-token context from host memory gave the first token 4.0 times sooner (0.100 s instead of 0.400 s; 95 % interval 3.1 to 5.1; 3 paired trials)."
    );
}

#[test]
fn the_answer_tells_what_became_of_requests_in_one_step_with_others() {
    let last_as_one_step = |row: &mut Row| {
        if row.request_id == 2 {
            row.kind = RequestKind::Batched;
        }
    };
    let made_up = MadeUp::new(3)
        .each(0, last_as_one_step)
        .each(1, last_as_one_step);
    let sentence = made_up.analyse().answer.sentence;
    let (reused, batched) = sentence.split_once(". Sending ").expect("both are told");
    assert!(
        reused.starts_with("Reusing a 4,096-token context"),
        "{reused}"
    );
    assert!(
        batched.starts_with(
            "a reused and a fresh prompt of 4,096 tokens as one step, with host memory behind the engine, gave the first token 4.0 times sooner ("
        ),
        "{batched}"
    );
}

#[test]
fn the_headline_leaves_out_the_baselines_own_rows() {
    let analysis = three_trials().analyse();
    assert_eq!(analysis.headline.len(), 1);
    let row = &analysis.headline[0];
    assert_eq!((row.engine_id, row.baseline_id), (0, Some(1)));
    assert_eq!(row.cached_tokens, Some(u64::from(EXPECTED)));
    assert_close(row.baseline_warm_s.unwrap().value, 0.4);
    assert_eq!(row.note, None);
    assert_eq!(analysis.paying[0].pays, Pays::Everywhere);
    assert_eq!(
        analysis.experiments[0].break_even[0].kv_bytes,
        Some(u64::from(EXPECTED) * 1000)
    );
    assert!(analysis.experiments[0].break_even[0].floor_note.is_some());
}

#[test]
fn what_comes_before_an_event_and_after_it_are_two_answers() {
    let mut made_up = MadeUp::new(3).each(0, |row| {
        let after = row.request_id == 2;
        row.phase = Some(if after {
            Phase::AfterEvent
        } else {
            Phase::BeforeEvent
        });
        if after {
            row.first_content_ns = row.sent_ns.map(|sent_ns| sent_ns + 900 * MS);
            row.cached_tokens = Some(0);
        }
    });
    made_up.events = (0..3)
        .map(|trial| Happened {
            at_ns: u64::from(trial) * 60 * S + 15 * S,
            done_ns: u64::from(trial) * 60 * S + 16 * S,
            experiment: 0,
            trial,
            engine: 0,
            action: EventAction::Kill,
            target: "lmcache".to_owned(),
        })
        .collect();
    let analysis = made_up.analyse();
    let found: Vec<_> = analysis
        .headline
        .iter()
        .map(|row| (row.phase, row.cached_tokens))
        .collect();
    let before = (Some(Phase::BeforeEvent), Some(u64::from(EXPECTED)));
    assert_eq!(found, [before, (Some(Phase::AfterEvent), Some(0))]);
    assert_close(analysis.headline[0].warm_s.unwrap().value, 0.1);
    assert_close(analysis.headline[0].ratio.unwrap().value, 0.25);
    // The baseline knew no event: all of its requests are what the others are held against.
    assert_close(analysis.headline[1].ratio.unwrap().value, 2.25);
    assert!(analysis.headline[1].label.ends_with(" after the event"));
    // The context stood before the event: the request after it could have found it, and did not.
    assert_eq!(analysis.headline[1].cached_fraction.unwrap().value, 0.0);
    // What loading costs is told of the time before only, and from where it pays not at all.
    let loading = &analysis.experiments[0].break_even[0];
    assert_eq!(loading.phase, Some(Phase::BeforeEvent));
    assert_close(loading.reused_s.unwrap().value, 0.1);
    assert_eq!(loading.kv_bytes, Some(u64::from(EXPECTED) * 1000));
    assert_eq!(analysis.paying, []);
    let sentence = &analysis.answer.sentence;
    let expected = "Until lmcache was killed: the first token came after 0.100 s";
    assert!(sentence.starts_with(expected), "{sentence}");
    assert!(
        sentence.contains("After that 3 of 3 requests finished"),
        "{sentence}"
    );
    assert!(
        sentence.ends_with("the latest came after 0.900 s."),
        "{sentence}"
    );
}

#[test]
fn of_two_engines_without_a_backend_one_is_the_baseline() {
    let baselines = |expected: bool| {
        let mut made_up = three_trials();
        made_up.plan.engines[0].baseline = true;
        if expected {
            made_up = made_up.expect(expect(3.0));
        }
        let analysis = made_up.analyse();
        let flags: Vec<bool> = analysis
            .engines
            .iter()
            .map(|engine| engine.baseline)
            .collect();
        (flags, analysis.answer.baseline_id)
    };
    assert_eq!(baselines(false), (vec![true, false], Some(0)));
    assert_eq!(baselines(true), (vec![false, true], Some(1)));
}

#[test]
fn a_tier_that_does_not_pay_is_said_plainly() {
    let analysis = MadeUp::with_reused(&[(400 * MS, 200 * MS); 3]).analyse();
    assert!(
        analysis
            .answer
            .sentence
            .contains("does not pay: it gave the first token 2.0 times later"),
        "{}",
        analysis.answer.sentence
    );
    assert_eq!(analysis.paying[0].pays, Pays::Nowhere);
}

#[test]
fn trials_that_are_not_interleaved_are_compared_unpaired() {
    // All trials of one engine, then all of the other.
    let made_up = three_trials().each(1, |row| {
        for stamp in [
            &mut row.sent_ns,
            &mut row.first_content_ns,
            &mut row.last_content_ns,
            &mut row.done_ns,
        ] {
            *stamp = stamp.map(|stamp| stamp + 1000 * S);
        }
        row.intended_ns += 1000 * S;
    });
    let analysis = made_up.analyse();
    let ratio = &analysis.experiments[0].ratios[0];
    assert!(!ratio.paired);
    assert!(
        analysis.experiments[0]
            .flags
            .contains(&crate::validity::Flag::Unpaired)
    );
    assert!(!analysis.answer.sentence.contains("paired"));
}

#[test]
fn a_half_width_that_was_not_reached_is_said() {
    let said = |mut made_up: MadeUp| {
        made_up.plan.trials.until = Some((Metric::Ttft, 0.05));
        let analysis = made_up.analyse();
        analysis.experiments[0].flags.iter().any(|flag| {
            matches!(flag, crate::validity::Flag::HalfWidthNotReached { asked, trials: 3, .. } if *asked == 0.05)
        })
    };
    assert!(said(three_trials()));
    assert!(!said(MadeUp::new(3)));
}

#[test]
fn trials_beyond_the_pilot_use_the_pilots_spread() {
    // The pilot's three logarithms spread by 0.1; the fourth trial moves the mean only.
    let reused = |exponent: f64| (100e6 * exponent.exp()).round() as u64;
    let mut made_up = MadeUp::with_reused(&[
        (reused(-0.1), 400 * MS),
        (reused(0.0), 400 * MS),
        (reused(0.1), 400 * MS),
        (reused(0.4), 400 * MS),
    ]);
    made_up.plan.trials.at_least = 3;
    made_up.plan.trials.until = Some((Metric::Ttft, 0.5));
    let ratio = made_up.analyse().answer.ratio.unwrap();
    assert_close(ratio.value, 0.25 * 0.1f64.exp());
    let half = 4.302_652_7 * 0.1 / 4f64.sqrt();
    assert_close(ratio.high.unwrap(), 0.25 * (0.1 + half).exp());
}

#[test]
fn few_trials_give_no_interval_and_no_verdict() {
    let analysis = MadeUp::new(2).expect(expect(0.5)).analyse();
    assert_eq!(analysis.answer.ratio.unwrap().interval(), None);
    assert_eq!(analysis.expectations[0].verdict, Verdict::Undecided);
    assert!(
        analysis.expectations[0].cases[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("2 trials")
    );
}

#[test]
fn outputs_are_compared_request_by_request() {
    let mut made_up = MadeUp::new(1);
    for row in &mut made_up.rows {
        if row.engine_id == 0 && row.request_id == 2 {
            row.text = Some("words of another".to_owned());
        }
    }
    let analysis = made_up.analyse();
    let agreement = &analysis.experiments[0].agreement;
    assert_eq!(agreement.len(), 2);
    assert_eq!(agreement[0].share(), Some(1.0));
    assert_eq!((agreement[1].pairs, agreement[1].equal), (2, 1));
    assert_eq!(agreement[1].first_word_differs, Some(0));
}

#[test]
fn an_interrupted_run_says_what_it_lacks() {
    let mut made_up = MadeUp::new(3).expect(expect(0.5));
    made_up.manifest.ending = Some(Ending::Interrupted);
    made_up.rows.retain(|row| row.engine_id == 0);
    let analysis = made_up.analyse();
    assert!(analysis.run.partial.is_some());
    assert_eq!(analysis.run.planned_requests, 18);
    assert_eq!(analysis.run.outcomes.rows, 9);
    assert_eq!(analysis.expectations[0].verdict, Verdict::NotMeasured);
    assert_eq!(analysis.answer.ratio, None);
    assert!(analysis.answer.sentence.contains("nothing to compare"));
}

#[test]
fn a_run_without_rows_has_no_answer() {
    let mut made_up = MadeUp::new(3).expect(expect(0.5));
    made_up.rows.clear();
    made_up.manifest.ending = Some(Ending::Failed {
        reason: "engine `lmcache` ended before it was ready\nno such file".to_owned(),
    });
    let analysis = made_up.analyse();
    assert_eq!(analysis.validity.state, State::NotRun);
    assert!(
        analysis
            .answer
            .sentence
            .starts_with("No answer: nothing was measured")
    );
    assert_eq!(analysis.warnings[0].lines, ["no such file"]);
    assert_eq!(analysis.expectations[0].verdict, Verdict::NotMeasured);
}

#[test]
fn one_engine_alone_is_compared_with_its_own_cold_requests() {
    let mut made_up = MadeUp::new(3);
    made_up.rows.retain(|row| row.engine_id == 0);
    made_up.plan.engines.truncate(1);
    let analysis = made_up.analyse();
    assert!(
        analysis
            .answer
            .sentence
            .contains("10 times sooner than reading it for the first time"),
        "{}",
        analysis.answer.sentence
    );
    assert_eq!(analysis.headline.len(), 1);
}

#[test]
fn what_cannot_run_is_shown_as_skipped() {
    let mut made_up = MadeUp::new(3);
    made_up.rows.retain(|row| row.engine_id == 1);
    made_up.plan.experiments[0].skipped_engines.push(Skipped {
        engine: Some(0),
        what: "engine lmcache".to_owned(),
        reason: "there is no room".to_owned(),
    });
    let analysis = made_up.analyse();
    assert_eq!(
        analysis.headline[0].note.as_deref(),
        Some("there is no room")
    );
    assert_eq!(analysis.skipped[0].what, "engine lmcache, context 4096");
    assert_eq!(analysis.run.planned_requests, 9);
}

#[test]
fn goodput_counts_what_keeps_every_limit() {
    let mut made_up = MadeUp::new(1);
    made_up.plan.goodput = Some(Goodput {
        ttft: Some("500ms".parse().unwrap()),
        ..Goodput::default()
    });
    let analysis = made_up.analyse();
    let engine = &analysis.experiments[0].engines[0];
    assert_close(engine.attainment.unwrap().value, 2.0 / 3.0);
    // From the first intended (0 s) to the last content: 20 s + 0.1 ms + 100 ms + 100 ms.
    assert_close(engine.goodput.unwrap().value, 2.0 / 20.2001);
}

#[test]
fn the_clients_own_time_is_told() {
    let analysis = MadeUp::new(1).heartbeat(MS, 2 * MS).analyse();
    let health = &analysis.client;
    assert_eq!(health.turns.len(), 2);
    assert_eq!(health.turns[0].heartbeat_p99_ns, Some(MS));
    assert_close(health.turns[0].thread_cpu_share.unwrap(), 0.1);
    assert_close(health.lateness.unwrap().median, 0.0001);
    assert_eq!(health.turns[0].asked_rate, None);
    assert_eq!(analysis.turns.len(), 2);
    assert_eq!(analysis.turns[1].engine_id, 1);
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Ok,
        Outcome::Timeout,
        Outcome::NotSent,
        Outcome::Cancelled,
        Outcome::EngineExited,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever rows a run has: no number without rows, every interval holds its value, no estimate leaves the values it stands for, and nothing panics.
    #[test]
    fn any_rows_can_be_analysed(
        trials in 0u32..5,
        changes in prop::collection::vec((any::<prop::sample::Index>(), outcome(), any::<bool>(), 0u64..5_000), 0..12),
    ) {
        let mut made_up = MadeUp::new(trials).expect(expect(0.5));
        for (index, outcome, without_content, ttft_ms) in changes {
            if made_up.rows.is_empty() {
                break;
            }
            let row = index.get(&made_up.rows).clone();
            let changed = made_up.rows.iter_mut().find(|found| **found == row).unwrap();
            changed.outcome = outcome;
            changed.first_content_ns = changed.sent_ns.filter(|_| !without_content).map(|sent| sent + ttft_ms * MS);
            changed.last_content_ns = changed.first_content_ns.map(|first| first + 100 * MS);
            if without_content {
                changed.cached_tokens = None;
                changed.output_tokens = None;
                changed.event_offsets_ns.clear();
            }
        }
        let rows = made_up.rows.len() as u64;
        let analysis = made_up.analyse();
        prop_assert_eq!(analysis.run.outcomes.rows, rows);
        for experiment in &analysis.experiments {
            for engine in &experiment.engines {
                let counted = engine.outcomes.ok + engine.outcomes.failed.iter().map(|(_, count)| count).sum::<u64>();
                prop_assert_eq!(counted, engine.outcomes.rows);
                prop_assert_eq!(engine.completed.is_none() && engine.outcomes.ok > 0, false);
                for found in &engine.estimates {
                    let values = || found.per_trial.iter().map(|(_, value)| *value);
                    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
                    prop_assert!((least - 1e-9..=most + 1e-9).contains(&found.estimate.value));
                    if let Some((low, high)) = found.estimate.interval() {
                        prop_assert!(low <= found.estimate.value && found.estimate.value <= high);
                    }
                }
                for found in &engine.distributions {
                    prop_assert!(found.ecdf.is_sorted());
                    prop_assert_eq!(found.ecdf.first(), Some(&found.summary.min));
                    prop_assert_eq!(found.ecdf.last(), Some(&found.summary.max));
                }
                if engine.outcomes.ok == 0 {
                    prop_assert!(engine.estimates.is_empty() && engine.distributions.is_empty());
                }
            }
        }
        if rows == 0 {
            prop_assert!(analysis.answer.ratio.is_none());
        }
    }
}
