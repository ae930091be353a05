//! `summary.md`: a run's outcome for a page that a forge or an editor shows.

use crate::{
    analysis::{Analysis, State},
    figures, number, resources,
    several::{self, Run},
    terminal,
};

/// The whole file.
pub(crate) fn text(analysis: &Analysis) -> String {
    let mut text = format!(
        "# {}\n\n{}\n\n{}\n",
        inline(&analysis.question),
        inline(&analysis.answer.sentence),
        standing(analysis)
    );
    expectations(&mut text, analysis);
    headline(&mut text, analysis);
    listed(&mut text, "Before quoting it", &caveats(analysis));
    listed(&mut text, "Warnings", &warnings(analysis));
    listed(&mut text, "The run", &facts(analysis));
    text
}

/// The file of several runs: a table of them, then each one's summary under its name.
pub(crate) fn text_of_several(runs: &[Run]) -> String {
    let mut text = format!("# {}\n", number::counted(runs.len() as u64, "run", "runs"));
    let head = ["scenario", "stands", "expected", "answer"].map(str::to_owned);
    let rows = runs.iter().map(|run| {
        let mut row = vec![run.name.clone()];
        row.extend(several::in_short(run));
        row
    });
    table(&mut text, "Verdicts", head.to_vec(), rows.collect());
    for run in runs {
        if let Ok(analysis) = &run.analysis {
            text.push_str(&format!("\n## {}\n\n", inline(&run.name)));
            text.push_str(&lowered(&self::text(analysis)));
        }
    }
    text
}

/// The same text with every heading two levels lower. Only headings begin a line with `#`: everywhere else it is escaped.
fn lowered(text: &str) -> String {
    text.lines()
        .map(|line| {
            let marks = if line.starts_with('#') { "##" } else { "" };
            format!("{marks}{line}\n")
        })
        .collect()
}

fn standing(analysis: &Analysis) -> String {
    let validity = &analysis.validity;
    let ran = (validity.invalid + validity.valid) as usize;
    let mut text = match validity.state {
        State::Valid => format!("● VALID in {}", figures::experiments(ran)),
        State::NotRun => "○ nothing ran".to_owned(),
        State::Invalid => {
            let all = figures::experiments(ran);
            format!("× INVALID in {} of {all}", validity.invalid)
        }
    };
    if validity.not_run > 0 && validity.state != State::NotRun {
        text.push_str(&format!(", {} more not run", validity.not_run));
    }
    if let Some(worst) = &validity.worst {
        text.push_str(&inline(&format!(": {worst}. {}", worst.advice())));
    }
    if let Some(partial) = &analysis.run.partial {
        text.push_str(&inline(&format!(" (partial: {partial})")));
    }
    text
}

fn expectations(text: &mut String, analysis: &Analysis) {
    let rows = analysis.expectations.iter().flat_map(|expectation| {
        expectation.cases.iter().map(move |case| {
            vec![
                figures::verdict(case.verdict).to_owned(),
                expectation.text.clone(),
                case.label.clone(),
                figures::finding(expectation, case),
            ]
        })
    });
    let head = ["verdict", "expectation", "in", "measured"].map(str::to_owned);
    table(text, "What was expected", head.to_vec(), rows.collect());
}

fn headline(text: &mut String, analysis: &Analysis) {
    if analysis.headline.is_empty() {
        return;
    }
    let mut rows = terminal::table(analysis);
    let head = rows.remove(0);
    table(text, "Time to first token", head, rows);
}

fn caveats(analysis: &Analysis) -> Vec<String> {
    let run = &analysis.run;
    let mut lines = Vec::new();
    if run.paced {
        lines.push("paced engine: times are scripted".to_owned());
    }
    if run.random_weights {
        lines.push("random weights: times are real, texts are not".to_owned());
    }
    for found in &analysis.substitutions {
        lines.push(format!(
            "{}: {} instead of {} ({})",
            found.what, found.used, found.declared, found.reason
        ));
    }
    lines.extend(resources::shared(&analysis.lives));
    for skipped in &analysis.skipped {
        lines.push(format!("skipped {}: {}", skipped.what, skipped.reason));
    }
    lines
}

