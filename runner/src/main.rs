//! The `runner` binary: arguments decide which part of it works.

use std::{io::Write as _, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use runner::{
    args::{Cli, Command},
    doctor, process, run,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => run::run(&cli.run),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "runner", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Some(Command::Doctor { profile }) => doctor::run(profile.as_deref()),
        Some(Command::Guard(guard)) => process::guard_main(&guard),
        Some(Command::Engine(engine)) => match engine::serve(*engine) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // The engine's own log: the runner reads it from there.
                let _ = writeln!(std::io::stderr(), "error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
