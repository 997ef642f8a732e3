//! Filters that only the database can evaluate.

use super::*;
use crate::question::Question;

/// Questions in one line each, in order.
fn asked(index: &SubscriptionIndex<u8>, change: &RowChange<'_>) -> Vec<String> {
    let line = |question: Question| {
        let Question {
            operator,
            type_sql,
            value,
            text,
        } = question;
        format!("{text} {} {value} of {type_sql}", operator.as_str())
    };
    let mut lines: Vec<_> = index.questions(change).into_iter().map(line).collect();
    lines.sort();
    lines
}

/// Who hears of a change if every question gets the answer `answer` has for its text.
fn hear(
    index: &SubscriptionIndex<u8>,
    change: &RowChange<'_>,
    answer: impl Fn(&str) -> Option<Option<bool>>,
) -> Vec<String> {
    let questions = index.questions(change).into_iter();
    let answers: Answers = questions
        .filter_map(|question| {
            let answer = answer(&question.text)?;
            Some((question, answer))
        })
        .collect();
    shown(index.matches(change, &answers))
}

#[test]
fn a_question_is_asked_once_for_everybody() {
    let mut index = index();
    for (key, filter) in [
        (1, "body=match.^a"),
        (2, "body=not.match.^a,n=gt.0"),
        (3, "body=gt.x"),
    ] {
        let binding = format!(r#""table":"notes","filter":"{filter}""#);
        index.insert(key, subscription("user", &[&binding])).unwrap();
    }
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "y", "1"]);
    assert_eq!(
        asked(&index, &change),
        ["y gt x of pg_catalog.text", "y match ^a of pg_catalog.text"]
    );
    let all = "columns [0, 1, 2]";
    assert_eq!(
        hear(&index, &change, |_| Some(Some(true))),
        [format!("[1] by [1]: {all}"), format!("[3] by [1]: {all}")]
    );
    assert_eq!(
        hear(&index, &change, |_| Some(Some(false))),
        [format!("[2] by [1]: {all}")]
    );
    // Neither NULL nor no answer is a match, negated or not.
    assert!(hear(&index, &change, |_| Some(None)).is_empty());
    assert!(hear(&index, &change, |_| None).is_empty());
}

#[test]
fn what_is_false_anyway_is_not_asked_about() {
    let mut index = index();
    let bindings = [
        r#""table":"notes","filter":"body=match.^a,n=gt.5""#,
        r#""event":"UPDATE","table":"notes","filter":"body=match.^b""#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    index
        .insert(2, subscription("user", &[r#""table":"notes","filter":"n=eq.1""#]))
        .unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    for row in [&["1", "x", "1"], &["1", "~", "9"], &["1", "=", "9"]] {
        let change = insert(&notes, row);
        assert_eq!(asked(&index, &change), [""; 0], "{row:?}");
    }
    // Who does not need an answer hears without one.
    let change = insert(&notes, &["1", "x", "1"]);
    assert_eq!(shown(heard(&index, &change)), ["[2] by [1]: columns [0, 1, 2]"]);
    let change = insert(&notes, &["1", "x", "9"]);
    assert_eq!(asked(&index, &change), ["x match ^a of pg_catalog.text"]);
    // A deleted row of which only the key is known has nothing to be asked about.
    assert_eq!(asked(&index, &delete(&notes, &["1", "~", "~"])), [""; 0]);
}

#[test]
fn an_audience_knows_whether_it_asks() {
    let mut index = index();
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "é", "1"]);
    index
        .insert(
            1,
            subscription("user", &[r#""table":"notes","filter":"body=ilike.a%""#]),
        )
        .unwrap();
    assert_eq!(asked(&index, &change), ["é ilike a% of pg_catalog.text"]);
    // One that does not ask takes its place.
    index
        .insert(1, subscription("user", &[r#""table":"notes","filter":"n=eq.1""#]))
        .unwrap();
    assert_eq!(asked(&index, &change), [""; 0]);
    index
        .insert(
            1,
            subscription("user", &[r#""table":"notes","filter":"body=lt.a""#]),
        )
        .unwrap();
    assert_eq!(asked(&index, &change).len(), 1);
}

#[test]
fn who_is_refused_the_rows_has_nothing_asked() {
    let mut index = index();
    index.set_selectable("guest", selectable([1]));
    index
        .insert(
            1,
            subscription("guest", &[r#""table":"notes","filter":"body=match.^a""#]),
        )
        .unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "x", "1"]);
    assert_eq!(shown(heard(&index, &change)), ["[1] by [1]: Unauthorized"]);
}

#[test]
fn what_has_to_be_proven_comes_in_the_order_of_trying() {
    let index = index();
    let unproven = |bindings: &[&str]| {
        let found = index.unproven(&subscription("user", bindings)).into_iter();
        found
            .map(|unproven| {
                format!(
                    "{}: {} {} of {}",
                    unproven.binding,
                    unproven.operator.as_str(),
                    unproven.value,
                    unproven.type_sql
                )
            })
            .collect::<Vec<_>>()
    };
    let patterns = r#""table":"notes","filter":"body=match.[,body=not.imatch.(""#;
    let nested = r#""table":"notes","filter":"n=in.({1},{2})""#;
    let harmless = r#""table":"notes","filter":"body=gt.a,n=eq.1""#;
    assert_eq!(
        unproven(&[patterns, harmless, nested]),
        [
            "2: in {{1},{2}} of pg_catalog.int4",
            "0: match [ of pg_catalog.text",
            "0: imatch ( of pg_catalog.text",
        ]
    );
    // What is refused without asking ends it, but what comes before is tried before.
    let refused = r#""table":"notes","filter":"body=match.^a,n=eq.x,body=match.^b""#;
    assert_eq!(
        unproven(&[patterns, refused, nested]),
        [
            "2: in {{1},{2}} of pg_catalog.int4",
            "1: match ^a of pg_catalog.text",
        ]
    );
    assert_eq!(unproven(&[harmless]), [""; 0]);
}

#[test]
fn a_role_that_came_for_nothing_is_forgotten() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes""#]))
        .unwrap();
    index.set_selectable("guest", selectable([0]));
    index.forget_unused_role("guest");
    index.forget_unused_role("user");
    assert!(!index.knows_role("guest") && index.knows_role("user"));
}
