//! The tables of expectations and of engine × experiment: in short for the front page, in full on a page of their own.

use schemas::scenario::Requests;

use crate::{
    analysis::{HeadlineRow, State},
    block::{Block, Cell, Column, Page, Row, Table},
    chart::scale::{Quantity, Unit},
    number::{count, counted},
    verdict::{Case, ExpectationResult, Verdict},
};

use super::{
    LeftOut, Pages,
    cells::{column_unit, estimate_cell, titled},
    view::View,
    words,
};

const TITLE: &str = "Every engine in every experiment";
/// Rows of a table on the front page at most.
const MOST_ROWS: usize = 9;
/// Reasons under a table on the front page at most.
const MOST_REASONS: usize = 3;

/// The tables in full, where the front page had no room for them.
pub(crate) fn pages(view: &View<'_>) -> Pages {
    let analysis = view.analysis;
    let cases: usize = analysis
        .expectations
        .iter()
        .map(|expectation| expectation.cases.len())
        .sum();
    if cases <= MOST_ROWS && analysis.headline.len() <= MOST_ROWS {
        return Err(LeftOut {
            title: TITLE,
            reason: "the front page has all of it".to_owned(),
        });
    }
    let mut blocks = Vec::new();
    if analysis.headline.len() > MOST_ROWS {
        blocks.extend(table(
            view,
            &analysis.headline.iter().collect::<Vec<_>>(),
            usize::MAX,
        ));
    }
    if cases > MOST_ROWS {
        blocks.extend(expectations(view, usize::MAX));
    }
    Ok(vec![Page {
        anchor: super::TABLES.to_owned(),
        title: TITLE.to_owned(),
        answer: None,
        blocks,
        how_to_read: None,
    }])
}

/// Expectations for the front page: case by case where there is room, else one row for each.
pub(crate) fn expectations_in_short(view: &View<'_>) -> Vec<Block> {
    let expectations = &view.analysis.expectations;
    let cases: usize = expectations
        .iter()
        .map(|expectation| expectation.cases.len())
        .sum();
    if cases <= MOST_ROWS {
        return self::expectations(view, MOST_REASONS);
    }
    let mut table = expectation_table();
    for expectation in expectations.iter().take(MOST_ROWS) {
        // The case that decides the verdict speaks for the expectation.
        let Some(worst) = expectation.cases.iter().max_by_key(|case| case.verdict) else {
            continue;
        };
        let mut row = case_row(expectation, worst, true);
        if expectation.cases.len() > 1
            && let Some(cell) = row.cells.get_mut(2)
        {
            cell.text = format!(
                "{}: {}; worst shown",
                counted(expectation.cases.len() as u64, "experiment", "experiments"),
                tally(expectation)
            );
        }
        row.link = Some(super::TABLES.to_owned());
        table.rows.push(row);
    }
    let more = expectations.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        table
            .notes
            .push(format!("and {} more: see “{TITLE}”", count(more as u64)));
    }
    vec![Block::Heading(EXPECTED.to_owned()), Block::Table(table)]
}

/// The headline table for the front page: all rows where there is room, else those of the answer's experiment and of the first.
pub(crate) fn table_in_short(view: &View<'_>) -> Vec<Block> {
    let all = &view.analysis.headline;
    if all.len() <= MOST_ROWS {
        return table(view, &all.iter().collect::<Vec<_>>(), MOST_REASONS);
    }
    let central = view.central().map(|experiment| experiment.experiment);
    let first = all.first().map(|row| row.experiment);
    let mut rows: Vec<&HeadlineRow> = all
        .iter()
        .filter(|row| Some(row.experiment) == first || Some(row.experiment) == central)
        .collect();
    rows.truncate(MOST_ROWS);
    let mut blocks = table(view, &rows, MOST_REASONS);
    if let Some(Block::Table(table)) = blocks.last_mut() {
        table.notes.push(format!(
            "{} of {} rows; the others are on the page “{TITLE}”.",
            rows.len(),
            all.len()
        ));
        table
            .rows
            .iter_mut()
            .for_each(|row| row.link = Some(super::TABLES.to_owned()));
    }
    blocks
}

