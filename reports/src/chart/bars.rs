//! Ratios as horizontal bars from 0 with their intervals and a line at "equal", grouped by experiment.

use crate::{
    number::{decimals, number},
    pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle},
};

use super::{
    Point,
    key::shorten,
    scale::{Quantity, Scale},
    style::EngineMark,
};

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub engine: EngineMark,
    /// Null where the ratio was not measured: no bar then, and a dash. The table beside it says why.
    pub ratio: Option<Point>,
}

/// The bars of one experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct BarGroup {
    pub label: String,
    pub bars: Vec<Bar>,
}

/// The figure.
#[derive(Debug, Clone, PartialEq)]
pub struct BarChart {
    /// What the bars are, above them.
    pub title: String,
    /// Words at the line at 1.
    pub equal: String,
    pub groups: Vec<BarGroup>,
}

const BAR: f32 = 11.0;
const GROUP_GAP: f32 = 6.0;
const HEADER: f32 = 26.0;
/// What an engine's mark and the gaps around its name take.
const ENGINE_ROOM: f32 = 18.0;

impl BarChart {
    pub(crate) fn natural_height(&self) -> f32 {
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        HEADER + bars as f32 * BAR + self.groups.len() as f32 * GROUP_GAP + 22.0
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area) {
        let label = TextStyle::label();
        let ink = TextStyle {
            colour: Colour::INK,
            ..label
        };
        let several = self.groups.iter().any(|group| group.bars.len() > 1) || !self.same_engine();
        let title = TextStyle { size: 8.5, ..ink };
        let shown = shorten(canvas, &self.title, &title, area.width);
        canvas.text(area.x, area.y + 9.0, &shown, &title, Anchor::Start);
        let names = self
            .groups
            .iter()
            .map(|group| canvas.measure(&label, &group.label))
            .fold(0.0, f32::max)
            .min(90.0);
        let engines = if several {
            let bars = self.groups.iter().flat_map(|group| &group.bars);
            bars.map(|bar| canvas.measure(&label, &bar.engine.name))
                .fold(0.0, f32::max)
                .min(80.0)
                + ENGINE_ROOM
        } else {
            0.0
        };
        let values = 82.0;
        let bars = self.groups.iter().flat_map(|group| &group.bars);
        let top = bars
            .filter_map(|bar| bar.ratio.as_ref())
            .map(Point::top)
            .fold(1.05, f64::max);
        let scale = Scale::from_zero(Quantity::Plain, top, 4);
        let left = area.x + names + 8.0 + engines;
        let width = (area.right() - values - left).max(40.0);
        let x = |value: f64| left + scale.position(value) * width;
        let plot_top = area.y + HEADER;
        let bars: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        let wanted = bars as f32 * BAR + self.groups.len() as f32 * GROUP_GAP;
        let squeeze = ((area.height - HEADER - 22.0) / wanted.max(1.0)).min(1.0);
        let bottom = plot_top + wanted * squeeze;
        for tick in &scale.ticks {
            canvas.line(
                (x(tick.value), plot_top),
                (x(tick.value), bottom),
                &Stroke::solid(Colour::HAIRLINE, 0.25),
            );
            canvas.text(
                x(tick.value),
                bottom + 9.5,
                &tick.text,
                &label,
                Anchor::Middle,
            );
        }
        let axis = Stroke::solid(Colour::AXIS, 0.4);
        canvas.line((left, plot_top), (left, bottom), &axis);
        canvas.line((left, bottom), (left + width, bottom), &axis);
        canvas.line(
            (x(1.0), plot_top - 3.0),
            (x(1.0), bottom),
            &Stroke {
                colour: Colour::INK,
                width: 0.6,
                dash: &[2.5, 1.8],
            },
        );
        canvas.text(x(1.0), plot_top - 5.5, &self.equal, &label, Anchor::Middle);
        let mut y = plot_top;
        for group in &self.groups {
            let middle =
                y + group.bars.len() as f32 * BAR * squeeze / 2.0 + GROUP_GAP * squeeze / 2.0;
            let shown = shorten(canvas, &group.label, &ink, names);
            canvas.text(area.x, middle + 2.6, &shown, &ink, Anchor::Start);
            y += GROUP_GAP * squeeze / 2.0;
            for bar in &group.bars {
                let centre = y + BAR * squeeze / 2.0;
                if several {
                    bar.engine
                        .draw(canvas, (left - engines + 8.0, centre), 2.0, false);
                    let shown = shorten(canvas, &bar.engine.name, &label, engines - ENGINE_ROOM);
                    canvas.text(
                        left - engines + 13.0,
                        centre + 2.6,
                        &shown,
                        &label,
                        Anchor::Start,
                    );
                }
                let value = (area.right() - values + 8.0, centre + 2.6);
                if let Some(ratio) = &bar.ratio {
                    let thick = (BAR * squeeze * 0.62).min(7.0);
                    canvas.fill_area(
                        Area::new(left, centre - thick / 2.0, x(ratio.value) - left, thick),
                        bar.engine.colour,
                    );
                    if let Some((low, high)) = ratio.interval {
                        let whisker = Stroke::solid(Colour::INK, 0.6);
                        canvas.line((x(low), centre), (x(high), centre), &whisker);
                        for end in [x(low), x(high)] {
                            canvas.line((end, centre - 2.0), (end, centre + 2.0), &whisker);
                        }
                    }
                    canvas.text(value.0, value.1, &words(ratio), &ink, Anchor::Start);
                } else {
                    canvas.text(value.0, value.1, "—", &label, Anchor::Start);
                }
                y += BAR * squeeze;
            }
            y += GROUP_GAP * squeeze / 2.0;
        }
    }

    fn same_engine(&self) -> bool {
        let mut names = self
            .groups
            .iter()
            .flat_map(|group| &group.bars)
            .map(|bar| &bar.engine.name);
        let first = names.next();
        names.all(|name| Some(name) == first)
    }
}

/// A ratio with its interval, three significant digits.
fn words(ratio: &Point) -> String {
    let decimals = decimals(ratio.value, 3);
    let value = number(ratio.value, decimals);
    match ratio.interval {
        Some((low, high)) => format!(
            "{value} [{}, {}]",
            number(low, decimals),
            number(high, decimals)
        ),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_has_three_digits_and_its_interval() {
        assert_eq!(
            words(&Point {
                value: 0.1541,
                interval: Some((0.151, 0.1579))
            }),
            "0.154 [0.151, 0.158]"
        );
        assert_eq!(
            words(&Point {
                value: 12.34,
                interval: None
            }),
            "12.3"
        );
    }
}
