//! `where`: an expectation names values as the scenario file declares them, also where a profile ran others in their place.

use schemas::scenario::Expect;
use serde_json::Value;

use crate::{
    analysis::ExperimentAnalysis,
    facts::Facts,
    verdict::{NotMeasuredCause, judge::NotMeasured},
};

/// Whether an experiment is one of those that an expectation is about.
pub(crate) fn matches(facts: &Facts<'_>, expect: &Expect, experiment: &ExperimentAnalysis) -> bool {
    expect.only_where.iter().all(|(key, declared)| {
        let used = as_used(facts, key, declared);
        experiment
            .point
            .get(key)
            .is_some_and(|found| text(found) == used)
    })
}

/// Why no experiment matches: it cannot run here, or there is no such value.
pub(crate) fn why_none(facts: &Facts<'_>, expect: &Expect, engine_id: u32) -> NotMeasured {
    let wanted: Vec<String> = expect
        .only_where
        .iter()
        .map(|(key, value)| format!("{key} {}", text(value)))
        .collect();
    let named = |what: &str| {
        expect
            .only_where
            .values()
            .any(|value| what.split_whitespace().any(|word| word == text(value)))
    };
    let skipped = facts
        .data
        .plan
        .skipped
        .iter()
        .find(|skipped| skipped.engine.is_none_or(|id| id == engine_id) && named(&skipped.what))
        .or_else(|| {
            facts.data.plan.skipped.iter().find(|skipped| {
                wanted.is_empty() && skipped.engine.is_none_or(|id| id == engine_id)
            })
        });
    match skipped {
        Some(skipped) => NotMeasured::new(
            NotMeasuredCause::Unsupported,
            format!("{} cannot run here: {}", skipped.what, skipped.reason),
        ),
        None if wanted.is_empty() => {
            NotMeasured::new(NotMeasuredCause::NotRun, "the plan has no experiment")
        }
        None => NotMeasured::new(
            NotMeasuredCause::NoMatch,
            format!("no experiment has {}", wanted.join(", ")),
        ),
    }
}

/// The value that ran in place of a declared one, as text.
fn as_used(facts: &Facts<'_>, key: &str, declared: &Value) -> String {
    let wanted = text(declared);
    let Some(substitution) = facts
        .data
        .plan
        .substitutions
        .iter()
        .find(|substitution| substitution.what == key)
    else {
        return wanted;
    };
    let list = |text: &str| text.split(',').map(|one| one.trim().to_owned()).collect();
    let (before, after): (Vec<String>, Vec<String>) =
        (list(&substitution.declared), list(&substitution.used));
    let scaled = matches!(key, "context-length" | "step");
    stand_in(&before, &after, &wanted, scaled).unwrap_or(wanted)
}

/// Lists of one length match in order. Where equal values have become one: of `scaled` lengths it is the value nearest to the declared one times the lists' common factor, of
/// capped values the declared one or the cap.
fn stand_in(before: &[String], after: &[String], wanted: &str, scaled: bool) -> Option<String> {
    let position = before.iter().position(|value| value == wanted)?;
    if before.len() == after.len() {
        return after.get(position).cloned();
    }
    let numbers = |values: &[String]| -> Option<Vec<f64>> {
        values.iter().map(|value| value.parse().ok()).collect()
    };
    let (declared, used) = (numbers(before)?, numbers(after)?);
    let largest = |values: &[f64]| values.iter().copied().max_by(f64::total_cmp);
    let (most_declared, most_used) = (largest(&declared)?, largest(&used)?);
    let target = if scaled {
        declared[position] * most_used / most_declared
    } else {
        declared[position].min(most_used)
    };
    let nearest = (0..used.len()).min_by(|&a, &b| {
        (used[a] - target)
            .abs()
            .total_cmp(&(used[b] - target).abs())
    })?;
    after.get(nearest).cloned()
}

/// A value as it stands in a list.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // 4096.0 and 4096 are one value.
        Value::Number(number) => number
            .as_f64()
            .map_or_else(|| number.to_string(), |number| number.to_string()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn lists_of_one_length_match_in_order() {
        let (before, after) = (list(&["8192", "16384"]), list(&["2048", "4096"]));
        assert_eq!(
            stand_in(&before, &after, "16384", true).as_deref(),
            Some("4096")
        );
        assert_eq!(stand_in(&before, &after, "9", true), None);
    }

    #[test]
    fn merged_lengths_match_by_the_common_factor() {
        let (before, after) = (list(&["100", "200", "8192"]), list(&["256", "4096"]));
        for (declared, used) in [("100", "256"), ("200", "256"), ("8192", "4096")] {
            assert_eq!(
                stand_in(&before, &after, declared, true).as_deref(),
                Some(used)
            );
        }
    }

    #[test]
    fn capped_values_match_themselves_or_the_cap() {
        let (before, after) = (list(&["5", "20", "30"]), list(&["5", "10"]));
        for (declared, used) in [("5", "5"), ("20", "10"), ("30", "10")] {
            assert_eq!(
                stand_in(&before, &after, declared, false).as_deref(),
                Some(used)
            );
        }
    }

    #[test]
    fn numbers_are_equal_however_they_are_written() {
        assert_eq!(
            text(&serde_json::json!(4096)),
            text(&serde_json::json!(4096.0))
        );
    }
}
