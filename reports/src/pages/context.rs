//! TTFT against context length with the ratio below it, and what loading costs beside computing again.

use schemas::scenario::{Metric, Requests};

use crate::{
    block::{Block, Cell, Column, Page, Row, Table},
    breakeven::BreakEven,
    chart::{
        Chart, Point,
        context::{ContextChart, ContextSeries},
        scale::Quantity,
    },
    phrase,
    stats::Estimate,
};

use super::{
    LeftOut, Pages,
    cells::{column_unit, estimate_cell, number_cell, titled},
    view::View,
    words,
};

const TITLE: &str = "Time to first token against context length";

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let analysis = view.analysis;
    let mut lengths: Vec<u32> = view
        .measured()
        .map(|experiment| experiment.context_tokens)
        .collect();
    lengths.sort_unstable();
    let experiments = lengths.len();
    lengths.dedup();
    let table = break_even(view);
    let parted = analysis.headline.iter().any(|row| row.phase.is_some());
    let chart = if lengths.len() >= 2 && lengths.len() == experiments && !parted {
        chart(view)
    } else {
        None
    };
    let reason = match (chart.is_some(), lengths.len()) {
        (true, _) => None,
        (false, _) if parted => Some("an event parts the requests of each experiment".to_owned()),
        (false, 0) => Some("nothing was measured".to_owned()),
        (false, 1) => Some("only one context length was measured".to_owned()),
        (false, _) => Some("experiments differ in more than their context length".to_owned()),
    };
    if let (Some(reason), None) = (&reason, &table) {
        return Err(LeftOut {
            title: TITLE,
            reason: reason.clone(),
        });
    }
    let sentences: Vec<String> = analysis
        .paying
        .iter()
        .map(|paying| paying.sentence.clone())
        .collect();
    let mut blocks = Vec::new();
    let charted = chart.is_some();
    blocks.extend(chart.map(|chart| Block::Chart(Box::new(Chart::Context(chart)))));
    if let Some(table) = table {
        blocks.push(Block::Heading(
            "What loading costs beside computing again".to_owned(),
        ));
        blocks.push(Block::Table(table));
    }
    Ok(vec![Page {
        anchor: super::CONTEXT.to_owned(),
        title: if charted { TITLE } else { "What loading costs beside computing again" }.to_owned(),
        answer: (!sentences.is_empty()).then(|| sentences.join(" ")),
        blocks,
        how_to_read: Some(
            "a ratio below the dashed line is a tier that pays; above it, computing again is faster. Achieved is how fast the cache's bytes came; below the \
             bandwidth at which it ties, loading is slower than computing. Values between lengths were not measured."
                .to_owned(),
        ),
    }])
}

fn chart(view: &View<'_>) -> Option<ContextChart> {
    let analysis = view.analysis;
    let mut values = Vec::new();
    let mut ratios = Vec::new();
    for facts in &analysis.engines {
        let Some(mark) = view.mark(facts.engine_id) else {
            continue;
        };
        for (requests, cold) in [(Requests::Cold, true), (view.warm, false)] {
            let points = by_length(view, |experiment| {
                let engine = experiment
                    .engines
                    .iter()
                    .find(|engine| engine.engine_id == facts.engine_id)?;
                Some(engine.estimate(Metric::Ttft, requests)?.estimate)
            });
            if !points.is_empty() {
                values.push(ContextSeries {
                    engine: mark.clone(),
                    cold,
                    points,
                });
            }
        }
        let points = by_length(view, |experiment| {
            let ratio = experiment.ratios.iter().find(|ratio| {
                ratio.engine_id == facts.engine_id
                    && ratio.metric == Metric::Ttft
                    && ratio.requests == view.warm
            })?;
            Some(ratio.estimate)
        });
        if !points.is_empty() {
            ratios.push(ContextSeries {
                engine: mark.clone(),
                cold: false,
                points,
            });
        }
    }
    let below = analysis
        .headline
        .iter()
        .find_map(|row| row.baseline_id)
        .map_or_else(
            || "the baseline".to_owned(),
            |baseline| view.short_name(baseline),
        );
    let ratio_title = format!(
        "ratio of TTFT to {below}, {} requests",
        words::requests(view.warm)
    );
    (!values.is_empty()).then(|| ContextChart {
        metric: "TTFT".to_owned(),
        quantity: Quantity::Seconds,
        values,
        ratio_title,
        ratios,
    })
}

