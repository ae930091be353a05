//! The rows of a run as data-frame columns and back: the shape of `requests.parquet` and `replies.parquet`.
//!
//! Column names are the row's field names; enums are their names; missing is null.

use std::collections::btree_map::Entry;

use polars::prelude::*;

use crate::frame::{
    Frame, Request, kind_from, kind_name, outcome_from, outcome_name, phase_from, phase_name,
    token_count_from, token_count_name,
};

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

/// Columns of all numbers and names of the rows, in the order of [`COLUMNS`].
pub(crate) fn scalar_columns(frame: &Frame) -> Vec<Column> {
    let requests = &frame.requests;
    let mut columns = Vec::new();
    macro_rules! write {
        ($($_need:ident $_type:ty: $($field:ident),+;)+) => {
            $($(columns.push(Column::new(
                stringify!($field).into(),
                requests.iter().map(|request| request.$field).collect::<Vec<_>>(),
            ));)+)+
        };
    }
    for_each_number!(write);
    let names = |name: &str, value: fn(&Request) -> Option<&'static str>| {
        Column::new(name.into(), requests.iter().map(value).collect::<Vec<_>>())
    };
    columns.push(names("kind", |request| Some(kind_name(request.kind))));
    columns.push(names("outcome", |request| {
        Some(outcome_name(request.outcome))
    }));
    columns.push(names("phase", |request| request.phase.map(phase_name)));
    columns.push(names("token_count", |request| {
        request.token_count.map(token_count_name)
    }));
    columns.push(Column::new(
        "engine".into(),
        requests
            .iter()
            .map(|request| {
                frame
                    .engine_names
                    .get(&request.engine_id)
                    .map(String::as_str)
            })
            .collect::<Vec<_>>(),
    ));
    columns.push(texts("finish_reason", &frame.finish_reasons));
    columns.push(texts("text_hash", &frame.text_hashes));
    columns.push(Column::new(
        "detail".into(),
        (0..frame.len())
            .map(|index| frame.details.get(&index).map(String::as_str))
            .collect::<Vec<_>>(),
    ));
    columns.sort_by_key(|column| {
        COLUMNS
            .iter()
            .position(|name| *name == column.name().as_str())
    });
    columns
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
    let mut columns = scalar_columns(frame);
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

/// The rows of `requests.parquet`, and of `replies.parquet` where it is there (its rows are in the same order).
pub(crate) fn frame_from(
    requests: &DataFrame,
    replies: Option<&DataFrame>,
) -> Result<Frame, ColumnError> {
    let n = requests.height();
    let mut frame = Frame::of_numbers(numbers(requests)?);
    let name_at = |column: &'static str, index: usize, found: Option<&str>| {
        found
            .map(str::to_owned)
            .ok_or(ColumnError::Null(column, index))
    };
    let kinds = requests.column("kind")?.str()?.clone();
    let outcomes = requests.column("outcome")?.str()?.clone();
    let counts = requests.column("token_count")?.str()?.clone();
    let engines = requests.column("engine")?.str()?.clone();
    let details = requests.column("detail")?.str()?.clone();
    for (index, (((kind, outcome), (count, engine)), detail)) in kinds
        .iter()
        .zip(outcomes.iter())
        .zip(counts.iter().zip(engines.iter()))
        .zip(details.iter())
        .enumerate()
    {
        let request = &mut frame.requests[index];
        request.kind = named("kind", kind, index, kind_from)?;
        request.outcome = named("outcome", outcome, index, outcome_from)?;
        request.token_count = match count {
            None => None,
            some => Some(named("token_count", some, index, token_count_from)?),
        };
        if let Entry::Vacant(place) = frame.engine_names.entry(request.engine_id) {
            place.insert(name_at("engine", index, engine)?);
        }
        if let Some(detail) = detail {
            frame.details.insert(index, detail.to_owned());
        }
    }
    // Tables of earlier versions lack it.
    if let Ok(phases) = requests.column("phase") {
        for (index, phase) in phases.str()?.iter().enumerate() {
            frame.requests[index].phase = match phase {
                None => None,
                some => Some(named("phase", some, index, phase_from)?),
            };
        }
    }
    frame.finish_reasons = owned(requests, "finish_reason")?;
    frame.text_hashes = owned(requests, "text_hash")?;
    let offsets = requests.column("event_offsets_ns")?.list()?;
    let mut buffer = Vec::new();
    for list in offsets.amortized_iter() {
        buffer.clear();
        if let Some(list) = &list {
            buffer.extend(list.as_ref().u64()?.iter().flatten());
        }
        frame.push_offsets(&buffer);
    }
    if let Some(replies) = replies.filter(|replies| replies.height() == n) {
        frame.texts = owned(replies, "text")?;
    }
    Ok(frame)
}

fn numbers(table: &DataFrame) -> Result<Vec<Request>, ColumnError> {
    let mut requests = vec![BLANK; table.height()];
    macro_rules! read {
        ($($need:ident $type:ident: $($field:ident),+;)+) => {
            $($(
                let column = table.column(stringify!($field))?.$type()?;
                for (index, value) in column.iter().enumerate() {
                    requests[index].$field = read!(@$need stringify!($field), value, index);
                }
            )+)+
        };
        (@required $name:expr, $value:ident, $index:ident) => {
            $value.ok_or(ColumnError::Null($name, $index))?
        };
        (@optional $name:expr, $value:ident, $index:ident) => { $value };
    }
    for_each_number!(read);
    Ok(requests)
}

/// What a request is before its columns are read; every field is overwritten.
const BLANK: Request = Request {
    expr_id: 0,
    experiment: 0,
    trial: 0,
    engine_id: 0,
    request_id: 0,
    kind: schemas::row::RequestKind::Cold,
    context_id: 0,
    turn: 0,
    context_tokens: 0,
    query_tokens: 0,
    asked_output_tokens: 0,
    planned_prompt_tokens: None,
    expected_cached_tokens: None,
    phase: None,
    intended_ns: 0,
    connect_ns: None,
    connected_ns: None,
    sent_ns: None,
    headers_ns: None,
    first_event_ns: None,
    first_content_ns: None,
    last_content_ns: None,
    done_ns: None,
    first_event_tokens: None,
    prompt_tokens: None,
    output_tokens: None,
    token_count: None,
    cached_tokens: None,
    server_ttft_ns: None,
    server_queue_ns: None,
    served_first_ns: None,
    served_last_ns: None,
    outcome: schemas::row::Outcome::NotSent,
    http_status: None,
    reconnects: 0,
};

fn named<T>(
    column: &'static str,
    value: Option<&str>,
    index: usize,
    from: fn(&str) -> Option<T>,
) -> Result<T, ColumnError> {
    let name = value.ok_or(ColumnError::Null(column, index))?;
    from(name).ok_or_else(|| ColumnError::Unknown(column, name.to_owned(), index))
}

fn texts(name: &str, values: &[Option<String>]) -> Column {
    Column::new(
        name.into(),
        values.iter().map(Option::as_deref).collect::<Vec<_>>(),
    )
}

fn owned(table: &DataFrame, name: &str) -> PolarsResult<Vec<Option<String>>> {
    Ok(table
        .column(name)?
        .str()?
        .iter()
        .map(|text| text.map(str::to_owned))
        .collect())
}
