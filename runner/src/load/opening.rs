//! The connections of a turn's first requests: they stand before the schedule begins.

use std::rc::Rc;

use tokio::task::JoinSet;

use super::{
    connection::Pool,
    request::Route,
    turn::{ArrivalItem, Schedule},
};

/// Connections that open at once.
const AT_ONCE: usize = 64;

/// Requests that are due within `window_ns` of a schedule's begin: as many connections are to stand by then. At least one, to learn what opening takes.
pub(super) fn due_first<'a>(
    schedule: &Schedule,
    arrivals: impl Iterator<Item = &'a ArrivalItem>,
    window_ns: u64,
) -> usize {
    let first = match schedule {
        Schedule::Open { offsets_ns } => offsets_ns
            .iter()
            .take_while(|&&offset_ns| offset_ns <= window_ns)
            .count()
            .max(1),
        Schedule::Closed { concurrency } => *concurrency as usize,
    };
    arrivals
        .take(first)
        .map(|arrival| match arrival {
            ArrivalItem::Batch(items) => items.len(),
            ArrivalItem::Single(_) | ArrivalItem::Conversation(_) => 1,
        })
        .sum()
}

/// Opens `count` connections into the pool; `slowest_ns` becomes the longest that one took. It ends at the first that cannot be opened: the requests
/// themselves will say so.
pub(super) async fn open(route: &Rc<Route>, pool: &mut Pool, count: usize, slowest_ns: &mut u64) {
    let mut opening = JoinSet::new();
    let mut left = count;
    loop {
        while left > 0 && opening.len() < AT_ONCE {
            let route = Rc::clone(route);
            opening.spawn_local(async move { route.open().await });
            left -= 1;
        }
        let Some(Ok(Ok(connection))) = opening.join_next().await else {
            return;
        };
        if let Some(opened) = connection.opening() {
            *slowest_ns = (opened.connected_ns - opened.connect_ns).max(*slowest_ns);
        }
        pool.put(connection, route.clock.now_ns());
    }
}
