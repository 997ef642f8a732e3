//! Conditions and what satisfies them.

use std::sync::Arc;

use super::*;
use crate::filter;
use crate::table::Shape;
use crate::testing::scalar;

fn compile(r#type: &Type, condition: &str) -> Result<Predicate, Exception> {
    let conditions = filter::parse(&format!("c={condition}")).unwrap();
    Predicate::compile(&conditions[0], 0, r#type)
}

/// Which of the values satisfy the condition; `~` is NULL.
fn satisfying<'a>(type_name: &str, condition: &str, values: &[&'a str]) -> Vec<&'a str> {
    let predicate =
        compile(&scalar(type_name), condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    let judge = |cell| match predicate.judge(cell, &Answers::default()) {
        Verdict::Holds => true,
        Verdict::Fails => false,
        Verdict::Open => panic!("{condition} is not known of {cell:?}"),
    };
    assert!(!judge(Cell::Absent), "{condition}");
    let holds = |value: &&'a str| match *value {
        "~" => judge(Cell::Null),
        text => judge(Cell::Text(text)),
    };
    values.iter().copied().filter(holds).collect()
}

fn error(type_name: &str, condition: &str) -> String {
    let text = compile(&scalar(type_name), condition)
        .expect_err(condition)
        .to_string();
    text.split_once(") ").unwrap().1.to_owned()
}

#[test]
fn comparisons_leave_null_out_negated_or_not() {
    let values = ["4", "5", "6", "~"];
    for (condition, expected) in [
        ("eq.5", &["5"][..]),
        ("neq.5", &["4", "6"]),
        ("lt.5", &["4"]),
        ("lte.5", &["4", "5"]),
        ("gt.5", &["6"]),
        ("gte.5", &["5", "6"]),
        ("not.eq.5", &["4", "6"]),
        ("not.neq.5", &["5"]),
        ("not.gt.5", &["4", "5"]),
    ] {
        assert_eq!(satisfying("int4", condition, &values), expected, "{condition}");
    }
}

#[test]
fn values_are_compared_as_those_of_the_column() {
    for (type_name, condition, values, expected) in [
        (
            "numeric",
            "eq.1.50",
            &["1.5", "1.50", "1.51"][..],
            &["1.5", "1.50"][..],
        ),
        (
            "numeric",
            "gt.1e1",
            &["10", "10.0001", "NaN"],
            &["10.0001", "NaN"],
        ),
        ("float8", "gt.0.1", &["0.1", "0.2", "NaN"], &["0.2", "NaN"]),
        ("float8", "eq.NaN", &["0.1", "NaN"], &["NaN"]),
        ("bool", "eq.true", &["t", "f", "~"], &["t"]),
        ("bool", "eq.f", &["t", "f", "~"], &["f"]),
        (
            "date",
            "lt.2026-02-01",
            &["2026-01-31", "2026-02-01", "infinity"],
            &["2026-01-31"],
        ),
        (
            "timestamptz",
            "gte.2026-01-31T12:00:00+02:00",
            &["2026-01-31 10:00:00+00", "2026-01-31 09:59:59+00"],
            &["2026-01-31 10:00:00+00"],
        ),
        (
            "uuid",
            "eq.11111111-1111-4111-8111-11111111ABCD",
            &["11111111-1111-4111-8111-11111111abcd"],
            &["11111111-1111-4111-8111-11111111abcd"],
        ),
        (
            "int8",
            "eq.9007199254740993",
            &["9007199254740992", "9007199254740993"],
            &["9007199254740993"],
        ),
        ("varchar", "eq.abc", &["abc", "ABC", "abc "], &["abc"]),
    ] {
        assert_eq!(satisfying(type_name, condition, values), expected, "{condition}");
    }
}

