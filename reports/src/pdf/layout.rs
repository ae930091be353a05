//! Puts blocks on sheets: measures, breaks tables and long texts between sheets, and gives charts the room that is left.

use printpdf::Op;

use crate::block::{Block, Chip, Document, Page};

use super::{
    canvas::{Area, Canvas, Link, TextStyle},
    font::Fonts,
    sheet::{
        self, body_style, chip_width, draw_chip, draw_footer, draw_head, heading_style, small_style,
    },
    table::Layout,
    text::{draw_lines, line_height, wrap, wrap_verbatim},
};

const BLOCK_GAP: f32 = 9.0;
const COLUMN_GAP: f32 = 22.0;
/// A chart that fills what is left is never lower than this.
const LOWEST_CHART: f32 = 150.0;
/// Height of a filling chart beside other blocks.
const CHART_BESIDE: f32 = 190.0;
/// A heading stays with at least this much of what follows.
const KEEP_WITH_NEXT: f32 = 60.0;
const CHIP_HEIGHT: f32 = 14.0;

/// One drawn sheet of paper.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) ops: Vec<Op>,
    pub(crate) links: Vec<Link>,
    /// The page that begins here.
    pub(crate) anchor: Option<String>,
    /// Its title for the outline.
    pub(crate) bookmark: Option<String>,
    /// Which of the documents it belongs to.
    pub(crate) document: usize,
}

/// Draws all pages of some documents, whose sheets are numbered through.
pub(crate) fn sheets(documents: &[Document], fonts: &Fonts) -> Vec<Sheet> {
    let mut drawn: Vec<(Canvas<'_>, Option<&Page>, usize)> = Vec::new();
    let pages = documents
        .iter()
        .enumerate()
        .flat_map(|(of, document)| document.pages.iter().map(move |page| (of, page)));
    for (document, page) in pages {
        let mut flow = Flow::begin(fonts, page);
        for (index, block) in page.blocks.iter().enumerate() {
            flow.place(block, &page.blocks[index + 1..]);
        }
        for (index, canvas) in flow.finish().into_iter().enumerate() {
            drawn.push((canvas, (index == 0).then_some(page), document));
        }
    }
    let of = drawn.len();
    drawn
        .into_iter()
        .enumerate()
        .map(|(index, (mut canvas, page, document))| {
            draw_footer(&mut canvas, &documents[document], index + 1, of);
            let (ops, links) = canvas.finish();
            Sheet {
                ops,
                links,
                anchor: page.map(|page| page.anchor.clone()),
                bookmark: page.map(|page| page.title.clone()),
                document,
            }
        })
        .collect()
}

/// The sheets of one page while blocks are placed on them.
struct Flow<'a> {
    fonts: &'a Fonts,
    page: &'a Page,
    full: Vec<Canvas<'a>>,
    canvas: Canvas<'a>,
    area: Area,
    /// Nothing stands on the sheet yet.
    empty: bool,
}

impl<'a> Flow<'a> {
    fn begin(fonts: &'a Fonts, page: &'a Page) -> Self {
        let mut canvas = Canvas::new(fonts, sheet::HEIGHT);
        let area = draw_head(&mut canvas, page, true);
        Self {
            fonts,
            page,
            full: Vec::new(),
            canvas,
            area,
            empty: true,
        }
    }

