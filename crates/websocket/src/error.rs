//! What a peer can do wrong at the framing layer.

use std::fmt;

/// A violation of the framing rules. The connection cannot go on: nothing after it can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A message would be longer than this side accepts. Found when the header announces it, before its payload.
    MessageTooBig {
        /// Bytes of the message, as far as announced.
        announced: u64,
        /// Most bytes this side accepts.
        max: usize,
    },
    /// A client sent a frame without a mask.
    Unmasked,
    /// A server sent a frame with a mask.
    Masked,
    /// A reserved bit is set though no extension was negotiated.
    ReservedBits,
    /// An opcode that has no meaning.
    UnknownOpcode(u8),
    /// A length not written in the fewest bytes, or with its topmost bit set.
    LengthEncoding,
    /// A control frame with more than 125 bytes of payload.
    ControlTooLong,
    /// A control frame without the FIN bit.
    FragmentedControl,
    /// A continuation frame although no message is under way.
    UnexpectedContinuation,
    /// A new data frame although a fragmented message is under way.
    ExpectedContinuation,
    /// A close frame with one byte of payload, or with a code that may not be sent.
    InvalidClose,
}

impl ProtocolError {
    /// The close code that tells the peer what it did. Source: RFC 6455, section 7.4.1.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::MessageTooBig { .. } => 1009,
            Self::Unmasked
            | Self::Masked
            | Self::ReservedBits
            | Self::UnknownOpcode(_)
            | Self::LengthEncoding
            | Self::ControlTooLong
            | Self::FragmentedControl
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::InvalidClose => 1002,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MessageTooBig { announced, max } => {
                write!(f, "message of {announced} bytes, at most {max} are accepted")
            }
            Self::Unmasked => f.write_str("client frame without a mask"),
            Self::Masked => f.write_str("server frame with a mask"),
            Self::ReservedBits => f.write_str("reserved bit set"),
            Self::UnknownOpcode(bits) => write!(f, "unknown opcode {bits:#x}"),
            Self::LengthEncoding => f.write_str("payload length not in its shortest form"),
            Self::ControlTooLong => f.write_str("control frame longer than 125 bytes"),
            Self::FragmentedControl => f.write_str("fragmented control frame"),
            Self::UnexpectedContinuation => f.write_str("continuation of nothing"),
            Self::ExpectedContinuation => f.write_str("data frame inside a fragmented message"),
            Self::InvalidClose => f.write_str("invalid close payload"),
        }
    }
}

impl std::error::Error for ProtocolError {}
