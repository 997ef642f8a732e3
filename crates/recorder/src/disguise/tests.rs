//! What becomes of messages.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::*;

const NOW: i64 = 1_700_000_000_000;
const UUID: &str = "01234567-89ab-4cde-8f01-23456789abcd";

fn jwt(claims: &str) -> String {
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.c2ln", encode(r#"{"alg":"HS256"}"#), encode(claims))
}

fn with(paths: &[&str]) -> Disguise {
    Disguise::new(paths.iter().map(|path| path.parse().unwrap()).collect())
}

fn said(disguise: &mut Disguise, origin: Origin, text: &str) -> String {
    let message = Value::parse(text).unwrap();
    disguise.message(origin, &message, NOW).to_string()
}

#[test]
fn tokens_and_keys_are_replaced_wherever_they_are() {
    let mut disguise = with(&[]);
    let anon = jwt(r#"{"role":"anon"}"#);
    for (text, expected) in [
        (
            format!(r#"["1","1","realtime:t","phx_join",{{"config":{{}},"access_token":"{anon}"}}]"#),
            r#"["1","1","realtime:t","phx_join",{"config":{},"access_token":"${jwt:anon}"}]"#,
        ),
        (
            r#"{"topic":"realtime:t","event":"access_token","payload":{"access_token":"sb_secret_x"},"ref":"2"}"#
                .to_owned(),
            r#"{"topic":"realtime:t","event":"access_token","payload":{"access_token":"${jwt:sb_secret}"},"ref":"2"}"#,
        ),
        (
            r#"["1","3","t","phx_join",{"user_token":"hush","access_token":null,"apikey":""}]"#.to_owned(),
            r#"["1","3","t","phx_join",{"user_token":"${jwt:key}","access_token":null,"apikey":""}]"#,
        ),
        (
            format!(r#"["1","4","t","broadcast",{{"note":"it is {anon}, see?","key":"hush"}}]"#),
            r#"["1","4","t","broadcast",{"note":"it is ${jwt:anon}, see?","key":"${jwt:key}"}]"#,
        ),
    ] {
        assert_eq!(said(&mut disguise, Origin::Client, &text), expected);
        assert_eq!(said(&mut disguise, Origin::Server, &text), expected);
    }
    for (name, value, expected) in [
        ("apikey", anon.clone(), "${jwt:anon}"),
        ("Authorization", format!("Bearer {anon}"), "Bearer ${jwt:anon}"),
        ("authorization", "Bearer hush".to_owned(), "Bearer ${jwt:key}"),
        ("apikey", "other".to_owned(), "${jwt:key2}"),
        ("log_level", "info".to_owned(), "info"),
    ] {
        assert_eq!(disguise.parameter(name, &value, NOW), expected);
    }
}

#[test]
fn personal_data_has_the_same_word_both_ways() {
    let mut disguise = with(&["$.payload.email", "$..phone", "$.payload.config.presence.key"]);
    let join = r#"["1","1","t","phx_join",{"config":{"presence":{"key":"ann@example.com"}}}]"#;
    assert!(said(&mut disguise, Origin::Client, join).contains(r#""key":"redacted-1""#));
    for (text, expected) in [
        (
            r#"[null,null,"t","broadcast",{"event":"e","payload":{"email":"ann@example.com","phone":[1]}}]"#,
            r#"[null,null,"t","broadcast",{"event":"e","payload":{"email":"redacted-1","phone":"redacted-2"}}]"#,
        ),
        (
            r#"["1","2","t","presence",{"type":"presence","event":"track","payload":{"email":"ann@example.com"}}]"#,
            r#"["1","2","t","presence",{"type":"presence","event":"track","payload":{"email":"redacted-1"}}]"#,
        ),
        (
            r#"[null,null,"t","presence_diff",{"joins":{"k":{"metas":[{"email":"ann@example.com","at":"x"}]}}}]"#,
            r#"[null,null,"t","presence_diff",{"joins":{"k":{"metas":[{"email":"redacted-1","at":"x"}]}}}]"#,
        ),
        (
            r#"{"kind":"user_broadcast","topic":"t","event":"e","encoding":"json","payload":{"email":"ann@example.com"}}"#,
            r#"{"kind":"user_broadcast","topic":"t","event":"e","encoding":"json","payload":{"email":"redacted-1"}}"#,
        ),
    ] {
        assert_eq!(said(&mut disguise, Origin::Client, text), expected);
        assert_eq!(said(&mut disguise, Origin::Server, text), expected);
    }
    let state = r#"["1",null,"t","presence_state",{"ann@example.com":{"metas":[{"phx_ref":"r"}]}}]"#;
    assert!(said(&mut disguise, Origin::Server, state).contains(r#"{"redacted-1":{"#));

    let from_the_database =
        r#"[null,null,"t","postgres_changes",{"data":{"record":{"phone":"123","n":{}}},"email":null}]"#;
    assert!(
        said(&mut disguise, Origin::Server, from_the_database)
            .contains(r#"{"phone":"${text:redacted3}","n":{}}},"email":null"#)
    );
    let back = r#"["1","2","t","x",{"phone":"123"}]"#;
    assert!(said(&mut disguise, Origin::Client, back).contains(r#""phone":"${text:redacted3}""#));

    let token = jwt(r#"{"role":"anon","phone":"456","meta":{"phone":"123","city":"x"}}"#);
    assert_eq!(disguise.parameter("apikey", &token, NOW), "${jwt:anon}");
    let header = disguise.secrets().header().to_string();
    assert_eq!(
        header,
        r#"{"anon":{"claims":{"role":"anon","phone":"redacted-4","meta":{"phone":"redacted","city":"x"}}}}"#
    );
}

#[test]
fn bodies_of_http_are_redacted_alike() {
    let mut disguise = with(&["$.payload.email"]);
    let body = |disguise: &mut Disguise, text: &str, is_batch| {
        let body = Value::parse(text).unwrap();
        disguise.body(Origin::Client, &body, is_batch, NOW).to_string()
    };
    assert_eq!(
        body(
            &mut disguise,
            r#"{"messages":[{"topic":"t","payload":{"email":"a@b"}},{"email":"c"}]}"#,
            true
        ),
        r#"{"messages":[{"topic":"t","payload":{"email":"redacted-1"}},{"email":"c"}]}"#
    );
    assert_eq!(
        body(&mut disguise, r#"{"email":"a@b"}"#, false),
        r#"{"email":"redacted-1"}"#
    );
}

#[test]
fn what_a_server_makes_up_is_matched_and_not_compared() {
    let mut disguise = with(&[]);
    for (text, expected) in [
        (
            r#"["1","1","t","phx_reply",{"status":"ok","response":{"postgres_changes":[{"id":7,"event":"*"},{"id":8}]}}]"#
                .to_owned(),
            r#"["1","1","t","phx_reply",{"status":"ok","response":{"postgres_changes":[{"id":"${int:id1}","event":"*"},{"id":"${int:id2}"}]}}]"#,
        ),
        (
            format!(
                r#"[null,null,"t","postgres_changes",{{"ids":[8,7],"data":{{"commit_timestamp":"2001-01-01T00:00:00Z","record":{{"id":"{UUID}","ids":[1],"at":"2023-11-14T10:00:00"}}}}}}]"#
            ),
            r#"[null,null,"t","postgres_changes",{"ids":["${int:id2}","${int:id1}"],"data":{"commit_timestamp":"${time}","record":{"id":"${uuid:u1}","ids":[1],"at":"${text}"}}}]"#,
        ),
        (
            format!(r#"["1",null,"t","presence_state",{{"{UUID}":{{"metas":[{{"phx_ref":"a"}},{{"phx_ref":"b","phx_ref_prev":"a"}}]}}}}]"#),
            r#"["1",null,"t","presence_state",{"${uuid:u1}":{"metas":{"$unordered":[{"phx_ref":"${ref:r1}"},{"phx_ref":"${ref:r2}","phx_ref_prev":"${ref:r1}"}]}}}]"#,
        ),
        (
            r#"[null,null,"t","broadcast",{"phx_ref":"a","ids":[7],"metas":[1,2]}]"#.to_owned(),
            r#"[null,null,"t","broadcast",{"phx_ref":"a","ids":[7],"metas":[1,2]}]"#,
        ),
    ] {
        assert_eq!(said(&mut disguise, Origin::Server, &text), expected);
    }
    let back = format!(r#"["1","2","t","x",{{"of":"{UUID}"}}]"#);
    assert!(said(&mut disguise, Origin::Client, &back).contains(r#"{"of":"${uuid:u1}"}"#));
}

#[test]
fn what_looks_like_a_placeholder_stands_for_itself() {
    let mut disguise = with(&[]);
    assert_eq!(
        said(
            &mut disguise,
            Origin::Client,
            r#"[null,null,"t","x",{"a":"${uuid} $${","b":{"$unordered":[1]},"${c":"$5"}]"#
        ),
        r#"[null,null,"t","x",{"a":"${fill:$:1}{uuid} $${fill:$:1}{","b":{"${fill:$:1}unordered":[1]},"${fill:$:1}{c":"$5"}]"#
    );
}
