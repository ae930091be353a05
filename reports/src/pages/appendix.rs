//! The appendix: pages left out, experiments, substitutions, versions, command lines, definitions, and the scenario verbatim.

use crate::{
    block::{Block, Cell, Column, Document, Page, Row, Table},
    number::count,
    pdf,
};

use super::{LeftOut, view::View, words};

pub(crate) fn page(view: &View<'_>, left_out: &[LeftOut], document: &Document) -> Page {
    let analysis = view.analysis;
    let mut blocks = Vec::new();
    let mut section = |title: &str, content: Vec<Block>| {
        if !content.is_empty() {
            blocks.push(Block::Heading(title.to_owned()));
            blocks.extend(content);
        }
    };
    section(
        "The scenario",
        vec![Block::Verbatim(analysis.appendix.scenario_text.clone())],
    );
    section("Engines", vec![Block::Table(engines(view))]);
    section("Experiments", vec![Block::Table(experiments(view))]);
    let changes = analysis
        .substitutions
        .iter()
        .map(|change| row(&[&change.what, &change.declared, &change.used, &change.reason]));
    section(
        "What runs otherwise than the scenario says",
        table(&["What", "Declared", "As run", "Why"], changes.collect()),
    );
    let skipped = analysis
        .skipped
        .iter()
        .map(|skipped| row(&[&skipped.what, &skipped.reason]));
    section(
        "What could not run here",
        table(&["What", "Why"], skipped.collect()),
    );
    section("The run", table(&["", ""], facts(view)));
    section(
        "Processes as planned",
        analysis
            .appendix
            .launches
            .iter()
            .map(|launch| Block::Verbatim(launch_text(launch)))
            .collect(),
    );
    let definitions = analysis
        .appendix
        .definitions
        .iter()
        .map(|definition| row(&[definition.name, definition.unit, definition.text]));
    section(
        "What the metrics are",
        table(&["Metric", "Unit", "Definition"], definitions.collect()),
    );
    let mut missing: Vec<String> = left_out
        .iter()
        .map(|left| format!("Left out: “{}”: {}.", left.title, left.reason))
        .collect();
    missing.extend(unprintable(document));
    section(
        "What is not in this report",
        missing.into_iter().map(Block::Note).collect(),
    );
    Page {
        anchor: super::APPENDIX.to_owned(),
        title: "Appendix".to_owned(),
        answer: None,
        blocks,
        how_to_read: None,
    }
}

fn row(cells: &[&str]) -> Row {
    Row::new(cells.iter().map(|text| Cell::text(*text)).collect())
}

/// A table of words, or nothing where it has no rows.
fn table(titles: &[&str], rows: Vec<Row>) -> Vec<Block> {
    if rows.is_empty() {
        return Vec::new();
    }
    vec![Block::Table(Table {
        columns: titles.iter().map(|title| Column::text(*title)).collect(),
        rows,
        notes: Vec::new(),
    })]
}

fn engines(view: &View<'_>) -> Table {
    let rows = view.analysis.engines.iter().map(|engine| {
        let mut remarks = Vec::new();
        if engine.baseline {
            remarks.push("baseline");
        }
        if engine.paced {
            remarks.push("paced: times are scripted");
        }
        let name = Cell {
            text: engine.name.clone(),
            engine: view.mark(engine.engine_id).cloned(),
            ..Cell::default()
        };
        Row::new(vec![
            name,
            Cell::text(engine.kind.clone()),
            Cell::text(engine.backend.clone()),
            Cell::text(count(u64::from(engine.chunk_tokens))),
            Cell::text(remarks.join(", ")),
        ])
    });
    let columns = vec![
        Column::text("Engine"),
        Column::text("Kind"),
        Column::text("Backend"),
        Column::decimal("chunk (tokens)"),
        Column::text(""),
    ];
    Table {
        columns,
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

fn experiments(view: &View<'_>) -> Table {
    let rows = view.analysis.experiments.iter().map(|experiment| {
        let chip = words::state(experiment.state);
        let point = experiment
            .point
            .iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect::<Vec<_>>()
            .join(", ");
        let requests: usize = experiment
            .engines
            .iter()
            .map(|engine| engine.points.len())
            .sum();
        Row::new(vec![
            Cell::text(experiment.label.clone()),
            Cell::text(format!("{}: {point}", experiment.workload)),
            Cell::text(experiment.arrival.clone()),
            Cell::text(count(u64::from(experiment.trials))),
            Cell::text(count(requests as u64)),
            Cell {
                text: chip.text,
                shape: Some(chip.shape),
                ..Cell::default()
            },
        ])
    });
    let columns = vec![
        Column::text("Experiment"),
        Column::text("Workload"),
        Column::text("Requests were sent"),
        Column::decimal("trials"),
        Column::decimal("requests"),
        Column::text("Stands"),
    ];
    Table {
        columns,
        rows: rows.collect(),
        notes: Vec::new(),
    }
}

fn facts(view: &View<'_>) -> Vec<Row> {
    let run = &view.analysis.run;
    let mut rows = vec![
        row(&["started", &run.started]),
        row(&["ended", run.ended.as_deref().unwrap_or("—")]),
        row(&["scenario file", &run.scenario_path]),
        row(&[
            "command line",
            &view.analysis.appendix.command_line.join(" "),
        ]),
        row(&[
            "profile",
            &format!("{} ({})", run.profile, run.profile_reason),
        ]),
        row(&["model declared", &run.model.declared]),
        row(&["model used", &run.model.used]),
        row(&["seed", &run.seed.to_string()]),
        row(&["runner", &run.version]),
    ];
    rows.extend(
        run.versions
            .iter()
            .map(|(name, version)| row(&[name, version])),
    );
    let optional = [
        ("git commit", &run.git_commit),
        ("prompt fingerprint", &run.prompt_fingerprint),
        ("host", &run.host.name),
        ("system", &run.host.system),
        ("processor", &run.host.processor),
        ("driver", &run.host.driver),
    ];
    rows.extend(
        optional
            .into_iter()
            .filter_map(|(name, value)| value.as_ref().map(|value| row(&[name, value]))),
    );
    rows.extend(run.host.gpus.iter().map(|gpu| row(&["device", &gpu.name])));
    rows
}

fn launch_text(launch: &crate::analysis::LaunchText) -> String {
    let mut lines = vec![format!("# {}", launch.name)];
    lines.extend(
        launch
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    lines.push(launch.command.join(" "));
    for (path, content) in &launch.files {
        lines.push(format!("# file {path}"));
        lines.extend(content.lines().map(|line| format!("    {line}")));
    }
    lines.join("\n")
}

/// Which characters the typeface lacks, where a text of the run has such.
fn unprintable(document: &Document) -> Option<String> {
    let missing = pdf::missing_glyphs(document)
        .ok()
        .filter(|missing| !missing.is_empty())?;
    let codes: Vec<String> = missing
        .into_iter()
        .map(|character| format!("U+{:04X}", u32::from(character)))
        .collect();
    Some(format!(
        "Characters that the typeface lacks are drawn as □: {}.",
        codes.join(", ")
    ))
}
