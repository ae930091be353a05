//! The PDF: blocks laid out on A4 sheets, with one embedded typeface, bookmarks and links, and the same bytes each time.

pub mod canvas;
pub mod font;
mod ink;
mod layout;
mod outline;
mod sheet;
mod table;
mod text;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use lopdf::{Object, StringFormat};
use printpdf::{
    Actions, BorderArray, ColorArray, Destination, ExtendedGraphicsState, ExtendedGraphicsStateId,
    LinkAnnotation, Mm, OffsetDateTime, Op, PdfDocument, PdfFont, PdfPage, PdfSaveOptions, Pt,
    Rect,
};
use thiserror::Error;

use crate::{
    analysis::Analysis,
    block::{Document, Volume},
    pages,
};

use self::{
    canvas::{Area, Link, TRANSLUCENT, font_id},
    font::{Face, Fonts},
    layout::Sheet,
};

/// Why a PDF could not be made.
#[derive(Debug, Error)]
pub enum PdfError {
    /// The embedded file of this name is no usable font.
    #[error("embedded font {name} cannot be read")]
    Font { name: &'static str },
    /// The document could not be put into PDF's form.
    #[error("cannot put the document into PDF form")]
    Form(#[source] lopdf::Error),
    /// The bytes could not be made.
    #[error("cannot encode the PDF")]
    Encode(#[source] io::Error),
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Draws a document.
///
/// # Errors
/// [`PdfError::Font`], [`PdfError::Form`] and [`PdfError::Encode`], which only a broken build meets.
pub fn render(document: &Document) -> Result<Vec<u8>, PdfError> {
    draw(
        &document.title,
        &document.subject,
        std::slice::from_ref(document),
    )
}

/// Draws several documents into one file.
///
/// # Errors
/// As [`render`].
pub fn render_volume(volume: &Volume) -> Result<Vec<u8>, PdfError> {
    draw(&volume.title, &volume.subject, &volume.documents)
}

fn draw(title: &str, subject: &str, documents: &[Document]) -> Result<Vec<u8>, PdfError> {
    let fonts = Fonts::load()?;
    let sheets = layout::sheets(documents, &fonts);
    let mut pdf = PdfDocument::new(title);
    let info = &mut pdf.metadata.info;
    info.subject = subject.to_owned();
    info.creator = "report".to_owned();
    info.producer = concat!("reports ", env!("CARGO_PKG_VERSION")).to_owned();
    if let Ok(date) = OffsetDateTime::from_unix_timestamp(created(documents)) {
        (
            info.creation_date,
            info.modification_date,
            info.metadata_date,
        ) = (date, date, date);
    }
    for face in [Face::Regular, Face::SemiBold] {
        pdf.resources
            .fonts
            .map
            .insert(font_id(face), PdfFont::new(fonts.face(face).clone()));
    }
    // One field only: printpdf keeps changed fields in a hash set, whose order would differ from run to run.
    let translucent = ExtendedGraphicsState::default().with_current_fill_alpha(0.22);
    pdf.resources
        .extgstates
        .map
        .insert(ExtendedGraphicsStateId(TRANSLUCENT.to_owned()), translucent);
    pdf.pages = sheets.iter().map(|sheet| page(sheet, &sheets)).collect();
    encode(&pdf, documents, &sheets)
}

/// The date of the newest document.
fn created(documents: &[Document]) -> i64 {
    documents
        .iter()
        .map(|document| document.created_unix_s)
        .max()
        .unwrap_or(0)
}

/// Draws the report of an analysis into a file.
///
/// # Errors
/// As [`write_document`].
pub fn write(analysis: &Analysis, path: &Path) -> Result<(), PdfError> {
    write_document(&pages::document(analysis), path)
}

/// Draws a document into a file: under a temporary name first, so that no half-written report is ever seen.
///
/// # Errors
/// As [`render`], and [`PdfError::Write`].
pub fn write_document(document: &Document, path: &Path) -> Result<(), PdfError> {
    write_bytes(&render(document)?, path)
}

/// Draws several documents into one file, as [`write_document`] does one.
///
/// # Errors
/// As [`write_document`].
pub fn write_volume(volume: &Volume, path: &Path) -> Result<(), PdfError> {
    write_bytes(&render_volume(volume)?, path)
}

fn write_bytes(bytes: &[u8], path: &Path) -> Result<(), PdfError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|source| PdfError::Write {
        path: temporary.clone(),
        source,
    })?;
    fs::rename(&temporary, path).map_err(|source| PdfError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The characters of a document that the typeface lacks; they are drawn as `□`.
///
/// # Errors
/// [`PdfError::Font`], which only a broken build meets.
pub fn missing_glyphs(document: &Document) -> Result<BTreeSet<char>, PdfError> {
    let fonts = Fonts::load()?;
    Ok(document
        .texts()
        .into_iter()
        .flat_map(str::chars)
        .filter(|character| !fonts.has(*character))
        .collect())
}

fn page(sheet: &Sheet, sheets: &[Sheet]) -> PdfPage {
    let mut ops = sheet.ops.clone();
    ops.extend(
        sheet
            .links
            .iter()
            .filter_map(|link| annotation(link, sheets)),
    );
    PdfPage::new(Mm(297.0), Mm(210.0), ops)
}

/// A link to the sheet that carries the anchor; null where there is none (a page left out).
fn annotation(link: &Link, sheets: &[Sheet]) -> Option<Op> {
    let target = sheets
        .iter()
        .position(|sheet| sheet.anchor.as_deref() == Some(&link.anchor))?;
    let Area {
        x, width, height, ..
    } = link.area;
    let rect = Rect {
        x: Pt(x),
        y: Pt(sheet::HEIGHT - link.area.bottom()),
        width: Pt(width),
        height: Pt(height),
        mode: None,
        winding_order: None,
    };
    let destination = Destination::Xyz {
        page: target + 1,
        left: None,
        top: Some(sheet::HEIGHT),
        zoom: None,
    };
    let link = LinkAnnotation::new(
        rect,
        Actions::go_to(destination),
        Some(BorderArray::Solid([0.0; 3])),
        Some(ColorArray::Transparent),
        None,
    );
    Some(Op::LinkAnnotation { link })
}

/// The file's bytes. printpdf's own `save` draws the file's identifier from a counter of the process, gives the page mode as a string where PDF
/// wants a name, and knows no outline of several levels; these and more are set here.
fn encode(
    pdf: &PdfDocument,
    documents: &[Document],
    sheets: &[Sheet],
) -> Result<Vec<u8>, PdfError> {
    let mut warnings = Vec::new();
    let mut file = pdf.to_lopdf_document(&PdfSaveOptions::default(), &mut warnings);
    let outline = outline::add(&mut file, documents, sheets);
    let catalog = file.catalog_mut().map_err(PdfError::Form)?;
    catalog.set("Outlines", Object::Reference(outline));
    catalog.set("PageMode", Object::Name(b"UseOutlines".to_vec()));
    catalog.set("PageLayout", Object::Name(b"SinglePage".to_vec()));
    catalog.set(
        "Lang",
        Object::String(b"en".to_vec(), StringFormat::Literal),
    );
    let mut preferences = lopdf::Dictionary::new();
    preferences.set("DisplayDocTitle", Object::Boolean(true));
    catalog.set("ViewerPreferences", Object::Dictionary(preferences));
    // What printpdf writes although it says nothing: claims of a print standard, and empty fields.
    if let Ok(info) = file.trailer.get(b"Info").and_then(Object::as_reference)
        && let Ok(info) = file.get_dictionary_mut(info)
    {
        for field in [
            "GTS_PDFXVersion",
            "Trapped",
            "Identifier",
            "Author",
            "Keywords",
        ] {
            info.remove(field.as_bytes());
        }
    }
    // Translucency needs 1.4.
    file.version = "1.7".to_owned();
    let identifier = Object::String(identifier(documents).to_vec(), StringFormat::Hexadecimal);
    file.trailer
        .set("ID", Object::Array(vec![identifier.clone(), identifier]));
    file.compress();
    let mut bytes = Vec::new();
    file.save_to(&mut bytes).map_err(PdfError::Encode)?;
    Ok(bytes)
}

/// 16 bytes that differ between documents and not between drawings: FNV-1a of the words and the newest date, from two starting points.
fn identifier(documents: &[Document]) -> [u8; 16] {
    let mut identifier = [0; 16];
    for (half, start) in identifier
        .chunks_exact_mut(8)
        .zip([0xcbf2_9ce4_8422_2325_u64, 0x8422_2325_cbf2_9ce4])
    {
        let mut hash = start;
        for byte in documents
            .iter()
            .flat_map(Document::texts)
            .flat_map(str::bytes)
            .chain(created(documents).to_le_bytes())
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        half.copy_from_slice(&hash.to_be_bytes());
    }
    identifier
}
