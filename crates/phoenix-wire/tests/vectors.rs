//! The frame goldens of `protocol-spec/vectors`: bytes and what they mean, per serializer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use phoenix_wire::json::{self, JsonErrorKind};
use phoenix_wire::{
    Encoding, Incoming, Malformed, MessageKind, Name, Payload, RefView, Status, Version, decode, encode,
};
use serde_json::Value;

#[test]
fn messages_of_serializer_1_0_0() {
    check_frames("v1.json", Version::V1);
}

#[test]
fn text_frames_of_serializer_2_0_0() {
    check_frames("v2-text.json", Version::V2);
}

#[test]
fn binary_frames_of_serializer_2_0_0() {
    check_frames("v2-binary.json", Version::V2);
}

#[test]
fn json_values() {
    for vector in vectors("json.json") {
        let (bytes, _) = frame(&vector);
        match (json::check(&bytes), vector["error"].as_str()) {
            (Ok(checked), None) => {
                let kept = vector["kept"].as_str().or(vector["text"].as_str()).unwrap();
                assert_eq!(checked.as_str(), kept);
                assert_eq!(checked.term_size() as u64, vector["term_size"], "{kept}");
            }
            (Err(error), Some(expected)) => assert_eq!(error_name(error.kind), expected, "{vector}"),
            (Ok(_), Some(_)) => panic!("accepted: {vector}"),
            (Err(error), None) => panic!("{error}: {vector}"),
        }
    }
}

fn check_frames(file: &str, version: Version) {
    for vector in vectors(file) {
        match vector["from"].as_str() {
            Some("client") => check_decoded(version, &vector),
            Some("server") => check_encoded(version, &vector),
            _ => panic!("neither client nor server: {vector}"),
        }
    }
}

fn check_decoded(version: Version, vector: &Value) {
    let (bytes, kind) = frame(vector);
    match (decode(version, kind, &bytes), vector["malformed"].as_str()) {
        (Ok(incoming), None) => assert_eq!(
            describe(&incoming),
            expected_message(vector),
            "{}",
            vector["name"]
        ),
        (Err(malformed), Some(expected)) => {
            assert_eq!(malformed_name(&malformed), expected, "{}", vector["name"])
        }
        (Ok(_), Some(_)) => panic!("accepted: {vector}"),
        (Err(malformed), None) => panic!("{malformed}: {vector}"),
    }
}

/// The message of a vector with its defaults filled in.
fn expected_message(vector: &Value) -> Value {
    let mut message = vector["message"].clone();
    if message["join_ref"].is_null() {
        message["join_ref"] = Value::Null;
    }
    message
}

fn describe(incoming: &Incoming<'_>) -> Value {
    let mut message = serde_json::json!({
        "join_ref": ref_value(incoming.join_ref),
        "ref": ref_value(incoming.reference),
        "topic": name_value(&incoming.topic),
        "event": name_value(&incoming.event),
    });
    match &incoming.payload {
        Payload::Json(payload) => message["payload"] = payload.as_str().into(),
        Payload::Binary(bytes) => message["payload_hex"] = to_hex(bytes).into(),
        Payload::UserBroadcast(user) => {
            message["user_event"] = user.event.into();
            message["encoding"] = if user.encoding == Encoding::Json {
                "json"
            } else {
                "binary"
            }
            .into();
            message["user_payload_hex"] = to_hex(user.payload).into();
        }
    }
    message
}

fn ref_value(reference: RefView<'_>) -> Value {
    match reference {
        RefView::Json(text) => serde_json::from_str(text).unwrap(),
        RefView::Text(text) => text.into(),
    }
}

fn name_value(name: &Name<'_>) -> Value {
    match name {
        Name::Text(text) => text.as_ref().into(),
        Name::Other(text) => serde_json::from_str(text).unwrap(),
    }
}

