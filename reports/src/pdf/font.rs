//! The embedded typeface: its two weights, their metrics, and which characters they lack.

use printpdf::ParsedFont;

use super::PdfError;

const REGULAR: &[u8] = include_bytes!("../../fonts/Inter-Regular.ttf");
const SEMIBOLD: &[u8] = include_bytes!("../../fonts/Inter-SemiBold.ttf");

/// Stands for a character that the typeface lacks, so that a reader sees that something is there.
pub(crate) const REPLACEMENT: char = '□';

/// One weight of the typeface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Body and figures.
    Regular,
    /// Titles and table headers.
    SemiBold,
}

/// Both weights, parsed.
#[derive(Debug)]
pub(crate) struct Fonts {
    regular: ParsedFont,
    semibold: ParsedFont,
}

impl Fonts {
    /// Parses the embedded files.
    ///
    /// # Errors
    /// [`PdfError::Font`] when a file is no usable font.
    pub(crate) fn load() -> Result<Self, PdfError> {
        Ok(Self {
            regular: parse(REGULAR, "Inter-Regular")?,
            semibold: parse(SEMIBOLD, "Inter-SemiBold")?,
        })
    }

    pub(crate) fn face(&self, face: Face) -> &ParsedFont {
        match face {
            Face::Regular => &self.regular,
            Face::SemiBold => &self.semibold,
        }
    }

    /// Width of a text in points at `size` points.
    pub(crate) fn width(&self, face: Face, text: &str, size: f32) -> f32 {
        let font = self.face(face);
        let units: u32 = text
            .chars()
            .map(|character| {
                let glyph = font
                    .lookup_glyph_index(u32::from(printable(font, character)))
                    .unwrap_or(0);
                u32::from(font.get_glyph_width(glyph).unwrap_or(0))
            })
            .sum();
        units as f32 * size / f32::from(font.units_per_em.max(1))
    }

    /// The text as it can be set: control characters become spaces, what the typeface lacks becomes [`REPLACEMENT`].
    pub(crate) fn printable(&self, face: Face, text: &str) -> String {
        let font = self.face(face);
        text.chars()
            .map(|character| printable(font, character))
            .collect()
    }

    /// Whether the typeface has the character (control characters are never set, so they count as present).
    pub(crate) fn has(&self, character: char) -> bool {
        character.is_control()
            || [&self.regular, &self.semibold]
                .iter()
                .all(|font| font.lookup_glyph_index(u32::from(character)).is_some())
    }
}

fn parse(bytes: &[u8], name: &'static str) -> Result<ParsedFont, PdfError> {
    let mut warnings = Vec::new();
    let mut font =
        ParsedFont::from_bytes(bytes, 0, &mut warnings).ok_or(PdfError::Font { name })?;
    if font.codepoint_to_glyph.is_empty() {
        return Err(PdfError::Font { name });
    }
    font.font_name = Some(name.to_owned());
    Ok(font)
}

fn printable(font: &ParsedFont, character: char) -> char {
    if character.is_control() {
        ' '
    } else if font.lookup_glyph_index(u32::from(character)).is_some() {
        character
    } else {
        REPLACEMENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_tabular_in_both_weights() {
        let fonts = Fonts::load().unwrap();
        for face in [Face::Regular, Face::SemiBold] {
            let widths: Vec<f32> = ('0'..='9')
                .map(|digit| fonts.width(face, &digit.to_string(), 9.0))
                .collect();
            assert!(
                widths
                    .iter()
                    .all(|width| (width - widths[0]).abs() < 1e-4 && *width > 4.0),
                "{widths:?}"
            );
        }
    }

    #[test]
    fn the_signs_of_a_report_are_there_and_the_rest_is_marked() {
        let fonts = Fonts::load().unwrap();
        for sign in "≥≤→≈×µ–—…“”‘’±−·●▲■○".chars() {
            assert!(fonts.has(sign), "{sign}");
        }
        assert!(!fonts.has('語'));
        assert_eq!(fonts.printable(Face::Regular, "a\t語b"), "a □b");
    }
}
