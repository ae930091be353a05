//! Page one: the question, its answer, whether to believe it, the verdicts, the headline table, and what to know before quoting.

use schemas::profile::Residency;

use crate::{
    analysis::State,
    block::{Block, Chip, Page, Shape},
    chart::{
        Chart, Point,
        bars::{Bar, BarChart, BarGroup},
        scale::Quantity,
    },
    number::{count, counted},
    resources,
};

use super::{headline, view::View, words};

/// Notes on the front page at most; the others are on the pages of warnings and appendix.
const MOST_NOTES: usize = 8;
/// Above this many notes they stand in two columns.
const ONE_COLUMN: usize = 3;
/// Bars at most: above, only the answer's engine; above twice, none (the page by context length has them).
const MOST_BARS: usize = 9;

pub(crate) fn page(view: &View<'_>) -> Page {
    let analysis = view.analysis;
    let mut blocks = vec![Block::Chips(chips(view))];
    let expected = headline::expectations_in_short(view);
    let chart = ratios(view).map(|chart| Block::Chart(Box::new(Chart::Bars(chart))));
    match (expected.is_empty(), chart) {
        (false, Some(chart)) => blocks.push(Block::Columns {
            split: 7,
            left: expected,
            right: vec![chart],
        }),
        (true, Some(chart)) => blocks.push(chart),
        (_, None) => blocks.extend(expected),
    }
    blocks.extend(headline::table_in_short(view));
    let notes = before_quoting(view);
    if !notes.is_empty() {
        blocks.push(Block::Heading("Before you quote a number".to_owned()));
        let mut notes: Vec<Block> = notes.into_iter().map(Block::Note).collect();
        if notes.len() > ONE_COLUMN {
            let right = notes.split_off(notes.len().div_ceil(2));
            blocks.push(Block::Columns {
                split: 6,
                left: notes,
                right,
            });
        } else {
            blocks.extend(notes);
        }
    }
    blocks.push(Block::SmallPrint(host(view)));
    Page {
        anchor: super::FRONT.to_owned(),
        title: analysis.question.clone(),
        answer: Some(analysis.answer.sentence.clone()),
        blocks,
        how_to_read: None,
    }
}

fn chips(view: &View<'_>) -> Vec<Chip> {
    let analysis = view.analysis;
    let validity = &analysis.validity;
    let ran = u64::from(validity.valid + validity.invalid);
    let mut chips = Vec::new();
    match validity.state {
        State::Invalid => {
            let reason = validity
                .worst
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            chips.push(Chip::new(
                Shape::Cross,
                format!(
                    "INVALID, {} of {}{reason}",
                    validity.invalid,
                    counted(ran, "experiment", "experiments")
                ),
            ));
        }
        State::Valid => chips.push(Chip::new(
            Shape::Disc,
            format!("VALID, {}", counted(ran, "experiment", "experiments")),
        )),
        State::NotRun => chips.push(Chip::new(Shape::Ring, "nothing was measured")),
    }
    if let Some(partial) = &analysis.run.partial {
        chips.push(Chip::new(Shape::Triangle, format!("partial: {partial}")));
    }
    if analysis.run.paced {
        chips.push(Chip::new(
            Shape::Triangle,
            "paced engine: times are scripted",
        ));
    }
    let outcomes = &analysis.run.outcomes;
    let shape = if outcomes.rows > 0 && outcomes.ok == outcomes.rows {
        Shape::Disc
    } else {
        Shape::Square
    };
    if outcomes.rows > 0 {
        let failed = outcomes.failed.iter().filter_map(|(outcome, number)| {
            words::failure(*outcome).map(|name| format!("{} {name}", count(*number)))
        });
        let failed: String = failed.map(|text| format!(", {text}")).collect();
        chips.push(Chip::new(
            shape,
            format!(
                "{} of {} completed{failed}",
                count(outcomes.ok),
                counted(outcomes.rows, "request", "requests")
            ),
        ));
    }
    chips
}

