//! Rules of one expectation: whether what it asks for can be measured in this scenario at all.

use crate::{
    diagnostic::Diagnostic,
    quantity::{Bytes, Duration, Rate},
    read::{
        names::Names,
        nearest::{listed, nearest},
        problem::Problems,
        text::comparable,
        tree::Node,
    },
};

pub(super) fn check(
    root: &Node<'_>,
    names: &Names<'_>,
    expect: &Node<'_>,
    problems: &mut Problems,
) {
    denominators(expect, problems);
    bounds(expect, problems);
    condition(root, expect, problems);
    tier(names, expect, problems);
    requests(root, expect, problems);
    if let Some(phase) = expect.get("phase").filter(|_| root.get("event").is_none()) {
        problems.relation(
            Diagnostic::error(
                phase.key_span(),
                "`phase` needs an event, and this file has none",
            )
            .with_hint("write an [[event]], or leave out `phase`"),
        );
    }
    if let Some(metric) = expect
        .get("metric")
        .filter(|metric| metric.text() == Some("goodput"))
        && root.get("goodput").is_none()
    {
        problems.relation(
            Diagnostic::error(
                metric.span(),
                "`goodput` needs limits, and this file has no [goodput]",
            )
            .with_hint("write [goodput] with `ttft`, `itl`, `tpot` or `latency`"),
        );
    }
}

/// A ratio of something to itself says nothing.
fn denominators(expect: &Node<'_>, problems: &mut Problems) {
    if let Some(other) = expect.get("relative-to")
        && let Some(same) = expect
            .get("engine")
            .iter()
            .flat_map(Node::values)
            .find(|engine| engine.text().is_some() && engine.text() == other.text())
    {
        problems.relation(
            Diagnostic::error(other.span(), "an engine is compared with itself")
                .with_label(same.span(), "the same engine"),
        );
    }
    if let Some(other) = expect
        .get("relative-to-requests")
        .filter(|other| other.text().is_some())
    {
        let requests = expect.get("requests");
        let own = requests.as_ref().map_or(Some("reused"), Node::text);
        if own == other.text() {
            let problem = Diagnostic::error(other.span(), "requests are compared with themselves");
            problems.relation(match requests {
                Some(requests) => problem.with_label(requests.span(), "the same requests"),
                None => problem.with_hint("`requests` is \"reused\" by default"),
            });
        }
    }
}

/// What a bound on a metric has to be.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Ratio,
    Share,
    Duration,
    Size,
    Rate,
}

impl Unit {
    fn of(metric: &str, relative: bool) -> Option<Self> {
        Some(match metric {
            // Relative to another engine it is the share of texts equal to that engine's, still a share.
            "outputs-equal" => Self::Share,
            "ttft" | "itl" | "tpot" | "latency" | "throughput" | "goodput" | "gpu-memory"
            | "rss" | "completed" | "cached-fraction"
                if relative =>
            {
                Self::Ratio
            }
            "ttft" | "itl" | "tpot" | "latency" => Self::Duration,
            "throughput" | "goodput" => Self::Rate,
            "gpu-memory" | "rss" => Self::Size,
            "completed" | "cached-fraction" => Self::Share,
            _ => return None,
        })
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Ratio => "a ratio: a number without a unit, like 0.5",
            Self::Share => "a share: a number from 0 to 1",
            Self::Duration => Duration::EXPECTED,
            Self::Size => Bytes::EXPECTED,
            Self::Rate => "a rate with its unit, like \"100/s\"",
        }
    }

    /// The bound in the unit's base; `None` where it is of another unit.
    fn value(self, bound: &Node<'_>) -> Option<f64> {
        match self {
            Self::Ratio => bound.number(),
            Self::Share => bound.number().filter(|share| (0.0..=1.0).contains(share)),
            Self::Duration => bound.text()?.parse().ok().map(|Duration(ns)| ns as f64),
            Self::Size => bound.text()?.parse().ok().map(|Bytes(bytes)| bytes as f64),
            Self::Rate => bound.text()?.parse().ok().map(|Rate(rate)| rate),
        }
    }
}

fn bounds(expect: &Node<'_>, problems: &mut Problems) {
    let Some(metric) = expect.get("metric") else {
        return;
    };
    let relative =
        expect.get("relative-to").is_some() || expect.get("relative-to-requests").is_some();
    let Some(unit) = metric.text().and_then(|metric| Unit::of(metric, relative)) else {
        return;
    };
    let mut limits = [None, None];
    for (limit, key) in limits.iter_mut().zip(["at-least", "at-most"]) {
        let Some(bound) = expect
            .get(key)
            .filter(|bound| !problems.any_in(&bound.span()))
        else {
            continue;
        };
        match unit.value(&bound) {
            Some(value) => *limit = Some((value, bound)),
            None => {
                let name = metric.text().unwrap_or_default();
                let mut problem = Diagnostic::error(
                    bound.span(),
                    format!("the bound on `{name}` is {}", unit.expected()),
                )
                .with_label(metric.span(), "the metric");
                if !relative && bound.number().is_some() && unit != Unit::Share {
                    problem = problem.with_hint(
                        "for a ratio, say to what: `relative-to` or `relative-to-requests`",
                    );
                } else if relative {
                    problem = problem.with_hint("with `relative-to` or `relative-to-requests` the bound is on the ratio of the two");
                }
                problems.relation(problem);
            }
        }
    }
    if let [Some((least, at_least)), Some((most, at_most))] = limits
        && least > most
    {
        problems.relation(
            Diagnostic::error(
                at_most.span(),
                "nothing is at least the one and at most the other",
            )
            .with_label(at_least.span(), "more than `at-most`"),
        );
    }
}

