//! `roost replay` against servers that are somebody else's: behind TLS, below a prefix, with keys that nobody can sign.

use std::fs;
use std::process::Command;

use tests::gateway::{Gateway, binary};
use tests::peer::SECRET;
use tests::tls::Authority;

use crate::replay::{Folder, JOIN, OPEN, REPLY, roost};

const BROADCAST: &str = r#"{"http":"POST /api/broadcast","headers":{"authorization":"Bearer ${jwt:anon}"},"body":{"messages":[{"topic":"elsewhere","event":"e","payload":{}}]},"expect":{"status":202}}"#;
const KEY: &str = "sb_publishable_only-for-tests";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_and_below_a_prefix_is_replayed_against_if_its_certificate_is_trusted() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let authority = Authority::new();
    let port = authority.terminate(gateway.address()).await;
    let folder = Folder::new("tls");
    let file = folder.put("tls", "join", &[OPEN, JOIN, REPLY, BROADCAST]);
    let replay = |url: &str, flags: &[&str]| {
        let first = ["replay", &file, "--jwt-secret", SECRET, "--url", url];
        roost(&[&first, flags].concat())
    };
    let trusted = authority.file();
    for url in [
        format!("wss://localhost:{port}/realtime/v1"),
        format!("https://127.0.0.1:{port}/realtime/v1/"),
        format!("wss://localhost:{port}"),
    ] {
        let told = replay(&url, &["--ca-file", &trusted]);
        assert_eq!(told.code, 0, "{url}: {}{}", told.out, told.err);
    }
    for url in [
        format!("ws://{}/realtime/v1", gateway.address()),
        format!("http://{}/socket", gateway.address()),
    ] {
        let told = replay(&url, &[]);
        assert_eq!(told.code, 0, "{url}: {}{}", told.out, told.err);
    }

    let url = format!("wss://localhost:{port}/realtime/v1");
    let nothing = folder.write("nothing.pem", b"nothing");
    for (url, flags, reason) in [
        (url.as_str(), vec![], "is named with --ca-file FILE"),
        (&url, vec!["--ca-file", "/nowhere.pem"], "/nowhere.pem: "),
        (&url, vec!["--ca-file", &nothing], "there is no certificate in it"),
        (&format!("wss://{}", gateway.address()), vec![], "speaks no TLS"),
    ] {
        let told = replay(url, &flags);
        assert_eq!(told.code, 2, "{}{}", told.out, told.err);
        assert!(told.err.contains(reason), "{reason}: {}", told.err);
    }
    let told = replay(&format!("ws://{}/nowhere", gateway.address()), &[]);
    assert!(
        told.code == 1 && told.out.contains("the handshake was refused: 404"),
        "{}",
        told.out
    );
}

/// A session with a key that the file does not have, in which the server says the key once more.
fn with_a_key(folder: &Folder) -> String {
    let file = folder.put(
        "key",
        "join",
        &[
            r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:sb_publishable}"}}"#,
            r#"{"send":"a","text":["1","1","realtime:room","phx_join",{"config":{"broadcast":{"self":true}}}]}"#,
            REPLY,
            r#"{"send":"a","text":["1","2","realtime:room","broadcast",{"type":"broadcast","event":"e","payload":{"key":"${jwt:sb_publishable}"}}]}"#,
            r#"{"recv":"a","text":["1",null,"realtime:room","broadcast",{"type":"broadcast","event":"e","payload":{"key":"another"}}]}"#,
        ],
    );
    let text = fs::read_to_string(&file).expect("it was written above");
    let text = text.replace(
        r#""anon":{"claims":{"role":"anon","exp":2110853787}}"#,
        r#""sb_publishable":{"raw":"insert sb_publishable here"}"#,
    );
    folder.write("key.jsonl", text.as_bytes())
}

