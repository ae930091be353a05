//! Sends one request and records the answer: the code that runs for every byte of every stream.

use std::{
    cell::Cell,
    error::Error,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::mpsc::Receiver,
    task::{Context, Poll},
};

use hyper::{
    HeaderMap, Request, Response, Uri,
    body::{Body as HttpBody, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
    http::uri::InvalidUri,
};

use super::{
    alarm::sleep_until,
    connection::{Connection, OpenError},
    exchange::{End, Exchange, Recording, Stop},
    slot::Slot,
    target::Target,
    transport::Tls,
    turn::Body,
    upload::Upload,
};
use crate::clock::RunClock;

/// How long a broken connection waits for the news that the engine's process has ended, which may arrive a moment after the break.
const EXIT_NEWS_NS: u64 = 250_000_000;

/// What all requests of a turn have in common.
#[derive(Debug)]
pub(super) struct Head {
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    /// The head of requests to an engine's chat endpoint.
    pub(super) fn chat(target: &Target) -> Result<Self, InvalidUri> {
        let uri = target.path("/v1/chat/completions").parse()?;
        let mut headers = HeaderMap::with_capacity(4);
        // Host and port came out of a URL, so a header can carry them.
        if let Ok(host) = HeaderValue::try_from(target.authority()) {
            headers.insert(HOST, host);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(key) = target.authorization() {
            headers.insert(AUTHORIZATION, key.clone());
        }
        Ok(Self { uri, headers })
    }

    fn request(&self, body: &Body) -> Request<Upload> {
        let mut request = Request::new(Upload::from(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Where requests of a turn go.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) clock: RunClock,
    pub(super) address: std::net::SocketAddr,
    pub(super) tls: Option<Tls>,
    pub(super) head: Head,
    /// Connections opened so far.
    pub(super) opened: Cell<u32>,
    /// Reads of all of them.
    pub(super) reads: Rc<Cell<u64>>,
    /// Recordings that the parser thread has done with: their memory is there already.
    pub(super) spares: Receiver<Recording>,
}

impl Route {
    pub(super) async fn open(&self) -> Result<Box<Connection>, OpenError> {
        let reads = Rc::clone(&self.reads);
        let connection =
            Connection::open(self.address, self.tls.as_ref(), self.clock, reads).await?;
        self.opened.set(self.opened.get() + 1);
        Ok(connection)
    }

    fn recording(&self, tokens: u32) -> Recording {
        let mut recording = self.spares.try_recv().unwrap_or_default();
        recording.clear_for_tokens(tokens);
        recording
    }
}

/// Runs a request to its end, on `connection` or on one that it opens. Gives back the connection where it can be used again.
///
/// The first poll writes the request, if the connection stands.
pub(super) async fn run(
    route: Rc<Route>,
    slot: Rc<Slot>,
    mut exchange: Box<Exchange>,
    body: Body,
    connection: Option<Box<Connection>>,
) -> (Box<Exchange>, Option<Box<Connection>>) {
    let (end, kept) = converse(&route, &slot, &mut exchange, &body, connection).await;
    exchange.done_ns.get_or_insert_with(|| route.clock.now_ns());
    exchange.end = match end {
        broken @ (End::Lost(_) | End::Refused(_)) => {
            wait_for_exit_news(route.clock, &slot, broken).await
        }
        end => end,
    };
    slot.set_over();
    (exchange, kept)
}

async fn converse(
    route: &Route,
    slot: &Slot,
    exchange: &mut Exchange,
    body: &Body,
    connection: Option<Box<Connection>>,
) -> (End, Option<Box<Connection>>) {
    let mut next = connection;
    loop {
        let mut connection = match next.take() {
            Some(connection) => connection,
            None => {
                let opened = tokio::select! {
                    biased;
                    stop = slot.stopped() => return (End::Stopped(stop), None),
                    opened = route.open() => opened,
                };
                match opened {
                    Ok(connection) => connection,
                    Err(error) => return (End::Refused(error.to_string()), None),
                }
            }
        };
        let fresh = connection.is_fresh();
        let opening = connection.take_opening();
        exchange.connect_ns = opening.map(|opening| opening.connect_ns);
        exchange.connected_ns = opening.map(|opening| opening.connected_ns);
        connection.stamps.reset();
        let response = Box::pin(connection.sender.send_request(route.head.request(body)));
        let mut talk = Talk {
            route,
            connection: &mut connection,
            slot,
            exchange: &mut *exchange,
            phase: Phase::Head(response),
        };
        let end = std::future::poll_fn(|cx| talk.poll(cx)).await;
        exchange.sent_ns = connection.stamps.first_write_ns();
        match end {
            End::Complete => {
                exchange.done_ns = connection.stamps.last_read_ns();
                let kept = connection.is_usable().then_some(connection);
                return (End::Complete, kept);
            }
            // Closed by the server between two requests: nobody has seen this one.
            End::Lost(_) if !fresh && !connection.stamps.answered() && exchange.reconnects == 0 => {
                exchange.reconnects = 1;
                exchange.sent_ns = None;
            }
            end => return (end, None),
        }
    }
}

/// A break that is due to the end of the engine's process is called so.
async fn wait_for_exit_news(clock: RunClock, slot: &Slot, broken: End) -> End {
    tokio::select! {
        biased;
        stop = slot.stopped() => match stop {
            Stop::EngineExited => End::Stopped(stop),
            Stop::Deadline | Stop::Cancelled => broken,
        },
        () = sleep_until(clock, clock.now_ns() + EXIT_NEWS_NS) => broken,
    }
}

enum Phase {
    Head(Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>>>>),
    Body(Incoming),
}

/// One request on one connection.
struct Talk<'a> {
    route: &'a Route,
    connection: &'a mut Connection,
    slot: &'a Slot,
    exchange: &'a mut Exchange,
    phase: Phase,
}

impl Talk<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if let Poll::Ready(stop) = self.slot.poll_stop(cx) {
            return Poll::Ready(End::Stopped(stop));
        }
        loop {
            // The connection hands on one frame at a time and reads no further before it is taken, so its last read is when this frame came.
            let ended = self.connection.poll(cx).is_ready();
            match &mut self.phase {
                Phase::Head(response) => match response.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        self.exchange.headers_ns = self.connection.stamps.last_read_ns();
                        self.exchange.http_status = Some(response.status().as_u16());
                        self.exchange.recording = self
                            .route
                            .recording(self.exchange.facts.asked_output_tokens);
                        self.phase = Phase::Body(response.into_body());
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(broken(&error)),
                    Poll::Pending if ended => {
                        return Poll::Ready(End::Lost("the connection closed".to_owned()));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                Phase::Body(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let (Some(bytes), Some(at_ns)) =
                            (frame.data_ref(), self.connection.stamps.last_read_ns())
                        {
                            self.exchange.recording.append(bytes, at_ns);
                        }
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(broken(&error)),
                    Poll::Ready(None) => return Poll::Ready(End::Complete),
                    Poll::Pending if ended => {
                        return Poll::Ready(End::Lost("the connection closed".to_owned()));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}

/// Whether the connection broke, or brought something that is not HTTP.
fn broken(error: &hyper::Error) -> End {
    let mut text = error.to_string();
    let mut not_http = error.is_parse();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<io::Error>() {
            not_http |= matches!(
                inner.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            );
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if not_http {
        End::Malformed(text)
    } else {
        End::Lost(text)
    }
}
