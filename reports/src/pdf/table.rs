//! Tables: column widths, decimal alignment, header, rows that go on on the next sheet.

use crate::{
    block::{Align, Cell, Row, Table},
    chart::shorten,
};

use super::{
    canvas::{Anchor, Area, Canvas, Colour, Stroke, TextStyle},
    font::Face,
    sheet::{SHAPE_ROOM, body_style, draw_shape, small_style},
    text::{draw_lines, line_height, wrap},
};

const GAP: f32 = 16.0;
const ROW_PADDING: f32 = 2.6;
const ENGINE_ROOM: f32 = 11.0;
const SMALL_GAP: f32 = 3.0;
/// An engine's name is never wider than this: longer ones are cut in the middle.
const ENGINE_WIDTH: f32 = 120.0;
/// A column of words is never narrower than this.
const NARROWEST: f32 = 64.0;

/// A table with its columns' widths decided.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    table: &'a Table,
    columns: Vec<ColumnLayout>,
    header: Vec<Vec<String>>,
    header_height: f32,
    /// Lines of each row's cells and the row's height.
    rows: Vec<(Vec<Vec<String>>, f32)>,
    notes: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct ColumnLayout {
    x: f32,
    width: f32,
    /// Widest part left of the decimal point.
    whole: f32,
    /// Widest text, marks apart: where the small text begins.
    text: f32,
}

fn header_style() -> TextStyle {
    TextStyle::new(Face::SemiBold, 8.0, Colour::INK)
}

fn mark_room(cell: &Cell) -> f32 {
    let shape = if cell.shape.is_some() {
        SHAPE_ROOM
    } else {
        0.0
    };
    let engine = if cell.engine.is_some() {
        ENGINE_ROOM
    } else {
        0.0
    };
    shape + engine
}

/// Text up to the decimal point.
fn whole_part(text: &str) -> &str {
    text.split_once('.').map_or(text, |(whole, _)| whole)
}

impl<'a> Layout<'a> {
    pub(crate) fn new(canvas: &Canvas<'_>, table: &'a Table, width: f32) -> Self {
        let mut columns: Vec<ColumnLayout> = (0..table.columns.len())
            .map(|index| natural(canvas, table, index))
            .collect();
        fit(canvas, table, &mut columns, width);
        let mut x = 0.0;
        for column in &mut columns {
            column.x = x;
            x += column.width + GAP;
        }
        let header: Vec<Vec<String>> = table
            .columns
            .iter()
            .zip(&columns)
            .map(|(column, layout)| {
                wrap(canvas, &column.title, &header_style(), layout.width + 0.01)
            })
            .collect();
        // A table of facts and values has no header.
        let named = table.columns.iter().any(|column| !column.title.is_empty());
        let lines = header.iter().map(Vec::len).max().filter(|_| named);
        let header_height = lines.map_or(3.0, |lines| {
            lines as f32 * line_height(&header_style()) + 5.0
        });
        let rows = table
            .rows
            .iter()
            .map(|row| row_lines(canvas, row, table, &columns))
            .collect();
        let notes = table
            .notes
            .iter()
            .map(|note| wrap(canvas, note, &small_style(), width))
            .collect();
        Self {
            table,
            columns,
            header,
            header_height,
            rows,
            notes,
        }
    }

    /// Height of the whole table.
    pub(crate) fn height(&self) -> f32 {
        self.header_height
            + self.rows.iter().map(|(_, height)| height).sum::<f32>()
            + 3.0
            + self.notes_height()
    }

    fn notes_height(&self) -> f32 {
        let lines: usize = self.notes.iter().map(Vec::len).sum();
        if lines == 0 {
            0.0
        } else {
            lines as f32 * line_height(&small_style()) + 3.0
        }
    }

