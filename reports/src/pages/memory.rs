//! Memory of devices and processes, and bytes written and read, over the run's time.

use crate::{
    analysis::{ResourceSeries, SubjectRole},
    block::{Block, Cell, Column, Page, Row, Table},
    chart::{
        Chart,
        scale::Quantity,
        style::{EngineMark, engine_marks},
        time::{Span, TimeChart, TimePanel, TimeSeries},
    },
};

use super::{
    LeftOut, Pages,
    cells::{number_cell, quantity, titled},
    view::View,
};

const TITLE: &str = "Memory and movement over time";

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let panels: Vec<TimePanel> = [
        panel(view, "device memory", Quantity::Bytes, |series| {
            levels(&series.gpu_memory_bytes)
        }),
        panel(
            view,
            "device busy, share of the time",
            Quantity::Share,
            |series| shares(&series.gpu_utilisation_percent),
        ),
        panel(view, "host memory, RSS", Quantity::Bytes, |series| {
            levels(&series.rss_bytes)
        }),
        panel(view, "written to disk", Quantity::Bytes, |series| {
            growth(&series.disk_written_bytes)
        }),
        panel(view, "read from disk", Quantity::Bytes, |series| {
            growth(&series.disk_read_bytes)
        }),
        panel(view, "over loopback", Quantity::Bytes, |series| {
            growth(&series.loopback_bytes)
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if panels.is_empty() {
        return Err(LeftOut {
            title: TITLE,
            reason: "no sensor gave a value".to_owned(),
        });
    }
    let mut blocks = vec![Block::Chart(Box::new(Chart::Time(TimeChart {
        panels,
        spans: spans(view),
        events: view.incidents(),
    })))];
    blocks.extend(peaks(view).map(Block::Table));
    Ok(vec![Page {
        anchor: super::MEMORY.to_owned(),
        title: TITLE.to_owned(),
        answer: answer(view),
        blocks,
        how_to_read: Some(
            "shaded spans are experiments. RSS is of the whole process tree, sidecars apart (thin lines). Disk bytes are those of the block layer since the first \
             reading: what the page cache serves is not in them. Loopback bytes are the whole host's, whoever sent them: KV on its way to a server beside the engine, and requests. An engine's device memory is that of all its devices. A device is busy while any kernel runs on it, however little of it that fills."
                .to_owned(),
        ),
    }])
}

fn levels(values: &[Option<u64>]) -> Vec<Option<f64>> {
    values
        .iter()
        .map(|value| value.map(|value| value as f64))
        .collect()
}

fn shares(percent: &[Option<u32>]) -> Vec<Option<f64>> {
    percent
        .iter()
        .map(|percent| percent.map(|percent| f64::from(percent) / 100.0))
        .collect()
}

/// What a counter grew by since its first reading; nothing where it never grew.
fn growth(values: &[Option<u64>]) -> Vec<Option<f64>> {
    let Some(first) = values.iter().flatten().next().copied() else {
        return Vec::new();
    };
    let grown: Vec<Option<f64>> = values
        .iter()
        .map(|value| value.map(|value| value.saturating_sub(first) as f64))
        .collect();
    if grown.iter().flatten().all(|value| *value == 0.0) {
        Vec::new()
    } else {
        grown
    }
}

fn panel(
    view: &View<'_>,
    title: &str,
    quantity: Quantity,
    values: impl Fn(&ResourceSeries) -> Vec<Option<f64>>,
) -> Option<TimePanel> {
    // What belongs to no engine (the runner, a whole device) is drawn as a baseline is.
    let neutral = engine_marks([("", true)]).into_iter().next()?;
    let series: Vec<TimeSeries> = view
        .analysis
        .resources
        .iter()
        .filter(|series| series.role != SubjectRole::Runner)
        .filter_map(|series| {
            let values = values(series);
            if values.iter().all(Option::is_none) {
                return None;
            }
            let mark: EngineMark = series
                .engine_id
                .and_then(|id| view.mark(id))
                .cloned()
                .unwrap_or_else(|| neutral.clone());
            let points = series
                .at_ns
                .iter()
                .map(|at| *at as f64 / 1e9)
                .zip(values)
                .collect();
            Some(TimeSeries {
                name: series.subject.clone(),
                engine: mark,
                thin: series.role != SubjectRole::Engine,
                points,
            })
        })
        .collect();
    (!series.is_empty()).then(|| TimePanel {
        title: title.to_owned(),
        quantity,
        series,
    })
}

/// Turns in order of time; neighbours of one experiment are one span.
fn spans(view: &View<'_>) -> Vec<Span> {
    let mut spans: Vec<(u32, Span)> = Vec::new();
    for turn in &view.analysis.turns {
        let (from_s, to_s) = (turn.from_ns as f64 / 1e9, turn.to_ns as f64 / 1e9);
        match spans.last_mut() {
            Some((experiment, span)) if *experiment == turn.experiment => {
                span.to_s = span.to_s.max(to_s)
            }
            _ => {
                let label = view
                    .analysis
                    .experiments
                    .get(turn.experiment as usize)
                    .map_or_else(String::new, |experiment| experiment.label.clone());
                spans.push((
                    turn.experiment,
                    Span {
                        label,
                        from_s,
                        to_s,
                    },
                ));
            }
        }
    }
    spans.into_iter().map(|(_, span)| span).collect()
}

fn peaks(view: &View<'_>) -> Option<Table> {
    let memory = &view.analysis.memory;
    if memory.is_empty() {
        return None;
    }
    type Read = fn(&crate::analysis::EngineMemory) -> Option<u64>;
    let parts: [(&str, Read); 5] = [
        ("host, engine", |memory| memory.peak_rss_bytes),
        ("host, sidecars", |memory| memory.sidecars_peak_rss_bytes),
        ("device", |memory| memory.peak_gpu_bytes),
        ("KV pool", |memory| memory.pool_bytes),
        ("device beyond the pool", |memory| memory.beyond_pool_bytes),
    ];
    let known: Vec<(&str, Read)> = parts
        .into_iter()
        .filter(|(_, read)| memory.iter().any(|memory| read(memory).is_some()))
        .collect();
    let largest = memory
        .iter()
        .flat_map(|memory| known.iter().filter_map(move |(_, read)| read(memory)))
        .max()?;
    let unit = Quantity::Bytes.unit(largest as f64);
    let mut columns = vec![Column::text("Peak over the run")];
    columns.extend(
        known
            .iter()
            .map(|(title, _)| Column::decimal(titled(title, unit))),
    );
    let rows = memory.iter().map(|memory| {
        let mut cells = vec![Cell {
            text: view.name(memory.engine_id).to_owned(),
            engine: view.mark(memory.engine_id).cloned(),
            ..Cell::default()
        }];
        cells.extend(
            known
                .iter()
                .map(|(_, read)| number_cell(read(memory).map(|bytes| bytes as f64), unit)),
        );
        Row::new(cells)
    });
    Some(Table {
        columns,
        rows: rows.collect(),
        notes: Vec::new(),
    })
}

fn answer(view: &View<'_>) -> Option<String> {
    let on_device = view
        .analysis
        .memory
        .iter()
        .any(|memory| memory.peak_gpu_bytes.is_some());
    let peaks = view.analysis.memory.iter().filter_map(|memory| {
        let bytes = if on_device {
            memory.peak_gpu_bytes
        } else {
            memory.peak_rss_bytes
        }?;
        Some(format!(
            "{} {}",
            view.short_name(memory.engine_id),
            quantity(bytes as f64, Quantity::Bytes)
        ))
    });
    let peaks: Vec<String> = peaks.collect();
    let place = if on_device { "device" } else { "host" };
    (!peaks.is_empty()).then(|| format!("Peak {place} memory: {}.", peaks.join(", ")))
}
