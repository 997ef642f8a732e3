//! Conditions the database is asked about, against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod viewers;

use changes::{Operator, Question, Unproven};
use database::{Error, Pool};
use viewers::{World, assert_clean};

fn question(text: &str, operator: Operator, type_sql: &str, value: &str) -> Question {
    Question {
        operator,
        type_sql: type_sql.into(),
        value: value.into(),
        text: text.into(),
    }
}

/// `t`, `f`, `~` for NULL, or the SQLSTATE, of each.
async fn ask(pool: &Pool, questions: &[Question]) -> Vec<String> {
    let answers = pool.conditions(questions).await.unwrap();
    let shown = answers.into_iter().map(|answer| match answer {
        Ok(Some(true)) => "t".to_owned(),
        Ok(Some(false)) => "f".to_owned(),
        Ok(None) => "~".to_owned(),
        Err(said) => said.sqlstate,
    });
    shown.collect()
}

#[tokio::test]
async fn conditions_are_what_the_database_says_they_are() {
    use Operator::*;
    let world = World::new(
        "conditions",
        r#"create schema odd; create type odd."My mood" as enum ('sad', 'happy'); create domain odd.name as text;"#,
    );
    let pool = world.pool();
    world.sql("grant usage on schema odd to gateway");
    let text = "pg_catalog.text";
    let asked = [
        (question("b", Gt, text, "a"), "t"),
        (question("b", Lt, text, "a"), "f"),
        (question("a", Lte, text, "a"), "t"),
        (question("a", Gte, text, "b"), "f"),
        (question("a'\\b", Eq, text, "a'\\b"), "t"),
        (question("a", Neq, text, "b"), "t"),
        (question("abc", Like, text, "a%"), "t"),
        (question("ABC", Like, text, "a%"), "f"),
        (question("ABC", Ilike, text, "a%"), "t"),
        (question("abc", Match, text, "^a.c$"), "t"),
        (question("ABC", Match, text, "^a.c$"), "f"),
        (question("ABC", Imatch, text, "^a.c$"), "t"),
        (question("a", IsDistinct, text, "b"), "t"),
        (question("null", IsDistinct, text, "null"), "f"),
        (question("a,b", In, text, r#"{"a,b",c}"#), "t"),
        (question("a", In, text, "{b,NULL}"), "~"),
        (question("a", In, text, "{}"), "f"),
        (question("t", Is, "pg_catalog.bool", "true"), "t"),
        (question("t", Is, "pg_catalog.bool", "false"), "f"),
        (question("t", Is, "pg_catalog.bool", "null"), "f"),
        (question("happy", Gt, r#"odd."My mood""#, "sad"), "t"),
        (question("happy", In, r#"odd."My mood""#, "{sad}"), "f"),
        (question("b", Gt, "odd.name", "a"), "t"),
        (question("10.0.0.1", Lt, "pg_catalog.inet", "10.0.0.2"), "t"),
        (question("{1,2}", Eq, "pg_catalog._int4", "{1,2}"), "t"),
        (question("1 day", Lt, "pg_catalog.\"interval\"", "25:00"), "t"),
        (question("ab   ", Eq, "pg_catalog.bpchar", "ab"), "t"),
        (question("a\0", Eq, text, "a\0"), "~"),
    ];
    let (questions, expected): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    assert_eq!(ask(&pool, &questions).await, expected);
    assert_eq!(pool.conditions(&[]).await.unwrap(), []);
    assert_clean(&pool).await;
}

#[tokio::test]
async fn the_failure_of_one_is_no_others() {
    let world = World::new(
        "conditions_failing",
        "create domain slow as text check (value = 'fast' or pg_sleep(600) is null);",
    );
    let pool = world.pool();
    let questions: Vec<Question> = (0..350)
        .map(|n| match n {
            17 => question("x", Operator::Match, "pg_catalog.text", "("),
            18 => question("x", Operator::Eq, "no.such", "x"),
            120 => question("{}", Operator::Eq, "pg_catalog.json", "{}"),
            349 => question("x", Operator::Eq, "pg_catalog.int4", "1"),
            _ => question(&n.to_string(), Operator::Lt, "pg_catalog.int4", "100"),
        })
        .collect();
    for (n, answer) in ask(&pool, &questions).await.iter().enumerate() {
        let expected = match n {
            17 => "2201B",
            18 => "3F000",
            120 => "42883",
            349 => "22P02",
            0..100 => "t",
            _ => "f",
        };
        assert_eq!(answer, expected, "{n}");
    }
    assert_clean(&pool).await;
    let slow = ["fast", "slow", "fast"].map(|text| question(text, Operator::Eq, "public.slow", "fast"));
    assert_eq!(ask(&pool, &slow).await, ["t", "57014", "t"]);
    assert_clean(&pool).await;
}

#[tokio::test]
async fn a_condition_is_tried_before_it_is_asked() {
    let world = World::new(
        "conditions_tried",
        "create domain short as text check (length(value) < 3);",
    );
    let pool = world.pool();
    for (operator, type_sql, value, refusal) in [
        (Operator::Eq, "pg_catalog.int4", "5", None),
        (
            Operator::Eq,
            "pg_catalog.int4",
            "five",
            Some(("22P02", r#"invalid input syntax for type integer: "five""#)),
        ),
        (
            Operator::Eq,
            "pg_catalog.json",
            "{}",
            Some(("42883", "operator does not exist: json = json")),
        ),
        (Operator::Match, "pg_catalog.text", "^a", None),
        (
            Operator::Match,
            "pg_catalog.text",
            "(",
            Some(("2201B", "invalid regular expression: parentheses () not balanced")),
        ),
        (
            Operator::Imatch,
            "pg_catalog.int4",
            "^a",
            Some(("22P02", r#"invalid input syntax for type integer: "^a""#)),
        ),
        (
            Operator::Imatch,
            "pg_catalog.int4",
            "1",
            Some(("42883", "operator does not exist: integer ~* integer")),
        ),
        (Operator::Like, "pg_catalog.text", "a'\\", None),
        (Operator::In, "pg_catalog.int4", "{1,2}", None),
        (
            Operator::In,
            "pg_catalog.int4",
            "{1",
            Some(("22P02", r#"malformed array literal: "{1""#)),
        ),
        (
            Operator::IsDistinct,
            "public.short",
            "long",
            Some((
                "23514",
                r#"value for domain short violates check constraint "short_check""#,
            )),
        ),
        (Operator::Lt, "pg_catalog.text", "a'; drop table t; --\\", None),
        (
            Operator::Lt,
            "pg_catalog.text",
            "\0",
            Some(("22021", r#"invalid byte sequence for encoding "UTF8": 0x00"#)),
        ),
    ] {
        let tried = pool
            .check_condition(&Unproven {
                binding: 0,
                operator,
                type_sql: type_sql.into(),
                value: value.into(),
            })
            .await;
        let told = match &tried {
            Ok(()) => None,
            Err(Error::Statement(said)) => Some((&*said.sqlstate, &*said.message)),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(told, refusal, "{type_sql} {operator:?} {value}");
        assert_clean(&pool).await;
    }
}
