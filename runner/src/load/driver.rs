//! Runs one turn on the request thread: opens connections before their time, releases requests at theirs, and ends when every released one is over.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    future::{Future, poll_fn},
    rc::Rc,
    sync::mpsc::Sender,
    task::{Context, Poll, ready},
};

use tokio::{sync::mpsc::UnboundedReceiver, task::spawn_local};

use super::{
    agenda::{Agenda, Step},
    alarm::{Alarm, sleep_until},
    connection::{Connection, Pool},
    exchange::{End, Exchange, Intended, Stop},
    heartbeat::Heartbeat,
    histogram::Spread,
    inbox::{Inbox, Message},
    opening,
    parser::{HandBack, ToParser},
    request::{Route, run},
    slot::Slot,
    stops::{StopWatch, Stops},
    turn::{ArrivalItem, Body, RequestFacts, Schedule},
};
use crate::clock::NS_PER_S;

/// A connection begins to open at least this long before its request is due.
const LEAD_MIN_NS: u64 = 20_000_000;
/// And at most this long: by then a server may have closed it again.
const LEAD_MAX_NS: u64 = 500_000_000;
/// Opening the first connections may hold up the schedule's start for this long; after that the requests themselves find out.
const FIRST_CONNECTIONS_NS: u64 = 4 * NS_PER_S;
/// Finished requests are handed over at once where this has passed since the last time, else together when it has: handing over wakes the parser
/// thread, the run's and the recorder's, one after another. As often as the sensors are read: nobody looks at rows more often.
const HAND_OVER_NS: u64 = 100_000_000;
/// Or when there are so many: they hold the bytes of their answers.
const HAND_OVER_REQUESTS: usize = 64;
/// Requests that are released in one go before streams get their turn.
const RELEASES_AT_ONCE: usize = 32;

/// What the driver counted in a turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) origin_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) in_flight_peak: u32,
    pub(super) connections_opened: u32,
    pub(super) reconnects: u32,
    /// How late the heartbeat came.
    pub(super) heartbeat: Option<Spread>,
}

/// A request that waits for its time.
struct Waiting {
    arrival: u32,
    intended: Intended,
    due_ns: u64,
    facts: RequestFacts,
    body: Body,
    connection: Option<Box<Connection>>,
}

/// What is left of an arrival.
struct Arrival {
    item: Option<ArrivalItem>,
    in_conversation: bool,
    requests_left: usize,
}

/// One turn under way.
pub(super) struct Driver {
    route: Rc<Route>,
    parser: Sender<ToParser>,
    hand_backs: UnboundedReceiver<HandBack>,
    alarm: Rc<RefCell<Alarm>>,
    request_timeout_ns: u64,
    stops: StopWatch,

    arrivals: Vec<Arrival>,
    /// Closed schedules only: the next arrival to be released.
    next_arrival: usize,
    closed: bool,
    arrivals_left: usize,

    agenda: Agenda,
    waiting: HashMap<usize, Waiting>,
    requests_added: usize,
    lead_ns: u64,

    pool: Pool,
    inbox: Rc<Inbox>,
    /// Deadlines of requests in flight; all requests have the same time, so this is sorted.
    deadlines: VecDeque<(u64, Rc<Slot>)>,
    in_flight: u32,
    in_flight_peak: u32,
    reconnects: u32,

    /// What is over and not yet handed to the parser.
    over: Vec<Exchange>,
    /// The next time to hand over.
    hand_over_ns: u64,
}

impl Driver {
    pub(super) fn new(
        route: Route,
        arrivals: Vec<ArrivalItem>,
        request_timeout_ns: u64,
        stops: Stops,
        parser: Sender<ToParser>,
        hand_backs: UnboundedReceiver<HandBack>,
        alarm: Rc<RefCell<Alarm>>,
    ) -> Self {
        Self {
            route: Rc::new(route),
            parser,
            hand_backs,
            alarm,
            request_timeout_ns,
            stops: StopWatch::new(stops),
            next_arrival: 0,
            closed: false,
            arrivals_left: arrivals.len(),
            arrivals: arrivals
                .into_iter()
                .map(|item| Arrival {
                    in_conversation: matches!(item, ArrivalItem::Conversation(_)),
                    requests_left: item.requests(),
                    item: Some(item),
                })
                .collect(),
            agenda: Agenda::default(),
            waiting: HashMap::new(),
            requests_added: 0,
            lead_ns: LEAD_MIN_NS,
            pool: Pool::default(),
            inbox: Rc::default(),
            deadlines: VecDeque::new(),
            in_flight: 0,
            in_flight_peak: 0,
            reconnects: 0,
            over: Vec::new(),
            hand_over_ns: 0,
        }
    }