fn by_length(
    view: &View<'_>,
    estimate: impl Fn(&crate::analysis::ExperimentAnalysis) -> Option<Estimate>,
) -> Vec<(u32, Point)> {
    let mut points: Vec<(u32, Point)> = view
        .measured()
        .filter_map(|experiment| {
            let found = estimate(experiment)?;
            Some((
                experiment.context_tokens,
                Point {
                    value: found.value,
                    interval: found.interval(),
                },
            ))
        })
        .collect();
    points.sort_by_key(|(tokens, _)| *tokens);
    points
}

fn break_even(view: &View<'_>) -> Option<Table> {
    let all: Vec<(String, &BreakEven)> = view
        .analysis
        .experiments
        .iter()
        .flat_map(|experiment| {
            experiment.break_even.iter().map(|found| {
                let label = match found.phase {
                    Some(phase) => format!("{} {}", experiment.label, phrase::phase(phase)),
                    None => experiment.label.clone(),
                };
                (label, found)
            })
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    let times = column_unit(
        Quantity::Seconds,
        all.iter()
            .flat_map(|(_, found)| [&found.reused_s, &found.recomputed_s])
            .flatten(),
    );
    let largest = |value: fn(&BreakEven) -> Option<f64>| {
        all.iter()
            .filter_map(|(_, found)| value(found))
            .fold(0.0, f64::max)
    };
    let bytes = Quantity::Bytes.unit(largest(|found| found.kv_bytes.map(|bytes| bytes as f64)));
    let speed = Quantity::BytesPerSecond.unit(
        largest(|found| found.achieved_kv_bytes_per_s)
            .max(largest(|found| found.tie_kv_bytes_per_s)),
    );
    let wire = all.iter().any(|(_, found)| found.wire_bytes.is_some());
    let mut columns = vec![
        Column::text("Experiment"),
        Column::text("Engine"),
        Column::text("Tier"),
        Column::decimal(titled("reused", times)),
        Column::decimal(titled("recomputed", times)),
        Column::decimal(titled("floor", times)),
        Column::decimal(titled("KV", bytes)),
        Column::decimal(titled("achieved", speed)),
        Column::decimal(titled("ties at", speed)),
    ];
    if wire {
        columns.push(Column::decimal(titled("on the wire", bytes)));
        columns.push(Column::decimal(titled("wire, achieved", speed)));
        columns.push(Column::decimal(titled("wire, ties at", speed)));
    }
    let mut table = Table {
        columns,
        ..Table::default()
    };
    let mut notes = Vec::new();
    let mut before = String::new();
    for (label, found) in all {
        let first = label != before;
        let mut cells = vec![
            Cell::text(if first { label.as_str() } else { "" }),
            Cell {
                text: view.name(found.engine_id).to_owned(),
                engine: view.mark(found.engine_id).cloned(),
                ..Cell::default()
            },
            Cell::text(found.tier.clone()),
            estimate_cell(found.reused_s.as_ref(), times),
            estimate_cell(found.recomputed_s.as_ref(), times),
            estimate_cell(found.floor_s.as_ref(), times),
            number_cell(found.kv_bytes.map(|bytes| bytes as f64), bytes),
            number_cell(found.achieved_kv_bytes_per_s, speed),
            number_cell(found.tie_kv_bytes_per_s, speed),
        ];
        if wire {
            cells.push(number_cell(
                found.wire_bytes.map(|bytes| bytes as f64),
                bytes,
            ));
            cells.push(number_cell(found.achieved_wire_bytes_per_s, speed));
            cells.push(number_cell(found.tie_wire_bytes_per_s, speed));
        }
        before = label;
        table.rows.push(Row {
            cells,
            link: None,
            rule: first,
        });
        for note in [&found.floor_note, &found.note].into_iter().flatten() {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
    }
    notes.truncate(5);
    table.notes = notes;
    Some(table)
}
