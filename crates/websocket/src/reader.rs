//! Reassembly of a peer's frames.
//!
//! ```text
//!            bytes                    payload complete, FIN          (events)
//!  Header ──────────▶ Payload ──────────────────────────────▶ message or control frame
//!    ▲                   │ payload complete, no FIN
//!    └───────────────────┘ the fragment is kept
//! ```
//!
//! Invariants:
//!
//! * While no frame and no message is incomplete, nothing is buffered: an idle connection costs the size of
//!   [`FrameReader`] and no heap.
//! * A message that arrives whole in one call is reported in place, without a copy.
//! * Every payload byte is copied at most once plus amortised growth, however small the pieces.
//! * The buffer of a message never exceeds what the message can still become, and never exceeds twice what has
//!   arrived by more than [`FIRST_BUFFER_BYTES`]: announcing much and sending little costs little.

use std::ops::ControlFlow;

use crate::header::{Header, MASKED_HEADER_BYTES_MAX, decode_header};
use crate::mask::apply_mask;
use crate::{Opcode, ProtocolError};

/// Least room for a message that did not arrive in one piece, if it may get that long. Bytes.
const FIRST_BUFFER_BYTES: usize = 4 * 1024;

/// Which side reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads frames of a client, which are masked.
    Server,
    /// Reads frames of a server, which are not.
    Client,
}

