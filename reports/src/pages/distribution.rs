//! How TTFT and ITL spread: distribution functions of single requests and single gaps.

use schemas::scenario::{Metric, Requests};

use crate::{
    block::{Block, Page},
    chart::{
        Chart,
        distribution::{Curve, DistributionChart, DistributionPanel},
        scale::Quantity,
    },
};

use super::{LeftOut, Pages, cells::quantity, view::View};

const TITLE: &str = "How single requests spread";
/// Experiments whose TTFT and ITL fit one sheet together.
const TOGETHER: usize = 4;
/// Panels on one sheet at most.
const PANELS: usize = 8;

pub(crate) fn pages(view: &View<'_>) -> Pages {
    let ttft = panels(
        view,
        Metric::Ttft,
        "TTFT",
        &[(Requests::Cold, true), (view.warm, false)],
    );
    let itl = panels(view, Metric::Itl, "ITL", &[(Requests::All, false)]);
    if ttft.is_empty() && itl.is_empty() {
        return Err(LeftOut {
            title: TITLE,
            reason: "no request has a value".to_owned(),
        });
    }
    let answer = answer(view);
    let sheets: Vec<(String, Vec<DistributionPanel>)> = if ttft.len().max(itl.len()) <= TOGETHER {
        vec![(TITLE.to_owned(), ttft.into_iter().chain(itl).collect())]
    } else {
        let parts = |panels: &[DistributionPanel], name: &str| {
            panels
                .chunks(PANELS)
                .map(|part| (format!("{TITLE}: {name}"), part.to_vec()))
                .collect::<Vec<_>>()
        };
        [
            parts(&ttft, "time to first token"),
            parts(&itl, "time between tokens"),
        ]
        .concat()
    };
    Ok(sheets
        .into_iter()
        .enumerate()
        .map(|(index, (title, panels))| Page {
            anchor: if index == 0 { super::DISTRIBUTION.to_owned() } else { format!("{}-{}", super::DISTRIBUTION, index + 1) },
            title,
            answer: answer.clone().filter(|_| index == 0),
            blocks: vec![Block::Chart(Box::new(Chart::Distribution(DistributionChart { quantity: Quantity::Seconds, panels })))],
            how_to_read: Some(
                "each curve is the share of requests (for ITL: of gaps between content events) at or below a value; markers stand at the median, the 90th and the \
                 99th percentile, as far as there are enough values to tell. The further left, the faster; the steeper, the steadier."
                    .to_owned(),
            ),
        })
        .collect())
}

fn panels(
    view: &View<'_>,
    metric: Metric,
    name: &str,
    kinds: &[(Requests, bool)],
) -> Vec<DistributionPanel> {
    view.measured()
        .filter_map(|experiment| {
            let mut curves = Vec::new();
            for (engine, mark) in view.engines(experiment) {
                for (requests, cold) in kinds {
                    if let Some(found) = engine.distribution(metric, *requests)
                        && !found.ecdf.is_empty()
                    {
                        curves.push(Curve {
                            engine: mark.clone(),
                            cold: *cold,
                            samples: found.ecdf.clone(),
                        });
                    }
                }
            }
            (!curves.is_empty()).then(|| DistributionPanel {
                title: experiment.label.clone(),
                metric: name.to_owned(),
                curves,
            })
        })
        .collect()
}

fn answer(view: &View<'_>) -> Option<String> {
    let experiment = view.central()?;
    let spread = view.engines(experiment).filter_map(|(engine, _)| {
        let summary = &engine.distribution(Metric::Ttft, view.warm)?.summary;
        Some(format!(
            "{} from {} to {}",
            view.short_name(engine.engine_id),
            quantity(summary.min, Quantity::Seconds),
            quantity(summary.max, Quantity::Seconds)
        ))
    });
    let spread: Vec<String> = spread.collect();
    (!spread.is_empty()).then(|| {
        format!(
            "TTFT of single {} requests, {}: {}.",
            super::words::requests(view.warm),
            experiment.label,
            spread.join(", ")
        )
    })
}
