//! Every rule of matching, each by a value that fits and by one that does not.

use super::*;
use crate::placeholder::Kind;
use std::collections::BTreeMap;

fn environment() -> Environment {
    Environment {
        tenant: "main".into(),
        host: "main.localhost".into(),
        secret: "hush".into(),
        tokens: BTreeMap::from([("anon".into(), "h.c.s".into())]),
    }
}

fn compare(expected: &str, actual: &str, bindings: &mut Bindings, numbers: Numbers) -> Result<(), Mismatch> {
    let (expected, actual) = (Value::parse(expected).unwrap(), Value::parse(actual).unwrap());
    Matcher {
        environment: &environment(),
        numbers,
    }
    .value(&expected, &actual, bindings)
}

fn matches(expected: &str, actual: &str) -> bool {
    compare(expected, actual, &mut Bindings::default(), Numbers::Decimal).is_ok()
}

/// Compares each pair as equal, and each left side with the next right side as different.
fn check(pairs: &[(&str, &str)]) {
    for (index, (expected, actual)) in pairs.iter().enumerate() {
        assert!(matches(expected, actual), "{expected} does not match {actual}");
        let (_, other) = pairs[(index + 1) % pairs.len()];
        assert!(!matches(expected, other), "{expected} matches {other}");
    }
}

const UUID: &str = "01234567-89ab-4cde-8f01-23456789abcd";

