//! Made-up runs for tests: two engines, one experiment, trials that interleave, and times that a person can work out by hand.

use indexmap::IndexMap;
use schemas::{
    manifest::{ClientRecord, Ending, Heartbeat, Host, Manifest, ProcessRecord},
    plan::{
        ArrivalPlan, EnginePlan, Experiment, FORMAT, Model, Plan, PlannedRequest, Tier, TrialPlan,
    },
    profile::Residency,
    row::{Outcome, RequestKind, Row, TokenCount},
    sample::{Counter, Edge},
    scenario::{Bound, EngineKind, Expect, Metric, OneOrMany, Requests, Statistic},
};

use crate::folder::RunData;

/// One second.
pub(crate) const S: u64 = 1_000_000_000;
/// One millisecond.
pub(crate) const MS: u64 = 1_000_000;
/// Length of every context, in tokens.
pub(crate) const CONTEXT: u32 = 4096;
/// What the plan expects of a reused request, in tokens: 15 whole chunks of 256.
pub(crate) const EXPECTED: u32 = 3840;

/// A run of `lmcache` (host memory) and `baseline` (nothing), asked in turn, one request after the other.
pub(crate) struct MadeUp {
    pub plan: Plan,
    pub manifest: Manifest,
    pub rows: Vec<Row>,
    pub counters: Vec<Counter>,
    pub events: Vec<schemas::plan::Happened>,
}

impl MadeUp {
    /// So many trials of one cold and two reused requests each. TTFT of a cold one is 1 s, of a reused one 100 ms (`lmcache`) or 400 ms (`baseline`).
    pub(crate) fn new(trials: u32) -> Self {
        Self::with_reused(&vec![(100 * MS, 400 * MS); trials as usize])
    }

