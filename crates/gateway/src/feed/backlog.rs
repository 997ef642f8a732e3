//! What the stream brought and the feed has not taken yet.
//!
//! Something waits here only while the database is asked about a change before it, or while the workers are behind. The
//! backlog is bounded: when it is full the stream is not read, and the log waits in the database.

use std::collections::VecDeque;

use bytes::Bytes;
use changes::pgoutput;
use replication::Position;

/// What happened on the stream.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Another connection streams from here on, which relates to the one before in this way.
    Connected(Continuity),
    /// A message.
    Piece(Piece),
}

/// What a connection means to those who have listened to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// The first one: nobody has missed anything.
    First,
    /// It goes on where the one before was broken off, and may repeat what had not been acknowledged.
    Seamless,
    /// What was committed between the two is not streamed.
    Gap,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The connection it came on.
    pub(super) connection: u32,
    /// Its place there.
    pub(super) position: Position,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A message of `pgoutput`.
    Message(Bytes),
    /// One that was too large to be kept: its first bytes, and its length.
    Oversized { head: Bytes, bytes_total: usize },
}

/// Arrivals in their order.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    arrivals: VecDeque<Arrival>,
    /// Of the messages.
    bytes: usize,
}

impl Backlog {
    /// Whether the stream has to wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    pub(super) fn push(&mut self, arrival: Arrival) {
        self.bytes += size(&arrival);
        self.arrivals.push_back(arrival);
    }

    /// The oldest of them.
    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.pop_front()?;
        self.bytes -= size(&arrival);
        Some(arrival)
    }

    /// The messages that follow, up to the end of the connection.
    pub(super) fn next_messages(&self) -> impl Iterator<Item = &Bytes> {
        let messages = self.arrivals.iter().map(|arrival| match arrival {
            Arrival::Piece(Piece {
                content: Content::Message(data),
                ..
            }) => Some(data),
            _ => None,
        });
        messages.map_while(|message| message)
    }

    /// Puts an arrival that was taken back in front of all others, to be taken again.
    pub(super) fn put_back(&mut self, arrival: Arrival) {
        self.bytes += size(&arrival);
        self.arrivals.push_front(arrival);
    }

    /// Whether changes are missing somewhere in between.
    pub(super) fn has_gap(&self) -> bool {
        let is_gap = |arrival: &Arrival| matches!(arrival, Arrival::Connected(Continuity::Gap));
        self.arrivals.iter().any(is_gap)
    }
}

impl Arrival {
    /// Whether what comes behind it may be read otherwise than what came before: on another connection, or after the
    /// description of a table.
    pub(super) fn changes_reading(&self) -> bool {
        match self {
            Self::Connected(_) => true,
            Self::Piece(Piece {
                content: Content::Message(data),
                ..
            }) => pgoutput::is_description(data),
            Self::Piece(_) => false,
        }
    }
}

fn size(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Connected(_) => 0,
        Arrival::Piece(piece) => piece.bytes(),
    }
}

impl Piece {
    /// What it counts in the backlog. Bytes.
    pub(super) fn bytes(&self) -> usize {
        let (Content::Message(data) | Content::Oversized { head: data, .. }) = &self.content;
        data.len() + PIECE_BYTES
    }
}

/// Bytes of messages that may wait. A message keeps the read buffer alive that it came in, so the memory in use is a
/// small multiple of it.
const BYTES_MAX: usize = 8 << 20;
/// What a message counts besides its content. Bytes.
const PIECE_BYTES: usize = 64;
