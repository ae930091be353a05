//! The outline that a reader's side panel shows: pages, and in a file of several documents the pages under their documents.

use lopdf::{Dictionary, Document as File, Object, ObjectId, StringFormat};

use crate::block::Document;

use super::{layout::Sheet, sheet};

/// One line of the outline.
struct Entry {
    title: String,
    /// Number of the sheet it leads to, from 0.
    sheet: usize,
    /// Lines under it, folded away at first.
    under: Vec<Entry>,
}

/// Adds the outline to a file and gives its object for the catalog. The pages of the first document stand at the top; each further document is one line with its pages
/// under it.
pub(crate) fn add(file: &mut File, documents: &[Document], sheets: &[Sheet]) -> ObjectId {
    let pages: Vec<ObjectId> = file.get_pages().into_values().collect();
    let root = file.new_object_id();
    let entries = entries(documents, sheets);
    let ends = chain(file, &entries, root, &pages);
    let mut outline = Dictionary::new();
    outline.set("Type", Object::Name(b"Outlines".to_vec()));
    outline.set("Count", Object::Integer(entries.len() as i64));
    set_ends(&mut outline, ends);
    file.set_object(root, outline);
    root
}

fn entries(documents: &[Document], sheets: &[Sheet]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut begun = 0;
    for (index, sheet) in sheets.iter().enumerate() {
        let Some(title) = &sheet.bookmark else {
            continue;
        };
        let entry = |title: &str| Entry {
            title: title.to_owned(),
            sheet: index,
            under: Vec::new(),
        };
        if sheet.document != begun {
            begun = sheet.document;
            entries.push(entry(&documents[begun].name));
        }
        match entries.last_mut() {
            Some(document) if begun > 0 => document.under.push(entry(title)),
            _ => entries.push(entry(title)),
        }
    }
    entries
}

/// Writes entries that stand beside each other; gives the first and the last.
fn chain(
    file: &mut File,
    entries: &[Entry],
    parent: ObjectId,
    pages: &[ObjectId],
) -> Option<(ObjectId, ObjectId)> {
    let ids: Vec<ObjectId> = entries.iter().map(|_| file.new_object_id()).collect();
    for (index, entry) in entries.iter().enumerate() {
        let mut item = Dictionary::new();
        item.set("Title", text(&entry.title));
        item.set("Parent", Object::Reference(parent));
        if let Some(before) = index.checked_sub(1) {
            item.set("Prev", Object::Reference(ids[before]));
        }
        if let Some(next) = ids.get(index + 1) {
            item.set("Next", Object::Reference(*next));
        }
        if let Some(page) = pages.get(entry.sheet) {
            let top = vec![
                Object::Reference(*page),
                Object::Name(b"XYZ".to_vec()),
                Object::Null,
                Object::Real(sheet::HEIGHT),
                Object::Null,
            ];
            item.set("Dest", Object::Array(top));
        }
        let ends = chain(file, &entry.under, ids[index], pages);
        if ends.is_some() {
            // Below 0: folded.
            item.set("Count", Object::Integer(-(entry.under.len() as i64)));
        }
        set_ends(&mut item, ends);
        file.set_object(ids[index], item);
    }
    Some((*ids.first()?, *ids.last()?))
}

fn set_ends(of: &mut Dictionary, ends: Option<(ObjectId, ObjectId)>) {
    if let Some((first, last)) = ends {
        of.set("First", Object::Reference(first));
        of.set("Last", Object::Reference(last));
    }
}

/// A text string: ASCII as it is, else UTF-16 with its mark.
fn text(text: &str) -> Object {
    let bytes = if text.is_ascii() {
        text.as_bytes().to_vec()
    } else {
        let units = text.encode_utf16().flat_map(u16::to_be_bytes);
        [0xFE, 0xFF].into_iter().chain(units).collect()
    };
    Object::String(bytes, StringFormat::Literal)
}
