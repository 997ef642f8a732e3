//! Our JSON checker against another parser.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use phoenix_wire::json::{self, JsonErrorKind};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Checks `data` as one JSON value.
pub(crate) fn run(data: &[u8]) {
    let theirs = serde_json::from_slice::<Seen>(data);
    match json::check(data) {
        Ok(checked) => {
            let text = checked.as_str();
            let again = json::check(text.as_bytes()).expect("checked text is JSON");
            assert_eq!(
                (again.as_str(), again.term_size()),
                (text, checked.term_size()),
                "checking is idempotent"
            );
            match theirs {
                Ok(seen) => {
                    let kept: Seen = serde_json::from_str(text).expect("checked text is JSON");
                    assert!(!kept.duplicates);
                    let trimmed = data.trim_ascii();
                    assert_eq!(
                        text.as_bytes() == trimmed,
                        !seen.duplicates,
                        "only duplicates are taken out"
                    );
                }
                // Its nesting is bounded at 128, and it has no integers beyond the doubles.
                Err(error) => assert!(is_limit(&error), "only we accept {text}: {error}"),
            }
            walk(text);
        }
        Err(ours) => assert!(
            theirs.is_err() || ours.kind == JsonErrorKind::TooDeep,
            "only they accept {:?}: {ours}",
            String::from_utf8_lossy(data)
        ),
    }
}

fn is_limit(error: &serde_json::Error) -> bool {
    let text = error.to_string();
    text.starts_with("recursion limit") || text.starts_with("number out of range")
}

/// Looks into the top level.
fn walk(text: &str) {
    json::content_hash(text);
    for (name, value) in json::members(text) {
        assert_eq!(json::member(text, &name), Some(value));
        json::check(value.as_bytes()).expect("a member of checked text is JSON");
    }
    for element in json::elements(text) {
        json::check(element.as_bytes()).expect("an element of checked text is JSON");
    }
    if let Some(string) = json::string(text) {
        let mut written = String::new();
        json::write_string(&mut written, &string);
        assert_eq!(json::string(&written), Some(string));
    }
}

/// What the other parser saw of a value.
struct Seen {
    duplicates: bool,
}

impl Seen {
    const CLEAN: Self = Self { duplicates: false };
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeenVisitor)
    }
}

struct SeenVisitor;

impl<'de> Visitor<'de> for SeenVisitor {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen::CLEAN)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seen, A::Error> {
        let mut duplicates = false;
        while let Some(element) = seq.next_element::<Seen>()? {
            duplicates |= element.duplicates;
        }
        Ok(Seen { duplicates })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seen, A::Error> {
        let mut names = HashSet::new();
        let mut duplicates = false;
        while let Some((name, value)) = map.next_entry::<Cow<'_, str>, Seen>()? {
            duplicates |= value.duplicates;
            duplicates |= !names.insert(name.into_owned());
        }
        Ok(Seen { duplicates })
    }
}
