//! The payload of `presence` pushes. Source: protocol-spec/presence.md, section 1.

use crate::JsonText;
use crate::json;

/// What a client wants of presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresencePush<'a> {
    /// No object, or no `event`: answered ok, nothing done, not counted.
    Nothing,
    /// Track, or update what is tracked.
    Track(PresencePayload<'a>),
    /// Stop tracking.
    Untrack,
    /// An event this protocol does not know: answered with an error.
    Unknown,
    /// An event that is no string: the reference's channel crashes.
    EventNotText,
}

/// What came of tracking or untracking a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// The others are told.
    Changed,
    /// It was so before.
    Unchanged,
    /// There is no room for more: the snapshot of the topic would get too large.
    Refused,
}

/// The `payload` of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresencePayload<'a> {
    /// An object; `{}` if the member is absent.
    Object {
        /// The object's text.
        json: &'a str,
        /// What the payload limit is for: see [`JsonText::term_size`].
        term_size: usize,
    },
    /// Anything else, null included: answered with an error.
    NotAnObject,
}

impl<'a> PresencePush<'a> {
    /// Reads a `presence` push. The event is matched without regard to ASCII case; `type` is ignored.
    pub fn parse(payload: &'a JsonText<'_>) -> Self {
        let text = payload.as_str();
        let Some(event) = json::member(text, "event") else {
            return Self::Nothing;
        };
        let Some(event) = json::string(event) else {
            return Self::EventNotText;
        };
        if event.eq_ignore_ascii_case("track") {
            Self::Track(PresencePayload::parse(json::member(text, "payload")))
        } else if event.eq_ignore_ascii_case("untrack") {
            Self::Untrack
        } else {
            Self::Unknown
        }
    }
}

impl<'a> PresencePayload<'a> {
    fn parse(value: Option<&'a str>) -> Self {
        let json = value.unwrap_or("{}");
        // Scanned a second time, for its size alone.
        match json::check(json.as_bytes()) {
            Ok(payload) if payload.is_object() => Self::Object {
                json,
                term_size: payload.term_size(),
            },
            Ok(_) | Err(_) => Self::NotAnObject,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        let payload = json::check(text.as_bytes()).unwrap();
        match PresencePush::parse(&payload) {
            PresencePush::Track(PresencePayload::Object { json, .. }) => format!("track {json}"),
            PresencePush::Track(PresencePayload::NotAnObject) => "track not an object".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn pushes_are_read_as_the_reference_reads_them() {
        for (text, meaning) in [
            (r#"{"type":"presence"}"#, "Nothing"),
            ("{}", "Nothing"),
            (r#""text""#, "Nothing"),
            ("[]", "Nothing"),
            (r#"{"event":"dance"}"#, "Unknown"),
            (r#"{"event":7}"#, "EventNotText"),
            (r#"{"event":null}"#, "EventNotText"),
            (r#"{"type":"x","event":"TRACK","payload":{}}"#, "track {}"),
            (r#"{"event":"track"}"#, "track {}"),
            (
                r#"{"event":"\u0074rack","payload":{"a": [1]}}"#,
                r#"track {"a": [1]}"#,
            ),
            (r#"{"event":"track","payload":"text"}"#, "track not an object"),
            (r#"{"event":"track","payload":[1]}"#, "track not an object"),
            (r#"{"event":"track","payload":null}"#, "track not an object"),
            (r#"{"event":"untrack","payload":7}"#, "Untrack"),
            (r#"{"event":"UnTrack"}"#, "Untrack"),
        ] {
            assert_eq!(parse(text), meaning, "{text}");
        }
    }

    #[test]
    fn the_size_of_a_track_is_that_of_its_payload() {
        let push = json::check(br#"{"event":"track","payload":{"x":"yy"}}"#).unwrap();
        let PresencePush::Track(PresencePayload::Object { term_size, .. }) = PresencePush::parse(&push)
        else {
            panic!("a track with an object");
        };
        assert_eq!(term_size, 1 + 5 + (5 + 1) + (5 + 2));
    }
}
