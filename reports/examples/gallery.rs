//! Draws the made-up runs that a report has to look right for: `cargo run --release -p reports --example gallery -- FOLDER`.

use std::{error::Error, path::PathBuf};

use reports::several::{Run, Several};

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("which folder?")?.into();
    std::fs::create_dir_all(&folder)?;
    let mut runs = Vec::new();
    for (name, spec) in synthetic::gallery() {
        let analysis = synthetic::analysis(&spec);
        reports::pdf::write(&analysis, &folder.join(format!("{name}.pdf")))?;
        runs.push(Run {
            name: name.to_owned(),
            analysis: Ok(analysis),
        });
    }
    runs.push(Run {
        name: "outputs/not-there/latest".to_owned(),
        analysis: Err("cannot read outputs/not-there/latest/scenario.toml: No such file or directory (os error 2)".to_owned()),
    });
    Several::new(runs).write_pdf(&folder.join("several.pdf"))?;
    Ok(())
}
