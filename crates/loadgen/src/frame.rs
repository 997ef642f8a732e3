//! WebSocket frame boundaries, and nothing more.
//!
//! Client frames are masked with the all-zero key: legal, and a mask that changes nothing, so the floor can copy a
//! payload without unmasking it and a sender can stamp a finished frame in place. Fragmented messages are not
//! reassembled (servers of this protocol send none); a frame above [`FRAME_BYTES_MAX`] is refused, so the memory of
//! an [`Inbox`] is bounded.

/// Opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Largest payload an [`Inbox`] waits for. Bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// One whole frame as it lies in the input.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Low four bits of the first byte.
    pub opcode: u8,
    /// The payload; a masked one is taken as masked with the zero key.
    pub payload: &'a [u8],
}

/// The peer announced a frame above [`FRAME_BYTES_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub struct FrameTooBig;

impl std::fmt::Display for FrameTooBig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the peer announced a frame above {FRAME_BYTES_MAX} bytes")
    }
}

impl std::error::Error for FrameTooBig {}

/// A finished frame from client to server: masked with the zero key.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), MASKED);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A finished frame from server to client.
pub fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len(), 0);
    frame.extend_from_slice(payload);
    frame
}

fn header(opcode: u8, payload_bytes: usize, mask_bit: u8) -> Vec<u8> {
    let mut header = Vec::with_capacity(14 + payload_bytes);
    header.push(FIN | opcode);
    match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
        (Ok(short @ ..=125), _) => header.push(mask_bit | short),
        (_, Ok(medium)) => {
            header.push(mask_bit | 126);
            header.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            header.push(mask_bit | 127);
            header.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
    header
}

/// The first frame of `bytes` and the bytes it takes up, or `None` while it is incomplete.
pub fn split(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameTooBig> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let (length, extended_bytes) = match second & 0x7f {
        126 => match rest.first_chunk::<2>() {
            Some(medium) => (u64::from(u16::from_be_bytes(*medium)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(long) => (u64::from_be_bytes(*long), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    if length > FRAME_BYTES_MAX as u64 {
        return Err(FrameTooBig);
    }
    let start = 2 + extended_bytes + if second & MASKED == 0 { 0 } else { 4 };
    let end = start + length as usize;
    Ok(bytes.get(start..end).map(|payload| {
        (
            Frame {
                opcode: first & 0x0f,
                payload,
            },
            end,
        )
    }))
}

/// Cuts a byte stream into frames. Holds no buffer while no frame is incomplete.
#[derive(Debug, Default)]
pub struct Inbox {
    partial: Vec<u8>,
}

impl Inbox {
    /// Calls `on` once per frame completed by `input`, in order.
    pub fn feed(&mut self, input: &[u8], mut on: impl FnMut(Frame<'_>)) -> Result<(), FrameTooBig> {
        if self.partial.is_empty() {
            let used = drain(input, &mut on)?;
            self.partial
                .extend_from_slice(input.get(used..).unwrap_or_default());
        } else {
            self.partial.extend_from_slice(input);
            let used = drain(&self.partial, &mut on)?;
            self.partial.drain(..used);
        }
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Ok(())
    }
}

fn drain(bytes: &[u8], on: &mut impl FnMut(Frame<'_>)) -> Result<usize, FrameTooBig> {
    let mut used = 0;
    while let Some((frame, length)) = split(bytes.get(used..).unwrap_or_default())? {
        on(frame);
        used += length;
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[&[u8]]) -> Vec<(u8, Vec<u8>)> {
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        for piece in input {
            inbox
                .feed(piece, |frame| seen.push((frame.opcode, frame.payload.to_vec())))
                .unwrap();
        }
        assert!(inbox.partial.is_empty());
        seen
    }

    #[test]
    fn every_length_form_survives_the_round_trip_in_both_directions() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            for frame in [client_frame(TEXT, &payload), server_frame(TEXT, &payload)] {
                assert_eq!(frames(&[&frame]), [(TEXT, payload.clone())], "{length} bytes");
            }
        }
    }

    #[test]
    fn several_frames_in_one_read_come_out_in_order() {
        let read = [server_frame(TEXT, b"a"), server_frame(BINARY, b"bc")].concat();
        assert_eq!(
            frames(&[&read]),
            [(TEXT, b"a".to_vec()), (BINARY, b"bc".to_vec())]
        );
    }

    #[test]
    fn a_frame_cut_at_any_byte_is_put_together_again() {
        let read = [server_frame(BINARY, &[7; 300]), server_frame(TEXT, b"end")].concat();
        for cut in 0..=read.len() {
            let (before, after) = read.split_at(cut);
            assert_eq!(
                frames(&[before, after]),
                [(BINARY, vec![7; 300]), (TEXT, b"end".to_vec())],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_frame_above_the_bound_is_refused_before_it_is_buffered() {
        let mut announced = vec![0x82, 127];
        announced.extend_from_slice(&(FRAME_BYTES_MAX as u64 + 1).to_be_bytes());
        assert_eq!(Inbox::default().feed(&announced, |_| ()), Err(FrameTooBig));
    }
}
