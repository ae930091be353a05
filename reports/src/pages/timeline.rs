//! Requests as bars over the lives of engines and sidecars.

use crate::{
    analysis::{ProcessLife, RequestPoint},
    block::{Block, Page},
    chart::{
        Chart,
        aggregate::thin,
        style::engine_marks,
        timeline::{Lane, LaneBar, Phase, Piece, REQUESTS_PER_LANE, TimelineChart},
    },
    number::{count, counted},
};

use super::{LeftOut, Pages, view::View, words};

const TITLE: &str = "What happened when";
/// Requests of the closer view at most.
const CLOSER: usize = 40;

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let analysis = view.analysis;
    let end = end_s(view);
    let mut lanes = Vec::new();
    let mut thinned = Vec::new();
    let neutral = engine_marks([("", true)]);
    for life in &analysis.lives {
        let Some(engine) = life
            .engine_id
            .and_then(|id| view.mark(id))
            .or(neutral.first())
            .cloned()
        else {
            continue;
        };
        lanes.push(Lane {
            label: life.name.clone(),
            engine,
            bars: vec![life_bar(life, end)],
        });
    }
    for (id, mark) in view.marks.iter().enumerate() {
        let engines = analysis
            .experiments
            .iter()
            .flat_map(|experiment| &experiment.engines)
            .filter(|engine| engine.engine_id as usize == id);
        let mut points: Vec<&RequestPoint> = engines.flat_map(|engine| &engine.points).collect();
        if points.is_empty() {
            continue;
        }
        points.sort_by_key(|point| {
            point
                .connect_ns
                .or(point.sent_ns)
                .unwrap_or(point.intended_ns)
        });
        let kept = thin(&points, REQUESTS_PER_LANE);
        if kept.len() < points.len() {
            thinned.push(format!(
                "{}: {} of {} are drawn",
                mark.name,
                count(kept.len() as u64),
                counted(points.len() as u64, "request", "requests")
            ));
        }
        let bars = kept
            .into_iter()
            .filter_map(|point| request_bar(point, 0))
            .collect();
        lanes.push(Lane {
            label: format!("requests to {}", mark.name),
            engine: mark.clone(),
            bars,
        });
    }
    if lanes.iter().all(|lane| lane.bars.is_empty()) {
        return Err(LeftOut {
            title: TITLE,
            reason: "nothing has a time".to_owned(),
        });
    }
    let mut blocks = vec![Block::Chart(Box::new(Chart::Timeline(TimelineChart {
        time: "time since the run started".to_owned(),
        lanes,
        events: view.incidents(),
    })))];
    blocks.extend(thinned.into_iter().map(Block::Note));
    if let Some((title, chart)) = closer(view) {
        blocks.push(Block::Heading(title));
        blocks.push(Block::Chart(Box::new(Chart::Timeline(chart))));
    }
    Ok(vec![Page {
        anchor: super::TIMELINE.to_owned(),
        title: TITLE.to_owned(),
        answer: answer(view),
        blocks,
        how_to_read: Some(
            "each lane is a process or the requests to an engine; requests that overlap lie under each other. Gaps without requests are starts, stops and the \
             schedule's own pauses."
                .to_owned(),
        ),
    }])
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn end_s(view: &View<'_>) -> f64 {
    view.analysis.client.wall_s.max(
        view.analysis
            .turns
            .iter()
            .map(|turn| seconds(turn.to_ns))
            .fold(0.0, f64::max),
    )
}

