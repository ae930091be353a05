//! Was it cold, was it hit? Expected against reported cached tokens, counters before and after, and whether texts agree.

use schemas::row::RequestKind;

use crate::{
    analysis::{CounterDelta, EngineResult, ExperimentAnalysis, RequestPoint as Fact},
    block::{Block, Cell, Column, Page, Row, Table},
    chart::{
        Chart, aggregate,
        requests::{RequestPanel, RequestPoint, RequestSeries, RequestsChart},
        scale::Quantity,
    },
    number::{count, number},
};

use super::{
    LeftOut, Pages,
    cells::{number_cell, three},
    view::View,
    words,
};

const TITLE: &str = "Was it cold, was it hit?";
/// Panels of cached tokens by request at most: the tables below have every experiment.
const PANELS: usize = 4;
/// Counters shown at most.
const COUNTERS: usize = 60;
/// What the name of a counter that tells about reuse contains.
const TELLING: [&str; 6] = ["cache", "hit", "lookup", "offload", "l1_", "l2_"];

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let reported = view
        .measured()
        .flat_map(|experiment| &experiment.engines)
        .flat_map(|engine| &engine.points)
        .any(|point| point.cached_tokens.is_some());
    let counters = counters(view);
    if !reported && counters.rows.is_empty() {
        return Err(LeftOut {
            title: TITLE,
            reason: "neither requests nor counters tell of cached tokens".to_owned(),
        });
    }
    let mut blocks = Vec::new();
    if reported {
        let panels: Vec<RequestPanel> = view
            .measured()
            .take(PANELS)
            .map(|experiment| panel(view, experiment))
            .collect();
        blocks.push(Block::Table(cached(view)));
        blocks.push(Block::Chart(Box::new(Chart::Requests(RequestsChart {
            metric: "reported as cached".to_owned(),
            quantity: Quantity::Tokens,
            panels,
        }))));
    }
    let agreement = agreement(view);
    if !agreement.rows.is_empty() {
        blocks.push(Block::Heading("Are the texts equal?".to_owned()));
        blocks.push(Block::Table(agreement));
    }
    if !counters.rows.is_empty() {
        blocks.push(Block::Heading(
            "Counters of engines and sidecars over each experiment".to_owned(),
        ));
        blocks.push(Block::Table(counters));
    }
    Ok(vec![Page {
        anchor: super::EVIDENCE.to_owned(),
        title: TITLE.to_owned(),
        answer: answer(view),
        blocks,
        how_to_read: Some(
            "a cold request must find no more than what stands before its salt; a later one should find what the plan expects: its reusable part, rounded down \
             to whole chunks. Counters are the engine's own and count all requests of the experiment."
                .to_owned(),
        ),
    }])
}

fn tokens(points: &[&Fact], read: fn(&Fact) -> Option<u32>) -> Option<f64> {
    aggregate::median(points.iter().filter_map(|point| read(point)).map(f64::from))
}

fn cached(view: &View<'_>) -> Table {
    let mut table = Table {
        columns: vec![
            Column::text("Experiment"),
            Column::text("Engine"),
            Column::decimal("cold requests"),
            Column::decimal("most cached tokens, cold"),
            Column::decimal("later requests"),
            Column::decimal("prompt tokens, median"),
            Column::decimal("expected cached, median"),
            Column::decimal("reported cached, median"),
            Column::decimal("least reported"),
        ],
        ..Table::default()
    };
    let unit = Quantity::Tokens.unit(1.0);
    for experiment in view.measured() {
        for (index, (engine, mark)) in view.engines(experiment).enumerate() {
            let (cold, later): (Vec<&Fact>, Vec<&Fact>) = engine
                .points
                .iter()
                .partition(|point| point.kind == RequestKind::Cold);
            let most = cold
                .iter()
                .filter_map(|point| point.cached_tokens)
                .max()
                .map(f64::from);
            let least = later
                .iter()
                .filter_map(|point| point.cached_tokens)
                .min()
                .map(f64::from);
            table.rows.push(Row {
                cells: vec![
                    Cell::text(if index == 0 {
                        experiment.label.as_str()
                    } else {
                        ""
                    }),
                    Cell {
                        text: mark.name.clone(),
                        engine: Some(mark.clone()),
                        ..Cell::default()
                    },
                    Cell::text(count(cold.len() as u64)),
                    number_cell(most, unit),
                    Cell::text(count(later.len() as u64)),
                    number_cell(tokens(&later, |point| point.prompt_tokens), unit),
                    number_cell(tokens(&later, |point| point.expected_cached_tokens), unit),
                    number_cell(tokens(&later, |point| point.cached_tokens), unit),
                    number_cell(least, unit),
                ],
                link: None,
                rule: index == 0,
            });
        }
    }
    table
}

