//! How many cached tokens each request should report, by simulating the tiers (LRU by chunk) over the requests of a trial.

use std::collections::HashMap;

use schemas::plan::{EnginePlan, Experiment, Model};

/// Expected cached tokens per request, null where the backend promises nothing.
///
/// A lower bound: tokens of the chat template before the context are not counted, and only what certainly stands in a tier is expected.
/// `none` promises exactly 0.
pub(crate) fn expected(
    engine: &EnginePlan,
    experiment: &Experiment,
    model: &Model,
) -> Option<Vec<u32>> {
    if engine.baseline {
        return Some(vec![0; experiment.requests.len()]);
    }
    if !engine.promises_hits {
        return None;
    }
    let chunk = engine.chunk_tokens.max(1);
    let mut tiers: Vec<Lru> = engine
        .tiers
        .iter()
        .map(|tier| {
            let chunk_bytes = model
                .kv_bytes_per_token
                .map(|bytes| bytes * u64::from(chunk));
            let capacity = match (tier.capacity_bytes, chunk_bytes) {
                (Some(capacity), Some(bytes)) => (capacity / bytes.max(1)) as usize,
                _ => usize::MAX,
            };
            Lru::new(capacity)
        })
        .collect();

    let mut expected = Vec::with_capacity(experiment.requests.len());
    for request in &experiment.requests {
        let reusable = match experiment.workload.as_str() {
            // The reply's own KV is certain in no tier: only what stood as a prompt before is expected.
            "multi-turn" => request.context_tokens.saturating_sub(request.output_tokens),
            _ => request.context_tokens,
        };
        let ids: Vec<(u32, u32)> = (0..reusable / chunk)
            .map(|number| (request.context_id, number))
            .collect();
        let hit = ids
            .iter()
            .take_while(|id| tiers.iter().any(|tier| tier.contains(id)))
            .count();
        expected.push(hit as u32 * chunk);

        let stored_tokens = match experiment.workload.as_str() {
            "multi-turn" => request.context_tokens + request.query_tokens,
            _ => request.context_tokens,
        };
        for tier in &mut tiers {
            // From the end: under pressure a chunk without those before it is of no use, so the head is kept longest.
            for number in (0..stored_tokens / chunk).rev() {
                tier.touch((request.context_id, number));
            }
        }
    }
    Some(expected)
}

/// Least recently used, by chunk.
struct Lru {
    capacity: usize,
    clock: u64,
    last_use: HashMap<(u32, u32), u64>,
    by_use: std::collections::BTreeMap<u64, (u32, u32)>,
}

impl Lru {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            clock: 0,
            last_use: HashMap::new(),
            by_use: std::collections::BTreeMap::new(),
        }
    }

    fn contains(&self, id: &(u32, u32)) -> bool {
        self.last_use.contains_key(id)
    }

    fn touch(&mut self, id: (u32, u32)) {
        if self.capacity == 0 {
            return;
        }
        self.clock += 1;
        if let Some(before) = self.last_use.insert(id, self.clock) {
            self.by_use.remove(&before);
        }
        self.by_use.insert(self.clock, id);
        if self.last_use.len() > self.capacity
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.last_use.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_chunk_goes_first() {
        let mut lru = Lru::new(2);
        for number in [0, 1, 0, 2] {
            lru.touch((0, number));
        }
        assert!(lru.contains(&(0, 0)) && lru.contains(&(0, 2)) && !lru.contains(&(0, 1)));
    }

    proptest::proptest! {
        #[test]
        fn never_more_is_expected_than_stands_and_only_whole_chunks(
            uses in proptest::collection::vec((0_u32..6, 1_u32..5_000), 1..40),
            capacity in proptest::option::of(0_u64..4_000_000),
        ) {
            let mut longest: HashMap<u32, u32> = HashMap::new();
            let requests: Vec<_> = uses.iter().map(|(context, tokens)| planned(*context, *tokens)).collect();
            let expected = expected(&engine(capacity), &experiment(requests.clone()), &model()).unwrap();
            for (request, expected) in requests.iter().zip(expected) {
                let stood = longest.entry(request.context_id).or_default();
                proptest::prop_assert!(expected <= request.context_tokens.min(*stood));
                proptest::prop_assert_eq!(expected % 256, 0);
                if capacity.is_none() {
                    proptest::prop_assert_eq!(expected, request.context_tokens.min(*stood) / 256 * 256);
                }
                *stood = (*stood).max(request.context_tokens);
            }
        }
    }

    fn planned(context_id: u32, context_tokens: u32) -> schemas::plan::PlannedRequest {
        schemas::plan::PlannedRequest {
            request_id: 0,
            arrival: 0,
            kind: schemas::row::RequestKind::Reused,
            context_id,
            turn: 0,
            context_tokens,
            query_tokens: 16,
            output_tokens: 8,
            think_time_ns: None,
        }
    }

    fn experiment(requests: Vec<schemas::plan::PlannedRequest>) -> Experiment {
        Experiment {
            workload: "shared-context".into(),
            point: indexmap::IndexMap::new(),
            label: String::new(),
            context_tokens: 0,
            arrival: schemas::plan::ArrivalPlan::Closed { concurrency: 1 },
            requests,
            expected_cached_tokens: Vec::new(),
            skipped_engines: Vec::new(),
        }
    }

    fn engine(capacity_bytes: Option<u64>) -> EnginePlan {
        EnginePlan {
            name: "e".into(),
            kind: None,
            backend: String::new(),
            tiers: vec![schemas::plan::Tier {
                name: "local-cpu".into(),
                capacity_bytes,
                path: None,
            }],
            baseline: false,
            promises_hits: true,
            chunk_tokens: 256,
            paced: false,
            devices: 0,
            device_indices: Vec::new(),
            telltales: Vec::new(),
            launches: Vec::new(),
            attach: None,
        }
    }

    fn model() -> Model {
        Model {
            declared: String::new(),
            used: String::new(),
            served_name: String::new(),
            kv_bytes_per_token: Some(1024),
            max_length: None,
            dtype: None,
            random_weights: true,
            weights_missing: false,
        }
    }
}
