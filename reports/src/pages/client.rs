//! Was the client honest? Lateness, asked against achieved rate, heartbeat, own CPU, reconnects, overhead.

use crate::{
    analysis::TurnHealth,
    block::{Block, Cell, Column, Page, Row, Table},
    chart::{
        Chart,
        distribution::{Curve, DistributionChart, DistributionPanel},
        scale::Quantity,
        style::{EngineMark, engine_marks},
    },
    number::count,
    stats::Summary,
};

use super::{
    LeftOut, Pages,
    cells::{number_cell, quantity, three, titled},
    view::View,
};

const TITLE: &str = "Was the client honest?";
/// Turns shown at most, those in which the client was latest.
const TURNS: usize = 40;

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let client = &view.analysis.client;
    if client.lateness.is_none() && client.turns.is_empty() {
        return Err(LeftOut {
            title: TITLE,
            reason: "no request was sent".to_owned(),
        });
    }
    let mut left = vec![Block::Table(facts(view))];
    let neutral = engine_marks([("all requests", true)])
        .into_iter()
        .next()
        .map(|mark| EngineMark { dash: &[], ..mark });
    let mut right = Vec::new();
    if client.lateness_ecdf.len() > 1
        && let Some(engine) = neutral
    {
        let curve = Curve {
            engine,
            cold: false,
            samples: client.lateness_ecdf.clone(),
        };
        let panel = DistributionPanel {
            title: "How late requests were sent".to_owned(),
            metric: "sent − intended".to_owned(),
            curves: vec![curve],
        };
        right.push(Block::Chart(Box::new(Chart::Distribution(
            DistributionChart {
                quantity: Quantity::Seconds,
                panels: vec![panel],
            },
        ))));
    }
    let mut blocks = Vec::new();
    if right.is_empty() {
        blocks.append(&mut left);
    } else {
        blocks.push(Block::Columns {
            split: 5,
            left,
            right,
        });
    }
    if !client.turns.is_empty() {
        blocks.push(Block::Heading("Turn by turn".to_owned()));
        blocks.push(Block::Table(turns(view)));
    }
    Ok(vec![Page {
        anchor: super::CLIENT.to_owned(),
        title: TITLE.to_owned(),
        answer: answer(view),
        blocks,
        how_to_read: Some(
            "lateness is when a request's first byte was written less when the schedule wanted it; it is inside no TTFT that counts from sent. The heartbeat is a \
             timer on the thread that sends, of 1 ms, or of 5 ms where little arrives: when it is late, that thread did not get to run."
                .to_owned(),
        ),
    }])
}

/// The tail that a summary can tell: the 99th percentile, else the largest.
fn tail(summary: &Summary) -> (f64, &'static str) {
    summary
        .p99
        .map_or((summary.max, "largest"), |p99| (p99, "99th percentile"))
}

fn answer(view: &View<'_>) -> Option<String> {
    let summary = view.analysis.client.lateness.as_ref()?;
    let (late, name) = tail(summary);
    Some(format!(
        "Requests left {} after their time at the median and {} at the {name} (n = {}).",
        quantity(summary.median, Quantity::Seconds),
        quantity(late, Quantity::Seconds),
        count(summary.n)
    ))
}

fn facts(view: &View<'_>) -> Table {
    let client = &view.analysis.client;
    let mut table = Table {
        columns: vec![Column::text("Over the whole run"), Column::text("")],
        ..Table::default()
    };
    let mut add = |name: &str, value: Option<String>| {
        table.rows.push(Row::new(vec![
            Cell::text(name),
            value.map_or_else(Cell::unknown, Cell::text),
        ]));
    };
    let spread = |summary: &Summary| {
        let (late, name) = tail(summary);
        format!(
            "median {}, {name} {}",
            quantity(summary.median, Quantity::Seconds),
            quantity(late, Quantity::Seconds)
        )
    };
    add("sent − intended", client.lateness.as_ref().map(spread));
    if client.ttft_error.is_some() {
        add(
            "TTFT measured − TTFT served",
            client.ttft_error.as_ref().map(spread),
        );
    }
    add("connections replaced", Some(count(client.reconnects)));
    add(
        "CPU of the runner",
        client
            .cpu_ns
            .map(|ns| format!("{} s", three(ns as f64 / 1e9))),
    );
    add(
        "peak memory of the runner",
        client
            .peak_rss_bytes
            .map(|bytes| quantity(bytes as f64, Quantity::Bytes)),
    );
    add("wall time", Some(format!("{} s", three(client.wall_s))));
    add(
        "the suite's own share of it",
        client
            .overhead_s
            .map(|overhead| format!("{} s", three(overhead))),
    );
    table
}

