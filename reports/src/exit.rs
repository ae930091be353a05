//! Exit codes: what a run's outcome says to the shell, and which of several outcomes wins.

use std::process::ExitCode;

use schemas::{manifest::Ending, scenario::Metric};

use crate::{
    analysis::{Analysis, State},
    verdict::{Case, ExpectationResult, NotMeasuredCause, Verdict},
};

/// What came out of one or several runs. The order is the order of gravity: the last is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Everything asked for was done, and no expectation failed.
    AllMet,
    /// No scenario file matched.
    NoFileMatched,
    /// Nothing of the plan could run here.
    NothingRan,
    /// An expectation is undecided, and the user wants that to count.
    Undecided,
    /// An expectation is not met.
    NotMet,
    /// An experiment is INVALID.
    Invalid,
    /// A run could not start or could not go on.
    CouldNotRun,
    /// The command line or a scenario is wrong.
    Usage,
    /// The user stopped the run.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::AllMet => 0,
            Self::Usage => 2,
            Self::CouldNotRun => 3,
            Self::NotMet => 4,
            Self::NoFileMatched => 5,
            Self::Invalid => 6,
            Self::Undecided => 7,
            Self::NothingRan => 8,
            Self::Interrupted => 130,
        }
    }

    /// The worse of two.
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }

    /// What a run's ending alone says.
    pub fn of_ending(ending: &Ending) -> Self {
        match ending {
            Ending::Complete => Self::AllMet,
            Ending::Interrupted => Self::Interrupted,
            Ending::Failed { .. } => Self::CouldNotRun,
        }
    }

    /// What an analysed run says. An undecided expectation counts only where `strict`. A run whose runner was killed could not go on.
    pub fn of_analysis(analysis: &Analysis, strict: bool) -> Self {
        let ending = analysis
            .run
            .ending
            .as_ref()
            .map_or(Self::CouldNotRun, Self::of_ending);
        let ran = match analysis.validity.state {
            State::Valid => Self::AllMet,
            State::NotRun => Self::NothingRan,
            State::Invalid => Self::Invalid,
        };
        analysis
            .expectations
            .iter()
            .flat_map(|expectation| {
                expectation
                    .cases
                    .iter()
                    .map(move |case| (expectation, case))
            })
            .map(|(expectation, case)| match case.verdict {
                Verdict::NotMet => Self::NotMet,
                Verdict::Undecided if strict => Self::Undecided,
                Verdict::NotMeasured if counter_missing(expectation, case) => Self::CouldNotRun,
                Verdict::Undecided | Verdict::NotMeasured | Verdict::Met => Self::AllMet,
            })
            .fold(ending.worse(ran), Self::worse)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Whether an expectation is about a counter that the engine did not give: then it could not be checked, which is an error and no skip.
/// Sensors that a host lacks (device memory without a device) are a skip.
pub(crate) fn counter_missing(expectation: &ExpectationResult, case: &Case) -> bool {
    expectation.metric == Metric::CachedFraction && case.cause == Some(NotMeasuredCause::NoValue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn the_order_is_that_of_gravity() {
        let order = [130, 2, 3, 6, 4, 7, 8, 5, 0];
        let mut all = [
            Exit::AllMet,
            Exit::Usage,
            Exit::CouldNotRun,
            Exit::NoFileMatched,
            Exit::NotMet,
            Exit::Invalid,
            Exit::Undecided,
            Exit::NothingRan,
            Exit::Interrupted,
        ];
        all.sort_by(|a, b| b.cmp(a));
        assert_eq!(all.map(Exit::code), order);
        assert_eq!(Exit::NotMet.worse(Exit::Invalid), Exit::Invalid);
        assert_eq!(Exit::NothingRan.worse(Exit::Undecided), Exit::Undecided);
    }

    #[test]
    fn each_outcome_has_its_code() {
        let mut analysis = fixture::analysis();
        let exit = |analysis: &Analysis| Exit::of_analysis(analysis, false);
        assert_eq!(exit(&analysis), Exit::AllMet);

        analysis.expectations[0].cases[1].verdict = Verdict::Undecided;
        assert_eq!(exit(&analysis), Exit::AllMet);
        assert_eq!(Exit::of_analysis(&analysis, true), Exit::Undecided);

        analysis.expectations[0].cases[0].verdict = Verdict::NotMet;
        assert_eq!(Exit::of_analysis(&analysis, true), Exit::NotMet);

        analysis.validity.state = State::Invalid;
        assert_eq!(exit(&analysis), Exit::Invalid);

        analysis.run.ending = None;
        assert_eq!(exit(&analysis), Exit::CouldNotRun);
        analysis.run.ending = Some(Ending::Interrupted);
        assert_eq!(exit(&analysis), Exit::Interrupted);
    }

    #[test]
    fn a_missing_counter_is_an_error_and_a_missing_sensor_is_none() {
        let mut analysis = fixture::analysis();
        let case = &mut analysis.expectations[0].cases[0];
        case.verdict = Verdict::NotMeasured;
        case.cause = Some(NotMeasuredCause::NoValue);
        analysis.expectations[0].metric = Metric::GpuMemory;
        assert_eq!(Exit::of_analysis(&analysis, false), Exit::AllMet);
        analysis.expectations[0].metric = Metric::CachedFraction;
        assert_eq!(Exit::of_analysis(&analysis, false), Exit::CouldNotRun);
    }

    #[test]
    fn nothing_ran_is_told_apart() {
        let mut analysis = fixture::analysis();
        analysis.validity.state = State::NotRun;
        analysis.expectations.clear();
        assert_eq!(Exit::of_analysis(&analysis, false), Exit::NothingRan);
    }
}
