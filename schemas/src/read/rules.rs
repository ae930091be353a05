//! Rules with arithmetic, or over several tables, which a schema cannot say.

mod engine;
mod event;
mod expect;
mod workload;

use super::{args, names::Names, problem::Problems, tree::Node};
use crate::diagnostic::Diagnostic;

/// All rules of scenario files.
pub(super) fn scenario(root: &Node<'_>, names: &Names<'_>, problems: &mut Problems) {
    workload::check(root, problems);
    for engine in names.engines.iter().flatten() {
        engine::check(root, engine, problems);
    }
    for event in root.get("event").iter().flat_map(Node::elements) {
        event::check(&event, problems);
    }
    for expect in root.get("expect").iter().flat_map(Node::elements) {
        expect::check(root, names, &expect, problems);
    }
    trials(root, problems);
}

/// All rules of profile files.
pub(super) fn profile(root: &Node<'_>, problems: &mut Problems) {
    args::check(root, args::PROFILE_KEYS, problems);
    args::check_environment(root, problems);
    for (_, model) in root.get("model").iter().flat_map(Node::entries) {
        args::check(&model, args::PROFILE_KEYS, problems);
    }
}

fn trials(root: &Node<'_>, problems: &mut Problems) {
    let Some(trials) = root.get("trials") else {
        return;
    };
    let at_least = trials.get("at-least");
    // The default of the type, so that `at-most = 3` alone is judged as it will run.
    let least = at_least.as_ref().map_or(
        Some(i64::from(crate::scenario::Trials::default().at_least)),
        Node::integer,
    );
    let (Some(least), until) = (least, trials.get("until")) else {
        return;
    };
    if let (Some(_), Some(at_least), 1) = (&until, &at_least, least) {
        problems.relation(
            Diagnostic::error(
                at_least.span(),
                "`until` needs at least 2 trials to see a spread",
            )
            .with_hint("`at-least` is the pilot from which the number of trials is computed"),
        );
    }
    let Some(at_most) = trials.get("at-most") else {
        return;
    };
    let Some(most) = at_most.integer() else {
        return;
    };
    if most < least {
        let problem = Diagnostic::error(
            at_most.span(),
            format!("at most {most} trials, but at least {least}"),
        );
        problems.relation(match &at_least {
            Some(at_least) => problem.with_label(at_least.span(), "at least"),
            None => problem.with_hint(format!("`at-least` is {least} by default")),
        });
    }
}
