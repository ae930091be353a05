//! Drawing primitives in points with the origin at the top left, written as operations of one PDF page.

use printpdf::{
    ExtendedGraphicsStateId, FontId, Line, LineDashPattern, LinePoint, Op, PaintMode,
    PdfFontHandle, Point, Polygon, PolygonRing, Pt, Rect, TextItem, TextMatrix, WindingOrder,
};

use super::font::{Face, Fonts};

pub use super::ink::{Anchor, Area, Colour, Stroke, TextStyle};

/// A place that, when clicked, leads to a page's anchor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    pub(crate) area: Area,
    pub(crate) anchor: String,
}

/// One page being drawn.
#[derive(Debug)]
pub struct Canvas<'fonts> {
    fonts: &'fonts Fonts,
    page_height: f32,
    ops: Vec<Op>,
    links: Vec<Link>,
    stroke: Option<Stroke>,
    fill: Option<Colour>,
}

impl<'fonts> Canvas<'fonts> {
    pub(crate) fn new(fonts: &'fonts Fonts, page_height: f32) -> Self {
        Self {
            fonts,
            page_height,
            ops: Vec::new(),
            links: Vec::new(),
            stroke: None,
            fill: None,
        }
    }

    pub(crate) fn finish(self) -> (Vec<Op>, Vec<Link>) {
        (self.ops, self.links)
    }

    /// Width of a text in points.
    pub fn measure(&self, style: &TextStyle, text: &str) -> f32 {
        self.fonts.width(style.face, text, style.size)
    }

