//! Every file in `tests/invalid` is refused with exactly the text beside it. To add a case, add a file.
//!
//! `UPDATE_GOLDEN=1 cargo test --release -p schemas` writes the texts; read them before they are committed.

use std::{fs, path::PathBuf};

use schemas::{
    diagnostic::render,
    read::{self, Source},
};

#[test]
fn invalid_files_are_explained() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 45, "only {} files", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let source = Source {
            path: name.clone(),
            text: fs::read_to_string(&file).unwrap(),
        };
        let result = if name.starts_with("profile-") {
            read::profile(&source).map(|_| ())
        } else {
            read::scenario(&source).map(|_| ())
        };
        let Err(problems) = result else {
            wrong.push(format!("{name} is accepted"));
            continue;
        };
        let text = render(&source, &problems, false);
        let golden = file.with_extension("err");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!(
                "{name}: another text than {}:\n{text}",
                golden.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
