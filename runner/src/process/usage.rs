//! What process trees use, as `/proc` counts it.

use std::{fs::File, io::Read as _, iter::once};

use rustix::param::{clock_ticks_per_second, page_size};

use super::process_table::{descendants, living, process_path, processes};
use crate::clock::NS_PER_S;

/// What a process holds now and has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory.
    pub rss_bytes: u64,
    /// CPU time of all of its threads.
    pub cpu_ns: u64,
    /// Bytes read at the block layer; null where the system does not tell.
    pub disk_read_bytes: Option<u64>,
    /// Bytes written at the block layer; null where the system does not tell.
    pub disk_written_bytes: Option<u64>,
}

impl Usage {
    /// Reads two small files, once each: sensors do so ten times a second beside the measurement. Nothing for a process that is dead.
    pub fn of(pid: u32) -> Option<Self> {
        let (rss_bytes, cpu_ns) = memory_and_cpu(&read(pid, "stat")?)?;
        let io = read(pid, "io").unwrap_or_default();
        Some(Self {
            rss_bytes,
            cpu_ns,
            disk_read_bytes: counter(&io, "read_bytes"),
            disk_written_bytes: counter(&io, "write_bytes"),
        })
    }
}

/// Each root, followed by everything that descends from it.
pub fn trees(roots: &[u32]) -> Vec<Vec<u32>> {
    if roots.is_empty() {
        return Vec::new();
    }
    let table = processes();
    roots
        .iter()
        .map(|&root| {
            let below = descendants(&table, &[root.cast_signed()]);
            once(root)
                .chain(below.into_iter().map(i32::cast_unsigned))
                .collect()
        })
        .collect()
}

/// The text of a file of `/proc` that is shorter than a page, which the system gives in one piece.
fn read(pid: u32, file: &str) -> Option<String> {
    let mut text = [0; 4096];
    let length = File::open(process_path(pid.cast_signed(), file))
        .ok()?
        .read(&mut text)
        .ok()?;
    Some(String::from_utf8_lossy(text.get(..length)?).into_owned())
}

/// Fields 24 (rss), 14 (utime) and 15 (stime) of `/proc/<pid>/stat` (proc_pid_stat(5)).
fn memory_and_cpu(stat: &str) -> Option<(u64, u64)> {
    // The fourth is the first here.
    let mut fields = living(stat)?.2.skip(14 - 4).map(str::parse::<u64>);
    let mut next = || fields.next()?.ok();
    let ticks = next()? + next()?;
    let pages = fields.nth(24 - 16)?.ok()?;
    Some((
        pages * page_size() as u64,
        ticks * (NS_PER_S / clock_ticks_per_second()),
    ))
}

/// A line `name: value` of `/proc/<pid>/io`.
fn counter(io: &str, name: &str) -> Option<u64> {
    io.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_process_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 8 9 20 0 12 0 77 1000000 300 18446744073709551615 1 1";
        let (rss_bytes, cpu_ns) = memory_and_cpu(stat).expect("it lives");
        assert_eq!(rss_bytes, 300 * page_size() as u64);
        assert_eq!(cpu_ns, 300 * (NS_PER_S / clock_ticks_per_second()));
        assert_eq!(memory_and_cpu(&stat.replace(" S ", " Z ")), None);

        let io =
            "rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 3\n";
        assert_eq!(counter(io, "read_bytes"), Some(4096));
        assert_eq!(counter(io, "write_bytes"), Some(8192));
        assert_eq!(counter("", "read_bytes"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let own = std::process::id();
        assert!(Usage::of(own).is_some_and(|usage| usage.rss_bytes > 0));
        let trees = trees(&[own]);
        assert_eq!(trees.first().and_then(|tree| tree.first()), Some(&own));
    }
}
