//! Clients that do something else than the file.

use phoenix_wire::Version;
use scripted::{Act, Note, Rules, Stage, WAITING_MAX};

use crate::client::{Client, script, stage};

const FILE: &str = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{"config":{"broadcast":{"self":true}}}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"send":"a","text":["1","2","realtime:x","broadcast",{"event":"e","payload":{"n":1}}]}
{"recv":"a","text":["1","2","realtime:x","phx_reply",{"status":"ok","response":{}}],"after_ms":10}"#;
const JOIN: &str = r#"["1","1","realtime:x","phx_join",{"config":{"broadcast":{"self":true}}}]"#;
const OTHER: &str = r#"["1","2","realtime:x","broadcast",{"event":"e","payload":{"n":2}}]"#;

fn note(act: Option<&Act>) -> &Note {
    match act {
        Some(Act::Note(note)) => note,
        other => panic!("no note: {other:?}"),
    }
}

#[test]
fn what_the_file_does_not_have_is_noted_with_its_place() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    client.heard();
    client.say(OTHER);
    let acts = client.acts();
    assert_eq!(acts.len(), 1, "otherwise it is ignored");
    let noted = note(acts.first());
    assert_eq!(noted.place(), "one.jsonl:5");
    assert_eq!(noted.got, OTHER);
    assert_eq!(noted.expected, OTHER.replace("2}", "1}"));
    assert_eq!(
        noted.differs.as_deref(),
        Some("at $.payload.n: expected 1, got 2")
    );
    client.say(r#"["1","2","realtime:x","broadcast",{"event":"e","payload":{"n":1}}]"#);
    client.wait(10);
    assert_eq!(client.heard().len(), 1, "the file goes on");
    client.say(OTHER);
    assert_eq!(note(client.acts().first()).expected, "nothing more on realtime:x");
}

#[test]
fn a_strict_server_disconnects() {
    let rules = Rules {
        is_strict: true,
        has_pauses: false,
    };
    let mut stage = Stage::new(vec![script("one", FILE)], rules).unwrap();
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    client.heard();
    client.say(OTHER);
    let acts = client.acts();
    assert!(
        matches!(&acts[..], [Act::Note(_), Act::Close { code: 1008, reason }] if reason.contains("--script-strict")),
        "{acts:?}"
    );
}

#[test]
fn a_join_that_no_file_has_is_answered_with_what_there_is() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["7","8","realtime:y","phx_join",{}]"#);
    let acts = client.acts();
    let [Act::Send(reply), Act::Note(note)] = &acts[..] else {
        panic!("{acts:?}")
    };
    assert_eq!(
        std::str::from_utf8(reply.payload()).unwrap(),
        concat!(
            r#"["7","8","realtime:y","phx_reply",{"status":"error","response":{"reason":"#,
            r#""roost serve --script: no file joins realtime:y: one.jsonl joins realtime:x"}}]"#
        )
    );
    assert_eq!(note.file, "one.jsonl");
    client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
    let acts = client.acts();
    let [Act::Send(reply), Act::Note(note)] = &acts[..] else {
        panic!("{acts:?}")
    };
    let reply = std::str::from_utf8(reply.payload()).unwrap();
    assert!(
        reply.contains("one.jsonl:3 has another join: at $.broadcast.self"),
        "{reply}"
    );
    assert_eq!(note.line, 3);
}

#[test]
fn a_client_may_always_leave_and_then_begins_anew() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    for reference in ["3", "4"] {
        let join = JOIN.replace("\"1\"", &format!("\"{reference}\""));
        client.say(&join);
        assert_eq!(client.heard().len(), 1);
        client.say(&format!(r#"["{reference}","9","realtime:x","phx_leave",{{}}]"#));
        assert_eq!(
            client.heard(),
            [
                format!(r#"["{reference}","9","realtime:x","phx_reply",{{"status":"ok","response":{{}}}}]"#),
                format!(r#"["{reference}","{reference}","realtime:x","phx_close",{{}}]"#)
            ]
        );
    }
    client.say(OTHER);
    assert_eq!(
        note(client.acts().first()).expected,
        "a join: the client has left"
    );
}

#[test]
fn a_join_in_the_middle_begins_the_channel_anew() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    client.say(&JOIN.replace("\"1\"", "\"2\""));
    assert_eq!(client.heard().len(), 2);
    client.say(r#"["2","3","realtime:x","broadcast",{"event":"e","payload":{"n":1}}]"#);
    client.say(&JOIN.replace("\"1\"", "\"4\""));
    assert_eq!(client.heard().len(), 1, "also while something is still to come");
}

#[test]
fn tokens_and_frames_that_are_no_messages_are_ignored() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","access_token",{"access_token":"t"}]"#);
    client.say(r#"["1","1","realtime:elsewhere","access_token",{"access_token":"t"}]"#);
    client.say("nonsense");
    assert_eq!(client.acts(), []);
    client.say(r#"["1","1","realtime:elsewhere","phx_leave",{}]"#);
    assert_eq!(client.heard().len(), 2);
}

#[test]
fn what_waits_has_a_bound() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    client.say(r#"["1","2","realtime:x","broadcast",{"event":"e","payload":{"n":1}}]"#);
    client.heard();
    for _ in 0..WAITING_MAX {
        client.say(r#"["1","2","realtime:x","broadcast",{"event":"e","payload":{"n":1}}]"#);
    }
    assert_eq!(client.acts(), []);
    client.say(OTHER);
    let acts = client.acts();
    assert!(matches!(acts[..], [Act::Close { code: 1008, .. }]), "{acts:?}");
}

#[test]
fn clients_of_1_0_0_are_told_too() {
    let mut stage = stage(&[("one", FILE)]);
    let mut client = Client::open_with(&mut stage, Version::V1, None, None)
        .ok()
        .unwrap();
    client.say(r#"{"topic":"realtime:y","event":"phx_join","payload":{},"ref":"1"}"#);
    let acts = client.acts();
    assert!(matches!(acts[..], [Act::Send(_), Act::Note(_)]), "{acts:?}");
}
