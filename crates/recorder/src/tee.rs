//! Bodies of HTTP that are passed on as they arrive, with a copy of those that are not too long.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Bytes of a body that is recorded; a longer one passes and is not.
pub(crate) const BODY_BYTES_MAX: usize = 8 << 20;

/// What a body was: its bytes, or `None` if it was too long or did not end well.
pub(crate) type Copy = Option<Vec<u8>>;

/// Passes a body on and calls back when it is over or dropped.
pub(crate) struct Tee<F: FnOnce(Copy)> {
    inner: Incoming,
    copy: Copy,
    is_whole: bool,
    done: Option<F>,
}

impl<F: FnOnce(Copy)> Tee<F> {
    pub(crate) fn new(inner: Incoming, done: F) -> Self {
        let mut tee = Self {
            is_whole: false,
            inner,
            copy: Some(Vec::new()),
            done: Some(done),
        };
        // Nobody polls an empty body.
        if tee.inner.is_end_stream() {
            tee.end();
        }
        tee
    }

    fn end(&mut self) {
        self.is_whole = true;
        self.report();
    }

    fn report(&mut self) {
        let copy = self.copy.take().filter(|_| self.is_whole);
        if let Some(done) = self.done.take() {
            done(copy);
        }
    }
}

impl<F: FnOnce(Copy) + Unpin> Body for Tee<F> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(copy)) = (frame.data_ref(), &mut this.copy) {
                    if copy.len() + data.remaining() > BODY_BYTES_MAX {
                        this.copy = None;
                    } else {
                        copy.extend_from_slice(data);
                    }
                }
                if this.inner.is_end_stream() {
                    this.end();
                }
            }
            Poll::Ready(None) => this.end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<F: FnOnce(Copy)> Drop for Tee<F> {
    fn drop(&mut self) {
        self.report();
    }
}
