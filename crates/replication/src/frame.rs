//! Messages cut from the byte stream of a server.
//!
//! Invariants:
//!
//! * What a copy carries is handed out in place: the bytes share the read buffer, which is freed once they are dropped.
//! * No message announces memory into existence: every kind has a bound, and a copy beyond its bound is skipped on the
//!   wire and reported with its first bytes only.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::{COPY_DATA_TAG, Header, Message};

use crate::error::{Error, protocol};

/// Most bytes of one piece of a copy that is kept whole: one row as the publisher sent it, old and new version.
pub(crate) const COPY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most bytes of any other message: errors, notices and the few rows of replication commands.
const OTHER_BYTES_MAX: usize = 1024 * 1024;
/// Bytes kept of a piece of a copy that is too long.
pub(crate) const HEAD_BYTES: usize = 256;
/// Room made for reading when less than a sixteenth of it is left.
const READ_BYTES: usize = 64 * 1024;
/// Tag and length.
const HEADER_BYTES: usize = 5;
/// CopyBothResponse, which the protocol crate does not know.
const COPY_BOTH_TAG: u8 = b'W';

/// One message of the server.
pub(crate) enum Frame {
    /// From here on, both sides send copy data.
    CopyBoth,
    CopyData(Bytes),
    /// Copy data of which all but the first [`HEAD_BYTES`] is thrown away.
    Oversized {
        head: Bytes,
        bytes_total: usize,
    },
    Other(Message),
}

/// Turns bytes into [`Frame`]s. `Debug` does not show them: they are somebody's rows.
pub(crate) struct FrameReader {
    buffer: BytesMut,
    /// Bytes still to come that belong to an oversized message.
    skip: usize,
    copy_bytes_max: usize,
}

impl FrameReader {
    pub(crate) fn new(copy_bytes_max: usize) -> FrameReader {
        FrameReader {
            buffer: BytesMut::new(),
            skip: 0,
            copy_bytes_max,
        }
    }

    /// Where to read to; has room.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 16 {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// The next message, or `None` if more has to be read for it.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let skipped = self.skip.min(self.buffer.len());
        self.buffer.advance(skipped);
        self.skip -= skipped;
        let header = Header::parse(&self.buffer).map_err(|_| protocol("a message without a length"))?;
        let Some(header) = header else {
            return Ok(None);
        };
        let body = usize::try_from(header.len()).unwrap_or(0).saturating_sub(4);
        if header.tag() == COPY_DATA_TAG {
            return Ok(self.copy_data(body));
        }
        if body > OTHER_BYTES_MAX {
            return Err(protocol("a message of more than 1 MiB"));
        }
        if !self.holds(body) {
            return Ok(None);
        }
        if header.tag() == COPY_BOTH_TAG {
            self.buffer.advance(HEADER_BYTES + body);
            return Ok(Some(Frame::CopyBoth));
        }
        let message = Message::parse(&mut self.buffer).map_err(|_| protocol("a malformed message"))?;
        Ok(message.map(Frame::Other))
    }

    fn copy_data(&mut self, body: usize) -> Option<Frame> {
        if body > self.copy_bytes_max.max(HEAD_BYTES) {
            if !self.holds(HEAD_BYTES) {
                return None;
            }
            self.buffer.advance(HEADER_BYTES);
            // A copy, not to keep the buffer while the rest passes through it.
            let head = Bytes::copy_from_slice(self.buffer.get(..HEAD_BYTES).unwrap_or_default());
            self.skip = body;
            return Some(Frame::Oversized {
                head,
                bytes_total: body,
            });
        }
        if !self.holds(body) {
            return None;
        }
        self.buffer.advance(HEADER_BYTES);
        Some(Frame::CopyData(self.buffer.split_to(body).freeze()))
    }

    /// Whether a body of that length has arrived; makes room for it if not.
    fn holds(&mut self, body: usize) -> bool {
        let missing = (HEADER_BYTES + body).saturating_sub(self.buffer.len());
        if missing > 0 {
            self.buffer.reserve(missing);
        }
        missing == 0
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("buffered_bytes", &self.buffer.len())
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(body: &[u8]) -> Vec<u8> {
        [b"d", &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    #[test]
    fn messages_are_cut_wherever_the_bytes_are_split() {
        let stream = [
            &b"W\0\0\0\x07\0\0\0"[..],
            &copy(b"one"),
            &copy(b""),
            b"Z\0\0\0\x05I",
            &copy(b"two"),
        ]
        .concat();
        for size in 1..stream.len() {
            let mut reader = FrameReader::new(COPY_BYTES_MAX);
            let mut seen = Vec::new();
            for piece in stream.chunks(size) {
                reader.buffer().extend_from_slice(piece);
                while let Some(frame) = reader.next().unwrap() {
                    seen.push(match frame {
                        Frame::CopyBoth => "W".to_owned(),
                        Frame::CopyData(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                        Frame::Oversized { .. } => "oversized".to_owned(),
                        Frame::Other(Message::ReadyForQuery(_)) => "Z".to_owned(),
                        Frame::Other(_) => "other".to_owned(),
                    });
                }
            }
            assert_eq!(seen, ["W", "one", "", "Z", "two"], "pieces of {size}");
        }
    }

    #[test]
    fn a_copy_beyond_its_bound_is_skipped_and_costs_no_memory() {
        let mut reader = FrameReader::new(1000);
        let body: Vec<u8> = (0..100_000).map(|n| n as u8).collect();
        let stream = [copy(&body), copy(b"next")].concat();
        let mut seen = Vec::new();
        for piece in stream.chunks(777) {
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next().unwrap() {
                seen.push(frame);
            }
            assert!(reader.buffer.capacity() <= 2 * READ_BYTES);
        }
        let [
            Frame::Oversized {
                head,
                bytes_total: 100_000,
            },
            Frame::CopyData(next),
        ] = &seen[..]
        else {
            panic!("{} frames", seen.len());
        };
        assert_eq!(head[..], body[..HEAD_BYTES]);
        assert_eq!(next[..], b"next"[..]);
    }

    #[test]
    fn copies_are_not_copied() {
        let mut reader = FrameReader::new(COPY_BYTES_MAX);
        reader
            .buffer()
            .extend_from_slice(&[copy(b"first"), copy(b"second")].concat());
        let at = reader.buffer.as_ptr() as usize;
        let mut addresses = Vec::new();
        while let Some(Frame::CopyData(bytes)) = reader.next().unwrap() {
            addresses.push(bytes.as_ptr() as usize - at);
        }
        assert_eq!(addresses, [5, 15]);
    }

    #[test]
    fn nonsense_is_refused_before_memory_is_reserved() {
        for bytes in [
            &b"Z\0\0\0\x03"[..],
            b"E\x7f\xff\xff\xff",
            b"W\x7f\xff\xff\xff",
            b"?\0\0\0\x04",
        ] {
            let mut reader = FrameReader::new(COPY_BYTES_MAX);
            reader.buffer().extend_from_slice(bytes);
            assert!(reader.next().is_err(), "{bytes:?}");
            assert!(reader.buffer.capacity() <= READ_BYTES);
        }
    }
}
