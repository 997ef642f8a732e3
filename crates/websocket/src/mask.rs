//! Masking: the XOR every client frame carries. Source: RFC 6455, section 5.3.

use crate::Opcode;
use crate::header::{MASKED_HEADER_BYTES_MAX, encode_header};

/// Applies `mask` to `bytes`, which start `offset` bytes into the frame's payload. Its own inverse.
///
/// Eight bytes at a time; the compiler widens this to vector registers.
pub(crate) fn apply_mask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);

    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A finished, masked, unfragmented frame: what a client sends. The caller draws `mask` at random.
pub fn mask_frame(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let (mut header, header_len) = encode_header(opcode, payload.len());
    header[1] |= 0x80;
    let mut frame = Vec::with_capacity(MASKED_HEADER_BYTES_MAX + payload.len());
    frame.extend(header.into_iter().take(usize::from(header_len)));
    frame.extend_from_slice(&mask);
    let start = frame.len();
    frame.extend_from_slice(payload);
    if let Some(payload) = frame.get_mut(start..) {
        apply_mask(payload, mask, 0);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_continues_at_any_offset() {
        let mask = [1, 2, 3, 4];
        let plain: Vec<u8> = (0..100).collect();
        let mut whole = plain.clone();
        apply_mask(&mut whole, mask, 0);
        for (at, byte) in whole.iter().enumerate() {
            assert_eq!(*byte, plain[at] ^ mask[at % 4]);
        }
        for split in 0..plain.len() {
            let mut parts = plain.clone();
            let (head, tail) = parts.split_at_mut(split);
            apply_mask(head, mask, 0);
            apply_mask(tail, mask, split);
            assert_eq!(parts, whole, "split at {split}");
        }
    }

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        // RFC 6455, section 5.7: a masked "Hello".
        let frame = mask_frame(Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(
            frame,
            [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        );
    }
}
