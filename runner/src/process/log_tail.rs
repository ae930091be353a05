//! Reads the end of a process's log while the process still writes it.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use regex::Regex;

/// Lines that a failure quotes.
const QUOTED_LINES: usize = 10;

/// Longest quoted line, in characters.
const QUOTED_CHARACTERS: usize = 300;

/// How far back from the end lines are looked for.
const QUOTED_BYTES: u64 = 64 * 1024;

/// How Python ends the account of an exception: `torch.AcceleratorError: CUDA error: …`.
const EXCEPTION: &str = r"\b\w*(?:Error|Exception): \S";

/// The log of one start of a process: a file, from a place on. Earlier starts of the same process wrote what stands before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogTail {
    path: PathBuf,
    start_bytes: u64,
}

impl LogTail {
    /// The part of the log that is written from now on.
    pub(super) fn from_now(path: PathBuf) -> Self {
        let start_bytes = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, start_bytes }
    }

    /// The same log under another path as well, which keeps growing and outlives the first.
    ///
    /// # Errors
    ///
    /// The path is taken, or the file system has no hard links.
    pub(super) fn linked(&self, path: PathBuf) -> io::Result<Self> {
        std::fs::hard_link(&self.path, &path)?;
        Ok(Self {
            path,
            start_bytes: self.start_bytes,
        })
    }

    /// The log's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines, fit to be shown: blank ones left out, without control characters, of a line that was overwritten only the last state.
    /// An engine that dies of an exception goes on to tell how it shuts down: where the exception stands further up, its line is the first here.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let Ok(bytes) = self.end() else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let mut quoted: Vec<String> = Vec::new();
        let mut first = lines.len();
        while first > 0 && quoted.len() < QUOTED_LINES {
            first -= 1;
            quoted.extend(Some(shown(lines[first])).filter(|line| !line.is_empty()));
        }
        quoted.reverse();
        let exception = Regex::new(EXCEPTION).expect("a constant");
        if let Some(cause) = lines[..first].iter().find(|line| exception.is_match(line)) {
            quoted.splice(0..0, [shown(cause), "…".to_owned()]);
        }
        quoted
    }

    fn end(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            self.start_bytes.max(length.saturating_sub(QUOTED_BYTES)),
        ))?;
        let mut bytes = Vec::new();
        file.take(QUOTED_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A search that reads each byte of the log once.
    pub(super) fn search(&self, text: &str) -> LogSearch {
        LogSearch {
            path: self.path.clone(),
            read_bytes: self.start_bytes,
            text: text.as_bytes().to_vec(),
            kept: Vec::new(),
        }
    }
}

/// Looks for a text in what a process writes.
#[derive(Debug)]
pub(super) struct LogSearch {
    path: PathBuf,
    read_bytes: u64,
    text: Vec<u8>,
    /// The end of what was read: the text may begin there.
    kept: Vec<u8>,
}

impl LogSearch {
    /// Whether the text stands in what was written since the last call (or across its start).
    pub(super) fn found(&mut self) -> io::Result<bool> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read_bytes))?;
        let added = file.read_to_end(&mut self.kept)?;
        self.read_bytes += added as u64;
        if self.text.is_empty() {
            return Ok(!self.kept.is_empty());
        }
        let found = self
            .kept
            .windows(self.text.len())
            .any(|window| window == self.text);
        let keep = self.kept.len().min(self.text.len() - 1);
        self.kept.drain(..self.kept.len() - keep);
        Ok(found)
    }
}

/// A line as it may be shown in a terminal.
fn shown(line: &str) -> String {
    let last_state = line.trim_end().rsplit('\r').next().unwrap_or_default();
    let mut shown = String::new();
    let mut characters = last_state.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // Colour and cursor sequences: ESC [ parameters, ended by a letter or another of `@` to `~`.
            if characters.next() == Some('[') {
                characters.by_ref().find(|next| ('@'..='~').contains(next));
            }
        } else if character == '\t' {
            shown.push(' ');
        } else if !character.is_control() {
            shown.push(character);
        }
    }
    match shown.char_indices().nth(QUOTED_CHARACTERS) {
        Some((end, _)) => format!("{}…", &shown[..end]),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_exception_above_the_last_lines_is_quoted_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.log");
        let log = LogTail::from_now(path.clone());
        append(
            &path,
            "(worker) torch.AcceleratorError: CUDA error: device-side assert triggered\n",
        );
        append(&path, "(worker) RuntimeError: cancelled\n");
        for number in 0..QUOTED_LINES - 1 {
            append(&path, &format!("shutting down {number}\n"));
        }
        let lines = log.last_lines();
        assert!(lines[0].contains("AcceleratorError"), "{lines:?}");
        assert_eq!(lines[1..3], ["…", "(worker) RuntimeError: cancelled"]);
        assert_eq!(lines.len(), QUOTED_LINES + 2);
    }

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .expect("a file");
        file.write_all(text.as_bytes()).expect("it is written");
    }

    #[test]
    fn only_the_last_lines_of_this_start_are_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        append(&path, "of an earlier start\n");
        let log = LogTail::from_now(path.clone());
        assert_eq!(log.last_lines(), [""; 0]);
        append(
            &path,
            "one\n\n  two\n10 %\r20 %\n\u{1b}[31mred\u{1b}[0m\u{7}",
        );
        assert_eq!(log.last_lines(), ["one", "  two", "20 %", "red"]);
        for number in 0..20 {
            append(&path, &format!("\n{number}"));
        }
        assert_eq!(
            log.last_lines(),
            (10..20)
                .map(|number| number.to_string())
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = "ä".repeat(QUOTED_CHARACTERS + 1);
        assert_eq!(shown(&long), format!("{}…", "ä".repeat(QUOTED_CHARACTERS)));
    }

    #[test]
    fn a_text_is_found_across_writes_and_not_before_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.log");
        append(&path, "Server started\n");
        let mut search = LogTail::from_now(path.clone()).search("Server started");
        assert!(!search.found().expect("it is readable"));
        append(&path, "x Server sta");
        assert!(!search.found().expect("it is readable"));
        append(&path, "rted at\n");
        assert!(search.found().expect("it is readable"));
    }

    proptest! {
        #[test]
        fn what_is_shown_holds_no_control_character(line in any::<String>()) {
            let shown = shown(&line);
            prop_assert!(!shown.contains(char::is_control));
        }
    }
}
