//! The few messages of the protocol a load needs (protocol version 2.0.0), as finished frames.
//!
//! Broadcast payloads carry a stamp: the microsecond, counted from the start of the run, at which the message was
//! *meant* to be sent. Receivers find it by its marker without parsing anything. The `ref` of a message names its
//! kind ([`Kind`]), so that the floor can tell messages apart by one byte.

use crate::frame::{BINARY, TEXT, client_frame};
use memchr::memmem;

/// What a message is, told by its `ref`, which is always one digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// `phx_join`
    Join = b'1',
    /// `broadcast`
    Broadcast = b'2',
    /// `presence` with `event: track`
    Track = b'3',
    /// `heartbeat` on topic `phoenix`
    Heartbeat = b'4',
}

/// How a broadcast travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wire {
    /// Binary frames (kind 3 in, kind 4 out): what realtime-js sends on version 2.0.0.
    Binary,
    /// JSON arrays in text frames.
    Text,
}

/// User event of every broadcast of a load.
pub const EVENT: &str = "load";

/// `["1","` and the ref digit, up to where the topic's opening quote stands in a text message of a joined channel.
pub const TEXT_PREFIX_BYTES: usize = r#"["1","2","#.len();
/// Offset of the ref digit in such a message.
pub const TEXT_KIND_AT: usize = r#"["1",""#.len();

const STAMP_MARKER: &str = "at=";
const STAMP_DIGITS: usize = 12;
const MEMBER_MARKER: &str = "member=";
const MEMBER_DIGITS: usize = 6;

/// A finished broadcast frame whose stamp can be renewed in place.
#[derive(Clone, Debug)]
pub struct Broadcast {
    frame: Vec<u8>,
    stamp_at: usize,
}

impl Broadcast {
    /// A broadcast on `realtime:{topic}` whose JSON payload is `payload_bytes` long (at least some 30).
    pub fn new(wire: Wire, topic: &str, payload_bytes: usize) -> Broadcast {
        let payload = stamped_payload(payload_bytes);
        let frame = match wire {
            Wire::Text => client_frame(
                TEXT,
                format!(
                    r#"["1","{}","realtime:{topic}","broadcast",{{"type":"broadcast","event":"{EVENT}","payload":{payload}}}]"#,
                    Kind::Broadcast as u8 as char
                )
                .as_bytes(),
            ),
            Wire::Binary => client_frame(BINARY, &binary_push(topic, payload.as_bytes())),
        };
        Broadcast::from_frame(frame)
    }

    /// Takes any bytes that contain a stamp, e.g. an HTTP request.
    pub fn from_frame(frame: Vec<u8>) -> Broadcast {
        let stamp_at = memmem::find(&frame, STAMP_MARKER.as_bytes())
            .map(|at| at + STAMP_MARKER.len())
            .expect("every stamped payload holds the marker");
        Broadcast { frame, stamp_at }
    }

    /// Writes the intended send time, in microseconds since the start of the run.
    pub fn stamp(&mut self, mut micros: u64) {
        for digit in self.frame[self.stamp_at..self.stamp_at + STAMP_DIGITS]
            .iter_mut()
            .rev()
        {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
    }

    /// The finished bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.frame
    }
}

/// Kind 3: header of seven bytes, then join_ref, ref, topic, event and payload.
fn binary_push(topic: &str, payload: &[u8]) -> Vec<u8> {
    let topic = format!("realtime:{topic}");
    let topic_bytes = u8::try_from(topic.len()).expect("topics of a load are short");
    let mut push = vec![
        3,
        1,
        1,
        topic_bytes,
        EVENT.len() as u8,
        0,
        1,
        b'1',
        Kind::Broadcast as u8,
    ];
    push.extend_from_slice(topic.as_bytes());
    push.extend_from_slice(EVENT.as_bytes());
    push.extend_from_slice(payload);
    push
}

