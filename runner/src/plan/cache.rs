//! How many cached tokens each request should report, by simulating the tiers (LRU by chunk) over the requests of a trial.

use std::collections::HashMap;

use schemas::plan::{EnginePlan, Experiment, Model};

/// Expected cached tokens per request, null where the backend promises nothing.
///
/// A lower bound: tokens of the chat template before the context are not counted, and only what certainly stands in a tier is expected.
/// `none` promises exactly 0.
pub fn expected(engine: &EnginePlan, experiment: &Experiment, model: &Model) -> Option<Vec<u32>> {
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
}
