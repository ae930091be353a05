//! Finds a launch's program and writes its files.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The file that a command's first word names: a path, or a name to look for in the given `PATH`.
pub(super) fn find_program(program: &str, search_path: &OsStr) -> Option<PathBuf> {
    if program.contains('/') {
        let path = PathBuf::from(program);
        return path.is_file().then_some(path);
    }
    std::env::split_paths(search_path)
        .map(|folder| folder.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Writes a file that only this user may read, and the folders that it needs. Configurations may hold passwords.
pub(super) fn write_private_file(path: &Path, content: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    // A file that was there keeps its permissions otherwise.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_the_path_or_as_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tool");
        fs::write(&file, "").expect("a file");
        let path = OsStr::new("/nonexistent").to_owned();
        let mut search = path.clone();
        search.push(":");
        search.push(folder.path());
        assert_eq!(find_program("tool", &search), None, "it is not executable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).expect("it is ours");
        assert_eq!(find_program("tool", &search), Some(file.clone()));
        assert_eq!(find_program("tool", &path), None);
        let named = file.to_str().expect("it is text").to_owned();
        assert_eq!(find_program(&named, &path), Some(file));
        assert_eq!(find_program("/nonexistent/tool", &search), None);
    }

    #[test]
    fn files_are_private_whatever_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/c.yaml");
        write_private_file(&path, "long content").expect("it is ours");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
        write_private_file(&path, "short").expect("it is ours");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "short");
        for (path, mode) in [(path.as_path(), 0o600), (&folder.path().join("a/b"), 0o700)] {
            assert_eq!(
                fs::metadata(path)
                    .expect("it is there")
                    .permissions()
                    .mode()
                    & 0o777,
                mode
            );
        }
    }
}