/// Something complete the peer sent. The bytes are unmasked and live as long as the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message. Not checked for UTF-8.
    Text(&'a [u8]),
    /// A binary message.
    Binary(&'a [u8]),
    /// A ping; wants [`crate::pong_frame`] with this payload.
    Ping(&'a [u8]),
    /// A pong.
    Pong(&'a [u8]),
    /// The peer closes. The last event of a connection.
    Close {
        /// The peer's close code, if it gave one; only codes that may appear on the wire.
        code: Option<u16>,
        /// The peer's reason. Not checked for UTF-8.
        reason: &'a [u8],
    },
}

/// Turns a byte stream into [`Event`]s.
#[derive(Debug)]
pub struct FrameReader {
    role: Role,
    max_message_bytes: usize,
    /// The start of a header that is not complete yet.
    header: PartialHeader,
    /// The frame whose payload is arriving.
    frame: Option<OpenFrame>,
    /// The data message under way: its opcode and what has arrived of it.
    message: Option<(Opcode, Vec<u8>)>,
    /// What has arrived of a control frame that is under way.
    control: Vec<u8>,
    closed: bool,
}

#[derive(Debug, Default)]
struct PartialHeader {
    bytes: [u8; MASKED_HEADER_BYTES_MAX],
    len: u8,
}

/// A frame whose header is read and whose payload is not complete.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    header: Header,
    /// Payload bytes that have arrived. `< header.payload_len`.
    arrived: usize,
}

impl FrameReader {
    /// A reader that refuses messages of more than `max_message_bytes`.
    pub fn new(role: Role, max_message_bytes: usize) -> Self {
        Self {
            role,
            max_message_bytes,
            header: PartialHeader::default(),
            frame: None,
            message: None,
            control: Vec::new(),
            closed: false,
        }
    }

    /// Takes in all of `input`, unmasking it in place, and calls `on` for every message and control frame that
    /// becomes complete, in order.
    ///
    /// When `on` breaks, the rest of `input` is dropped: the connection is over for the caller. After a close
    /// frame nothing more is reported.
    ///
    /// # Errors
    ///
    /// The first violation of the protocol. The reader is of no use after it.
    pub fn feed(
        &mut self,
        input: &mut [u8],
        on: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<(), ProtocolError> {
        let mut rest = input;
        while !rest.is_empty() && !self.closed {
            let (header, arrived) = match self.frame.take() {
                Some(open) => (open.header, open.arrived),
                None => {
                    let Some((header, used)) = self.read_header(rest)? else {
                        return Ok(());
                    };
                    self.admit(&header)?;
                    rest = rest.get_mut(used..).unwrap_or_default();
                    (header, 0)
                }
            };

            let missing = usize::try_from(header.payload_len).unwrap_or(usize::MAX) - arrived;
            let take = missing.min(rest.len());
            let (payload, after) = rest.split_at_mut(take);
            rest = after;
            apply_mask(payload, header.mask, arrived);

            if take < missing {
                self.keep(&header, payload, missing);
                self.frame = Some(OpenFrame {
                    header,
                    arrived: arrived + take,
                });
                return Ok(());
            }
            if self.complete(&header, payload, on)?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Heap bytes held for what is incomplete. Zero when idle between messages.
    pub fn buffered_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |(_, bytes)| bytes.capacity()) + self.control.capacity()
    }

    /// The next header and how many bytes of `input` it took; `None` if `input` ends inside it.
    fn read_header(&mut self, input: &[u8]) -> Result<Option<(Header, usize)>, ProtocolError> {
        let kept = usize::from(self.header.len);
        if kept == 0
            && let Some(found) = decode_header(input, self.role)?
        {
            return Ok(Some(found));
        }
        // The header straddles two inputs: complete the kept copy. No header is longer than that copy.
        let room = self.header.bytes.get_mut(kept..).unwrap_or_default();
        let added = room.len().min(input.len());
        for (to, from) in room.iter_mut().zip(input) {
            *to = *from;
        }
        let bytes = self.header.bytes.get(..kept + added).unwrap_or_default();
        match decode_header(bytes, self.role)? {
            Some((header, len)) => {
                self.header.len = 0;
                Ok(Some((header, len - kept)))
            }
            None => {
                self.header.len = (kept + added) as u8;
                Ok(None)
            }
        }
    }

    /// Checks a frame against what is under way, before its payload is looked at.
    fn admit(&mut self, header: &Header) -> Result<(), ProtocolError> {
        let so_far = match (header.opcode, &self.message) {
            (Some(opcode), _) if opcode.is_control() => return Ok(()),
            (Some(_), Some(_)) => return Err(ProtocolError::ExpectedContinuation),
            (Some(_), None) => 0,
            (None, Some((_, bytes))) => bytes.len(),
            (None, None) => return Err(ProtocolError::UnexpectedContinuation),
        };
        let announced = header.payload_len.saturating_add(so_far as u64);
        if announced > self.max_message_bytes as u64 {
            return Err(ProtocolError::MessageTooBig {
                announced,
                max: self.max_message_bytes,
            });
        }
        Ok(())
    }

    /// Keeps a piece of a payload; `missing` counts from the start of the piece to the end of the frame.
    fn keep(&mut self, header: &Header, piece: &[u8], missing: usize) {
        let buffer = match header.opcode {
            Some(opcode) if opcode.is_control() => &mut self.control,
            Some(opcode) => &mut self.message.get_or_insert_with(|| (opcode, Vec::new())).1,
            None => match &mut self.message {
                Some((_, bytes)) => bytes,
                None => return,
            },
        };
        // The last frame says what is to come; before it, only the cap on messages does.
        let to_come = if header.fin {
            missing
        } else {
            self.max_message_bytes.saturating_sub(buffer.len())
        };
        append(buffer, piece, to_come);
    }

    /// Ends a frame with the last piece of its payload.
    fn complete(
        &mut self,
        header: &Header,
        last: &[u8],
        on: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ProtocolError> {
        if let Some(opcode) = header.opcode
            && opcode.is_control()
        {
            let mut kept = std::mem::take(&mut self.control);
            let payload = if kept.is_empty() {
                last
            } else {
                kept.extend_from_slice(last);
                &kept
            };
            self.closed = opcode == Opcode::Close;
            return Ok(on(control_event(opcode, payload)?));
        }
        match (header.fin, header.opcode, &self.message) {
            (false, ..) => {
                self.keep(header, last, last.len());
                Ok(ControlFlow::Continue(()))
            }
            (true, Some(opcode), None) => Ok(on(data_event(opcode, last))),
            (true, ..) => {
                self.keep(header, last, last.len());
                match self.message.take() {
                    Some((opcode, message)) => Ok(on(data_event(opcode, &message))),
                    None => Ok(ControlFlow::Continue(())),
                }
            }
        }
    }
}

/// Appends `piece`, growing by doubling but by no more than `to_come`, the most bytes that can still follow.
fn append(buffer: &mut Vec<u8>, piece: &[u8], to_come: usize) {
    if buffer.capacity() - buffer.len() < piece.len() {
        let doubled = buffer.len().max(FIRST_BUFFER_BYTES);
        buffer.reserve_exact(doubled.max(piece.len()).min(to_come));
    }
    buffer.extend_from_slice(piece);
}

fn data_event(opcode: Opcode, payload: &[u8]) -> Event<'_> {
    if opcode == Opcode::Text {
        Event::Text(payload)
    } else {
        Event::Binary(payload)
    }
}

fn control_event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    match opcode {
        Opcode::Ping => Ok(Event::Ping(payload)),
        Opcode::Close => match payload.split_first_chunk() {
            Some((code, reason)) => {
                let code = u16::from_be_bytes(*code);
                if !may_be_received(code) {
                    return Err(ProtocolError::InvalidClose);
                }
                Ok(Event::Close {
                    code: Some(code),
                    reason,
                })
            }
            None if payload.is_empty() => Ok(Event::Close {
                code: None,
                reason: &[],
            }),
            None => Err(ProtocolError::InvalidClose),
        },
        Opcode::Pong | Opcode::Text | Opcode::Binary => Ok(Event::Pong(payload)),
    }
}

/// The close codes that may appear in a close frame: the registered ones and the two private ranges.
/// Source: RFC 6455, section 7.4, and the IANA registry of close codes.
fn may_be_received(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
