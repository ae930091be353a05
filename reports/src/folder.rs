//! A run folder: its facts read from the journals or the tables made of them, and the tables made again.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use polars::prelude::*;
use polars_io::{
    SerReader,
    parquet::{
        read::ParquetReader,
        write::{KeyValueMetadata, ParquetCompression, ParquetWriter},
    },
};
use schemas::{
    manifest::{Ending, Manifest},
    plan::{FORMAT, Happened, Plan},
    sample::{Counter, Sample},
};
use serde::de::DeserializeOwned;

use crate::{
    columns::{self, ColumnError},
    csv,
    frame::Frame,
    journal::{self, JournalEnd, JournalError},
    sensors,
};

/// Why a run folder cannot be read or finished.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file of the folder.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A JSON file that is not what it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A table.
    #[error("{}: {source}", path.display())]
    Table {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ColumnError,
    },
    /// Written by a version whose format this one does not know.
    #[error("{}: format {found} is not known to this version, which reads format {FORMAT}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What stood there.
        found: String,
    },
}

/// Everything that a run left, as facts.
#[derive(Debug, Clone, PartialEq)]
pub struct RunData {
    /// `scenario.toml`, verbatim.
    pub scenario_text: String,
    /// `plan.json`.
    pub plan: Plan,
    /// `manifest.json`.
    pub manifest: Manifest,
    /// The rows.
    pub frame: Frame,
    /// What the sensors saw.
    pub samples: Vec<Sample>,
    /// What the engines and sidecars counted.
    pub counters: Vec<Counter>,
    /// What the scenario's events did.
    pub events: Vec<Happened>,
    /// What a reader should know of the files.
    pub notes: Vec<String>,
}

impl RunData {
    /// Why the run is only a part of what was planned, in one line; `None` when it is whole.
    pub fn partial(&self) -> Option<String> {
        match &self.manifest.ending {
            Some(Ending::Complete) => None,
            Some(Ending::Interrupted) => Some("interrupted by the user".to_owned()),
            Some(Ending::Failed { reason }) => {
                // What a log said comes after the first line.
                let first = reason.lines().next().unwrap_or_default();
                Some(format!("the run could not go on: {first}"))
            }
            None => Some("the runner ended before the run did".to_owned()),
        }
    }
}

/// A run folder that was opened: its plan and manifest are of a format that this version knows.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    scenario_text: String,
    plan: Plan,
    manifest: Manifest,
}

impl RunFolder {
    /// Opens a run folder.
    ///
    /// # Errors
    /// `scenario.toml`, `plan.json` or `manifest.json` is missing or broken, or of an unknown format.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let scenario = path.join("scenario.toml");
        Ok(Self {
            path: path.to_owned(),
            scenario_text: fs::read_to_string(&scenario).map_err(io_error("read", &scenario))?,
            plan: read_json(&path.join("plan.json"))?,
            manifest: read_json(&path.join("manifest.json"))?,
        })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the run's facts: from tables that are whole and at least as new as their journal, else from the journal. The second value says whether
    /// some came from a journal, so that the tables have to be written.
    ///
    /// # Errors
    /// A broken line (the last, half-written one apart), an unreadable table without a journal, or an unknown format.
    pub fn read(self) -> Result<(RunData, bool), FolderError> {
        let mut notes = Vec::new();
        let mut stale = false;
        let frame = match self.rows_from_tables()? {
            Some(frame) => frame,
            None => {
                stale = true;
                let mut frame = Frame::default();
                self.journal("rows", &mut notes, |row| frame.push(row))?;
                frame
            }
        };
        let samples = match self.table("samples", "samples")? {
            Some(table) => sensors::samples_from(&table)
                .map_err(table_error(&self.path.join("samples.parquet")))?,
            None => {
                stale = true;
                let mut samples = Vec::new();
                self.journal("samples", &mut notes, |sample| samples.push(sample))?;
                samples
            }
        };
        let counters = match self.table("counters", "counters")? {
            Some(table) => sensors::counters_from(&table)
                .map_err(table_error(&self.path.join("counters.parquet")))?,
            None => {
                stale = true;
                let mut counters = Vec::new();
                self.journal("counters", &mut notes, |counter| counters.push(counter))?;
                counters
            }
        };
        let mut events = Vec::new();
        self.journal("events", &mut notes, |event| events.push(event))?;
        let data = RunData {
            scenario_text: self.scenario_text,
            plan: self.plan,
            manifest: self.manifest,
            frame,
            samples,
            counters,
            events,
            notes,
        };
        Ok((data, stale))
    }

    /// The rows from their two tables; `None` where the journal has to be read. Without journal and replies the texts are unknown.
    fn rows_from_tables(&self) -> Result<Option<Frame>, FolderError> {
        let Some(requests) = self.table("requests", "rows")? else {
            return Ok(None);
        };
        let replies = self.table("replies", "rows")?;
        if replies.is_none() && self.path.join("rows.jsonl").exists() {
            return Ok(None);
        }
        columns::frame_from(&requests, replies.as_ref())
            .map(Some)
            .map_err(table_error(&self.path.join("requests.parquet")))
    }

