//! Expectations against whole runs: what is measured, what is not, and why.

use indexmap::IndexMap;
use schemas::{
    plan::{Skipped, Substitution},
    row::{Outcome, RequestKind},
    sample::Sample,
    scenario::{Bound, Expect, Goodput, Metric, OneOrMany, Phase, Requests, Statistic},
};
use serde_json::json;

use crate::{
    made_up::{MS, MadeUp, S, expect},
    verdict::{ExpectationResult, NotMeasuredCause, Verdict},
};

fn judged(made_up: MadeUp, expect: Expect) -> ExpectationResult {
    made_up.expect(expect).analyse().expectations.pop().unwrap()
}

fn cause(result: &ExpectationResult) -> NotMeasuredCause {
    assert_eq!(result.verdict, Verdict::NotMeasured);
    assert!(
        result.cases.iter().all(|case| case.reason.is_some()),
        "a reason in words is always there"
    );
    result.cases[0].cause.unwrap()
}

fn value(result: &ExpectationResult) -> f64 {
    result.cases[0].measured.unwrap().value
}

/// An absolute expectation on a metric of `lmcache`.
fn absolute(metric: Metric, at_most: Option<Bound>, at_least: Option<Bound>) -> Expect {
    Expect {
        metric,
        relative_to: None,
        at_most,
        at_least,
        ..expect(0.0)
    }
}

fn quantity(text: &str) -> Option<Bound> {
    Some(Bound::Quantity(text.to_owned()))
}

#[test]
fn times_are_held_against_quantities() {
    let most = |text: &str| judged(MadeUp::new(3), absolute(Metric::Ttft, quantity(text), None));
    assert_eq!(most("101ms").verdict, Verdict::Met);
    assert_eq!(most("99ms").verdict, Verdict::NotMet);
    assert_eq!(most("99ms").text, "ttft of lmcache at most 99ms");
    let least = absolute(Metric::Throughput, None, quantity("100/s"));
    assert_eq!(judged(MadeUp::new(3), least).verdict, Verdict::Met);
}

#[test]
fn requests_of_one_engine_are_compared_trial_by_trial() {
    let result = judged(
        MadeUp::new(3),
        Expect {
            relative_to: None,
            relative_to_requests: Some(Requests::Cold),
            ..expect(0.2)
        },
    );
    assert_eq!(result.verdict, Verdict::Met);
    assert!((value(&result) - 0.1).abs() < 1e-9);
    assert_eq!(
        result.text,
        "ttft of lmcache at most 0.2 × its cold requests"
    );
}

#[test]
fn shares_are_decided_on_the_value_itself() {
    let completed = |least: f64| {
        let mut made_up = MadeUp::new(1);
        made_up.rows[1].outcome = Outcome::Timeout;
        let expect = Expect {
            requests: Requests::All,
            ..absolute(Metric::Completed, None, Some(Bound::Number(least)))
        };
        judged(made_up, expect)
    };
    assert_eq!(completed(0.6).verdict, Verdict::Met);
    assert_eq!(completed(0.7).verdict, Verdict::NotMet);
    assert!((value(&completed(0.6)) - 2.0 / 3.0).abs() < 1e-12);

    let cached = absolute(Metric::CachedFraction, None, Some(Bound::Number(0.9)));
    assert_eq!(judged(MadeUp::new(1), cached).verdict, Verdict::Met);

    let equal = Expect {
        relative_to: Some("baseline".to_owned()),
        ..absolute(Metric::OutputsEqual, None, Some(Bound::Number(1.0)))
    };
    assert_eq!(judged(MadeUp::new(1), equal.clone()).verdict, Verdict::Met);
    let mut made_up = MadeUp::new(1);
    made_up.rows[1].text = Some("else".to_owned());
    assert_eq!(judged(made_up, equal).verdict, Verdict::NotMet);
}

#[test]
fn goodput_needs_limits() {
    let least = || absolute(Metric::Goodput, None, quantity("0.05/s"));
    assert_eq!(
        cause(&judged(MadeUp::new(3), least())),
        NotMeasuredCause::NoValue
    );
    let mut made_up = MadeUp::new(3);
    made_up.plan.goodput = Some(Goodput {
        latency: Some("2s".parse().unwrap()),
        ..Goodput::default()
    });
    assert_eq!(judged(made_up, least()).verdict, Verdict::Met);
}

#[test]
fn memory_needs_a_sensor() {
    let most = absolute(Metric::Rss, quantity("2GB"), None);
    assert_eq!(
        cause(&judged(MadeUp::new(1), most.clone())),
        NotMeasuredCause::NoValue
    );
    let mut data = MadeUp::new(1).expect(most).data();
    for (at_ns, subject, rss_bytes) in [
        (S, "lmcache", 1_000_000_000),
        (S, "lmcache.remote", 900_000_000),
        (2 * S, "lmcache", 1_050_000_000),
        // Long after its turns.
        (900 * S, "lmcache", 9_000_000_000),
    ] {
        data.samples.push(Sample {
            at_ns,
            subject: subject.to_owned(),
            rss_bytes: Some(rss_bytes),
            ..Sample::default()
        });
    }
    let result = crate::analyse(&data).expectations.pop().unwrap();
    assert_eq!((result.verdict, value(&result)), (Verdict::Met, 1.9e9));
}

