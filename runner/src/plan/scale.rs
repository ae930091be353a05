//! Brings a workload down to a profile's limits, and says so.

use schemas::{
    plan::Substitution,
    profile::Limits,
    scenario::{OneOrMany, Workload},
};

/// Contexts stay whole chunks of this many tokens when they are scaled.
const CHUNK: u32 = 256;

/// The workload with every value within the limits.
pub(crate) fn apply(
    workload: &Workload,
    limits: &Limits,
    profile: &str,
    substitutions: &mut Vec<Substitution>,
) -> Workload {
    let mut workload = workload.clone();
    let mut note = |what: &str, before: &OneOrMany<u32>, after: &OneOrMany<u32>| {
        if before != after {
            substitutions.push(Substitution {
                what: what.into(),
                declared: list(before),
                used: list(after),
                reason: format!("profile {profile}"),
            });
        }
    };
    let mut cap = |what: &str, value: &mut OneOrMany<u32>, most: Option<u32>| {
        if let Some(most) = most {
            let before = value.clone();
            *value = map(value, |v| v.min(most));
            note(what, &before, value);
        }
    };
    match &mut workload {
        Workload::SharedContext(w) => {
            cap("reuse-count", &mut w.reuse_count, limits.reuse_count);
            cap("output-length", &mut w.output_length, limits.output_length);
            if let Some(contexts) = &mut w.contexts {
                cap("contexts", contexts, limits.contexts);
            }
            let before = w.context_length.clone();
            scale(&mut w.context_length, limits.context_length, 1);
            note("context-length", &before, &w.context_length);
        }
        Workload::GrowingContext(w) => {
            cap("output-length", &mut w.output_length, limits.output_length);
            let growths = w
                .requests
                .values()
                .iter()
                .max()
                .map_or(1, |requests| 1 + requests / 2);
            let before = w.step.clone();
            scale(&mut w.step, limits.context_length, growths);
            note("step", &before, &w.step);
        }
        Workload::MultiTurn(w) => {
            cap("turns", &mut w.turns, limits.contexts);
            cap("output-length", &mut w.output_length, limits.output_length);
            if let Some(conversations) = &mut w.conversations {
                cap("conversations", conversations, limits.contexts);
            }
        }
        Workload::MixedBatch(w) => {
            cap("rounds", &mut w.rounds, limits.contexts);
            cap("output-length", &mut w.output_length, limits.output_length);
            let before = w.context_length.clone();
            scale(&mut w.context_length, limits.context_length, 1);
            note("context-length", &before, &w.context_length);
        }
    }
    workload
}

/// Scales all lengths by one factor so that `multiple` times the longest fits, in whole chunks; equal ones become one.
fn scale(lengths: &mut OneOrMany<u32>, limit: Option<u32>, multiple: u32) {
    let longest = lengths
        .values()
        .iter()
        .max()
        .copied()
        .unwrap_or(0)
        .saturating_mul(multiple);
    let Some(limit) = limit.filter(|limit| longest > *limit) else {
        return;
    };
    let chunk = CHUNK.min(limit);
    let mut scaled: Vec<u32> = Vec::new();
    for length in lengths.values() {
        let exact = u64::from(*length) * u64::from(limit) / u64::from(longest);
        let whole = ((exact as u32) / chunk * chunk).max(chunk);
        if !scaled.contains(&whole) {
            scaled.push(whole);
        }
    }
    *lengths = match (&lengths, scaled.as_slice()) {
        (OneOrMany::One(_), [one]) => OneOrMany::One(*one),
        _ => OneOrMany::Many(scaled),
    };
}

fn map(value: &OneOrMany<u32>, f: impl Fn(u32) -> u32) -> OneOrMany<u32> {
    match value {
        OneOrMany::One(v) => OneOrMany::One(f(*v)),
        OneOrMany::Many(values) => {
            let mut mapped: Vec<u32> = Vec::new();
            for v in values {
                let v = f(*v);
                if !mapped.contains(&v) {
                    mapped.push(v);
                }
            }
            OneOrMany::Many(mapped)
        }
    }
}

fn list(values: &OneOrMany<u32>) -> String {
    values
        .values()
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_scale_by_one_factor_in_whole_chunks() {
        let mut lengths = OneOrMany::Many(vec![8192, 16384, 24576]);
        scale(&mut lengths, Some(4096), 1);
        assert_eq!(lengths.values(), [1280, 2560, 4096]);
    }

    #[test]
    fn contexts_within_the_limit_stay() {
        let mut lengths = OneOrMany::Many(vec![1000, 4096]);
        scale(&mut lengths, Some(4096), 1);
        assert_eq!(lengths.values(), [1000, 4096]);
    }

    #[test]
    fn the_longest_growth_fits() {
        let mut step = OneOrMany::One(12288);
        scale(&mut step, Some(4096), 2);
        assert_eq!(step, OneOrMany::One(2048));
    }
}
