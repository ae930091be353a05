//! The rows of a run as columns: the shape of `requests.parquet`, of `replies.parquet` and of most of `requests.csv`.
//!
//! Column names are the row's field names; enums are their names; missing is null.

mod read;

use polars::prelude::*;

use crate::frame::{Frame, Request, kind_name, outcome_name, phase_name, token_count_name};

pub(crate) use read::frame_from;

/// A column that is not as this format says.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// Missing, or of another type.
    #[error(transparent)]
    Polars(#[from] PolarsError),
    /// Null where every row has a value.
    #[error("column `{0}` has no value in row {1}")]
    Null(&'static str, usize),
    /// A name that this format does not have.
    #[error("column `{0}` has the unknown value `{1}` in row {2}")]
    Unknown(&'static str, String, usize),
}

/// The numbers of a request by how they are stored.
macro_rules! for_each_number {
    ($apply:ident) => {
        $apply! {
            required u32: expr_id, experiment, trial, engine_id, request_id, context_id, turn, context_tokens, query_tokens,
                asked_output_tokens, reconnects;
            required u64: intended_ns;
            optional u32: planned_prompt_tokens, expected_cached_tokens, first_event_tokens, prompt_tokens, output_tokens, cached_tokens, http_status;
            optional u64: connect_ns, connected_ns, sent_ns, headers_ns, first_event_ns, first_content_ns, last_content_ns, done_ns,
                server_ttft_ns, server_queue_ns, served_first_ns, served_last_ns;
        }
    };
}
use for_each_number;

/// How a column's value in a row is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field {
    /// A number of 32 bits.
    U32(fn(&Request) -> Option<u32>),
    /// A number of 64 bits.
    U64(fn(&Request) -> Option<u64>),
    /// A name or a text.
    Text(fn(&Frame, usize) -> Option<&str>),
}

/// All columns of numbers and names with how their values are found, in the order of [`COLUMNS`].
pub(crate) fn fields() -> Vec<(&'static str, Field)> {
    let mut fields: Vec<(&'static str, Field)> = Vec::new();
    macro_rules! add {
        ($($need:ident $type:ident: $($field:ident),+;)+) => {
            $($(fields.push((stringify!($field), add!(@$type |request| add!(@$need request.$field))));)+)+
        };
        (@u32 $find:expr) => { Field::U32($find) };
        (@u64 $find:expr) => { Field::U64($find) };
        (@required $value:expr) => { Some($value) };
        (@optional $value:expr) => { $value };
    }
    for_each_number!(add);
    let texts: [(&'static str, Field); 8] = [
        (
            "kind",
            Field::Text(|frame, index| Some(kind_name(frame.requests[index].kind))),
        ),
        (
            "outcome",
            Field::Text(|frame, index| Some(outcome_name(frame.requests[index].outcome))),
        ),
        (
            "phase",
            Field::Text(|frame, index| frame.requests[index].phase.map(phase_name)),
        ),
        (
            "token_count",
            Field::Text(|frame, index| frame.requests[index].token_count.map(token_count_name)),
        ),
        (
            "engine",
            Field::Text(|frame, index| {
                let id = frame.requests[index].engine_id;
                frame.engine_names.get(&id).map(String::as_str)
            }),
        ),
        (
            "finish_reason",
            Field::Text(|frame, index| frame.finish_reasons.get(index)),
        ),
        (
            "text_hash",
            Field::Text(|frame, index| frame.text_hashes.get(index)),
        ),
        (
            "detail",
            Field::Text(|frame, index| frame.details.get(&index).map(String::as_str)),
        ),
    ];
    fields.extend(texts);
    fields.sort_by_key(|(name, _)| COLUMNS.iter().position(|column| column == name));
    fields
}

fn column(frame: &Frame, (name, field): (&'static str, Field)) -> Column {
    let requests = &frame.requests;
    match field {
        Field::U32(find) => Column::new(name.into(), requests.iter().map(find).collect::<Vec<_>>()),
        Field::U64(find) => Column::new(name.into(), requests.iter().map(find).collect::<Vec<_>>()),
        Field::Text(find) => Column::new(
            name.into(),
            (0..frame.len())
                .map(|index| find(frame, index))
                .collect::<Vec<_>>(),
        ),
    }
}

/// The columns of `requests.parquet` in order, `event_offsets_ns` apart, which comes last.
pub const COLUMNS: [&str; 39] = [
    "expr_id",
    "experiment",
    "trial",
    "engine_id",
    "engine",
    "request_id",
    "kind",
    "context_id",
    "turn",
    "context_tokens",
    "query_tokens",
    "asked_output_tokens",
    "planned_prompt_tokens",
    "expected_cached_tokens",
    "phase",
    "intended_ns",
    "connect_ns",
    "connected_ns",
    "sent_ns",
    "headers_ns",
    "first_event_ns",
    "first_content_ns",
    "last_content_ns",
    "done_ns",
    "first_event_tokens",
    "prompt_tokens",
    "output_tokens",
    "token_count",
    "cached_tokens",
    "server_ttft_ns",
    "server_queue_ns",
    "served_first_ns",
    "served_last_ns",
    "outcome",
    "detail",
    "http_status",
    "reconnects",
    "finish_reason",
    "text_hash",
];

/// `requests.parquet`: everything but the texts.
pub(crate) fn requests_table(frame: &Frame) -> PolarsResult<DataFrame> {
    let mut columns: Vec<Column> = fields()
        .into_iter()
        .map(|field| column(frame, field))
        .collect();
    let mut offsets = ListPrimitiveChunkedBuilder::<UInt64Type>::new(
        "event_offsets_ns".into(),
        frame.len(),
        frame.offset_count(),
        DataType::UInt64,
    );
    for index in 0..frame.len() {
        offsets.append_slice(frame.event_offsets_ns(index));
    }
    columns.push(offsets.finish().into_series().into_column());
    DataFrame::new(frame.len(), columns)
}

/// `replies.parquet`: the texts with the keys that join them to their requests.
pub(crate) fn replies_table(frame: &Frame) -> PolarsResult<DataFrame> {
    let key = |name: &str, value: fn(&Request) -> u32| {
        Column::new(
            name.into(),
            frame.requests.iter().map(value).collect::<Vec<_>>(),
        )
    };
    let columns = vec![
        key("expr_id", |request| request.expr_id),
        key("engine_id", |request| request.engine_id),
        key("request_id", |request| request.request_id),
        Column::new(
            "text".into(),
            (0..frame.len())
                .map(|index| frame.text(index))
                .collect::<Vec<_>>(),
        ),
    ];
    DataFrame::new(frame.len(), columns)
}
