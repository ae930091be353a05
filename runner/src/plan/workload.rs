//! A workload becomes experiments: its matrix, and the requests of one trial at each point.

use indexmap::IndexMap;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use schemas::{
    plan::{ArrivalPlan, EnginePlan, Experiment, Model, PlannedRequest},
    quantity::Duration,
    row::RequestKind,
    scenario::{OneOrMany, Order, Workload},
};
use serde_json::{Value, json};

/// One point of the matrix: the scenario's key to its value here.
pub(crate) type Point = IndexMap<String, Value>;

/// Tokens that a chat template may add around a prompt; only used to see whether a prompt can fit a model.
const TEMPLATE_ROOM_TOKENS: u64 = 64;

/// All points of the matrix, the first key varying slowest.
pub(crate) fn points(workload: &Workload) -> Vec<Point> {
    let mut points = vec![Point::new()];
    for (key, values) in axes(workload) {
        points = points
            .iter()
            .flat_map(|point| {
                values.iter().map(move |value| {
                    let mut point = point.clone();
                    point.insert(key.to_owned(), value.clone());
                    point
                })
            })
            .collect();
    }
    points
}

fn axes(workload: &Workload) -> Vec<(&'static str, Vec<Value>)> {
    fn numbers(values: &OneOrMany<u32>) -> Vec<Value> {
        values.values().iter().map(|v| json!(v)).collect()
    }
    let mut axes = Vec::new();
    match workload {
        Workload::SharedContext(w) => {
            axes.push(("context-length", numbers(&w.context_length)));
            axes.push(("reuse-count", numbers(&w.reuse_count)));
            axes.push(("query-length", numbers(&w.query_length)));
            axes.push(("output-length", numbers(&w.output_length)));
            match (&w.working_set, &w.contexts) {
                (Some(set), _) => axes.push((
                    "working-set",
                    set.values().iter().map(|v| json!(v)).collect(),
                )),
                (None, Some(contexts)) => axes.push(("contexts", numbers(contexts))),
                (None, None) => {}
            }
        }
        Workload::GrowingContext(w) => {
            axes.push(("step", numbers(&w.step)));
            axes.push(("requests", numbers(&w.requests)));
            axes.push(("query-length", numbers(&w.query_length)));
            axes.push(("output-length", numbers(&w.output_length)));
        }
        Workload::MultiTurn(w) => {
            axes.push(("turns", numbers(&w.turns)));
            axes.push(("query-length", numbers(&w.query_length)));
            axes.push(("output-length", numbers(&w.output_length)));
            if let Some(conversations) = &w.conversations {
                axes.push(("conversations", numbers(conversations)));
            }
            if let Some(think) = &w.think_time {
                axes.push((
                    "think-time",
                    think
                        .values()
                        .iter()
                        .map(|v| json!(v.to_string()))
                        .collect(),
                ));
            }
        }
        Workload::MixedBatch(w) => {
            axes.push(("context-length", numbers(&w.context_length)));
            axes.push(("rounds", numbers(&w.rounds)));
            axes.push(("query-length", numbers(&w.query_length)));
            axes.push(("output-length", numbers(&w.output_length)));
        }
    }
    axes
}

