//! The first page of a report on several runs: one line a run, those that need attention first, each a link to its pages.

use crate::{
    analysis::{Analysis, State},
    block::{Block, Cell, Chip, Column, Document, Page, Row, Shape, Table},
    chart::scale::Quantity,
    number::counted,
    several::{Run, expected_in_short},
    verdict::Verdict,
};

use super::{cells::estimate_cell, words};

/// The page that lists `runs`, as a document of its own. `anchor` gives the anchor of a run's first page by its place in the list.
pub(crate) fn document(runs: &[Run], anchor: impl Fn(usize) -> String) -> Document {
    let rows = runs
        .iter()
        .enumerate()
        .map(|(place, run)| row(run, anchor(place)))
        .collect();
    let table = Table {
        columns: vec![
            Column::text("Scenario"),
            Column::text("Stands"),
            Column::text("Expected"),
            Column::decimal("TTFT ratio"),
            Column::text("Answer"),
        ],
        rows,
        notes: vec![
            "TTFT ratio: time to first token of the answer's engine over that of the engine it is compared with, with its 95 % interval; below 1 is sooner.".to_owned(),
        ],
    };
    let title = format!(
        "What came out of {}",
        counted(runs.len() as u64, "run", "runs")
    );
    let sentence = sentence(runs);
    Document {
        name: "Index".to_owned(),
        title: title.clone(),
        subject: sentence.clone(),
        // The index is of the day of its newest run.
        created_unix_s: 0,
        footer: footer(runs),
        validity: worst(runs),
        pages: vec![Page {
            anchor: "index".to_owned(),
            title,
            answer: Some(sentence),
            blocks: vec![Block::Table(table)],
            how_to_read: Some(
                "runs that need attention stand first; each line leads to the run's own pages."
                    .to_owned(),
            ),
        }],
    }
}

fn row(run: &Run, anchor: String) -> Row {
    let name = Cell::text(run.name.clone());
    match &run.analysis {
        Ok(analysis) => Row {
            cells: vec![
                name,
                chip_cell(stands(analysis)),
                expected(analysis),
                estimate_cell(analysis.answer.ratio.as_ref(), Quantity::Plain.unit(1.0)),
                Cell::text(analysis.answer.sentence.clone()),
            ],
            link: Some(anchor),
            rule: true,
        },
        Err(reason) => Row {
            cells: vec![
                name,
                chip_cell(Chip::new(Shape::Cross, "not readable")),
                Cell::unknown(),
                Cell::unknown(),
                Cell::text(reason.clone()),
            ],
            link: None,
            rule: true,
        },
    }
}

fn chip_cell(chip: Chip) -> Cell {
    Cell {
        text: chip.text,
        shape: Some(chip.shape),
        ..Cell::default()
    }
}

fn stands(analysis: &Analysis) -> Chip {
    let mut chip = words::state(analysis.validity.state);
    if analysis.run.partial.is_some() {
        chip.text.push_str(", partial");
    }
    chip
}

fn expected(analysis: &Analysis) -> Cell {
    match expected_in_short(analysis) {
        None => Cell::unknown(),
        Some((verdict, cases, of)) => {
            let chip = words::verdict(verdict);
            Cell {
                small: Some(format!("{cases} of {of}")),
                ..chip_cell(chip)
            }
        }
    }
}

/// How many stand how, in one sentence.
fn sentence(runs: &[Run]) -> String {
    let mut parts = Vec::new();
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    };
    let state = |wanted: State| {
        runs.iter()
            .filter(|run| run.is(|found| found.validity.state == wanted))
            .count()
    };
    let verdict = |wanted: Verdict| {
        runs.iter()
            .filter(|run| {
                run.is(|found| expected_in_short(found).is_some_and(|(worst, ..)| worst == wanted))
            })
            .count()
    };
    add(state(State::Valid), "VALID");
    add(state(State::Invalid), "INVALID");
    add(state(State::NotRun), "with nothing measured");
    add(
        runs.iter().filter(|run| run.analysis.is_err()).count(),
        "not readable",
    );
    let stand = parts.join(", ");
    let mut parts = Vec::new();
    let mut add = |number: usize, what: &str| {
        if number > 0 {
            parts.push(format!("{what} in {number}"));
        }
    };
    add(verdict(Verdict::Met), "met");
    add(verdict(Verdict::NotMet), "not met");
    add(verdict(Verdict::Undecided), "undecided");
    add(verdict(Verdict::NotMeasured), "not measured");
    if parts.is_empty() {
        format!("{stand}.")
    } else {
        format!("{stand}. What was expected is {}.", parts.join(", "))
    }
}

fn worst(runs: &[Run]) -> Chip {
    let any = |state: State| {
        runs.iter()
            .any(|run| run.is(|found| found.validity.state == state))
    };
    if any(State::Invalid) {
        Chip::new(Shape::Cross, "INVALID runs in it")
    } else if any(State::Valid) {
        Chip::new(Shape::Disc, "VALID")
    } else {
        Chip::new(Shape::Ring, "nothing measured")
    }
}

/// Number of runs, their days, their hosts and cards.
fn footer(runs: &[Run]) -> String {
    let read = || runs.iter().filter_map(|run| run.analysis.as_ref().ok());
    let mut days: Vec<&str> = read()
        .map(|found| found.run.started.get(..10).unwrap_or(&found.run.started))
        .collect();
    days.sort_unstable();
    let days = match (days.first(), days.last()) {
        (Some(first), Some(last)) if first != last => Some(format!("{first} to {last}")),
        (Some(day), _) => Some((*day).to_owned()),
        (None, _) => None,
    };
    let mut places: Vec<String> = Vec::new();
    for found in read() {
        let host = &found.run.host;
        let names = [host.name.as_ref().or(host.processor.as_ref())];
        let cards = host.gpus.first().map(|gpu| &gpu.name);
        let place: Vec<&str> = names
            .into_iter()
            .flatten()
            .chain(cards)
            .map(String::as_str)
            .collect();
        let place = place.join(", ");
        if !place.is_empty() && !places.contains(&place) {
            places.push(place);
        }
    }
    std::iter::once(counted(runs.len() as u64, "run", "runs"))
        .chain(days)
        .chain(places)
        .collect::<Vec<_>>()
        .join(" · ")
}
