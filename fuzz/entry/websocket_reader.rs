//! Frames in any pieces amount to the same events.

use std::ops::ControlFlow;

use websocket::{Event, FrameReader, ProtocolError, Role};

const MAX_MESSAGE_BYTES: usize = 4096;

/// The first byte picks the role and how the rest is cut into pieces.
pub(crate) fn run(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else {
        return;
    };
    let role = if mode & 1 == 0 { Role::Server } else { Role::Client };

    let whole = read(role, bytes, bytes.len().max(1));
    for piece in [1, 2, 3, 7, usize::from(mode >> 1) + 1] {
        assert_eq!(read(role, bytes, piece), whole, "in pieces of {piece}");
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Owned>,
    error: Option<ProtocolError>,
}

#[derive(Debug, PartialEq)]
struct Owned {
    kind: &'static str,
    bytes: Vec<u8>,
    code: Option<u16>,
}

fn read(role: Role, bytes: &[u8], piece: usize) -> Outcome {
    let mut reader = FrameReader::new(role, MAX_MESSAGE_BYTES);
    let mut outcome = Outcome {
        events: Vec::new(),
        error: None,
    };
    for piece in bytes.chunks(piece) {
        let mut input = piece.to_vec();
        let fed = reader.feed(&mut input, &mut |event| {
            outcome.events.push(own(event));
            ControlFlow::Continue(())
        });
        if let Err(error) = fed {
            outcome.error = Some(error);
            break;
        }
        // A message and the control frame that interrupts it, each with its spare room.
        assert!(reader.buffered_bytes() <= MAX_MESSAGE_BYTES + 256);
    }
    outcome
}

fn own(event: Event<'_>) -> Owned {
    let (kind, bytes, code) = match event {
        Event::Text(bytes) => ("text", bytes, None),
        Event::Binary(bytes) => ("binary", bytes, None),
        Event::Ping(bytes) => ("ping", bytes, None),
        Event::Pong(bytes) => ("pong", bytes, None),
        Event::Close { code, reason } => ("close", reason, code),
    };
    Owned {
        kind,
        bytes: bytes.to_vec(),
        code,
    }
}