    /// One trial for each pair: TTFT of reused requests of `lmcache` and of `baseline`.
    pub(crate) fn with_reused(trials: &[(u64, u64)]) -> Self {
        let mut rows = Vec::new();
        for (trial, times) in (0u32..).zip(trials) {
            for (engine_id, reused_ns) in [(0u32, times.0), (1, times.1)] {
                for request_id in 0..3u32 {
                    let ttft_ns = if request_id == 0 { S } else { reused_ns };
                    let slot = u64::from(trial * 6 + engine_id * 3 + request_id);
                    rows.push(row(trial, engine_id, request_id, slot * 10 * S, ttft_ns));
                }
            }
        }
        Self {
            plan: plan(trials.len() as u32),
            manifest: manifest(trials.len() as u32),
            rows,
            counters: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn data(self) -> RunData {
        RunData {
            scenario_text: "question = \"?\"\n".to_owned(),
            plan: self.plan,
            manifest: self.manifest,
            frame: self.rows.into_iter().collect(),
            samples: Vec::new(),
            counters: self.counters,
            events: self.events,
            notes: Vec::new(),
        }
    }

    pub(crate) fn analyse(self) -> crate::analysis::Analysis {
        crate::analyse(&self.data())
    }

    /// Changes every row of an engine.
    pub(crate) fn each(mut self, engine_id: u32, change: impl FnMut(&mut Row)) -> Self {
        self.rows
            .iter_mut()
            .filter(|row| row.engine_id == engine_id)
            .for_each(change);
        self
    }

    pub(crate) fn expect(mut self, expect: Expect) -> Self {
        self.plan.expectations.push(expect);
        self
    }

    /// A counter of `lmcache` that moves by `delta` in its first trial.
    pub(crate) fn counted(mut self, name: &str, delta: f64) -> Self {
        for (edge, value) in [(Edge::Before, 1000.0), (Edge::After, 1000.0 + delta)] {
            self.counters.push(Counter {
                at_ns: if edge == Edge::Before { 0 } else { 30 * S },
                subject: "lmcache".to_owned(),
                experiment: 0,
                trial: 0,
                edge,
                name: name.to_owned(),
                labels: String::new(),
                value,
            });
        }
        self
    }

    /// The same heartbeat in every turn.
    pub(crate) fn heartbeat(mut self, p99_ns: u64, worst_ns: u64) -> Self {
        let heartbeat = self.rows.iter().filter(|row| row.request_id == 0);
        self.manifest.client = Some(ClientRecord {
            cpu_ns: S,
            peak_rss_bytes: Some(50_000_000),
            heartbeat: heartbeat
                .map(|row| Heartbeat {
                    expr_id: row.expr_id,
                    engine_id: row.engine_id,
                    worst_ns: worst_ns.into(),
                    p99_ns: p99_ns.into(),
                    thread_cpu_ns: S,
                    wall_ns: 10 * S,
                })
                .collect(),
        });
        self
    }
}

/// An expectation on the TTFT of reused requests of `lmcache`, relative to `baseline`.
pub(crate) fn expect(at_most: f64) -> Expect {
    Expect {
        metric: Metric::Ttft,
        engine: OneOrMany::One("lmcache".to_owned()),
        requests: Requests::Reused,
        phase: None,
        tier: None,
        statistic: Statistic::Median,
        only_where: IndexMap::new(),
        profile: None,
        relative_to: Some("baseline".to_owned()),
        relative_to_requests: None,
        at_most: Some(Bound::Number(at_most)),
        at_least: None,
    }
}

/// A process of the run that ended at 15 s, in the first turn.
pub(crate) fn process(name: &str, expected: Option<bool>) -> ProcessRecord {
    ProcessRecord {
        name: name.to_owned(),
        command: vec![name.to_owned()],
        pid: None,
        started_by: None,
        handed_to: None,
        started_ns: 0,
        ready_ns: Some(0),
        stopping_ns: None,
        ended_ns: Some(15 * S),
        ending: Some("signal 9".to_owned()),
        expected,
        last_lines: vec!["the end".to_owned()],
    }
}

fn kind(request_id: u32) -> RequestKind {
    if request_id == 0 {
        RequestKind::Cold
    } else {
        RequestKind::Reused
    }
}

/// A request sent 0.1 ms late, with 11 content events 10 ms apart, one token each.
fn row(trial: u32, engine_id: u32, request_id: u32, intended_ns: u64, ttft_ns: u64) -> Row {
    let sent_ns = intended_ns + MS / 10;
    let first_ns = sent_ns + ttft_ns;
    let cached = if engine_id == 0 && request_id > 0 {
        EXPECTED
    } else {
        0
    };
    Row {
        expr_id: trial,
        experiment: 0,
        trial,
        engine_id,
        engine: ["lmcache", "baseline"][engine_id as usize].to_owned(),
        request_id,
        kind: kind(request_id),
        context_id: 0,
        turn: request_id,
        context_tokens: CONTEXT,
        query_tokens: 16,
        asked_output_tokens: 11,
        planned_prompt_tokens: Some(CONTEXT + 16 + 20),
        expected_cached_tokens: Some(cached),
        phase: None,
        intended_ns,
        connect_ns: None,
        connected_ns: None,
        sent_ns: Some(sent_ns),
        headers_ns: Some(sent_ns + MS),
        first_event_ns: Some(first_ns),
        first_content_ns: Some(first_ns),
        last_content_ns: Some(first_ns + 100 * MS),
        done_ns: Some(first_ns + 101 * MS),
        event_offsets_ns: (0..11).map(|event| ttft_ns + event * 10 * MS).collect(),
        first_event_tokens: Some(1),
        prompt_tokens: Some(CONTEXT + 16 + 20),
        output_tokens: Some(11),
        token_count: Some(TokenCount::Usage),
        cached_tokens: Some(cached),
        server_ttft_ns: None,
        server_queue_ns: None,
        served_first_ns: None,
        served_last_ns: None,
        outcome: Outcome::Ok,
        detail: None,
        http_status: Some(200),
        reconnects: 0,
        finish_reason: Some("length".to_owned()),
        text: Some(format!("words of request {request_id}")),
        text_hash: Some(format!("hash-{request_id}")),
    }
}

fn engine(name: &str, tiers: &[&str]) -> EnginePlan {
    EnginePlan {
        name: name.to_owned(),
        kind: Some(EngineKind::Builtin),
        backend: if tiers.is_empty() {
            "none".to_owned()
        } else {
            tiers.join(" + ")
        },
        tiers: tiers
            .iter()
            .map(|tier| Tier {
                name: (*tier).to_owned(),
                capacity_bytes: None,
                path: None,
            })
            .collect(),
        baseline: tiers.is_empty(),
        promises_hits: !tiers.is_empty(),
        chunk_tokens: 256,
        paced: false,
        devices: 0,
        device_indices: Vec::new(),
        telltales: Vec::new(),
        launches: Vec::new(),
        attach: None,
    }
}

fn plan(trials: u32) -> Plan {
    Plan {
        format: FORMAT,
        scenario: "made-up".to_owned(),
        question: "Does it pay?".to_owned(),
        profile: "builtin".to_owned(),
        seed: 1,
        model: Model {
            declared: "builtin:small".to_owned(),
            used: "builtin:small".to_owned(),
            served_name: "small".to_owned(),
            kv_bytes_per_token: Some(1000),
            max_length: None,
            dtype: None,
            random_weights: false,
            weights_missing: false,
        },
        residency: Residency::Resident,
        engines: vec![engine("lmcache", &["local-cpu"]), engine("baseline", &[])],
        experiments: vec![Experiment {
            workload: "shared-context".to_owned(),
            point: IndexMap::from([("context-length".to_owned(), serde_json::json!(CONTEXT))]),
            label: "context 4096".to_owned(),
            context_tokens: CONTEXT,
            arrival: ArrivalPlan::Closed { concurrency: 1 },
            requests: (0..3)
                .map(|request_id| PlannedRequest {
                    request_id,
                    arrival: request_id,
                    kind: kind(request_id),
                    context_id: 0,
                    turn: request_id,
                    context_tokens: CONTEXT,
                    query_tokens: 16,
                    output_tokens: 11,
                    think_time_ns: None,
                })
                .collect(),
            expected_cached_tokens: vec![Some(vec![0, EXPECTED, EXPECTED]), Some(vec![0, 0, 0])],
            skipped_engines: Vec::new(),
        }],
        trials: TrialPlan {
            at_least: trials,
            at_most: trials,
            until: None,
        },
        substitutions: Vec::new(),
        skipped: Vec::new(),
        expectations: Vec::new(),
        events: Vec::new(),
        goodput: None,
        warnings: Vec::new(),
        ready_timeout_ns: S,
        request_timeout_ns: S,
    }
}

fn manifest(trials: u32) -> Manifest {
    Manifest {
        format: FORMAT,
        run_id: "2026-01-01T00-00-00Z".to_owned(),
        scenario_path: "scenarios/made-up.toml".to_owned(),
        profile: "builtin".to_owned(),
        profile_reason: "--profile".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        ended: Some(format!("2026-01-01T00:{:02}:00Z", trials.min(59))),
        started_monotonic_ns: 0,
        ending: Some(Ending::Complete),
        version: "0.1.0".to_owned(),
        versions: IndexMap::new(),
        host: Host {
            name: None,
            system: None,
            processor: None,
            cores: Some(2),
            memory_bytes: None,
            gpus: Vec::new(),
            driver: None,
        },
        git_commit: None,
        command_line: vec!["runner".to_owned()],
        salt_nonce: String::new(),
        prompt_fingerprint: None,
        processes: Vec::new(),
        client: None,
        warnings: Vec::new(),
        telltales: Vec::new(),
    }
}
