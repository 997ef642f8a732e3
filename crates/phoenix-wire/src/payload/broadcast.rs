//! The envelope of broadcasts, as far as the server looks into it. Source: protocol-spec/broadcast.md, sections 1 and 7.

use std::borrow::Cow;

use crate::JsonText;
use crate::json::{self, write_string};

/// Whether the channel a broadcast came from is among its receivers (`config.broadcast.self`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// It gets its own message.
    Included,
    /// It is passed over.
    Excluded,
}

/// `meta.id` of a text broadcast, if it is a string: what a live copy of a replayed message is recognised by.
pub fn message_id<'a>(payload: &'a JsonText<'_>) -> Option<Cow<'a, str>> {
    let meta = json::member(payload.as_str(), "meta")?;
    json::string(json::member(meta, "id")?)
}

/// The metadata of a message that has an id: `{"id":…}`, with `"replayed":true` when it comes out of a replay.
pub fn meta(id: &str, replayed: bool) -> String {
    let mut meta = String::with_capacity(id.len() + r#"{"id":"","replayed":true}"#.len());
    meta.push_str(r#"{"id":"#);
    write_string(&mut meta, id);
    if replayed {
        meta.push_str(r#","replayed":true"#);
    }
    meta.push('}');
    meta
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_where_the_server_puts_it() {
        for (text, id) in [
            (r#"{"event":"e","meta":{"x":1,"id":"mine"}}"#, Some("mine")),
            (r#"{"meta":{"id":7}}"#, None),
            (r#"{"meta":"id"}"#, None),
            (r#"{"id":"mine"}"#, None),
            ("[]", None),
        ] {
            assert_eq!(
                message_id(&json::check(text.as_bytes()).unwrap()).as_deref(),
                id,
                "{text}"
            );
        }
    }

    #[test]
    fn metadata_fits_a_binary_header() {
        let id = "11111111-1111-4111-8111-111111111111";
        assert_eq!(meta(id, false).len(), 45);
        assert_eq!(meta(id, true), format!(r#"{{"id":"{id}","replayed":true}}"#));
    }
}
