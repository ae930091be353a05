//! Files in shared memory (`/dev/shm`): which of them a tree of processes made, and their removal once nobody uses them.
//!
//! Such a file outlives its maker, and its name does not tell who made it. The rule here: a file belongs to a tree if it appeared after the tree's
//! guard had started, and a process of the tree had it mapped or open. A watch on the folder wakes the guard whenever a file appears, while its maker
//! still holds it, so nothing is polled while requests are measured. A file is removed when no living process holds it.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::inotify;
use tokio::net::unix::pipe;

use super::process_table::{process_ids, process_path};

/// Where the kernel's shared-memory files are.
pub(super) const SHARED_MEMORY_FOLDER: &str = "/dev/shm";

/// A file in shared memory. The inode tells it from a later file of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SharedFile {
    /// Its inode number.
    pub(super) inode: u64,
    /// Its name in the folder.
    pub(super) name: String,
}

/// Watches which shared-memory files a tree of processes makes.
#[derive(Debug)]
pub(super) struct SharedMemoryWatch {
    folder: PathBuf,
    /// Files that were there before the tree: never ours.
    before: HashSet<u64>,
    owned: Vec<SharedFile>,
    /// Wakes when a file appears. `None` where nothing is to wake it, or the host gives no more watches; then only looks before a signal find files.
    appeared: Option<pipe::Receiver>,
}

impl SharedMemoryWatch {
    /// Starts watching; to be called before the tree's first process starts, inside a runtime.
    pub(super) fn start(folder: &Path) -> Self {
        Self {
            appeared: watch_folder(folder).ok(),
            ..Self::unwoken(folder)
        }
    }

    /// As [`Self::start`], but nothing will wake it: for a tree whose guard watches.
    pub(super) fn unwoken(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            before: files(folder).into_iter().map(|file| file.inode).collect(),
            owned: Vec::new(),
            appeared: None,
        }
    }

    /// Waits until a file appeared in the folder, whoever made it.
    pub(super) async fn appeared(&self) {
        let Some(appeared) = &self.appeared else {
            return std::future::pending().await;
        };
        if appeared.readable().await.is_err() {
            return std::future::pending().await;
        }
        // What the events say does not matter, the folder is read again: they only have to be taken away.
        let mut events = [0_u8; 4096];
        while matches!(appeared.try_read(&mut events), Ok(1..)) {}
    }

    /// Looks which new files the given processes hold, and returns those not seen before. One that was given another name is new: semaphores of glibc
    /// are made under a passing name.
    pub(super) fn observe(&mut self, pids: &[i32]) -> Vec<SharedFile> {
        let mut unknown = files(&self.folder);
        unknown.retain(|file| !self.before.contains(&file.inode) && !self.owned.contains(file));
        if unknown.is_empty() {
            return unknown;
        }
        let held = held_inodes(&self.folder, pids);
        unknown.retain(|file| held.contains(&file.inode));
        self.owned.extend(unknown.iter().cloned());
        unknown
    }

    /// Takes in a file that another watch has seen to be the tree's.
    pub(super) fn add(&mut self, file: SharedFile) {
        if !self.owned.contains(&file) {
            self.owned.push(file);
        }
    }

    /// The files that the tree made.
    pub(super) fn owned(&self) -> &[SharedFile] {
        &self.owned
    }
}

/// Removes those of the files that still exist and that no living process holds. Returns their names, and those that are still held.
pub(super) fn remove_unused(
    folder: &Path,
    wanted: &[SharedFile],
) -> (Vec<String>, Vec<SharedFile>) {
    let mut present = files(folder);
    present.retain(|file| wanted.contains(file));
    if present.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let held = held_inodes(folder, &process_ids());
    let (held, unused): (Vec<_>, Vec<_>) = present
        .into_iter()
        .partition(|file| held.contains(&file.inode));
    let removed = unused
        .into_iter()
        .filter(|file| fs::remove_file(folder.join(&file.name)).is_ok())
        .map(|file| file.name)
        .collect();
    (removed, held)
}

fn watch_folder(folder: &Path) -> io::Result<pipe::Receiver> {
    let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(
        &events,
        folder,
        inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO,
    )?;
    // Events are read like the bytes of a pipe, without blocking, which is all that the type asks for.
    pipe::Receiver::from_owned_fd_unchecked(events)
}

/// The folder's files, folders in it left out. Names that do not fit in a line are not reported and so never removed.
fn files(folder: &Path) -> Vec<SharedFile> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let name = entry.file_name().into_string().ok()?;
            (metadata.is_file() && !name.contains(char::is_control)).then(|| SharedFile {
                inode: metadata.ino(),
                name,
            })
        })
        .collect()
}

