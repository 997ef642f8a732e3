//! Files played to clients of a test's own, in memory and on a clock that the tests move.

mod client;
mod faults;
mod several;
mod strays;

use client::{Client, script, stage};
use scripted::{Act, Rules};
use std::time::Duration;

const JOIN: &str = r#"{"send":"a","text":["1","1","realtime:x","phx_join",{"config":{"broadcast":{"ack":true}}}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]}
{"recv":"a","text":["1",null,"realtime:x","system",{"status":"ok"}]}"#;

#[test]
fn a_client_is_answered_with_its_own_refs() {
    let mut stage = stage(&[("one", &format!("{{\"open\":\"a\"}}\n{JOIN}"))]);
    let mut client = Client::open(&mut stage);
    client.say(
        r#"["31","32","realtime:x","phx_join",{"config":{"broadcast":{"ack":true}},"access_token":"t"}]"#,
    );
    assert_eq!(
        client.heard(),
        [
            r#"["31","32","realtime:x","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]"#,
            r#"["31",null,"realtime:x","system",{"status":"ok"}]"#
        ]
    );
}

#[test]
fn refs_may_be_of_any_type_and_a_join_without_one_is_answered_all_the_same() {
    let mut stage = stage(&[("one", &format!("{{\"open\":\"a\"}}\n{JOIN}"))]);
    let mut client = Client::open(&mut stage);
    client.say(r#"[null,7,"realtime:x","phx_join",{"config":{"broadcast":{"ack":true}}}]"#);
    assert_eq!(
        client.heard()[0],
        r#"[null,7,"realtime:x","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]"#
    );
}

const TWO: &str = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":"x"}]}
{"send":"a","text":["2","2","realtime:y","phx_join",{}]}
{"recv":"a","text":["2","2","realtime:y","phx_reply",{"status":"ok","response":"y"}]}
{"send":"a","text":["1","3","realtime:x","broadcast",{"event":"go","payload":1}]}
{"recv":"a","text":[null,null,"realtime:y","postgres_changes",{}]}
{"send":"a","text":["2","4","realtime:y","broadcast",{"event":"on","payload":1}]}
{"recv":"a","text":["2","4","realtime:y","phx_reply",{"status":"ok","response":{}}]}"#;

#[test]
fn channels_may_be_joined_in_another_order() {
    let mut stage = stage(&[("two", TWO)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["5","5","realtime:y","phx_join",{}]"#);
    assert_eq!(
        client.heard(),
        [r#"["5","5","realtime:y","phx_reply",{"status":"ok","response":"y"}]"#]
    );
    client.say(r#"["6","6","realtime:x","phx_join",{}]"#);
    assert_eq!(
        client.heard(),
        [r#"["6","6","realtime:x","phx_reply",{"status":"ok","response":"x"}]"#]
    );
    client.say(r#"["6","7","realtime:x","broadcast",{"event":"go","payload":1}]"#);
    assert_eq!(
        client.heard(),
        [r#"[null,null,"realtime:y","postgres_changes",{}]"#]
    );
}

#[test]
fn a_client_that_goes_on_is_not_held_back_by_another_channel() {
    let mut stage = stage(&[("two", TWO)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["5","5","realtime:y","phx_join",{}]"#);
    client.heard();
    client.say(r#"["5","6","realtime:y","access_token",{"access_token":"t"}]"#);
    assert_eq!(client.heard(), [""; 0], "a token is no step forward");
    client.say(r#"["5","7","realtime:y","broadcast",{"event":"on","payload":1}]"#);
    assert_eq!(
        client.heard(),
        [
            r#"[null,null,"realtime:y","postgres_changes",{}]"#,
            r#"["5","7","realtime:y","phx_reply",{"status":"ok","response":{}}]"#
        ]
    );
}

const LATE: &str = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}],"after_ms":50}
{"sleep":100}
{"recv":"a","text":[null,null,"realtime:x","broadcast",{}]}
{"send":"a","text":["1","2","realtime:x","broadcast",{"event":"e","payload":1}]}
{"recv":"a","text":["1","2","realtime:x","phx_reply",{"status":"ok","response":{}}]}"#;

#[test]
fn pauses_are_kept_and_what_is_said_meanwhile_waits() {
    let mut stage = stage(&[("late", LATE)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
    client.say(r#"["1","2","realtime:x","broadcast",{"event":"e","payload":1}]"#);
    assert_eq!(client.heard(), [""; 0]);
    assert_eq!(client.due(), Some(Duration::from_millis(50)));
    client.wait(50);
    assert_eq!(client.heard().len(), 1);
    assert_eq!(client.due(), Some(Duration::from_millis(150)));
    client.wait(99);
    assert_eq!(client.heard(), [""; 0]);
    client.wait(1);
    let heard = client.heard();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(client.due(), None);
}

#[test]
fn without_pauses_everything_comes_at_once() {
    let rules = Rules {
        has_pauses: false,
        ..Rules::default()
    };
    let mut stage = scripted::Stage::new(vec![script("late", LATE)], rules).unwrap();
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
    assert_eq!(client.heard().len(), 2);
}

#[test]
fn a_file_of_one_serializer_is_played_to_clients_of_the_other() {
    let file = r#"{"open":"a","vsn":"2.0.0"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"recv":"a","view":{"kind":"user_broadcast","topic":"realtime:x","event":"e","encoding":"json","payload":{"at":"${time}"}}}
{"recv":"a","bytes":"040a0100007265616c74696d653a786500ff"}"#;
    let mut stage = stage(&[("new", file)]);
    let mut old = Client::open_v1(&mut stage);
    old.say(r#"{"topic":"realtime:x","event":"phx_join","payload":{},"ref":"9","join_ref":"9"}"#);
    assert_eq!(
        old.heard(),
        [
            r#"{"ref":"9","event":"phx_reply","payload":{"status":"ok","response":{}},"topic":"realtime:x"}"#,
            r#"{"ref":null,"event":"broadcast","payload":{"type":"broadcast","event":"e","payload":{"at":"2024-01-01T00:00:01.000Z"}},"topic":"realtime:x"}"#,
        ],
        "bytes cannot be said in 1.0.0"
    );
    drop(old);
    let mut new = Client::open(&mut stage);
    new.say(r#"["9","9","realtime:x","phx_join",{}]"#);
    assert_eq!(new.heard().len(), 3);

    let file = r#"{"open":"a"}
{"send":"a","text":{"topic":"realtime:x","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}}
{"recv":"a","text":{"topic":"realtime:x","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":"1"}}"#;
    let mut stage = client::stage(&[("old", file)]);
    let mut new = Client::open(&mut stage);
    new.say(r#"["8","9","realtime:x","phx_join",{}]"#);
    assert_eq!(
        new.heard(),
        [r#"["8","9","realtime:x","phx_reply",{"status":"ok","response":{}}]"#]
    );
}

#[test]
fn what_is_made_up_is_the_same_for_every_client() {
    let file = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{"postgres_changes":[{"id":"${int:id}"}]}}]}
{"recv":"a","text":[null,null,"realtime:x","postgres_changes",{"ids":["${int:id}"],"data":{"commit_timestamp":"${time}","id":"${uuid}"}}]}"#;
    let mut stage = stage(&[("made", file)]);
    let mut play = || {
        let mut client = Client::open(&mut stage);
        client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
        client.heard()
    };
    let first = play();
    assert_eq!(first, play());
    assert!(
        first[0].contains(r#"{"id":1}"#) && first[1].contains(r#""ids":[1]"#),
        "{first:?}"
    );
}

#[test]
fn what_a_client_says_under_a_name_comes_back() {
    let file = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{"config":{"broadcast":{"self":true}}}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"send":"a","text":["1","2","realtime:x","broadcast",{"type":"broadcast","event":"e","payload":"${any:body}"}]}
{"recv":"a","text":[null,null,"realtime:x","broadcast",{"type":"broadcast","event":"e","payload":"${any:body}"}]}"#;
    let mut stage = stage(&[("echo", file)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","phx_join",{"config":{"broadcast":{"self":true}}}]"#);
    client.heard();
    client
        .say(r#"["1","2","realtime:x","broadcast",{"type":"broadcast","event":"e","payload":{"n":[1.50]}}]"#);
    assert_eq!(
        client.heard(),
        [r#"[null,null,"realtime:x","broadcast",{"type":"broadcast","event":"e","payload":{"n":[1.50]}}]"#]
    );
}

#[test]
fn the_server_closes_when_everything_before_has_come() {
    let file = r#"{"open":"a"}
{"send":"a","text":["1","1","realtime:x","phx_join",{}]}
{"recv":"a","text":["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]}
{"closed":"a","code":[1001,1006]}"#;
    let mut stage = stage(&[("closed", file)]);
    let mut client = Client::open(&mut stage);
    client.say(r#"["1","1","realtime:x","phx_join",{}]"#);
    let acts = client.acts();
    assert!(matches!(acts[0], Act::Send(_)), "{acts:?}");
    assert!(
        matches!(&acts[1], Act::Close { code: 1001, reason } if reason.is_empty()),
        "{acts:?}"
    );
    client.say(r#"["1","2","realtime:x","phx_leave",{}]"#);
    assert_eq!(client.acts(), [], "nothing is said after the end");
}