/// `where` names a key of the workload and a value that it takes.
fn condition(root: &Node<'_>, expect: &Node<'_>, problems: &mut Problems) {
    let Some(condition) = expect.get("where") else {
        return;
    };
    let Some(workload) = root.get("workload") else {
        return;
    };
    let kinds = workload.entries();
    let [(kind, keys)] = kinds.as_slice() else {
        return;
    };
    for (key, wanted) in condition.entries() {
        let Some(values) = keys.get(key).filter(|_| varies(key)) else {
            let known: Vec<&str> = keys
                .entries()
                .into_iter()
                .map(|(known, _)| known)
                .filter(|known| varies(known))
                .collect();
            let mut problem = Diagnostic::error(
                wanted.key_span(),
                format!("[workload.{kind}] of this file has no `{key}`"),
            );
            if let Some(near) = nearest(key, known.iter().copied()) {
                problem = problem.with_caret(format!("did you mean `{near}`?"));
            }
            problems.relation(problem.with_hint(format!("it has {}", listed(known, "and"))));
            continue;
        };
        let Some(sought) = comparable(&wanted) else {
            continue;
        };
        let taken = values.values();
        if !taken
            .iter()
            .any(|value| comparable(value).as_ref() == Some(&sought))
        {
            problems.relation(
                Diagnostic::error(wanted.span(), format!("`{key}` never has this value"))
                    .with_label(values.span(), "its values")
                    .with_hint("no experiment would be looked at"),
            );
        }
    }
}

/// Whether a key of a workload distinguishes experiments.
fn varies(key: &str) -> bool {
    !matches!(key, "working-set-of" | "order")
}

/// `tier` is one of each engine that is asked.
fn tier(names: &Names<'_>, expect: &Node<'_>, problems: &mut Problems) {
    let Some(tier) = expect.get("tier") else {
        return;
    };
    let Some(wanted) = tier.text() else { return };
    for engine in expect.get("engine").iter().flat_map(Node::values) {
        let Some(facts) = engine.text().and_then(|name| names.engine(name)) else {
            continue;
        };
        if facts.has_tier(wanted) != Some(false) {
            continue;
        }
        let tiers: Vec<&str> = facts
            .tiers
            .iter()
            .flatten()
            .map(|tier| tier.name.as_str())
            .collect();
        let mut problem = Diagnostic::error(
            tier.span(),
            format!("engine `{}` has no tier `{wanted}`", facts.name),
        );
        if let Some(near) = nearest(wanted, tiers.iter().copied()) {
            problem = problem.with_caret(format!("did you mean \"{near}\"?"));
        }
        let hint = if tiers.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", listed(tiers, "and"))
        };
        problems.relation(problem.with_hint(hint));
    }
}

/// The workload makes requests of the kind that is asked for.
fn requests(root: &Node<'_>, expect: &Node<'_>, problems: &mut Problems) {
    let Some(workload) = root.get("workload") else {
        return;
    };
    let kinds = workload.entries();
    let [(kind, keys)] = kinds.as_slice() else {
        return;
    };
    let once = || {
        keys.get("reuse-count").is_some_and(|count| {
            count
                .values()
                .iter()
                .all(|count| count.integer() == Some(1))
        })
    };
    let never = |wanted: &str| match (wanted, *kind) {
        ("batched", "shared-context" | "growing-context" | "multi-turn") => true,
        ("grown", "shared-context" | "mixed-batch") => true,
        ("reused", "shared-context") => once(),
        // From the second turn on a conversation has grown.
        ("reused", "multi-turn") => true,
        _ => false,
    };
    for key in ["requests", "relative-to-requests"] {
        if let Some(node) = expect.get(key)
            && let Some(wanted) = node.text().filter(|wanted| never(wanted))
        {
            problems.relation(
                Diagnostic::error(
                    node.span(),
                    format!("[workload.{kind}] of this file makes no {wanted} requests"),
                )
                .with_hint("nothing would be measured"),
            );
        }
    }
    let counts_requests = expect
        .get("metric")
        .and_then(|metric| metric.text())
        .is_some_and(|metric| !matches!(metric, "gpu-memory" | "rss" | "goodput"));
    if expect.get("requests").is_none() && counts_requests && never("reused") {
        let problem = Diagnostic::error(
            expect.span(),
            format!("[workload.{kind}] of this file makes no reused requests"),
        )
        .with_hint("`requests` is \"reused\" by default: write \"cold\", \"grown\" or \"all\"");
        problems.relation(match keys.get("reuse-count") {
            Some(count) => problem.with_label(count.span(), "only the first, which is cold"),
            None => problem,
        });
    }
}
