//! Samples and counters as data frames and back: the shape of `samples.parquet` and `counters.parquet`.

use polars::prelude::*;
use schemas::sample::{Counter, Edge, Sample};

use crate::columns::ColumnError;

/// `samples.parquet`: one row a reading, field names as in [`Sample`].
pub(crate) fn samples_table(samples: &[Sample]) -> PolarsResult<DataFrame> {
    let wide = |name: &str, value: fn(&Sample) -> Option<u64>| {
        Column::new(name.into(), samples.iter().map(value).collect::<Vec<_>>())
    };
    let narrow = |name: &str, value: fn(&Sample) -> Option<u32>| {
        Column::new(name.into(), samples.iter().map(value).collect::<Vec<_>>())
    };
    DataFrame::new(
        samples.len(),
        vec![
            wide("at_ns", |sample| Some(sample.at_ns)),
            Column::new(
                "subject".into(),
                samples
                    .iter()
                    .map(|sample| sample.subject.as_str())
                    .collect::<Vec<_>>(),
            ),
            wide("rss_bytes", |sample| sample.rss_bytes),
            wide("cpu_ns", |sample| sample.cpu_ns),
            wide("disk_read_bytes", |sample| sample.disk_read_bytes),
            wide("disk_written_bytes", |sample| sample.disk_written_bytes),
            wide("gpu_memory_bytes", |sample| sample.gpu_memory_bytes),
            narrow("gpu_utilisation_percent", |sample| {
                sample.gpu_utilisation_percent
            }),
            narrow("gpu_power_milliwatts", |sample| sample.gpu_power_milliwatts),
            wide("loopback_bytes", |sample| sample.loopback_bytes),
            wide("stolen_ns", |sample| sample.stolen_ns),
        ],
    )
}

/// The readings of `samples.parquet`.
pub(crate) fn samples_from(table: &DataFrame) -> Result<Vec<Sample>, ColumnError> {
    let subjects = table.column("subject")?.str()?;
    let mut samples = Vec::with_capacity(table.height());
    for (index, at_ns) in table.column("at_ns")?.u64()?.iter().enumerate() {
        samples.push(Sample {
            at_ns: at_ns.ok_or(ColumnError::Null("at_ns", index))?,
            subject: subjects
                .get(index)
                .ok_or(ColumnError::Null("subject", index))?
                .to_owned(),
            ..Sample::default()
        });
    }
    macro_rules! fill {
        ($type:ident: $($field:ident),+) => {
            $(for (sample, value) in samples.iter_mut().zip(table.column(stringify!($field))?.$type()?.iter()) {
                sample.$field = value;
            })+
        };
    }
    fill!(u64: rss_bytes, cpu_ns, disk_read_bytes, disk_written_bytes, gpu_memory_bytes);
    fill!(u32: gpu_utilisation_percent, gpu_power_milliwatts);
    // Folders from before the host was read have no such columns.
    if table.column("stolen_ns").is_ok() {
        fill!(u64: loopback_bytes, stolen_ns);
    }
    Ok(samples)
}

/// `counters.parquet`: one row a counter and edge, field names as in [`Counter`].
pub(crate) fn counters_table(counters: &[Counter]) -> PolarsResult<DataFrame> {
    let number = |name: &str, value: fn(&Counter) -> u32| {
        Column::new(name.into(), counters.iter().map(value).collect::<Vec<_>>())
    };
    let text = |name: &str, value: fn(&Counter) -> &str| {
        Column::new(name.into(), counters.iter().map(value).collect::<Vec<_>>())
    };
    DataFrame::new(
        counters.len(),
        vec![
            Column::new(
                "at_ns".into(),
                counters
                    .iter()
                    .map(|counter| counter.at_ns)
                    .collect::<Vec<_>>(),
            ),
            text("subject", |counter| &counter.subject),
            number("experiment", |counter| counter.experiment),
            number("trial", |counter| counter.trial),
            text("edge", |counter| match counter.edge {
                Edge::Before => "before",
                Edge::After => "after",
            }),
            text("name", |counter| &counter.name),
            text("labels", |counter| &counter.labels),
            Column::new(
                "value".into(),
                counters
                    .iter()
                    .map(|counter| counter.value)
                    .collect::<Vec<_>>(),
            ),
        ],
    )
}

/// The readings of `counters.parquet`.
pub(crate) fn counters_from(table: &DataFrame) -> Result<Vec<Counter>, ColumnError> {
    let (at, value) = (table.column("at_ns")?.u64()?, table.column("value")?.f64()?);
    let (experiment, trial) = (
        table.column("experiment")?.u32()?,
        table.column("trial")?.u32()?,
    );
    let text =
        |name: &str| -> PolarsResult<StringChunked> { Ok(table.column(name)?.str()?.clone()) };
    let (subject, edge, name, labels) = (
        text("subject")?,
        text("edge")?,
        text("name")?,
        text("labels")?,
    );
    (0..table.height())
        .map(|index| {
            let null = |column| ColumnError::Null(column, index);
            Ok(Counter {
                at_ns: at.get(index).ok_or(null("at_ns"))?,
                subject: subject.get(index).ok_or(null("subject"))?.to_owned(),
                experiment: experiment.get(index).ok_or(null("experiment"))?,
                trial: trial.get(index).ok_or(null("trial"))?,
                edge: match edge.get(index).ok_or(null("edge"))? {
                    "before" => Edge::Before,
                    "after" => Edge::After,
                    other => return Err(ColumnError::Unknown("edge", other.to_owned(), index)),
                },
                name: name.get(index).ok_or(null("name"))?.to_owned(),
                labels: labels.get(index).ok_or(null("labels"))?.to_owned(),
                value: value.get(index).ok_or(null("value"))?,
            })
        })
        .collect()
}
