//! Every reason provoked, with a near miss that stays VALID beside it.

use schemas::{
    plan::ArrivalPlan,
    row::{Outcome, RequestKind, TokenCount},
    sample::Sample,
};

use crate::{
    analysis::State,
    made_up::{EXPECTED, MS, MadeUp, S, expect, process},
    validity::{Flag, InvalidReason, LatenessStatistic},
    verdict::{NotMeasuredCause, Verdict},
};

/// The reasons against the made-up run; none when it is VALID.
fn reasons(made_up: MadeUp) -> Vec<InvalidReason> {
    let analysis = made_up.expect(expect(0.5)).analyse();
    let experiment = &analysis.experiments[0];
    let invalid = !experiment.invalid.is_empty();
    assert_eq!(experiment.state == State::Invalid, invalid);
    assert_eq!(analysis.validity.state == State::Invalid, invalid);
    assert_eq!(
        analysis.validity.worst.as_ref(),
        experiment.invalid.first(),
        "the front page names the worst"
    );
    // An INVALID experiment's expectations are not measured, and nothing else.
    let case = &analysis.expectations[0].cases[0];
    assert_eq!(case.cause == Some(NotMeasuredCause::Invalid), invalid);
    assert_eq!(case.verdict == Verdict::NotMeasured, invalid);
    experiment.invalid.clone()
}

fn flags(made_up: MadeUp) -> Vec<Flag> {
    let analysis = made_up.analyse();
    assert_eq!(analysis.experiments[0].state, State::Valid);
    analysis.experiments[0].flags.clone()
}

#[test]
fn a_run_as_planned_is_valid_and_without_flags() {
    assert_eq!(reasons(MadeUp::new(3)), []);
    assert_eq!(flags(MadeUp::new(3)), []);
}

#[test]
fn an_undeclared_end_of_a_process() {
    let with = |name: &str, expected: Option<bool>| {
        let mut made_up = MadeUp::new(3);
        made_up.manifest.processes.push(process(name, expected));
        reasons(made_up)
    };
    for name in ["lmcache", "lmcache.remote"] {
        assert!(matches!(
            with(name, Some(false)).as_slice(),
            [InvalidReason::EngineRestarted { process, .. }] if process == name
        ));
    }
    // Declared, or of an engine that was not being asked then.
    assert_eq!(with("lmcache", Some(true)), []);
    assert_eq!(with("baseline", Some(false)), []);
    assert_eq!(with("lmcache", None), []);
}

#[test]
fn a_cold_request_that_was_cached() {
    // 20 tokens of the template stand before the salt.
    let with = |cached: u32| {
        reasons(MadeUp::new(3).each(0, |row| {
            if row.kind == RequestKind::Cold {
                row.cached_tokens = Some(cached);
            }
        }))
    };
    assert_eq!(with(20), []);
    assert_eq!(
        with(21),
        [InvalidReason::ColdWasCached {
            engine: "lmcache".to_owned(),
            requests: 3,
            worst_cached_tokens: 21,
            allowed_tokens: 20,
        }]
    );
}

#[test]
fn a_baseline_that_caches_is_no_baseline() {
    let made_up = MadeUp::new(3).each(1, |row| row.cached_tokens = Some(row.turn * 256));
    assert!(matches!(
        reasons(made_up).as_slice(),
        [InvalidReason::ColdWasCached { engine, requests: 6, .. }] if engine == "baseline"
    ));
}

#[test]
fn promised_hits_that_are_missing() {
    let with = |cached: u32| {
        reasons(MadeUp::new(3).each(0, |row| {
            if row.kind == RequestKind::Reused {
                row.cached_tokens = Some(cached);
            }
        }))
    };
    assert_eq!(with(EXPECTED * 9 / 10), []);
    assert!(matches!(
        with(EXPECTED * 9 / 10 - 1).as_slice(),
        [InvalidReason::HitMissing { requests: 6, .. }]
    ));
    assert!(matches!(
        with(0).as_slice(),
        [InvalidReason::HitMissing { median_share, .. }] if *median_share == 0.0
    ));
}

#[test]
fn one_missing_hit_among_many_does_not_move_the_median() {
    let mut made_up = MadeUp::new(3);
    made_up.rows[1].cached_tokens = Some(0);
    assert_eq!(reasons(made_up), []);
}

