//! The meaning of a frame.

/// What a whole message or control frame is. Continuation frames are an affair of [`crate::FrameReader`] and have
/// no value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// The closing handshake.
    Close,
    /// A liveness probe; wants a pong with the same payload.
    Ping,
    /// The answer to a ping, or an unsolicited heartbeat.
    Pong,
}

/// The four bits of a continuation frame. Source: RFC 6455, section 5.2.
pub(crate) const CONTINUATION_BITS: u8 = 0x0;

impl Opcode {
    /// The four bits on the wire. Source: RFC 6455, section 5.2.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// The opcode with these four bits; `None` for a continuation and for the reserved values.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// True for close, ping and pong, which are short, unfragmented and may interrupt a fragmented message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}