    fn journal<T: DeserializeOwned>(
        &self,
        name: &str,
        notes: &mut Vec<String>,
        take: impl FnMut(T),
    ) -> Result<(), FolderError> {
        let path = self.path.join(format!("{name}.jsonl"));
        match journal::read(&path, take)? {
            JournalEnd::HalfLine => notes.push(format!(
                "the last line of {name}.jsonl was only half written and is left out"
            )),
            JournalEnd::Whole | JournalEnd::Absent => {}
        }
        Ok(())
    }

    /// A table that is whole and at least as new as its journal.
    fn table(&self, name: &str, journal: &str) -> Result<Option<DataFrame>, FolderError> {
        let path = self.path.join(format!("{name}.parquet"));
        let journal = self.path.join(format!("{journal}.jsonl"));
        let (written, journal) = (modified(&path)?, modified(&journal)?);
        let Some(written) = written else {
            return Ok(None);
        };
        if journal.is_some_and(|journal| journal > written) {
            return Ok(None);
        }
        let file = File::open(&path).map_err(io_error("read", &path))?;
        let mut reader = ParquetReader::new(file);
        let format = match reader.get_metadata() {
            Ok(metadata) => metadata
                .key_value_metadata()
                .iter()
                .flatten()
                .find(|pair| pair.key == "format")
                .and_then(|pair| pair.value.clone()),
            // Broken or cut: the journal has the same rows.
            Err(_) if journal.is_some() => return Ok(None),
            Err(source) => return Err(table_error(&path)(source.into())),
        };
        match format {
            Some(found) if found == FORMAT.to_string() => {}
            found => {
                return Err(FolderError::Format {
                    path,
                    found: found.unwrap_or_else(|| "(none)".to_owned()),
                });
            }
        }
        match reader.finish() {
            Ok(table) => Ok(Some(table)),
            Err(_) if journal.is_some() => Ok(None),
            Err(source) => Err(table_error(&path)(source.into())),
        }
    }
}

/// Writes the folder's tables and `requests.csv` from what was read, where they are missing or older than a journal (`stale`).
///
/// # Errors
/// A file cannot be written; none is left half-written.
pub fn write_tables(folder: &Path, data: &RunData, stale: bool) -> Result<(), FolderError> {
    let csv_path = folder.join("requests.csv");
    if stale {
        write_table(folder, "requests", columns::requests_table(&data.frame))?;
        write_table(folder, "replies", columns::replies_table(&data.frame))?;
        write_table(folder, "samples", sensors::samples_table(&data.samples))?;
        write_table(folder, "counters", sensors::counters_table(&data.counters))?;
    }
    if stale || !csv_path.exists() {
        replace(&csv_path, |file| {
            Ok(csv::write(&data.frame, &data.samples, file)?)
        })?;
    }
    Ok(())
}

fn write_table(
    folder: &Path,
    name: &str,
    table: PolarsResult<DataFrame>,
) -> Result<(), FolderError> {
    let path = folder.join(format!("{name}.parquet"));
    let mut table = table.map_err(|source| table_error(&path)(source.into()))?;
    replace(&path, |file| {
        ParquetWriter::new(file)
            .with_compression(ParquetCompression::Zstd(None))
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(vec![(
                "format".to_owned(),
                FORMAT.to_string(),
            )])))
            .finish(&mut table)
            .map(|_| ())
    })
}

/// Writes a file under another name, then renames it into place, so that a reader never sees half of it. A failure leaves nothing behind.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> PolarsResult<()>,
) -> Result<(), FolderError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = write_whole(&partial, path, write)
        .and_then(|()| fs::rename(&partial, path).map_err(io_error("write", path)));
    if written.is_err() {
        // The first failure is the one to tell of.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Writes a file down to the disk; errors name the file that it is to become.
fn write_whole(
    partial: &Path,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> PolarsResult<()>,
) -> Result<(), FolderError> {
    let io = io_error("write", path);
    let file = File::create(partial).map_err(&io)?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    write(&mut writer).map_err(|source| table_error(path)(source.into()))?;
    writer.flush().map_err(&io)?;
    writer.get_ref().sync_all().map_err(&io)
}

/// Writes a text file under another name and renames it into place.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), FolderError> {
    replace(path, |file| Ok(file.write_all(text.as_bytes())?))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FolderError> {
    let bytes = fs::read(path).map_err(io_error("read", path))?;
    let json = |source| FolderError::Json {
        path: path.to_owned(),
        source,
    };
    // The format comes first: a file of another one need not have this one's fields.
    let Header { format } = serde_json::from_slice(&bytes).map_err(json)?;
    if format.as_u64() != Some(u64::from(FORMAT)) {
        return Err(FolderError::Format {
            path: path.to_owned(),
            found: format.to_string(),
        });
    }
    serde_json::from_slice(&bytes).map_err(json)
}

/// What every JSON file of a run says before anything else is read of it.
#[derive(Debug, serde::Deserialize)]
struct Header {
    #[serde(default)]
    format: serde_json::Value,
}

fn modified(path: &Path) -> Result<Option<SystemTime>, FolderError> {
    match fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(time) => Ok(Some(time)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FolderError + 'a {
    move |source| FolderError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn table_error(path: &Path) -> impl Fn(ColumnError) -> FolderError + '_ {
    move |source| FolderError::Table {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