    /// Runs the schedule to its end.
    pub(super) async fn drive(mut self, schedule: Schedule) -> Counts {
        self.open_first_connections(&schedule).await;
        let origin_ns = self.route.clock.now_ns() + 1_000_000;
        self.tell_parser(ToParser::Started { origin_ns });
        match schedule {
            Schedule::Open { offsets_ns } => {
                self.arrivals_left = self.arrivals_left.min(offsets_ns.len());
                for (arrival, offset_ns) in (0..self.arrivals_left).zip(offsets_ns) {
                    let due_ns = origin_ns.saturating_add(offset_ns);
                    self.schedule_arrival(arrival, Intended::At(due_ns), due_ns);
                }
            }
            Schedule::Closed { concurrency } => {
                self.closed = true;
                for _ in 0..concurrency.max(1) {
                    self.schedule_next_arrival(Intended::At(origin_ns), origin_ns);
                }
            }
        }
        self.alarm.borrow_mut().forget();
        let mut heartbeat = Heartbeat::new(Rc::clone(&self.route.reads), self.route.clock.now_ns());
        poll_fn(|cx| self.poll(cx, &mut heartbeat)).await;
        Counts {
            origin_ns,
            ended_ns: self.route.clock.now_ns(),
            in_flight_peak: self.in_flight_peak,
            connections_opened: self.route.opened.get(),
            reconnects: self.reconnects,
            heartbeat: heartbeat.spread(),
        }
    }

    /// Opens the connections of all requests that are due at once, and learns how long opening takes.
    async fn open_first_connections(&mut self, schedule: &Schedule) {
        let items = self
            .arrivals
            .iter()
            .filter_map(|arrival| arrival.item.as_ref());
        let count = opening::due_first(schedule, items, LEAD_MIN_NS);
        let mut slowest_ns = 0;
        let clock = self.route.clock;
        tokio::select! {
            () = opening::open(&self.route, &mut self.pool, count, &mut slowest_ns) => {}
            () = sleep_until(clock, clock.now_ns() + FIRST_CONNECTIONS_NS) => {}
            _ = poll_fn(|cx| self.stops.poll(cx)) => {}
        }
        self.lead_ns = (4 * slowest_ns).clamp(LEAD_MIN_NS, LEAD_MAX_NS);
    }

