//! What drawing needs to name: colours, strokes, areas, and how text is set.

use printpdf::{Color, Rgb};

use super::font::Face;

/// An RGB colour, each part from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour(pub f32, pub f32, pub f32);

impl Colour {
    /// Text and axes.
    pub(crate) const INK: Self = Self(0.10, 0.10, 0.12);
    /// Secondary text.
    pub(crate) const SOFT: Self = Self(0.36, 0.36, 0.39);
    /// Axis lines.
    pub(crate) const AXIS: Self = Self(0.45, 0.45, 0.48);
    /// Grid hairlines and table rules.
    pub(crate) const HAIRLINE: Self = Self(0.86, 0.86, 0.88);
    /// Fills behind something.
    pub(crate) const SHADE: Self = Self(0.955, 0.955, 0.965);
    /// Paper.
    pub(crate) const PAPER: Self = Self(1.0, 1.0, 1.0);

    /// The colour mixed with white: 1 is the colour itself, 0 is white.
    pub(crate) fn tint(self, share: f32) -> Self {
        let mix = |part: f32| 1.0 - (1.0 - part) * share;
        Self(mix(self.0), mix(self.1), mix(self.2))
    }

    pub(super) fn to_pdf(self) -> Color {
        Color::Rgb(Rgb {
            r: self.0,
            g: self.1,
            b: self.2,
            icc_profile: None,
        })
    }
}

/// A rectangle in points, from the top left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Area {
    pub(crate) fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self {
            x,
            y,
            width,
            height,
        }
    }

    pub(crate) fn right(&self) -> f32 {
        self.x + self.width
    }

    pub(crate) fn bottom(&self) -> f32 {
        self.y + self.height
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    pub colour: Colour,
    /// Thickness in points.
    pub width: f32,
    /// Lengths of dashes and gaps in points; empty is solid.
    pub dash: &'static [f32],
}

impl Stroke {
    pub(crate) fn solid(colour: Colour, width: f32) -> Self {
        Self {
            colour,
            width,
            dash: &[],
        }
    }
}

/// Which point of a text is at the given x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextStyle {
    pub face: Face,
    /// Size in points.
    pub size: f32,
    pub colour: Colour,
}

impl TextStyle {
    pub(crate) fn new(face: Face, size: f32, colour: Colour) -> Self {
        Self { face, size, colour }
    }

    /// Labels of axes and ticks.
    pub(crate) fn label() -> Self {
        Self::new(Face::Regular, 7.5, Colour::SOFT)
    }
}