    fn finish(mut self) -> Vec<Canvas<'a>> {
        self.full.push(self.canvas);
        self.full
    }

    fn next_sheet(&mut self) {
        let mut canvas = Canvas::new(self.fonts, sheet::HEIGHT);
        self.area = draw_head(&mut canvas, self.page, false);
        self.full.push(std::mem::replace(&mut self.canvas, canvas));
        self.empty = true;
    }

    fn advance(&mut self, height: f32) {
        self.area.y += height + BLOCK_GAP;
        self.area.height -= height + BLOCK_GAP;
        self.empty = false;
    }

    /// Starts a new sheet unless `height` fits here or nothing stands here yet.
    fn make_room(&mut self, height: f32) {
        if height > self.area.height && !self.empty {
            self.next_sheet();
        }
    }

    /// What has to stand on the sheet of a block's heading: all of a block that is not divided, the beginning of another.
    fn least_height(&self, block: &Block) -> f32 {
        match block {
            Block::Table(_) | Block::Chart(_) | Block::Verbatim(_) => KEEP_WITH_NEXT,
            whole => {
                let height = measure(&self.canvas, whole, self.area.width);
                // What fits no sheet whole is taken apart.
                if height < sheet::HEIGHT / 2.0 {
                    height
                } else {
                    KEEP_WITH_NEXT
                }
            }
        }
    }

    fn place(&mut self, block: &Block, later: &[Block]) {
        match block {
            Block::Table(table) => {
                let layout = Layout::new(&self.canvas, table, self.area.width);
                self.make_room(layout.height().min(KEEP_WITH_NEXT));
                let mut from = 0;
                loop {
                    let (next, height) = layout.draw(&mut self.canvas, self.area, from);
                    if height > 0.0 {
                        self.advance(height);
                    }
                    if next >= table.rows.len() {
                        break;
                    }
                    // A row higher than an empty sheet cannot be drawn anywhere.
                    from = if next == from && self.empty {
                        next + 1
                    } else {
                        next
                    };
                    self.next_sheet();
                }
            }
            Block::Verbatim(text) => {
                let style = verbatim_style();
                let lines = wrap_verbatim(&self.canvas, text, &style, self.area.width);
                let mut left = lines.as_slice();
                while !left.is_empty() {
                    let fits = (self.area.height / line_height(&style)).floor().max(0.0) as usize;
                    if fits < left.len().min(3) && !self.empty {
                        self.next_sheet();
                        continue;
                    }
                    let (now, after) = left.split_at(fits.clamp(1, left.len()));
                    let height =
                        draw_lines(&mut self.canvas, self.area.x, self.area.y, now, &style);
                    self.advance(height);
                    left = after;
                }
            }
            Block::Chart(chart) => {
                let wanted = match chart.natural_height() {
                    Some(height) => height,
                    None => {
                        let following: f32 = later
                            .iter()
                            .map(|block| measure(&self.canvas, block, self.area.width) + BLOCK_GAP)
                            .sum();
                        let beside = self.area.height - following;
                        if beside >= LOWEST_CHART {
                            beside
                        } else {
                            self.area.height.max(LOWEST_CHART)
                        }
                    }
                };
                self.make_room(wanted.min(LOWEST_CHART));
                let height = wanted.min(self.area.height);
                chart.draw(
                    &mut self.canvas,
                    Area {
                        height,
                        ..self.area
                    },
                );
                self.advance(height);
            }
            Block::Columns { left, right, .. } => {
                let height = measure(&self.canvas, block, self.area.width);
                self.make_room(height);
                if height > self.area.height {
                    // Too high even for a sheet of its own: one under the other instead.
                    let stacked: Vec<Block> = left.iter().chain(right).cloned().collect();
                    for (index, block) in stacked.iter().enumerate() {
                        self.place(block, &stacked[index + 1..]);
                    }
                    return;
                }
                draw(
                    &mut self.canvas,
                    block,
                    Area {
                        height,
                        ..self.area
                    },
                );
                self.advance(height);
            }
            Block::Heading(_)
            | Block::Paragraph(_)
            | Block::Note(_)
            | Block::SmallPrint(_)
            | Block::Chips(_) => {
                let height = measure(&self.canvas, block, self.area.width);
                let keep = match (block, later.first()) {
                    (Block::Heading(_), Some(next)) => {
                        gap_between(block, Some(next)) + self.least_height(next)
                    }
                    _ => 0.0,
                };
                self.make_room(height + keep);
                draw(
                    &mut self.canvas,
                    block,
                    Area {
                        height,
                        ..self.area
                    },
                );
                self.advance(height - BLOCK_GAP + gap_between(block, later.first()));
            }
        }
    }
}

fn verbatim_style() -> TextStyle {
    TextStyle {
        size: 8.0,
        ..body_style()
    }
}

fn note_style() -> TextStyle {
    TextStyle {
        size: 8.5,
        ..small_style()
    }
}

/// Height of a block at a width.
fn measure(canvas: &Canvas<'_>, block: &Block, width: f32) -> f32 {
    let lines = |text: &str, style: &TextStyle| {
        wrap(canvas, text, style, width).len() as f32 * line_height(style)
    };
    match block {
        Block::Heading(text) => lines(text, &heading_style()) + 3.0,
        Block::Paragraph(text) => lines(text, &body_style()),
        Block::Note(text) => {
            wrap(canvas, text, &note_style(), width - NOTE_INDENT).len() as f32
                * line_height(&note_style())
        }
        Block::SmallPrint(text) => lines(text, &small_style()),
        Block::Chips(chips) => chip_rows(canvas, chips, width) as f32 * CHIP_HEIGHT,
        Block::Table(table) => Layout::new(canvas, table, width).height(),
        Block::Chart(chart) => chart.natural_height().unwrap_or(CHART_BESIDE),
        Block::Verbatim(text) => {
            wrap_verbatim(canvas, text, &verbatim_style(), width).len() as f32
                * line_height(&verbatim_style())
        }
        Block::Columns { split, left, right } => {
            let (first, second) = column_widths(*split, width);
            stack_height(canvas, left, first).max(stack_height(canvas, right, second))
        }
    }
}

