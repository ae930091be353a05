//! Process lives, requests and events as bars on one time axis.

use crate::pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle};

use super::{
    aggregate::thin,
    key::{Entry, draw_key, shorten},
    panel::room_below,
    scale::{Quantity, Scale},
    style::{EngineMark, draw_cross},
    time::Moment,
};

/// Bars of requests drawn in one lane at most; more are thinned, and the page says so.
pub const REQUESTS_PER_LANE: usize = 2500;

/// Crosses in one lane at most.
const CROSSES_PER_LANE: usize = 60;

/// What a bar's piece shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A process before its probe was answered, or while it stops.
    Starting,
    /// A process that answers.
    Ready,
    /// A connection being opened.
    Connect,
    /// From the first byte sent to the first content: queue and prefill.
    Prefill,
    /// From the first to the last content.
    Decode,
}

/// One piece of a bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    pub phase: Phase,
    /// Seconds since the run started.
    pub from_s: f64,
    pub to_s: f64,
}

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneBar {
    pub pieces: Vec<Piece>,
    /// It ended in failure: a cross at its end.
    pub failed: bool,
}

/// One lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    pub label: String,
    pub engine: EngineMark,
    /// Bars that overlap in time lie on rows under each other.
    pub bars: Vec<LaneBar>,
}

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineChart {
    /// What the axis counts from: `time since the run started`.
    pub time: String,
    pub lanes: Vec<Lane>,
    pub events: Vec<Moment>,
}

/// Height of a row where there are many, and where there are few.
const LOW_ROW: f32 = 9.0;
const HIGH_ROW: f32 = 15.0;
/// Height that rows fill before they get lower.
const ROWS_HEIGHT: f32 = 150.0;
const LANE_GAP: f32 = 6.0;
const MOST_ROWS: usize = 24;

impl LaneBar {
    fn from(&self) -> f64 {
        self.pieces.first().map_or(0.0, |piece| piece.from_s)
    }

    fn to(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| piece.to_s)
    }
}

/// The row of each bar: the first that is free when the bar begins; beyond [`MOST_ROWS`] they share rows.
fn rows(bars: &[LaneBar]) -> (Vec<usize>, usize) {
    let mut free_from: Vec<f64> = Vec::new();
    let mut places = Vec::with_capacity(bars.len());
    for bar in bars {
        let free = free_from.iter().position(|end| *end <= bar.from() + 1e-9);
        let row = match free {
            Some(row) => row,
            None if free_from.len() < MOST_ROWS => {
                free_from.push(0.0);
                free_from.len() - 1
            }
            None => places.len() % MOST_ROWS,
        };
        free_from[row] = free_from[row].max(bar.to());
        places.push(row);
    }
    (places, free_from.len().max(1))
}

fn colour(phase: Phase, engine: &EngineMark) -> Colour {
    match phase {
        Phase::Starting => Colour::HAIRLINE,
        Phase::Ready => engine.colour.tint(0.30),
        Phase::Connect => Colour::INK,
        Phase::Prefill => engine.colour,
        Phase::Decode => engine.colour.tint(0.45),
    }
}

fn row_height(counts: &[usize]) -> f32 {
    (ROWS_HEIGHT / counts.iter().sum::<usize>().max(1) as f32).clamp(LOW_ROW, HIGH_ROW)
}

impl TimelineChart {
    pub(crate) fn natural_height(&self) -> f32 {
        let counts: Vec<usize> = self.lanes.iter().map(|lane| rows(&lane.bars).1).collect();
        let (row, total) = (row_height(&counts), counts.iter().sum::<usize>());
        total as f32 * row
            + counts.len() as f32 * LANE_GAP
            + 22.0
            + self.events_height()
            + room_below(true, true)
    }

