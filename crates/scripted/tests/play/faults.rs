//! What goes wrong on purpose.

use std::time::Duration;

use scripted::Act;

use crate::client::{Client, stage};

const JOIN: &str = r#"["1","1","realtime:x","phx_join",{}]"#;
const OK: &str = r#"["1","1","realtime:x","phx_reply",{"status":"ok","response":{}}]"#;

/// A file that begins with an `open` and ends with a join and its reply, with `fault` in between.
fn before_a_join(fault: &str) -> String {
    format!(
        "{{\"open\":\"a\"}}\n{fault}\n{{\"send\":\"a\",\"text\":{JOIN}}}\n{{\"recv\":\"a\",\"text\":{OK}}}"
    )
}

#[test]
fn a_delay_is_kept_even_without_pauses() {
    let file = before_a_join(r#"{"fault":"delay","ms":200}"#);
    let mut stage = stage(&[("late", &file)]);
    let mut client = Client::open(&mut stage);
    client.wait(1000);
    client.say(JOIN);
    assert_eq!(client.due(), Some(Duration::from_millis(1200)));
    client.wait(200);
    assert_eq!(client.heard(), [OK]);
}

#[test]
fn a_client_that_was_dropped_goes_on_where_the_file_opens_again() {
    let file = format!(
        r#"{{"open":"a"}}
{{"send":"a","text":{JOIN}}}
{{"recv":"a","text":{OK}}}
{{"fault":"drop"}}
{{"open":"a"}}
{{"send":"a","text":{JOIN}}}
{{"recv":"a","text":["1","1","realtime:x","phx_reply",{{"status":"ok","response":"again"}}]}}"#
    );
    let mut stage = stage(&[("drop", &file)]);
    for _ in 0..2 {
        let mut client = Client::open(&mut stage);
        client.say(JOIN);
        let acts = client.acts();
        assert!(matches!(acts[..], [Act::Send(_), Act::Drop]), "{acts:?}");
        drop(client);
        let mut client = Client::open(&mut stage);
        client.say(JOIN);
        assert!(client.heard()[0].contains("again"), "and then from the beginning");
    }
    let mut client = Client::open(&mut stage);
    client.acts();
    drop(client);
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    assert_eq!(
        client.acts().len(),
        2,
        "who goes away too early begins at the beginning"
    );
}

#[test]
fn a_close_has_its_code_and_reason() {
    let file = "{\"open\":\"a\"}\n{\"fault\":\"close\",\"code\":1012,\"reason\":\"bye\"}";
    let mut stage = stage(&[("close", file)]);
    let acts = Client::open(&mut stage).acts();
    let close = Act::Close {
        code: 1012,
        reason: "bye".into(),
    };
    assert_eq!(acts, [close]);
}

#[test]
fn a_refused_join_is_accepted_when_it_comes_again() {
    let file = before_a_join(r#"{"fault":"error","response":{"reason":"not now"}}"#);
    let mut stage = stage(&[("error", &file)]);
    let mut client = Client::open(&mut stage);
    client.say(JOIN);
    let error = r#"["1","1","realtime:x","phx_reply",{"status":"error","response":{"reason":"not now"}}]"#;
    assert_eq!(client.heard(), [error]);
    client.say(r#"["2","2","realtime:x","phx_join",{}]"#);
    assert_eq!(
        client.heard(),
        [r#"["2","2","realtime:x","phx_reply",{"status":"ok","response":{}}]"#]
    );
}

#[test]
fn muted_replies_and_heartbeats_do_not_come() {
    let file = format!(
        "{}\n{{\"fault\":\"mute\",\"heartbeats\":1}}",
        before_a_join(r#"{"fault":"mute","replies":1}"#)
    );
    let mut stage = stage(&[("mute", &file)]);
    let mut client = Client::open(&mut stage);
    let heartbeat = r#"[null,"5","phoenix","heartbeat",{}]"#;
    client.say(heartbeat);
    assert_eq!(
        client.heard(),
        [r#"[null,"5","phoenix","phx_reply",{"status":"ok","response":{}}]"#]
    );
    client.say(JOIN);
    client.say(heartbeat);
    assert_eq!(client.heard(), [""; 0]);
    client.say(heartbeat);
    assert_eq!(client.heard().len(), 1, "the next one is answered");
}
