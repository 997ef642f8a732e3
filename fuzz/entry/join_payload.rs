//! What clients say in the payloads of joins, presence and tokens.

use phoenix_wire::json;
use phoenix_wire::payload::{
    JoinPayload, PresencePayload, PresencePush, TokenPush, binding_id, binding_with_id, broadcast, changes,
    join_ok,
};

/// Reads `data`, if it is JSON, as each of the payloads.
pub(crate) fn run(data: &[u8]) {
    let Ok(payload) = json::check(data) else { return };

    if let PresencePush::Track(PresencePayload::Object { json, term_size }) = PresencePush::parse(&payload) {
        assert!(json.starts_with('{'));
        assert!(term_size < payload.term_size());
    }
    let _ = TokenPush::parse(&payload);
    let _ = broadcast::message_id(&payload);

    let Ok(join) = JoinPayload::parse(&payload) else {
        return;
    };
    json::check(join.extensions.as_bytes()).expect("the config is JSON");
    let mut echoes = Vec::new();
    for binding in &join.changes {
        let id = binding_id(binding.as_str());
        assert!((1..1 << 27).contains(&id));
        let echo = binding_with_id(binding.as_str(), id);
        let checked = json::check(echo.as_bytes()).expect("an echo is JSON");
        assert_eq!(checked.as_str(), echo, "an echo has no duplicates");
        for (name, value) in json::members(binding.as_str()).filter(|(name, _)| name != "id") {
            assert_eq!(json::member(&echo, &name), Some(value));
        }
        assert_eq!(json::member(&echo, "id"), Some(id.to_string().as_str()));
        assert!(!changes::no_params(binding.as_str()).is_empty());
        echoes.push(echo);
    }
    json::check(join_ok(&echoes).as_bytes()).expect("a response is JSON");
}
