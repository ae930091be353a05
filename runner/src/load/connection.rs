//! Connections to the engine: opened before their time, kept warm for a moment, never used stale.

use std::{
    cell::Cell,
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;

use super::{
    transport::{Tls, Transport},
    upload::Upload,
    wire::{Stamps, Wire},
};
use crate::clock::{NS_PER_S, RunClock};

/// A connection that was idle for longer is not used again: servers close theirs after a few seconds, and one that closes while a request is on its
/// way costs that request.
const IDLE_MAX_NS: u64 = NS_PER_S;
/// One that has not been used yet may wait longer: servers give a first request more time.
const FRESH_MAX_NS: u64 = 4 * NS_PER_S;
/// Bytes that a connection reads at once, at most. Ten thousand streams have as many buffers.
const READ_BUFFER_BYTES: usize = 8192;

/// Why no connection could be opened.
#[derive(Debug, Error)]
pub(super) enum OpenError {
    #[error("cannot connect to {address}: {source}")]
    Connect {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("cannot speak HTTP to {address}: {source}")]
    Handshake {
        address: SocketAddr,
        source: hyper::Error,
    },
}

/// When a connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opening {
    /// When it began to open.
    pub(super) connect_ns: u64,
    /// When it stood.
    pub(super) connected_ns: u64,
}

/// One connection. Nobody else drives it: whoever holds it polls it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Upload>,
    pub(super) stamps: Rc<Stamps>,
    protocol: http1::Connection<TokioIo<Wire>, Upload>,
    ended: bool,
    /// Taken by the first request.
    opening: Option<Opening>,
    /// When it will have been idle too long.
    expires_ns: u64,
}

impl Connection {
    /// Opens a connection, whose reads are counted in `reads`.
    pub(super) async fn open(
        address: SocketAddr,
        tls: Option<&Tls>,
        clock: RunClock,
        reads: Rc<Cell<u64>>,
    ) -> Result<Box<Self>, OpenError> {
        let connect_ns = clock.now_ns();
        let stream = Transport::connect(address, tls)
            .await
            .map_err(|source| OpenError::Connect { address, source })?;
        let connected_ns = clock.now_ns();
        let stamps = Rc::new(Stamps::default());
        let wire = TokioIo::new(Wire::new(stream, clock, Rc::clone(&stamps), reads));
        let (sender, protocol) = http1::Builder::new()
            .read_buf_exact_size(Some(READ_BUFFER_BYTES))
            .handshake(wire)
            .await
            .map_err(|source| OpenError::Handshake { address, source })?;
        let opening = Some(Opening {
            connect_ns,
            connected_ns,
        });
        Ok(Box::new(Self {
            sender,
            stamps,
            protocol,
            ended: false,
            opening,
            expires_ns: connected_ns + FRESH_MAX_NS,
        }))
    }

    /// Whether it has not served a request yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.opening.is_some()
    }

    /// When it was opened, while it is fresh.
    pub(super) fn opening(&self) -> Option<Opening> {
        self.opening
    }

    /// When it was opened, for its first request only.
    pub(super) fn take_opening(&mut self) -> Option<Opening> {
        self.opening.take()
    }

    /// Lets it write and read. Ready when it has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ended {
            // What went wrong reaches the request through its response; here only the end matters.
            self.ended = Pin::new(&mut self.protocol).poll(cx).is_ready();
        }
        if self.ended {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Whether it can take a request now, as far as one can see without sending one.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll(&mut cx).is_pending()
            && matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }
}

/// Idle connections, longest idle first.
#[derive(Default)]
pub(super) struct Pool {
    idle: VecDeque<Box<Connection>>,
}

impl Pool {
    /// Takes the one that was used last, unless it will have been idle too long by `use_at_ns` or has been closed.
    pub(super) fn take(&mut self, use_at_ns: u64) -> Option<Box<Connection>> {
        while self
            .idle
            .front()
            .is_some_and(|connection| connection.expires_ns < use_at_ns)
        {
            self.idle.pop_front();
        }
        while let Some(mut connection) = self.idle.pop_back() {
            if connection.expires_ns >= use_at_ns && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// Puts one back that is idle from now on.
    pub(super) fn put(&mut self, mut connection: Box<Connection>, now_ns: u64) {
        connection.expires_ns = now_ns
            + if connection.is_fresh() {
                FRESH_MAX_NS
            } else {
                IDLE_MAX_NS
            };
        self.idle.push_back(connection);
    }
}
