//! The command line: as close to what was typed as possible.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use regex::Regex;

/// Measures whether reusing the KV cache pays: runs scenario files against real engines and reports the difference.
#[derive(Debug, Parser)]
#[command(
    name = "runner",
    version,
    arg_required_else_help = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  runner scenarios/quickstart.toml             run one scenario on the built-in engine
  runner 'scenarios/cachegen*.toml'            run all that match, quoted or not
  runner -l                                    list the scenarios
  runner --check scenarios/mine.toml           look for mistakes, start nothing
  runner --dry-run scenarios/local_cpu.toml    print the plan: processes, requests, skips
  runner -m meta-llama/Llama-3.1-8B-Instruct scenarios/local_cpu.toml
  runner doctor --profile cpu                  what this host has, what is missing, how to get it
  report outputs/quickstart/latest             draw a run's report again

Exit codes, the worst of all files:
  0 all met   2 usage or invalid scenario   3 could not run   4 expectation not met   5 no file matched
  6 INVALID   7 undecided (only with --strict)   8 nothing ran   130 interrupted"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

/// Everything apart from running scenarios.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at what this host has for a profile, and say what is missing and how to get it.
    Doctor {
        /// Only this one: `builtin`, `cpu`, `cpu-short`, `gpu`, `gpu-short`, or a file. By default all five.
        #[arg(long)]
        profile: Option<String>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Serve a model: the built-in engine (started by the runner itself).
    #[command(hide = true)]
    Engine(Box<engine::EngineArgs>),
    /// Keep a process group and end it when the runner ends (started by the runner itself).
    #[command(hide = true)]
    Guard(crate::process::GuardArgs),
}

/// What to run, and how.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Scenario files, folders of them, or globs (quoted or not).
    #[arg(value_name = "PATTERN")]
    pub patterns: Vec<String>,
    /// List the scenarios instead of running them (by default those in `scenarios/`).
    #[arg(short, long)]
    pub list: bool,
    /// Only scenarios whose name matches this regular expression.
    #[arg(short, long, value_name = "REGEX")]
    pub filter: Option<Regex>,
    /// Run this model instead of the scenario's.
    #[arg(short, long)]
    pub model: Option<String>,
    /// Where run folders go.
    #[arg(short, long, value_name = "DIR", default_value = "outputs")]
    pub output_dir: PathBuf,
    /// Ports of the engines in the file's order (by default free ones); name them after the patterns.
    #[arg(short, long, value_name = "PORT", num_args = 1.., value_delimiter = ',')]
    pub ports: Vec<u16>,
    /// How scenarios run on this host: `auto`, `builtin`, `cpu`, `cpu-short`, `gpu`, `gpu-short`, or a file.
    #[arg(long, default_value = "auto")]
    pub profile: String,
    /// Look for mistakes in the files and start nothing.
    #[arg(long, conflicts_with_all = ["dry_run", "list"])]
    pub check: bool,
    /// Print the plan and start nothing.
    #[arg(long, conflicts_with = "list")]
    pub dry_run: bool,
    /// Run exactly this many trials.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub trials: Option<u32>,
    /// Seed of texts, gaps and orders instead of the scenario's.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Send no warm-up requests: the first measured ones pay for what a start leaves undone.
    #[arg(long)]
    pub no_warm_up: bool,
    /// An undecided expectation is a failure (exit 7).
    #[arg(long)]
    pub strict: bool,
    /// Keep the rows, draw no report.
    #[arg(long)]
    pub no_report: bool,
    /// Print only verdicts, the answer and the report's path.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print every request as it ends.
    #[arg(short, long)]
    pub verbose: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ports_as_the_predecessor_took_them() {
        let cli = Cli::parse_from(["runner", "x.toml", "-p", "8000", "8001"]);
        assert_eq!(cli.run.ports, [8000, 8001]);
        assert_eq!(cli.run.patterns, ["x.toml"]);
    }
}
