//! The run's temporary folder, which every process of the run gets as `TMPDIR`.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Longest path of the host's temporary folder that is used. Processes make sockets in their temporary folder, a socket's path may have 107 bytes, and engines
/// take some 60 of them (an interpreter's folder and an identifier): a run folder would often be too long.
const LONGEST_PARENT_BYTES: usize = 30;

/// Attempts to find a name that is not taken.
const ATTEMPTS: u32 = 16;

/// Makes a folder that only this user may enter.
pub(super) fn create_scratch() -> io::Result<PathBuf> {
    let parent = parent(env::temp_dir());
    let mut error = io::Error::from(io::ErrorKind::AlreadyExists);
    for attempt in 0..ATTEMPTS {
        let number = RandomState::new().hash_one(attempt);
        let folder = parent.join(format!("kv-{:08x}", number >> 32));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(refused) => error = refused,
        }
        if error.kind() != io::ErrorKind::AlreadyExists {
            break;
        }
    }
    Err(io::Error::new(
        error.kind(),
        format!("{}: {error}", parent.display()),
    ))
}

fn parent(preferred: PathBuf) -> PathBuf {
    if preferred.is_absolute() && preferred.as_os_str().len() <= LONGEST_PARENT_BYTES {
        preferred
    } else {
        Path::new("/tmp").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn scratch_folders_are_private_and_differ() {
        let (one, two) = (
            create_scratch().expect("a folder"),
            create_scratch().expect("a folder"),
        );
        assert_ne!(one, two);
        assert_eq!(
            fs::metadata(&one)
                .expect("it is there")
                .permissions()
                .mode()
                & 0o777,
            0o700
        );
        for folder in [one, two] {
            assert!(folder.as_os_str().len() <= LONGEST_PARENT_BYTES + 12);
            fs::remove_dir(folder).expect("it is ours");
        }
    }

    #[test]
    fn a_long_or_relative_parent_is_passed_over() {
        assert_eq!(parent(PathBuf::from("/var/tmp")), Path::new("/var/tmp"));
        assert_eq!(parent(PathBuf::from("tmp")), Path::new("/tmp"));
        assert_eq!(
            parent(PathBuf::from(format!("/{}", "x".repeat(40)))),
            Path::new("/tmp")
        );
    }
}