/// A JSON object of `bytes` bytes that holds a zero stamp: `{"load":"at=000000000000;xxx…"}`.
pub fn stamped_payload(bytes: usize) -> String {
    let mut payload = format!(r#"{{"load":"{STAMP_MARKER}{:0STAMP_DIGITS$};"#, 0);
    payload.extend(std::iter::repeat_n('x', bytes.saturating_sub(payload.len() + 2)));
    payload.push_str(r#""}"#);
    payload
}

/// The stamp of a delivered payload, in microseconds since the start of the run; `None` if it has none.
pub fn stamp_of(payload: &[u8]) -> Option<u64> {
    numbers_after(payload, STAMP_MARKER, STAMP_DIGITS).next()
}

/// The presence members named in a delivered payload (a state or a diff).
pub fn members_of(payload: &[u8]) -> impl Iterator<Item = u64> {
    numbers_after(payload, MEMBER_MARKER, MEMBER_DIGITS)
}

fn numbers_after<'a>(
    payload: &'a [u8],
    marker: &'static str,
    digits: usize,
) -> impl Iterator<Item = u64> + 'a {
    memmem::find_iter(payload, marker.as_bytes()).filter_map(move |at| {
        let start = at + marker.len();
        std::str::from_utf8(payload.get(start..start + digits)?)
            .ok()?
            .parse()
            .ok()
    })
}

/// A `phx_join` of `realtime:{topic}`, shaped as supabase-js shapes it: token included.
pub fn join(topic: &str, token: &str, presence: bool) -> Vec<u8> {
    let config = Config {
        presence,
        ..Config::default()
    };
    first_join(topic, token, &config)
}