#[test]
fn values_are_equal_or_not() {
    check(&[
        ("null", "null"),
        ("true", "true"),
        ("false", "false"),
        ("1", "1"),
        (r#""1""#, r#""1""#),
        ("[]", "[]"),
    ]);
}

#[test]
fn the_order_of_members_never_matters_but_their_number_does() {
    assert!(matches(
        r#"{"a":1,"b":{"c":2,"d":3}}"#,
        r#"{"b":{"d":3,"c":2},"a":1}"#
    ));
    assert!(!matches(r#"{"a":1}"#, r#"{"a":1,"b":null}"#));
    assert!(!matches(r#"{"a":1,"b":null}"#, r#"{"a":1}"#));
    assert!(!matches(r#"{"a":1}"#, r#"{"a":1,"a":1}"#));
}

#[test]
fn arrays_have_an_order_and_a_length() {
    assert!(matches("[1,[2,3]]", "[1,[2,3]]"));
    assert!(!matches("[1,2]", "[2,1]"));
    assert!(!matches("[1,2]", "[1,2,3]"));
    assert!(!matches("[1,2]", "[1]"));
}

#[test]
fn numbers_are_equal_as_decimals_unless_their_text_matters() {
    let mut bindings = Bindings::default();
    for (expected, actual) in [
        ("[1.50]", "[15e-1]"),
        ("[100000000000000000000]", "[1e20]"),
        ("[0]", "[-0.0]"),
    ] {
        assert_eq!(compare(expected, actual, &mut bindings, Numbers::Decimal), Ok(()));
        assert!(
            compare(expected, actual, &mut bindings, Numbers::Exact).is_err(),
            "{expected} {actual}"
        );
        assert_eq!(compare(expected, expected, &mut bindings, Numbers::Exact), Ok(()));
    }
    assert!(!matches("9007199254740993", "9007199254740992"));
}

#[test]
fn placeholders_match_their_kind() {
    let uuid = format!("\"{UUID}\"");
    check(&[
        (r#""${uuid}""#, &uuid),
        (r#""${time}""#, r#""2024-01-31T12:00:00.000Z""#),
        (r#""${ref}""#, r#""F+a/b==""#),
        (r#""${int}""#, "42"),
    ]);
    assert!(matches(r#""${text}""#, r#""""#) && !matches(r#""${text}""#, "1"));
    assert!(matches(r#"["${any}","${any}"]"#, r#"[null,{"a":[]}]"#));
}

#[test]
fn placeholders_may_be_part_of_a_string() {
    let topic = format!("\"realtime:{UUID}:7\"");
    assert!(matches(r#""realtime:${uuid}:${int}""#, &topic));
    assert!(matches(r#""${text}: ${text}!""#, r#""a: b: c!""#));
    assert!(matches(r#""id ${int}0""#, r#""id 100""#));
    assert!(matches(r#""a${text}""#, r#""a""#));
    assert!(!matches(r#""id ${int}""#, r#""id x""#));
    assert!(!matches(r#""id ${int}""#, r#""id 5 ""#));
    assert!(!matches(r#""id ${int}""#, "5"));
}

#[test]
fn what_is_known_when_sending_is_known_when_matching() {
    assert!(matches(
        r#"["${tenant}","${host}","x${secret}","${jwt:anon}","${fill:x:5}"]"#,
        r#"["main","main.localhost","xhush","h.c.s","xxxxx"]"#
    ));
    assert!(!matches(r#""${fill:x:5}""#, r#""xxxx""#));
}

#[test]
fn a_name_is_bound_by_its_first_match() {
    let mut bindings = Bindings::default();
    assert_eq!(
        compare(r#"["${int:id1}"]"#, "[7]", &mut bindings, Numbers::Decimal),
        Ok(())
    );
    assert_eq!(
        bindings.get(Kind::Int, "id1").map(Value::to_string).as_deref(),
        Some("7")
    );
    assert_eq!(
        compare(r#""n${int:id1}""#, r#""n7""#, &mut bindings, Numbers::Decimal),
        Ok(())
    );
    let mismatch = compare(
        r#"{"a":["${int:id1}"]}"#,
        r#"{"a":[8]}"#,
        &mut bindings,
        Numbers::Decimal,
    )
    .unwrap_err();
    assert_eq!(
        mismatch.to_string(),
        "at $.a[0]: expected 7, which is ${int:id1}, got 8"
    );
    assert!(!matches(r#"["${ref:r}","${ref:r}"]"#, r#"["a","b"]"#));
    assert!(
        matches(r#"["${ref:r}","${text:r}"]"#, r#"["a","b"]"#),
        "names of two kinds are two names"
    );
}

#[test]
fn a_failing_match_binds_nothing() {
    let mut bindings = Bindings::default();
    assert!(compare(r#"["${int:a}",1]"#, "[7,2]", &mut bindings, Numbers::Decimal).is_err());
    assert_eq!(bindings.iter().count(), 0);
}

#[test]
fn placeholders_may_be_member_names() {
    let actual = format!(r#"{{"x":1,"{UUID}":{{"n":2}},"k7":3}}"#);
    assert!(matches(r#"{"${uuid:u}":{"n":2},"x":1,"k${int}":3}"#, &actual));
    assert!(!matches(r#"{"${uuid:u}":{"n":2},"x":1}"#, &actual));
    assert!(!matches(r#"{"${uuid:u}":{"n":9},"x":1,"k${int}":3}"#, &actual));
    // Which of two names is which shows only in the values.
    assert!(matches(
        r#"{"${ref:a}":1,"${ref:b}":2,"z":["${ref:a}"]}"#,
        r#"{"p":2,"q":1,"z":["q"]}"#
    ));
}

#[test]
fn an_unordered_array_has_these_elements_in_any_order() {
    let expected = r#"{"ids":{"$unordered":[1,"${int:b}","${int:a}"]}}"#;
    assert!(matches(expected, r#"{"ids":[3,1,2]}"#));
    assert!(!matches(expected, r#"{"ids":[3,2,4]}"#));
    assert!(!matches(expected, r#"{"ids":[3,1]}"#));
    assert!(!matches(expected, r#"{"ids":[3,1,2,4]}"#));
    assert!(!matches(expected, r#"{"ids":{"$unordered":[1,2,3]}}"#));
}

#[test]
fn what_is_bound_later_decides_an_earlier_choice() {
    let expected = r#"[{"$unordered":["${int:a}","${int:b}","${int:c}"]},"${int:c}","${int:a}"]"#;
    let mut bindings = Bindings::default();
    assert_eq!(
        compare(expected, "[[1,2,3],1,2]", &mut bindings, Numbers::Decimal),
        Ok(())
    );
    let bound: Vec<String> = ["a", "b", "c"]
        .map(|n| bindings.get(Kind::Int, n).unwrap().to_string())
        .into();
    assert_eq!(bound, ["2", "3", "1"]);
    assert!(!matches(expected, "[[1,2,3],1,4]"));
}

#[test]
fn a_search_without_end_is_given_up() {
    let elements = [r#""${int}""#; 11].join(",");
    let expected = format!(r#"{{"$unordered":[{elements},"x"]}}"#);
    let mismatch = compare(
        &expected,
        "[1,2,3,4,5,6,7,8,9,10,11,12]",
        &mut Bindings::default(),
        Numbers::Decimal,
    )
    .unwrap_err();
    assert_eq!(
        mismatch.expected,
        format!("fewer than {POSSIBILITIES_MAX} possibilities")
    );
}

#[test]
fn a_mismatch_tells_where_and_what() {
    for (expected, actual, told) in [
        (
            r#"["1",{"status":"ok"}]"#,
            r#"["1",{"status":"error"}]"#,
            r#"at $[1].status: expected "ok", got "error""#,
        ),
        (
            r#"{"a":1}"#,
            r#"{"b":2,"c":3}"#,
            "at $: expected a member a, got an object of b, c",
        ),
        (
            r#"{"a":1}"#,
            r#"{"a":1,"c":3}"#,
            "at $: expected no other members, got c",
        ),
        (r#"[1]"#, r#"[1,2]"#, "at $: expected [1], got [1,2]"),
        (
            r#"["x${int}"]"#,
            r#"["xy"]"#,
            r#"at $[0]: expected "x${int}", got "xy""#,
        ),
        (
            r#"["${uuid}"]"#,
            r#"["x"]"#,
            r#"at $[0]: expected "${uuid}", got "x""#,
        ),
    ] {
        let mismatch = compare(expected, actual, &mut Bindings::default(), Numbers::Decimal).unwrap_err();
        assert_eq!(mismatch.to_string(), told);
    }
}

#[test]
fn of_several_possibilities_the_nearest_is_told() {
    let mismatch = compare(
        r#"{"$unordered":[{"t":"x","n":1},{"t":"y","n":2}]}"#,
        r#"[{"t":"y","n":3},{"t":"x","n":1}]"#,
        &mut Bindings::default(),
        Numbers::Decimal,
    );
    assert_eq!(mismatch.unwrap_err().to_string(), "at $[0].n: expected 2, got 3");
}
