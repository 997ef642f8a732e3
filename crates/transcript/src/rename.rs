//! When two values of two recordings are the same but for what a server makes up.
//!
//! A server makes up UUIDs, times, presence references and whatever a recording has made a placeholder. Those may differ,
//! as long as the same value on one side always stands for the same value on the other.

use std::collections::BTreeMap;

use crate::explain::shortened;
use crate::json::Value;
use crate::matcher::Matcher;
use crate::placeholder::{Bindings, Environment, Kind, Part, Placeholder, parts};
use crate::step::Numbers;

/// Members whose values are presence references.
const PRESENCE_REFERENCES: [&str; 2] = ["phx_ref", "phx_ref_prev"];

/// What stands for what so far.
#[derive(Debug, Default)]
pub(crate) struct Renaming {
    /// By the value of the first recording.
    there: BTreeMap<String, String>,
    /// By the value of the second.
    back: BTreeMap<String, String>,
    /// What names of the first stand for in the second, and the other way round.
    bindings: Bindings,
    bindings_back: Bindings,
}

impl Renaming {
    /// Puts every place that differs with both values into `places`.
    pub(crate) fn compare(
        &mut self,
        one: &Value,
        other: &Value,
        numbers: Numbers,
        places: &mut Vec<(String, String, String)>,
    ) {
        self.walk("$", one, other, numbers, places);
    }

    fn walk(
        &mut self,
        path: &str,
        one: &Value,
        other: &Value,
        numbers: Numbers,
        places: &mut Vec<(String, String, String)>,
    ) {
        let differs = |one: &Value, other: &Value| {
            (
                path.to_owned(),
                shortened(&one.to_string()),
                shortened(&other.to_string()),
            )
        };
        match (unordered(one), unordered(other)) {
            (None, None) => {}
            (elements, others) => {
                let elements = elements.or(one.as_array());
                let others = others.or(other.as_array());
                match (elements, others) {
                    (Some(elements), Some(others)) => self.any_order(path, elements, others, numbers, places),
                    _ => places.push(differs(one, other)),
                }
                return;
            }
        }
        match (one, other) {
            (Value::Object(members), Value::Object(others)) => {
                self.objects(path, members, others, numbers, places);
            }
            (Value::Array(elements), Value::Array(others)) => {
                for (index, (one, other)) in elements.iter().zip(others).enumerate() {
                    self.walk(&format!("{path}[{index}]"), one, other, numbers, places);
                }
                let nothing = || "nothing".to_owned();
                for (index, one) in elements.iter().enumerate().skip(others.len()) {
                    places.push((format!("{path}[{index}]"), shortened(&one.to_string()), nothing()));
                }
                for (index, other) in others.iter().enumerate().skip(elements.len()) {
                    places.push((
                        format!("{path}[{index}]"),
                        nothing(),
                        shortened(&other.to_string()),
                    ));
                }
            }
            (one, other) => {
                if !self.is_same(path, one, other, numbers) {
                    places.push(differs(one, other));
                }
            }
        }
    }

    fn objects(
        &mut self,
        path: &str,
        members: &[(String, Value)],
        others: &[(String, Value)],
        numbers: Numbers,
        places: &mut Vec<(String, String, String)>,
    ) {
        let mut left: Vec<&(String, Value)> = others.iter().collect();
        let mut open = Vec::new();
        for (name, value) in members {
            match left.iter().position(|(other, _)| other == name) {
                Some(at) => {
                    let (_, other) = left.remove(at);
                    self.walk(&format!("{path}.{name}"), value, other, numbers, places);
                }
                None => open.push((name, value)),
            }
        }
        for (name, value) in open {
            // A name that is made up, on either side, stands for one that is left.
            let at = left
                .iter()
                .position(|(other, _)| self.is_same(path, &Value::text(name), &Value::text(other), numbers));
            match at {
                Some(at) => {
                    let (_, other) = left.remove(at);
                    self.walk(&format!("{path}.{name}"), value, other, numbers, places);
                }
                None => places.push((
                    format!("{path}.{name}"),
                    shortened(&value.to_string()),
                    "nothing".to_owned(),
                )),
            }
        }
        for (name, value) in left {
            places.push((
                format!("{path}.{name}"),
                "nothing".to_owned(),
                shortened(&value.to_string()),
            ));
        }
    }

