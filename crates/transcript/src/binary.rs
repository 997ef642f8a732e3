//! The layouts of binary messages. Source: `protocol-spec/wire.md`, "Binary frames".
//!
//! Written from that description and not shared with the server, so that a mistake there is not repeated here.
//!
//! One byte of kind, one byte of length for each header field, for user broadcasts one byte of encoding, then the
//! fields and the payload without separators:
//!
//! ```text
//!  0 push                  join_ref  topic  event                      payload
//!  1 reply                 join_ref  ref  topic  status                payload
//!  2 broadcast             topic  event                                payload
//!  3 user broadcast push   join_ref  ref  topic  event  meta  encoding payload
//!  4 user broadcast        topic  event  meta  encoding                payload
//! ```

/// A binary message, its header fields as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BinaryMessage<'a> {
    /// Kind 0, as a server sends it.
    Push {
        /// The join reference; empty if there is none.
        join_ref: &'a str,
        /// The topic.
        topic: &'a str,
        /// The event.
        event: &'a str,
        /// The payload.
        payload: &'a [u8],
    },
    /// Kind 1.
    Reply {
        /// The join reference; empty if there is none.
        join_ref: &'a str,
        /// The reference of what is answered.
        reference: &'a str,
        /// The topic.
        topic: &'a str,
        /// The status, where other kinds have the event.
        status: &'a str,
        /// The payload.
        payload: &'a [u8],
    },
    /// Kind 2.
    Broadcast {
        /// The topic.
        topic: &'a str,
        /// The event.
        event: &'a str,
        /// The payload.
        payload: &'a [u8],
    },
    /// Kind 3, which only clients send.
    UserBroadcastPush {
        /// The join reference; empty if there is none.
        join_ref: &'a str,
        /// The reference; empty if there is none.
        reference: &'a str,
        /// What is broadcast.
        broadcast: UserBroadcast<'a>,
    },
    /// Kind 4.
    UserBroadcast(UserBroadcast<'a>),
}

/// What kinds 3 and 4 have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserBroadcast<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The user's event.
    pub event: &'a str,
    /// JSON about the message; may be empty.
    pub meta: &'a [u8],
    /// What the payload is.
    pub encoding: Encoding,
    /// The payload.
    pub payload: &'a [u8],
}

/// What the payload of a user broadcast is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Any bytes.
    Binary,
    /// JSON.
    Json,
}

impl<'a> BinaryMessage<'a> {
    /// Takes a message apart; `None` if it is no binary message.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => {
                let ([join_ref, topic, event], payload) = fields(rest, 0)?;
                Some(Self::Push {
                    join_ref: text(join_ref)?,
                    topic: text(topic)?,
                    event: text(event)?,
                    payload,
                })
            }
            1 => {
                let ([join_ref, reference, topic, status], payload) = fields(rest, 0)?;
                Some(Self::Reply {
                    join_ref: text(join_ref)?,
                    reference: text(reference)?,
                    topic: text(topic)?,
                    status: text(status)?,
                    payload,
                })
            }
            2 => {
                let ([topic, event], payload) = fields(rest, 0)?;
                Some(Self::Broadcast {
                    topic: text(topic)?,
                    event: text(event)?,
                    payload,
                })
            }
            3 => {
                let ([join_ref, reference, topic, event, meta], payload) = fields(rest, 1)?;
                let encoding = Encoding::of(*rest.get(5)?)?;
                let broadcast = UserBroadcast {
                    topic: text(topic)?,
                    event: text(event)?,
                    meta,
                    encoding,
                    payload,
                };
                Some(Self::UserBroadcastPush {
                    join_ref: text(join_ref)?,
                    reference: text(reference)?,
                    broadcast,
                })
            }
            4 => {
                let ([topic, event, meta], payload) = fields(rest, 1)?;
                let encoding = Encoding::of(*rest.get(3)?)?;
                let broadcast = UserBroadcast {
                    topic: text(topic)?,
                    event: text(event)?,
                    meta,
                    encoding,
                    payload,
                };
                Some(Self::UserBroadcast(broadcast))
            }
            _ => None,
        }
    }
}