    fn events_height(&self) -> f32 {
        if self.events.is_empty() { 0.0 } else { 12.0 }
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let style = TextStyle::label();
        let ends = self
            .lanes
            .iter()
            .flat_map(|lane| &lane.bars)
            .map(LaneBar::to);
        let end = ends
            .chain(self.events.iter().map(|event| event.at_s))
            .fold(1e-3, f64::max);
        let start = self
            .lanes
            .iter()
            .flat_map(|lane| &lane.bars)
            .map(LaneBar::from)
            .fold(end, f64::min);
        let x = Scale::exact(
            Quantity::Seconds,
            if start < 0.05 * end {
                start.min(0.0)
            } else {
                start
            },
            end,
            10,
        );
        let grey = Colour::SOFT;
        let shown = |phase: Phase| {
            self.lanes
                .iter()
                .flat_map(|lane| &lane.bars)
                .flat_map(|bar| &bar.pieces)
                .any(|piece| piece.phase == phase)
        };
        let mut key: Vec<Entry> = [
            (Phase::Starting, Colour::HAIRLINE, "process starts or stops"),
            (Phase::Ready, grey.tint(0.30), "process answers"),
            (Phase::Connect, Colour::INK, "connection opens"),
            (Phase::Prefill, grey, "request waits for its first token"),
            (Phase::Decode, grey.tint(0.45), "tokens arrive"),
        ]
        .into_iter()
        .filter(|(phase, _, _)| shown(*phase))
        .map(|(_, colour, words)| Entry::Fill(colour, words))
        .collect();
        if self
            .lanes
            .iter()
            .flat_map(|lane| &lane.bars)
            .any(|bar| bar.failed)
        {
            key.push(Entry::Cross("failed"));
        }
        let top = draw_key(canvas, area, &key) + 4.0;
        let labels = self
            .lanes
            .iter()
            .map(|lane| canvas.measure(&style, &lane.label));
        let left = labels.fold(0.0, f32::max).min(130.0) + 8.0;
        let events = self.events_height();
        let plot = Area::new(
            area.x + left,
            area.y + top + events,
            area.width - left - 6.0,
            area.height - top - events - room_below(true, true),
        );
        let lanes: Vec<(Vec<usize>, usize)> =
            self.lanes.iter().map(|lane| rows(&lane.bars)).collect();
        let row_height = row_height(&lanes.iter().map(|(_, count)| *count).collect::<Vec<_>>());
        let wanted: f32 = lanes
            .iter()
            .map(|(_, count)| *count as f32 * row_height + LANE_GAP)
            .sum();
        let squeeze = (plot.height / wanted.max(1.0)).min(1.0);
        let bottom = plot.y + wanted * squeeze;
        let at = |seconds: f64| plot.x + x.position(seconds) * plot.width;
        for tick in &x.ticks {
            canvas.line(
                (at(tick.value), plot.y),
                (at(tick.value), bottom),
                &Stroke::solid(Colour::HAIRLINE, 0.25),
            );
            canvas.text(
                at(tick.value),
                bottom + 10.5,
                &tick.text,
                &style,
                Anchor::Middle,
            );
        }
        let mut y = plot.y;
        for (lane, (places, count)) in self.lanes.iter().zip(&lanes) {
            let height = *count as f32 * row_height * squeeze;
            let shown = shorten(canvas, &lane.label, &style, left - 8.0);
            canvas.text(
                area.x,
                y + height / 2.0 + 2.6,
                &shown,
                &style,
                Anchor::Start,
            );
            let thick = row_height * squeeze * 0.82;
            for (bar, row) in lane.bars.iter().zip(places) {
                let row_top = y + *row as f32 * row_height * squeeze;
                for piece in &bar.pieces {
                    let (from, to) = (at(piece.from_s), at(piece.to_s));
                    canvas.fill_area(
                        Area::new(from, row_top, (to - from).max(0.25), thick),
                        colour(piece.phase, &lane.engine),
                    );
                }
            }
            let failed: Vec<(f64, usize)> = lane
                .bars
                .iter()
                .zip(places)
                .filter(|(bar, _)| bar.failed)
                .map(|(bar, row)| (bar.to(), *row))
                .collect();
            for (end, row) in thin(&failed, CROSSES_PER_LANE) {
                let centre = y + row as f32 * row_height * squeeze + thick / 2.0;
                draw_cross(canvas, (at(end), centre), 2.2, Colour::INK);
            }
            y += height + LANE_GAP * squeeze;
        }
        let axis = Stroke::solid(Colour::AXIS, 0.4);
        canvas.line((plot.x, bottom), (plot.right(), bottom), &axis);
        let words = TextStyle {
            size: 8.0,
            colour: Colour::INK,
            ..style
        };
        canvas.text(
            plot.right(),
            bottom + 21.0,
            &x.title(&self.time),
            &words,
            Anchor::End,
        );
        let mut free_from = f32::MIN;
        for event in &self.events {
            let x = at(event.at_s);
            canvas.line(
                (x, plot.y - 2.0),
                (x, bottom),
                &Stroke::solid(Colour::INK, 0.6),
            );
            let text = shorten(canvas, &event.label, &style, 120.0);
            let wide = canvas.measure(&style, &text);
            let start = (x - wide / 2.0).clamp(plot.x, (plot.right() - wide).max(plot.x));
            if start > free_from {
                canvas.text(start, plot.y - 4.0, &text, &style, Anchor::Start);
                free_from = start + wide + 6.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(from_s: f64, to_s: f64) -> LaneBar {
        LaneBar {
            pieces: vec![Piece {
                phase: Phase::Decode,
                from_s,
                to_s,
            }],
            failed: false,
        }
    }

    #[test]
    fn bars_that_overlap_lie_under_each_other_and_rows_are_used_again() {
        let (places, count) = rows(&[bar(0.0, 2.0), bar(1.0, 3.0), bar(2.0, 4.0), bar(2.5, 2.6)]);
        assert_eq!((places, count), (vec![0, 1, 0, 2], 3));
    }

    #[test]
    fn a_thousand_streams_at_once_share_the_rows_there_are() {
        let bars: Vec<LaneBar> = (0..1000).map(|_| bar(0.0, 1.0)).collect();
        assert_eq!(rows(&bars).1, MOST_ROWS);
    }
}
