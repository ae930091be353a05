//! Starts one engine from the command line.

use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    engine: engine::EngineArgs,
}

fn main() -> Result<(), engine::EngineError> {
    engine::serve(Command::parse().engine)
}
