//! The run folder: its name, its files, and how a file gets into it whole.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// An I/O error with the path that it is about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", .path.display())]
pub struct FolderError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError {
        action,
        path,
        source,
    }
}

/// `outputs/<scenario>/<UTC>/`.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    run_id: String,
}

impl RunFolder {
    /// Creates a new folder under `outputs` and lets `latest` point at it. The run id is the UTC time, with a number behind it when two runs
    /// start in one second.
    ///
    /// # Errors
    /// When a folder or the link cannot be made.
    pub fn create(outputs: &Path, scenario: &str, utc: &str) -> Result<Self, FolderError> {
        let parent = outputs.join(scenario);
        fs::create_dir_all(&parent).map_err(failed("create", &parent))?;
        // Absolute, so that processes find it whatever folder they work in.
        let parent = parent.canonicalize().map_err(failed("find", &parent))?;
        let mut run_id = utc.to_owned();
        for number in 2.. {
            let path = parent.join(&run_id);
            match fs::create_dir(&path) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    run_id = format!("{utc}-{number}")
                }
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
        let folder = Self {
            path: parent.join(&run_id),
            run_id,
        };
        for room in ["logs", "files", "data"] {
            let path = folder.path.join(room);
            fs::create_dir(&path).map_err(failed("create", &path))?;
        }
        let link = parent.join("latest");
        let fresh = parent.join(format!(".latest-{}", folder.run_id));
        symlink(&folder.run_id, &fresh).map_err(failed("create", &fresh))?;
        fs::rename(&fresh, &link).map_err(failed("replace", &link))?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// A process's log.
    pub fn log(&self, process: &str) -> PathBuf {
        self.path.join("logs").join(format!("{process}.log"))
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!(".{name}.new"));
        let mut file = fs::File::create(&fresh).map_err(failed("create", &fresh))?;
        file.write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(failed("replace", &path))
    }

    /// Opens a journal to append lines to.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn journal(&self, name: &str) -> Result<fs::File, FolderError> {
        let path = self.path.join(name);
        fs::OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(failed("create", &path))
    }

    /// Removes what processes needed only while they ran, when nothing is left in it.
    pub fn remove_empty_rooms(&self) {
        for room in ["files", "data"] {
            // A room that still holds something is evidence and stays.
            let _ = fs::remove_dir(self.path.join(room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_get_two_folders_and_latest_is_the_second() {
        let outputs = tempfile::tempdir().unwrap();
        let first = RunFolder::create(outputs.path(), "s", "2026-01-01T00-00-00Z").unwrap();
        let second = RunFolder::create(outputs.path(), "s", "2026-01-01T00-00-00Z").unwrap();
        assert_ne!(first.path(), second.path());
        let latest = outputs.path().join("s/latest").canonicalize().unwrap();
        assert_eq!(latest, second.path());
    }
}
