//! A request's body on its way out: the pieces, one after another.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::turn::Body;

/// The pieces that are still to be written.
#[derive(Debug)]
pub(super) struct Upload {
    parts: std::vec::IntoIter<Bytes>,
    left_bytes: u64,
}

impl From<&Body> for Upload {
    fn from(body: &Body) -> Self {
        Self {
            parts: body.parts().to_vec().into_iter(),
            left_bytes: body.length_bytes(),
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.next();
        if let Some(part) = &part {
            self.left_bytes -= part.len() as u64;
        }
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.len() == 0
    }

    // Exact, so that `content-length` is sent and nothing is chunked.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}
