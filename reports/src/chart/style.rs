//! How engines look: one colour, marker and dash for each through the whole document, readable in grey.

use crate::pdf::canvas::{Canvas, Colour, Stroke};

/// Okabe and Ito's set, darkest contrasts first; yellow is left out because it vanishes on paper.
const COLOURS: [Colour; 7] = [
    Colour(0.0, 0.447, 0.698),
    Colour(0.835, 0.369, 0.0),
    Colour(0.0, 0.620, 0.451),
    Colour(0.800, 0.475, 0.655),
    Colour(0.902, 0.624, 0.0),
    Colour(0.337, 0.706, 0.914),
    Colour(0.0, 0.0, 0.0),
];
/// The baseline is always this neutral grey.
const BASELINE: Colour = Colour(0.48, 0.48, 0.48);
const DASHES: [&[f32]; 6] = [
    &[],
    &[5.0, 1.6],
    &[1.4, 1.4],
    &[6.0, 1.6, 1.4, 1.6],
    &[3.0, 1.2],
    &[8.0, 2.0, 1.4, 1.2, 1.4, 2.0],
];
const BASELINE_DASH: &[f32] = &[3.2, 1.8];

/// The shape of a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Square,
    Circle,
    Triangle,
    Diamond,
    TriangleDown,
}

const MARKERS: [Marker; 4] = [
    Marker::Circle,
    Marker::Triangle,
    Marker::Diamond,
    Marker::TriangleDown,
];

/// An engine as charts and tables show it.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineMark {
    /// Its name in the scenario file.
    pub name: String,
    pub colour: Colour,
    pub marker: Marker,
    /// Dash of its lines.
    pub dash: &'static [f32],
}

/// The marks of a run's engines, in the file's order. `engines` are names with whether each is the baseline.
pub fn engine_marks<'a>(engines: impl IntoIterator<Item = (&'a str, bool)>) -> Vec<EngineMark> {
    let mut next = 0;
    engines
        .into_iter()
        .map(|(name, baseline)| {
            if baseline {
                return EngineMark {
                    name: name.to_owned(),
                    colour: BASELINE,
                    marker: Marker::Square,
                    dash: BASELINE_DASH,
                };
            }
            let slot = next;
            next += 1;
            EngineMark {
                name: name.to_owned(),
                colour: COLOURS[slot % COLOURS.len()],
                // Seven colours, four markers, six dashes: two engines share all three only after 84.
                marker: MARKERS[slot % MARKERS.len()],
                dash: DASHES[slot % DASHES.len()],
            }
        })
        .collect()
}

impl EngineMark {
    /// The strong line: medians.
    pub(crate) fn strong(&self) -> Stroke {
        Stroke {
            colour: self.colour,
            width: 0.9,
            dash: self.dash,
        }
    }

    /// The faint line: single trials.
    pub(crate) fn faint(&self) -> Stroke {
        Stroke::solid(self.colour.tint(0.38), 0.4)
    }

    /// Draws the marker, filled or hollow.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, at: (f32, f32), radius: f32, hollow: bool) {
        let fill = if hollow { Colour::PAPER } else { self.colour };
        draw_marker(
            canvas,
            self.marker,
            at,
            radius,
            fill,
            &Stroke::solid(self.colour, 0.7),
        );
    }

    /// Draws a short piece of its line with its marker in the middle, as keys show it.
    pub(crate) fn draw_sample(&self, canvas: &mut Canvas<'_>, x: f32, y: f32, width: f32) {
        canvas.line((x, y), (x + width, y), &self.strong());
        self.draw(canvas, (x + width / 2.0, y), 2.1, false);
    }
}

/// Draws a marker of any shape.
pub(crate) fn draw_marker(
    canvas: &mut Canvas<'_>,
    marker: Marker,
    (x, y): (f32, f32),
    radius: f32,
    fill: Colour,
    stroke: &Stroke,
) {
    match marker {
        Marker::Circle => canvas.disc((x, y), radius, fill, Some(stroke)),
        Marker::Square => {
            let half = radius * 0.88;
            canvas.outlined_polygon(
                &closed(&[
                    (x - half, y - half),
                    (x + half, y - half),
                    (x + half, y + half),
                    (x - half, y + half),
                ]),
                fill,
                stroke,
            );
        }
        Marker::Triangle => {
            let (side, low) = (radius * 1.1, radius * 0.75);
            canvas.outlined_polygon(
                &closed(&[
                    (x, y - radius * 1.2),
                    (x + side, y + low),
                    (x - side, y + low),
                ]),
                fill,
                stroke,
            );
        }
        Marker::TriangleDown => {
            let (side, low) = (radius * 1.1, radius * 0.75);
            canvas.outlined_polygon(
                &closed(&[
                    (x, y + radius * 1.2),
                    (x + side, y - low),
                    (x - side, y - low),
                ]),
                fill,
                stroke,
            );
        }
        Marker::Diamond => {
            let half = radius * 1.2;
            canvas.outlined_polygon(
                &closed(&[(x, y - half), (x + half, y), (x, y + half), (x - half, y)]),
                fill,
                stroke,
            );
        }
    }
}

/// Draws the cross of a failed request.
pub(crate) fn draw_cross(canvas: &mut Canvas<'_>, (x, y): (f32, f32), radius: f32, colour: Colour) {
    let stroke = Stroke::solid(colour, 1.0);
    canvas.line((x - radius, y - radius), (x + radius, y + radius), &stroke);
    canvas.line((x - radius, y + radius), (x + radius, y - radius), &stroke);
}

/// The outline ends where it began, so that its last side is drawn too.
fn closed(points: &[(f32, f32)]) -> Vec<(f32, f32)> {
    points.iter().chain(points.first()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_baseline_is_grey_wherever_it_stands_and_takes_no_colour_away() {
        let marks = engine_marks([("a", false), ("base", true), ("b", false)]);
        assert_eq!(marks[1].colour, BASELINE);
        assert_eq!(marks[0].colour, COLOURS[0]);
        assert_eq!(marks[2].colour, COLOURS[1]);
    }

    #[test]
    fn a_dozen_engines_differ_in_colour_marker_or_dash() {
        let names: Vec<String> = (0..12).map(|index| format!("e{index}")).collect();
        let marks = engine_marks(names.iter().map(|name| (name.as_str(), false)));
        for (index, one) in marks.iter().enumerate() {
            for other in &marks[index + 1..] {
                assert!(
                    one.colour != other.colour
                        || one.marker != other.marker
                        || one.dash != other.dash
                );
            }
        }
    }
}
