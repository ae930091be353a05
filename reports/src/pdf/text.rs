//! Breaks text into lines of a given width.

use super::canvas::{Anchor, Canvas, TextStyle};

/// Distance between baselines, as a multiple of the size.
const LEADING: f32 = 1.36;

/// Height of one line.
pub(crate) fn line_height(style: &TextStyle) -> f32 {
    style.size * LEADING
}

/// The lines of a text at a width: broken between words, and inside a word that is wider than the line.
pub(crate) fn wrap(canvas: &Canvas<'_>, text: &str, style: &TextStyle, width: f32) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            let longer = if line.is_empty() {
                word.to_owned()
            } else {
                format!("{line} {word}")
            };
            if canvas.measure(style, &longer) <= width {
                line = longer;
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line = break_word(canvas, word, style, width, &mut lines);
        }
        lines.push(line);
    }
    lines
}

/// Lines that keep their spaces at the front; only those wider than the width are broken, with their front repeated.
pub(crate) fn wrap_verbatim(
    canvas: &Canvas<'_>,
    text: &str,
    style: &TextStyle,
    width: f32,
) -> Vec<String> {
    let mut lines = Vec::new();
    for source in text.lines() {
        let source = source.replace('\t', "    ");
        if canvas.measure(style, &source) <= width {
            lines.push(source);
            continue;
        }
        let body = source.trim_start();
        let front = " ".repeat((source.len() - body.len()).min(24));
        let room = (width - canvas.measure(style, &front)).max(style.size * 4.0);
        for (index, line) in wrap(canvas, body, style, room - style.size)
            .into_iter()
            .enumerate()
        {
            let more = if index > 0 { "  " } else { "" };
            lines.push(format!("{front}{more}{line}"));
        }
    }
    lines
}

/// Draws lines from the top of an area and returns the height they took.
pub(crate) fn draw_lines(
    canvas: &mut Canvas<'_>,
    x: f32,
    top: f32,
    lines: &[String],
    style: &TextStyle,
) -> f32 {
    for (index, line) in lines.iter().enumerate() {
        canvas.text(
            x,
            top + style.size + index as f32 * line_height(style),
            line,
            style,
            Anchor::Start,
        );
    }
    lines.len() as f32 * line_height(style)
}

fn break_word(
    canvas: &Canvas<'_>,
    word: &str,
    style: &TextStyle,
    width: f32,
    lines: &mut Vec<String>,
) -> String {
    let mut line = String::new();
    for character in word.chars() {
        line.push(character);
        if canvas.measure(style, &line) > width && line.chars().count() > 1 {
            line.pop();
            lines.push(std::mem::take(&mut line));
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pdf::{
        canvas::Colour,
        font::{Face, Fonts},
    };

    proptest! {
        #[test]
        fn wrapping_loses_no_character_and_keeps_the_width(text in "[a-z0-9 ./-]{0,200}", width in 40.0f32..300.0) {
            let fonts = Fonts::load().unwrap();
            let canvas = Canvas::new(&fonts, 500.0);
            let style = TextStyle::new(Face::Regular, 9.0, Colour::INK);
            let lines = wrap(&canvas, &text, &style, width);
            let kept = |text: &str| text.chars().filter(|character| *character != ' ').collect::<String>();
            prop_assert_eq!(kept(&lines.concat()), kept(&text));
            prop_assert!(lines.iter().all(|line| canvas.measure(&style, line) <= width + 1e-3));
        }
    }
}