/// Inodes of the folder's files that any of the processes has mapped or open.
fn held_inodes(folder: &Path, pids: &[i32]) -> HashSet<u64> {
    let mut held = HashSet::new();
    let prefix = format!("{}/", folder.display());
    for pid in pids {
        if let Ok(maps) = fs::read(process_path(*pid, "maps")) {
            held.extend(mapped_inodes(&String::from_utf8_lossy(&maps), &prefix));
        }
        let Ok(descriptors) = fs::read_dir(process_path(*pid, "fd")) else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            let path = descriptor.path();
            let is_inside = fs::read_link(&path).is_ok_and(|target| target.starts_with(folder));
            if is_inside && let Ok(metadata) = fs::metadata(&path) {
                held.insert(metadata.ino());
            }
        }
    }
    held
}

/// Inodes of mapped files under the prefix, from the text of `/proc/<pid>/maps` (proc_pid_maps(5)).
fn mapped_inodes<'a>(maps: &'a str, prefix: &'a str) -> impl Iterator<Item = u64> + 'a {
    maps.lines().filter_map(move |line| {
        let path_start = line.find('/')?;
        if !line[path_start..].starts_with(prefix) {
            return None;
        }
        // address, permissions, offset, device, inode, path
        line[..path_start]
            .split_ascii_whitespace()
            .nth(4)?
            .parse()
            .ok()
    })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).expect("an id fits")
    }

    #[test]
    fn mapped_files_of_the_folder_are_found() {
        let maps = "7f00-7f01 rw-s 00000000 00:1a 77 /dev/shm/psm_ab\n\
                    7f01-7f02 rw-s 00000000 00:1a 78 /dev/shm/sem.x (deleted)\n\
                    7f02-7f03 r-xp 00000000 fe:00 79 /usr/lib/libc.so\n\
                    7f03-7f04 rw-p 00000000 00:00 0\n";
        let found: Vec<u64> = mapped_inodes(maps, "/dev/shm/").collect();
        assert_eq!(found, [77, 78]);
    }

    #[tokio::test]
    async fn only_new_files_that_the_processes_hold_are_owned_and_only_unused_ones_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = File::create(folder.path().join("old")).expect("a file");
        let mut watch = SharedMemoryWatch::start(folder.path());
        let held = File::create(folder.path().join("held")).expect("a file");
        tokio::time::timeout(Duration::from_secs(30), watch.appeared())
            .await
            .expect("the watch wakes");
        fs::write(folder.path().join("foreign"), "x").expect("a file");

        let seen = watch.observe(&[own_pid()]);
        assert_eq!(
            seen.iter()
                .map(|file| file.name.as_str())
                .collect::<Vec<_>>(),
            ["held"]
        );
        assert_eq!(watch.observe(&[own_pid()]), []);
        assert_eq!(watch.owned(), seen);

        assert_eq!(
            remove_unused(folder.path(), &seen),
            (Vec::new(), seen.clone())
        );
        drop((held, old));
        assert_eq!(
            remove_unused(folder.path(), &seen),
            (vec!["held".to_owned()], Vec::new())
        );
        assert_eq!(
            remove_unused(folder.path(), &seen),
            (Vec::new(), Vec::new())
        );
        assert!(folder.path().join("old").exists() && folder.path().join("foreign").exists());
    }

    #[test]
    fn a_file_that_was_seen_under_a_passing_name_is_removed_under_its_last() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watch = SharedMemoryWatch::unwoken(folder.path());
        let [passing, last] = ["passing", "last"].map(|name| folder.path().join(name));
        let held = File::create(&passing).expect("a file");
        assert_eq!(watch.observe(&[own_pid()]).len(), 1);
        fs::hard_link(&passing, &last).expect("a link");
        fs::remove_file(&passing).expect("gone");
        assert_eq!(watch.observe(&[own_pid()]).len(), 1);
        drop(held);
        let removed = remove_unused(folder.path(), watch.owned());
        assert_eq!(removed, (vec!["last".to_owned()], Vec::new()));
    }

    #[test]
    fn a_later_file_of_the_same_name_is_not_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("name"), "x").expect("a file");
        let other = SharedFile {
            inode: files(folder.path())[0].inode + 1,
            name: "name".to_owned(),
        };
        assert_eq!(
            remove_unused(folder.path(), &[other]),
            (Vec::new(), Vec::new())
        );
        assert!(folder.path().join("name").exists());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|/|\n){0,80}") {
            let _ = mapped_inodes(&text, "/").count();
        }
    }
}
