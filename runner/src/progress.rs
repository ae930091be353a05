//! What a person sees while a run goes on: a fold over events, one moving line on a terminal, plain lines elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schemas::{
    manifest::ProcessRecord,
    plan::{EventAction, Happened, Plan},
    row::{Outcome, Row},
};

use crate::event::EventKind;

/// Time between two progress lines where there is no terminal.
const PLAIN_PERIOD: Duration = Duration::from_secs(30);

/// How much is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbosity {
    /// Verdicts, answer and report only.
    Quiet,
    /// Starts, progress, failures.
    Normal,
    /// Every request too.
    Verbose,
}

/// Writes lines to stderr, above the moving line where there is one.
#[derive(Debug)]
pub struct Progress {
    verbosity: Verbosity,
    bar: Option<ProgressBar>,
    names: Vec<String>,
    labels: Vec<String>,
    total_trials: u32,
    total_requests: u64,
    total_tokens: u64,
    done_requests: u64,
    done_tokens: u64,
    first_turn: Option<Instant>,
    last_plain: Instant,
    turn: Option<(u32, u32)>,
    ttft_ns: BTreeMap<u32, u64>,
}

impl Progress {
    /// Progress of one plan whose given engines run.
    pub fn new(plan: &Plan, running: &[usize], verbosity: Verbosity) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && verbosity != Verbosity::Quiet;
        let bar = on_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template("  {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        let turns = u64::from(plan.trials.at_least) * running.len() as u64;
        let per_trial: u64 = plan
            .experiments
            .iter()
            .map(|e| e.requests.len() as u64)
            .sum();
        let tokens: u64 = plan
            .experiments
            .iter()
            .flat_map(|e| &e.requests)
            .map(planned_tokens)
            .sum();
        Self {
            verbosity,
            bar,
            names: plan
                .engines
                .iter()
                .map(|engine| engine.name.clone())
                .collect(),
            labels: plan
                .experiments
                .iter()
                .map(|experiment| experiment.label.clone())
                .collect(),
            total_trials: plan.trials.at_least,
            total_requests: per_trial * turns,
            total_tokens: tokens * turns,
            done_requests: 0,
            done_tokens: 0,
            first_turn: None,
            last_plain: Instant::now(),
            turn: None,
            ttft_ns: BTreeMap::new(),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &EventKind) {
        match event {
            EventKind::RunStarted { folder } => self.line("folder", &folder.display().to_string()),
            EventKind::ProcessStarting { name, log } => self.starting(name, log),
            EventKind::ProcessReady { name, took_ns } => {
                self.line(
                    "ready",
                    &format!("{name:<18} after {:.1} s", *took_ns as f64 / 1e9),
                );
            }
            EventKind::ProcessTakenOver { name, started_by } => {
                self.line("shared", &format!("{name:<18} started by {started_by}"));
            }
            EventKind::ProcessEnded(record) => self.process_ended(record),
            EventKind::TurnStarted {
                experiment, trial, ..
            } => {
                self.first_turn.get_or_insert_with(Instant::now);
                self.turn = Some((*experiment, *trial));
                self.total_trials = self.total_trials.max(trial + 1);
                self.tick();
            }
            EventKind::RequestsFinished(rows) => {
                for row in rows {
                    self.request_finished(row);
                }
            }
            EventKind::Warning(text) => self.line_styled("warning", text, AnsiColor::Yellow),
            EventKind::Happened(happened) => self.happened(happened),
            EventKind::TurnEnded | EventKind::Counters(_) | EventKind::Sampled(_) => {}
            EventKind::RunEnded(_) => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }

    /// More trials than planned at least will run.
    pub fn extend(&mut self, requests: u64, tokens: u64) {
        self.total_requests += requests;
        self.total_tokens += tokens;
    }

    fn starting(&self, name: &str, log: &Path) {
        self.line("start", &format!("{name:<18} log {}", log.display()));
    }

    fn happened(&self, happened: &Happened) {
        let Happened {
            action,
            target,
            trial,
            ..
        } = happened;
        let done = match action {
            EventAction::Restart => "restarted",
            EventAction::Kill => "killed",
            EventAction::Pause => "paused",
            EventAction::Resume => "resumed",
            EventAction::Corrupt => "corrupted",
        };
        self.line("event", &format!("{target} {done} in trial {}", trial + 1));
    }

    fn process_ended(&self, record: &ProcessRecord) {
        if record.expected != Some(true) {
            let how = record.ending.as_deref().unwrap_or("ended");
            self.line_styled("ended", &format!("{}: {how}", record.name), AnsiColor::Red);
        }
    }

    fn request_finished(&mut self, row: &Row) {
        self.done_requests += 1;
        self.done_tokens +=
            u64::from(row.context_tokens + row.query_tokens + row.asked_output_tokens);
        let ttft_ns = row
            .first_content_ns
            .zip(row.sent_ns)
            .map(|(first, sent)| first.saturating_sub(sent));
        if let Some(ttft_ns) = ttft_ns {
            self.ttft_ns.insert(row.engine_id, ttft_ns);
        }
        if row.outcome != Outcome::Ok {
            let detail = row.detail.as_deref().unwrap_or("no detail");
            let outcome = serde_json::to_value(row.outcome).ok();
            let outcome = outcome
                .as_ref()
                .and_then(|value| value.as_str())
                .unwrap_or("failed");
            let text = format!(
                "request {} of {}: {outcome}: {detail}",
                row.request_id, row.engine
            );
            self.line_styled("failed", &text, AnsiColor::Red);
        } else if self.verbosity == Verbosity::Verbose {
            let seconds = |ns: Option<u64>| {
                ns.map_or_else(|| "—".to_owned(), |ns| format!("{:.4} s", ns as f64 / 1e9))
            };
            let cached = row
                .cached_tokens
                .map_or_else(|| "—".to_owned(), |cached| cached.to_string());
            let prompt = row
                .prompt_tokens
                .map_or_else(|| "—".to_owned(), |prompt| prompt.to_string());
            let text = format!(
                "{} request {}: first token after {}, {cached} of {prompt} tokens cached",
                row.engine,
                row.request_id,
                seconds(ttft_ns)
            );
            self.line("request", &text);
        }
        self.tick();
    }

    fn tick(&mut self) {
        // Requests may end by the thousand a second: nothing is put into words that nobody will see.
        if let Some(bar) = &self.bar {
            bar.set_message(self.status());
        } else if self.verbosity != Verbosity::Quiet && self.last_plain.elapsed() >= PLAIN_PERIOD {
            self.last_plain = Instant::now();
            self.line("run", &self.status());
        }
    }

    fn status(&self) -> String {
        let mut parts = Vec::new();
        if let Some((experiment, trial)) = self.turn {
            let label = self
                .labels
                .get(experiment as usize)
                .map_or("", String::as_str);
            parts.push(format!(
                "{label} · trial {} of {}",
                trial + 1,
                self.total_trials
            ));
        }
        parts.push(format!(
            "{} of {} requests",
            self.done_requests, self.total_requests
        ));
        for (engine, ttft_ns) in &self.ttft_ns {
            let name = self
                .names
                .get(*engine as usize)
                .map_or("engine", String::as_str);
            parts.push(format!("{name} {:.3} s", *ttft_ns as f64 / 1e9));
        }
        parts.extend(self.time_left().map(|left| format!("about {left} left")));
        parts.join(" · ")
    }

    /// Tokens cost about the same whichever request they belong to; good enough for an "about".
    fn time_left(&self) -> Option<String> {
        let elapsed = self.first_turn?.elapsed().as_secs_f64();
        let share = self.done_tokens as f64 / self.total_tokens.max(1) as f64;
        let left = (share > 0.02).then(|| elapsed * (1.0 - share).max(0.0) / share)?;
        Some(if left < 90.0 {
            format!("{left:.0} s")
        } else {
            format!("{:.0} min", left / 60.0)
        })
    }

    fn line(&self, word: &str, text: &str) {
        self.write(&format!("  {word:<8} {text}"));
    }

    fn line_styled(&self, word: &str, text: &str, color: AnsiColor) {
        let style = Style::new().fg_color(Some(color.into()));
        self.write(&format!("  {style}{word:<8}{style:#} {text}"));
    }

    fn write(&self, line: &str) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let print = || {
            // Nothing can be done when stderr is closed, and the run is worth more than its display.
            let _ = writeln!(anstream::stderr(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

/// Tokens of one planned request, prompt and output.
pub fn planned_tokens(request: &schemas::plan::PlannedRequest) -> u64 {
    u64::from(request.context_tokens + request.query_tokens + request.output_tokens)
}
