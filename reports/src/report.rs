//! From a run folder to its renderings: tables finished, facts analysed, files written.

use std::path::{Path, PathBuf};

use crate::{
    analyse,
    analysis::Analysis,
    exit::Exit,
    folder::{self, FolderError, RunFolder},
    junit, markdown, pdf, terminal,
};

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run folder cannot be read, or a file in it cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The PDF cannot be drawn or written.
    #[error(transparent)]
    Pdf(#[from] pdf::PdfError),
    /// The XML writer.
    #[error("cannot write {}: {source}", path.display())]
    Junit {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: quick_junit::SerializeError,
    },
}

/// A run that was reported.
#[derive(Debug, Clone)]
pub struct Reported {
    analysis: Analysis,
    pdf: PathBuf,
}

impl Reported {
    /// The outcome for a terminal: table, verdicts, answer and the report's path, in lines ended by newlines. With `quiet` the table is left out.
    pub fn terminal(&self, color: bool, quiet: bool) -> String {
        terminal::text(&self.analysis, &self.pdf, color, quiet)
    }

    /// What the run says to the shell; with `strict` an undecided expectation is a failure.
    pub fn exit(&self, strict: bool) -> Exit {
        Exit::of_analysis(&self.analysis, strict)
    }

    /// What is known of the run.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }
}

/// Makes the run folder's tables and `requests.csv` from its journals, where they are missing or older.
///
/// # Errors
/// The folder cannot be read, or a file cannot be written; none is left half-written.
pub fn finish(folder: &Path) -> Result<(), ReportError> {
    let (data, stale) = RunFolder::open(folder)?.read()?;
    Ok(folder::write_tables(folder, &data, stale)?)
}

/// Analyses a run folder and writes nothing.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn read(folder: &Path) -> Result<Analysis, ReportError> {
    let (data, _) = RunFolder::open(folder)?.read()?;
    Ok(analyse(&data))
}

/// Finishes a run folder, analyses it and writes `summary.md`, `junit.xml` and `report.pdf`. Nothing is measured again.
///
/// # Errors
/// As [`finish`].
pub fn report(folder: &Path) -> Result<Reported, ReportError> {
    let (data, stale) = RunFolder::open(folder)?.read()?;
    // Neither needs the other, and both are long in a large run.
    let analysis = std::thread::scope(|scope| {
        // On a thread of its own, because it waits for the disk.
        let written = scope.spawn(|| folder::write_tables(folder, &data, stale));
        let analysis = analyse(&data);
        match written.join() {
            Ok(written) => written.map(|()| analysis),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })?;
    folder::write_text(&folder.join("summary.md"), &markdown::text(&analysis))?;
    let path = folder.join("junit.xml");
    match junit::text(&analysis) {
        Ok(text) => folder::write_text(&path, &text)?,
        Err(source) => return Err(ReportError::Junit { path, source }),
    }
    let path = folder.join("report.pdf");
    pdf::write(&analysis, &path)?;
    Ok(Reported {
        analysis,
        pdf: path,
    })
}
