//! Several files, several connections of a file, several clients.

use phoenix_wire::Version;
use scripted::{AWAITED_MAX, Rules, Stage};

use crate::client::{Client, script, stage};

/// A file in which `connection` joins `topic` and is answered with `word`.
fn joining(connection: &str, topic: &str, word: &str) -> String {
    format!(
        r#"{{"open":"{connection}"}}
{{"send":"{connection}","text":["1","1","{topic}","phx_join",{{}}]}}
{{"recv":"{connection}","text":["1","1","{topic}","phx_reply",{{"status":"ok","response":"{word}"}}]}}"#
    )
}

fn join(client: &mut Client<'_>, topic: &str) -> String {
    client.say(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#));
    client.heard().remove(0)
}

#[test]
fn topics_choose_the_file_and_one_connection_may_have_several() {
    let (one, two) = (
        joining("a", "realtime:x", "one"),
        joining("a", "realtime:y", "two"),
    );
    let mut stage = stage(&[("one", &one), ("two", &two)]);
    let mut client = Client::open(&mut stage);
    assert!(join(&mut client, "realtime:y").contains("two"));
    assert!(join(&mut client, "realtime:x").contains("one"));
}

#[test]
fn a_client_may_ask_for_a_file_and_for_a_connection() {
    let one = joining("a", "realtime:x", "one");
    let two = format!(
        "{}\n{}",
        joining("a", "realtime:x", "two"),
        joining("b", "realtime:x", "other side")
    );
    let mut stage = stage(&[("one", &one), ("two", &two)]);
    let mut play = |script, connection| {
        let opened = Client::open_with(&mut stage, Version::V2, script, connection);
        let mut client = opened.map_err(|answer| (answer.status, answer.body))?;
        Ok(join(&mut client, "realtime:x"))
    };
    assert!(play(None, None).unwrap().contains("one"), "the first that has it");
    assert!(play(Some("two"), None).unwrap().contains("two"));
    assert!(play(Some("two"), Some("b")).unwrap().contains("other side"));
    assert!(
        play(None, Some("b")).unwrap().contains("other side"),
        "only one has it"
    );
    let error = |text: &str| Err((404, format!(r#"{{"error":"{text}"}}"#)));
    assert_eq!(
        play(Some("three"), None),
        error("no script is named three; there are one, two")
    );
    assert_eq!(
        play(Some("one"), Some("b")),
        error("no connection is named b; there are a")
    );
}

#[test]
fn other_connections_of_a_file_are_played_by_the_server() {
    let file = r#"{"open":"a"}
{"open":"b"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"send":"b","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"b","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"send":"b","text":["1","2","realtime:x","broadcast",{"event":"e","payload":1}]}
{"recv":"a","text":[null,null,"realtime:x","broadcast",{"event":"e","payload":1}]}"#;
    let mut stage = stage(&[("two", file)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
    assert_eq!(client.heard().len(), 2);
}

#[test]
fn a_client_is_the_connection_that_joins_as_it_does() {
    let with_key = |connection: &str, key: &str| {
        let join = format!(r#""phx_join",{{"config":{{"presence":{{"key":"{key}"}}}}}}"#);
        joining(connection, "realtime:x", key).replace(r#""phx_join",{}"#, &join)
    };
    let file = format!("{}\n{}", with_key("a", "ann"), with_key("b", "ben"));
    let mut stage = stage(&[("both", &file)]);
    for key in ["ben", "ann"] {
        let mut client = Client::open(&mut stage);
        let config = format!(r#"{{"config":{{"presence":{{"key":"{key}"}}}}}}"#);
        client.say(&format!(r#"["1","1","realtime:x","phx_join",{config}]"#));
        assert!(client.heard()[0].contains(key));
    }
}

#[test]
fn a_handshake_is_refused_as_in_the_file() {
    let file = format!(
        "{{\"open\":\"a\",\"refused\":{{\"status\":401,\"type\":\"application/json\",\"body\":{{\"message\":\"no\"}}}}}}\n{}",
        joining("a", "realtime:x", "yes")
    );
    let mut stage = stage(&[("refused", &file)]);
    for _ in 0..2 {
        let refused = Client::open_with(&mut stage, Version::V2, None, None);
        let answer = refused.err().expect("it is refused");
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (401, r#"{"message":"no"}"#)
        );
        let mut client = Client::open(&mut stage);
        assert!(join(&mut client, "realtime:x").contains("yes"));
    }
}

#[test]
fn who_comes_back_is_awaited_up_to_a_bound() {
    let file =
        "{\"open\":\"a\"}\n{\"fault\":\"drop\"}\n{\"open\":\"a\"}\n{\"fault\":\"close\",\"code\":1012}";
    let mut stage = stage(&[("drop", file)]);
    // Nobody comes back while the others are connected.
    let mut others = Vec::new();
    for _ in 0..AWAITED_MAX + 5 {
        let choice = scripted::Choice::default();
        others.push(scripted::Socket::open(&mut stage, Version::V2, choice).unwrap().0);
    }
    for socket in others {
        socket.end(&mut stage);
    }
    let mut kept = 0;
    while matches!(Client::open(&mut stage).acts()[..], [scripted::Act::Close { .. }]) {
        kept += 1;
    }
    assert_eq!(kept, AWAITED_MAX);
}

#[test]
fn http_requests_are_answered_as_in_the_file_or_accepted() {
    let file = format!(
        r#"{}
{{"http":"POST /api/broadcast","body":{{"messages":[{{"topic":"x","event":"e"}}]}},"expect":{{"status":422,"body":{{"errors":["${{text}}"]}}}}}}"#,
        joining("a", "realtime:x", "one")
    );
    let stage = stage(&[("one", &file)]);
    let body = br#"{"messages":[{"topic":"x","event":"e"}]}"#;
    let answer = stage.answer("POST", "/realtime/v1/api/broadcast?apikey=k", body);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (422, r#"{"errors":["text"]}"#)
    );
    assert_eq!(stage.answer("POST", "/api/broadcast", b"{}").status, 202);
    assert_eq!(
        stage.answer("POST", "/api/broadcast/x/events/e", b"\xff").status,
        202
    );
}

#[test]
fn two_files_of_one_name_are_refused() {
    let one = joining("a", "realtime:x", "one");
    let twins = vec![script("one", &one), script("one", &one)];
    let error = Stage::new(twins, Rules::default()).unwrap_err().to_string();
    assert!(
        error.starts_with("one.jsonl and one.jsonl have one name"),
        "{error}"
    );
}