fn stack_height(canvas: &Canvas<'_>, blocks: &[Block], width: f32) -> f32 {
    let heights: f32 = blocks
        .iter()
        .map(|block| measure(canvas, block, width))
        .sum();
    heights
        + blocks
            .windows(2)
            .map(|pair| gap_between(&pair[0], pair.get(1)))
            .sum::<f32>()
}

/// A heading belongs to what follows, and notes to each other.
fn gap_between(block: &Block, next: Option<&Block>) -> f32 {
    match (block, next) {
        (Block::Heading(_), _) | (Block::Note(_), Some(Block::Note(_))) => 3.0,
        _ => BLOCK_GAP,
    }
}

fn column_widths(split: u8, width: f32) -> (f32, f32) {
    let first = (width - COLUMN_GAP) * f32::from(split.clamp(1, 11)) / 12.0;
    (first, width - COLUMN_GAP - first)
}

const NOTE_INDENT: f32 = 9.0;
const CHIP_GAP: f32 = 16.0;

fn chip_rows(canvas: &Canvas<'_>, chips: &[Chip], width: f32) -> usize {
    let (mut rows, mut x) = (1, 0.0);
    for chip in chips {
        let wide = chip_width(canvas, chip, &body_style());
        if x > 0.0 && x + wide > width {
            rows += 1;
            x = 0.0;
        }
        x += wide + CHIP_GAP;
    }
    rows
}

/// Draws a block that fits its area whole.
fn draw(canvas: &mut Canvas<'_>, block: &Block, area: Area) {
    match block {
        Block::Heading(text) => {
            let lines = wrap(canvas, text, &heading_style(), area.width);
            draw_lines(canvas, area.x, area.y + 3.0, &lines, &heading_style());
        }
        Block::Paragraph(text) => {
            let lines = wrap(canvas, text, &body_style(), area.width);
            draw_lines(canvas, area.x, area.y, &lines, &body_style());
        }
        Block::Note(text) => {
            let style = note_style();
            let lines = wrap(canvas, text, &style, area.width - NOTE_INDENT);
            canvas.text(
                area.x,
                area.y + style.size,
                "–",
                &style,
                super::canvas::Anchor::Start,
            );
            draw_lines(canvas, area.x + NOTE_INDENT, area.y, &lines, &style);
        }
        Block::SmallPrint(text) => {
            let lines = wrap(canvas, text, &small_style(), area.width);
            draw_lines(canvas, area.x, area.y, &lines, &small_style());
        }
        Block::Chips(chips) => {
            let style = body_style();
            let (mut x, mut y) = (area.x, area.y + style.size + 1.0);
            for chip in chips {
                let wide = chip_width(canvas, chip, &style);
                if x > area.x && x + wide > area.right() {
                    x = area.x;
                    y += CHIP_HEIGHT;
                }
                draw_chip(canvas, x, y, chip, &style);
                x += wide + CHIP_GAP;
            }
        }
        Block::Table(table) => {
            Layout::new(canvas, table, area.width).draw(canvas, area, 0);
        }
        Block::Chart(chart) => chart.draw(canvas, area),
        Block::Verbatim(text) => {
            let lines = wrap_verbatim(canvas, text, &verbatim_style(), area.width);
            draw_lines(canvas, area.x, area.y, &lines, &verbatim_style());
        }
        Block::Columns { split, left, right } => {
            let (first, second) = column_widths(*split, area.width);
            draw_stack(
                canvas,
                left,
                Area {
                    width: first,
                    ..area
                },
            );
            draw_stack(
                canvas,
                right,
                Area {
                    x: area.right() - second,
                    width: second,
                    ..area
                },
            );
        }
    }
}

fn draw_stack(canvas: &mut Canvas<'_>, blocks: &[Block], area: Area) {
    let mut y = area.y;
    for (index, block) in blocks.iter().enumerate() {
        let height = measure(canvas, block, area.width);
        draw(canvas, block, Area { y, height, ..area });
        y += height + gap_between(block, blocks.get(index + 1));
    }
}
