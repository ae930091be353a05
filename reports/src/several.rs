//! Several runs as one: a PDF with an index page before the runs' own pages, one JUnit file, one Markdown file, one table on the terminal.
//!
//! Nothing is written into the run folders.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use crate::{
    analysis::{Analysis, State},
    block::Volume,
    exit::Exit,
    figures, folder, junit, markdown, pages, pdf,
    report::{self, ReportError},
    text_table,
    verdict::Verdict,
};

/// One of several runs.
#[derive(Debug, Clone)]
pub struct Run {
    /// Scenario, and the run's id where several runs are of one scenario; the folder where it cannot be read.
    pub name: String,
    /// What is known of it, or why its folder cannot be read.
    pub analysis: Result<Analysis, String>,
}

impl Run {
    /// Whether it could be read and something holds of it.
    pub(crate) fn is(&self, holds: impl FnOnce(&Analysis) -> bool) -> bool {
        self.analysis.as_ref().is_ok_and(holds)
    }

    fn exit(&self, strict: bool) -> Exit {
        self.analysis
            .as_ref()
            .map_or(Exit::CouldNotRun, |found| Exit::of_analysis(found, strict))
    }
}

/// Several runs, those that need attention first.
#[derive(Debug, Clone)]
pub struct Several {
    runs: Vec<Run>,
}

impl Several {
    /// Reads and analyses run folders. One that cannot be read is kept with the reason, so that it hides no other.
    pub fn read(folders: &[PathBuf]) -> Self {
        let runs = folders
            .iter()
            .map(|folder| match report::read(folder) {
                Ok(analysis) => Run {
                    name: analysis.run.scenario.clone(),
                    analysis: Ok(analysis),
                },
                Err(error) => Run {
                    name: folder.display().to_string(),
                    analysis: Err(error.to_string()),
                },
            })
            .collect();
        Self::new(runs)
    }

    /// Runs that were analysed before, named by their scenarios.
    pub fn new(mut runs: Vec<Run>) -> Self {
        let named: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
        for run in &mut runs {
            if let Ok(analysis) = &run.analysis
                && named.iter().filter(|name| **name == run.name).count() > 1
            {
                run.name = format!("{}, {}", run.name, analysis.run.run_id);
            }
        }
        runs.sort_by_key(|run| {
            let expected = run.analysis.as_ref().ok().and_then(expected_in_short);
            (
                Reverse(run.exit(true)),
                Reverse(expected.map(|(verdict, ..)| verdict)),
            )
        });
        Self { runs }
    }

    /// The worst of the runs; with `strict` an undecided expectation is a failure.
    pub fn exit(&self, strict: bool) -> Exit {
        self.runs
            .iter()
            .map(|run| run.exit(strict))
            .fold(Exit::AllMet, Exit::worse)
    }

    /// Draws the index page and then every run's pages into one file.
    ///
    /// # Errors
    /// The PDF cannot be drawn or written.
    pub fn write_pdf(&self, path: &Path) -> Result<(), ReportError> {
        Ok(pdf::write_volume(&self.volume(), path)?)
    }

    fn volume(&self) -> Volume {
        let prefix = |place: usize| format!("run-{place}/");
        let index = pages::index::document(&self.runs, |place| {
            format!("{}{}", prefix(place), pages::FRONT)
        });
        let (title, subject) = (index.title.clone(), index.subject.clone());
        let runs = self.runs.iter().enumerate().filter_map(|(place, run)| {
            let mut document = pages::document(run.analysis.as_ref().ok()?);
            document.name.clone_from(&run.name);
            Some(document.under(&prefix(place)))
        });
        Volume {
            title,
            subject,
            documents: std::iter::once(index).chain(runs).collect(),
        }
    }

    /// Writes one JUnit file with a suite for each run.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn write_junit(&self, path: &Path) -> Result<(), ReportError> {
        let text = junit::text_of_several(&self.runs).map_err(|source| ReportError::Junit {
            path: path.to_owned(),
            source,
        })?;
        Ok(folder::write_text(path, &text)?)
    }

    /// Writes one Markdown file: the table of the index, then every run's summary.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_markdown(&self, path: &Path) -> Result<(), ReportError> {
        Ok(folder::write_text(
            path,
            &markdown::text_of_several(&self.runs),
        )?)
    }

    /// One line a run for a terminal, ended by newlines: name, validity, what was expected, answer.
    pub fn terminal(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .runs
            .iter()
            .map(|run| {
                let mut row = vec![run.name.clone()];
                row.extend(in_short(run));
                row
            })
            .collect();
        text_table::lines(&rows)
            .into_iter()
            .map(|line| format!("  {line}\n"))
            .collect()
    }
}