fn check_encoded(version: Version, vector: &Value) {
    let message = &vector["message"];
    let [join_ref, reference, topic_json] =
        ["join_ref", "ref", "topic"].map(|name| message[name].to_string());
    let (join_ref, reference) = (RefView::Json(&join_ref), RefView::Json(&reference));
    let topic = message["topic"]
        .as_str()
        .map_or(Name::Other(&topic_json), Name::text);
    let text = |name: &str| message[name].as_str();
    let topic_text = || topic.as_text().expect("a topic that is a string");

    let frame_built = if let Some(status) = text("status") {
        let status = if status == "ok" { Status::Ok } else { Status::Error };
        encode::reply(
            version,
            join_ref,
            reference,
            &topic,
            status,
            text("response").unwrap(),
        )
    } else if let Some(event) = text("user_event") {
        match text("user_payload") {
            Some(payload) => {
                encode::user_broadcast_text_on(version, join_ref, topic_text(), event, text("meta"), payload)
            }
            None => {
                let encoding = if text("encoding") == Some("json") {
                    Encoding::Json
                } else {
                    Encoding::Binary
                };
                let payload = from_hex(text("user_payload_hex").unwrap());
                let meta = text("meta").unwrap_or_default();
                encode::user_broadcast_binary(topic_text(), event, meta, encoding, &payload).unwrap()
            }
        }
    } else if let Some(data) = text("payload_hex") {
        encode::raw_broadcast(topic_text(), text("event").unwrap(), &from_hex(data)).unwrap()
    } else {
        let (event, payload) = (text("event").unwrap(), text("payload").unwrap());
        encode::message_named(version, join_ref, reference, &topic, event, payload)
    };

    let (bytes, kind) = frame(vector);
    let opcode = match kind {
        MessageKind::Text => websocket::Opcode::Text,
        MessageKind::Binary => websocket::Opcode::Binary,
    };
    assert_eq!(
        String::from_utf8_lossy(frame_built.payload()),
        String::from_utf8_lossy(&bytes),
        "{}",
        vector["name"]
    );
    assert_eq!(
        (frame_built.payload(), frame_built.opcode()),
        (&bytes[..], opcode),
        "{}",
        vector["name"]
    );
}

fn vectors(file: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../protocol-spec/vectors/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut parsed: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(vectors) = parsed["vectors"].take() else {
        panic!("{path} holds no vectors")
    };
    assert!(!vectors.is_empty(), "{path} holds no vectors");
    vectors
}

fn frame(vector: &Value) -> (Vec<u8>, MessageKind) {
    match (vector["text"].as_str(), vector["hex"].as_str()) {
        (Some(text), None) => (text.as_bytes().to_vec(), MessageKind::Text),
        (None, Some(hex)) => {
            let kind = if vector["opcode"] == "text" {
                MessageKind::Text
            } else {
                MessageKind::Binary
            };
            (from_hex(hex), kind)
        }
        _ => panic!("neither text nor hex: {vector}"),
    }
}

fn malformed_name(malformed: &Malformed) -> &'static str {
    match malformed {
        Malformed::Json(_) => "json",
        Malformed::NotAnObject | Malformed::NotFiveElements => "shape",
        Malformed::MissingMember(_) => "missing",
        Malformed::Empty => "empty",
        Malformed::UnknownKind(_) => "kind",
        Malformed::ShortHeader => "short",
        Malformed::NotUtf8(_) => "utf8",
        Malformed::Metadata(_) => "metadata",
        Malformed::RefTooLong | Malformed::TopicTooLong => "long",
    }
}

fn error_name(kind: JsonErrorKind) -> &'static str {
    match kind {
        JsonErrorKind::Truncated => "truncated",
        JsonErrorKind::Unexpected => "unexpected",
        JsonErrorKind::NotUtf8 => "utf8",
        JsonErrorKind::ControlCharacter => "control",
        JsonErrorKind::BadEscape => "escape",
        JsonErrorKind::LoneSurrogate => "surrogate",
        JsonErrorKind::BadNumber => "number",
        JsonErrorKind::NumberOutOfRange => "range",
        JsonErrorKind::TooDeep => "depth",
        JsonErrorKind::TooLong => "length",
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
