//! Counters of the engine and their Prometheus text, under vLLM's names wherever the meaning is the same.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::tiers::TierKind;

/// A number that only grows, or that is set.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many of something there are now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, change: i64) {
        self.0.fetch_add(change, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Numbers of one tier.
#[derive(Debug, Default)]
pub(crate) struct TierMetrics {
    pub(crate) capacity_bytes: Number,
    pub(crate) used_bytes: Number,
    pub(crate) hit_tokens: Number,
    pub(crate) stored_chunks: Number,
    pub(crate) evicted_chunks: Number,
    pub(crate) read_bytes: Number,
    pub(crate) written_bytes: Number,
    pub(crate) checksum_failures: Number,
    pub(crate) io_errors: Number,
}

/// Upper bounds of the TTFT histogram in seconds; those of vLLM.
const TTFT_BOUNDS: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];

/// All numbers of an engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    model: String,
    pub(crate) prompt_tokens: Number,
    pub(crate) generation_tokens: Number,
    pub(crate) prefix_queries: Number,
    pub(crate) prefix_hits: Number,
    pub(crate) external_queries: Number,
    pub(crate) external_hits: Number,
    pub(crate) running: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) stopped_requests: Number,
    pub(crate) full_length_requests: Number,
    pub(crate) kv_blocks: Number,
    pub(crate) kv_blocks_used: Number,
    pub(crate) kv_bytes_per_token: Number,
    pub(crate) weight_bytes: Number,
    ttft_buckets: [Number; TTFT_BOUNDS.len()],
    ttft_count: Number,
    ttft_sum_ns: Number,
    tiers: [TierMetrics; 3],
}

impl Metrics {
    pub(crate) fn new(model: &str) -> Self {
        Self {
            // As label values are written in the text format.
            model: model
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n"),
            prompt_tokens: Number::default(),
            generation_tokens: Number::default(),
            prefix_queries: Number::default(),
            prefix_hits: Number::default(),
            external_queries: Number::default(),
            external_hits: Number::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            stopped_requests: Number::default(),
            full_length_requests: Number::default(),
            kv_blocks: Number::default(),
            kv_blocks_used: Number::default(),
            kv_bytes_per_token: Number::default(),
            weight_bytes: Number::default(),
            ttft_buckets: Default::default(),
            ttft_count: Number::default(),
            ttft_sum_ns: Number::default(),
            tiers: Default::default(),
        }
    }

    pub(crate) fn tier(&self, kind: TierKind) -> &TierMetrics {
        match kind {
            TierKind::Prefix => &self.tiers[0],
            TierKind::LocalCpu => &self.tiers[1],
            TierKind::LocalDisk => &self.tiers[2],
        }
    }

    /// Counts the tokens that a prompt was looked up for and where they were found.
    pub(crate) fn count_lookup(&self, lookup: &Lookup) {
        self.prompt_tokens.add(lookup.prompt_tokens);
        let [prefix, cpu, disk] = lookup.hit_tokens;
        for (kind, hits) in TierKind::ALL.into_iter().zip(lookup.hit_tokens) {
            self.tier(kind).hit_tokens.add(hits);
        }
        if lookup.asked_prefix {
            self.prefix_queries.add(lookup.prompt_tokens);
            self.prefix_hits.add(prefix);
        }
        if lookup.asked_local {
            self.external_queries.add(lookup.prompt_tokens - prefix);
            self.external_hits.add(cpu + disk);
        }
    }

    /// Counts the time from a request's arrival to its first token.
    pub(crate) fn observe_ttft_ns(&self, ttft_ns: u64) {
        let seconds = ttft_ns as f64 / 1e9;
        for (bucket, bound) in self.ttft_buckets.iter().zip(TTFT_BOUNDS) {
            if seconds <= bound {
                bucket.add(1);
            }
        }
        self.ttft_count.add(1);
        self.ttft_sum_ns.add(ttft_ns);
    }

    /// The Prometheus text exposition of all numbers.
    pub(crate) fn render(&self) -> String {
        let mut page = Page {
            text: String::new(),
            model: &self.model,
        };
        page.counter(
            "vllm:prompt_tokens_total",
            "Prompt tokens of scheduled requests.",
            &self.prompt_tokens,
        );
        page.counter(
            "vllm:generation_tokens_total",
            "Generated tokens.",
            &self.generation_tokens,
        );
        page.counter(
            "vllm:prefix_cache_queries_total",
            "Tokens looked up in the tier prefix.",
            &self.prefix_queries,
        );
        page.counter(
            "vllm:prefix_cache_hits_total",
            "Tokens found in the tier prefix.",
            &self.prefix_hits,
        );
        page.counter(
            "vllm:external_prefix_cache_queries_total",
            "Tokens looked up in the tiers local-cpu and local-disk.",
            &self.external_queries,
        );
        page.counter(
            "vllm:external_prefix_cache_hits_total",
            "Tokens found in the tiers local-cpu and local-disk.",
            &self.external_hits,
        );
        page.gauge(
            "vllm:num_requests_running",
            "Requests being computed.",
            self.running.get(),
        );
        page.gauge(
            "vllm:num_requests_waiting",
            "Requests waiting in line.",
            self.waiting.get(),
        );
        let usage = self.kv_blocks_used.get() as f64 / self.kv_blocks.get().max(1) as f64;
        page.gauge(
            "vllm:kv_cache_usage_perc",
            "Share of the engine's KV blocks in use, 1 is all.",
            usage,
        );
        page.head(
            "vllm:request_success_total",
            "counter",
            "Finished requests.",
        );
        for (reason, number) in [
            ("stop", &self.stopped_requests),
            ("length", &self.full_length_requests),
        ] {
            page.line(
                "vllm:request_success_total",
                &format!(",finished_reason=\"{reason}\""),
                number.get(),
            );
        }
        let name = "vllm:time_to_first_token_seconds";
        page.head(name, "histogram", "Time from arrival to the first token.");
        for (bucket, bound) in self.ttft_buckets.iter().zip(TTFT_BOUNDS) {
            page.line(
                &format!("{name}_bucket"),
                &format!(",le=\"{bound:?}\""),
                bucket.get(),
            );
        }
        page.line(
            &format!("{name}_bucket"),
            ",le=\"+Inf\"",
            self.ttft_count.get(),
        );
        page.line(
            &format!("{name}_sum"),
            "",
            self.ttft_sum_ns.get() as f64 / 1e9,
        );
        page.line(&format!("{name}_count"), "", self.ttft_count.get());
        let per_token = self.kv_bytes_per_token.get();
        page.gauge(
            "builtin:kv_bytes_per_token",
            "Bytes of KV cache of one token.",
            per_token,
        );
        page.gauge(
            "builtin:weight_bytes",
            "Bytes of the weights in memory.",
            self.weight_bytes.get(),
        );
        self.render_tiers(&mut page);
        page.text
    }

