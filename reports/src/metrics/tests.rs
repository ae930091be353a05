//! Metrics of single requests and turns against values worked out by hand, and what no input may do to them.

use proptest::prelude::*;
use schemas::{
    row::{Outcome, Row},
    scenario::{Goodput, Metric, Requests},
};

use super::*;
use crate::made_up::{EXPECTED, MS, MadeUp};

fn frame(rows: Vec<Row>) -> Frame {
    rows.into_iter().collect()
}

/// One turn of three requests with one cold.
fn turn() -> Vec<Row> {
    let mut made_up = MadeUp::new(1);
    made_up.rows.truncate(3);
    made_up.rows
}

fn close(found: Option<f64>, wanted: f64) -> bool {
    found.is_some_and(|found| (found - wanted).abs() < 1e-9)
}

/// Of some rows of a frame that is one turn.
fn share(frame: &Frame, of: &[usize], workload: &str, requests: Requests) -> Option<f64> {
    let whole: Vec<usize> = (0..frame.requests.len()).collect();
    let cacheable = cacheable_tokens(frame, &whole, workload);
    cached_fraction(frame, &cacheable, of, requests)
}

#[test]
fn every_clock_starts_and_stops_where_its_definition_says() {
    let frame = frame(turn());
    let request = &frame.requests[1];
    assert!(close(ttft_s(request), 0.1));
    assert!(close(ttft_from_intended_s(request), 0.1001));
    assert!(close(latency_s(request), 0.2));
    assert!(close(tpot_s(request), 0.1 / 10.0));
    assert!(close(throughput(request), 11.0 / 0.1));
    assert!(close(lateness_s(request), 0.0001));
    assert_eq!(ttft_error_s(request), None);
    let gaps: Vec<f64> = itl_s(&frame, 1).collect();
    assert_eq!(gaps.len(), 10);
    assert!(gaps.iter().all(|gap| close(Some(*gap), 0.01)));
}

#[test]
fn the_end_of_the_stream_enters_no_metric() {
    let mut rows = turn();
    let before = frame(rows.clone());
    rows[1].done_ns = rows[1].done_ns.map(|done| done + 1000 * MS);
    let after = frame(rows);
    for metric in [
        Metric::Ttft,
        Metric::Tpot,
        Metric::Latency,
        Metric::Throughput,
    ] {
        assert_eq!(
            value(metric, &before.requests[1]),
            value(metric, &after.requests[1])
        );
    }
    assert_eq!(
        wall_throughput(&before, &[0, 1, 2]),
        wall_throughput(&after, &[0, 1, 2])
    );
}

#[test]
fn throughput_needs_two_tokens_and_time_between_them() {
    let mut rows = turn();
    rows[0].output_tokens = Some(1);
    rows[1].last_content_ns = rows[1].first_content_ns;
    let frame = frame(rows);
    assert_eq!(throughput(&frame.requests[0]), None);
    assert_eq!(throughput(&frame.requests[1]), None);
}

#[test]
fn tokens_of_the_first_event_do_not_count_for_tpot() {
    let mut rows = turn();
    rows[0].first_event_tokens = Some(6);
    rows[1].first_event_tokens = Some(11);
    rows[2].first_event_tokens = None;
    let frame = frame(rows);
    assert!(close(tpot_s(&frame.requests[0]), 0.1 / 5.0));
    assert_eq!(tpot_s(&frame.requests[1]), None);
    assert_eq!(tpot_s(&frame.requests[2]), None);
}

#[test]
fn only_what_stood_before_can_be_cached() {
    let found = frame(turn());
    assert_eq!(
        cacheable_tokens(&found, &[0, 1, 2], "shared-context"),
        [None, Some(4096), Some(4096)]
    );
    assert!(close(
        share(&found, &[0, 1, 2], "shared-context", Requests::Reused),
        f64::from(EXPECTED) / 4096.0
    ));
    assert_eq!(share(&found, &[0], "shared-context", Requests::All), None);
    let mut rows = turn();
    for (row, context) in rows.iter_mut().zip([1000, 1500, 4000]) {
        row.context_tokens = context;
    }
    let growing = frame(rows);
    assert_eq!(
        cacheable_tokens(&growing, &[0, 1, 2], "growing-context"),
        [None, Some(1000), Some(1500)]
    );
}

