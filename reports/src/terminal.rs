//! A run's outcome for a terminal: the headline table, then the verdicts, the answer and the report's path.

use std::{collections::BTreeSet, path::Path};

use anstyle::{AnsiColor, Style};
use schemas::scenario::Requests;

use crate::{
    analysis::{Analysis, HeadlineRow, State, Unit},
    figures, number, text_table,
    verdict::{ExpectationResult, Verdict},
};

/// The text, lines ended by newlines; with `quiet` without table and notes.
pub(crate) fn text(analysis: &Analysis, report: &Path, color: bool, quiet: bool) -> String {
    let mut lines = Lines {
        table: String::new(),
        labelled: Vec::new(),
        color,
    };
    if !quiet {
        lines.table(analysis);
        lines.notes(analysis);
    }
    for expectation in &analysis.expectations {
        lines.expectation(expectation);
    }
    lines.answer(analysis);
    lines.line("report", PLAIN, &report.display().to_string());
    lines.text()
}

const PLAIN: Style = Style::new();
const GOOD: Style = AnsiColor::Green.on_default();
const OPEN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

struct Lines {
    table: String,
    /// Lines that begin with a word: the word, its style, the rest.
    labelled: Vec<(&'static str, Style, String)>,
    color: bool,
}

impl Lines {
    fn line(&mut self, label: &'static str, style: Style, rest: &str) {
        self.labelled.push((label, style, rest.to_owned()));
    }

    /// The table and the lines under it, whose rests begin in one column.
    fn text(self) -> String {
        let width = |label: &str| label.chars().count();
        let widest = self
            .labelled
            .iter()
            .map(|(label, ..)| width(label))
            .max()
            .unwrap_or(0);
        let mut text = self.table.clone();
        for (label, style, rest) in &self.labelled {
            let padding = " ".repeat(widest - width(label));
            text.push_str(&format!(
                "  {}{padding}  {rest}\n",
                self.painted(*style, label)
            ));
        }
        text
    }

