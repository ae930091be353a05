//! Rules of one engine: what its kind, its backend and its settings allow each other.

use crate::{
    diagnostic::Diagnostic,
    read::{args, engines::EngineFacts, nearest::listed, problem::Problems, tree::Node},
};

/// Names that rows and samples use for something else.
const RESERVED: [&str; 3] = ["runner", "gpu", "host"];

pub(super) fn check(root: &Node<'_>, engine: &EngineFacts<'_>, problems: &mut Problems) {
    name(engine, problems);
    model(root, engine, problems);
    lmcache(engine, problems);
    paced(engine, problems);
    attached(engine, problems);
    args::check(&engine.node, args::SCENARIO_KEYS, problems);
    args::check_environment(&engine.node, problems);
}

fn name(engine: &EngineFacts<'_>, problems: &mut Problems) {
    let numbered = engine
        .name
        .strip_prefix("gpu-")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()));
    if RESERVED.contains(&engine.name) || numbered {
        problems.relation(
            Diagnostic::error(
                engine.node.key_span(),
                format!("an engine cannot be called `{}`", engine.name),
            )
            .with_hint("the run's samples use this name for something else"),
        );
    }
}

/// vLLM cannot run a model that is built into another engine.
fn model(root: &Node<'_>, engine: &EngineFacts<'_>, problems: &mut Problems) {
    let Some(model) = root.get("model") else {
        return;
    };
    let Some(name) = model.text().filter(|name| name.starts_with("builtin:")) else {
        return;
    };
    if let (Some("vllm"), Some(kind)) = (engine.kind, engine.node.get("kind")) {
        problems.relation(
            Diagnostic::error(kind.span(), format!("vLLM has no model `{name}`"))
                .with_label(model.span(), "the built-in engine's")
                .with_hint("name a model of a hub or a directory, or leave out `kind`"),
        );
    }
}

fn lmcache(engine: &EngineFacts<'_>, problems: &mut Problems) {
    let Some(lmcache) = engine.node.get("lmcache").filter(|_| !engine.attached) else {
        return;
    };
    let refusal = if engine.kind == Some("builtin") {
        "the built-in engine keeps its tiers itself"
    } else if engine.none {
        "`backend.none` has no cache at all"
    } else if engine.uses_lmcache() == Some(false) {
        "no tier of this engine is LMCache's"
    } else {
        return;
    };
    problems.relation(
        Diagnostic::error(
            lmcache.key_span(),
            format!("`lmcache` cannot be set on `{}`", engine.name),
        )
        .with_hint(refusal),
    );
}

fn paced(engine: &EngineFacts<'_>, problems: &mut Problems) {
    let Some(paced) = engine.node.get("paced").filter(|_| !engine.attached) else {
        return;
    };
    if engine.kind != Some("builtin") {
        let problem = Diagnostic::error(paced.key_span(), "only the built-in engine can be paced")
            .with_hint("add `kind = \"builtin\"`: a profile could make another engine of it");
        problems.relation(match engine.node.get("kind") {
            Some(kind) => problem.with_label(kind.span(), "the kind"),
            None => problem,
        });
    }
    let Some(bandwidths) = paced.get("load-bytes-per-second") else {
        return;
    };
    for (tier, node) in bandwidths.entries() {
        if engine.has_tier(tier) == Some(false) {
            let tiers: Vec<&str> = engine
                .tiers
                .iter()
                .flatten()
                .map(|tier| tier.name.as_str())
                .collect();
            let hint = if tiers.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has {}", listed(tiers, "and"))
            };
            problems.relation(
                Diagnostic::error(
                    node.key_span(),
                    format!("`{}` has no tier `{tier}`", engine.name),
                )
                .with_hint(hint),
            );
        }
    }
}

fn attached(engine: &EngineFacts<'_>, problems: &mut Problems) {
    let Some(url) = engine.node.at(&["attach", "url"]) else {
        return;
    };
    let Some(text) = url.text() else { return };
    if text.trim_end_matches('/').ends_with("/v1") {
        let base = text.trim_end_matches('/').trim_end_matches("/v1");
        problems.relation(
            Diagnostic::error(url.span(), "the base URL goes without `/v1`")
                .with_caret(format!("write \"{base}\"")),
        );
    }
}