    /// Draws a text whose baseline is at `y`.
    pub fn text(&mut self, x: f32, y: f32, text: &str, style: &TextStyle, anchor: Anchor) {
        let shift = match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => self.measure(style, text) / 2.0,
            Anchor::End => self.measure(style, text),
        };
        let (x, y) = (round(x - shift), self.flip(y));
        self.show(text, style, TextMatrix::Raw([1.0, 0.0, 0.0, 1.0, x, y]));
    }

    /// Draws a text centred on a point and turned by `degrees` against the clock.
    pub fn turned_text(&mut self, x: f32, y: f32, text: &str, style: &TextStyle, degrees: f32) {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let (half, drop) = (self.measure(style, text) / 2.0, style.size * 0.35);
        let left = x - half * cosine + drop * sine;
        let base = self.flip(y) - half * sine - drop * cosine;
        self.show(
            text,
            style,
            TextMatrix::Raw([
                round4(cosine),
                round4(sine),
                round4(-sine),
                round4(cosine),
                round(left),
                round(base),
            ]),
        );
    }

    fn show(&mut self, text: &str, style: &TextStyle, matrix: TextMatrix) {
        if text.is_empty() {
            return;
        }
        let shown = self.fonts.printable(style.face, text);
        self.set_fill(style.colour);
        self.ops.push(Op::StartTextSection);
        self.ops.push(Op::SetFont {
            font: PdfFontHandle::External(font_id(style.face)),
            size: Pt(style.size),
        });
        self.ops.push(Op::SetTextMatrix { matrix });
        self.ops.push(Op::ShowText {
            items: vec![TextItem::Text(shown)],
        });
        self.ops.push(Op::EndTextSection);
    }

    /// Draws one straight line.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), stroke: &Stroke) {
        self.polyline(&[from, to], stroke);
    }

    /// Draws connected straight lines.
    pub fn polyline(&mut self, points: &[(f32, f32)], stroke: &Stroke) {
        if points.len() < 2 {
            return;
        }
        self.set_stroke(stroke);
        let points = points
            .iter()
            .map(|point| self.line_point(*point, false))
            .collect();
        self.ops.push(Op::DrawLine {
            line: Line {
                points,
                is_closed: false,
            },
        });
    }

    /// Fills a polygon.
    pub fn polygon(&mut self, points: &[(f32, f32)], fill: Colour) {
        self.set_fill(fill);
        let points = points
            .iter()
            .map(|point| self.line_point(*point, false))
            .collect();
        self.push_polygon(points, PaintMode::Fill);
    }

    /// Fills and outlines a polygon.
    pub fn outlined_polygon(&mut self, points: &[(f32, f32)], fill: Colour, stroke: &Stroke) {
        self.set_fill(fill);
        self.set_stroke(stroke);
        let points = points
            .iter()
            .map(|point| self.line_point(*point, false))
            .collect();
        self.push_polygon(points, PaintMode::FillStroke);
    }

    /// Fills a disc, with an outline where a stroke is given.
    pub fn disc(&mut self, centre: (f32, f32), radius: f32, fill: Colour, stroke: Option<&Stroke>) {
        // The handle length at which four cubic curves are nearest to a circle.
        let handle = radius * 0.5523;
        let (x, y) = centre;
        let ring = [
            ((x + radius, y), false),
            ((x + radius, y + handle), true),
            ((x + handle, y + radius), true),
            ((x, y + radius), false),
            ((x - handle, y + radius), true),
            ((x - radius, y + handle), true),
            ((x - radius, y), false),
            ((x - radius, y - handle), true),
            ((x - handle, y - radius), true),
            ((x, y - radius), false),
            ((x + handle, y - radius), true),
            ((x + radius, y - handle), true),
            ((x + radius, y), false),
        ];
        self.set_fill(fill);
        if let Some(stroke) = stroke {
            self.set_stroke(stroke);
        }
        let points = ring
            .iter()
            .map(|(point, bezier)| self.line_point(*point, *bezier))
            .collect();
        self.push_polygon(
            points,
            if stroke.is_some() {
                PaintMode::FillStroke
            } else {
                PaintMode::Fill
            },
        );
    }

    /// Fills a rectangle.
    pub fn fill_area(&mut self, area: Area, fill: Colour) {
        self.set_fill(fill);
        let rectangle = self.rectangle(area, PaintMode::Fill);
        self.ops.push(Op::DrawRectangle { rectangle });
    }

    /// Outlines a rectangle.
    pub fn outline_area(&mut self, area: Area, stroke: &Stroke) {
        self.set_stroke(stroke);
        let rectangle = self.rectangle(area, PaintMode::Stroke);
        self.ops.push(Op::DrawRectangle { rectangle });
    }

    /// Draws with what is behind shining through.
    pub fn translucent(&mut self, draw: impl FnOnce(&mut Self)) {
        self.isolated(
            Op::LoadGraphicsState {
                gs: ExtendedGraphicsStateId(TRANSLUCENT.to_owned()),
            },
            draw,
        );
    }

    /// Draws nothing outside of an area.
    pub fn clipped(&mut self, area: Area, draw: impl FnOnce(&mut Self)) {
        let rectangle = self.rectangle(area, PaintMode::Clip);
        self.isolated(Op::DrawRectangle { rectangle }, draw);
    }

    /// Makes an area lead to a page's anchor.
    pub(crate) fn link(&mut self, area: Area, anchor: &str) {
        self.links.push(Link {
            area,
            anchor: anchor.to_owned(),
        });
    }

    fn isolated(&mut self, first: Op, draw: impl FnOnce(&mut Self)) {
        self.ops.push(Op::SaveGraphicsState);
        self.ops.push(first);
        (self.stroke, self.fill) = (None, None);
        draw(self);
        self.ops.push(Op::RestoreGraphicsState);
        (self.stroke, self.fill) = (None, None);
    }

    fn set_fill(&mut self, colour: Colour) {
        if self.fill != Some(colour) {
            self.ops.push(Op::SetFillColor {
                col: colour.to_pdf(),
            });
            self.fill = Some(colour);
        }
    }

    fn set_stroke(&mut self, stroke: &Stroke) {
        let before = self.stroke;
        if before.is_none_or(|before| before.colour != stroke.colour) {
            self.ops.push(Op::SetOutlineColor {
                col: stroke.colour.to_pdf(),
            });
        }
        if before.is_none_or(|before| before.width != stroke.width) {
            self.ops.push(Op::SetOutlineThickness {
                pt: Pt(stroke.width),
            });
        }
        if before.is_none_or(|before| before.dash != stroke.dash) {
            self.ops.push(Op::SetLineDashPattern {
                dash: LineDashPattern::new(0.0, stroke.dash),
            });
        }
        self.stroke = Some(*stroke);
    }

    fn push_polygon(&mut self, points: Vec<LinePoint>, mode: PaintMode) {
        let polygon = Polygon {
            rings: vec![PolygonRing { points }],
            mode,
            winding_order: WindingOrder::NonZero,
        };
        self.ops.push(Op::DrawPolygon { polygon });
    }

    fn rectangle(&self, area: Area, mode: PaintMode) -> Rect {
        Rect {
            x: Pt(round(area.x)),
            y: Pt(self.flip(area.bottom())),
            width: Pt(round(area.width)),
            height: Pt(round(area.height)),
            mode: Some(mode),
            winding_order: None,
        }
    }

    fn line_point(&self, (x, y): (f32, f32), bezier: bool) -> LinePoint {
        LinePoint {
            p: Point {
                x: Pt(round(x)),
                y: Pt(self.flip(y)),
            },
            bezier,
        }
    }

    fn flip(&self, y: f32) -> f32 {
        round(self.page_height - y)
    }
}

/// Name of the one translucent graphics state.
pub(crate) const TRANSLUCENT: &str = "Translucent";

/// The name a face has inside the file; fixed, so that drawing again gives the same bytes.
pub(crate) fn font_id(face: Face) -> FontId {
    FontId(
        match face {
            Face::Regular => "Regular",
            Face::SemiBold => "SemiBold",
        }
        .to_owned(),
    )
}

/// A hundredth of a point is finer than any printer, and short numbers keep the file small.
fn round(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

fn round4(value: f32) -> f32 {
    (value * 10_000.0).round() / 10_000.0
}
