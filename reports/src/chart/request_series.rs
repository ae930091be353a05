//! The requests of one engine in one experiment: as points with the median of the trials, or as a running median with a band; and its failures.

use std::collections::BTreeMap;

use crate::{
    number::count,
    pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle},
};

use super::{
    aggregate::{Bin, median, running_median, thin},
    key::{END_MARKER, darker, shorten},
    panel::Plot,
    style::{EngineMark, draw_cross},
};

/// Above this many requests in a trial the panel shows a running median with a 10–90 band.
const FEW_REQUESTS: usize = 200;
/// Pieces of a running median.
const BINS: usize = 150;
/// Points drawn faintly behind a running median, per engine and panel.
const FAINT_POINTS: usize = 400;
/// Above this many requests only cold ones and failures have a marker.
const MARKED_REQUESTS: usize = 60;
/// Crosses of one outcome of one engine in a panel at most; the count stands in the label.
const CROSSES: usize = 20;
/// Outcomes named in a panel at most.
pub(super) const NAMED_OUTCOMES: usize = 4;

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestPoint {
    /// Its number within the trial, from 0.
    pub number: u32,
    /// The metric in base units; null where the request has none.
    pub value: Option<f64>,
    /// It was the first with its context.
    pub cold: bool,
    /// The outcome's name where it failed.
    pub failure: Option<&'static str>,
}

/// One engine in one experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSeries {
    pub engine: EngineMark,
    /// Points of each trial in order of request number.
    pub trials: Vec<Vec<RequestPoint>>,
}

/// One experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestPanel {
    pub title: String,
    /// Why the experiment is INVALID, where it is.
    pub invalid: Option<String>,
    pub series: Vec<RequestSeries>,
}

impl RequestPanel {
    /// How requests failed: engine, outcome, and the numbers of the requests.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = (&EngineMark, &'static str, Vec<u32>)> {
        self.series.iter().flat_map(|series| {
            let mut by_outcome: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
            for point in series.trials.iter().flatten() {
                if let Some(failure) = point.failure {
                    by_outcome.entry(failure).or_default().push(point.number);
                }
            }
            by_outcome
                .into_iter()
                .map(|(outcome, numbers)| (&series.engine, outcome, numbers))
        })
    }
}

impl RequestSeries {
    pub(super) fn is_long(&self) -> bool {
        self.trials.iter().any(|trial| trial.len() > FEW_REQUESTS)
    }

    pub(super) fn typical(&self) -> Option<f64> {
        median(self.trials.iter().flatten().filter_map(|point| point.value))
    }

    /// Draws the series and returns the height at which its line ends.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, plot: &Plot<'_>) -> Option<f32> {
        if self.is_long() {
            self.draw_long(canvas, plot)
        } else {
            self.draw_short(canvas, plot)
        }
    }

    fn draw_short(&self, canvas: &mut Canvas<'_>, plot: &Plot<'_>) -> Option<f32> {
        if self.trials.len() > 1 {
            for trial in &self.trials {
                draw_broken(
                    canvas,
                    plot,
                    trial.iter().map(|point| (point.number, point.value)),
                    &self.engine.faint(),
                );
            }
        }
        let middle = self.across_trials();
        draw_broken(
            canvas,
            plot,
            middle.iter().map(|(number, value, _)| (*number, *value)),
            &self.engine.strong(),
        );
        for (number, value, cold) in &middle {
            if let Some(value) = value
                && (*cold || middle.len() <= MARKED_REQUESTS)
            {
                self.engine.draw(
                    canvas,
                    plot.at(f64::from(*number), *value),
                    if *cold { 2.2 } else { 1.7 },
                    *cold,
                );
            }
        }
        middle
            .iter()
            .rev()
            .find_map(|(_, value, _)| value.map(|value| plot.y(value)))
    }

    fn draw_long(&self, canvas: &mut Canvas<'_>, plot: &Plot<'_>) -> Option<f32> {
        let mut points: Vec<(u32, f64)> = self
            .trials
            .iter()
            .flatten()
            .filter_map(|point| point.value.map(|value| (point.number, value)))
            .collect();
        points.sort_by_key(|(number, _)| *number);
        let faint = self.engine.colour.tint(0.35);
        for (number, value) in thin(&points, FAINT_POINTS) {
            let (x, y) = plot.at(f64::from(number), value);
            canvas.fill_area(Area::new(x - 0.4, y - 0.4, 0.8, 0.8), faint);
        }
        let bins = running_median(&points, BINS);
        let upper = bins.iter().map(|bin| plot.at(bin.at, bin.high));
        let lower = bins.iter().rev().map(|bin| plot.at(bin.at, bin.low));
        let band: Vec<(f32, f32)> = upper.chain(lower).collect();
        if bins.len() > 1 {
            canvas.translucent(|canvas| canvas.polygon(&band, self.engine.colour));
        }
        let line: Vec<(f32, f32)> = bins.iter().map(|bin| plot.at(bin.at, bin.median)).collect();
        canvas.polyline(&line, &self.engine.strong());
        bins.last().map(|Bin { median, .. }| plot.y(*median))
    }

    /// By request number: the median over the trials that have a value, and whether the request is cold.
    fn across_trials(&self) -> Vec<(u32, Option<f64>, bool)> {
        let mut points: Vec<&RequestPoint> = self.trials.iter().flatten().collect();
        points.sort_by_key(|point| point.number);
        points
            .chunk_by(|one, other| one.number == other.number)
            .map(|points| {
                (
                    points[0].number,
                    median(points.iter().filter_map(|point| point.value)),
                    points.iter().any(|point| point.cold),
                )
            })
            .collect()
    }
}

