//! The host's processes as `/proc` shows them: parents, groups, sessions, environments.

use std::{collections::HashSet, fs, path::PathBuf, str::SplitAsciiWhitespace};

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

/// Whether the environment that a process was started with holds all these `NAME=value` entries. False where it may not be read;
/// `None` while the process is within `exec`: it has left its old memory, and the new environment is not there yet.
pub(super) fn environment_holds(pid: i32, wanted: &[String]) -> Option<bool> {
    // Another user's shows neither its environment nor, in `stat`, where that ends.
    let Ok(mut environment) = fs::read(process_path(pid, "environ")) else {
        return Some(false);
    };
    if environment.is_empty() {
        let stat = fs::read(process_path(pid, "stat")).unwrap_or_default();
        if within_exec(&String::from_utf8_lossy(&stat)) {
            return None;
        }
        // It may have come out of `exec` between the two.
        environment = fs::read(process_path(pid, "environ")).unwrap_or_default();
    }
    Some(wanted.iter().all(|entry| {
        environment
            .split(|byte| *byte == 0)
            .any(|held| held == entry.as_bytes())
    }))
}

/// Whether `/proc/<pid>/stat` is that of a living program whose environment has no address yet. Threads of the kernel never have one.
fn within_exec(stat: &str) -> bool {
    /// `PF_KTHREAD` of Linux's `include/linux/sched.h`.
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let Some((_, _, fields)) = living(stat) else {
        return false;
    };
    let fields: Vec<u64> = fields
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // Fields 9 (flags) and 51 (env_end) of the line; the fourth is the first here.
    let [flags, env_end] = [9 - 4, 51 - 4].map(|index: usize| fields.get(index));
    flags.is_some_and(|flags| flags & KERNEL_THREAD == 0) && env_end == Some(&0)
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)); nothing for a process that is dead already.
fn parse_stat(text: &str) -> Option<ProcessEntry> {
    let (pid, name, mut fields) = living(text)?;
    Some(ProcessEntry {
        pid: pid.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        name: name.to_owned(),
    })
}

/// Id, name and the fields after the state of a process that is not dead.
pub(super) fn living(stat: &str) -> Option<(&str, &str, SplitAsciiWhitespace<'_>)> {
    let (pid, rest) = stat.split_once(" (")?;
    // The name may itself hold parentheses and spaces; no later field does.
    let (name, fields) = rest.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
    (!is_dead).then_some((pid, name, fields))
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
    fn only_a_program_without_an_environment_yet_is_within_exec() {
        let stat = |state: &str, flags: u64, env_end: u64| {
            let unused = vec!["0"; 51 - 10].join(" ");
            format!("12 (a) b) {state} 3 4 5 0 -1 {flags} {unused} {env_end} 0")
        };
        assert!(within_exec(&stat("R", 0x40_0000, 0)));
        assert!(!within_exec(&stat("R", 0x40_0000, 4096)), "an empty one");
        assert!(!within_exec(&stat("I", 0x20_8040, 0)), "of the kernel");
        assert!(!within_exec(&stat("Z", 0x40_0000, 0)), "dead");
        assert!(!within_exec(""), "gone");
        let own = fs::read_to_string("/proc/self/stat").expect("we live");
        assert!(!within_exec(&own));
        assert_eq!(own.split_ascii_whitespace().count(), 52);
    }

    /// `posix_spawn` returns once the old memory is left: of 3,000 looks at a program just started, 550 found no environment.
    #[test]
    fn a_program_just_started_is_never_called_anothers() {
        let wanted = ["KVBENCH_TEST=within_exec".to_owned()];
        for _ in 0..100 {
            let mut sleep = std::process::Command::new("sleep")
                .arg("600")
                .env("KVBENCH_TEST", "within_exec")
                .spawn()
                .expect("sleep is there");
            let pid = i32::try_from(sleep.id()).expect("an id fits");
            let holds = environment_holds(pid, &wanted);
            sleep.kill().expect("it is ours");
            sleep.wait().expect("it is ours");
            assert_ne!(holds, Some(false));
        }
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
