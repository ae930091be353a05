//! `report RUN…`: draws the reports of runs again, without measuring again.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use clap::Parser;
use reports::exit::Exit;

/// Draws a run's report again from its folder, without measuring again.
///
/// A folder that has only its journals gets its tables too.
#[derive(Debug, Parser)]
#[command(
    name = "report",
    version,
    after_help = "Example: report outputs/quickstart/latest\n\nExit codes: 0 all met, 2 usage, 3 could not run, 4 not met, 6 INVALID, 7 undecided (with --strict), 8 nothing ran, 130 interrupted; the worst of all runs."
)]
struct Arguments {
    /// Run folders, like `outputs/quickstart/latest`.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Count an undecided expectation as a failure.
    #[arg(long)]
    strict: bool,
    /// Print only verdicts, answer and the report's path.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut worst = Exit::AllMet;
    for run in &arguments.runs {
        worst = worst.worse(draw(run, &arguments));
    }
    worst.into()
}

fn draw(run: &std::path::Path, arguments: &Arguments) -> Exit {
    match reports::report(run) {
        Ok(reported) => {
            // The stream strips the colours where they do not reach a reader; a closed one is no reason to fail.
            let _ = write!(
                anstream::stdout(),
                "{}",
                reported.terminal(true, arguments.quiet)
            );
            reported.exit(arguments.strict)
        }
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "error: {error}");
            Exit::CouldNotRun
        }
    }
}
