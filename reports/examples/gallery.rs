//! Draws the made-up runs that a report has to look right for, each for itself and all as one: `cargo run --release --workspace --example gallery -- FOLDER`.

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
    let several = Several::new(runs);
    several.write_pdf(&folder.join("several.pdf"))?;
    several.write_junit(&folder.join("several.xml"))?;
    several.write_markdown(&folder.join("several.md"))?;
    Ok(())
}