fn life_bar(life: &ProcessLife, end_s: f64) -> LaneBar {
    let started = seconds(life.started_ns);
    let ended = life.ended_ns.map_or(end_s, seconds).max(started);
    let stopping = life
        .stopping_ns
        .map_or(ended, seconds)
        .clamp(started, ended);
    // A process that never answered was starting until it was gone.
    let ready = life
        .ready_ns
        .map_or(stopping, seconds)
        .clamp(started, stopping);
    let pieces = [
        (Phase::Starting, started, ready),
        (Phase::Ready, ready, stopping),
        (Phase::Starting, stopping, ended),
    ];
    let pieces =
        pieces
            .into_iter()
            .filter(|(_, from, to)| to > from)
            .map(|(phase, from_s, to_s)| Piece {
                phase,
                from_s,
                to_s,
            });
    LaneBar {
        pieces: pieces.collect(),
        failed: life.expected == Some(false),
    }
}

/// The first requests of one trial of the experiment that the answer is about, with the engines' turns laid over each other.
fn closer(view: &View<'_>) -> Option<(String, TimelineChart)> {
    let experiment = view.central()?;
    let mut cut = false;
    let lanes = view.engines(experiment).filter_map(|(engine, mark)| {
        let turns = view.analysis.turns.iter().filter(|turn| {
            turn.experiment == experiment.experiment && turn.engine_id == engine.engine_id
        });
        let turn = turns.min_by_key(|turn| turn.trial)?;
        let points = engine
            .points
            .iter()
            .filter(|point| point.trial == turn.trial);
        let bars: Vec<LaneBar> = points
            .clone()
            .take(CLOSER)
            .filter_map(|point| request_bar(point, turn.from_ns))
            .collect();
        cut |= points.count() > CLOSER;
        let label = mark.name.clone();
        (!bars.is_empty()).then(|| Lane {
            label,
            engine: mark.clone(),
            bars,
        })
    });
    let lanes: Vec<Lane> = lanes.collect();
    let which = if cut {
        format!("the first {CLOSER} requests of the first trial")
    } else {
        "the first trial".to_owned()
    };
    let chart = TimelineChart {
        time: "time since the trial’s first request was due".to_owned(),
        lanes,
        events: Vec::new(),
    };
    let title = format!("Closer: {which} of {}", experiment.label);
    (!chart.lanes.is_empty()).then_some((title, chart))
}

/// A request's bar in seconds since `zero_ns`.
fn request_bar(point: &RequestPoint, zero_ns: u64) -> Option<LaneBar> {
    let seconds = |ns: u64| (ns as f64 - zero_ns as f64) / 1e9;
    let failed = words::failure(point.outcome).is_some();
    let sent = seconds(point.sent_ns?);
    let end = point
        .done_ns
        .or(point.last_content_ns)
        .map_or(sent, seconds);
    let first = point.first_content_ns.map(seconds);
    let last = point.last_content_ns.map(seconds);
    let mut pieces = Vec::new();
    if let Some(connect) = point
        .connect_ns
        .map(seconds)
        .filter(|connect| *connect < sent)
    {
        pieces.push(Piece {
            phase: Phase::Connect,
            from_s: connect,
            to_s: sent,
        });
    }
    pieces.push(Piece {
        phase: Phase::Prefill,
        from_s: sent,
        to_s: first.unwrap_or(end).max(sent),
    });
    if let (Some(first), Some(last)) = (first, last) {
        pieces.push(Piece {
            phase: Phase::Decode,
            from_s: first,
            to_s: last.max(first),
        });
    }
    Some(LaneBar { pieces, failed })
}

fn answer(view: &View<'_>) -> Option<String> {
    let client = &view.analysis.client;
    let whole = super::cells::three(client.wall_s);
    let overhead = client
        .overhead_s
        .map(|overhead| {
            format!(
                ", of which {} s were the suite's own",
                super::cells::three(overhead)
            )
        })
        .unwrap_or_default();
    let lost = view
        .analysis
        .lives
        .iter()
        .filter(|life| life.expected == Some(false))
        .count() as u64;
    let ends = if lost == 0 {
        "no process ended on its own".to_owned()
    } else {
        format!("{} ended on its own", counted(lost, "process", "processes"))
    };
    (client.wall_s > 0.0).then(|| format!("The run took {whole} s{overhead}; {ends}."))
}