    fn poll(&mut self, cx: &mut Context<'_>, heartbeat: &mut Heartbeat) -> Poll<()> {
        loop {
            self.poll_stops(cx);
            while let Some(message) = self.inbox.poll_take(cx) {
                match message {
                    Message::Prepared {
                        request,
                        connection,
                    } => self.prepared(request, connection),
                    Message::Finished {
                        exchange,
                        connection,
                    } => self.finished(exchange, connection),
                }
            }
            while let Poll::Ready(Some(hand_back)) = self.hand_backs.poll_recv(cx) {
                self.take_hand_back(hand_back);
            }
            let now_ns = self.route.clock.now_ns();
            self.expire(now_ns);
            let mut released = 0;
            while let Some(step) = self.agenda.pop_due(now_ns) {
                match step {
                    Step::Prepare { request } => self.prepare(request, now_ns),
                    Step::Release { request } => {
                        self.release(request, now_ns, cx);
                        released += 1;
                    }
                }
                if released == RELEASES_AT_ONCE {
                    // Streams and their stamps come next, then the rest.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            if released > 0 {
                // What ended at once has left a message.
                continue;
            }
            if self.is_over() {
                self.hand_over(now_ns);
                return Poll::Ready(());
            }
            if now_ns >= self.hand_over_ns {
                self.hand_over(now_ns);
            }
            // Deadlines and the next hand-over can wait for a beat.
            let next_ns = self.agenda.next_ns().unwrap_or(u64::MAX);
            let ring_ns = next_ns.min(heartbeat.due_ns());
            let delay_ns = ready!(self.alarm.borrow_mut().poll_ring(cx, ring_ns));
            heartbeat.beat(delay_ns, self.route.clock.now_ns());
        }
    }

    fn is_over(&self) -> bool {
        self.in_flight == 0 && (self.stops.has_stopped() || self.arrivals_left == 0)
    }

    fn poll_stops(&mut self, cx: &mut Context<'_>) {
        // At every poll: a request may have been released in the same moment.
        if let Poll::Ready(stop) = self.stops.poll(cx) {
            for (_, slot) in self.deadlines.drain(..) {
                slot.stop(stop);
            }
            self.drop_schedule(stop);
        }
    }

    /// Nothing more is sent. What is due and unsent gets its row; what is not due was never released.
    fn drop_schedule(&mut self, stop: Stop) {
        let now_ns = self.route.clock.now_ns();
        while let Some(step) = self.agenda.pop_due(now_ns) {
            let Step::Release { request } = step else {
                continue;
            };
            if let Some(waiting) = self.waiting.remove(&request) {
                let mut exchange = Exchange::new(waiting.facts, waiting.arrival, waiting.intended);
                exchange.end = End::NotSent(match stop {
                    Stop::EngineExited => "the engine's process had ended".to_owned(),
                    Stop::Cancelled | Stop::Deadline => "the run was interrupted".to_owned(),
                });
                self.over.push(exchange);
            }
        }
        self.agenda = Agenda::default();
        self.waiting.clear();
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some((at_ns, slot)) = self.deadlines.front() {
            if !slot.is_over() {
                if *at_ns > now_ns {
                    break;
                }
                slot.stop(Stop::Deadline);
            }
            self.deadlines.pop_front();
        }
    }

    /// Closed schedules: the next arrival, where there is one.
    fn schedule_next_arrival(&mut self, intended: Intended, due_ns: u64) {
        if self.next_arrival < self.arrivals.len() {
            self.next_arrival += 1;
            self.schedule_arrival(self.next_arrival - 1, intended, due_ns);
        }
    }

    fn schedule_arrival(&mut self, index: usize, intended: Intended, due_ns: u64) {
        // Numbers of arrivals and requests fit 32 bits: the plan's own fields do.
        let arrival = index as u32;
        match self
            .arrivals
            .get_mut(index)
            .and_then(|arrival| arrival.item.take())
        {
            Some(ArrivalItem::Single(item)) => {
                self.schedule_request(arrival, intended, due_ns, item.facts, item.body)
            }
            Some(ArrivalItem::Batch(items)) if items.is_empty() => self.arrival_over(arrival),
            Some(ArrivalItem::Batch(items)) => {
                for item in items {
                    self.schedule_request(arrival, intended, due_ns, item.facts, item.body);
                }
            }
            Some(ArrivalItem::Conversation(conversation)) => match conversation.turns.first() {
                Some(turn) => {
                    let facts = turn.facts.clone();
                    self.schedule_request(
                        arrival,
                        intended,
                        due_ns,
                        facts,
                        conversation.body(0, &[]),
                    );
                }
                None => self.arrival_over(arrival),
            },
            None => {}
        }
    }

    fn schedule_request(
        &mut self,
        arrival: u32,
        intended: Intended,
        due_ns: u64,
        facts: RequestFacts,
        body: Body,
    ) {
        let request = self.requests_added;
        self.requests_added += 1;
        self.waiting.insert(
            request,
            Waiting {
                arrival,
                intended,
                due_ns,
                facts,
                body,
                connection: None,
            },
        );
        self.agenda.add(
            due_ns.saturating_sub(self.lead_ns),
            Step::Prepare { request },
        );
        self.agenda.add(due_ns, Step::Release { request });
    }

    fn prepare(&mut self, request: usize, now_ns: u64) {
        let Some(waiting) = self.waiting.get_mut(&request) else {
            return;
        };
        waiting.connection = self.pool.take(waiting.due_ns);
        // What is due already opens its own.
        if waiting.connection.is_none() && waiting.due_ns > now_ns {
            let (route, inbox) = (Rc::clone(&self.route), Rc::clone(&self.inbox));
            spawn_local(async move {
                let connection = route.open().await.ok();
                inbox.put(Message::Prepared {
                    request,
                    connection,
                });
            });
        }
    }

    fn prepared(&mut self, request: usize, connection: Option<Box<Connection>>) {
        let Some(connection) = connection else { return };
        match self.waiting.get_mut(&request) {
            Some(waiting) => waiting.connection = Some(connection),
            // It came too late for its request, but not for another.
            None => self.pool.put(connection, self.route.clock.now_ns()),
        }
    }

    fn release(&mut self, request: usize, now_ns: u64, cx: &mut Context<'_>) {
        let Some(waiting) = self.waiting.remove(&request) else {
            return;
        };
        let mut exchange = Box::new(Exchange::new(
            waiting.facts,
            waiting.arrival,
            waiting.intended,
        ));
        let mut connection = waiting.connection.or_else(|| self.pool.take(now_ns));
        if connection
            .as_mut()
            .is_some_and(|connection| !connection.is_usable())
        {
            connection = None;
            exchange.reconnects = 1;
        }
        let slot = Rc::new(Slot::default());
        self.deadlines.push_back((
            now_ns.saturating_add(self.request_timeout_ns),
            Rc::clone(&slot),
        ));
        self.in_flight += 1;
        self.in_flight_peak = self.in_flight_peak.max(self.in_flight);
        let (route, inbox) = (Rc::clone(&self.route), Rc::clone(&self.inbox));
        let mut task = Box::pin(async move {
            let (exchange, connection) = run(route, slot, exchange, waiting.body, connection).await;
            inbox.put(Message::Finished {
                exchange,
                connection,
            });
        });
        // Here and now rather than behind all streams that have something to read: this writes the request.
        if task.as_mut().poll(cx).is_pending() {
            spawn_local(task);
        }
    }

    fn finished(&mut self, exchange: Box<Exchange>, connection: Option<Box<Connection>>) {
        self.in_flight -= 1;
        self.reconnects += exchange.reconnects;
        if let Some(connection) = connection {
            self.pool.put(connection, self.route.clock.now_ns());
        }
        let arrival = exchange.arrival;
        self.over.push(*exchange);
        let Some(progress) = self.arrivals.get_mut(arrival as usize) else {
            return;
        };
        progress.requests_left -= 1;
        let in_conversation = progress.in_conversation;
        let is_over = progress.requests_left == 0;
        // Whether a conversation goes on, and with what, is known when the reply is parsed.
        if in_conversation || self.over.len() >= HAND_OVER_REQUESTS {
            self.hand_over(self.route.clock.now_ns());
        }
        if is_over && !in_conversation {
            self.arrival_over(arrival);
        }
    }

    fn take_hand_back(&mut self, hand_back: HandBack) {
        match hand_back {
            HandBack::FollowUp {
                arrival,
                facts,
                body,
                intended_ns,
            } => {
                self.schedule_request(arrival, Intended::At(intended_ns), intended_ns, facts, body);
            }
            HandBack::Over { arrival } => self.arrival_over(arrival),
        }
    }

    fn arrival_over(&mut self, arrival: u32) {
        self.arrivals_left -= 1;
        if self.closed {
            self.schedule_next_arrival(Intended::After { arrival }, self.route.clock.now_ns());
        }
    }

    fn hand_over(&mut self, now_ns: u64) {
        if !self.over.is_empty() {
            let over = std::mem::take(&mut self.over);
            self.tell_parser(ToParser::Finished(over));
            self.hand_over_ns = now_ns + HAND_OVER_NS;
        }
    }

    fn tell_parser(&self, message: ToParser) {
        // The parser thread ends after this one, unless it broke; then nobody is left to tell.
        let _ = self.parser.send(message);
    }
}