#[test]
fn a_list_with_null_is_never_without_a_value() {
    let values = ["1", "2", "9", "~"];
    for (condition, expected) in [
        ("in.(1,2,3)", &["1", "2"][..]),
        ("not.in.(1,2,3)", &["9"]),
        ("in.( 1 ,null)", &["1"]),
        ("not.in.(1,NULL)", &[]),
        ("in.()", &[]),
        ("not.in.()", &["1", "2", "9", "~"]),
    ] {
        assert_eq!(satisfying("int4", condition, &values), expected, "{condition}");
    }
    let texts = ["abc", "def", "a,b", "", "~"];
    assert_eq!(satisfying("text", "in.(abc, def)", &texts), ["abc", "def"]);
    assert_eq!(satisfying("text", r#"in.("a,b","")"#, &texts), ["a,b", ""]);
}

#[test]
fn is_and_isdistinct_know_null() {
    let values = ["t", "f", "~"];
    for (condition, expected) in [
        ("is.null", &["~"][..]),
        ("not.is.null", &["t", "f"]),
        ("is.unknown", &["~"]),
        ("is.true", &["t"]),
        ("not.is.true", &["f", "~"]),
        ("is.false", &["f"]),
        ("isdistinct.true", &["f", "~"]),
        ("not.isdistinct.true", &["t"]),
    ] {
        assert_eq!(satisfying("bool", condition, &values), expected, "{condition}");
    }
    assert_eq!(
        satisfying("text", "isdistinct.null", &["null", "x", "~"]),
        ["x", "~"]
    );
}

#[test]
fn patterns_are_those_of_like() {
    let values = ["abc", "ABC", "xyz", "a*", "", "~"];
    for (condition, expected) in [
        ("like.a%", &["abc", "a*"][..]),
        ("ilike.A%", &["abc", "ABC", "a*"]),
        ("not.like.a%", &["ABC", "xyz", ""]),
        ("like.a*", &["a*"]),
    ] {
        assert_eq!(satisfying("text", condition, &values), expected, "{condition}");
    }
    assert_eq!(
        error("text", r"like.a\"),
        "LIKE pattern must not end with escape character"
    );
}

#[test]
fn conditions_are_rejected_in_the_words_of_the_database() {
    for (type_name, condition, message) in [
        (
            "int4",
            "eq.abc",
            r#"invalid input syntax for type integer: "abc""#,
        ),
        (
            "int4",
            "in.(1,x)",
            r#"invalid input syntax for type integer: "x""#,
        ),
        ("int4", "in.(1,)", r#"malformed array literal: "{1,}""#),
        (
            "int4",
            "like.5",
            "operator like requires a text-compatible column type, got integer",
        ),
        (
            "varchar",
            "like.ab%",
            "operator like requires a text-compatible column type, got character varying",
        ),
        (
            "int4",
            "is.true",
            "is true filter requires a boolean column, got integer",
        ),
        (
            "text",
            "is.NULL",
            "invalid value for is filter: must be null, true, false, or unknown",
        ),
    ] {
        assert_eq!(error(type_name, condition), message, "{condition}");
    }
    let list = |values: usize| format!("in.({})", vec!["1"; values].join(","));
    assert!(compile(&scalar("int4"), &list(LIST_VALUES_MAX)).is_ok());
    assert_eq!(
        error("int4", &list(LIST_VALUES_MAX + 1)),
        "too many values for `in` filter. Maximum 100"
    );
    let array = Type {
        oid: 1009,
        name: "_text".into(),
        sql: "pg_catalog._text".into(),
        shape: Shape::Array {
            element: scalar("text"),
            delimiter: ',',
        },
    };
    assert_eq!(
        compile(&array, "match.x").expect_err("an array").to_string(),
        "ERROR P0001 (raise_exception) operator match requires a text-compatible column type, got text[]"
    );
}

/// What is asked about a text, in SQL, and whether the condition has to be proven first.
fn asked(r#type: &Type, condition: &str, text: &str) -> Option<(String, bool)> {
    let predicate = compile(r#type, condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    let (asked, text) = predicate.question(Cell::Text(text))?;
    assert!(predicate.asks());
    let Asked {
        operator,
        type_sql,
        value,
    } = asked;
    let question = format!("{text} {} {value} of {type_sql}", operator.as_str());
    Some((question, predicate.unproven().is_some()))
}

#[test]
fn what_needs_a_collation_a_pattern_or_an_unknown_operator_is_asked() {
    let long_pattern = format!("like.%{}", "a".repeat(300));
    for (type_name, condition, is_unproven) in [
        ("text", "gt.a", false),
        ("varchar", "lte.a", false),
        ("name", "lt.a", false),
        ("bpchar", "gte.a", false),
        ("text", "match.^a", true),
        ("text", "imatch.^a", true),
        ("text", long_pattern.as_str(), false),
        ("text", "ilike.é%", false),
        ("jsonb", "eq.{}", true),
        ("json", "isdistinct.{}", true),
        ("jsonb", "in.(1,2)", true),
        ("int4", "in.({1},{2})", true),
        ("date", "lt.Jan 8 1999", true),
        ("date", "eq.yesterday", true),
        ("timestamptz", "in.(2026-01-31,now)", true),
        ("timestamp", "isdistinct.2026-02-30", true),
    ] {
        let (operator, value) = condition.split_once('.').unwrap();
        let value = value.replace('(', "{").replace(')', "}");
        let question = format!("x {operator} {value} of pg_catalog.{type_name}");
        for negation in ["", "not."] {
            let found = asked(&scalar(type_name), &format!("{negation}{condition}"), "x");
            assert_eq!(
                found,
                Some((question.clone(), is_unproven)),
                "{type_name} {condition}"
            );
        }
    }
    // Whether a value is there can be said of every type.
    assert_eq!(satisfying("jsonb", "is.null", &["{}", "~"]), ["~"]);
}

#[test]
fn null_and_what_is_not_known_are_decided_without_asking() {
    for (type_name, condition, expected) in [
        ("text", "match.^a", &[][..]),
        ("text", "not.match.^a", &[]),
        ("text", "not.gt.a", &[]),
        ("jsonb", "isdistinct.{}", &["~"]),
        ("jsonb", "not.isdistinct.{}", &[]),
        ("jsonb", "in.(1)", &[]),
        ("jsonb", "not.in.()", &["~"]),
        ("text", "not.ilike.a", &[]),
    ] {
        assert_eq!(satisfying(type_name, condition, &["~"]), expected, "{condition}");
    }
}

#[test]
fn answers_are_negated_and_null_stays_null() {
    let judge = |condition: &str, answer: Option<Option<bool>>| {
        let predicate = compile(&scalar("text"), condition).unwrap();
        let (asked, text) = predicate.question(Cell::Text("x")).unwrap();
        let answers: Answers = answer
            .map(|answer| (asked.of(text), answer))
            .into_iter()
            .collect();
        predicate.judge(Cell::Text("x"), &answers)
    };
    for (answer, plain, negated) in [
        (Some(Some(true)), Verdict::Holds, Verdict::Fails),
        (Some(Some(false)), Verdict::Fails, Verdict::Holds),
        (Some(None), Verdict::Fails, Verdict::Fails),
        (None, Verdict::Open, Verdict::Open),
    ] {
        assert_eq!(judge("match.^a", answer), plain);
        assert_eq!(judge("not.match.^a", answer), negated);
    }
}

#[test]
fn ilike_asks_about_what_is_not_ascii() {
    let text = scalar("text");
    assert_eq!(asked(&text, "ilike.a%", "ABC"), None);
    let (question, is_unproven) = asked(&text, "ilike.a%", "Äbc").unwrap();
    assert_eq!(question, "Äbc ilike a% of pg_catalog.text");
    assert!(!is_unproven);
    // Without folding there is nothing to ask.
    assert_eq!(satisfying("text", "like.É%", &["École", "école"]), ["École"]);
}

#[test]
fn of_bytea_the_digits_are_asked_about_unless_the_value_is_written_in_hex() {
    let bytea = scalar("bytea");
    let question = |condition: &str| asked(&bytea, condition, r"\x0102").unwrap().0;
    assert_eq!(question("eq.0102"), "0102 eq 0102 of pg_catalog.bytea");
    assert_eq!(question(r"eq.\x0102"), r"\x0102 eq \x0102 of pg_catalog.bytea");
    assert_eq!(question("like.01%"), "0102 like 01% of pg_catalog.bytea");
    assert_eq!(
        error("bytea", "match.01"),
        "operator match requires a text-compatible column type, got bytea"
    );
}

#[test]
fn patterns_on_types_of_extensions_have_to_be_proven() {
    let citext = Type {
        oid: 16_500,
        name: "citext".into(),
        sql: "extensions.citext".into(),
        shape: Shape::Scalar,
    };
    for condition in ["like.a%", "imatch.^a", "eq.a", "ilike.a"] {
        assert!(asked(&citext, condition, "A").unwrap().1, "{condition}");
    }
}

#[test]
fn lists_that_are_not_read_here_are_counted_all_the_same() {
    let list = |values: usize| format!("in.({})", vec!["{1,\"}\"}"; values].join(","));
    assert!(compile(&scalar("int4"), &list(LIST_VALUES_MAX)).is_ok());
    assert!(compile(&scalar("jsonb"), &list(LIST_VALUES_MAX)).is_ok());
    for type_name in ["int4", "jsonb"] {
        assert_eq!(
            error(type_name, &list(LIST_VALUES_MAX + 1)),
            "too many values for `in` filter. Maximum 100"
        );
    }
}

#[test]
fn enums_and_domains_are_compared_too() {
    let mood = Arc::new(Type {
        oid: 90_000,
        name: "mood".into(),
        sql: "public.mood".into(),
        shape: Shape::Enum {
            labels: vec!["sad".into(), "ok".into()],
        },
    });
    let sad = compile(&mood, "eq.sad").unwrap();
    let judge = |predicate: &Predicate, text| predicate.judge(Cell::Text(text), &Answers::default());
    assert_eq!(judge(&sad, "sad"), Verdict::Holds);
    assert_eq!(judge(&sad, "ok"), Verdict::Fails);
    assert_eq!(
        compile(&mood, "eq.glad").expect_err("no label").to_string(),
        r#"ERROR 22P02 (invalid_text_representation) invalid input value for enum mood: "glad""#
    );
    assert_eq!(
        asked(&mood, "lt.ok", "sad"),
        Some(("sad lt ok of public.mood".to_owned(), false))
    );
    let positive = Type {
        oid: 90_001,
        name: "positive".into(),
        sql: "public.positive".into(),
        shape: Shape::Domain { base: scalar("int4") },
    };
    assert_eq!(judge(&compile(&positive, "gt.5").unwrap(), "10"), Verdict::Holds);
}

#[test]
fn only_equality_requires_one_value() {
    let required = |condition: &str| {
        compile(&scalar("int4"), condition)
            .unwrap()
            .required_value()
            .is_some()
    };
    assert!(required("eq.5"));
    for condition in [
        "not.eq.5",
        "neq.5",
        "gte.5",
        "in.(5)",
        "not.isdistinct.5",
        "is.null",
    ] {
        assert!(!required(condition), "{condition}");
    }
}