/// A `phx_join` of `realtime:{topic}` with one binding to all changes of a table of schema `public`.
pub fn subscription(topic: &str, token: &str, table: &str, filter: Option<&str>) -> Vec<u8> {
    let filter = filter
        .map(|filter| format!(r#","filter":"{filter}""#))
        .unwrap_or_default();
    let config = Config {
        binding: &format!(r#"{{"event":"*","schema":"public","table":"{table}"{filter}}}"#),
        ..Config::default()
    };
    first_join(topic, token, &config)
}

/// A private `phx_join` of `realtime:{topic}` that asks to be told when broadcasts from the database flow.
pub fn listening_join(topic: &str, token: &str) -> Vec<u8> {
    let config = Config {
        private: true,
        replication_ready: true,
        ..Config::default()
    };
    first_join(topic, token, &config)
}

/// A `phx_join` of `realtime:{topic}` whose `ref` and `join_ref` are this number: see [`join_answer`].
pub fn numbered_join(number: u64, topic: &str, token: &str, private: bool) -> Vec<u8> {
    let config = Config {
        private,
        ..Config::default()
    };
    join_frame([number, number], topic, token, &config)
}

/// The number of a [`numbered_join`] that a delivered payload answers, and whether with ok.
pub fn join_answer(payload: &[u8]) -> Option<(u64, bool)> {
    let digits = payload.strip_prefix(br#"[""#)?;
    let end = memchr::memchr(b'"', digits)?;
    let number = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    memmem::find(digits, br#""phx_reply""#)?;
    Some((number, memmem::find(digits, br#""status":"ok""#).is_some()))
}

/// What differs between joins.
#[derive(Default)]
struct Config<'a> {
    presence: bool,
    private: bool,
    replication_ready: bool,
    /// To changes of the database; may be empty.
    binding: &'a str,
}

/// The only join of its socket.
fn first_join(topic: &str, token: &str, config: &Config<'_>) -> Vec<u8> {
    let reference = u64::from(Kind::Join as u8 - b'0');
    join_frame([1, reference], topic, token, config)
}

/// With these `join_ref` and `ref`.
fn join_frame(
    [join_reference, reference]: [u64; 2],
    topic: &str,
    token: &str,
    config: &Config<'_>,
) -> Vec<u8> {
    let Config {
        presence,
        private,
        replication_ready,
        binding,
    } = config;
    let ready = if *replication_ready {
        r#","replication_ready":true"#
    } else {
        ""
    };
    client_frame(
        TEXT,
        format!(
            concat!(
                r#"["{}","{}","realtime:{}","phx_join",{{"config":{{"broadcast":{{"ack":false,"self":false{}}},"#,
                r#""presence":{{"key":"","enabled":{}}},"postgres_changes":[{}],"private":{}}},"access_token":"{}"}}]"#
            ),
            join_reference, reference, topic, ready, presence, binding, private, token
        )
        .as_bytes(),
    )
}

/// A presence track on `realtime:{topic}` that names `member` (below a million).
pub fn track(topic: &str, member: usize) -> Vec<u8> {
    let kind = Kind::Track as u8 as char;
    client_frame(
        TEXT,
        format!(
            r#"["1","{kind}","realtime:{topic}","presence",{{"type":"presence","event":"track","payload":{{"name":"{MEMBER_MARKER}{member:0MEMBER_DIGITS$}"}}}}]"#
        )
        .as_bytes(),
    )
}

/// A heartbeat.
pub fn heartbeat() -> Vec<u8> {
    client_frame(
        TEXT,
        format!(
            r#"[null,"{}","phoenix","heartbeat",{{}}]"#,
            Kind::Heartbeat as u8 as char
        )
        .as_bytes(),
    )
}

/// The topic of a text message built here, without `realtime:`.
pub fn topic_of(text: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(text.get(TEXT_PREFIX_BYTES..)?).ok()?;
    rest.strip_prefix("\"realtime:")?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::split;

    fn payload(frame: &[u8]) -> &[u8] {
        split(frame).unwrap().expect("a whole frame").0.payload
    }

    #[test]
    fn a_stamp_written_into_a_frame_is_read_back_in_either_wire_form() {
        for wire in [Wire::Binary, Wire::Text] {
            let mut broadcast = Broadcast::new(wire, "room", 200);
            broadcast.stamp(123_456_789);
            assert_eq!(stamp_of(payload(broadcast.as_bytes())), Some(123_456_789));
        }
    }

    #[test]
    fn the_payload_of_a_broadcast_is_valid_json_of_the_size_asked_for() {
        let payload = stamped_payload(200);
        assert_eq!(payload.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&payload).unwrap()["load"].is_string());
    }

    #[test]
    fn every_text_message_is_json_and_names_its_kind_and_topic_where_the_floor_looks() {
        let text = Broadcast::new(Wire::Text, "room", 64);
        let cases = [
            (join("room", "t", true), Kind::Join),
            (subscription("room", "t", "rows", None), Kind::Join),
            (subscription("room", "t", "rows", Some("key=eq.1")), Kind::Join),
            (listening_join("room", "t"), Kind::Join),
            (track("room", 7), Kind::Track),
            (text.frame, Kind::Broadcast),
        ];
        for (frame, kind) in cases {
            let text = payload(&frame);
            let json: serde_json::Value = serde_json::from_slice(text).unwrap();
            assert_eq!(json[1], (kind as u8 as char).to_string());
            assert_eq!(text[TEXT_KIND_AT], kind as u8);
            assert_eq!(topic_of(text), Some("room"));
        }
    }

    #[test]
    fn the_answer_to_a_numbered_join_names_its_number() {
        let frame = numbered_join(40_123, "room", "t", true);
        let json: serde_json::Value = serde_json::from_slice(payload(&frame)).unwrap();
        assert_eq!((&json[0], &json[1]), (&"40123".into(), &"40123".into()));
        assert_eq!(json[4]["config"]["private"], true);
        let answer = |status: &str| {
            let text = format!(
                r#"["40123","40123","realtime:room","phx_reply",{{"status":"{status}","response":{{}}}}]"#
            );
            join_answer(text.as_bytes())
        };
        assert_eq!(answer("ok"), Some((40_123, true)));
        assert_eq!(answer("error"), Some((40_123, false)));
        assert_eq!(
            join_answer(br#"["7",null,"realtime:room","system",{"status":"ok"}]"#),
            None
        );
        assert_eq!(
            join_answer(br#"[null,null,"realtime:room","broadcast",{}]"#),
            None
        );
    }

    #[test]
    fn all_members_of_a_presence_payload_are_found() {
        let diff = br#"{"joins":{"a":{"metas":[{"name":"member=000007"}]},"b":{"metas":[{"name":"member=000999"}]}}}"#;
        assert_eq!(members_of(diff).collect::<Vec<_>>(), [7, 999]);
        assert_eq!(members_of(b"member=00").count(), 0);
    }
}