/// Validity, what was expected, and the answer (or why there is none) of a run, as texts.
pub(crate) fn in_short(run: &Run) -> [String; 3] {
    match &run.analysis {
        Ok(analysis) => [
            stands(analysis).to_owned(),
            expected_in_short(analysis).map_or_else(
                || figures::UNKNOWN.to_owned(),
                |(verdict, cases, of)| format!("{} {cases} of {of}", figures::verdict(verdict)),
            ),
            analysis.answer.sentence.clone(),
        ],
        Err(reason) => [
            "× not readable".to_owned(),
            figures::UNKNOWN.to_owned(),
            reason.clone(),
        ],
    }
}

fn stands(analysis: &Analysis) -> &'static str {
    match (analysis.validity.state, analysis.run.partial.is_some()) {
        (State::Invalid, _) => "× INVALID",
        (State::NotRun, _) => "○ not run",
        (State::Valid, true) => "▲ VALID, partial",
        (State::Valid, false) => "● VALID",
    }
}

/// The worst verdict of a run's expectations, how many have it, and how many there are; null without expectations.
pub(crate) fn expected_in_short(analysis: &Analysis) -> Option<(Verdict, usize, usize)> {
    let verdicts = || analysis.expectations.iter().map(|found| found.verdict);
    let worst = verdicts().max()?;
    Some((
        worst,
        verdicts().filter(|verdict| *verdict == worst).count(),
        verdicts().count(),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        block::{Block, Shape},
        fixture,
    };

    fn run(analysis: Analysis) -> Run {
        Run {
            name: analysis.run.scenario.clone(),
            analysis: Ok(analysis),
        }
    }

    fn named(name: &str, mut analysis: Analysis) -> Run {
        name.clone_into(&mut analysis.run.scenario);
        run(analysis)
    }

    fn not_met() -> Analysis {
        let mut analysis = fixture::analysis();
        analysis.expectations[0].verdict = Verdict::NotMet;
        analysis.expectations[0].cases[0].verdict = Verdict::NotMet;
        analysis
    }

    fn several() -> Several {
        Several::new(vec![
            named("good", fixture::analysis()),
            named("slow", not_met()),
            named("wrong", fixture::invalid()),
            Run {
                name: "outputs/gone".to_owned(),
                analysis: Err("cannot read outputs/gone/scenario.toml".to_owned()),
            },
        ])
    }

    #[test]
    fn what_needs_attention_stands_first() {
        let several = several();
        let names: Vec<&str> = several.runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["outputs/gone", "wrong", "slow", "good"]);
        assert_eq!(several.exit(false), Exit::CouldNotRun);
        assert_eq!(
            several.terminal(),
            "  outputs/gone   × not readable   —                       cannot read outputs/gone/scenario.toml\n  \
wrong          × INVALID        ○ not measured 1 of 1   Reusing a 4096-token context gave the first token 9.9 times sooner.\n  \
slow           ● VALID          ■ not met 1 of 1        Reusing a 4096-token context gave the first token 9.9 times sooner.\n  \
good           ● VALID          ● met 1 of 1            Reusing a 4096-token context gave the first token 9.9 times sooner.\n"
        );
    }

    #[test]
    fn runs_of_one_scenario_are_told_apart() {
        let several = Several::new(vec![run(fixture::analysis()), run(fixture::analysis())]);
        assert_eq!(several.runs[0].name, "local_cpu, 2026-01-02T03-04-05Z");
    }

    #[test]
    fn every_line_of_the_index_leads_to_a_page_and_no_two_pages_share_an_anchor() {
        let volume = several().volume();
        assert_eq!(volume.documents.len(), 4, "the unreadable run has no pages");
        let anchors: Vec<&String> = volume
            .documents
            .iter()
            .flat_map(|document| document.pages.iter().map(|page| &page.anchor))
            .collect();
        assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), anchors.len());
        let Block::Table(table) = &volume.documents[0].pages[0].blocks[0] else {
            panic!("the index is a table");
        };
        assert_eq!(table.rows[0].link, None);
        for row in &table.rows[1..] {
            assert!(anchors.contains(&row.link.as_ref().unwrap()), "{row:?}");
        }
        assert_eq!(volume.documents[0].validity.shape, Shape::Cross);
        assert_eq!(
            volume.subject,
            "2 VALID, 1 INVALID, 1 not readable. What was expected is met in 1, not met in 1, not measured in 1."
        );
    }

    #[test]
    fn a_volume_is_drawn_the_same_twice() {
        let volume = several().volume();
        let bytes = pdf::render_volume(&volume).unwrap();
        assert!(bytes == pdf::render_volume(&volume).unwrap());
    }
}
