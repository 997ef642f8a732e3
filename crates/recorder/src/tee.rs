//! Bodies of HTTP that are passed on as they arrive, with a copy of those that are not too long.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
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

/// A body of a request, as far as it was read before it is passed on.
pub(crate) enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// More than is recorded.
    TooLong(Resumed),
}

/// A body whose beginning has been read.
pub(crate) struct Resumed {
    read: Option<Bytes>,
    rest: Incoming,
}

/// Reads a body to its end, or until it is too long.
pub(crate) async fn gather(mut body: Incoming) -> Result<Gathered, hyper::Error> {
    let mut read = Vec::new();
    let is_announced = body.size_hint().lower() > BODY_BYTES_MAX as u64;
    while !is_announced && read.len() <= BODY_BYTES_MAX {
        match body.frame().await {
            None => return Ok(Gathered::Whole(read.into())),
            Some(frame) => {
                if let Some(data) = frame?.data_ref() {
                    read.extend_from_slice(data);
                }
            }
        }
    }
    Ok(Gathered::TooLong(Resumed {
        read: Some(read.into()).filter(|read: &Bytes| !read.is_empty()),
        rest: body,
    }))
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        match this.read.take() {
            Some(read) => Poll::Ready(Some(Ok(Frame::data(read)))),
            None => Pin::new(&mut this.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint.set_lower(rest.lower() + read);
        hint
    }
}