const EXPECTED: &str = "What was expected";

fn expectation_table() -> Table {
    Table {
        columns: vec![
            Column::text("Verdict"),
            Column::text("Expectation"),
            Column::text("In"),
            Column::text("Measured"),
        ],
        ..Table::default()
    }
}

fn tally(expectation: &ExpectationResult) -> String {
    let verdicts = [
        Verdict::Met,
        Verdict::NotMet,
        Verdict::Undecided,
        Verdict::NotMeasured,
    ];
    let counts = verdicts.into_iter().filter_map(|verdict| {
        let number = expectation
            .cases
            .iter()
            .filter(|case| case.verdict == verdict)
            .count();
        (number > 0).then(|| format!("{number} {}", words::verdict(verdict).text))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// What was said of whom, where several have the same said of them only once.
#[derive(Default)]
struct Remarks(Vec<(String, Vec<String>)>);

impl Remarks {
    fn add(&mut self, of: String, text: &str) {
        match self.0.iter_mut().find(|(known, _)| known == text) {
            Some((_, subjects)) => subjects.push(of),
            None => self.0.push((text.to_owned(), vec![of])),
        }
    }

    /// At most `most` notes, and how many did not fit.
    fn notes(self, most: usize) -> Vec<String> {
        let more = self.0.len().saturating_sub(most);
        let mut notes: Vec<String> = self
            .0
            .into_iter()
            .take(most)
            .map(|(text, subjects)| format!("{}: {text}", listed(&subjects)))
            .collect();
        if more > 0 {
            notes.push(format!(
                "and {} more on the page of warnings",
                count(more as u64)
            ));
        }
        notes
    }
}

/// Up to three names, and how many more.
fn listed(subjects: &[String]) -> String {
    match subjects.len() {
        0..=3 => subjects.join("; "),
        more => format!("{} and {} more", subjects[..2].join("; "), more - 2),
    }
}

fn expectations(view: &View<'_>, most: usize) -> Vec<Block> {
    let analysis = view.analysis;
    if analysis.expectations.is_empty() {
        return Vec::new();
    }
    let mut table = expectation_table();
    let mut reasons = Remarks::default();
    for expectation in &analysis.expectations {
        for (index, case) in expectation.cases.iter().enumerate() {
            table.rows.push(case_row(expectation, case, index == 0));
            if let Some(reason) = &case.reason {
                // A case of no experiment has no label: the note names the expectation then.
                let about = match case.label.as_str() {
                    "" => &expectation.text,
                    label => label,
                };
                reasons.add(
                    about.to_owned(),
                    &format!("{}, {reason}", words::verdict(case.verdict).text),
                );
            }
        }
    }
    table.notes = reasons.notes(most);
    vec![Block::Heading(EXPECTED.to_owned()), Block::Table(table)]
}

fn case_row(expectation: &ExpectationResult, case: &Case, first: bool) -> Row {
    let chip = words::verdict(case.verdict);
    let measured = match &case.measured {
        Some(estimate) => {
            let unit = words::quantity(expectation.unit).unit(estimate.value.abs());
            let mut cell = estimate_cell(Some(estimate), unit);
            if !unit.symbol.is_empty() {
                cell.text = format!("{} {}", cell.text, unit.symbol);
            }
            cell
        }
        None => Cell::unknown(),
    };
    Row {
        cells: vec![
            Cell {
                text: chip.text,
                shape: Some(chip.shape),
                ..Cell::default()
            },
            Cell::text(if first {
                expectation.text.clone()
            } else {
                String::new()
            }),
            Cell::text(case.label.clone()),
            measured,
        ],
        link: Some(words::anchor(expectation.metric).to_owned()),
        rule: first,
    }
}

/// Cold requests have a column of their own unless they are what is compared.
fn cold_apart(view: &View<'_>) -> bool {
    view.warm != Requests::Cold
}

fn table(view: &View<'_>, rows: &[&HeadlineRow], most: usize) -> Vec<Block> {
    if !rows
        .iter()
        .any(|row| row.cold_s.is_some() || row.warm_s.is_some())
    {
        return Vec::new();
    }
    let warm = words::requests(view.warm);
    let baseline = rows.iter().find_map(|row| row.baseline_id);
    let times = rows
        .iter()
        .flat_map(|row| [&row.cold_s, &row.warm_s, &row.baseline_warm_s])
        .flatten();
    let unit = column_unit(Quantity::Seconds, times);
    let mut columns = vec![Column::text("Experiment"), Column::text("Engine")];
    if cold_apart(view) {
        columns.push(Column::decimal(titled("cold", unit)));
    }
    columns.push(Column::decimal(titled(warm, unit)));
    if let Some(baseline) = baseline {
        columns.push(Column::decimal(titled(
            &format!("{}, {warm}", view.short_name(baseline)),
            unit,
        )));
        columns.push(Column::decimal("ratio"));
    }
    columns.push(Column::decimal("cached share"));
    let mut remarks = Remarks::default();
    let mut before = None;
    let mut table = Table {
        columns,
        ..Table::default()
    };
    for row in rows {
        let first = before != Some(&row.label);
        before = Some(&row.label);
        if let Some(note) = &row.note {
            remarks.add(
                format!("{}, {}", row.label, view.short_name(row.engine_id)),
                note,
            );
        }
        table
            .rows
            .push(headline_row(view, row, first, baseline.is_some(), unit));
    }
    let mut notes = remarks.notes(most);
    let trials = view
        .analysis
        .experiments
        .iter()
        .map(|experiment| experiment.trials)
        .max()
        .unwrap_or(0);
    notes.insert(
        0,
        format!(
            "Median of each trial's requests, averaged over {}; 95 % intervals in brackets.",
            counted(u64::from(trials), "trial", "trials")
        ),
    );
    table.notes = notes;
    vec![
        Block::Heading("Time to first token (TTFT)".to_owned()),
        Block::Table(table),
    ]
}

fn headline_row(
    view: &View<'_>,
    row: &HeadlineRow,
    first: bool,
    baseline: bool,
    unit: Unit,
) -> Row {
    let shape = (row.state != State::Valid).then(|| words::state(row.state).shape);
    let mut cells = vec![
        Cell {
            text: if first {
                row.label.clone()
            } else {
                String::new()
            },
            shape: shape.filter(|_| first),
            ..Cell::default()
        },
        Cell {
            text: view.name(row.engine_id).to_owned(),
            engine: view.mark(row.engine_id).cloned(),
            ..Cell::default()
        },
    ];
    if cold_apart(view) {
        cells.push(estimate_cell(row.cold_s.as_ref(), unit));
    }
    cells.push(estimate_cell(row.warm_s.as_ref(), unit));
    if baseline {
        cells.push(estimate_cell(row.baseline_warm_s.as_ref(), unit));
        cells.push(estimate_cell(row.ratio.as_ref(), Quantity::Plain.unit(1.0)));
    }
    let mut cached = estimate_cell(row.cached_fraction.as_ref(), Quantity::Share.unit(1.0));
    // A share without its base says little.
    cached.small = match (row.cached_tokens, row.prompt_tokens) {
        (Some(cached), Some(prompt)) => {
            Some(format!("{} of {} tokens", count(cached), count(prompt)))
        }
        _ => None,
    };
    cells.push(cached);
    Row {
        cells,
        link: Some(super::TTFT.to_owned()),
        rule: first,
    }
}

#[cfg(test)]
mod tests {
    use schemas::scenario::{Expect, OneOrMany};

    use super::*;
    use crate::made_up::{MadeUp, expect};

    #[test]
    fn a_note_about_no_experiment_names_the_expectation() {
        let elsewhere = Expect {
            profile: Some(OneOrMany::One("elsewhere".to_owned())),
            ..expect(0.5)
        };
        let analysis = MadeUp::new(3).expect(elsewhere).analyse();
        let blocks = expectations(&View::new(&analysis), MOST_REASONS);
        let Some(Block::Table(table)) = blocks.last() else {
            panic!("no table");
        };
        let [note] = table.notes.as_slice() else {
            panic!("{:?}", table.notes);
        };
        assert!(note.starts_with(&analysis.expectations[0].text), "{note}");
    }
}
