//! What a reader makes of frames, whole and in pieces, and what it keeps of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use proptest::prelude::*;
use websocket::{Event, FrameReader, Opcode, ProtocolError, Role, mask_frame};

const CAP: usize = 5_000_000;
const MASK: [u8; 4] = [0xA1, 0xB2, 0xC3, 0xD4];

/// A masked frame without the FIN bit, or a continuation.
fn fragment(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = mask_frame(Opcode::Text, payload, MASK);
    frame[0] = first;
    frame
}

/// Feeds `bytes` in pieces and collects the data messages.
fn messages(reader: &mut FrameReader, bytes: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, ProtocolError> {
    let mut messages = Vec::new();
    for piece in bytes.to_vec().chunks_mut(piece) {
        reader.feed(piece, &mut |event| {
            if let Event::Text(message) | Event::Binary(message) = event {
                messages.push(message.to_vec());
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(messages)
}

#[test]
fn an_idle_reader_holds_no_buffer() {
    let mut reader = FrameReader::new(Role::Server, CAP);
    assert_eq!(reader.buffered_bytes(), 0);
    let frame = mask_frame(Opcode::Binary, &[7; 100_000], MASK);
    for piece in [frame.len(), 60_000, 1] {
        assert_eq!(messages(&mut reader, &frame, piece).unwrap(), [vec![7; 100_000]]);
        assert_eq!(reader.buffered_bytes(), 0);
    }
}

#[test]
fn a_whole_message_is_reported_in_place() {
    let mut frame = mask_frame(Opcode::Text, b"hello", MASK);
    let range = frame.as_ptr_range();
    let mut seen = 0;
    FrameReader::new(Role::Server, CAP)
        .feed(&mut frame, &mut |event| {
            let Event::Text(message) = event else {
                panic!("a text message")
            };
            assert!(range.contains(&message.as_ptr()));
            seen += message.len();
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 5);
}

#[test]
fn a_large_message_is_not_copied_over_and_over() {
    // 64 MiB in reads of 64 kB: copying what has arrived on every read would move 32 GiB.
    let message = vec![b'x'; 64 << 20];
    let frame = mask_frame(Opcode::Text, &message, MASK);
    let mut reader = FrameReader::new(Role::Server, message.len());
    assert!(messages(&mut reader, &frame, 64 << 10).unwrap() == [message]);
}

#[test]
fn many_small_fragments_are_not_copied_over_and_over() {
    // Growing the buffer by one byte for each fragment would move 125 GB.
    let mut bytes = fragment(0x02, b"");
    for _ in 0..500_000 {
        bytes.extend(fragment(0x00, b"x"));
    }
    bytes.extend(fragment(0x80, b""));
    let mut reader = FrameReader::new(Role::Server, CAP);
    assert!(messages(&mut reader, &bytes, 64 << 10).unwrap() == [vec![b'x'; 500_000]]);
}

#[test]
fn announcing_much_and_sending_little_costs_little() {
    let frame = mask_frame(Opcode::Text, &vec![b'x'; CAP], MASK);
    let mut reader = FrameReader::new(Role::Server, CAP);
    for sent in [20, 5_000, 100_000] {
        let mut reader = FrameReader::new(Role::Server, CAP);
        assert!(messages(&mut reader, &frame[..sent], sent).unwrap().is_empty());
        assert!(
            reader.buffered_bytes() <= 4096 + 2 * sent,
            "{} held of {sent}",
            reader.buffered_bytes()
        );
    }
    assert!(
        messages(&mut reader, &frame[..frame.len() - 1], 1000)
            .unwrap()
            .is_empty()
    );
    assert!(reader.buffered_bytes() <= CAP);
}

#[test]
fn a_message_over_the_cap_is_refused_by_its_header() {
    let frame = mask_frame(Opcode::Text, &[b'x'; 1001], MASK);
    for header_piece in 1..=8 {
        let mut reader = FrameReader::new(Role::Server, 1000);
        let error = messages(&mut reader, &frame[..8], header_piece).unwrap_err();
        assert_eq!(
            error,
            ProtocolError::MessageTooBig {
                announced: 1001,
                max: 1000
            }
        );
        assert_eq!(error.close_code(), 1009);
    }
    let whole = mask_frame(Opcode::Text, &[b'x'; 1000], MASK);
    assert!(messages(&mut FrameReader::new(Role::Server, 1000), &whole, 10).is_ok());
}

#[test]
fn fragments_count_together_against_the_cap() {
    let bytes = [
        fragment(0x01, &[0; 600]),
        fragment(0x00, &[0; 400]),
        fragment(0x80, &[0; 1]),
    ]
    .concat();
    let error = messages(&mut FrameReader::new(Role::Server, 1000), &bytes, 100).unwrap_err();
    assert_eq!(
        error,
        ProtocolError::MessageTooBig {
            announced: 1001,
            max: 1000
        }
    );
}

#[test]
fn breaking_drops_the_rest_of_the_input() {
    let mut bytes = [
        mask_frame(Opcode::Text, b"a", MASK),
        mask_frame(Opcode::Text, b"b", MASK),
    ]
    .concat();
    let mut seen = 0;
    let mut reader = FrameReader::new(Role::Server, CAP);
    reader
        .feed(&mut bytes, &mut |_| {
            seen += 1;
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!(seen, 1);
}

#[test]
fn nothing_is_reported_after_a_close() {
    let close = mask_frame(Opcode::Close, &[0x03, 0xE8], MASK);
    let bytes = [close, mask_frame(Opcode::Text, b"late", MASK), vec![0xFF; 20]].concat();
    let mut reader = FrameReader::new(Role::Server, CAP);
    assert_eq!(messages(&mut reader, &bytes, bytes.len()), Ok(Vec::new()));
    assert_eq!(messages(&mut reader, &bytes, 3), Ok(Vec::new()));
}

#[test]
fn every_registered_and_private_close_code_is_accepted_and_no_other() {
    for code in 0..=u16::MAX {
        let mut frame = mask_frame(Opcode::Close, &code.to_be_bytes(), MASK);
        let fed = FrameReader::new(Role::Server, CAP).feed(&mut frame, &mut |_| ControlFlow::Continue(()));
        let is_valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(
            fed,
            if is_valid {
                Ok(())
            } else {
                Err(ProtocolError::InvalidClose)
            },
            "{code}"
        );
    }
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        sent in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 4]>(), 1_usize..4, any::<bool>()), 0..8),
        piece in 1_usize..200,
    ) {
        let mut bytes = Vec::new();
        for (message, mask, fragments, interrupted) in &sent {
            let parts: Vec<_> = message.chunks(message.len().div_ceil(*fragments).max(1)).collect();
            let parts = if parts.is_empty() { vec![&message[..]] } else { parts };
            for (index, part) in parts.iter().enumerate() {
                let mut frame = mask_frame(Opcode::Binary, part, *mask);
                let fin = if index + 1 == parts.len() { 0x80 } else { 0 };
                frame[0] = fin | if index == 0 { 0x02 } else { 0x00 };
                bytes.extend(frame);
                if *interrupted {
                    bytes.extend(mask_frame(Opcode::Ping, b"now", *mask));
                }
            }
        }
        let received = messages(&mut FrameReader::new(Role::Server, CAP), &bytes, piece).unwrap();
        let expected: Vec<_> = sent.into_iter().map(|(message, ..)| message).collect();
        prop_assert_eq!(received, expected);
    }
}
