//! The process around the service: listening, loading, connections and the end.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::api::{Service, answer};
use crate::args::EngineArgs;
use crate::error::EngineError;
use crate::load::{Loaded, load};
use crate::paced::timer::Timer;

/// How long to wait after a connection could not be taken, which is mostly for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);
/// Threads that parse and tokenize large bodies.
const BLOCKING_THREADS: usize = 4;
/// Tasks that run between two looks at sockets and the timer. The runtime's default would let a busy server look away
/// for some hundred microseconds.
const TASKS_BETWEEN_EVENTS: u32 = 16;

/// Serves until SIGTERM or SIGINT. Answers that are not complete by then are cut.
///
/// # Errors
/// When the address is taken, the model cannot be loaded, or the engine stops by itself.
pub fn serve(args: EngineArgs) -> Result<(), EngineError> {
    let address = SocketAddr::new(args.host, args.port);
    let listener = TcpListener::bind(address).map_err(|source| EngineError::Listen {
        address: address.to_string(),
        source,
    })?;
    let stop = async {
        let fail = |source| EngineError::Setup {
            what: "signals",
            source,
        };
        let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    };
    serve_on(listener, args, stop)
}

/// Serves on a socket that listens already, until `stop` is over.
///
/// # Errors
/// When the model cannot be loaded, the engine stops by itself, or `stop` ends with an error.
pub fn serve_on(
    listener: TcpListener,
    args: EngineArgs,
    stop: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|source| EngineError::Setup {
            what: "the runtime",
            source,
        })?;
    let ended = runtime.block_on(run(listener, args, stop));
    // A model that is still being loaded is not waited for.
    runtime.shutdown_background();
    ended
}

async fn run(
    listener: TcpListener,
    args: EngineArgs,
    stop: impl Future<Output = Result<(), EngineError>>,
) -> Result<(), EngineError> {
    let fail = |source| EngineError::Setup {
        what: "the socket",
        source,
    };
    listener.set_nonblocking(true).map_err(fail)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(fail)?;
    let service = Arc::new(OnceLock::new());
    let (exit, mut exits) = mpsc::unbounded_channel();
    let paced = if args.paced.is_some() {
        Some((Timer::start()?, exit))
    } else {
        None
    };
    let (loaded, loading) = oneshot::channel();
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            if loaded.send(load(&args, paced)).is_err() {
                // The engine was stopped while it loaded.
            }
        })
        .map_err(|source| EngineError::Setup {
            what: "the loading thread",
            source,
        })?;
    tokio::select! {
        ended = stop => ended,
        ended = watch(loading, &service) => ended,
        Some(request) = exits.recv() => Err(EngineError::ScriptedExit { request }),
        () = accept(listener, &service) => Ok(()),
    }
}

/// Publishes the service once it is loaded; ends only with an error.
async fn watch(
    loading: oneshot::Receiver<Result<Loaded, EngineError>>,
    service: &OnceLock<Arc<Service>>,
) -> Result<(), EngineError> {
    let Loaded {
        service: loaded,
        stopped,
    } = loading.await.unwrap_or(Err(EngineError::ComputeStopped))?;
    service.get_or_init(|| Arc::new(loaded));
    match stopped {
        Some(stopped) => stopped.await.unwrap_or(()),
        None => std::future::pending().await,
    }
    Err(EngineError::ComputeStopped)
}

async fn accept(listener: tokio::net::TcpListener, service: &Arc<OnceLock<Arc<Service>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            // The peer is gone already.
            continue;
        }
        let service = Arc::clone(service);
        tokio::spawn(async move {
            let serve = service_fn(|request| answer(Arc::clone(&service), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), serve);
            if connection.await.is_err() {
                // A client that goes away is no error of the engine.
            }
        });
    }
}

/// Thousands of streams need as many descriptors; the soft limit is raised as far as the system allows.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .is_err()
    {
        // What was allowed before still is.
    }
}
