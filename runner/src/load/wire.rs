//! The byte stream of a connection, which stamps its own writes and reads at the moment they happen.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::transport::Transport;
use crate::clock::RunClock;

/// When a connection wrote and read last; shared between the stream and the request that uses it.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    first_write_ns: Cell<Option<u64>>,
    last_read_ns: Cell<Option<u64>>,
    read_bytes: Cell<u64>,
}

impl Stamps {
    /// Forgets the previous request.
    pub(super) fn reset(&self) {
        self.first_write_ns.set(None);
        self.last_read_ns.set(None);
        self.read_bytes.set(0);
    }

    /// Just before the first byte of the request was written.
    pub(super) fn first_write_ns(&self) -> Option<u64> {
        self.first_write_ns.get()
    }

    /// When bytes arrived last, or the end of the stream.
    pub(super) fn last_read_ns(&self) -> Option<u64> {
        self.last_read_ns.get()
    }

    /// Whether the engine has answered with at least one byte.
    pub(super) fn answered(&self) -> bool {
        self.read_bytes.get() > 0
    }
}

/// A stream that stamps: what is encrypted just before, what is decrypted just after.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Transport,
    clock: RunClock,
    stamps: Rc<Stamps>,
    /// Reads of all connections.
    reads: Rc<Cell<u64>>,
}

impl Wire {
    pub(super) fn new(
        stream: Transport,
        clock: RunClock,
        stamps: Rc<Stamps>,
        reads: Rc<Cell<u64>>,
    ) -> Self {
        Self {
            stream,
            clock,
            stamps,
            reads,
        }
    }
}

/// Takes the time before the first write of a request, and keeps it if that write took bytes.
fn stamped(
    stamps: &Stamps,
    clock: RunClock,
    write: impl FnOnce() -> Poll<io::Result<usize>>,
) -> Poll<io::Result<usize>> {
    if stamps.first_write_ns.get().is_some() {
        return write();
    }
    let before_ns = clock.now_ns();
    let written = write();
    if matches!(written, Poll::Ready(Ok(_))) {
        stamps.first_write_ns.set(Some(before_ns));
    }
    written
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.stamps.last_read_ns.set(Some(self.clock.now_ns()));
            self.reads.set(self.reads.get() + 1);
            let read = (buf.filled().len() - before) as u64;
            self.stamps
                .read_bytes
                .set(self.stamps.read_bytes.get() + read);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let stream = Pin::new(&mut this.stream);
        stamped(&this.stamps, this.clock, || stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let stream = Pin::new(&mut this.stream);
        stamped(&this.stamps, this.clock, || {
            stream.poll_write_vectored(cx, bufs)
        })
    }

    // Pieces of a body go out as they are, without being copied together.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
