//! Journals: files of one JSON value a line that a run appends to, and that a killed run leaves with half a last line.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file itself.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is whole and still not what it should be.
    #[error("{}:{line}: {source}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
}

/// How a journal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JournalEnd {
    /// There is no such file.
    Absent,
    /// With a whole line.
    Whole,
    /// Within a line, which was left out.
    HalfLine,
}

/// Gives every whole line's value to `take`. A last line without its newline that does not parse is left out; any other broken line is an error.
///
/// # Errors
/// [`JournalError`] names the file, and the line that is broken.
pub fn read<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(T),
) -> Result<JournalEnd, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(JournalEnd::Absent),
        Err(error) => return Err(io(error)),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line).map_err(io)? == 0 {
            return Ok(JournalEnd::Whole);
        }
        number += 1;
        match serde_json::from_slice(&line) {
            Ok(value) => take(value),
            // Without its newline the line was cut while it was written.
            Err(_) if line.last() != Some(&b'\n') => return Ok(JournalEnd::HalfLine),
            Err(source) => {
                return Err(JournalError::Line {
                    path: path.to_owned(),
                    line: number,
                    source,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_bytes(bytes: &[u8]) -> (Vec<Vec<u32>>, Result<JournalEnd, JournalError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(&path, bytes).unwrap();
        let mut values = Vec::new();
        let end = read(&path, |value: Vec<u32>| values.push(value));
        (values, end)
    }

    #[test]
    fn only_an_incomplete_last_line_is_left_out() {
        let (values, end) = read_bytes(b"[1]\n[2, 3]\n[4");
        assert_eq!(values, [vec![1], vec![2, 3]]);
        assert_eq!(end.unwrap(), JournalEnd::HalfLine);

        let (values, end) = read_bytes(b"[1]\n[2, 3]\n[4]");
        assert_eq!((values.len(), end.unwrap()), (3, JournalEnd::Whole));

        let (_, end) = read_bytes(b"[1]\n[2, \n[4]\n");
        assert!(matches!(end, Err(JournalError::Line { line: 2, .. })));

        let (_, end) = read_bytes(b"[1]\n[2,\n");
        assert!(end.unwrap_err().to_string().contains("rows.jsonl:2: "));
    }

    #[test]
    fn an_absent_journal_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let end = read(&folder.path().join("none.jsonl"), |_: u32| {}).unwrap();
        assert_eq!(end, JournalEnd::Absent);
    }

    proptest! {
        /// Cut anywhere, a journal gives a prefix of its values, and no error.
        #[test]
        fn any_cut_gives_a_prefix(values in prop::collection::vec(prop::collection::vec(any::<u32>(), 0..4), 0..8), cut in any::<prop::sample::Index>()) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| format!("{}\n", serde_json::to_string(value).unwrap()).into_bytes()).collect();
            let end = cut.index(bytes.len() + 1);
            let (found, ended) = read_bytes(&bytes[..end]);
            prop_assert!(ended.is_ok());
            prop_assert_eq!(&found[..], &values[..found.len()]);
        }
    }
}
