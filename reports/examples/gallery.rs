//! Draws the made-up runs that a report has to look right for: `cargo run --release -p reports --example gallery -- FOLDER`.

use std::{error::Error, path::PathBuf};

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("which folder?")?.into();
    std::fs::create_dir_all(&folder)?;
    for (name, spec) in synthetic::gallery() {
        reports::pdf::write(
            &synthetic::analysis(&spec),
            &folder.join(format!("{name}.pdf")),
        )?;
    }
    Ok(())
}
