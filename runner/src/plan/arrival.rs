//! When requests are sent: offsets for open arrivals, a number in flight for closed ones.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Exp};
use schemas::{
    plan::{ArrivalPlan, PlannedRequest, Substitution},
    quantity::Duration,
    scenario::{Arrival, Closed, Scenario},
};

const NS_PER_S: f64 = 1e9;

/// The scenario's arrival, or what the profile makes of it.
pub(crate) fn choose(
    scenario: &Scenario,
    closed_arrivals: bool,
    profile_name: &str,
) -> (Arrival, Option<Substitution>) {
    let closed = Arrival::Closed(Closed { concurrency: 1 });
    match &scenario.arrival {
        None => (closed, None),
        Some(Arrival::Constant(constant)) if closed_arrivals => {
            let every = Duration(interval_ns(constant));
            let said = Substitution {
                what: "arrival".into(),
                declared: format!("one every {every}"),
                used: "the next when the last is done".into(),
                reason: format!("profile {profile_name}"),
            };
            (closed, Some(said))
        }
        Some(declared) => (declared.clone(), None),
    }
}

/// Offsets of every arrival in every trial, or the number in flight.
pub(crate) fn plan(
    arrival: &Arrival,
    requests: &[PlannedRequest],
    trials: u32,
    seed: u64,
    experiment: u32,
) -> ArrivalPlan {
    let arrivals = requests.last().map_or(0, |request| request.arrival + 1);
    match arrival {
        Arrival::Closed(closed) => ArrivalPlan::Closed {
            concurrency: closed.concurrency,
        },
        Arrival::Constant(constant) => {
            let interval = interval_ns(constant);
            let offsets: Vec<u64> = (0..u64::from(arrivals)).map(|i| i * interval).collect();
            ArrivalPlan::Open {
                kind: "constant".into(),
                offsets_ns: vec![offsets; trials as usize],
            }
        }
        Arrival::Poisson(poisson) => {
            let offsets_ns = (0..trials)
                .map(|trial| poisson_offsets(poisson.rate.0, arrivals, seed, experiment, trial))
                .collect();
            ArrivalPlan::Open {
                kind: "poisson".into(),
                offsets_ns,
            }
        }
    }
}

fn interval_ns(constant: &schemas::scenario::Constant) -> u64 {
    match (constant.interval, constant.rate) {
        (Some(interval), _) => interval.0,
        (None, Some(rate)) => (NS_PER_S / rate.0).round() as u64,
        // The reader refuses a constant arrival with neither.
        (None, None) => 0,
    }
}

fn poisson_offsets(rate: f64, arrivals: u32, seed: u64, experiment: u32, trial: u32) -> Vec<u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream((u64::from(experiment) << 32) | u64::from(trial));
    let Ok(gaps) = Exp::new(rate) else {
        return vec![0; arrivals as usize];
    };
    let mut at = 0.0;
    (0..arrivals)
        .map(|_| {
            at += gaps.sample(&mut random) * NS_PER_S;
            at.round() as u64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poisson_gaps_have_the_mean_asked_for_and_differ_by_trial() {
        let first = poisson_offsets(100.0, 10_000, 7, 0, 0);
        let again = poisson_offsets(100.0, 10_000, 7, 0, 0);
        let other = poisson_offsets(100.0, 10_000, 7, 0, 1);
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert!(first.is_sorted());
        let mean_ns = *first.last().unwrap() as f64 / 10_000.0;
        assert!((mean_ns - 1e7).abs() < 5e5, "mean gap {mean_ns} ns");
    }
}