    fn painted(&self, style: Style, text: &str) -> String {
        if self.color && style != PLAIN {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    fn table(&mut self, analysis: &Analysis) {
        if analysis.headline.is_empty() {
            return;
        }
        for (number, line) in text_table::lines(&table(analysis)).iter().enumerate() {
            let style = if number == 0 { FAINT } else { PLAIN };
            let line = self.painted(style, line);
            self.table.push_str(&format!("  {line}\n"));
        }
        self.table.push('\n');
    }

    fn notes(&mut self, analysis: &Analysis) {
        if analysis.run.paced {
            self.line("note", OPEN, "paced engine: times are scripted");
        }
        if analysis.run.random_weights {
            let text = "random weights: times are real, texts are not";
            self.line("note", PLAIN, text);
        }
        if !analysis.warnings.is_empty() {
            let number = number::counted(analysis.warnings.len() as u64, "warning", "warnings");
            self.line("note", OPEN, &format!("{number}, see the report"));
        }
    }

    fn expectation(&mut self, expectation: &ExpectationResult) {
        let style = match expectation.verdict {
            Verdict::Met => GOOD,
            Verdict::NotMet => BAD,
            Verdict::Undecided | Verdict::NotMeasured => OPEN,
        };
        let label = figures::verdict(expectation.verdict);
        self.line(label, style, &expectation_text(expectation));
    }

    fn answer(&mut self, analysis: &Analysis) {
        if let Some(partial) = analysis.run.partial_in_full() {
            self.line("▲ partial", OPEN, &partial);
        }
        let sentence = &analysis.answer.sentence;
        match analysis.validity.state {
            State::Valid => self.line("● VALID", GOOD, sentence),
            State::NotRun => self.line("○ not run", OPEN, sentence),
            State::Invalid => {
                let validity = &analysis.validity;
                let of = (validity.invalid + validity.valid) as usize;
                let experiments = figures::experiments(of);
                let mut text = format!("{} of {experiments}", validity.invalid);
                if let Some(worst) = &validity.worst {
                    text = format!("{text}: {worst}. {}", worst.advice());
                }
                self.line("× INVALID", BAD, &text);
                self.line("answer", PLAIN, sentence);
            }
        }
    }
}

/// The expectation with how many experiments stand behind its verdict, and what decided it where it is not met.
pub(crate) fn expectation_text(expectation: &ExpectationResult) -> String {
    let deciding: Vec<_> = expectation
        .cases
        .iter()
        .filter(|case| case.verdict == expectation.verdict)
        .collect();
    let mut text = expectation.text.clone();
    if expectation
        .cases
        .iter()
        .any(|case| case.experiment.is_some())
    {
        let all = figures::experiments(expectation.cases.len());
        text.push_str(&format!(", in {} of {all}", deciding.len()));
    }
    if expectation.verdict != Verdict::Met
        && let Some(case) = deciding.first()
    {
        let place = if case.label.is_empty() {
            String::new()
        } else {
            format!("{}: ", case.label)
        };
        text.push_str(&format!(
            " ({place}{})",
            figures::finding(expectation, case)
        ));
    }
    text
}

/// Title row and rows of the headline table; columns without any value are left out.
pub(crate) fn table(analysis: &Analysis) -> Vec<Vec<String>> {
    let rows = &analysis.headline;
    let name = |id: Option<u32>| {
        id.and_then(|id| analysis.engines.get(id as usize))
            .map_or(figures::UNKNOWN, |engine| engine.name.as_str())
    };
    let several = |values: BTreeSet<Option<u32>>| values.len() > 1;
    let engines = several(rows.iter().map(|row| Some(row.engine_id)).collect());
    let baselines: BTreeSet<Option<u32>> = rows.iter().map(|row| row.baseline_id).collect();
    let baseline = match (several(baselines), rows.first()) {
        (false, Some(row)) if row.baseline_id.is_some() => name(row.baseline_id),
        _ => "baseline",
    };
    let warm = match rows.first() {
        Some(first)
            if rows
                .iter()
                .all(|row| row.warm_requests == first.warm_requests) =>
        {
            figures::requests(first.warm_requests)
        }
        _ => "later",
    };
    let (title, labels) = labels(rows);
    let seconds = |pick: fn(&HeadlineRow) -> Option<&crate::stats::Estimate>| -> Vec<String> {
        rows.iter()
            .map(|row| figures::estimate_or_unknown(pick(row), Unit::Seconds))
            .collect()
    };
    let mut columns = vec![(title, labels)];
    if engines {
        let names = rows.iter().map(|row| name(Some(row.engine_id)).to_owned());
        columns.push(("engine".to_owned(), names.collect()));
    }
    // Where only cold requests are compared they are the next column.
    let cold = if warm == figures::requests(Requests::Cold) {
        Vec::new()
    } else {
        seconds(|row| row.cold_s.as_ref())
    };
    let optional = [
        ("cold", cold),
        (warm, seconds(|row| row.warm_s.as_ref())),
        (baseline, seconds(|row| row.baseline_warm_s.as_ref())),
        (
            "ratio",
            rows.iter()
                .map(|row| figures::estimate_or_unknown(row.ratio.as_ref(), Unit::Ratio))
                .collect(),
        ),
        ("cached", rows.iter().map(figures::cached).collect()),
        ("", rows.iter().map(standing).collect()),
    ];
    for (title, cells) in optional {
        let known = |cell: &String| !cell.is_empty() && cell != figures::UNKNOWN;
        if cells.iter().any(known) {
            columns.push((title.to_owned(), cells));
        }
    }
    let head = columns.iter().map(|(title, _)| title.clone()).collect();
    let body = (0..rows.len()).map(|index| {
        let cells = columns.iter().map(|(_, cells)| cells[index].clone());
        cells.collect()
    });
    std::iter::once(head).chain(body).collect()
}

/// Where a row stands when its numbers do not speak for themselves.
fn standing(row: &HeadlineRow) -> String {
    let word = match row.state {
        State::Valid => None,
        State::NotRun => Some("not run"),
        State::Invalid => Some("INVALID"),
    };
    match (word, &row.note) {
        (Some(word), Some(note)) => format!("{word}: {note}"),
        (Some(word), None) => word.to_owned(),
        (None, note) => note.clone().unwrap_or_default(),
    }
}

/// The experiments' names, with the words that all of them begin with as the column's title: `context`, and `2048`, `4096`.
fn labels(rows: &[HeadlineRow]) -> (String, Vec<String>) {
    let split: Option<Vec<(&str, &str)>> =
        rows.iter().map(|row| row.label.rsplit_once(' ')).collect();
    match split {
        Some(pairs) if pairs.windows(2).all(|two| two[0].0 == two[1].0) && !pairs.is_empty() => (
            pairs[0].0.to_owned(),
            pairs.iter().map(|(_, rest)| (*rest).to_owned()).collect(),
        ),
        _ => (
            "experiment".to_owned(),
            rows.iter().map(|row| row.label.clone()).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_run_as_a_person_sees_it() {
        let text = text(
            &fixture::analysis(),
            Path::new("outputs/x/report.pdf"),
            false,
            false,
        );
        assert_eq!(
            text,
            "  context   cold      reused                      baseline   ratio                  cached\n  \
2048      0.710 s   0.0900 s [0.0800, 0.1000]   0.660 s    0.140 [0.120, 0.160]   1792 of 2048\n  \
4096      1.73 s    0.140 s [0.130, 0.150]      1.40 s     0.100 [0.090, 0.110]   3840 of 4096\n\n  \
● met    ttft of lmcache at most 0.5 × baseline, in 2 of 2 experiments\n  \
● VALID  Reusing a 4096-token context gave the first token 9.9 times sooner.\n  \
report   outputs/x/report.pdf\n"
        );
    }

    #[test]
    fn quiet_leaves_verdicts_answer_and_path() {
        let text = text(&fixture::analysis(), Path::new("r.pdf"), false, true);
        let labels: Vec<&str> = text.lines().map(|line| &line[2..]).collect();
        assert_eq!(labels.len(), 3);
        assert!(labels[0].starts_with("● met"));
        assert!(labels[1].starts_with("● VALID"));
        assert!(labels[2].starts_with("report"));
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let analysis = fixture::analysis();
        let plain = text(&analysis, Path::new("r.pdf"), false, false);
        let painted = text(&analysis, Path::new("r.pdf"), true, false);
        assert!(painted.contains("\u{1b}[32m● met\u{1b}[0m"));
        let mut stripped = painted;
        while let Some(from) = stripped.find('\u{1b}') {
            let to = from + stripped[from..].find('m').unwrap();
            stripped.replace_range(from..=to, "");
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn an_invalid_run_names_its_reason_before_its_answer() {
        let text = text(&fixture::invalid(), Path::new("r.pdf"), false, true);
        let lines: Vec<&str> = text.lines().collect();
        let place = |start: &str| lines.iter().position(|line| line.starts_with(start));
        assert!(place("  × INVALID       1 of 2 experiments: ") < place("  answer"));
        assert!(place("  ○ not measured").is_some());
        assert!(place("  report").is_some_and(|index| index + 1 == lines.len()));
    }

    #[test]
    fn where_only_cold_requests_are_compared_they_have_one_column() {
        let mut analysis = fixture::analysis();
        for row in &mut analysis.headline {
            row.warm_requests = Requests::Cold;
        }
        let head = ["context", "cold", "baseline", "ratio", "cached"];
        assert_eq!(table(&analysis)[0], head);
    }

    #[test]
    fn labels_without_a_common_word_stay_whole() {
        let mut analysis = fixture::analysis();
        analysis.headline[0].label = "turns 3".to_owned();
        assert_eq!(table(&analysis)[1][0], "turns 3");
        assert_eq!(table(&analysis)[0][0], "experiment");
    }
}
