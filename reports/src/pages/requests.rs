//! TTFT and throughput by request: one panel for each experiment, all engines in each.

use schemas::scenario::{Metric, Requests};

use crate::{
    analysis::{ExperimentAnalysis, RequestPoint as Fact},
    block::{Block, Page},
    chart::{
        Chart,
        requests::{RequestPanel, RequestPoint, RequestSeries, RequestsChart},
        scale::Quantity,
    },
    number::counted,
};

use super::{LeftOut, Pages, cells::quantity, view::View, words};

/// Panels on one sheet at most.
const PANELS: usize = 8;

/// What a page of this kind shows.
struct Kind {
    anchor: &'static str,
    title: &'static str,
    metric: &'static str,
    quantity: Quantity,
    value: fn(&Fact) -> Option<f64>,
    how_to_read: &'static str,
}

pub(crate) fn ttft(view: &View<'_>) -> Pages {
    let kind = Kind {
        anchor: super::TTFT,
        title: "Time to first token, request by request",
        metric: "TTFT",
        quantity: Quantity::Seconds,
        value: |fact| fact.ttft_s,
        how_to_read: "one panel for each experiment, all on one scale; requests from left to right in the order they were sent. A reused context shows as a step \
                      down after the hollow marker. Failed requests are crosses at the top edge.",
    };
    pages(view, &kind, answer(view, Metric::Ttft, Quantity::Seconds))
}

pub(crate) fn throughput(view: &View<'_>) -> Pages {
    let kind = Kind {
        anchor: super::THROUGHPUT,
        title: "Throughput, request by request",
        metric: "throughput",
        quantity: Quantity::TokensPerSecond,
        value: |fact| fact.throughput,
        how_to_read: "output tokens per second between a request's first and last token, so that the wait for the first token is not in it. Engines that only \
                      differ in where their cache is kept should lie on each other.",
    };
    pages(
        view,
        &kind,
        answer(view, Metric::Throughput, Quantity::TokensPerSecond),
    )
}

fn pages(view: &View<'_>, kind: &Kind, answer: Option<String>) -> Pages {
    let panels: Vec<RequestPanel> = view
        .measured()
        .map(|experiment| panel(view, experiment, kind.value))
        .collect();
    let shown = panels
        .iter()
        .flat_map(|panel| &panel.series)
        .flat_map(|series| series.trials.iter().flatten());
    if !shown
        .clone()
        .any(|point| point.value.is_some() || point.failure.is_some())
    {
        return Err(LeftOut {
            title: kind.title,
            reason: "no request has a value".to_owned(),
        });
    }
    let sheets = panels.len().div_ceil(PANELS);
    let chunks = panels.chunks(PANELS).enumerate();
    Ok(chunks
        .map(|(index, panels)| {
            let chart = RequestsChart {
                metric: kind.metric.to_owned(),
                quantity: kind.quantity,
                panels: panels.to_vec(),
            };
            Page {
                anchor: if index == 0 {
                    kind.anchor.to_owned()
                } else {
                    format!("{}-{}", kind.anchor, index + 1)
                },
                title: if sheets > 1 {
                    format!("{}, {} of {sheets}", kind.title, index + 1)
                } else {
                    kind.title.to_owned()
                },
                answer: answer.clone().filter(|_| index == 0),
                blocks: vec![Block::Chart(Box::new(Chart::Requests(chart)))],
                how_to_read: Some(kind.how_to_read.to_owned()),
            }
        })
        .collect())
}

fn panel(
    view: &View<'_>,
    experiment: &ExperimentAnalysis,
    value: fn(&Fact) -> Option<f64>,
) -> RequestPanel {
    let series = experiment.engines.iter().filter_map(|engine| {
        let mark = view.mark(engine.engine_id)?;
        if engine.points.is_empty() {
            return None;
        }
        let mut trials: Vec<Vec<RequestPoint>> = Vec::new();
        let mut before = None;
        for fact in &engine.points {
            if before != Some(fact.trial) {
                trials.push(Vec::new());
                before = Some(fact.trial);
            }
            if let Some(trial) = trials.last_mut() {
                trial.push(RequestPoint {
                    number: fact.request_id,
                    value: value(fact),
                    cold: View::cold(fact.kind),
                    failure: words::failure(fact.outcome),
                });
            }
        }
        Some(RequestSeries {
            engine: mark.clone(),
            trials,
        })
    });
    RequestPanel {
        title: experiment.label.clone(),
        invalid: view.invalid(experiment),
        series: series.collect(),
    }
}

/// The engines' numbers in the experiment that the report's answer is about.
fn answer(view: &View<'_>, metric: Metric, kind: Quantity) -> Option<String> {
    let experiment = view.central()?;
    let of = |requests: Requests| {
        let numbers = view.engines(experiment).filter_map(|(engine, _)| {
            let estimate = engine.estimate(metric, requests)?;
            Some(format!(
                "{} {}",
                view.short_name(engine.engine_id),
                quantity(estimate.estimate.value, kind)
            ))
        });
        numbers.collect::<Vec<_>>()
    };
    let (requests, numbers) = [view.warm, Requests::All, Requests::Cold]
        .into_iter()
        .map(|requests| (requests, of(requests)))
        .find(|(_, numbers)| !numbers.is_empty())?;
    let trials = counted(u64::from(experiment.trials), "trial", "trials");
    Some(format!(
        "At the median over {} requests, {}: {} ({trials}).",
        words::requests(requests),
        experiment.label,
        numbers.join(", ")
    ))
}
