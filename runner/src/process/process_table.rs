//! The host's processes as `/proc` shows them: parents, groups, sessions, environments.

use std::{collections::HashSet, fs, path::PathBuf};

/// One living process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessEntry {
    /// Its id.
    pub(super) pid: i32,
    /// Its parent's id.
    pub(super) parent: i32,
    /// Its process group.
    pub(super) group: i32,
    /// Its session.
    pub(super) session: i32,
    /// Its name, at most 15 bytes long.
    pub(super) name: String,
}

/// The path of a process's folder, or of a file in it.
pub(super) fn process_path(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

/// All living processes. Those that ended and only wait to be collected are left out: they hold nothing, and no signal changes them.
pub(super) fn processes() -> Vec<ProcessEntry> {
    process_ids()
        .into_iter()
        .filter_map(|pid| {
            let stat = fs::read(process_path(pid, "stat")).ok()?;
            parse_stat(&String::from_utf8_lossy(&stat))
        })
        .collect()
}

/// The ids of all processes, the dead that wait to be collected included.
pub(super) fn process_ids() -> Vec<i32> {
    let Ok(folder) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    folder
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Name of a process.
pub(super) fn name(pid: i32) -> Option<String> {
    let name = fs::read(process_path(pid, "comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}

/// Everything that descends from one of the roots, the roots left out.
pub(super) fn descendants(table: &[ProcessEntry], roots: &[i32]) -> Vec<i32> {
    let mut known: HashSet<i32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    // Ids wrap around, so a child may stand before its parent: repeat until a pass adds none.
    loop {
        let before = found.len();
        for entry in table {
            if known.contains(&entry.parent) && known.insert(entry.pid) {
                found.push(entry.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// Whether the environment that a process was started with holds all these `NAME=value` entries. False where it may not be read.
pub(super) fn environment_holds(pid: i32, wanted: &[String]) -> bool {
    let Ok(environment) = fs::read(process_path(pid, "environ")) else {
        return false;
    };
    wanted.iter().all(|entry| {
        environment
            .split(|byte| *byte == 0)
            .any(|held| held == entry.as_bytes())
    })
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)); nothing for a process that is dead already.
fn parse_stat(text: &str) -> Option<ProcessEntry> {
    let (pid, rest) = text.split_once(" (")?;
    // The name may itself hold parentheses and spaces; no later field does.
    let (name, fields) = rest.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    Some(ProcessEntry {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(pid: i32, parent: i32) -> ProcessEntry {
        ProcessEntry {
            pid,
            parent,
            group: pid,
            session: pid,
            name: "x".to_owned(),
        }
    }

    #[test]
    fn a_name_with_parentheses_is_read_whole() {
        let read = parse_stat("12 (a) b (c) S 3 4 5 0 -1").expect("a whole line");
        assert_eq!(
            read,
            ProcessEntry {
                pid: 12,
                parent: 3,
                group: 4,
                session: 5,
                name: "a) b (c".to_owned()
            }
        );
    }

    #[test]
    fn the_dead_are_left_out() {
        assert_eq!(parse_stat("12 (a) Z 3 4 5 0 -1"), None);
    }

    #[test]
    fn descendants_are_found_whatever_the_order() {
        let table = [
            entry(9, 7),
            entry(7, 5),
            entry(5, 1),
            entry(6, 1),
            entry(8, 6),
        ];
        let mut found = descendants(&table, &[5]);
        found.sort_unstable();
        assert_eq!(found, [7, 9]);
    }

    #[test]
    fn this_process_is_in_the_table() {
        let own = i32::try_from(std::process::id()).expect("an id fits");
        let table = processes();
        let entry = table
            .iter()
            .find(|entry| entry.pid == own)
            .expect("we live");
        let name = name(own).expect("we have a name");
        assert_eq!(entry.name, name);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,80}") {
            let _ = parse_stat(&text);
        }

        #[test]
        fn any_name_is_read_whole(name in "\\PC{0,15}") {
            let read = parse_stat(&format!("1 ({name}) R 2 3 4 5")).expect("a whole line");
            prop_assert_eq!(read.name, name);
            prop_assert_eq!(read.session, 4);
        }
    }
}