/// Draws a line that is broken where a value is missing.
fn draw_broken(
    canvas: &mut Canvas<'_>,
    plot: &Plot<'_>,
    points: impl Iterator<Item = (u32, Option<f64>)>,
    stroke: &Stroke,
) {
    let mut piece: Vec<(f32, f32)> = Vec::new();
    for (number, value) in points {
        match value {
            Some(value) => piece.push(plot.at(f64::from(number), value)),
            None => {
                canvas.polyline(&piece, stroke);
                piece.clear();
            }
        }
    }
    canvas.polyline(&piece, stroke);
}

/// Crosses at the panel's top edge; each outcome of each engine is named once, with how often it happened.
pub(super) fn draw_failures(canvas: &mut Canvas<'_>, plot: &Plot<'_>, panel: &RequestPanel) {
    let style = TextStyle::label();
    for (line, (engine, outcome, numbers)) in panel.outcomes().enumerate() {
        let mut places = numbers.clone();
        places.sort_unstable();
        places.dedup();
        for at in thin(&places, CROSSES) {
            draw_cross(
                canvas,
                (plot.x(f64::from(at)), plot.area.y),
                2.3,
                engine.colour,
            );
        }
        if line >= NAMED_OUTCOMES {
            continue;
        }
        let text = if numbers.len() > 1 {
            format!("{outcome} × {}", count(numbers.len() as u64))
        } else {
            outcome.to_owned()
        };
        let text = shorten(canvas, &text, &style, plot.area.width - END_MARKER - 6.0);
        let wide = canvas.measure(&style, &text);
        let first = places
            .first()
            .map_or(plot.area.x, |number| plot.x(f64::from(*number)));
        let start = first
            .min(plot.area.right() - wide - END_MARKER)
            .max(plot.area.x + 3.0);
        let base = plot.area.y + 11.5 + line as f32 * 9.0;
        canvas.fill_area(
            Area::new(start - 1.0, base - 6.5, wide + END_MARKER + 2.0, 8.5),
            Colour::PAPER,
        );
        engine.draw(canvas, (start + 2.5, base - 2.6), 1.8, false);
        canvas.text(
            start + END_MARKER,
            base,
            &text,
            &TextStyle {
                colour: darker(engine.colour),
                ..style
            },
            Anchor::Start,
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::chart::style::engine_marks;

    pub(in crate::chart) fn series(trials: Vec<Vec<(f64, bool)>>) -> RequestSeries {
        let point = |(number, (value, cold)): (usize, (f64, bool))| RequestPoint {
            number: number as u32,
            value: Some(value),
            cold,
            failure: None,
        };
        RequestSeries {
            engine: engine_marks([("a", false)])[0].clone(),
            trials: trials
                .into_iter()
                .map(|trial| trial.into_iter().enumerate().map(point).collect())
                .collect(),
        }
    }

    #[test]
    fn the_strong_line_is_the_median_of_the_trials_that_have_a_value() {
        let mut three = series(vec![
            vec![(1.0, true), (0.2, false)],
            vec![(3.0, true), (0.4, false)],
            vec![(2.0, true), (9.0, false)],
        ]);
        three.trials[2][1].value = None;
        assert_eq!(three.across_trials()[0], (0, Some(2.0), true));
        let (number, value, cold) = three.across_trials()[1];
        assert_eq!((number, cold), (1, false));
        assert!((value.unwrap() - 0.3).abs() < 1e-12);
    }
}
