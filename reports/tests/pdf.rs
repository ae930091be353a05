//! The PDF of made-up runs of every kind: complete, readable, linked, small, and the same each time.

use std::collections::BTreeSet;

use lopdf::{Document as File, Object, content::Content};
use reports::{
    block::{Block, Document, Shape},
    pages, pdf,
};
use synthetic::{Spec, analysis, gallery};

mod synthetic;

/// Text of all sheets as a reader of the file finds it, with single spaces.
fn text_of(bytes: &[u8]) -> Vec<String> {
    let file = File::load_mem(bytes).unwrap();
    let pages: Vec<u32> = file.get_pages().keys().copied().collect();
    pages
        .iter()
        .map(|page| {
            file.extract_text(&[*page])
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn document(spec: &Spec) -> Document {
    pages::document(&analysis(spec))
}

fn words(document: &Document) -> String {
    document.texts().join("\n")
}

#[test]
fn every_run_is_drawn_the_same_twice_and_no_character_is_lost() {
    for (name, spec) in gallery() {
        let document = document(&spec);
        assert_eq!(
            pdf::missing_glyphs(&document).unwrap(),
            BTreeSet::new(),
            "{name}"
        );
        let bytes = pdf::render(&document).unwrap();
        assert!(
            bytes == pdf::render(&document).unwrap(),
            "{name}: drawn twice, different bytes"
        );
        assert!(bytes.len() < 400_000, "{name}: {} bytes", bytes.len());
    }
}

#[test]
fn the_answer_is_found_whole_and_every_sheet_has_its_number() {
    for (name, spec) in gallery() {
        let analysis = analysis(&spec);
        let sheets = text_of(&pdf::render(&pages::document(&analysis)).unwrap());
        assert!(
            sheets[0].contains(&analysis.answer.sentence),
            "{name}: {}",
            sheets[0]
        );
        assert!(sheets[0].contains(&analysis.question), "{name}");
        for (index, sheet) in sheets.iter().enumerate() {
            assert!(
                sheet.contains(&format!("page {} of {}", index + 1, sheets.len())),
                "{name}, sheet {index}"
            );
            assert!(
                sheet.contains("host-memory · run 2026-11-24T08-12-33Z"),
                "{name}, sheet {index}"
            );
        }
    }
}

#[test]
fn a_character_that_the_typeface_lacks_is_marked_and_named() {
    let mut analysis = analysis(&Spec::default());
    analysis.question = "多快?".to_owned();
    let document = pages::document(&analysis);
    assert_eq!(
        pdf::missing_glyphs(&document).unwrap(),
        BTreeSet::from(['多', '快'])
    );
    assert!(words(&document).contains("U+591A, U+5FEB"));
    assert!(text_of(&pdf::render(&document).unwrap())[0].contains("□□?"));
}

#[test]
fn bookmarks_lead_to_every_page_and_links_to_pages_that_are_there() {
    let document = document(&Spec::default());
    let file = File::load_mem(&pdf::render(&document).unwrap()).unwrap();
    let catalog = file.catalog().unwrap();
    let outlines = file
        .get_dictionary(catalog.get(b"Outlines").unwrap().as_reference().unwrap())
        .unwrap();
    assert_eq!(
        outlines.get(b"Count").unwrap().as_i64().unwrap(),
        document.pages.len() as i64
    );
    assert_eq!(
        catalog.get(b"PageMode").unwrap().as_name().unwrap(),
        b"UseOutlines"
    );
    let sheets: BTreeSet<_> = file.get_pages().into_values().collect();
    let annotations = file
        .get_dictionary(*sheets.iter().next().unwrap())
        .unwrap()
        .get(b"Annots")
        .unwrap()
        .as_array()
        .unwrap();
    assert!(
        annotations.len() >= 4,
        "the front page's tables link to their pages"
    );
    for annotation in annotations {
        let action = annotation
            .as_dict()
            .unwrap()
            .get(b"A")
            .unwrap()
            .as_dict()
            .unwrap();
        let target = action.get(b"D").unwrap().as_array().unwrap()[0]
            .as_reference()
            .unwrap();
        assert!(sheets.contains(&target));
    }
}

#[test]
fn no_text_begins_outside_the_sheet() {
    for (name, spec) in gallery() {
        let file = File::load_mem(&pdf::render(&document(&spec)).unwrap()).unwrap();
        for (number, sheet) in file.get_pages() {
            let content = Content::decode(&file.get_page_content(sheet)).unwrap();
            let matrices = content
                .operations
                .iter()
                .filter(|operation| operation.operator == "Tm");
            for matrix in matrices {
                let place: Vec<f32> = matrix.operands[4..]
                    .iter()
                    .map(|operand| operand.as_float().unwrap())
                    .collect();
                assert!(
                    (20.0..820.0).contains(&place[0]) && (20.0..575.0).contains(&place[1]),
                    "{name}, sheet {number}: text at {place:?}"
                );
            }
        }
    }
}

#[test]
fn the_fonts_are_embedded_and_of_one_family() {
    let file = File::load_mem(&pdf::render(&document(&Spec::default())).unwrap()).unwrap();
    let fonts = file
        .objects
        .values()
        .filter_map(|object| object.as_dict().ok())
        .filter(|dictionary| {
            dictionary
                .get(b"Type")
                .is_ok_and(|kind| *kind == Object::Name(b"FontDescriptor".to_vec()))
        });
    let mut names = BTreeSet::new();
    for font in fonts {
        assert!(font.get(b"FontFile2").is_ok());
        names.insert(
            String::from_utf8(font.get(b"FontName").unwrap().as_name().unwrap().to_vec()).unwrap(),
        );
    }
    assert_eq!(
        names,
        BTreeSet::from(["Inter-Regular".to_owned(), "Inter-SemiBold".to_owned()])
    );
}

#[test]
fn a_hundred_thousand_requests_make_a_small_file() {
    let spec = Spec {
        requests: 25_000,
        trials: 1,
        contexts: vec![4096, 8192],
        failures: true,
        ..Spec::default()
    };
    let bytes = pdf::render(&document(&spec)).unwrap();
    assert!(bytes.len() < 600_000, "{} bytes", bytes.len());
}

#[test]
fn page_one_says_what_must_be_known_before_quoting() {
    let paced = document(&Spec {
        engines: vec!["vllm".to_owned()],
        ..Spec::default()
    });
    let front = paced.pages[0].blocks.iter().find_map(|block| match block {
        Block::Chips(chips) => Some(chips.clone()),
        _ => None,
    });
    assert!(
        front
            .unwrap()
            .iter()
            .any(|chip| chip.text == "paced engine: times are scripted")
    );
    let partial = words(&document(&Spec {
        partial: true,
        ..Spec::default()
    }));
    assert!(partial.contains("partial: interrupted by the user"));
    let whole = words(&document(&Spec::default()));
    for fact in [
        "weights are random",
        "model: meta-llama/Llama-3.1-8B-Instruct → builtin:small",
        "180 of 180 requests completed",
        "0.140",
        "8,192 of 8,220 tokens",
    ] {
        assert!(whole.contains(fact), "{fact}");
    }
}

#[test]
fn an_invalid_run_says_so_on_every_sheet_and_keeps_its_figures() {
    let document = document(&Spec {
        invalid: true,
        ..Spec::default()
    });
    assert_eq!(document.validity.shape, Shape::Cross);
    assert!(
        document
            .pages
            .iter()
            .any(|page| page.anchor == "ttft-by-request")
    );
    for sheet in text_of(&pdf::render(&document).unwrap()) {
        assert!(sheet.contains("INVALID"));
    }
}

#[test]
fn pages_without_data_are_left_out_and_the_appendix_says_why() {
    let document = document(&Spec {
        empty: true,
        trials: 0,
        ..Spec::default()
    });
    let anchors: Vec<&str> = document
        .pages
        .iter()
        .map(|page| page.anchor.as_str())
        .collect();
    assert!(
        !anchors.contains(&"ttft-by-request") && !anchors.contains(&"memory"),
        "{anchors:?}"
    );
    let words = words(&document);
    assert!(
        words.contains(
            "Left out: “Time to first token, request by request”: no request has a value."
        )
    );
    assert!(words.contains("Left out: “Memory and movement over time”: no sensor gave a value."));
}
