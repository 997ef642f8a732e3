//! One meta as JSON text, and many of them as the objects clients know.

use std::sync::Arc;

use phoenix_wire::json::{self, write_string};

/// Where a meta stands: metas are ordered by key, and under one key by arrival.
///
/// Arrivals are unique within a set, so a place names one meta for good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) key: Arc<str>,
    pub(crate) arrival: u64,
}

/// The text of a meta: `phx_ref`, after an update `phx_ref_prev`, then the members of the tracked object. Members of
/// these two names in the object do not survive.
pub(crate) fn meta_json(payload: &str, phx_ref: &str, phx_ref_prev: Option<&str>) -> Arc<str> {
    let mut out = String::with_capacity(payload.len() + 96);
    out.push_str("{\"phx_ref\":");
    write_string(&mut out, phx_ref);
    if let Some(prev) = phx_ref_prev {
        out.push_str(",\"phx_ref_prev\":");
        write_string(&mut out, prev);
    }
    for (name, value) in json::members(payload) {
        if name != "phx_ref" && name != "phx_ref_prev" {
            out.push(',');
            write_string(&mut out, &name);
            out.push(':');
            out.push_str(value);
        }
    }
    out.push('}');
    out.into()
}

/// Writes `{"key":{"metas":[…]},…}` for metas in order.
pub(crate) fn write_metas<'a>(out: &mut String, metas: impl Iterator<Item = (&'a Place, &'a Arc<str>)>) {
    let mut current: Option<&str> = None;
    out.push('{');
    for (place, meta) in metas {
        match current {
            Some(key) if key == &*place.key => out.push(','),
            other => {
                out.push_str(if other.is_some() { "]}," } else { "" });
                write_string(out, &place.key);
                out.push_str(":{\"metas\":[");
                current = Some(&place.key);
            }
        }
        out.push_str(meta);
    }
    out.push_str(if current.is_some() { "]}}" } else { "}" });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ref_comes_first_and_the_payload_keeps_its_text() {
        assert_eq!(&*meta_json("{}", "r", None), r#"{"phx_ref":"r"}"#);
        assert_eq!(
            &*meta_json(r#"{ "n": 1.50, "l":[ null ] }"#, "r2", Some("r1")),
            r#"{"phx_ref":"r2","phx_ref_prev":"r1","n":1.50,"l":[ null ]}"#
        );
    }

    #[test]
    fn a_payload_cannot_pose_as_another_meta() {
        assert_eq!(
            &*meta_json(
                r#"{"phx_ref":"x","a":1,"\u0070hx_ref":"y","phx_ref_prev":2}"#,
                "r",
                None
            ),
            r#"{"phx_ref":"r","a":1}"#
        );
    }

    #[test]
    fn metas_of_one_key_stand_together() {
        let metas = [("a", 1), ("a", 3), ("b\"", 2)];
        let metas: Vec<_> = metas
            .map(|(key, arrival)| {
                (
                    Place {
                        key: key.into(),
                        arrival,
                    },
                    "{}".into(),
                )
            })
            .into();
        let mut out = String::new();
        write_metas(&mut out, metas.iter().map(|(place, meta)| (place, meta)));
        assert_eq!(out, r#"{"a":{"metas":[{},{}]},"b\"":{"metas":[{}]}}"#);
        out.clear();
        write_metas(&mut out, [].into_iter());
        assert_eq!(out, "{}");
    }
}