/// The point's name in tables: what varies between experiments, or else its length.
pub(crate) fn label(workload: &Workload, point: &Point) -> String {
    let varying: Vec<&str> = axes(workload)
        .into_iter()
        .filter(|(_, values)| values.len() > 1)
        .map(|(key, _)| key)
        .collect();
    let keys = if varying.is_empty() {
        axes(workload)
            .into_iter()
            .take(1)
            .map(|(key, _)| key)
            .collect()
    } else {
        varying
    };
    let words = keys.iter().filter_map(|key| {
        let value = point.get(*key)?;
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some(format!(
            "{} {value}",
            key.strip_suffix("-length").unwrap_or(key)
        ))
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The requests of one trial at one point. Arrival and expectations of the cache are filled in by the caller.
///
/// # Errors
/// In words, when the model cannot take the longest prompt, or a working set cannot be computed.
pub(crate) fn experiment(
    workload: &Workload,
    point: &Point,
    engines: &[EnginePlan],
    model: &Model,
    seed: u64,
    index: u32,
) -> Result<Experiment, String> {
    let number = |key: &str| point.get(key).and_then(Value::as_u64).map(|v| v as u32);
    let query_tokens = number("query-length").unwrap_or(0);
    let output_tokens = number("output-length").unwrap_or(0);
    let mut draft = Draft {
        query_tokens,
        output_tokens,
        requests: Vec::new(),
    };
    match workload {
        Workload::SharedContext(w) => {
            let context = number("context-length").unwrap_or(0);
            let reuse = number("reuse-count").unwrap_or(1);
            let contexts = match point.get("working-set").and_then(Value::as_f64) {
                Some(multiple) => working_set_contexts(
                    multiple,
                    w.working_set_of.as_deref(),
                    context,
                    engines,
                    model,
                )?,
                None => number("contexts").unwrap_or(1),
            };
            draft.shared(context, reuse, contexts, w.order, seed, index);
        }
        Workload::GrowingContext(_) => {
            draft.growing(number("step").unwrap_or(0), number("requests").unwrap_or(0));
        }
        Workload::MultiTurn(_) => {
            let think = point
                .get("think-time")
                .and_then(Value::as_str)
                .and_then(|text| text.parse::<Duration>().ok());
            let conversations = number("conversations").unwrap_or(1);
            draft.conversations(
                number("turns").unwrap_or(1),
                conversations,
                think.map_or(0, |think| think.0),
            );
        }
        Workload::MixedBatch(_) => draft.mixed(
            number("context-length").unwrap_or(0),
            number("rounds").unwrap_or(0),
        ),
    }

    let context_tokens = draft
        .requests
        .iter()
        .map(|request| request.context_tokens)
        .max()
        .unwrap_or(0);
    let longest = u64::from(context_tokens)
        + u64::from(query_tokens)
        + u64::from(output_tokens)
        + TEMPLATE_ROOM_TOKENS;
    if let Some(max) = model.max_length.filter(|max| longest > u64::from(*max)) {
        return Err(format!(
            "{longest} tokens (context {context_tokens}, query {query_tokens}, output {output_tokens}, chat template up to \
             {TEMPLATE_ROOM_TOKENS}) are more than the {max} that {} takes",
            model.used
        ));
    }
    Ok(Experiment {
        workload: kind(workload).to_owned(),
        point: point.clone(),
        label: label(workload, point),
        context_tokens,
        arrival: ArrivalPlan::Closed { concurrency: 1 },
        requests: draft.requests,
        expected_cached_tokens: Vec::new(),
        skipped_engines: Vec::new(),
    })
}

fn kind(workload: &Workload) -> &'static str {
    match workload {
        Workload::SharedContext(_) => "shared-context",
        Workload::GrowingContext(_) => "growing-context",
        Workload::MultiTurn(_) => "multi-turn",
        Workload::MixedBatch(_) => "mixed-batch",
    }
}

/// How many contexts fill a multiple of a tier.
fn working_set_contexts(
    multiple: f64,
    of: Option<&str>,
    context_tokens: u32,
    engines: &[EnginePlan],
    model: &Model,
) -> Result<u32, String> {
    let of = of.unwrap_or_default();
    let capacity = of
        .split_once('.')
        .and_then(|(engine, tier)| {
            engines
                .iter()
                .find(|e| e.name == engine)?
                .tiers
                .iter()
                .find(|t| t.name == tier)
        })
        .and_then(|tier| tier.capacity_bytes)
        .ok_or_else(|| format!("the capacity of `{of}` is not known here"))?;
    let bytes_per_token = model
        .kv_bytes_per_token
        .ok_or_else(|| format!("the KV bytes per token of {} are not known", model.used))?;
    let per_context = u64::from(context_tokens) * bytes_per_token;
    Ok(((multiple * capacity as f64) / per_context as f64)
        .ceil()
        .max(1.0) as u32)
}

/// The requests of a trial while they are drawn up.
struct Draft {
    query_tokens: u32,
    output_tokens: u32,
    requests: Vec<PlannedRequest>,
}

impl Draft {
    fn push(&mut self, kind: RequestKind, context_id: u32, turn: u32, context_tokens: u32) {
        let arrival = self.requests.last().map_or(0, |last| last.arrival + 1);
        self.push_at(arrival, kind, context_id, turn, context_tokens, None);
    }

    fn push_at(
        &mut self,
        arrival: u32,
        kind: RequestKind,
        context_id: u32,
        turn: u32,
        context_tokens: u32,
        think_time_ns: Option<u64>,
    ) {
        self.requests.push(PlannedRequest {
            request_id: self.requests.len() as u32,
            arrival,
            kind,
            context_id,
            turn,
            context_tokens,
            query_tokens: self.query_tokens,
            output_tokens: self.output_tokens,
            think_time_ns,
        });
    }

    fn shared(
        &mut self,
        context: u32,
        reuse: u32,
        contexts: u32,
        order: Order,
        seed: u64,
        index: u32,
    ) {
        let mut sequence: Vec<u32> = match order {
            Order::Grouped => (0..contexts)
                .flat_map(|c| (0..reuse).map(move |_| c))
                .collect(),
            Order::RoundRobin | Order::Shuffled => (0..reuse).flat_map(|_| 0..contexts).collect(),
        };
        if order == Order::Shuffled {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(u64::from(index));
            sequence.shuffle(&mut random);
        }
        let mut uses = vec![0; contexts as usize];
        for context_id in sequence {
            let turn = uses[context_id as usize];
            uses[context_id as usize] += 1;
            let kind = if turn == 0 {
                RequestKind::Cold
            } else {
                RequestKind::Reused
            };
            self.push(kind, context_id, turn, context);
        }
    }

    /// a, 2a, 2a, 3a, 3a, …: every second request has grown.
    fn growing(&mut self, step: u32, requests: u32) {
        for i in 0..requests {
            let kind = match i {
                0 => RequestKind::Cold,
                _ if i % 2 == 1 => RequestKind::Grown,
                _ => RequestKind::Reused,
            };
            self.push(kind, 0, i, step * (1 + i.div_ceil(2)));
        }
    }

    fn conversations(&mut self, turns: u32, conversations: u32, think_time_ns: u64) {
        for conversation in 0..conversations {
            for turn in 0..turns {
                let kind = if turn == 0 {
                    RequestKind::Cold
                } else {
                    RequestKind::Grown
                };
                let said = turn * (self.query_tokens + self.output_tokens);
                self.push_at(
                    conversation,
                    kind,
                    conversation,
                    turn,
                    said,
                    (turn > 0).then_some(think_time_ns),
                );
            }
        }
    }

    /// The first document once; then each round: the same again, a fresh one alone, and the first with a fresh one as one step.
    fn mixed(&mut self, context: u32, rounds: u32) {
        self.push(RequestKind::Cold, 0, 0, context);
        let (mut fresh, mut uses) = (1, 1);
        for _ in 0..rounds {
            self.push(RequestKind::Reused, 0, uses, context);
            self.push(RequestKind::Cold, fresh, 0, context);
            let step = self.requests.last().map_or(0, |last| last.arrival + 1);
            self.push_at(step, RequestKind::Batched, 0, uses + 1, context, None);
            self.push_at(step, RequestKind::Batched, fresh + 1, 0, context, None);
            fresh += 2;
            uses += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            query_tokens: 16,
            output_tokens: 8,
            requests: Vec::new(),
        }
    }

    #[test]
    fn growing_contexts_follow_a_2a_2a_3a_3a() {
        let mut draft = draft();
        draft.growing(100, 6);
        let lengths: Vec<u32> = draft.requests.iter().map(|r| r.context_tokens).collect();
        assert_eq!(lengths, [100, 200, 200, 300, 300, 400]);
        assert_eq!(draft.requests[1].kind, RequestKind::Grown);
        assert_eq!(draft.requests[2].kind, RequestKind::Reused);
    }

    #[test]
    fn every_order_uses_each_context_equally_and_only_its_first_use_is_cold() {
        for order in [Order::Grouped, Order::RoundRobin, Order::Shuffled] {
            let mut draft = draft();
            draft.shared(512, 4, 5, order, 3, 0);
            assert_eq!(draft.requests.len(), 20);
            for context in 0..5 {
                let uses: Vec<_> = draft
                    .requests
                    .iter()
                    .filter(|r| r.context_id == context)
                    .collect();
                assert_eq!(uses.len(), 4);
                assert_eq!(uses[0].kind, RequestKind::Cold);
                assert!(uses[1..].iter().all(|r| r.kind == RequestKind::Reused));
            }
        }
    }

    #[test]
    fn a_mixed_step_is_one_arrival_of_two_requests() {
        let mut draft = draft();
        draft.mixed(512, 2);
        let batched: Vec<_> = draft
            .requests
            .iter()
            .filter(|r| r.kind == RequestKind::Batched)
            .collect();
        assert_eq!(batched.len(), 4);
        assert_eq!(batched[0].arrival, batched[1].arrival);
        assert_ne!(batched[1].arrival, batched[2].arrival);
    }

    #[test]
    fn turns_of_a_conversation_carry_what_was_said() {
        let mut draft = draft();
        draft.conversations(3, 2, 5);
        let said: Vec<u32> = draft.requests.iter().map(|r| r.context_tokens).collect();
        assert_eq!(said, [0, 24, 48, 0, 24, 48]);
        assert_eq!(draft.requests[3].think_time_ns, None);
        assert_eq!(draft.requests[4].think_time_ns, Some(5));
    }
}