#[test]
fn counters_that_tell_something_else() {
    const OWN: &str = "vllm:prefix_cache_hits_total";
    const LOADED: &str = "vllm:external_prefix_cache_hits_total";
    // One trial of three requests reports 2 · 3840 tokens; a chunk a request is 768.
    let reported = f64::from(2 * EXPECTED);
    let valid = |own: f64, loaded: f64| {
        let made_up = MadeUp::new(1).counted(OWN, own).counted(LOADED, loaded);
        let analysis = made_up.analyse();
        analysis.experiments[0].invalid.clone()
    };
    assert_eq!(valid(0.0, reported), []);
    assert_eq!(valid(768.0, reported - 1536.0), []);
    assert!(matches!(
        valid(0.0, reported - 769.0).as_slice(),
        [InvalidReason::CountersDisagree {
            allowed_tokens: 768,
            ..
        }]
    ));
    assert!(matches!(
        valid(0.0, 0.0).as_slice(),
        [InvalidReason::CountersDisagree { reported_tokens, .. }] if *reported_tokens == 7680
    ));
    // Nothing is known without the counters.
    assert_eq!(
        MadeUp::new(1)
            .counted("other_total", 5.0)
            .analyse()
            .experiments[0]
            .invalid,
        []
    );
}

#[test]
fn a_prompt_of_another_length() {
    let mut made_up = MadeUp::new(3);
    made_up.rows[4].prompt_tokens = Some(4000);
    assert!(matches!(
        reasons(made_up).as_slice(),
        [InvalidReason::PromptLengthOff {
            requests: 1,
            found_tokens: 4000,
            planned_tokens: 4132,
            ..
        }]
    ));
    // Where the template's share is not known, no length is wrong.
    assert_eq!(
        reasons(MadeUp::new(3).each(0, |row| {
            row.planned_prompt_tokens = None;
            row.prompt_tokens = Some(4000);
        })),
        []
    );
}

fn open(mut made_up: MadeUp, kind: &str) -> MadeUp {
    made_up.plan.experiments[0].arrival = ArrivalPlan::Open {
        kind: kind.to_owned(),
        offsets_ns: vec![vec![0, 10 * S, 20 * S]; 3],
    };
    made_up
}

/// Delays the second request of every turn of `lmcache`, and all that follows from it.
fn delayed(made_up: MadeUp, late_ns: u64) -> MadeUp {
    made_up.each(0, |row| {
        if row.request_id == 1 {
            row.sent_ns = Some(row.intended_ns + late_ns);
            row.first_content_ns = Some(row.intended_ns + late_ns + 100 * MS);
        }
    })
}

#[test]
fn a_client_that_was_late() {
    assert_eq!(
        reasons(delayed(open(MadeUp::new(3), "poisson"), 10 * MS)),
        []
    );
    assert!(matches!(
        reasons(delayed(open(MadeUp::new(3), "poisson"), 11 * MS)).as_slice(),
        [InvalidReason::ClientLate {
            statistic: LatenessStatistic::Max,
            ..
        }]
    ));
    // A closed loop has no schedule to be late for.
    assert_eq!(reasons(delayed(MadeUp::new(3), 300 * MS)), []);
}

#[test]
fn from_100_requests_the_99th_percentile_of_lateness_is_judged() {
    // 34 trials are 102 requests: the worst one alone is beyond the 99th percentile.
    let one_late = || {
        let mut made_up = open(MadeUp::new(34), "poisson");
        made_up.rows[0].sent_ns = Some(500 * MS);
        made_up.rows[0].first_content_ns = Some(1500 * MS);
        made_up
    };
    assert_eq!(reasons(one_late()), []);
    assert!(matches!(
        reasons(delayed(one_late(), 2 * MS)).as_slice(),
        [InvalidReason::ClientLate {
            statistic: LatenessStatistic::P99,
            ..
        }]
    ));
}

#[test]
fn a_client_that_was_starved() {
    assert_eq!(reasons(MadeUp::new(3).heartbeat(5 * MS, 50 * MS)), []);
    for (p99_ns, worst_ns) in [(6 * MS, 50 * MS), (MS, 51 * MS)] {
        let found = reasons(MadeUp::new(3).heartbeat(p99_ns, worst_ns));
        assert!(
            matches!(found.first(), Some(InvalidReason::ClientStarved { .. })),
            "{found:?}"
        );
    }
}