/// Ten turns on an H100 gave 1.58: the template's tokens were cached, and were not among those that could be.
#[test]
fn in_a_conversation_replies_and_the_template_can_be_cached_too() {
    let mut rows = turn();
    for (row, (context, prompt, cached)) in
        rows.iter_mut()
            .zip([(0, 24, 0), (32, 64, 32), (64, 104, 80)])
    {
        row.context_tokens = context;
        row.query_tokens = 16;
        row.prompt_tokens = Some(prompt);
        row.cached_tokens = Some(cached);
    }
    let told = frame(rows.clone());
    assert_eq!(
        cacheable_tokens(&told, &[0, 1, 2], "multi-turn"),
        [None, Some(40), Some(80)]
    );
    assert!(close(
        share(&told, &[0, 1, 2], "multi-turn", Requests::All),
        112.0 / 120.0
    ));
    // What the first question took is not known: how much stood before the others is not, either.
    rows[0].prompt_tokens = None;
    assert_eq!(
        cacheable_tokens(&frame(rows), &[0, 1, 2], "multi-turn"),
        [None, None, None]
    );
}

#[test]
fn a_cancelled_request_was_not_due() {
    let mut rows = turn();
    rows[1].outcome = Outcome::Cancelled;
    rows[2].outcome = Outcome::NotSent;
    assert!(close(completed(&frame(rows), &[0, 1, 2]), 0.5));
}

#[test]
fn what_cannot_be_told_is_within_no_limit() {
    let limits = Goodput {
        itl: Some("20ms".parse().unwrap()),
        ..Goodput::default()
    };
    let mut rows = turn();
    rows[1].event_offsets_ns.clear();
    rows[2].event_offsets_ns[5] += 11 * MS;
    let frame = frame(rows);
    let within: Vec<bool> = (0..3)
        .map(|index| within_limits(&frame, index, &limits))
        .collect();
    assert_eq!(within, [true, false, false]);
}

#[test]
fn no_request_is_no_number() {
    let none = Frame::default();
    let limits = Goodput::default();
    assert_eq!(goodput(&none, &[], &limits), None);
    assert_eq!(completed(&none, &[]), None);
    assert_eq!(wall_throughput(&none, &[]), None);
}

proptest! {
    /// A request that fails, however it fails, improves neither goodput nor attainment nor completion.
    #[test]
    fn failing_never_improves(
        failing in 0usize..3,
        limit_ms in 50u64..1500,
        ttfts in prop::collection::vec(1u64..1500, 3),
        keeps_content in any::<bool>(),
    ) {
        let limits = Goodput { ttft: Some(schemas::quantity::Duration(limit_ms * MS)), ..Goodput::default() };
        let mut rows = turn();
        for (row, ttft) in rows.iter_mut().zip(&ttfts) {
            row.first_content_ns = row.sent_ns.map(|sent| sent + ttft * MS);
            row.last_content_ns = row.first_content_ns.map(|first| first + 100 * MS);
            row.done_ns = row.last_content_ns.map(|last| last + MS);
        }
        let whole = frame(rows.clone());
        rows[failing].outcome = Outcome::ConnectionLost;
        if !keeps_content {
            rows[failing].first_content_ns = None;
            rows[failing].last_content_ns = None;
        }
        let failed = frame(rows);
        let turn = [0, 1, 2];
        prop_assert!(goodput(&failed, &turn, &limits) <= goodput(&whole, &turn, &limits));
        prop_assert!(attained(&failed, &turn, &limits).0 <= attained(&whole, &turn, &limits).0);
        prop_assert_eq!(attained(&failed, &turn, &limits).1, 3);
        prop_assert!(completed(&failed, &turn) < completed(&whole, &turn));
    }

    /// A value that is missing makes what depends on it unknown, never 0.
    #[test]
    fn missing_is_never_nought(which in 0usize..6) {
        let mut rows = turn();
        let row = &mut rows[1];
        match which {
            0 => row.sent_ns = None,
            1 => row.first_content_ns = None,
            2 => row.last_content_ns = None,
            3 => row.output_tokens = None,
            4 => row.first_event_tokens = None,
            _ => row.cached_tokens = None,
        }
        let found = frame(rows);
        let request = &found.requests[1];
        for metric in [Metric::Ttft, Metric::Tpot, Metric::Latency, Metric::Throughput] {
            prop_assert!(value(metric, request).is_none_or(|value| value > 0.0));
        }
        prop_assert_eq!(ttft_s(request).is_none(), which <= 1);
        prop_assert_eq!(latency_s(request).is_none(), which == 0 || which == 2);
        prop_assert_eq!(throughput(request).is_none(), (1..=3).contains(&which));
        prop_assert_eq!(tpot_s(request).is_none(), (1..=4).contains(&which));
        // The other request still tells its share.
        let fraction = share(&found, &[0, 1, 2], "shared-context", Requests::Reused);
        prop_assert!(close(fraction, f64::from(EXPECTED) / 4096.0));
    }
}
