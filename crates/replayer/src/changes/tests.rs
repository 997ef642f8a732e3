//! Statements that are derived from what a recording says.

use super::*;

const HEADER: &str = concat!(
    r#"{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","#,
    r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5}"#
);
const COLUMNS: &str =
    r#"[{"name":"id","type":"int8"},{"name":"title","type":"text"},{"name":"done","type":"bool"}]"#;

fn message(topic: &str, kind: &str, columns: &str, rows: &str) -> String {
    format!(
        r#"[null,null,"realtime:{topic}","postgres_changes",{{"ids":["${{int:id1}}"],"data":{{"schema":"public","table":"todos","type":"{kind}","commit_timestamp":"${{time}}","columns":{columns},{rows},"errors":null}}}}]"#
    )
}

fn recv(connection: &str, kind: &str, rows: &str) -> String {
    let message = message("t", kind, COLUMNS, rows);
    format!(r#"{{"recv":"{connection}","text":{message},"at_ms":7}}"#)
}

fn transcript(lines: &[&str]) -> Transcript {
    let text = [&[HEADER], lines].concat().join("\n");
    Transcript::parse("f.jsonl", &text).unwrap()
}

/// The header's setup and teardown, and the lines that run statements, each with its number.
fn derived(lines: &[&str]) -> (String, String, Vec<(usize, String)>, Vec<String>) {
    let with_sql = with_sql(&transcript(lines)).unwrap();
    let again = Transcript::parse("f.jsonl", &with_sql.text).unwrap();
    assert!(super::with_sql(&again).is_none(), "nothing is left to do");
    let mut steps = Vec::new();
    for step in &again.steps {
        if let Action::Sql(call) = &step.action {
            steps.push((step.line, call.sql.clone()));
        }
    }
    assert_eq!(steps.len(), with_sql.steps);
    let header = again.header;
    (
        header.setup.join("; "),
        header.teardown.join("; "),
        steps,
        with_sql.notes,
    )
}

const INSERT: &str = r#""record":{"id":1,"done":false,"title":"it's"}"#;
const UPDATE: &str = r#""record":{"id":1,"done":true,"title":"it's"},"old_record":{"id":1}"#;
const DELETE: &str = r#""old_record":{"id":1}"#;

#[test]
fn each_change_gets_a_statement_before_it_and_its_row_goes_in_the_end() {
    let lines = [
        recv("a", "INSERT", INSERT),
        recv("a", "UPDATE", UPDATE),
        recv("a", "DELETE", DELETE),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (setup, teardown, steps, notes) = derived(&lines);
    assert_eq!(
        steps,
        [
            (
                2,
                "insert into public.todos (id, title, done) overriding system value values (1, 'it''s', false)".into()
            ),
            (4, "update public.todos set done = true where id = 1".into()),
            (6, "delete from public.todos where id = 1".to_owned()),
        ]
    );
    assert_eq!(
        (&*setup, &*teardown),
        ("", "delete from public.todos where id = 1")
    );
    assert_eq!(notes, [""; 0]);
}

#[test]
fn a_change_that_several_hear_of_happens_once() {
    let of_another = message(
        "t",
        "INSERT",
        r#"[{"name":"id","type":"int8"},{"name":"secret","type":"text"}]"#,
        r#""record":{"id":1,"secret":"s"}"#,
    );
    let lines = [
        recv("a", "INSERT", INSERT),
        recv("b", "INSERT", INSERT),
        format!(r#"{{"recv":"c","text":{of_another}}}"#),
        recv("a", "INSERT", INSERT),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, teardown, steps, _) = derived(&lines);
    let numbers: Vec<usize> = steps.iter().map(|(line, _)| *line).collect();
    assert_eq!(numbers, [2, 6], "the second time is another change");
    assert!(
        steps[0].1.contains("(id, title, done, secret)") && steps[0].1.contains("'s')"),
        "{steps:?}"
    );
    assert_eq!(teardown, "delete from public.todos where id = 1");
}

#[test]
fn a_row_that_was_there_before_is_made_first() {
    let (setup, teardown, steps, notes) = derived(&[&recv("a", "UPDATE", UPDATE)]);
    assert_eq!(
        setup,
        "insert into public.todos (id, title, done) overriding system value values (1, 'it''s', true)"
    );
    assert_eq!(
        steps[0].1,
        "update public.todos set title = 'it''s', done = true where id = 1"
    );
    assert_eq!(teardown, "delete from public.todos where id = 1");
    assert_eq!(notes, [""; 0]);
    let (setup, _, _, notes) = derived(&[&recv("a", "DELETE", DELETE)]);
    assert_eq!(
        setup,
        "insert into public.todos (id) overriding system value values (1)"
    );
    assert!(
        notes[0].starts_with("f.jsonl:2: the row was there before"),
        "{notes:?}"
    );
}

#[test]
fn frames_that_stand_together_are_taken_apart_where_a_statement_has_to_stand() {
    let one = message("t", "INSERT", COLUMNS, INSERT);
    let two = message("t", "DELETE", COLUMNS, DELETE);
    let line = format!(
        r#"{{"recv":"a","unordered":[{{"text":{one}}},{{"text":["1","1","t","phx_reply",{{}}]}},{{"text":{two}}}],"at_ms":3}}"#
    );
    let with_sql = with_sql(&transcript(&[&line])).unwrap();
    let kinds: Vec<&str> = with_sql
        .text
        .lines()
        .skip(1)
        .map(|line| {
            let known = ["phx_reply", "insert into", "INSERT", "delete from", "DELETE"];
            known.into_iter().find(|kind| line.contains(kind)).unwrap()
        })
        .collect();
    assert_eq!(
        kinds,
        ["phx_reply", "insert into", "INSERT", "delete from", "DELETE"]
    );
    assert!(
        with_sql.text.contains(r#"(1, 'it''s', false)","at_ms":3}"#),
        "{}",
        with_sql.text
    );
    assert!(!with_sql.text.contains("unordered"));
    assert!(
        with_sql
            .text
            .lines()
            .next()
            .unwrap()
            .contains(r#""lock":"tables""#)
    );
}

#[test]
fn values_are_written_as_their_type_reads_them() {
    let columns = [
        ("id", "uuid"),
        ("order", "_text"),
        ("data", "jsonb"),
        ("at", "timestamptz"),
        ("by", "uuid"),
        ("n", "numeric"),
        ("Who", "text"),
        ("gone", "text"),
        ("price", "text"),
    ];
    let columns: Vec<String> = columns
        .iter()
        .map(|(name, kind)| format!(r#"{{"name":"{name}","type":"{kind}"}}"#))
        .collect();
    let record = r#""record":{"n":1.50,"at":"${time}","by":"${uuid:u1}","id":"${uuid:u2}","Who":"${text:redacted3}","data":{"a":["b'"]},"gone":null,"order":["x","y\"",null],"price":"${fill:$:1}{5}"}"#;
    let insert = message("t", "INSERT", &format!("[{}]", columns.join(",")), record);
    let lines = [
        r#"{"recv":"a","text":["${uuid:u1}","${uuid}"]}"#.to_owned(),
        format!(r#"{{"recv":"a","text":{insert}}}"#),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_, teardown, steps, _) = derived(&lines);
    assert_eq!(
        steps[0].1,
        concat!(
            r#"insert into public.todos (id, "order", data, at, "by", n, "Who", gone, price) values "#,
            r#"('00000000-0000-4000-8000-000000000002', '{"x","y\"",NULL}', '{"a":["b''"]}', now(), '${uuid:u1}', 1.50, "#,
            r#"'made up 3', null, '${fill:$:1}{5}')"#
        )
        .replace(r#""by""#, "by")
    );
    assert_eq!(
        teardown,
        "delete from public.todos where id = '00000000-0000-4000-8000-000000000002'"
    );
}

#[test]
fn what_cannot_be_derived_is_told() {
    let line = recv("a", "UPDATE", r#""record":{},"old_record":{}"#)
        .replace(r#""errors":null"#, r#""errors":["Error 401: Unauthorized"]"#);
    let with_sql = with_sql(&transcript(&[&line])).unwrap();
    assert_eq!(with_sql.steps, 0);
    assert_eq!(
        with_sql.notes,
        [
            "f.jsonl:2: write the statement for an UPDATE of public.todos: the message has no row (Error 401: Unauthorized)"
        ]
    );
}

#[test]
fn the_first_change_without_a_cause_is_told_with_the_step_to_paste() {
    let insert = recv("a", "INSERT", INSERT);
    let told = first_without_cause(&transcript(&[r#"{"sleep":1}"#, &insert, &insert])).unwrap();
    assert!(
        told.starts_with(
            r#"f.jsonl:3: awaits an INSERT into public.todos of {"id":1,"done":false,"title":"it's"}"#
        ),
        "{told}"
    );
    let step = r#"{"sql":"insert into public.todos (id, title, done) overriding system value values (1, 'it''s', false)"}"#;
    assert!(told.lines().any(|line| line == step), "{told}");
    assert!(
        told.contains("fmt --sql f.jsonl") && told.contains("(2 messages)"),
        "{told}"
    );
    for (cause, is_one) in [
        (r#"{"sql":"insert into todos default values"}"#, true),
        (r#"{"sql":"insert into \"todos\" default values"}"#, true),
        (r#"{"sql":"insert into todos2 default values"}"#, false),
    ] {
        let transcript = transcript(&[cause, &insert]);
        assert_eq!(first_without_cause(&transcript).is_none(), is_one, "{cause}");
        assert_eq!(advice(&transcript, 3).is_none(), is_one);
        assert_eq!(advice(&transcript, 2), None);
    }
}
