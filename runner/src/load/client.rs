//! The load client: its two threads, and the door through which turns come in and events go out.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    sync::mpsc::{Sender, channel, sync_channel},
    thread,
};

use rustix::{
    process::{Resource, getrlimit, nice, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};
use thiserror::Error;
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::coop::unconstrained,
};

use super::{
    alarm::Alarm,
    driver::Driver,
    parser::{Beginning, ToParser, serve},
    request::{Head, Route},
    stops::Stops,
    target::TargetError,
    transport::Tls,
    turn::{ArrivalItem, LoadEvent, Turn},
};
use crate::clock::{RunClock, thread_cpu_ns};

/// Events that wait for their reader. Only the parser thread waits when it is full.
const EVENTS_WAITING: usize = 256;
/// Tasks that run before sockets and timers are looked at again. Half of the runtime's default: a due request waits for so many streams at most.
const TASKS_PER_LOOK: u32 = 31;
/// More than the request thread's own: the parser thread yields to it where both share a core, and does not starve whatever the runner's own niceness.
const PARSER_NICENESS: i32 = 10;

/// Why the client cannot work.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A thread, or what it needs from the system, could not be had.
    #[error("the {name} thread cannot be started: {source}")]
    Thread {
        /// Which thread.
        name: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The engine's address cannot be used.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The engine's base path cannot stand in a request.
    #[error("the engine's path cannot stand in a request: {0}")]
    Path(#[from] hyper::http::uri::InvalidUri),
    /// The request thread has gone.
    #[error("the request thread has ended")]
    Gone,
}

/// A turn with what it needs.
struct Job {
    turn: Turn,
    route: RouteParts,
    stops: Stops,
    events: mpsc::Sender<LoadEvent>,
}

/// What a [`Route`] is made of on the request thread.
struct RouteParts {
    address: std::net::SocketAddr,
    tls: Option<Tls>,
    head: Head,
}

/// The load client. Turns of one client run one after another. Dropping it ends its threads after the current turn.
#[derive(Debug)]
pub struct Client {
    jobs: UnboundedSender<Job>,
}

impl Client {
    /// Starts the client's threads; `cores` are those they may run on, all when empty.
    ///
    /// It also raises the process's soft limit on open files to its hard limit: every stream is one.
    ///
    /// # Errors
    /// [`ClientError::Thread`].
    pub fn spawn(clock: RunClock, cores: &[u32]) -> Result<Self, ClientError> {
        raise_file_limit();
        let (to_parser, from_request_thread) = channel();
        let (jobs, jobs_in) = unbounded_channel();
        let parser_cores = cores.to_vec();
        start("parser", move |started| {
            let prepared = bind(&parser_cores);
            // Without the lower priority it still works, so a refusal does not matter.
            let _ = nice(PARSER_NICENESS);
            let go_on = prepared.is_ok();
            let _ = started.send(prepared);
            if go_on {
                serve(from_request_thread, clock);
            }
        })?;
        let request_cores = cores.to_vec();
        start("request", move |started| {
            match bind(&request_cores).and_then(|()| RequestThread::new(clock, to_parser)) {
                Ok(request_thread) => {
                    let _ = started.send(Ok(()));
                    request_thread.serve(jobs_in);
                }
                Err(source) => {
                    let _ = started.send(Err(source));
                }
            }
        })?;
        Ok(Self { jobs })
    }

    /// Begins a turn. Events arrive in order; `Done` is the last. Dropping the receiver does not stop the turn, [`Stops`] does.
    ///
    /// It looks up the engine's name, which may block for other names than addresses.
    ///
    /// # Errors
    /// [`ClientError::Target`] and [`ClientError::Path`] before anything is sent, [`ClientError::Gone`].
    pub fn start(
        &self,
        turn: Turn,
        stops: Stops,
    ) -> Result<mpsc::Receiver<LoadEvent>, ClientError> {
        let route = RouteParts {
            address: turn.target.resolve()?,
            tls: turn.target.tls().cloned(),
            head: Head::chat(&turn.target)?,
        };
        let (events, receiver) = mpsc::channel(EVENTS_WAITING);
        self.jobs
            .send(Job {
                turn,
                route,
                stops,
                events,
            })
            .map_err(|_| ClientError::Gone)?;
        Ok(receiver)
    }
}

/// Starts a thread and waits until it says whether it has what it needs.
fn start(
    name: &'static str,
    body: impl FnOnce(std::sync::mpsc::SyncSender<io::Result<()>>) + Send + 'static,
) -> Result<(), ClientError> {
    let refuse = |source| ClientError::Thread { name, source };
    let (started, has_started) = sync_channel(1);
    thread::Builder::new()
        .name(format!("load-{name}"))
        .spawn(move || body(started))
        .map_err(refuse)?;
    has_started
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("it ended at once")))
        .map_err(refuse)
}

fn bind(cores: &[u32]) -> io::Result<()> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core as usize);
    }
    Ok(sched_setaffinity(None, &set)?)
}

fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, a connection that cannot be opened says so in its row.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The request thread with what it keeps over turns.
struct RequestThread {
    clock: RunClock,
    runtime: LocalRuntime,
    parser: Sender<ToParser>,
    alarm: Rc<RefCell<Alarm>>,
}

impl RequestThread {
    fn new(clock: RunClock, parser: Sender<ToParser>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            // No timer wheel: its milliseconds are too coarse, and every look at it costs.
            .enable_io()
            .event_interval(TASKS_PER_LOOK)
            .build_local(LocalOptions::default())?;
        let entered = runtime.enter();
        let alarm = Rc::new(RefCell::new(Alarm::new(clock)?));
        drop(entered);
        Ok(Self {
            clock,
            runtime,
            parser,
            alarm,
        })
    }

    fn serve(self, mut jobs: UnboundedReceiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            self.run(job);
        }
    }

    fn run(&self, job: Job) {
        let turn = job.turn;
        let (hand_backs, hand_backs_in) = unbounded_channel();
        let conversations = (0..)
            .zip(&turn.arrivals)
            .filter_map(|(arrival, item)| match item {
                ArrivalItem::Conversation(conversation) => Some((arrival, conversation.clone())),
                ArrivalItem::Single(_) | ArrivalItem::Batch(_) => None,
            });
        let planned = turn
            .arrivals
            .iter()
            .map(ArrivalItem::requests)
            .sum::<usize>();
        let beginning = Beginning {
            identity: turn.identity,
            planned: u32::try_from(planned).unwrap_or(u32::MAX),
            conversations: conversations.collect(),
            events: job.events,
            hand_backs,
        };
        // The parser thread outlives this one.
        let _ = self.parser.send(ToParser::Begin(Box::new(beginning)));
        let cpu_at_start_ns = thread_cpu_ns();
        let route = Route {
            clock: self.clock,
            address: job.route.address,
            tls: job.route.tls,
            head: job.route.head,
            opened: Cell::new(0),
            reads: Rc::default(),
        };
        let driver = Driver::new(
            route,
            turn.arrivals,
            turn.request_timeout_ns,
            job.stops,
            self.parser.clone(),
            hand_backs_in,
            Rc::clone(&self.alarm),
        );
        // Without a budget: a burst of requests is written in one go, and the driver itself sees to it that streams get their turn.
        let counts = self
            .runtime
            .block_on(unconstrained(driver.drive(turn.schedule)));
        let request_thread_cpu_ns = thread_cpu_ns().saturating_sub(cpu_at_start_ns);
        let _ = self.parser.send(ToParser::Over {
            counts,
            request_thread_cpu_ns,
        });
    }
}