fn panel(view: &View<'_>, experiment: &ExperimentAnalysis) -> RequestPanel {
    let series = view.engines(experiment).map(|(engine, mark)| {
        let trials = engine
            .points
            .chunk_by(|one, other| one.trial == other.trial)
            .map(|trial| {
                let points = trial.iter().map(|fact| RequestPoint {
                    number: fact.request_id,
                    value: fact.cached_tokens.map(f64::from),
                    cold: View::cold(fact.kind),
                    failure: words::failure(fact.outcome),
                });
                points.collect()
            });
        RequestSeries {
            engine: mark.clone(),
            trials: trials.collect(),
        }
    });
    RequestPanel {
        title: experiment.label.clone(),
        invalid: view.invalid(experiment),
        series: series.collect(),
    }
}

fn agreement(view: &View<'_>) -> Table {
    let mut table = Table {
        columns: vec![
            Column::text("Experiment"),
            Column::text("Texts of"),
            Column::text("against"),
            Column::text("requests"),
            Column::decimal("pairs"),
            Column::decimal("equal"),
            Column::decimal("mean equal start (characters)"),
        ],
        ..Table::default()
    };
    for experiment in view.measured() {
        for (index, found) in experiment.agreement.iter().enumerate() {
            table.rows.push(Row {
                cells: vec![
                    Cell::text(if index == 0 {
                        experiment.label.as_str()
                    } else {
                        ""
                    }),
                    Cell {
                        text: view.name(found.engine_id).to_owned(),
                        engine: view.mark(found.engine_id).cloned(),
                        ..Cell::default()
                    },
                    Cell::text(view.name(found.relative_to)),
                    Cell::text(words::requests(found.requests)),
                    Cell::text(count(found.pairs)),
                    Cell::text(count(found.equal)),
                    found
                        .mean_equal_prefix_characters
                        .map_or_else(Cell::unknown, |length| Cell::text(three(length))),
                ],
                link: None,
                rule: index == 0,
            });
        }
    }
    if !table.rows.is_empty() && view.analysis.run.random_weights {
        table.notes.push("With random weights equal texts say little of quality: only that both engines computed the same.".to_owned());
    }
    table
}

/// Most counters count something; the others have three significant digits.
fn counter_value(value: f64) -> String {
    if value.fract() == 0.0 {
        number(value, 0)
    } else {
        three(value)
    }
}

fn counters(view: &View<'_>) -> Table {
    let mut table = Table {
        columns: vec![
            Column::text("Experiment"),
            Column::text("Process"),
            Column::text("Counter"),
            Column::decimal("before"),
            Column::decimal("after"),
            Column::decimal("grew by"),
        ],
        ..Table::default()
    };
    let telling = |counter: &CounterDelta| {
        counter.delta != 0.0 && TELLING.iter().any(|part| counter.name.contains(part))
    };
    let mut left = 0;
    for experiment in view.measured() {
        let found: Vec<&CounterDelta> = experiment
            .engines
            .iter()
            .flat_map(|engine: &EngineResult| &engine.counters)
            .filter(|counter| telling(counter))
            .collect();
        for (index, counter) in found.into_iter().enumerate() {
            if table.rows.len() >= COUNTERS {
                left += 1;
                continue;
            }
            let name = if counter.labels.is_empty() {
                counter.name.clone()
            } else {
                format!("{} {{{}}}", counter.name, counter.labels)
            };
            table.rows.push(Row {
                cells: vec![
                    Cell::text(if index == 0 {
                        experiment.label.as_str()
                    } else {
                        ""
                    }),
                    Cell::text(counter.subject.clone()),
                    Cell::text(name),
                    Cell::text(counter_value(counter.before)),
                    Cell::text(counter_value(counter.after)),
                    Cell::text(counter_value(counter.delta)),
                ],
                link: None,
                rule: index == 0,
            });
        }
    }
    if left > 0 {
        table
            .notes
            .push(format!("{} more rows are in counters.parquet", count(left)));
    }
    table
}

fn answer(view: &View<'_>) -> Option<String> {
    let points = || {
        view.measured()
            .flat_map(|experiment| &experiment.engines)
            .flat_map(|engine| &engine.points)
    };
    let cold = points()
        .filter(|point| point.kind == RequestKind::Cold && point.cached_tokens.is_some())
        .count();
    let clean = points()
        .filter(|point| point.kind == RequestKind::Cold && point.cached_tokens == Some(0))
        .count();
    let promised = || {
        points()
            .filter_map(|point| Some((point.expected_cached_tokens?, point.cached_tokens?)))
            .filter(|(expected, _)| *expected > 0)
    };
    let hit = promised()
        .filter(|(expected, found)| f64::from(*found) >= 0.9 * f64::from(*expected))
        .count();
    let promised = promised().count();
    let mut parts = Vec::new();
    if cold > 0 {
        parts.push(format!(
            "{} of {} cold requests found nothing cached",
            count(clean as u64),
            count(cold as u64)
        ));
    }
    if promised > 0 {
        parts.push(format!(
            "{} of {} requests that were promised a hit found at least nine tenths of it",
            count(hit as u64),
            count(promised as u64)
        ));
    } else if cold > 0 {
        parts.push("no request was promised a hit".to_owned());
    }
    (!parts.is_empty()).then(|| format!("{}.", parts.join("; ")))
}