impl UserBroadcast<'_> {
    /// The message of kind 3 that pushes this; `None` if a header field exceeds 255 bytes.
    pub fn push(&self, join_ref: &str, reference: &str) -> Option<Vec<u8>> {
        let fields = [
            join_ref.as_bytes(),
            reference.as_bytes(),
            self.topic.as_bytes(),
            self.event.as_bytes(),
            self.meta,
        ];
        self.headed(3, &fields)
    }

    /// The message of kind 4; `None` if a header field exceeds 255 bytes.
    pub fn broadcast(&self) -> Option<Vec<u8>> {
        self.headed(4, &[self.topic.as_bytes(), self.event.as_bytes(), self.meta])
    }

    fn headed(&self, kind: u8, fields: &[&[u8]]) -> Option<Vec<u8>> {
        let mut bytes = vec![kind];
        for field in fields {
            bytes.push(u8::try_from(field.len()).ok()?);
        }
        bytes.push(self.encoding.byte());
        fields.iter().for_each(|field| bytes.extend_from_slice(field));
        bytes.extend_from_slice(self.payload);
        Some(bytes)
    }
}

impl Encoding {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Binary),
            1 => Some(Self::Json),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Binary => 0,
            Self::Json => 1,
        }
    }
}

/// The `N` fields after their lengths and `skip` further bytes, and what follows them.
fn fields<const N: usize>(bytes: &[u8], skip: usize) -> Option<([&[u8]; N], &[u8])> {
    let (lengths, rest) = bytes.split_first_chunk::<N>()?;
    let mut rest = rest.get(skip..)?;
    let mut fields = [[].as_slice(); N];
    for (field, length) in fields.iter_mut().zip(lengths) {
        (*field, rest) = rest.split_at_checked(usize::from(*length))?;
    }
    Some((fields, rest))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_layout() {
        let broadcast = |meta, encoding, payload| UserBroadcast {
            topic: "tt",
            event: "e",
            meta,
            encoding,
            payload,
        };
        for (bytes, message) in [
            (
                b"\0\x01\x02\x011tte{}".as_slice(),
                BinaryMessage::Push {
                    join_ref: "1",
                    topic: "tt",
                    event: "e",
                    payload: b"{}",
                },
            ),
            (
                b"\x01\x01\x01\x02\x0212ttok{}",
                BinaryMessage::Reply {
                    join_ref: "1",
                    reference: "2",
                    topic: "tt",
                    status: "ok",
                    payload: b"{}",
                },
            ),
            (
                b"\x02\x02\x01tte\xff",
                BinaryMessage::Broadcast {
                    topic: "tt",
                    event: "e",
                    payload: b"\xff",
                },
            ),
            (
                b"\x03\0\x01\x02\x01\x02\x017tte[][]",
                BinaryMessage::UserBroadcastPush {
                    join_ref: "",
                    reference: "7",
                    broadcast: broadcast(b"[]", Encoding::Json, b"[]"),
                },
            ),
            (
                b"\x04\x02\x01\0\0tte\xff",
                BinaryMessage::UserBroadcast(broadcast(b"", Encoding::Binary, b"\xff")),
            ),
        ] {
            assert_eq!(BinaryMessage::decode(bytes), Some(message));
        }
    }

    #[test]
    fn what_is_cut_short_is_no_message() {
        let whole = b"\x03\x01\x01\x02\x01\x02\x0112tte[]";
        assert!(BinaryMessage::decode(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(BinaryMessage::decode(&whole[..end]), None, "{end} bytes");
        }
        assert_eq!(BinaryMessage::decode(b"\x05\0\0"), None);
        assert_eq!(
            BinaryMessage::decode(b"\x04\x01\0\0\x02t"),
            None,
            "an unknown encoding"
        );
        assert_eq!(
            BinaryMessage::decode(b"\x02\x01\0\xff"),
            None,
            "a topic that is not UTF-8"
        );
    }

    #[test]
    fn a_push_is_what_it_decodes_to() {
        let broadcast = UserBroadcast {
            topic: "t",
            event: "e",
            meta: b"{}",
            encoding: Encoding::Json,
            payload: b"1",
        };
        let bytes = broadcast.push("1", "").unwrap();
        let decoded = BinaryMessage::UserBroadcastPush {
            join_ref: "1",
            reference: "",
            broadcast: broadcast.clone(),
        };
        assert_eq!(BinaryMessage::decode(&bytes), Some(decoded));
        assert_eq!(
            UserBroadcast {
                topic: &"t".repeat(256),
                ..broadcast
            }
            .push("1", ""),
            None
        );
    }
}