fn warnings(analysis: &Analysis) -> Vec<String> {
    analysis
        .warnings
        .iter()
        .map(|warning| match &warning.advice {
            Some(advice) => format!("{}. {advice}", warning.text),
            None => warning.text.clone(),
        })
        .collect()
}

fn facts(analysis: &Analysis) -> Vec<String> {
    let run = &analysis.run;
    let mut lines = vec![
        format!("scenario {} ({})", run.scenario, run.scenario_path),
        format!("run {}, started {}", run.run_id, run.started),
        format!("profile {}: {}", run.profile, run.profile_reason),
        format!("model {}", run.model.used),
        format!(
            "requests: {} of {} planned, {} of them ok",
            run.outcomes.rows, run.planned_requests, run.outcomes.ok
        ),
    ];
    let host = [&run.host.name, &run.host.processor, &run.host.system];
    let mut host: Vec<&str> = host
        .into_iter()
        .filter_map(|part| part.as_deref())
        .collect();
    host.extend(run.host.gpus.iter().map(|gpu| gpu.name.as_str()));
    if !host.is_empty() {
        lines.push(format!("host {}", host.join(", ")));
    }
    let suite = ("runner", run.version.as_str());
    let others = run
        .versions
        .iter()
        .map(|(name, version)| (name.as_str(), version.as_str()));
    let versions: Vec<String> = std::iter::once(suite)
        .chain(others.filter(|(name, _)| *name != suite.0))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    lines.push(versions.join(", "));
    lines
}

fn listed(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n\n"));
    for line in lines {
        text.push_str(&format!("- {}\n", inline(line)));
    }
}

fn table(text: &mut String, title: &str, head: Vec<String>, rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| inline(cell)).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    text.push_str(&format!("\n## {title}\n\n{}", line(&head)));
    text.push_str(&format!("|{}\n", "---|".repeat(head.len())));
    for row in &rows {
        text.push_str(&line(row));
    }
}

/// A text as one line that means itself in Markdown, in a table's cell too.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        if matches!(
            character,
            '\\' | '|' | '<' | '*' | '_' | '`' | '[' | ']' | '#'
        ) {
            safe.push('\\');
        }
        safe.push(character);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_valid_run() {
        let text = text(&fixture::analysis());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# How much sooner is it?");
        assert_eq!(
            lines[2],
            "Reusing a 4096-token context gave the first token 9.9 times sooner."
        );
        assert_eq!(lines[4], "● VALID in 2 experiments");
        assert!(lines.contains(&"| ● met | ttft of lmcache at most 0.5 × baseline | context 4096 | 0.100 \\[0.090, 0.110\\] |"));
        assert!(lines.contains(&"| context | cold | reused | baseline | ratio | cached |"));
        assert!(lines.contains(&"|---|---|---|---|---|---|"));
        assert!(
            lines.contains(&"- context-length: 2048, 4096 instead of 8192, 16384 (profile cpu)")
        );
    }

    #[test]
    fn an_invalid_run_says_so_on_top() {
        let text = text(&fixture::invalid());
        let standing = text.lines().nth(4).unwrap();
        assert!(
            standing.starts_with("× INVALID in 1 of 2 experiments: "),
            "{standing}"
        );
    }

    #[test]
    fn several_runs_have_a_table_before_their_summaries() {
        let text = text_of_several(&[
            Run {
                name: "first".to_owned(),
                analysis: Ok(fixture::analysis()),
            },
            Run {
                name: "outputs/second".to_owned(),
                analysis: Err("cannot read it".to_owned()),
            },
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# 2 runs");
        assert!(lines.contains(&"| first | ● VALID | ● met 1 of 1 | Reusing a 4096-token context gave the first token 9.9 times sooner. |"), "{text}");
        assert!(lines.contains(&"| outputs/second | × not readable | — | cannot read it |"));
        assert!(lines.contains(&"## first") && lines.contains(&"### How much sooner is it?"));
        assert!(lines.contains(&"#### What was expected"), "{text}");
    }

    #[test]
    fn nothing_breaks_a_table() {
        assert_eq!(inline("a|b\n c_d"), "a\\|b c\\_d");
    }
}