    fn render_tiers(&self, page: &mut Page<'_>) {
        type Of = fn(&TierMetrics) -> &Number;
        let rows: [(&str, &str, &str, Of); 9] = [
            (
                "capacity_bytes",
                "gauge",
                "Bytes that the tier may keep.",
                |tier| &tier.capacity_bytes,
            ),
            (
                "used_bytes",
                "gauge",
                "Bytes that the tier keeps, those being written included.",
                |tier| &tier.used_bytes,
            ),
            (
                "hit_tokens_total",
                "counter",
                "Prompt tokens found in the tier.",
                |tier| &tier.hit_tokens,
            ),
            ("stored_chunks_total", "counter", "Chunks stored.", |tier| {
                &tier.stored_chunks
            }),
            (
                "evicted_chunks_total",
                "counter",
                "Chunks evicted.",
                |tier| &tier.evicted_chunks,
            ),
            ("read_bytes_total", "counter", "Bytes read.", |tier| {
                &tier.read_bytes
            }),
            ("written_bytes_total", "counter", "Bytes written.", |tier| {
                &tier.written_bytes
            }),
            (
                "checksum_failures_total",
                "counter",
                "Damaged chunks found.",
                |tier| &tier.checksum_failures,
            ),
            (
                "io_errors_total",
                "counter",
                "Files that could not be read or written.",
                |tier| &tier.io_errors,
            ),
        ];
        for (name, kind, help, number) in rows {
            let name = format!("builtin:tier_{name}");
            page.head(&name, kind, help);
            for tier in TierKind::ALL
                .into_iter()
                .filter(|tier| self.tier(*tier).capacity_bytes.get() > 0)
            {
                page.line(
                    &name,
                    &format!(",tier=\"{}\"", tier.name()),
                    number(self.tier(tier)).get(),
                );
            }
        }
    }
}

/// Where the tokens of one prompt were looked up and found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lookup {
    pub(crate) prompt_tokens: u64,
    pub(crate) asked_prefix: bool,
    pub(crate) asked_local: bool,
    /// By tier, near to far.
    pub(crate) hit_tokens: [u64; 3],
}

impl Lookup {
    /// Notes that a tier had so many tokens.
    pub(crate) fn hit(&mut self, kind: TierKind, tokens: usize) {
        self.hit_tokens[kind as usize] += tokens as u64;
    }

    /// Tokens found anywhere.
    pub(crate) fn cached_tokens(&self) -> u64 {
        self.hit_tokens.iter().sum()
    }
}

struct Page<'a> {
    text: String,
    model: &'a str,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}").unwrap_or_default();
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        writeln!(
            self.text,
            "{name}{{model_name=\"{}\"{labels}}} {value}",
            self.model
        )
        .unwrap_or_default();
    }

    fn counter(&mut self, name: &str, help: &str, number: &Number) {
        self.head(name, "counter", help);
        self.line(name, "", number.get());
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, "gauge", help);
        self.line(name, "", value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_values_under_vllms_names() {
        let metrics = Metrics::new("m");
        let mut lookup = Lookup {
            prompt_tokens: 1000,
            asked_prefix: true,
            asked_local: true,
            ..Lookup::default()
        };
        lookup.hit(TierKind::Prefix, 256);
        lookup.hit(TierKind::LocalDisk, 512);
        metrics.count_lookup(&lookup);
        metrics.observe_ttft_ns(30_000_000);
        metrics.tier(TierKind::LocalDisk).capacity_bytes.set(1);
        let page = metrics.render();
        for line in [
            "vllm:prefix_cache_queries_total{model_name=\"m\"} 1000",
            "vllm:prefix_cache_hits_total{model_name=\"m\"} 256",
            "vllm:external_prefix_cache_queries_total{model_name=\"m\"} 744",
            "vllm:external_prefix_cache_hits_total{model_name=\"m\"} 512",
            "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.02\"} 0",
            "vllm:time_to_first_token_seconds_bucket{model_name=\"m\",le=\"0.04\"} 1",
            "vllm:time_to_first_token_seconds_sum{model_name=\"m\"} 0.03",
            "builtin:tier_hit_tokens_total{model_name=\"m\",tier=\"local-disk\"} 512",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "{line} is not in\n{page}"
            );
        }
        assert!(!page.contains("tier=\"local-cpu\""));
    }
}
