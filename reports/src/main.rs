//! `report RUN…`: draws the reports of runs again, each for itself or all as one, without measuring again.

use std::{
    fmt::Display,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use reports::{compare, exit::Exit, several::Several};

/// Draws a run's report again from its folder, or one report on several runs, without measuring again.
///
/// A folder that has only its journals gets its tables too. With -o, --junit or --markdown nothing is written into the folders.
#[derive(Debug, Parser)]
#[command(
    name = "report",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  report outputs/quickstart/latest             draw a run's report again
  report outputs/*/latest -o nightly.pdf       one PDF on many runs, an index of their verdicts first
  report compare BEFORE AFTER                  what became better or worse

Exit codes, the worst of all runs:
  0 all met   2 usage   3 could not run, or cannot be read   4 not met   6 INVALID
  7 undecided (with --strict)   8 nothing ran   130 interrupted"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    draw: Arguments,
}

/// Everything apart from drawing reports.
#[derive(Debug, Subcommand)]
enum Command {
    /// Hold a run against an earlier one of the same scenario: what is better, what worse.
    ///
    /// Compared are the metrics that the scenario expects something of, else the median TTFT of later requests. A difference is called where the whole 95 % interval of the
    /// ratio lies beyond the threshold, corrected for the number of metrics.
    #[command(after_help = "\
Exit codes: 0 nothing is worse   2 usage   3 a folder cannot be read   4 something is worse
  6 not comparable because INVALID   7 something is not comparable (with --strict)   8 nothing is comparable")]
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Compare {
    /// The run folder to hold against.
    #[arg(value_name = "A")]
    base: PathBuf,
    /// The run folder that is judged.
    #[arg(value_name = "B")]
    new: PathBuf,
    /// A ratio between 1 − this and 1 + this is no difference.
    #[arg(long, value_name = "SHARE", default_value = "0.05", value_parser = share)]
    threshold: f64,
    /// Write the comparison as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Count what is not comparable as a failure.
    #[arg(long)]
    strict: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
        _ => Err("a share from 0 to below 1, like 0.05".to_owned()),
    }
}

#[derive(Debug, Args)]
struct Arguments {
    /// Run folders, like `outputs/quickstart/latest`.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Draw all runs into this PDF: an index of their verdicts, then each run's pages.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write one JUnit file on all runs.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write one Markdown summary of all runs.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Count an undecided expectation as a failure.
    #[arg(long)]
    strict: bool,
    /// Print only verdicts, answer and the report's path.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let Cli {
        command,
        draw: arguments,
    } = Cli::parse();
    if let Some(Command::Compare(arguments)) = command {
        return compared(&arguments).into();
    }
    let together = [&arguments.output, &arguments.junit, &arguments.markdown];
    if together.into_iter().any(Option::is_some) {
        return draw_together(&arguments).into();
    }
    let mut worst = Exit::AllMet;
    for run in &arguments.runs {
        worst = worst.worse(draw(run, &arguments));
    }
    worst.into()
}

fn draw(run: &Path, arguments: &Arguments) -> Exit {
    match reports::report(run) {
        Ok(reported) => {
            say(&reported.terminal(true, arguments.quiet));
            reported.exit(arguments.strict)
        }
        Err(error) => {
            tell(&error);
            Exit::CouldNotRun
        }
    }
}

fn draw_together(arguments: &Arguments) -> Exit {
    let several = Several::read(&arguments.runs);
    say(&several.terminal());
    let mut exit = several.exit(arguments.strict);
    type Write = fn(&Several, &Path) -> Result<(), reports::ReportError>;
    let files: [(&Option<PathBuf>, Write); 3] = [
        (&arguments.output, Several::write_pdf),
        (&arguments.junit, Several::write_junit),
        (&arguments.markdown, Several::write_markdown),
    ];
    for (path, write) in files {
        let Some(path) = path else { continue };
        match write(&several, path) {
            Ok(()) => say(&format!("  {}\n", path.display())),
            Err(error) => {
                tell(&error);
                exit = exit.worse(Exit::CouldNotRun);
            }
        }
    }
    exit
}

fn compared(arguments: &Compare) -> Exit {
    let comparison =
        match compare::compare_folders(&arguments.base, &arguments.new, arguments.threshold) {
            Ok(comparison) => comparison,
            Err(error) => {
                tell(&error);
                return Exit::CouldNotRun;
            }
        };
    say(&comparison.terminal(true));
    let exit = comparison.exit(arguments.strict);
    match arguments
        .json
        .as_ref()
        .map(|path| comparison.write_json(path))
    {
        Some(Err(error)) => {
            tell(&error);
            exit.worse(Exit::CouldNotRun)
        }
        Some(Ok(())) | None => exit,
    }
}

/// What was asked for. The stream strips the colours where they do not reach a reader; a closed one is no reason to fail.
fn say(text: &str) {
    let _ = write!(anstream::stdout(), "{text}");
}

fn tell(error: &impl Display) {
    let _ = writeln!(anstream::stderr(), "error: {error}");
}
