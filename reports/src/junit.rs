//! `junit.xml`: expectations and experiments as test cases, for whatever shows test results.
//!
//! Failures are expectations that are not met. Errors are runs that could not go on, INVALID experiments with the expectations about them, and assertions on
//! counters that the engine did not give. Skips are what cannot run here, what was not measured, and what is undecided.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use schemas::manifest::Ending;

use crate::{
    analysis::{Analysis, ExperimentAnalysis, State},
    exit, figures,
    several::Run,
    verdict::{Case, ExpectationResult, NotMeasuredCause, Verdict},
};

/// The file of one run. Its bytes depend on the analysis alone.
///
/// # Errors
/// The writer of the XML fails.
pub(crate) fn text(analysis: &Analysis) -> Result<String, SerializeError> {
    let scenario = analysis.run.scenario.as_str();
    let mut report = Report::new(scenario);
    report.add_test_suite(suite(scenario, analysis));
    report.to_string()
}

/// The file of several runs, a suite for each. A run that cannot be read is an error in a suite of its own.
///
/// # Errors
/// As [`text`].
pub(crate) fn text_of_several(runs: &[Run]) -> Result<String, SerializeError> {
    let mut report = Report::new("report");
    for run in runs {
        report.add_test_suite(match &run.analysis {
            Ok(analysis) => suite(&run.name, analysis),
            Err(reason) => {
                let mut suite = TestSuite::new(run.name.as_str());
                let status = error("not readable", reason);
                suite.add_test_case(case(
                    &run.name,
                    "run",
                    "the run is whole".to_owned(),
                    status,
                ));
                suite
            }
        });
    }
    report.to_string()
}

fn suite(name: &str, analysis: &Analysis) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_property(("run", analysis.run.run_id.as_str()));
    suite.add_property(("profile", analysis.run.profile.as_str()));
    suite.add_property(("answer", analysis.answer.sentence.as_str()));
    let mut add = |class: &str, what: String, status: TestCaseStatus| {
        suite.add_test_case(case(name, class, what, status));
    };
    add("run", "the run is whole".to_owned(), ending(analysis));
    for found in &analysis.experiments {
        add(
            "valid",
            named("VALID", &found.label),
            validity(analysis, found),
        );
    }
    for expectation in &analysis.expectations {
        for case in &expectation.cases {
            let what = named(&expectation.text, &case.label);
            add("expect", what, expected(analysis, expectation, case));
        }
    }
    suite
}

fn case(suite: &str, class: &str, what: String, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(what, status);
    case.set_classname(format!("{suite}.{class}"));
    case
}

fn named(what: &str, label: &str) -> String {
    if label.is_empty() {
        what.to_owned()
    } else {
        format!("{what} ({label})")
    }
}

fn ending(analysis: &Analysis) -> TestCaseStatus {
    match (&analysis.run.ending, analysis.run.partial_in_full()) {
        (Some(Ending::Complete), None) => TestCaseStatus::success(),
        (_, partial) => error(
            "partial",
            partial.as_deref().unwrap_or("the run is partial"),
        ),
    }
}

fn validity(analysis: &Analysis, experiment: &ExperimentAnalysis) -> TestCaseStatus {
    match experiment.state {
        State::Valid => TestCaseStatus::success(),
        State::Invalid => {
            let reasons: Vec<String> = experiment
                .invalid
                .iter()
                .map(|reason| format!("{reason}. {}", reason.advice()))
                .collect();
            error("INVALID", &reasons.join("\n"))
        }
        State::NotRun => {
            let reason = experiment.not_run.as_deref().unwrap_or("it did not run");
            not_run(analysis, reason)
        }
    }
}

