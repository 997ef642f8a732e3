//! Outgoing frames of a server: unmasked, unfragmented, encoded once and shared.

use std::{fmt, io};

use bytes::Bytes;

use crate::header::{HEADER_BYTES_MAX, encode_header};
use crate::{CONTROL_PAYLOAD_BYTES_MAX, Opcode};

/// One finished, unmasked frame: header and payload in one run of bytes. Cloning bumps a reference count.
///
/// Invariant: the bytes are exactly one final, valid server frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    header_len: u8,
}

impl Frame {
    /// Header and payload, ready to be written to the transport.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes on the wire, header included. A frame is never empty, so there is no `is_empty`.
    #[expect(clippy::len_without_is_empty, reason = "a frame has at least its header")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Header and payload, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// The payload without its header.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(usize::from(self.header_len)..).unwrap_or_default()
    }

    /// What kind of frame this is.
    pub fn opcode(&self) -> Opcode {
        let first = self.bytes.first().copied().unwrap_or_default();
        Opcode::from_bits(first & 0x0F).expect("a frame is built from an Opcode")
    }
}

/// Shows kind and length only: a payload is somebody's data.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("opcode", &self.opcode())
            .field("len", &self.len())
            .finish()
    }
}

/// Collects the payload of one frame.
///
/// Room for the longest header is kept in front, and [`FrameBuilder::finish`] writes the header right before the
/// payload: nothing is moved or copied. With a sufficient capacity, building a frame allocates once.
#[derive(Debug)]
pub struct FrameBuilder {
    /// `HEADER_BYTES_MAX` bytes of room, then the payload.
    buffer: Vec<u8>,
    opcode: Opcode,
}

impl FrameBuilder {
    /// A builder with room for `payload_capacity` bytes; more may be written at the price of a reallocation.
    pub fn new(opcode: Opcode, payload_capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_BYTES_MAX + payload_capacity);
        buffer.extend_from_slice(&[0; HEADER_BYTES_MAX]);
        Self { buffer, opcode }
    }

    /// Appends bytes to the payload.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends one byte to the payload.
    pub fn push(&mut self, byte: u8) {
        self.buffer.push(byte);
    }

    /// Appends text to the payload.
    pub fn extend_str(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// Bytes of payload so far.
    pub fn len(&self) -> usize {
        self.buffer.len() - HEADER_BYTES_MAX
    }

    /// True while the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the header and hands the frame out.
    pub fn finish(mut self) -> Frame {
        let (header, header_len) = encode_header(self.opcode, self.len());
        let start = HEADER_BYTES_MAX - usize::from(header_len);
        for (room, byte) in self
            .buffer
            .iter_mut()
            .take(HEADER_BYTES_MAX)
            .skip(start)
            .zip(header)
        {
            *room = byte;
        }
        Frame {
            bytes: Bytes::from(self.buffer).slice(start..),
            header_len,
        }
    }
}

impl fmt::Write for FrameBuilder {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_str(text);
        Ok(())
    }
}

impl io::Write for FrameBuilder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A close frame. A `reason` that does not fit beside the code (123 bytes) is cut at a character boundary.
pub fn close_frame(code: u16, reason: &str) -> Frame {
    let fits = (0..=CONTROL_PAYLOAD_BYTES_MAX - 2)
        .rev()
        .find_map(|end| reason.get(..end));
    let reason = if reason.len() <= CONTROL_PAYLOAD_BYTES_MAX - 2 {
        reason
    } else {
        fits.unwrap_or_default()
    };
    let mut frame = FrameBuilder::new(Opcode::Close, 2 + reason.len());
    frame.extend_from_slice(&code.to_be_bytes());
    frame.extend_str(reason);
    frame.finish()
}

/// The answer to a ping. A payload of more than 125 bytes, which no valid ping has, is cut.
pub fn pong_frame(payload: &[u8]) -> Frame {
    control_frame(Opcode::Pong, payload)
}

/// A ping. A payload of more than 125 bytes is cut.
pub fn ping_frame(payload: &[u8]) -> Frame {
    control_frame(Opcode::Ping, payload)
}

fn control_frame(opcode: Opcode, payload: &[u8]) -> Frame {
    let payload = payload.get(..CONTROL_PAYLOAD_BYTES_MAX).unwrap_or(payload);
    let mut frame = FrameBuilder::new(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_frame(len: usize) -> Frame {
        let mut frame = FrameBuilder::new(Opcode::Text, len);
        frame.extend_from_slice(&vec![b'x'; len]);
        frame.finish()
    }

    #[test]
    fn the_header_takes_the_fewest_bytes_that_hold_the_length() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xFF, 0xFF]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text_frame(len);
            assert_eq!(
                &frame.as_bytes()[..header.len()],
                header,
                "payload of {len} bytes"
            );
            assert_eq!(frame.len(), header.len() + len);
            assert_eq!(frame.payload().len(), len);
        }
    }

    #[test]
    fn a_sufficient_capacity_is_never_outgrown() {
        let mut frame = FrameBuilder::new(Opcode::Binary, 300);
        let capacity = frame.buffer.capacity();
        frame.extend_from_slice(&[7; 300]);
        assert_eq!(frame.buffer.capacity(), capacity);
    }

    #[test]
    fn both_write_traits_append_to_the_payload() {
        let mut frame = FrameBuilder::new(Opcode::Text, 0);
        fmt::Write::write_fmt(&mut frame, format_args!("{}", 4)).unwrap();
        io::Write::write_all(&mut frame, b"2").unwrap();
        assert_eq!(frame.finish().payload(), b"42");
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = close_frame(1012, &"é".repeat(100));
        assert_eq!(frame.payload().len(), 2 + 122);
        assert_eq!(&frame.payload()[..2], [0x03, 0xF4]);
        assert!(std::str::from_utf8(&frame.payload()[2..]).is_ok());
    }

    #[test]
    fn control_payloads_never_exceed_their_bound() {
        assert_eq!(pong_frame(&[0; 200]).payload().len(), CONTROL_PAYLOAD_BYTES_MAX);
        assert_eq!(ping_frame(b"hi").as_bytes(), [0x89, 2, b'h', b'i']);
    }

    #[test]
    fn debug_output_shows_no_payload() {
        assert_eq!(format!("{:?}", text_frame(3)), "Frame { opcode: Text, len: 5 }");
    }
}
