//! Round trips over generated messages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use phoenix_wire::{Encoding, MessageKind, Name, Payload, RefView, Version, decode, encode, json};
use proptest::prelude::*;
use serde_json::Value;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300).prop_map(|number: f64| Value::from(number)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 24, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..24).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..24)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Term size of a value, the slow and obvious way.
fn term_size(value: &Value) -> usize {
    match value {
        Value::Null => 2 + "nil".len(),
        Value::Bool(true) => 2 + "true".len(),
        Value::Bool(false) => 2 + "false".len(),
        Value::Number(number) => match number.as_i64() {
            None => 9,
            Some(0..=255) => 2,
            Some(number) if i32::try_from(number).is_ok() => 5,
            Some(number) => {
                let magnitude = number.unsigned_abs().to_le_bytes();
                3 + magnitude
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1)
            }
        },
        Value::String(text) => 5 + text.len(),
        Value::Array(elements) if elements.is_empty() => 1,
        Value::Array(elements) => {
            let is_byte = |element: &Value| matches!(element.as_i64(), Some(0..=255));
            if elements.iter().all(is_byte) {
                3 + elements.len()
            } else {
                6 + elements.iter().map(term_size).sum::<usize>()
            }
        }
        Value::Object(members) => {
            5 + members
                .iter()
                .map(|(name, value)| 5 + name.len() + term_size(value))
                .sum::<usize>()
        }
    }
}

proptest! {
    #[test]
    fn valid_json_passes_unchanged_and_is_measured_exactly(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let checked = json::check(text.as_bytes()).unwrap();
        prop_assert_eq!(checked.as_str(), &text);
        prop_assert_eq!(checked.term_size(), 1 + term_size(&value));
    }

    #[test]
    fn a_hash_of_content_ignores_spelling(value in any_json()) {
        let [dense, pretty] = [serde_json::to_string(&value), serde_json::to_string_pretty(&value)].map(Result::unwrap);
        prop_assert_eq!(json::content_hash(&dense), json::content_hash(&pretty));
    }

    #[test]
    fn repeated_members_vanish(members in prop::collection::vec(("[a-d]{0,2}", any::<u8>()), 0..40)) {
        let written: Vec<_> = members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        let mut kept: Vec<String> = Vec::new();
        for (index, (name, _)) in members.iter().enumerate() {
            if members[..index].iter().all(|(earlier, _)| earlier != name) {
                kept.push(written[index].clone());
            }
        }
        let text = format!("{{{}}}", written.join(","));
        let checked = json::check(text.as_bytes()).unwrap();
        prop_assert_eq!(checked.as_str(), format!("{{{}}}", kept.join(",")));
    }

    #[test]
    fn strings_survive_writing(text: String) {
        let mut written = String::new();
        json::write_string(&mut written, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text.clone());
        prop_assert_eq!(json::string(&written).unwrap(), text);
    }

    #[test]
    fn messages_survive_both_serializers(
        join_ref in any_json(), reference in any_json(), topic: String, event: String, payload in any_json(),
    ) {
        let [join_ref, reference, payload] = [join_ref, reference, payload].map(|value| value.to_string());
        prop_assume!(join_ref.len().max(reference.len()) <= phoenix_wire::REF_BYTES_MAX);
        for version in [Version::V1, Version::V2] {
            let (join_ref, reference) = (RefView::Json(&join_ref), RefView::Json(&reference));
            let frame = encode::message(version, join_ref, reference, &topic, &event, &payload);
            let decoded = decode(version, MessageKind::Text, frame.payload()).unwrap();
            prop_assert_eq!(decoded.reference, reference);
            prop_assert_eq!(decoded.join_ref, if version == Version::V1 { RefView::NULL } else { join_ref });
            prop_assert_eq!(decoded.topic, Name::text(topic.as_str()));
            prop_assert_eq!(decoded.event, Name::text(event.as_str()));
            let Payload::Json(decoded) = decoded.payload else { panic!("a text frame has a JSON payload") };
            prop_assert_eq!(decoded.as_str(), &payload);
        }
    }

    #[test]
    fn binary_pushes_give_their_fields_back(
        join_ref in "\\PC{0,60}", reference in "\\PC{0,60}", topic in "\\PC{0,60}", event in "\\PC{0,60}",
        meta in prop::option::of(0..1000), encoding: u8, payload: Vec<u8>,
    ) {
        let meta = meta.map_or(String::new(), |number: i32| number.to_string());
        let fields = [&join_ref, &reference, &topic, &event, &meta];
        let mut frame = vec![3];
        frame.extend(fields.iter().map(|field| field.len() as u8));
        frame.push(encoding);
        frame.extend(fields.iter().flat_map(|field| field.bytes()));
        frame.extend_from_slice(&payload);

        let decoded = decode(Version::V2, MessageKind::Binary, &frame).unwrap();
        prop_assert_eq!(decoded.join_ref, RefView::Text(&join_ref));
        prop_assert_eq!(decoded.reference, RefView::Text(&reference));
        prop_assert_eq!(decoded.topic, Name::text(topic.as_str()));
        let Payload::UserBroadcast(user) = decoded.payload else { panic!("kind 3 is a user broadcast") };
        prop_assert_eq!((user.event, user.payload), (event.as_str(), payload.as_slice()));
        prop_assert_eq!(user.encoding == Encoding::Binary, encoding == 0);
    }
}
