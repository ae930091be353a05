//! `requests.csv`: the predecessor's ten columns first, under their names and in their units; all scalar fields of a row after them.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    ops::Range,
};

use rayon::prelude::*;
use schemas::sample::Sample;

use crate::{
    columns::{self, Field},
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

/// Rows of one piece of text, which one core makes.
const PIECE_ROWS: usize = 8192;
/// Pieces that are made before they are written: enough for every core, and not much memory.
const PIECES: usize = 16;

/// Writes `requests.csv`.
///
/// `timestamp` is the planned time in s since the first request of the same `expr_id` on the same engine, because engines are asked in turn and each
/// follows the same schedule; `gpu_memory` is a JSON object of each device's peak in MiB within that turn, `{}` without a device.
///
/// # Errors
/// The text cannot be written.
pub(crate) fn write(frame: &Frame, samples: &[Sample], to: &mut impl Write) -> io::Result<()> {
    let turns = turns(&frame.requests);
    let lines = Lines {
        frame,
        devices: device_memory(&turns, samples),
        turns,
        rest: columns::fields()
            .into_iter()
            .filter(|(name, _)| !PREDECESSOR.contains(name))
            .collect(),
    };
    let names = PREDECESSOR
        .into_iter()
        .chain(lines.rest.iter().map(|(name, _)| *name));
    writeln!(to, "{}", names.collect::<Vec<_>>().join(","))?;
    for from in (0..frame.len()).step_by(PIECE_ROWS * PIECES) {
        let pieces: Vec<Vec<u8>> = (0..PIECES)
            .into_par_iter()
            .map(|piece| {
                let first = from + piece * PIECE_ROWS;
                lines.text(first..(first + PIECE_ROWS).min(frame.len()))
            })
            .collect();
        pieces.iter().try_for_each(|piece| to.write_all(piece))?;
    }
    Ok(())
}

/// What a row's line is made of.
struct Lines<'a> {
    frame: &'a Frame,
    turns: HashMap<(u32, u32), (u64, u64)>,
    devices: HashMap<(u32, u32), String>,
    /// The columns after the predecessor's.
    rest: Vec<(&'static str, Field)>,
}

impl Lines<'_> {
    fn text(&self, rows: Range<usize>) -> Vec<u8> {
        let mut text = Vec::with_capacity(rows.len() * 400);
        for index in rows {
            self.line(&mut text, index);
        }
        text
    }

    fn line(&self, text: &mut Vec<u8>, index: usize) {
        let request = &self.frame.requests[index];
        let key = (request.expr_id, request.engine_id);
        let start = self
            .turns
            .get(&key)
            .map_or(request.intended_ns, |turn| turn.0);
        let whole = |text: &mut Vec<u8>, value: u32| number(text, Some(u64::from(value)));
        whole(text, request.expr_id);
        real(text, Some((request.intended_ns - start) as f64 / 1e9));
        whole(text, request.engine_id);
        whole(text, request.request_id);
        real(text, metrics::ttft_s(request));
        real(text, metrics::throughput(request));
        real(text, metrics::latency_s(request));
        whole(text, request.context_tokens);
        whole(text, request.query_tokens);
        let devices = self.devices.get(&key).map_or("{}", String::as_str);
        words(text, Some(devices));
        for (_, field) in &self.rest {
            match field {
                Field::U32(find) => number(text, find(request).map(u64::from)),
                Field::U64(find) => number(text, find(request)),
                Field::Text(find) => words(text, find(self.frame, index)),
            }
        }
        // The last cell's comma ends the line instead.
        if let Some(last) = text.last_mut() {
            *last = b'\n';
        }
    }
}

/// A cell with a whole number and its comma; empty where it is missing.
fn number(text: &mut Vec<u8>, value: Option<u64>) {
    if let Some(value) = value {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(&mut *text, &value);
    }
    text.push(b',');
}

/// A cell with a real number, in as few digits as read back to the same number.
fn real(text: &mut Vec<u8>, value: Option<f64>) {
    if let Some(value) = value {
        let _ = serde_json::to_writer(&mut *text, &value);
    }
    text.push(b',');
}

/// A cell with words, in quotes where it has to be; an empty text is told from a missing one by them.
fn words(text: &mut Vec<u8>, value: Option<&str>) {
    if let Some(value) = value {
        let quoted = value.is_empty()
            || value
                .bytes()
                .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
        if quoted {
            text.push(b'"');
            text.extend_from_slice(value.replace('"', "\"\"").as_bytes());
            text.push(b'"');
        } else {
            text.extend_from_slice(value.as_bytes());
        }
    }
    text.push(b',');
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn cells_read_back() {
        assert_eq!(cell(|text| number(text, Some(0))), "0,");
        assert_eq!(
            cell(|text| number(text, Some(u64::MAX))),
            "18446744073709551615,"
        );
        assert_eq!(cell(|text| number(text, None)), ",");
        assert_eq!(cell(|text| real(text, Some(0.1))), "0.1,");
        assert_eq!(cell(|text| real(text, Some(2.0))), "2.0,");
        assert_eq!(cell(|text| words(text, Some("plain"))), "plain,");
        assert_eq!(
            cell(|text| words(text, Some(r#"{"a": 1}"#))),
            r#""{""a"": 1}","#
        );
        assert_eq!(cell(|text| words(text, Some(""))), "\"\",");
        assert_eq!(cell(|text| words(text, None)), ",");
    }
}