    /// Arrays whose order is open on one side.
    fn any_order(
        &mut self,
        path: &str,
        elements: &[Value],
        others: &[Value],
        numbers: Numbers,
        places: &mut Vec<(String, String, String)>,
    ) {
        let mut left: Vec<&Value> = others.iter().collect();
        for (index, element) in elements.iter().enumerate() {
            let at = left.iter().position(|other| {
                let mut differing = Vec::new();
                self.walk(path, element, other, numbers, &mut differing);
                differing.is_empty()
            });
            match at {
                Some(at) => {
                    left.remove(at);
                }
                None => places.push((
                    format!("{path}[{index}]"),
                    shortened(&element.to_string()),
                    "none that is the same".to_owned(),
                )),
            }
        }
        for other in left {
            let one = "none that is the same".to_owned();
            places.push((path.to_owned(), one, shortened(&other.to_string())));
        }
    }

    fn is_same(&mut self, path: &str, one: &Value, other: &Value, numbers: Numbers) -> bool {
        let is_equal = match (one, other) {
            (Value::Number(one), Value::Number(other)) if numbers == Numbers::Decimal => {
                one.is_same_number(other)
            }
            (one, other) => one == other,
        };
        match (is_pattern(one), is_pattern(other)) {
            (true, true) => {
                if let (Some((kind, name)), Some((other_kind, other_name))) = (capture(one), capture(other)) {
                    let is_wide = |kind| matches!(kind, Kind::Any | Kind::Text);
                    let fits = kind == other_kind || is_wide(kind) || is_wide(other_kind);
                    return match (name, other_name) {
                        (Some(_), Some(_)) => fits && self.stands_for(&one.to_string(), &other.to_string()),
                        _ => fits,
                    };
                }
                is_equal
            }
            (true, false) => fits(one, other, numbers, &mut self.bindings),
            (false, true) => fits(other, one, numbers, &mut self.bindings_back),
            (false, false) if is_equal => true,
            (false, false) => {
                is_made_up(path, one, other) && self.stands_for(&one.to_string(), &other.to_string())
            }
        }
    }

    /// Whether the two stand for each other, now or from now on.
    fn stands_for(&mut self, one: &str, other: &str) -> bool {
        match (self.there.get(one), self.back.get(other)) {
            (Some(known), Some(back)) => known == other && back == one,
            (None, None) => {
                self.there.insert(one.to_owned(), other.to_owned());
                self.back.insert(other.to_owned(), one.to_owned());
                true
            }
            _ => false,
        }
    }
}

/// The elements of an array whose order is open.
fn unordered(value: &Value) -> Option<&[Value]> {
    match value.as_object()? {
        [(name, elements)] if name == "$unordered" => elements.as_array(),
        _ => None,
    }
}

fn is_pattern(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("${"))
}

/// A string that is nothing but one capture.
fn capture(value: &Value) -> Option<(Kind, Option<&str>)> {
    match parts(value.as_str()?).ok()?.as_slice() {
        [Part::Placeholder(Placeholder::Capture(kind, name))] => Some((*kind, *name)),
        _ => None,
    }
}

/// Whether a value that was made a pattern on one side is the one on the other.
fn fits(pattern: &Value, value: &Value, numbers: Numbers, bindings: &mut Bindings) -> bool {
    let environment = Environment {
        tenant: String::new(),
        host: String::new(),
        secret: String::new(),
        tokens: BTreeMap::new(),
    };
    let matcher = Matcher {
        environment: &environment,
        numbers,
    };
    // A token or a secret on one side may be written out on the other; nobody here can tell whether it is the same.
    let is_sent_only = parts(pattern.as_str().unwrap_or_default())
        .unwrap_or_default()
        .iter()
        .any(|part| {
            matches!(
                part,
                Part::Placeholder(
                    Placeholder::Token(_)
                        | Placeholder::Tenant
                        | Placeholder::Host
                        | Placeholder::Secret
                        | Placeholder::Now(_)
                        | Placeholder::NowMs(_)
                )
            )
        });
    is_sent_only || matcher.value(pattern, value, bindings).is_ok()
}

