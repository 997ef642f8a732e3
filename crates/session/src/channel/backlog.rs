//! Messages that wait for a busy channel, in order, bounded in number and bytes.

use phoenix_wire::MessageKind;

/// Frames as they came; decoded again when their time comes.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    frames: Vec<(MessageKind, Box<[u8]>)>,
    bytes: usize,
}

impl Backlog {
    /// Queues a frame; false if there is no room.
    pub(crate) fn push(&mut self, kind: MessageKind, bytes: &[u8]) -> bool {
        let fits = self.frames.len() < FRAMES_MAX && self.bytes + bytes.len() <= BYTES_MAX;
        if fits {
            self.bytes += bytes.len();
            self.frames.push((kind, bytes.into()));
        }
        fits
    }

    /// Puts a frame that had its turn back to the front; there is always room for this one.
    pub(crate) fn push_front(&mut self, kind: MessageKind, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.frames.insert(0, (kind, bytes.into()));
    }

    /// Removes and returns the first frame.
    pub(crate) fn pop_front(&mut self) -> Option<(MessageKind, Box<[u8]>)> {
        if self.frames.is_empty() {
            return None;
        }
        let frame = self.frames.remove(0);
        self.bytes -= frame.1.len();
        Some(frame)
    }

    /// Empties the backlog.
    pub(crate) fn take(&mut self) -> Vec<(MessageKind, Box<[u8]>)> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }
}

/// Frames that may wait for one channel.
const FRAMES_MAX: usize = 256;
/// Bytes that may wait for one channel.
const BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_frames_and_in_bytes() {
        let mut backlog = Backlog::default();
        assert_eq!(
            (0..1_000)
                .filter(|_| backlog.push(MessageKind::Text, b"x"))
                .count(),
            FRAMES_MAX
        );
        backlog.take();
        assert!(backlog.push(MessageKind::Text, &vec![0; BYTES_MAX]));
        assert!(!backlog.push(MessageKind::Text, b"x"));
        assert_eq!(backlog.pop_front().map(|(_, bytes)| bytes.len()), Some(BYTES_MAX));
        assert!(backlog.push(MessageKind::Text, b"x"));
    }
}
