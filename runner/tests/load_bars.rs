//! The request path under load, end to end on the paced engine: every planned request has its row, and the client's own error is printed.
//!
//! Only counts are asserted. Times are printed, because hosts differ; the paced engine says when it served, on the same clock.

mod support;

use schemas::row::{Outcome, Row};
use support::{Workshop, manifest, rows, stderr};

/// Open loop: 300 requests a second for 15 s.
const OPEN: &str = r#"
question = "Does the client keep up with 300 requests a second?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 256
reuse-count = 4500
query-length = 8
output-length = 16

[arrival.constant]
rate = "300/s"

[engine.paced]
kind = "builtin"
backend.local-cpu = { capacity = "1GB" }
paced = { base-latency = "50ms", time-per-output-token = "10ms" }
args = ["--max-batch", "2000"]

[trials]
at-least = 1
"#;

/// A thousand streams at once.
const MANY: &str = r#"
question = "Does the client hold a thousand streams at once?"
model = "builtin:tiny"

[workload.shared-context]
context-length = 256
reuse-count = 2000
query-length = 8
output-length = 64

[arrival.closed]
concurrency = 1000

[engine.paced]
kind = "builtin"
backend.local-cpu = { capacity = "1GB" }
paced = { base-latency = "50ms", time-per-output-token = "20ms" }
args = ["--max-batch", "2000"]

[trials]
at-least = 1
"#;

#[test]
fn open_loop_at_300_requests_a_second_loses_nothing() {
    run("open", OPEN, 4500);
}

#[test]
fn a_thousand_streams_at_once_lose_nothing() {
    let rows = run("many", MANY, 2000);
    assert!(
        most_at_once(&rows) >= 950,
        "at most {} at once",
        most_at_once(&rows)
    );
}

fn run(name: &str, scenario: &str, planned: usize) -> Vec<Row> {
    let workshop = Workshop::new();
    let file = workshop.scenario(name, scenario);
    let output = workshop.runner(&["--profile", "builtin", &file]);
    let folder = workshop.run_folder(name);
    let rows = rows(&folder);
    assert_eq!(rows.len(), planned, "{}", stderr(&output));
    let mut ids: Vec<u32> = rows.iter().map(|row| row.request_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), planned, "each request has one row");
    let failed: Vec<_> = rows
        .iter()
        .filter(|row| row.outcome != Outcome::Ok)
        .take(3)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", stderr(&output));

    let lateness = rows
        .iter()
        .filter_map(|row| Some(row.sent_ns?.saturating_sub(row.intended_ns)));
    let error = rows
        .iter()
        .filter_map(|row| Some(row.first_content_ns?.saturating_sub(row.served_first_ns?)));
    let client = manifest(&folder).client.expect("the client's own record");
    println!(
        "{name}: sent − intended p99 {:.3} ms; measured − served TTFT p99 {:.3} ms; client CPU {:.2} s, peak RSS {:.0} MB",
        p99_ms(lateness),
        p99_ms(error),
        client.cpu_ns as f64 / 1e9,
        client.peak_rss_bytes.unwrap_or_default() as f64 / 1e6
    );
    rows
}

fn p99_ms(values: impl Iterator<Item = u64>) -> f64 {
    let mut values: Vec<u64> = values.collect();
    assert!(!values.is_empty(), "there is nothing to say");
    values.sort_unstable();
    values[(values.len() - 1) * 99 / 100] as f64 / 1e6
}

/// Most requests in flight at the same moment.
fn most_at_once(rows: &[Row]) -> usize {
    let mut edges: Vec<(u64, i64)> = Vec::new();
    for row in rows {
        if let (Some(sent), Some(done)) = (row.sent_ns, row.done_ns) {
            edges.extend([(sent, 1), (done, -1)]);
        }
    }
    edges.sort_unstable();
    let mut now = 0;
    edges
        .iter()
        .map(|(_, change)| {
            now += change;
            now
        })
        .max()
        .unwrap_or(0) as usize
}
