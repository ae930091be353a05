//! Reads the columns of `requests.parquet` and `replies.parquet` back.
//!
//! Values are taken from the columns' own memory, block by block of rows: a column at a time would drive every request through the processor's caches once a column.

use std::collections::btree_map::Entry;

use polars::prelude::*;
use rayon::prelude::*;

use crate::{
    Texts,
    frame::{Frame, Request, kind_from, outcome_from, phase_from, token_count_from},
};

use super::{ColumnError, for_each_number};

/// Rows that are filled in at once.
const BLOCK: usize = 1024;

/// The rows of `requests.parquet`, and of `replies.parquet` where it is there (its rows are in the same order).
pub(crate) fn frame_from(
    requests: &DataFrame,
    replies: Option<&DataFrame>,
) -> Result<Frame, ColumnError> {
    let of_requests = || -> Result<Frame, ColumnError> {
        let mut frame = Frame::of_numbers(numbers(requests)?);
        names(requests, &mut frame)?;
        Ok(frame)
    };
    let replies = replies.filter(|replies| replies.height() == requests.height());
    let of_texts = || -> Result<[Texts; 3], ColumnError> {
        Ok([
            texts(requests, "finish_reason")?,
            texts(requests, "text_hash")?,
            match replies {
                Some(replies) => texts(replies, "text")?,
                None => Texts::default(),
            },
        ])
    };
    let (frame, (texts, offsets)) =
        rayon::join(of_requests, || rayon::join(of_texts, || offsets(requests)));
    let (mut frame, (offsets_ns, ends)) = (frame?, offsets?);
    [frame.finish_reasons, frame.text_hashes, frame.texts] = texts?;
    frame.set_offsets(offsets_ns, ends);
    Ok(frame)
}

/// A column of numbers in one piece.
struct Values<T> {
    values: Vec<T>,
    /// Which are there; `None` where all are.
    present: Option<Vec<bool>>,
}

impl<T: Copy> Values<T> {
    fn get(&self, index: usize) -> Option<T> {
        match &self.present {
            Some(present) if !present[index] => None,
            _ => Some(self.values[index]),
        }
    }
}

fn values<N: PolarsNumericType>(column: &ChunkedArray<N>) -> Values<N::Native> {
    let mut values = Vec::with_capacity(column.len());
    let mut present = column.has_nulls().then(|| Vec::with_capacity(column.len()));
    for chunk in column.downcast_iter() {
        values.extend_from_slice(chunk.values().as_slice());
        if let Some(present) = &mut present {
            match chunk.validity() {
                Some(bits) => present.extend(bits.iter()),
                None => present.resize(values.len(), true),
            }
        }
    }
    Values { values, present }
}

/// The same, where no value may be missing.
fn whole<N: PolarsNumericType>(
    name: &'static str,
    column: &ChunkedArray<N>,
) -> Result<Values<N::Native>, ColumnError> {
    let found = values(column);
    let missing = found
        .present
        .as_ref()
        .and_then(|present| present.iter().position(|present| !present));
    match missing {
        Some(row) => Err(ColumnError::Null(name, row)),
        None => Ok(found),
    }
}

fn numbers(table: &DataFrame) -> Result<Vec<Request>, ColumnError> {
    let mut requests = vec![BLANK; table.height()];
    macro_rules! read {
        ($($need:ident $type:ident: $($field:ident),+;)+) => {
            $($(let $field = read!(@$need $type $field);)+)+
            requests.par_chunks_mut(BLOCK).enumerate().for_each(|(block, requests)| {
                let from = block * BLOCK;
                $($(for (index, request) in (from..).zip(requests.iter_mut()) {
                    request.$field = read!(@get $need $field index);
                })+)+
            });
        };
        (@required $type:ident $field:ident) => {
            whole(stringify!($field), table.column(stringify!($field))?.$type()?)?
        };
        (@optional $type:ident $field:ident) => {
            values(table.column(stringify!($field))?.$type()?)
        };
        (@get required $field:ident $index:ident) => { $field.values[$index] };
        (@get optional $field:ident $index:ident) => { $field.get($index) };
    }
    for_each_number!(read);
    Ok(requests)
}

fn names(table: &DataFrame, frame: &mut Frame) -> Result<(), ColumnError> {
    let requests = &mut frame.requests;
    each(table, "kind", |index, name| {
        requests[index].kind = known("kind", name, index, kind_from)?;
        Ok(())
    })?;
    each(table, "outcome", |index, name| {
        requests[index].outcome = known("outcome", name, index, outcome_from)?;
        Ok(())
    })?;
    each(table, "token_count", |index, name| {
        requests[index].token_count = name
            .map(|name| known("token_count", Some(name), index, token_count_from))
            .transpose()?;
        Ok(())
    })?;
    // Tables of earlier versions lack it.
    if table.column("phase").is_ok() {
        each(table, "phase", |index, name| {
            requests[index].phase = name
                .map(|name| known("phase", Some(name), index, phase_from))
                .transpose()?;
            Ok(())
        })?;
    }
    let names = &mut frame.engine_names;
    each(table, "engine", |index, name| {
        if let Entry::Vacant(place) = names.entry(requests[index].engine_id) {
            let name = name.ok_or(ColumnError::Null("engine", index))?;
            place.insert(name.to_owned());
        }
        Ok(())
    })?;
    let details = &mut frame.details;
    each(table, "detail", |index, detail| {
        if let Some(detail) = detail {
            details.insert(index, detail.to_owned());
        }
        Ok(())
    })
}

/// Hands every text of a column over with its row.
fn each(
    table: &DataFrame,
    name: &str,
    mut take: impl FnMut(usize, Option<&str>) -> Result<(), ColumnError>,
) -> Result<(), ColumnError> {
    let mut row = 0;
    for chunk in table.column(name)?.str()?.downcast_iter() {
        for index in 0..chunk.len() {
            take(row, chunk.get(index))?;
            row += 1;
        }
    }
    Ok(())
}

fn texts(table: &DataFrame, name: &str) -> Result<Texts, ColumnError> {
    let mut texts = Texts::default();
    each(table, name, |_, text| {
        texts.push(text);
        Ok(())
    })?;
    Ok(texts)
}

/// The event offsets of all requests one after another, and where those of each end.
fn offsets(table: &DataFrame) -> Result<(Vec<u64>, Vec<usize>), ColumnError> {
    let lists = table.column("event_offsets_ns")?.list()?;
    let mut offsets_ns = Vec::with_capacity(lists.inner_length());
    let mut ends = Vec::with_capacity(table.height());
    let inner = lists.get_inner();
    let mut inner = inner.u64()?.downcast_iter();
    for chunk in lists.downcast_iter() {
        let values = inner
            .next()
            .map_or(&[][..], |values| values.values().as_slice());
        let bounds = chunk.offsets().as_slice();
        let present = |index| chunk.validity().is_none_or(|bits| bits.get_bit(index));
        for (index, bound) in bounds.windows(2).enumerate() {
            // A missing list has none.
            if present(index) {
                offsets_ns.extend_from_slice(&values[bound[0] as usize..bound[1] as usize]);
            }
            ends.push(offsets_ns.len());
        }
    }
    Ok((offsets_ns, ends))
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

fn known<T>(
    column: &'static str,
    value: Option<&str>,
    index: usize,
    from: fn(&str) -> Option<T>,
) -> Result<T, ColumnError> {
    let name = value.ok_or(ColumnError::Null(column, index))?;
    from(name).ok_or_else(|| ColumnError::Unknown(column, name.to_owned(), index))
}
