//! Warnings and failures, each with its advice and the log's last lines, and where every experiment stands.

use crate::{
    analysis::{ExperimentAnalysis, State, Warning},
    block::{Block, Cell, Column, Page, Row, Table},
    number::{count, counted},
    verdict::Verdict,
};

use super::{LeftOut, Pages, view::View, words};

const TITLE: &str = "Warnings and failures";

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let analysis = view.analysis;
    let mut blocks = Vec::new();
    let standing = standing(view);
    let reasons = undecided(view);
    // What an experiment's own reasons and flags say is in the table.
    let of_the_run = |warning: &&Warning| warning.experiment.is_none();
    for warning in analysis.warnings.iter().filter(of_the_run) {
        blocks.push(Block::Heading(warning.text.clone()));
        blocks.extend(warning.advice.clone().map(Block::Paragraph));
        if !warning.lines.is_empty() {
            blocks.push(Block::Verbatim(warning.lines.join("\n")));
        }
    }
    if let Some(table) = standing {
        blocks.push(Block::Heading("Where the experiments stand".to_owned()));
        blocks.push(Block::Table(table));
    }
    if let Some(table) = reasons {
        blocks.push(Block::Heading(
            "Expectations that were not decided".to_owned(),
        ));
        blocks.push(Block::Table(table));
    }
    if blocks.is_empty() {
        return Err(LeftOut {
            title: TITLE,
            reason: "there is nothing to warn of".to_owned(),
        });
    }
    let invalid = u64::from(analysis.validity.invalid);
    let failed =
        analysis.run.outcomes.rows - analysis.run.outcomes.ok.min(analysis.run.outcomes.rows);
    Ok(vec![Page {
        anchor: super::WARNINGS.to_owned(),
        title: TITLE.to_owned(),
        answer: Some(format!(
            "{}, {} INVALID, {} failed.",
            counted(analysis.warnings.len() as u64, "warning", "warnings"),
            counted(invalid, "experiment", "experiments"),
            counted(failed, "request", "requests")
        )),
        blocks,
        how_to_read: Some("an INVALID experiment's numbers are shown but not to be believed; a flag is something to know of numbers that may be believed.".to_owned()),
    }])
}

/// Experiments with a reason or a flag; null where all are plainly VALID.
fn standing(view: &View<'_>) -> Option<Table> {
    let mut table = Table {
        columns: vec![
            Column::text("Experiment"),
            Column::text("Stands"),
            Column::text("Why, or what to know"),
        ],
        ..Table::default()
    };
    for experiment in &view.analysis.experiments {
        let chip = words::state(experiment.state);
        for (index, text) in remarks(experiment).into_iter().enumerate() {
            let first = index == 0;
            table.rows.push(Row {
                cells: vec![
                    Cell::text(if first { experiment.label.as_str() } else { "" }),
                    if first {
                        Cell {
                            text: chip.text.clone(),
                            shape: Some(chip.shape),
                            ..Cell::default()
                        }
                    } else {
                        Cell::default()
                    },
                    Cell::text(text),
                ],
                link: None,
                rule: first,
            });
        }
    }
    (!table.rows.is_empty()).then_some(table)
}

fn remarks(experiment: &ExperimentAnalysis) -> Vec<String> {
    let mut remarks: Vec<String> = experiment
        .invalid
        .iter()
        .map(|reason| format!("{reason}. {}", reason.advice()))
        .collect();
    if experiment.state == State::NotRun {
        remarks.push(
            experiment
                .not_run
                .clone()
                .unwrap_or_else(|| "no rows".to_owned()),
        );
    }
    remarks.extend(experiment.flags.iter().map(ToString::to_string));
    remarks
}

fn undecided(view: &View<'_>) -> Option<Table> {
    let mut table = Table {
        columns: vec![
            Column::text("Verdict"),
            Column::text("Expectation"),
            Column::text("In"),
            Column::text("Why"),
        ],
        ..Table::default()
    };
    for expectation in &view.analysis.expectations {
        for case in expectation
            .cases
            .iter()
            .filter(|case| matches!(case.verdict, Verdict::Undecided | Verdict::NotMeasured))
        {
            let chip = words::verdict(case.verdict);
            table.rows.push(Row::new(vec![
                Cell {
                    text: chip.text,
                    shape: Some(chip.shape),
                    ..Cell::default()
                },
                Cell::text(expectation.text.clone()),
                Cell::text(case.label.clone()),
                case.reason.clone().map_or_else(Cell::unknown, Cell::text),
            ]));
        }
    }
    let most = 60;
    let more = table.rows.len().saturating_sub(most);
    table.rows.truncate(most);
    if more > 0 {
        table.notes.push(format!("and {} more", count(more as u64)));
    }
    (!table.rows.is_empty()).then_some(table)
}
