//! A replay driven by hand: what it asks for, and what it makes of the answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use transcript::{
    Arrived, Edits, Environment, Event, Failure, Moment, Pace, Replay, Settings, Task, Transcript,
};

const HEADER: &str = concat!(
    r#"{"transcript":2,"name":"n","area":"a","title":"t","shows":"s","#,
    r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5,"#,
    r#""setup":["create"],"teardown":["drop"]}"#
);

fn transcript(steps: &[&str]) -> Transcript {
    let text = [&[HEADER], steps].concat().join("\n");
    Transcript::parse("n.jsonl", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Replays with these frames on every connection, on a clock that jumps to where a wait ends. What was done, and the end.
fn replay(
    transcript: &Transcript,
    settings: Settings,
    frames: &[&str],
) -> (Vec<String>, Result<Edits, Box<Failure>>) {
    let environment = Environment {
        tenant: "main".into(),
        host: "main.localhost".into(),
        secret: "hush".into(),
        tokens: BTreeMap::new(),
    };
    let mut frames: VecDeque<&str> = frames.iter().copied().collect();
    let mut replay = Replay::new(transcript, environment, settings);
    let (mut event, mut now, mut done) = (Event::Done, Moment::default(), Vec::new());
    loop {
        let task = replay.advance(now, event);
        event = Event::Done;
        let what = match task {
            Task::Done => return (done, replay.finish()),
            Task::Receive { until, .. } => {
                event = match frames.pop_front() {
                    Some("close") => Event::Ended {
                        code: 1000,
                        reason: String::new(),
                    },
                    Some(frame) => Event::Arrived(Arrived::text(frame.as_bytes())),
                    None => Event::Nothing,
                };
                if event == Event::Nothing {
                    now.elapsed = until;
                }
                continue;
            }
            Task::Sleep { until } => {
                now.elapsed = until;
                format!("sleep until {until:?}")
            }
            Task::Run { sql, .. } => {
                event = Event::Rows(transcript::Value::Array(Vec::new()));
                sql
            }
            Task::Open { connection, .. } => format!("open {connection}"),
            Task::Send { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
            Task::Drop { connection } => format!("drop {connection}"),
            other => format!("{other:?}"),
        };
        done.push(what);
    }
}

#[test]
fn setup_steps_and_teardown_follow_each_other() {
    let steps = [
        r#"{"open":"a"}"#,
        r#"{"send":"a","text":["${tenant}"]}"#,
        r#"{"recv":"a","text":["${int:n}"]}"#,
        r#"{"send":"a","text":["${int:n}"]}"#,
    ];
    let (done, end) = replay(&transcript(&steps), Settings::default(), &["[7]"]);
    assert_eq!(done, ["create", "open a", r#"["main"]"#, "[7]", "drop a", "drop"]);
    assert_eq!(end, Ok(Edits::default()));
}

#[test]
fn a_failure_ends_the_steps_but_not_the_teardown() {
    let steps = [
        r#"{"open":"a"}"#,
        r#"{"recv":"a","text":[1]}"#,
        r#"{"send":"a","text":[2]}"#,
    ];
    let (done, end) = replay(&transcript(&steps), Settings::default(), &["[7]"]);
    assert_eq!(done, ["create", "open a", "drop a", "drop"]);
    let failure = end.expect_err("7 is not 1");
    assert_eq!(
        (failure.line, failure.problem.as_str()),
        (3, "something else arrived")
    );
    assert_eq!(failure.contrast, ["  [", "-   1", "+   7", "  ]"]);
}

#[test]
fn patience_has_an_end_and_steps_may_ask_for_more() {
    let settings = Settings {
        patience: Duration::from_secs(1),
        ..Settings::default()
    };
    for (step, waited) in [
        (r#"{"recv":"a","text":[1]}"#, "1s"),
        (r#"{"recv":"a","text":[1],"timeout_ms":3000}"#, "3s"),
        (r#"{"recv":"a","text":[1],"after_ms":2500}"#, "5s"),
        (r#"{"recv":"a","text":[1],"timeout_ms":10}"#, "1s"),
    ] {
        let failure = replay(&transcript(&[r#"{"open":"a"}"#, step]), settings, &[])
            .1
            .expect_err("nothing came");
        assert_eq!(failure.problem, format!("nothing arrived within {waited}"));
    }
}

#[test]
fn the_real_pace_waits_for_the_time_of_the_step() {
    let steps = [
        r#"{"open":"a","at_ms":0}"#,
        r#"{"recv":"a","text":[1],"at_ms":100}"#,
        r#"{"send":"a","text":[2],"at_ms":2500}"#,
        r#"{"send":"a","text":[3],"at_ms":2500}"#,
        r#"{"send":"a","text":[4]}"#,
    ];
    let settings = Settings {
        pace: Pace::Real,
        ..Settings::default()
    };
    let (done, end) = replay(&transcript(&steps), settings, &["[1]"]);
    assert_eq!(
        done,
        [
            "create",
            "open a",
            "sleep until 2.5s",
            "[2]",
            "[3]",
            "[4]",
            "drop a",
            "drop"
        ]
    );
    assert!(end.is_ok());
}

#[test]
fn a_fault_that_ends_a_connection_lets_another_be_opened() {
    let steps = [
        r#"{"open":"a"}"#,
        r#"{"send":"a","text":[1]}"#,
        r#"{"fault":"delay","ms":5}"#,
        r#"{"fault":"drop"}"#,
        r#"{"open":"a"}"#,
    ];
    let (done, end) = replay(&transcript(&steps), Settings::default(), &[]);
    assert_eq!(
        done,
        ["create", "open a", "[1]", "drop a", "open a", "drop a", "drop"]
    );
    assert!(end.is_ok());
}

#[test]
fn an_update_writes_placeholders_for_what_the_server_made_up() {
    let known = "01234567-89ab-4cde-8f01-23456789abcd";
    let send = format!(r#"{{"send":"a","text":["{known}"]}}"#);
    let steps = [
        r#"{"open":"a"}"#,
        &send,
        r#"{"recv":"a","text":{"ref":"${ref:r}"}}"#,
        r#"{"recv":"a","text":[]}"#,
        r#"{"closed":"a","code":1000}"#,
    ];
    let settings = Settings {
        is_updating: true,
        ..Settings::default()
    };
    let made_up = "11234567-89ab-4cde-8f01-23456789abcd";
    let came = format!(
        r#"["{known}","{made_up}","2026-01-31T12:00:00Z","F9x",{{"id":7,"event":"*","schema":"s"}},{{"ids":[7],"id":8}},"${{x}}",{{"{made_up}":1}}]"#
    );
    let transcript = transcript(&steps);
    let (_, end) = replay(&transcript, settings, &[r#"{"ref":"F9x"}"#, &came, "close"]);
    let text = end.expect("an update does not fail").apply(&transcript);
    let line = text.lines().nth(4).expect("five lines");
    let expected = format!(
        r#"{{"recv":"a","text":["{known}","${{uuid}}","${{time}}","${{ref:r}}",{{"id":"${{int}}","event":"*","schema":"s"}},{{"ids":["${{int}}"],"id":8}},"${{text}}",{{"${{uuid}}":1}}]}}"#
    );
    assert_eq!(line, expected);
    assert_eq!(text.lines().count(), 6);
}
