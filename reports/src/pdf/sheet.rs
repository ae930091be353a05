//! What stands on every sheet of paper: size, margins, title, answer, footer, and how verdicts' shapes look.

use crate::block::{Chip, Document, Page, Shape};

use super::{
    canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle},
    font::Face,
    text::{draw_lines, line_height, wrap},
};

/// A4 landscape, in points.
pub(crate) const WIDTH: f32 = 841.89;
pub(crate) const HEIGHT: f32 = 595.28;
/// 14 mm.
pub(crate) const MARGIN: f32 = 39.69;
/// Width between the margins.
pub(crate) const TEXT_WIDTH: f32 = WIDTH - 2.0 * MARGIN;
const FOOTER: f32 = 17.0;
const HOW_TO_READ: f32 = 13.0;

pub(crate) fn title_style() -> TextStyle {
    TextStyle::new(Face::SemiBold, 16.0, Colour::INK)
}

pub(crate) fn answer_style() -> TextStyle {
    TextStyle::new(Face::Regular, 11.0, Colour::INK)
}

pub(crate) fn body_style() -> TextStyle {
    TextStyle::new(Face::Regular, 9.0, Colour::INK)
}

pub(crate) fn heading_style() -> TextStyle {
    TextStyle::new(Face::SemiBold, 9.5, Colour::INK)
}

pub(crate) fn small_style() -> TextStyle {
    TextStyle::new(Face::Regular, 7.5, Colour::SOFT)
}

/// Draws title and answer (the answer on a page's first sheet only) and returns the area left for blocks.
pub(crate) fn draw_head(canvas: &mut Canvas<'_>, page: &Page, first: bool) -> Area {
    let mut y = MARGIN;
    let title = title_style();
    let words = if first {
        page.title.clone()
    } else {
        format!("{} (continued)", page.title)
    };
    let lines = wrap(canvas, &words, &title, TEXT_WIDTH);
    y += draw_lines(canvas, MARGIN, y - 3.0, &lines, &title);
    if let (Some(answer), true) = (&page.answer, first) {
        let style = answer_style();
        let lines = wrap(canvas, answer, &style, TEXT_WIDTH);
        y += draw_lines(canvas, MARGIN, y, &lines, &style) + 2.0;
    }
    y += 8.0;
    let mut bottom = HEIGHT - MARGIN - FOOTER;
    if let (Some(text), true) = (&page.how_to_read, first) {
        let style = small_style();
        let lines = wrap(
            canvas,
            &format!("How to read this: {text}"),
            &style,
            TEXT_WIDTH,
        );
        let height = lines.len() as f32 * line_height(&style);
        bottom -= height + HOW_TO_READ - line_height(&style);
        draw_lines(canvas, MARGIN, bottom + 2.0, &lines, &style);
        bottom -= 4.0;
    }
    Area::new(MARGIN, y, TEXT_WIDTH, bottom - y)
}

/// Draws the footer of sheet `number` of `of`.
pub(crate) fn draw_footer(canvas: &mut Canvas<'_>, document: &Document, number: usize, of: usize) {
    let style = small_style();
    let y = HEIGHT - MARGIN + 2.0;
    canvas.line(
        (MARGIN, y - 10.5),
        (WIDTH - MARGIN, y - 10.5),
        &Stroke::solid(Colour::HAIRLINE, 0.4),
    );
    let right = format!("page {number} of {of}");
    canvas.text(WIDTH - MARGIN, y, &right, &style, Anchor::End);
    let chip = chip_width(canvas, &document.validity, &style);
    let chip_x = WIDTH - MARGIN - canvas.measure(&style, "page 000 of 000") - 14.0 - chip;
    draw_chip(canvas, chip_x, y, &document.validity, &style);
    let left = crate::chart::shorten(canvas, &document.footer, &style, chip_x - MARGIN - 14.0);
    canvas.text(MARGIN, y, &left, &style, Anchor::Start);
}

/// Room of a shape before its word.
pub(crate) const SHAPE_ROOM: f32 = 10.0;

pub(crate) fn chip_width(canvas: &Canvas<'_>, chip: &Chip, style: &TextStyle) -> f32 {
    SHAPE_ROOM + canvas.measure(style, &chip.text)
}

/// Draws shape and word with the baseline at `y`.
pub(crate) fn draw_chip(canvas: &mut Canvas<'_>, x: f32, y: f32, chip: &Chip, style: &TextStyle) {
    draw_shape(canvas, chip.shape, (x + 3.5, y - style.size * 0.35), 3.1);
    canvas.text(x + SHAPE_ROOM, y, &chip.text, style, Anchor::Start);
}

/// Draws a verdict's shape.
pub(crate) fn draw_shape(canvas: &mut Canvas<'_>, shape: Shape, (x, y): (f32, f32), radius: f32) {
    match shape {
        Shape::Disc => canvas.disc((x, y), radius, Colour(0.0, 0.46, 0.34), None),
        Shape::Triangle => {
            let points = [
                (x, y - radius * 1.1),
                (x + radius * 1.15, y + radius * 0.9),
                (x - radius * 1.15, y + radius * 0.9),
            ];
            canvas.polygon(&points, Colour(0.80, 0.52, 0.0));
        }
        Shape::Square => {
            let half = radius * 0.92;
            canvas.fill_area(
                Area::new(x - half, y - half, 2.0 * half, 2.0 * half),
                Colour(0.74, 0.25, 0.0),
            );
        }
        Shape::Cross => {
            let (stroke, reach) = (Stroke::solid(Colour(0.62, 0.10, 0.10), 1.5), radius * 0.85);
            canvas.line((x - reach, y - reach), (x + reach, y + reach), &stroke);
            canvas.line((x - reach, y + reach), (x + reach, y - reach), &stroke);
        }
        Shape::Ring => canvas.disc(
            (x, y),
            radius - 0.5,
            Colour::PAPER,
            Some(&Stroke::solid(Colour::SOFT, 0.9)),
        ),
    }
}
