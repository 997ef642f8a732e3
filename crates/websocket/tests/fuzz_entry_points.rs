//! The fuzz target of this crate, run for a moment over mutations of valid conversations. See `fuzz/README.md`.

#[path = "../../../fuzz/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/entry/websocket_reader.rs"]
mod websocket_reader;

use websocket::{Opcode, mask_frame};

#[test]
fn any_bytes_amount_to_the_same_events_however_they_are_cut() {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let conversation = |messages: &[(Opcode, usize)]| {
        // The first byte tells the entry point that a server reads, and the size of its pieces.
        let mut bytes = vec![100];
        for (opcode, len) in messages {
            bytes.extend(mask_frame(*opcode, &vec![b'x'; *len], mask));
        }
        bytes
    };
    let corpus = [
        conversation(&[
            (Opcode::Text, 5),
            (Opcode::Ping, 0),
            (Opcode::Binary, 130),
            (Opcode::Pong, 125),
        ]),
        conversation(&[(Opcode::Text, 0), (Opcode::Text, 4096), (Opcode::Text, 4097)]),
        conversation(&[(Opcode::Close, 0), (Opcode::Text, 1)]),
        vec![
            101, 0x01, 0x02, b'a', b'b', 0x89, 0x01, b'p', 0x00, 0x00, 0x80, 0x01, b'c', 0x88, 0x02, 0x03,
            0xE8,
        ],
        vec![1, 0x82, 0x7E, 0x00, 0x7E],
    ];
    bounded::run(&corpus, 10_000, websocket_reader::run);
}