    /// Draws as many rows from `from` on as fit into the area, and the notes after the last one. Returns the next row and the height taken.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, area: Area, from: usize) -> (usize, f32) {
        let fits = |rows: usize| {
            let height: f32 = self.rows[from..from + rows]
                .iter()
                .map(|(_, height)| height)
                .sum();
            let notes = if from + rows == self.rows.len() {
                self.notes_height()
            } else {
                0.0
            };
            self.header_height + height + 3.0 + notes <= area.height + 0.01
        };
        let left = self.rows.len() - from;
        let count = (0..=left).rev().find(|rows| fits(*rows)).unwrap_or(0);
        if count == 0 && left > 0 {
            return (from, 0.0);
        }
        let mut y = area.y;
        self.draw_header(canvas, area.x, y);
        y += self.header_height;
        let right = area.x
            + self
                .columns
                .last()
                .map_or(0.0, |column| column.x + column.width);
        let rule = Stroke::solid(Colour::AXIS, 0.4);
        canvas.line((area.x, y - 2.0), (right, y - 2.0), &rule);
        for (row, (lines, height)) in self
            .table
            .rows
            .iter()
            .zip(&self.rows)
            .skip(from)
            .take(count)
        {
            if row.rule && y > area.y + self.header_height {
                canvas.line(
                    (area.x, y - 0.6),
                    (right, y - 0.6),
                    &Stroke::solid(Colour::HAIRLINE, 0.4),
                );
            }
            for ((cell, lines), column) in row
                .cells
                .iter()
                .zip(lines)
                .zip(self.table.columns.iter().zip(&self.columns))
            {
                draw_cell(canvas, cell, lines, column.0.align, column.1, area.x, y);
            }
            if let Some(anchor) = &row.link {
                canvas.link(Area::new(area.x, y, right - area.x, *height), anchor);
            }
            y += height;
        }
        canvas.line((area.x, y + 0.5), (right, y + 0.5), &rule);
        y += 3.0;
        if from + count == self.rows.len() {
            for note in &self.notes {
                y += draw_lines(canvas, area.x, y + 1.0, note, &small_style());
            }
        }
        (from + count, y - area.y)
    }

    fn draw_header(&self, canvas: &mut Canvas<'_>, x: f32, top: f32) {
        let style = header_style();
        let bottom = top + self.header_height - 5.0;
        for ((column, lines), layout) in self
            .table
            .columns
            .iter()
            .zip(&self.header)
            .zip(&self.columns)
        {
            let start = bottom - lines.len() as f32 * line_height(&style);
            // Above the numbers, not above their intervals.
            let widest = lines
                .iter()
                .map(|line| canvas.measure(&style, line))
                .fold(layout.text, f32::max);
            for (index, line) in lines.iter().enumerate() {
                let y = start + style.size + index as f32 * line_height(&style);
                match column.align {
                    Align::Text => canvas.text(x + layout.x, y, line, &style, Anchor::Start),
                    Align::Decimal => {
                        canvas.text(x + layout.x + widest, y, line, &style, Anchor::End)
                    }
                }
            }
        }
    }
}

fn natural(canvas: &Canvas<'_>, table: &Table, index: usize) -> ColumnLayout {
    let (body, small) = (body_style(), small_style());
    let mut layout = ColumnLayout::default();
    let (mut fraction, mut words, mut extra): (f32, f32, f32) = (0.0, 0.0, 0.0);
    for cell in table.rows.iter().filter_map(|row| row.cells.get(index)) {
        let whole = canvas.measure(&body, whole_part(&cell.text));
        layout.whole = layout.whole.max(whole);
        fraction = fraction.max(canvas.measure(&body, &cell.text) - whole);
        let wide = canvas.measure(&body, &cell.text);
        words = words.max(
            mark_room(cell)
                + if cell.engine.is_some() {
                    wide.min(ENGINE_WIDTH)
                } else {
                    wide
                },
        );
        if let Some(text) = &cell.small {
            extra = extra.max(SMALL_GAP + canvas.measure(&small, text));
        }
    }
    let header = header_style();
    let title = &table.columns[index].title;
    let longest = title
        .split(' ')
        .map(|word| canvas.measure(&header, word))
        .fold(0.0, f32::max);
    let needed = longest.max(two_lines(canvas, title));
    match table.columns[index].align {
        Align::Text => {
            layout.text = words;
            layout.width = (words + extra).max(needed);
        }
        Align::Decimal => {
            layout.text = layout.whole + fraction;
            // The numbers stand at the right of what the header needs.
            if layout.text + extra < needed {
                let shift = needed - extra - layout.text;
                layout.whole += shift;
                layout.text += shift;
            }
            layout.width = layout.text + extra;
        }
    }
    layout
}