fn expected(analysis: &Analysis, expectation: &ExpectationResult, case: &Case) -> TestCaseStatus {
    let finding = figures::finding(expectation, case);
    match case.verdict {
        Verdict::Met => TestCaseStatus::success(),
        Verdict::NotMet => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_type("not met")
                .set_message(format!("measured {finding}"));
            status
        }
        Verdict::Undecided => skip("undecided", &finding),
        Verdict::NotMeasured => match case.cause {
            Some(NotMeasuredCause::Invalid) => error("INVALID", &finding),
            Some(NotMeasuredCause::NotRun) => not_run(analysis, &finding),
            _ if exit::counter_missing(expectation, case) => error("counter missing", &finding),
            Some(NotMeasuredCause::Unsupported) => skip("unsupported", &finding),
            _ => skip("not measured", &finding),
        },
    }
}

/// What did not run is an error where the run could not go on, else a skip.
fn not_run(analysis: &Analysis, reason: &str) -> TestCaseStatus {
    if analysis.run.partial.is_some() {
        error("not run", reason)
    } else {
        skip("not run", reason)
    }
}

fn error(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_type(kind).set_message(message);
    status
}

fn skip(kind: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    // Few readers look at a skip's type: the message says it too.
    status
        .set_type(kind)
        .set_message(format!("{kind}: {message}"));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn failures_errors_and_skips_are_kept_apart() {
        let all_met = text(&fixture::analysis()).unwrap();
        assert!(
            all_met.contains("tests=\"5\" skipped=\"0\" errors=\"0\" failures=\"0\""),
            "{all_met}"
        );

        let mut analysis = fixture::analysis();
        let cases = &mut analysis.expectations[0].cases;
        cases[0].verdict = Verdict::NotMet;
        cases[1].verdict = Verdict::Undecided;
        let found = text(&analysis).unwrap();
        assert!(
            found.contains("tests=\"5\" skipped=\"1\" errors=\"0\" failures=\"1\""),
            "{found}"
        );
        assert!(
            found.contains("<failure message=\"measured 0.140 [0.120, 0.160]\" type=\"not met\"/>")
        );
        assert!(found.contains("undecided: "));

        let invalid = text(&fixture::invalid()).unwrap();
        assert!(
            invalid.contains("tests=\"5\" skipped=\"0\" errors=\"2\" failures=\"0\""),
            "{invalid}"
        );
        assert!(invalid.contains("type=\"INVALID\""));
    }

    #[test]
    fn what_did_not_run_is_an_error_only_in_a_partial_run() {
        let mut analysis = fixture::analysis();
        analysis.experiments[1].state = State::NotRun;
        analysis.expectations[0].cases[1].verdict = Verdict::NotMeasured;
        analysis.expectations[0].cases[1].cause = Some(NotMeasuredCause::NotRun);
        let whole = text(&analysis).unwrap();
        assert!(whole.contains("skipped=\"2\" errors=\"0\""), "{whole}");
        analysis.run.partial = Some("interrupted".to_owned());
        analysis.run.ending = Some(Ending::Interrupted);
        let partial = text(&analysis).unwrap();
        assert!(partial.contains("skipped=\"0\" errors=\"3\""), "{partial}");
    }

    #[test]
    fn several_runs_are_several_suites() {
        let run = |name: &str, analysis| Run {
            name: name.to_owned(),
            analysis,
        };
        let found = text_of_several(&[
            run("first", Ok(fixture::analysis())),
            run("second", Ok(fixture::invalid())),
            run("third", Err("cannot read it".to_owned())),
        ])
        .unwrap();
        assert!(
            found.contains("tests=\"11\" skipped=\"0\" failures=\"0\" errors=\"3\""),
            "{found}"
        );
        assert_eq!(found.matches("<testsuite ").count(), 3);
        assert!(found.contains("classname=\"second.valid\""), "{found}");
        assert!(found.contains("<error message=\"cannot read it\" type=\"not readable\"/>"));
    }

    #[test]
    fn the_same_analysis_gives_the_same_bytes() {
        let analysis = fixture::analysis();
        assert_eq!(text(&analysis).unwrap(), text(&analysis).unwrap());
    }
}
