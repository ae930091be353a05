//! The report's pages: from an analysis to blocks. A page whose data are absent is left out, and the appendix says why.

mod appendix;
mod cells;
mod client;
mod context;
mod distribution;
mod evidence;
mod front;
mod headline;
pub(crate) mod index;
mod memory;
mod requests;
mod timeline;
mod view;
mod warnings;
mod words;

use rayon::prelude::*;

use crate::{
    analysis::{Analysis, State},
    block::{Chip, Document, Page, Shape},
};

use self::view::View;

pub(crate) const FRONT: &str = "answer";
pub(crate) const TABLES: &str = "tables";
pub(crate) const TTFT: &str = "ttft-by-request";
pub(crate) const THROUGHPUT: &str = "throughput-by-request";
pub(crate) const CONTEXT: &str = "ttft-by-context";
pub(crate) const DISTRIBUTION: &str = "distributions";
pub(crate) const MEMORY: &str = "memory";
pub(crate) const TIMELINE: &str = "timeline";
pub(crate) const EVIDENCE: &str = "cold-and-hit";
pub(crate) const CLIENT: &str = "client";
pub(crate) const WARNINGS: &str = "warnings";
pub(crate) const APPENDIX: &str = "appendix";

/// A page that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Its title.
    pub(crate) title: &'static str,
    /// Why.
    pub(crate) reason: String,
}

/// Some pages, or why there are none.
pub(crate) type Pages = Result<Vec<Page>, LeftOut>;

/// The whole report of one run.
pub fn document(analysis: &Analysis) -> Document {
    let view = View::new(analysis);
    let mut pages = vec![front::page(&view)];
    let mut left_out = Vec::new();
    let parts: [fn(&View<'_>) -> Pages; 10] = [
        headline::pages,
        requests::ttft,
        requests::throughput,
        context::pages,
        distribution::pages,
        memory::pages,
        timeline::pages,
        evidence::pages,
        client::pages,
        warnings::pages,
    ];
    // Each is long in a large run, and none needs another.
    let parts: Vec<Pages> = parts.par_iter().map(|part| part(&view)).collect();
    for part in parts {
        match part {
            Ok(more) => pages.extend(more),
            Err(missing) => left_out.push(missing),
        }
    }
    let mut document = Document {
        name: analysis.run.scenario.clone(),
        title: analysis.question.clone(),
        subject: analysis.answer.sentence.clone(),
        created_unix_s: created(analysis),
        footer: footer(analysis),
        validity: validity(analysis),
        pages,
    };
    document
        .pages
        .push(appendix::page(&view, &left_out, &document));
    document
}

/// The run's end (else its start) by the manifest, in seconds since 1970; 0 where it cannot be read.
fn created(analysis: &Analysis) -> i64 {
    let stamp = analysis.run.ended.as_ref().unwrap_or(&analysis.run.started);
    stamp
        .parse::<jiff::Timestamp>()
        .map_or(0, |time| time.as_second())
}

fn footer(analysis: &Analysis) -> String {
    let run = &analysis.run;
    let card = run.host.gpus.first().map(|gpu| match run.host.gpus.len() {
        1 => gpu.name.clone(),
        several => format!("{several} × {}", gpu.name),
    });
    let date = run.started.get(..10).unwrap_or(&run.started).to_owned();
    let host = run.host.name.clone().or_else(|| run.host.processor.clone());
    let parts = [
        Some(run.scenario.clone()),
        Some(format!("run {}", run.run_id)),
        Some(date),
        host,
        card,
        Some(format!("runner {}", run.version)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

/// The run's validity in a word.
fn validity(analysis: &Analysis) -> Chip {
    match (analysis.validity.state, &analysis.run.partial) {
        (State::Invalid, _) => Chip::new(Shape::Cross, "INVALID"),
        (State::NotRun, _) => Chip::new(Shape::Ring, "nothing measured"),
        (State::Valid, Some(_)) => Chip::new(Shape::Triangle, "VALID, partial"),
        (State::Valid, None) => Chip::new(Shape::Disc, "VALID"),
    }
}
