//! What is decoded can be encoded and decoded again to the same message.

use phoenix_wire::{Incoming, MessageKind, Name, Payload, RefView, Version, decode, encode};

/// Decodes `data` and, if it is a message, compares it with what its encoding decodes to.
pub(crate) fn run(version: Version, kind: MessageKind, data: &[u8]) {
    let Ok(incoming) = decode(version, kind, data) else {
        return;
    };
    assert_eq!(incoming.reference.to_ref(), incoming.reference);
    assert_eq!(incoming.join_ref.to_ref(), incoming.join_ref);
    let Name::Text(event) = &incoming.event else {
        return;
    };
    let payload = match &incoming.payload {
        Payload::Json(payload) => payload.as_str(),
        Payload::Binary(_) | Payload::UserBroadcast(_) => "{}",
    };
    for version in [Version::V1, Version::V2] {
        let frame = encode::message_named(
            version,
            incoming.join_ref,
            incoming.reference,
            &incoming.topic,
            event,
            payload,
        );
        let again = decode(version, MessageKind::Text, frame.payload()).expect("what we encode is a message");
        assert_eq!(again.topic, incoming.topic);
        assert_eq!(again.event, incoming.event);
        // A binary ref becomes a JSON string; one of 4 kB may then be beyond the bound, but header fields are short.
        assert_eq!(again.reference, incoming.reference);
        assert_eq!(
            again.join_ref,
            if version == Version::V1 {
                RefView::NULL
            } else {
                incoming.join_ref
            }
        );
        let Payload::Json(again) = again.payload else {
            panic!("a text frame has a JSON payload")
        };
        assert_eq!(again.as_str(), payload);
    }
    deliver(&incoming);
}

/// A user broadcast goes out under the bounds it came in.
fn deliver(incoming: &Incoming<'_>) {
    let (Payload::UserBroadcast(user), Some(topic)) = (&incoming.payload, incoming.topic.as_text()) else {
        return;
    };
    let frame = encode::user_broadcast_binary(topic, user.event, "", user.encoding, user.payload)
        .expect("fields of a binary frame fit a binary frame");
    assert!(frame.payload().ends_with(user.payload));
}
