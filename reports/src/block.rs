//! A report as data: pages of headings, sentences, tables and charts, before any ink.

use crate::chart::{Chart, style::EngineMark};

/// A whole report.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it is called among others: scenario, and run where there are several of one.
    pub name: String,
    /// The document's title: the question.
    pub title: String,
    /// The document's subject: the answer.
    pub subject: String,
    /// Seconds since 1970 that the file gives as its date; from the manifest, never from a clock, so that drawing again gives the same bytes.
    pub created_unix_s: i64,
    /// What stands at the left of every footer: scenario, run, date, host, version.
    pub footer: String,
    /// The run's validity, in every footer.
    pub validity: Chip,
    pub pages: Vec<Page>,
}

/// Several documents in one file: the first says what is in the others, whose pages stand under their names in the outline.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    /// The file's title.
    pub title: String,
    /// The file's subject.
    pub subject: String,
    pub documents: Vec<Document>,
}

/// One page of the report; it takes as many sheets as its tables need.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What links lead to.
    pub anchor: String,
    /// In words that a reader would say.
    pub title: String,
    /// The page's answer in one sentence with numbers.
    pub answer: Option<String>,
    pub blocks: Vec<Block>,
    /// One line on how to read the page.
    pub how_to_read: Option<String>,
}

/// A piece of a page.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    Heading(String),
    Paragraph(String),
    /// Something to know before quoting a number.
    Note(String),
    /// Facts that are there to be found, not to be read.
    SmallPrint(String),
    /// Words with shapes in a row.
    Chips(Vec<Chip>),
    Table(Table),
    Chart(Box<Chart>),
    /// Text whose lines are kept: a file, a log.
    Verbatim(String),
    /// Two stacks of blocks beside each other; the first takes `split` of 12 columns.
    Columns {
        split: u8,
        left: Vec<Block>,
        right: Vec<Block>,
    },
}

/// A verdict's shape, which reads without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Met, valid: a filled disc.
    Disc,
    /// Undecided: a triangle.
    Triangle,
    /// Not met: a square.
    Square,
    /// INVALID: a cross.
    Cross,
    /// Not measured, skipped: an open ring.
    Ring,
}

/// A word with a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chip {
    pub shape: Shape,
    pub text: String,
}

/// How a column's cells stand under each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// At the left, wrapped where the column is too narrow.
    Text,
    /// On the decimal point.
    Decimal,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// With the unit of all its cells, once.
    pub title: String,
    pub align: Align,
}

/// One cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    pub text: String,
    /// An interval or a base, in smaller type after the text.
    pub small: Option<String>,
    /// A verdict's shape before the text.
    pub shape: Option<Shape>,
    /// An engine's marker before the text.
    pub engine: Option<EngineMark>,
}

/// One row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub cells: Vec<Cell>,
    /// The anchor of the page that the row leads to.
    pub link: Option<String>,
    /// A line above the row separates it from the group before.
    pub rule: bool,
}

/// A table with notes under it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    pub notes: Vec<String>,
}

impl Chip {
    /// A chip.
    pub fn new(shape: Shape, text: impl Into<String>) -> Self {
        Self {
            shape,
            text: text.into(),
        }
    }
}

impl Column {
    /// A column of words.
    pub fn text(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            align: Align::Text,
        }
    }

    /// A column of numbers.
    pub fn decimal(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            align: Align::Decimal,
        }
    }
}

impl Cell {
    /// A cell of plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Unknown: an em dash.
    pub fn unknown() -> Self {
        Self::text("—")
    }
}

impl Row {
    /// A row without a link.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self {
            cells,
            ..Self::default()
        }
    }
}

impl Document {
    /// The same document with `prefix` before every anchor and in every link, so that it can stand beside others in one file.
    pub fn under(mut self, prefix: &str) -> Self {
        for page in &mut self.pages {
            page.anchor.insert_str(0, prefix);
            page.blocks
                .iter_mut()
                .for_each(|block| block.prefix_links(prefix));
        }
        self
    }

    /// Every text of the document, in order: for tests and for checking characters.
    pub fn texts(&self) -> Vec<&str> {
        let mut texts = vec![
            self.title.as_str(),
            self.footer.as_str(),
            self.validity.text.as_str(),
        ];
        for page in &self.pages {
            texts.push(&page.title);
            texts.extend(page.answer.as_deref());
            texts.extend(page.how_to_read.as_deref());
            page.blocks
                .iter()
                .for_each(|block| block.collect_texts(&mut texts));
        }
        texts
    }
}

impl Block {
    fn prefix_links(&mut self, prefix: &str) {
        match self {
            Self::Table(table) => table
                .rows
                .iter_mut()
                .filter_map(|row| row.link.as_mut())
                .for_each(|link| link.insert_str(0, prefix)),
            Self::Columns { left, right, .. } => left
                .iter_mut()
                .chain(right)
                .for_each(|block| block.prefix_links(prefix)),
            Self::Heading(_)
            | Self::Paragraph(_)
            | Self::Note(_)
            | Self::SmallPrint(_)
            | Self::Chips(_)
            | Self::Chart(_)
            | Self::Verbatim(_) => {}
        }
    }

    fn collect_texts<'a>(&'a self, texts: &mut Vec<&'a str>) {
        match self {
            Self::Heading(text)
            | Self::Paragraph(text)
            | Self::Note(text)
            | Self::SmallPrint(text)
            | Self::Verbatim(text) => texts.push(text),
            Self::Chips(chips) => texts.extend(chips.iter().map(|chip| chip.text.as_str())),
            Self::Table(table) => {
                texts.extend(table.columns.iter().map(|column| column.title.as_str()));
                for cell in table.rows.iter().flat_map(|row| &row.cells) {
                    texts.push(&cell.text);
                    texts.extend(cell.small.as_deref());
                }
                texts.extend(table.notes.iter().map(String::as_str));
            }
            Self::Chart(_) => {}
            Self::Columns { left, right, .. } => left
                .iter()
                .chain(right)
                .for_each(|block| block.collect_texts(texts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_follow_their_anchors_into_a_volume() {
        let table = |link: &str| {
            Block::Table(Table {
                rows: vec![Row {
                    link: Some(link.to_owned()),
                    ..Row::default()
                }],
                ..Table::default()
            })
        };
        let document = Document {
            name: "quickstart".to_owned(),
            title: "?".to_owned(),
            subject: String::new(),
            created_unix_s: 0,
            footer: String::new(),
            validity: Chip::new(Shape::Disc, "VALID"),
            pages: vec![Page {
                anchor: "answer".to_owned(),
                title: "?".to_owned(),
                answer: None,
                blocks: vec![Block::Columns {
                    split: 6,
                    left: vec![table("ttft")],
                    right: vec![table("answer")],
                }],
                how_to_read: None,
            }],
        };
        let moved = document.under("run-2/");
        assert_eq!(moved.pages[0].anchor, "run-2/answer");
        let Block::Columns { left, right, .. } = &moved.pages[0].blocks[0] else {
            panic!("columns");
        };
        assert_eq!(
            (left, right),
            (&vec![table("run-2/ttft")], &vec![table("run-2/answer")])
        );
    }
}