#[test]
fn a_key_that_is_not_in_the_file_is_given_and_never_shown() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET, "--api-key", &format!("{KEY}=anon")]);
    let folder = Folder::new("keys");
    let file = with_a_key(&folder);
    let url = format!("ws://{}", gateway.address());
    let key = format!("sb_publishable={KEY}");
    let replay = |flags: &[&str]| roost(&[&["replay", &file, "--url", &url], flags].concat());

    for (flags, reason) in [
        (
            vec![],
            format!(
                "{file}:2: ${{jwt:sb_publishable}} stands for a key, which is not in the file: give --key sb_publishable=VALUE"
            ),
        ),
        (
            vec!["--key", &key, "--key", "other=hush"],
            "no transcript has a key or token of that name; there are sb_publishable".to_owned(),
        ),
        (vec!["--key", "hush"], "NAME=VALUE is needed".to_owned()),
    ] {
        let told = replay(&flags);
        assert_eq!(told.code, 2, "{}", told.err);
        assert!(told.err.contains(&reason), "{reason}: {}", told.err);
        assert!(!told.err.contains("=hush"), "{}", told.err);
    }

    for report in ["pretty", "json", "tap", "junit"] {
        let told = replay(&["--key", &key, "--report", report]);
        assert_eq!(told.code, 1, "{}{}", told.out, told.err);
        assert!(told.out.contains("${jwt:sb_publishable}"), "{}", told.out);
        assert!(!told.out.contains(KEY) && !told.err.contains(KEY), "{}", told.out);
    }
    let told = replay(&["--key", &key, "--update"]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    let text = fs::read_to_string(&file).expect("it is still there");
    assert!(!text.contains(KEY), "{text}");
    let output = Command::new(binary())
        .args(["replay", &file, "--url", &url])
        .env("ROOST_REPLAY_KEYS", &key)
        .output()
        .expect("the binary is built");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_token_of_a_server_whose_secret_is_not_at_hand_is_given() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let folder = Folder::new("token");
    let file = folder.put("token", "join", &[OPEN, JOIN, REPLY]);
    let url = format!("ws://{}", gateway.address());
    let token = format!("anon={}", tests::peer::token("anon"));
    let told = roost(&["replay", &file, "--url", &url, "--key", &token]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
}

#[test]
fn a_change_that_no_step_causes_is_told_with_the_step_that_would() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let folder = Folder::new("causes");
    let change = r#"{"recv":"a","text":[null,null,"realtime:room","postgres_changes",{"ids":["${int:id1}"],"data":{"schema":"public","table":"todos","type":"INSERT","commit_timestamp":"${time}","columns":[{"name":"id","type":"uuid"}],"record":{"id":"${uuid:u1}"},"errors":null}}]}"#;
    let file = folder.put("causes", "changes", &[OPEN, JOIN, REPLY, change]);
    let step = r#"{"sql":"insert into public.todos (id) values ('00000000-0000-4000-8000-000000000001')"}"#;
    let url = format!("ws://{}", gateway.address());
    let told = roost(&[
        "replay",
        &file,
        "--url",
        &url,
        "--jwt-secret",
        SECRET,
        "--patience-ms",
        "100",
    ]);
    assert_eq!(told.code, 1, "{}", told.err);
    assert!(told.out.contains(step), "{}", told.out);
    let told = roost(&["transcript", "check", &file]);
    assert_eq!(told.code, 0, "{}", told.err);
    let head = format!("note: {file}:5: awaits an INSERT into public.todos of");
    assert!(
        told.out.contains(&head) && told.out.contains(step),
        "{}",
        told.out
    );

    let told = roost(&["transcript", "fmt", "--sql", &file]);
    assert_eq!(told.code, 0, "{}", told.err);
    let text = fs::read_to_string(&file).expect("it is still there");
    assert_eq!(text.lines().nth(4), Some(step), "{text}");
    let told = roost(&["transcript", "check", &file]);
    assert_eq!(told.out, "transcripts: 1, nothing wrong\n");
    assert_eq!(roost(&["transcript", "fmt", "--check", "--sql", &file]).code, 2);
}
