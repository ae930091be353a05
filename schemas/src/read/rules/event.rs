//! Rules of one event.

use crate::{
    diagnostic::Diagnostic,
    read::{problem::Problems, tree::Node},
};

pub(super) fn check(event: &Node<'_>, problems: &mut Problems) {
    let Some(hold) = event.get("hold").filter(|hold| hold.truth() == Some(true)) else {
        return;
    };
    for action in ["kill", "pause", "corrupt"] {
        if let Some(node) = event.get(action) {
            problems.relation(
                Diagnostic::error(
                    hold.key_span(),
                    format!("`hold` cannot wait for the end of `{action}`"),
                )
                .with_label(node.key_span(), "after this nothing becomes ready again")
                .with_hint("`hold` goes with `restart` or `resume`"),
            );
        }
    }
}
