//! What one client says, the same for every layout: a handshake, a join, then broadcasts in binary frames.

use loadgen::answer::{UPGRADE, binary_delivery, join_reply};
use loadgen::frame::{BINARY, CLOSE, Inbox, TEXT};
use loadgen::message::topic_of;
use std::sync::Arc;

/// Longest handshake that is waited for. Bytes.
const HANDSHAKE_BYTES_MAX: usize = 16 << 10;

/// What the server has to do.
pub(crate) enum Act {
    /// Answer this client.
    Answer(Vec<u8>),
    /// Make the client a member of the topic, then answer it.
    Join(String, Vec<u8>),
    /// Write these bytes to every other member of the client's topic.
    Publish(Arc<[u8]>),
}

/// A client's half of the conversation so far.
pub(crate) enum Conversation {
    /// The handshake is not complete.
    Handshake(Vec<u8>),
    /// It is.
    Frames(Inbox),
}

impl Default for Conversation {
    fn default() -> Conversation {
        Conversation::Handshake(Vec::new())
    }
}

impl Conversation {
    /// Takes what was read; false when the conversation is over.
    pub(crate) fn feed(&mut self, input: &[u8], mut act: impl FnMut(Act)) -> bool {
        match self {
            Conversation::Handshake(request) => {
                request.extend_from_slice(input);
                if request.ends_with(b"\r\n\r\n") {
                    act(Act::Answer(UPGRADE.to_vec()));
                    *self = Conversation::Frames(Inbox::default());
                    return true;
                }
                request.len() <= HANDSHAKE_BYTES_MAX
            }
            Conversation::Frames(inbox) => {
                let mut open = true;
                let fed = inbox.feed(input, |frame| match frame.opcode {
                    CLOSE => open = false,
                    BINARY => {
                        if let Some(bytes) = binary_delivery(frame.payload) {
                            act(Act::Publish(bytes.into()));
                        }
                    }
                    TEXT => {
                        if let Some(topic) = topic_of(frame.payload) {
                            act(Act::Join(topic.to_owned(), join_reply(topic)));
                        }
                    }
                    _ => {}
                });
                open && fed.is_ok()
            }
        }
    }
}
