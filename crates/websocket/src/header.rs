//! Frame headers as bytes. Source of the layout: RFC 6455, section 5.2.

use crate::opcode::CONTINUATION_BITS;
use crate::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, ProtocolError, Role};

/// Header of an unmasked frame with a 64-bit length. Bytes.
pub(crate) const HEADER_BYTES_MAX: usize = 10;

/// Header of a masked frame with a 64-bit length: the longest header there is. Bytes.
pub(crate) const MASKED_HEADER_BYTES_MAX: usize = 14;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7F;
const LENGTH_IS_16_BIT: u8 = 126;
const LENGTH_IS_64_BIT: u8 = 127;

/// What the header of a received frame says. Its rules are already checked: a control frame is final and short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// `None`: a continuation.
    pub(crate) opcode: Option<Opcode>,
    pub(crate) payload_len: u64,
    /// All zero when the frame is unmasked.
    pub(crate) mask: [u8; 4],
}

/// The header of a final, unmasked frame, in the fewest bytes, and how many of the array's bytes it takes.
pub(crate) fn encode_header(opcode: Opcode, payload_len: usize) -> ([u8; HEADER_BYTES_MAX], u8) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = FIN | opcode.bits();
    if payload_len < usize::from(LENGTH_IS_16_BIT) {
        header[1] = payload_len as u8;
        (header, 2)
    } else if let Ok(len) = u16::try_from(payload_len) {
        header[1] = LENGTH_IS_16_BIT;
        header[2..4].copy_from_slice(&len.to_be_bytes());
        (header, 4)
    } else {
        header[1] = LENGTH_IS_64_BIT;
        header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        (header, 10)
    }
}

/// How many bytes the header takes whose second byte this is. Bytes.
pub(crate) fn header_len(second: u8) -> usize {
    let length = match second & LENGTH {
        LENGTH_IS_16_BIT => 2,
        LENGTH_IS_64_BIT => 8,
        _ => 0,
    };
    let mask = if second & MASK == 0 { 0 } else { 4 };
    2 + length + mask
}

/// Reads the header at the start of `bytes`. `None` if it is not complete yet.
///
/// # Errors
///
/// Every rule that concerns one header alone; the order of frames is the reader's affair.
pub(crate) fn decode_header(bytes: &[u8], role: Role) -> Result<Option<(Header, usize)>, ProtocolError> {
    let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };

    if first & RESERVED != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    let bits = first & OPCODE;
    let opcode = Opcode::from_bits(bits);
    if opcode.is_none() && bits != CONTINUATION_BITS {
        return Err(ProtocolError::UnknownOpcode(bits));
    }
    let masked = second & MASK != 0;
    match role {
        Role::Server if !masked => return Err(ProtocolError::Unmasked),
        Role::Client if masked => return Err(ProtocolError::Masked),
        Role::Server | Role::Client => {}
    }
    let fin = first & FIN != 0;
    let short_len = second & LENGTH;
    if opcode.is_some_and(Opcode::is_control) {
        if !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if usize::from(short_len) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }
    }

    let (payload_len, rest) = match short_len {
        LENGTH_IS_16_BIT => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*len));
            if len < u64::from(LENGTH_IS_16_BIT) {
                return Err(ProtocolError::LengthEncoding);
            }
            (len, rest)
        }
        LENGTH_IS_64_BIT => {
            let Some((len, rest)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*len);
            if len <= u64::from(u16::MAX) || len > i64::MAX as u64 {
                return Err(ProtocolError::LengthEncoding);
            }
            (len, rest)
        }
        len => (u64::from(len), rest),
    };
    let mask = if masked {
        let Some((mask, _)) = rest.split_first_chunk() else {
            return Ok(None);
        };
        *mask
    } else {
        [0; 4]
    };
    Ok(Some((
        Header {
            fin,
            opcode,
            payload_len,
            mask,
        },
        header_len(second),
    )))
}