#[test]
fn a_tier_that_gives_other_first_words() {
    let with = |reused: &str, cold: &str| {
        MadeUp::new(5).each(0, |row| {
            let word = if row.kind == RequestKind::Cold {
                cold
            } else {
                reused
            };
            row.text = Some(format!("{word} of request {}", row.request_id));
        })
    };
    assert!(matches!(
        reasons(with("other", "words")).as_slice(),
        [InvalidReason::FirstTokenDiffers { .. }]
    ));
    // The engine differs from itself as often; or its weights are random.
    assert_eq!(reasons(with("other", "other")), []);
    let mut random = with("other", "words");
    random.plan.model.random_weights = true;
    assert_eq!(reasons(random), []);
    let mut lossy = with("other", "words");
    lossy.plan.engines[0].backend = "remote.lm cachegen".to_owned();
    assert_eq!(reasons(lossy), []);
}

#[test]
fn overlapping_constant_arrivals_are_a_flag_only() {
    let slow = |made_up: MadeUp| {
        made_up.each(0, |row| {
            if row.request_id == 0 {
                row.done_ns = Some(row.intended_ns + 11 * S);
            }
        })
    };
    assert!(
        flags(slow(open(MadeUp::new(3), "constant"))).contains(&Flag::RequestsOverlapped {
            engine: "lmcache".to_owned(),
            requests: 3,
            of: 9,
        })
    );
    assert_eq!(flags(slow(open(MadeUp::new(3), "poisson"))), []);
    assert_eq!(flags(open(MadeUp::new(3), "constant")), []);
}

#[test]
fn failures_missing_evidence_and_counted_tokens_are_flagged() {
    let mut made_up = MadeUp::new(3);
    made_up.rows[2].outcome = Outcome::Timeout;
    assert_eq!(
        flags(made_up),
        [Flag::Failures {
            engine: "lmcache".to_owned(),
            requests: 1,
            of: 9,
            most: "timeout".to_owned(),
        }]
    );
    assert_eq!(
        flags(MadeUp::new(3).each(0, |row| row.cached_tokens = None)),
        [Flag::NoEvidence {
            engine: "lmcache".to_owned()
        }]
    );
    assert_eq!(
        flags(MadeUp::new(3).each(1, |row| row.token_count = Some(TokenCount::Events))),
        [Flag::TokensFromEvents {
            engine: "baseline".to_owned(),
            requests: 9
        }]
    );
    assert_eq!(flags(MadeUp::new(2)), [Flag::FewTrials { trials: 2 }]);
}

#[test]
fn stolen_cpu_time_is_told() {
    let with = |stolen_ns: u64| {
        let mut data = MadeUp::new(3).data();
        data.manifest.host.cores = Some(2);
        data.samples = [(0, 0), (10 * S, stolen_ns)]
            .into_iter()
            .map(|(at_ns, stolen)| Sample {
                at_ns: S + at_ns,
                subject: "host".to_owned(),
                stolen_ns: Some(5 * S + stolen),
                ..Sample::default()
            })
            .collect();
        crate::analyse(&data).experiments[0].flags.clone()
    };
    assert!(!with(S).contains(&Flag::CpuStolen { share: 0.05 }));
    assert!(with(2 * S).contains(&Flag::CpuStolen { share: 0.1 }));
}

#[test]
fn a_disk_that_was_not_read_is_the_page_cache() {
    let with = |read_bytes: u64| {
        let mut made_up = MadeUp::new(1);
        made_up.plan.engines[0].tiers[0].name = "local-disk".to_owned();
        let mut data = made_up.data();
        // 2 · 3840 tokens of 1000 bytes were loaded.
        data.samples = [(S, 0), (19 * S, read_bytes)]
            .into_iter()
            .map(|(at_ns, read)| Sample {
                at_ns,
                subject: "lmcache".to_owned(),
                disk_read_bytes: Some(7_000_000 + read),
                ..Sample::default()
            })
            .collect();
        let flags = crate::analyse(&data).experiments[0].flags.clone();
        flags
            .iter()
            .any(|flag| matches!(flag, Flag::ServedFromPageCache { .. }))
    };
    assert!(with(3_839_999));
    assert!(!with(3_840_000));
}
