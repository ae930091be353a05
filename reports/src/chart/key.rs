//! Keys: what the marks of a chart mean, and names beside the ends of lines.

use crate::pdf::canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle};

use super::style::{EngineMark, Marker, draw_cross, draw_marker};

/// One entry of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    /// An engine's line and marker with its name.
    Engine(EngineMark),
    /// A hollow marker.
    Hollow(&'static str),
    /// A filled marker.
    Filled(&'static str),
    /// A cross.
    Cross(&'static str),
    /// A thin line.
    Faint(&'static str),
    /// A thick line.
    Strong(&'static str),
    /// A filled band.
    Band(&'static str),
    /// A box in a given colour.
    Fill(Colour, &'static str),
}

const SAMPLE: f32 = 18.0;
const GAP: f32 = 14.0;
/// Height of one line of a key.
pub(crate) const KEY_HEIGHT: f32 = 13.0;

/// Draws entries in lines from the left and returns the height they took.
pub(crate) fn draw_key(canvas: &mut Canvas<'_>, area: Area, entries: &[Entry]) -> f32 {
    let style = TextStyle::label();
    let (mut x, mut y) = (area.x, area.y + 8.0);
    for entry in entries {
        let text = match entry {
            Entry::Engine(mark) => shorten(canvas, &mark.name, &style, 150.0),
            Entry::Hollow(text)
            | Entry::Filled(text)
            | Entry::Cross(text)
            | Entry::Faint(text)
            | Entry::Strong(text) => (*text).to_owned(),
            Entry::Band(text) | Entry::Fill(_, text) => (*text).to_owned(),
        };
        let sample = match entry {
            Entry::Hollow(_) | Entry::Filled(_) | Entry::Cross(_) | Entry::Fill(..) => 8.0,
            _ => SAMPLE,
        };
        let width = sample + 4.0 + canvas.measure(&style, &text);
        if x > area.x && x + width > area.right() {
            x = area.x;
            y += KEY_HEIGHT;
        }
        let middle = y - 2.6;
        let ink = Stroke::solid(Colour::SOFT, 0.7);
        match entry {
            Entry::Engine(mark) => mark.draw_sample(canvas, x, middle, SAMPLE),
            Entry::Hollow(_) => draw_marker(
                canvas,
                Marker::Circle,
                (x + 4.0, middle),
                2.1,
                Colour::PAPER,
                &ink,
            ),
            Entry::Filled(_) => draw_marker(
                canvas,
                Marker::Circle,
                (x + 4.0, middle),
                2.1,
                Colour::SOFT,
                &ink,
            ),
            Entry::Cross(_) => draw_cross(canvas, (x + 4.0, middle), 2.4, Colour::SOFT),
            Entry::Faint(_) => canvas.line(
                (x, middle),
                (x + SAMPLE, middle),
                &Stroke::solid(Colour::SOFT.tint(0.45), 0.5),
            ),
            Entry::Strong(_) => canvas.line(
                (x, middle),
                (x + SAMPLE, middle),
                &Stroke::solid(Colour::SOFT, 1.1),
            ),
            Entry::Band(_) => canvas.fill_area(
                Area::new(x, middle - 3.0, SAMPLE, 6.0),
                Colour::SOFT.tint(0.25),
            ),
            Entry::Fill(colour, _) => {
                canvas.fill_area(Area::new(x, middle - 3.0, 8.0, 6.0), *colour)
            }
        }
        canvas.text(x + sample + 4.0, y, &text, &style, Anchor::Start);
        x += width + GAP;
    }
    y + 5.0 - area.y
}

/// A name beside the end of a line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EndLabel {
    pub(crate) y: f32,
    pub(crate) text: String,
    pub(crate) engine: EngineMark,
    /// The line's markers are hollow.
    pub(crate) hollow: bool,
}

/// Width that a label's marker takes before its text.
pub(crate) const END_MARKER: f32 = 8.0;

/// Draws names behind their markers at `x`, moved apart so that none covers another and all stay between `top` and `bottom`.
pub(crate) fn draw_end_labels(
    canvas: &mut Canvas<'_>,
    x: f32,
    top: f32,
    bottom: f32,
    labels: &[EndLabel],
    room: f32,
) {
    let style = TextStyle::label();
    let mut sorted: Vec<&EndLabel> = labels.iter().collect();
    sorted.sort_by(|one, other| one.y.total_cmp(&other.y));
    let places = spread(
        &sorted.iter().map(|label| label.y).collect::<Vec<_>>(),
        style.size + 1.5,
        top,
        bottom,
    );
    for (label, y) in sorted.into_iter().zip(places) {
        let text = shorten(canvas, &label.text, &style, room - END_MARKER);
        label.engine.draw(canvas, (x + 2.5, y), 2.0, label.hollow);
        canvas.text(
            x + END_MARKER,
            y + style.size * 0.35,
            &text,
            &TextStyle {
                colour: darker(label.engine.colour),
                ..style
            },
            Anchor::Start,
        );
    }
}

/// Sorted positions moved as little as needed so that neighbours are `gap` apart, inside `[top, bottom]` where they fit.
pub(crate) fn spread(sorted: &[f32], gap: f32, top: f32, bottom: f32) -> Vec<f32> {
    let mut places: Vec<f32> = sorted.to_vec();
    let mut floor = top;
    for place in &mut places {
        *place = place.max(floor);
        floor = *place + gap;
    }
    let mut ceiling = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - gap;
    }
    places
}

/// A text cut in the middle with an ellipsis so that it is at most `room` points wide.
pub(crate) fn shorten(canvas: &Canvas<'_>, text: &str, style: &TextStyle, room: f32) -> String {
    if canvas.measure(style, text) <= room {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    for kept in (2..characters.len()).rev() {
        let head: String = characters[..kept.div_ceil(2)].iter().collect();
        let tail: String = characters[characters.len() - kept / 2..].iter().collect();
        let cut = format!("{}…{}", head.trim_end(), tail.trim_start());
        if canvas.measure(style, &cut) <= room {
            return cut;
        }
    }
    "…".to_owned()
}

/// Text in a series' colour has to be read, so light colours are darkened.
pub(crate) fn darker(colour: Colour) -> Colour {
    let light = 0.299 * colour.0 + 0.587 * colour.1 + 0.114 * colour.2;
    let share = if light > 0.42 { 0.42 / light } else { 1.0 };
    Colour(colour.0 * share, colour.1 * share, colour.2 * share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_that_collide_move_apart_and_stay_inside() {
        assert_eq!(
            spread(&[50.0, 51.0, 52.0], 9.0, 0.0, 100.0),
            [50.0, 59.0, 68.0]
        );
        assert_eq!(
            spread(&[95.0, 96.0, 97.0], 9.0, 0.0, 100.0),
            [82.0, 91.0, 100.0]
        );
    }

    proptest! {
        #[test]
        fn spread_keeps_order_and_distance(mut wanted in proptest::collection::vec(0.0f32..200.0, 0..12)) {
            wanted.sort_by(f32::total_cmp);
            let places = spread(&wanted, 9.0, 0.0, 200.0);
            prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 9.0 - 1e-3));
            prop_assert!(places.iter().all(|place| *place <= 200.0));
        }
    }
}