#[test]
fn a_quantile_that_so_few_requests_cannot_tell_is_not_measured() {
    let p99 = Expect {
        statistic: Statistic::P99,
        ..expect(0.5)
    };
    let result = judged(MadeUp::new(3), p99);
    assert_eq!(cause(&result), NotMeasuredCause::NoValue);
    assert_eq!(result.text, "p99 ttft of lmcache at most 0.5 × baseline");
}

#[test]
fn what_is_not_there_is_not_measured() {
    let grown = Expect {
        requests: Requests::Grown,
        ..expect(0.5)
    };
    assert_eq!(
        cause(&judged(MadeUp::new(3), grown)),
        NotMeasuredCause::NoValue
    );
    let phase = Expect {
        phase: Some(Phase::AfterEvent),
        ..expect(0.5)
    };
    assert_eq!(
        cause(&judged(MadeUp::new(3), phase)),
        NotMeasuredCause::NoValue
    );
    let mut absent = MadeUp::new(3);
    absent.rows.retain(|row| row.engine_id == 0);
    assert_eq!(
        cause(&judged(absent, expect(0.5))),
        NotMeasuredCause::NotRun
    );
    let failed = MadeUp::new(3).each(0, |row| {
        if row.kind == RequestKind::Reused {
            row.outcome = Outcome::ConnectionLost;
        }
    });
    assert_eq!(
        cause(&judged(failed, expect(0.5))),
        NotMeasuredCause::NoValue
    );
}

#[test]
fn what_cannot_run_here_is_unsupported() {
    let mut made_up = MadeUp::new(3);
    made_up.rows.retain(|row| row.engine_id == 1);
    made_up.plan.skipped.push(Skipped {
        engine: Some(0),
        what: "engine lmcache".to_owned(),
        reason: "there is no device".to_owned(),
    });
    let result = judged(made_up, expect(0.5));
    assert_eq!(cause(&result), NotMeasuredCause::Unsupported);
    assert!(
        result.cases[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("there is no device")
    );
}

#[test]
fn an_expectation_for_another_profile_is_not_measured() {
    let with = |profile: &str| {
        let expect = Expect {
            profile: Some(OneOrMany::Many(vec!["gpu".to_owned(), profile.to_owned()])),
            ..expect(0.5)
        };
        judged(MadeUp::new(3), expect)
    };
    assert_eq!(cause(&with("cpu")), NotMeasuredCause::OtherProfile);
    assert_eq!(with("builtin").verdict, Verdict::Met);
}

#[test]
fn where_holds_the_declared_value() {
    let at = |tokens: u32| Expect {
        only_where: IndexMap::from([("context-length".to_owned(), json!(tokens))]),
        ..expect(0.5)
    };
    let scaled = || {
        let mut made_up = MadeUp::new(3);
        made_up.plan.substitutions.push(Substitution {
            what: "context-length".to_owned(),
            declared: "8192, 16384".to_owned(),
            used: "2048, 4096".to_owned(),
            reason: "profile builtin".to_owned(),
        });
        made_up
    };
    assert_eq!(judged(MadeUp::new(3), at(4096)).verdict, Verdict::Met);
    assert_eq!(judged(scaled(), at(16384)).verdict, Verdict::Met);
    assert_eq!(
        cause(&judged(scaled(), at(8192))),
        NotMeasuredCause::NoMatch
    );
    let mut skipped = MadeUp::new(3);
    skipped.plan.skipped.push(Skipped {
        engine: None,
        what: "context 24576".to_owned(),
        reason: "the model takes 16384 tokens".to_owned(),
    });
    assert_eq!(
        cause(&judged(skipped, at(24576))),
        NotMeasuredCause::Unsupported
    );
}

#[test]
fn a_tier_alone_served_what_was_cached() {
    let served_by = |tier: &str| Expect {
        tier: Some(tier.to_owned()),
        ..absolute(Metric::Ttft, quantity("150ms"), None)
    };
    assert_eq!(
        judged(MadeUp::new(3), served_by("local-cpu")).verdict,
        Verdict::Met
    );
    assert_eq!(
        cause(&judged(MadeUp::new(3), served_by("local-disk"))),
        NotMeasuredCause::NoValue
    );
}

#[test]
fn several_engines_give_one_result_each() {
    let both = Expect {
        engine: OneOrMany::Many(vec!["lmcache".to_owned(), "baseline".to_owned()]),
        ..absolute(Metric::Ttft, quantity("200ms"), None)
    };
    let results = MadeUp::with_reused(&[(100 * MS, 400 * MS); 3])
        .expect(both)
        .analyse()
        .expectations;
    let verdicts: Vec<_> = results
        .iter()
        .map(|result| (result.index, result.engine.as_str(), result.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            (0, "lmcache", Verdict::Met),
            (0, "baseline", Verdict::NotMet)
        ]
    );
}
