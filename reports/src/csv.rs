//! `requests.csv`: the predecessor's ten columns first, under their names and in their units; all scalar fields of a row after them.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::*;
use schemas::sample::Sample;

use crate::{
    columns::scalar_columns,
    frame::{Frame, Request},
    metrics,
};

/// The columns that scripts written for the predecessor read.
pub const PREDECESSOR: [&str; 10] = [
    "expr_id",
    "timestamp",
    "engine_id",
    "request_id",
    "TTFT",
    "throughput",
    "latency",
    "context_len",
    "query_len",
    "gpu_memory",
];

/// Device memory may be read this long before a turn's first or after its last stamp and still be the turn's: two sampling periods.
const SAMPLING_SLACK_NS: u64 = 200_000_000;
const BYTES_PER_MIB: u64 = 1 << 20;

/// The table behind `requests.csv`.
///
/// `timestamp` is the planned time in s since the first request of the same `expr_id` on the same engine, because engines are asked in turn and each
/// follows the same schedule; `gpu_memory` is a JSON object of each device's peak in MiB within that turn, `{}` without a device.
pub(crate) fn table(frame: &Frame, samples: &[Sample]) -> PolarsResult<DataFrame> {
    let requests = &frame.requests;
    let turns = turns(requests);
    let devices = device_memory(&turns, samples);
    let key = |request: &Request| (request.expr_id, request.engine_id);
    let number = |name: &str, value: fn(&Request) -> u32| {
        Column::new(name.into(), requests.iter().map(value).collect::<Vec<_>>())
    };
    let metric = |name: &str, value: fn(&Request) -> Option<f64>| {
        Column::new(name.into(), requests.iter().map(value).collect::<Vec<_>>())
    };
    let timestamps: Vec<f64> = requests
        .iter()
        .map(|request| {
            let start = turns
                .get(&key(request))
                .map_or(request.intended_ns, |turn| turn.0);
            (request.intended_ns - start) as f64 / 1e9
        })
        .collect();
    let memory: Vec<&str> = requests
        .iter()
        .map(|request| devices.get(&key(request)).map_or("{}", String::as_str))
        .collect();
    let mut columns = vec![
        number("expr_id", |request| request.expr_id),
        Column::new("timestamp".into(), timestamps),
        number("engine_id", |request| request.engine_id),
        number("request_id", |request| request.request_id),
        metric("TTFT", metrics::ttft_s),
        metric("throughput", metrics::throughput),
        metric("latency", metrics::latency_s),
        number("context_len", |request| request.context_tokens),
        number("query_len", |request| request.query_tokens),
        Column::new("gpu_memory".into(), memory),
    ];
    columns.extend(
        scalar_columns(frame)
            .into_iter()
            .filter(|column| !PREDECESSOR.contains(&column.name().as_str())),
    );
    DataFrame::new(frame.len(), columns)
}

/// First intended and last known stamp of each (expr_id, engine_id).
fn turns(requests: &[Request]) -> HashMap<(u32, u32), (u64, u64)> {
    let mut turns = HashMap::new();
    for request in requests {
        let last = request.done_ns.unwrap_or(request.intended_ns);
        let turn = turns
            .entry((request.expr_id, request.engine_id))
            .or_insert((request.intended_ns, last));
        turn.0 = turn.0.min(request.intended_ns);
        turn.1 = turn.1.max(last);
    }
    turns
}

/// `{"gpu-0": MiB}` for each turn in which a device was read.
fn device_memory(
    turns: &HashMap<(u32, u32), (u64, u64)>,
    samples: &[Sample],
) -> HashMap<(u32, u32), String> {
    let mut devices: Vec<(u64, &str, u64)> = samples
        .iter()
        .filter(|sample| is_device(&sample.subject))
        .filter_map(|sample| {
            Some((
                sample.at_ns,
                sample.subject.as_str(),
                sample.gpu_memory_bytes?,
            ))
        })
        .collect();
    if devices.is_empty() {
        return HashMap::new();
    }
    devices.sort_unstable();
    turns
        .iter()
        .map(|(key, (from, to))| {
            let first = devices.partition_point(|found| found.0 + SAMPLING_SLACK_NS < *from);
            let mut peaks = BTreeMap::new();
            for (_, subject, bytes) in devices[first..]
                .iter()
                .take_while(|found| found.0 <= to + SAMPLING_SLACK_NS)
            {
                let peak = peaks.entry(*subject).or_insert(0);
                *peak = (*bytes).max(*peak);
            }
            let entries: Vec<String> = peaks
                .iter()
                .map(|(subject, bytes)| format!("\"{subject}\": {}", bytes / BYTES_PER_MIB))
                .collect();
            (*key, format!("{{{}}}", entries.join(", ")))
        })
        .collect()
}

/// Whether a sampled subject is a whole device: `gpu-0`.
pub(crate) fn is_device(subject: &str) -> bool {
    subject.strip_prefix("gpu-").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