fn ratios(view: &View<'_>) -> Option<BarChart> {
    let headline = &view.analysis.headline;
    let baseline = headline.iter().find_map(|row| row.baseline_id)?;
    let only = (headline.len() > MOST_BARS)
        .then_some(view.analysis.answer.engine_id)
        .flatten();
    let rows: Vec<_> = headline
        .iter()
        .filter(|row| only.is_none_or(|engine| row.engine_id == engine))
        .collect();
    if rows.len() > 2 * MOST_BARS || !rows.iter().any(|row| row.ratio.is_some()) {
        return None;
    }
    let mut groups: Vec<BarGroup> = Vec::new();
    for row in rows {
        let Some(engine) = view.mark(row.engine_id).cloned() else {
            continue;
        };
        let ratio = row.ratio.as_ref().map(|estimate| Point {
            value: estimate.value,
            interval: estimate.interval(),
        });
        let bar = Bar { engine, ratio };
        match groups.last_mut() {
            Some(group) if group.label == row.label => group.bars.push(bar),
            _ => groups.push(BarGroup {
                label: row.label.clone(),
                bars: vec![bar],
            }),
        }
    }
    let of = only
        .map(|engine| format!(" of {}", view.short_name(engine)))
        .unwrap_or_default();
    let title = format!(
        "TTFT{of} as a share of {}, {} requests",
        view.short_name(baseline),
        words::requests(view.warm)
    );
    Some(BarChart {
        title,
        equal: "equal".to_owned(),
        groups,
    })
}

fn before_quoting(view: &View<'_>) -> Vec<String> {
    let analysis = view.analysis;
    let mut notes = Vec::new();
    if analysis.run.paced {
        notes.push("paced engine: times are scripted. This run checks the suite and says nothing of an engine.".to_owned());
    }
    if analysis.run.random_weights {
        notes.push("The model's weights are random: times are real, texts are not.".to_owned());
    }
    notes.extend(resources::shared(&analysis.lives));
    for change in &analysis.substitutions {
        notes.push(format!(
            "{}: {} → {} ({})",
            change.what, change.declared, change.used, change.reason
        ));
    }
    if analysis.engines.len() > 1 {
        notes.push(
            match analysis.run.residency {
                Residency::InTurn => "The engines ran one after the other on the same device, each alone.",
                Residency::Resident => "All engines stood at once, with a share of the memory each, and were asked in turn.",
                Residency::SideBySide => "Each engine had a device of its own.",
            }
            .to_owned(),
        );
    }
    for skipped in &analysis.skipped {
        notes.push(format!("Not run: {} ({})", skipped.what, skipped.reason));
    }
    notes.extend(analysis.warnings.iter().map(|warning| warning.text.clone()));
    let more = notes.len().saturating_sub(MOST_NOTES);
    if more > 0 {
        notes.truncate(MOST_NOTES);
        notes.push(format!(
            "and {} more on the pages of warnings and appendix",
            count(more as u64)
        ));
    }
    notes
}

/// Host, model, versions and seed in one line.
fn host(view: &View<'_>) -> String {
    let run = &view.analysis.run;
    let mut parts = Vec::new();
    let memory = run
        .host
        .memory_bytes
        .map(|bytes| super::cells::quantity(bytes as f64, Quantity::Bytes));
    let cores = run
        .host
        .cores
        .map(|cores| counted(u64::from(cores), "core", "cores"));
    parts.extend(
        [run.host.processor.clone(), cores, memory]
            .into_iter()
            .flatten(),
    );
    parts.extend(run.host.gpus.iter().map(|gpu| gpu.name.clone()));
    parts.extend(
        run.host
            .driver
            .as_ref()
            .map(|driver| format!("driver {driver}")),
    );
    parts.extend(run.host.system.clone());
    parts.push(format!("model {}", run.model.used));
    parts.extend(
        run.versions
            .iter()
            .map(|(name, version)| format!("{name} {version}")),
    );
    parts.push(format!("profile {} ({})", run.profile, run.profile_reason));
    parts.push(format!("seed {}", run.seed));
    parts.join(" · ")
}