fn turns(view: &View<'_>) -> Table {
    let client = &view.analysis.client;
    let open = client.turns.iter().any(|turn| turn.asked_rate.is_some());
    let mut order: Vec<&TurnHealth> = client.turns.iter().collect();
    let left = order.len().saturating_sub(TURNS);
    if left > 0 {
        let late = |turn: &TurnHealth| turn.lateness.as_ref().map_or(0.0, |summary| summary.max);
        order.sort_by(|one, other| late(other).total_cmp(&late(one)));
        order.truncate(TURNS);
    }
    let lateness = order
        .iter()
        .filter_map(|turn| turn.lateness.as_ref())
        .map(|summary| summary.max)
        .fold(0.0, f64::max);
    let late_unit = Quantity::Seconds.unit(lateness);
    let beats = order
        .iter()
        .filter_map(|turn| turn.heartbeat_worst_ns)
        .max()
        .unwrap_or(0);
    let beat_unit = Quantity::Seconds.unit(beats as f64 / 1e9);
    let mut columns = vec![
        Column::text("Experiment"),
        Column::decimal("trial"),
        Column::text("Engine"),
        Column::decimal("requests"),
        Column::decimal(titled("late, median", late_unit)),
        Column::decimal(titled("late, 99th percentile", late_unit)),
        Column::decimal(titled("late, largest", late_unit)),
        Column::decimal(titled("heartbeat, 99th percentile", beat_unit)),
        Column::decimal(titled("heartbeat, worst", beat_unit)),
        Column::decimal("share of a core"),
    ];
    if open {
        columns.push(Column::decimal("asked (requests/s)"));
        columns.push(Column::decimal("achieved (requests/s)"));
    }
    let plain = Quantity::Plain.unit(1.0);
    let rows = order.into_iter().map(|turn| {
        let label = view
            .analysis
            .experiments
            .get(turn.experiment as usize)
            .map_or("—", |experiment| experiment.label.as_str());
        let lateness = turn.lateness.as_ref();
        let beat = |ns: Option<u64>| number_cell(ns.map(|ns| ns as f64 / 1e9), beat_unit);
        let mut cells = vec![
            Cell::text(label),
            Cell::text(count(u64::from(turn.trial) + 1)),
            Cell {
                text: view.name(turn.engine_id).to_owned(),
                engine: view.mark(turn.engine_id).cloned(),
                ..Cell::default()
            },
            Cell::text(count(turn.requests)),
            number_cell(lateness.map(|summary| summary.median), late_unit),
            number_cell(lateness.and_then(|summary| summary.p99), late_unit),
            number_cell(lateness.map(|summary| summary.max), late_unit),
            beat(turn.heartbeat_p99_ns),
            beat(turn.heartbeat_worst_ns),
            number_cell(turn.thread_cpu_share, plain),
        ];
        if open {
            cells.push(number_cell(turn.asked_rate, plain));
            cells.push(number_cell(turn.achieved_rate, plain));
        }
        Row::new(cells)
    });
    let mut table = Table {
        columns,
        rows: rows.collect(),
        notes: Vec::new(),
    };
    if left > 0 {
        table.notes.push(format!(
            "The {TURNS} turns in which a request was latest; {} others are not shown.",
            count(left as u64)
        ));
    }
    table
}