/// The least width at which a header takes two lines.
fn two_lines(canvas: &Canvas<'_>, title: &str) -> f32 {
    let style = header_style();
    let whole = canvas.measure(&style, title);
    let cuts = title.match_indices(' ').map(|(at, _)| {
        canvas
            .measure(&style, &title[..at])
            .max(canvas.measure(&style, &title[at + 1..]))
    });
    cuts.fold(whole, f32::min) + 0.1
}

/// Takes width from the widest columns of words until the table fits.
fn fit(canvas: &Canvas<'_>, table: &Table, columns: &mut [ColumnLayout], width: f32) {
    let gaps = GAP * columns.len().saturating_sub(1) as f32;
    let excess = |columns: &[ColumnLayout]| {
        columns.iter().map(|column| column.width).sum::<f32>() + gaps - width
    };
    for _ in 0..200 {
        let over = excess(columns);
        if over <= 0.0 {
            return;
        }
        let widest = (0..columns.len())
            .filter(|index| {
                table.columns[*index].align == Align::Text && columns[*index].width > NARROWEST
            })
            .max_by(|one, other| columns[*one].width.total_cmp(&columns[*other].width));
        let Some(widest) = widest else { return };
        let floor = NARROWEST
            .max(two_lines(canvas, &table.columns[widest].title).min(columns[widest].width - 1.0));
        columns[widest].width = (columns[widest].width - over.min(8.0)).max(floor);
    }
}

fn row_lines(
    canvas: &Canvas<'_>,
    row: &Row,
    table: &Table,
    columns: &[ColumnLayout],
) -> (Vec<Vec<String>>, f32) {
    let body = body_style();
    let lines: Vec<Vec<String>> = row
        .cells
        .iter()
        .zip(table.columns.iter().zip(columns))
        .map(|(cell, (column, layout))| match column.align {
            Align::Decimal => vec![cell.text.clone()],
            Align::Text => {
                let room = layout.width - mark_room(cell) + 0.01;
                if cell.engine.is_some() {
                    vec![shorten(canvas, &cell.text, &body, room)]
                } else {
                    wrap(canvas, &cell.text, &body, room)
                }
            }
        })
        .collect();
    let tallest = lines.iter().map(Vec::len).max().unwrap_or(1).max(1);
    (lines, tallest as f32 * line_height(&body) + ROW_PADDING)
}

fn draw_cell(
    canvas: &mut Canvas<'_>,
    cell: &Cell,
    lines: &[String],
    align: Align,
    layout: &ColumnLayout,
    x: f32,
    top: f32,
) {
    let (body, small) = (body_style(), small_style());
    let baseline = top + body.size + ROW_PADDING / 2.0;
    let mut start = x + layout.x;
    if let Some(shape) = cell.shape {
        draw_shape(canvas, shape, (start + 3.5, baseline - 3.2), 3.1);
        start += SHAPE_ROOM;
    }
    if let Some(engine) = &cell.engine {
        engine.draw(canvas, (start + 3.5, baseline - 3.1), 2.4, false);
        start += ENGINE_ROOM;
    }
    match align {
        Align::Text => {
            for (index, line) in lines.iter().enumerate() {
                canvas.text(
                    start,
                    baseline + index as f32 * line_height(&body),
                    line,
                    &body,
                    Anchor::Start,
                );
            }
            if let (Some(text), Some(line)) = (&cell.small, lines.last()) {
                let after = start + canvas.measure(&body, line) + SMALL_GAP;
                let last = baseline + (lines.len() - 1) as f32 * line_height(&body);
                canvas.text(after, last, text, &small, Anchor::Start);
            }
        }
        Align::Decimal => {
            let whole = canvas.measure(&body, whole_part(&cell.text));
            canvas.text(
                x + layout.x + layout.whole - whole,
                baseline,
                &cell.text,
                &body,
                Anchor::Start,
            );
            if let Some(text) = &cell.small {
                canvas.text(
                    x + layout.x + layout.text + SMALL_GAP,
                    baseline,
                    text,
                    &small,
                    Anchor::Start,
                );
            }
        }
    }
}
