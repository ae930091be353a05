//! The command `runner`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use runner::process::{GuardArgs, guard_main};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: SubCommand,
}

#[derive(Subcommand)]
enum SubCommand {
    /// Stands between the runner and one program.
    #[command(hide = true)]
    Guard(GuardArgs),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        SubCommand::Guard(arguments) => guard_main(&arguments),
    }
}