/// Whether both are something that servers make up, of the same kind.
fn is_made_up(path: &str, one: &Value, other: &Value) -> bool {
    let both = |kind: Kind| kind.accepts(one) && kind.accepts(other);
    let is_reference = PRESENCE_REFERENCES
        .iter()
        .any(|name| path.rsplit('.').next() == Some(name));
    both(Kind::Uuid) || both(Kind::Time) || is_reference && both(Kind::Ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(pairs: &[(&str, &str)]) -> Vec<String> {
        let (mut renaming, mut places) = (Renaming::default(), Vec::new());
        for (one, other) in pairs {
            let (one, other) = (Value::parse(one).unwrap(), Value::parse(other).unwrap());
            renaming.compare(&one, &other, Numbers::Decimal, &mut places);
        }
        places
            .into_iter()
            .map(|(path, one, other)| format!("{path} {one} {other}"))
            .collect()
    }

    const ONE: &str = "01234567-89ab-4cde-8f01-23456789abcd";
    const TWO: &str = "11234567-89ab-4cde-8f01-23456789abcd";

    #[test]
    fn what_a_server_makes_up_may_differ_consistently() {
        let (one, two) = (format!(r#"["{ONE}"]"#), format!(r#"["{TWO}"]"#));
        assert_eq!(places(&[(&one, &two), (&one, &two), (&two, &one)]), [""; 0]);
        assert_eq!(
            places(&[(&one, &two), (&one, &one)]),
            [""; 0],
            "equal values are equal"
        );
        let third = r#"["21234567-89ab-4cde-8f01-23456789abcd"]"#;
        assert_eq!(places(&[(&one, &two), (&one, third)]).len(), 1);
        assert_eq!(places(&[(r#"{"phx_ref":"F1"}"#, r#"{"phx_ref":"F2"}"#)]), [""; 0]);
        assert_eq!(
            places(&[(r#"{"x":"F1"}"#, r#"{"x":"F2"}"#)]),
            [r#"$.x "F1" "F2""#]
        );
        assert_eq!(
            places(&[(r#""2024-01-31T12:00:00Z""#, r#""2025-01-31T12:00:00+00:00""#)]),
            [""; 0]
        );
    }

    #[test]
    fn names_stand_for_values_and_for_names() {
        let named = [
            (r#"["${int:a}"]"#, r#"["${int:b}"]"#),
            (r#"["${int:a}"]"#, r#"["${int:b}"]"#),
        ];
        assert_eq!(places(&named), [""; 0]);
        let crossed = [
            (r#"["${int:a}"]"#, r#"["${int:b}"]"#),
            (r#"["${int:a}"]"#, r#"["${int:c}"]"#),
        ];
        assert_eq!(places(&crossed).len(), 1);
        assert_eq!(
            places(&[(r#"["${int:a}"]"#, "[7]"), (r#"["${int:a}"]"#, "[7]")]),
            [""; 0]
        );
        assert_eq!(
            places(&[(r#"["${int:a}"]"#, "[7]"), (r#"["${int:a}"]"#, "[8]")]).len(),
            1
        );
        assert_eq!(
            places(&[("[7]", r#"["${int:a}"]"#), ("[8]", r#"["${int:a}"]"#)]).len(),
            1
        );
        assert_eq!(places(&[(r#""x ${text}""#, r#""x y""#)]), [""; 0]);
        assert_eq!(places(&[(r#""${ref:a}""#, r#""${text}""#)]), [""; 0]);
        assert_eq!(places(&[(r#""${ref:a}""#, r#""${int:a}""#)]).len(), 1);
        assert_eq!(places(&[(r#""${jwt:a}""#, r#""eyJ""#)]), [""; 0]);
    }

    #[test]
    fn members_and_elements_are_told_by_their_place() {
        let told = places(&[(
            r#"{"a":{"b":[1,2]},"c":1,"e":1.50}"#,
            r#"{"a":{"b":[1,3,4]},"d":2,"e":15e-1}"#,
        )]);
        assert_eq!(
            told,
            [
                "$.a.b[1] 2 3",
                "$.a.b[2] nothing 4",
                "$.c 1 nothing",
                "$.d nothing 2"
            ]
        );
        let named = format!(r#"{{"{ONE}":1}}"#);
        assert_eq!(places(&[(r#"{"${uuid:u}":1}"#, &named)]), [""; 0]);
        assert_eq!(places(&[(r#"{"$unordered":[1,2]}"#, "[2,1]")]), [""; 0]);
        assert_eq!(places(&[(r#"{"$unordered":[1,2]}"#, "[2,3]")]).len(), 2);
        assert_eq!(places(&[(r#"{"$unordered":[1]}"#, "7")]).len(), 1);
    }
}
