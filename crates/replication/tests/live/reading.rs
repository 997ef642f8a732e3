//! Reading a stream, in the words of tests.

use replication::{Error, Event, Position, ReplicationStream};

/// The next message: its kind, its first column if it is a row of text columns, and its position.
pub(crate) async fn next(stream: &mut ReplicationStream) -> (String, Position) {
    loop {
        match stream.next().await.unwrap() {
            Event::XLogData { position, data } => {
                let shown = match (data.first(), data.get(13..)) {
                    // Kind, relation, new row, columns, then for each a kind, a length and a text.
                    (Some(b'I'), Some(text)) => format!("I {}", String::from_utf8_lossy(text)),
                    (kind, _) => char::from(*kind.unwrap()).to_string(),
                };
                return (shown, position);
            }
            Event::Oversized {
                position,
                bytes_total,
                ..
            } => {
                return (format!("{} MB", bytes_total / 1_000_000), position);
            }
            Event::Keepalive { .. } => {}
        }
    }
}

/// The next messages are of these kinds. Returns the position of the last.
pub(crate) async fn expect(stream: &mut ReplicationStream, kinds: &[&str]) -> Position {
    let mut last = None;
    for kind in kinds {
        let (found, position) = next(stream).await;
        assert_eq!(found, *kind);
        last = Some(position);
    }
    last.expect("something is expected")
}

/// Reads until the stream breaks, and why.
pub(crate) async fn end_of(stream: &mut ReplicationStream) -> Error {
    loop {
        if let Err(error) = stream.next().await {
            return error;
        }
    }
}
