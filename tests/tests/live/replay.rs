//! `roost replay` and `roost transcript`: the real binary against the real gateway, every command, exit code and report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pgcluster::TestCluster;
use serde_json::Value;
use tests::gateway::{Gateway, binary};
use tests::peer::SECRET;

pub(super) const OPEN: &str = r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:anon}"}}"#;
pub(super) const JOIN: &str = r#"{"send":"a","text":["1","1","realtime:room","phx_join",{"config":{}}]}"#;
pub(super) const REPLY: &str = r#"{"recv":"a","text":["1","1","realtime:room","phx_reply",{"status":"ok","response":{"postgres_changes":[]}}]}"#;
const WRONG: &str = r#"{"recv":"a","text":["1","1","realtime:room","phx_reply",{"status":"error","response":{"postgres_changes":[]}}]}"#;
const BEAT: &str = r#"{"send":"a","text":[null,"${fill:h:3}","phoenix","heartbeat",{}]}"#;
const BEATEN: &str =
    r#"{"recv":"a","text":[null,"${text:ref}","phoenix","phx_reply",{"status":"ok","response":{}}]}"#;

/// A folder of files that is gone with the test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("roost-replay-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }

    /// Writes a transcript of these steps; returns the name of the file.
    pub(super) fn put(&self, name: &str, area: &str, steps: &[&str]) -> String {
        let header = format!(
            r#"{{"transcript":1,"name":"{name}","area":"{area}","title":"t","shows":"s","reference":{{"server":"x","version":"1","commit":"c"}},"vsn":["2.0.0"],"tenant":"main","jwt":{{"anon":{{"claims":{{"role":"anon","exp":2110853787}}}}}},"takes_ms":1}}"#
        );
        self.write(
            &format!("{name}.jsonl"),
            format!("{header}\n{}\n", steps.join("\n")).as_bytes(),
        )
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path.display().to_string()
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a command printed, and how it ended.
pub(super) struct Told {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

pub(super) fn roost(arguments: &[&str]) -> Told {
    let output: Output = Command::new(binary())
        .args(arguments)
        .env_remove("DATABASE_URL")
        .env_remove("JWT_SECRET")
        .output()
        .expect("the binary is built");
    Told {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn replay(gateway: &Gateway, arguments: &[&str]) -> Told {
    let url = format!("ws://{}", gateway.address());
    let first = ["replay", "--url", &url, "--jwt-secret", SECRET];
    roost(&[&first, arguments].concat())
}

fn gateway() -> Gateway {
    Gateway::serve(&["--jwt-secret", SECRET])
}

#[test]
fn a_server_that_says_what_was_recorded_passes_in_every_report() {
    let (gateway, folder) = (gateway(), Folder::new("passes"));
    folder.put("one", "join", &[OPEN, JOIN, REPLY]);
    folder.put("deep/two", "heartbeat", &[OPEN, BEAT, BEATEN]);
    folder.write("notes.txt", b"no transcript");

    let told = replay(&gateway, &[&folder.name()]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    assert!(told.out.contains("ok       join       one") && told.out.contains("\nall                    2"));

    let pattern = format!("{}/**/t*.jsonl", folder.name());
    for names in [
        vec!["--area", "heartbeat", &folder.name()],
        vec![pattern.as_str()],
    ] {
        let told = replay(&gateway, &names);
        assert!(told.code == 0 && !told.out.contains("one"), "{}", told.out);
    }

    let told = replay(&gateway, &["--report", "json", &folder.name()]);
    let all: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(
        (&all["passed"], &all["failed"], told.code),
        (&Value::from(2), &Value::from(0), 0)
    );
    let told = replay(&gateway, &["--report", "tap", &folder.name()]);
    assert!(
        told.out.starts_with("TAP version 14\n1..2\nok 1 - "),
        "{}",
        told.out
    );
    let told = replay(&gateway, &["--report", "junit", &folder.name()]);
    assert!(told.out.contains(r#"tests="2" failures="0""#), "{}", told.out);
}

#[test]
fn a_difference_is_shown_with_what_led_to_it_and_ends_with_1() {
    let (gateway, folder) = (gateway(), Folder::new("differs"));
    let file = folder.put("wrong", "join", &[OPEN, JOIN, WRONG]);
    let told = replay(&gateway, &[&file]);
    assert_eq!(told.code, 1);
    for part in [
        format!("{file}:4: something else arrived").as_str(),
        "at $[4].status",
        r#"-     "status": "error""#,
        r#"+     "status": "ok""#,
        r#"a ─▶ ["1","1","realtime:room","phx_join""#,
        r#"a ◀─ ["1","1","realtime:room","phx_reply""#,
    ] {
        assert!(told.out.contains(part), "{part}\n{}", told.out);
    }
    let told = replay(&gateway, &["--report", "json", &file]);
    let all: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!(
        all["transcripts"][0]["failure"]["mismatch"]["path"],
        "$[4].status"
    );
    assert_eq!(told.code, 1);
    for (report, part) in [
        ("tap", "not ok 1 - join/wrong"),
        ("junit", "<failure type=\"difference\""),
    ] {
        let told = replay(&gateway, &["--report", report, &file]);
        assert!(told.code == 1 && told.out.contains(part), "{}", told.out);
    }

    // The same difference is fine if it is meant, and its absence is not.
    let list = |transcript: &str| {
        format!(
            "[[deviation]]\nid = \"meant\"\nwhat = \"w\"\nreference = \"r\"\nours = \"o\"\nreason = \"x\"\ntranscripts = [\"{transcript}\"]\n"
        )
    };
    let meant = folder.write("meant.toml", list("wrong:4").as_bytes());
    let told = replay(&gateway, &["--deviations", &meant, &file]);
    assert!(
        told.code == 0 && told.out.contains("as meant: meant"),
        "{}",
        told.out
    );
    let right = folder.put("right", "join", &[OPEN, JOIN, REPLY]);
    let gone = folder.write("gone.toml", list("right").as_bytes());
    assert_eq!(replay(&gateway, &["--deviations", &gone, &right]).code, 1);
}

#[test]
fn an_update_makes_the_file_pass_and_keeps_its_placeholders() {
    let (gateway, folder) = (gateway(), Folder::new("update"));
    let file = folder.put("old", "join", &[OPEN, JOIN, WRONG, BEAT, BEATEN]);
    let told = replay(&gateway, &["--update", &file]);
    assert_eq!(told.code, 0, "{}{}", told.out, told.err);
    assert!(
        told.err.contains(&format!("{file}: lines updated: 1")),
        "{}",
        told.err
    );
    let text = fs::read_to_string(&file).expect("it is still there");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines, [OPEN, JOIN, REPLY, BEAT, BEATEN]);
    assert_eq!(replay(&gateway, &[&file]).code, 0);
}

#[test]
fn sql_runs_on_the_database_and_is_left_out_without_one() {
    let database = TestCluster::shared().create_database("replay_command");
    let (gateway, folder) = (gateway(), Folder::new("sql"));
    let steps = [
        r#"{"sql":"create table t (a int); insert into t values (7)"}"#,
        r#"{"sql":"select a from t; drop table t","rows":[{"a":"7"}]}"#,
    ];
    let file = folder.put("sql", "database", &steps);
    let told = replay(&gateway, &[&file]);
    assert!(
        told.code == 2 && told.out.contains("no database") && told.err.contains("nothing could be replayed")
    );
    let told = replay(&gateway, &["--database-url", &database, &file]);
    assert_eq!(told.code, 0, "{}", told.out);
    let other = folder.put("other", "join", &[OPEN]);
    let told = replay(&gateway, &[&file, &other]);
    assert!(told.code == 0 && told.out.contains("left out"), "{}", told.out);
}

#[test]
fn bad_input_is_told_with_file_line_and_what_to_do_and_ends_with_2() {
    let folder = Folder::new("bad");
    let good = folder.put("good", "join", &[OPEN, JOIN, REPLY]);
    let text = fs::read_to_string(&good).expect("it was written above");
    let cut = folder.write("cut.jsonl", &text.as_bytes()[..text.len() - 20]);
    let newer = folder.write(
        "newer.jsonl",
        text.replace("\"transcript\":1", "\"transcript\":9").as_bytes(),
    );
    let matcher = folder.put("matcher", "join", &[OPEN, r#"{"recv":"a","text":["${when}"]}"#]);
    let garbage = folder.write("garbage.jsonl", &[0x1f, 0x8b, 8, 0, 0xff, 0xfe]);
    let token = folder.put(
        "token",
        "join",
        &[r#"{"open":"a","params":{"apikey":"${jwt:bob}"}}"#],
    );
    let empty = folder.write("empty.jsonl", b"");
    let nowhere = "ws://127.0.0.1:1";
    for (file, reason) in [
        (&cut, ":4: EOF while parsing"),
        (&newer, ":1: format version 9 is unknown: 1 and 2 can be read"),
        (&matcher, ":3: unknown placeholder ${when}"),
        (&garbage, ":1: not UTF-8: a transcript is lines of JSON"),
        (&token, ":2: no token is named bob: add it to jwt in the header"),
        (&empty, ":1: the header is missing"),
    ] {
        let expected = format!("{file}{reason}");
        for arguments in [
            vec!["replay", "--url", nowhere, file],
            vec!["transcript", "check", file],
        ] {
            let told = roost(&arguments);
            assert_eq!(told.code, 2, "{}", told.err);
            assert!(told.err.contains(&expected), "{expected}\n{}", told.err);
        }
    }

    for (arguments, reason) in [
        (
            vec!["--url", nowhere, &good],
            "good.jsonl:2: ${jwt:anon} stands for a token, which has to be signed or given: give --jwt-secret SECRET (or \
             JWT_SECRET), or the token itself with --key anon=TOKEN",
        ),
        (
            vec!["--url", nowhere, "--jwt-secret", "x", &good],
            "127.0.0.1:1 cannot be reached",
        ),
        (
            vec!["--url", "127.0.0.1:1", "--jwt-secret", "x", &good],
            "127.0.0.1:1 is no address of a server: write ws:// or wss://",
        ),
        (
            vec!["--url", nowhere, "/nowhere.jsonl"],
            "/nowhere.jsonl: there is no such file",
        ),
        (
            vec!["--url", nowhere, "--area", "x", &good],
            "no transcript is of area x",
        ),
    ] {
        let told = roost(&[vec!["replay"], arguments].concat());
        assert_eq!(told.code, 2, "{}", told.err);
        assert!(told.err.contains(reason), "{reason}\n{}", told.err);
    }
}

#[test]
fn a_server_that_never_answers_fails_at_the_step_that_waits() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("it is bound"));
    let folder = Folder::new("silent");
    let file = folder.put("silent", "join", &[OPEN]);
    let arguments = [
        "replay",
        "--url",
        &url,
        "--jwt-secret",
        "x",
        "--patience-ms",
        "200",
        &file,
    ];
    let told = roost(&arguments);
    assert_eq!(told.code, 1);
    assert!(
        told.out
            .contains(&format!("{file}:2: no answer to the handshake within 200ms")),
        "{}",
        told.out
    );
}

#[test]
fn formatting_checks_or_rewrites() {
    let folder = Folder::new("fmt");
    let file = folder.put(
        "odd",
        "join",
        &[OPEN, r#"{ "recv": "a", "optional": true, "text": [1.50] }"#, ""],
    );
    let told = roost(&["transcript", "fmt", "--check", &file]);
    assert_eq!((told.code, told.out.trim_end()), (1, file.as_str()));
    let told = roost(&["transcript", "fmt", &folder.name()]);
    assert_eq!((told.code, told.out.trim_end()), (0, file.as_str()));
    let text = fs::read_to_string(&file).expect("it is still there");
    assert_eq!(
        text.lines().nth(2),
        Some(r#"{"recv":"a","text":[1.50],"optional":true}"#)
    );
    assert_eq!(text.lines().count(), 3);
    assert_eq!(roost(&["transcript", "fmt", "--check", &folder.name()]).code, 0);
    let told = roost(&["transcript", "check", &folder.name()]);
    assert_eq!(
        (told.code, told.out.as_str()),
        (0, "transcripts: 1, nothing wrong\n")
    );
}

#[test]
fn two_recordings_differ_in_values_or_not_at_all() {
    let folder = Folder::new("diff");
    let one = folder.put("one", "join", &[OPEN, JOIN, REPLY]);
    let same = folder.put("same", "join", &[OPEN, JOIN, r#"{"silence":"a","ms":5}"#, REPLY]);
    let other = folder.put("other", "join", &[OPEN, JOIN, WRONG]);
    let strange = folder.put(
        "strange",
        "join",
        &[r#"{"http":"GET /","expect":{"status":200}}"#],
    );
    let told = roost(&["transcript", "diff", &one, &same]);
    assert!(
        told.code == 0 && told.out.ends_with("differences: 0; things that are in both: 3\n"),
        "{}",
        told.out
    );
    let told = roost(&["transcript", "diff", &one, &other]);
    assert_eq!(told.code, 1);
    let expected = "a, line 4 of A and line 4 of B: ◀── realtime:room phx_reply";
    assert!(told.out.contains(expected), "{}", told.out);
    assert!(
        told.out
            .contains("  at $[4].status\n    A  \"ok\"\n    B  \"error\"\n"),
        "{}",
        told.out
    );
    let told = roost(&["transcript", "diff", &one, &strange]);
    assert!(
        told.code == 2 && told.err.contains("not recordings of one scenario"),
        "{}",
        told.err
    );
    assert_eq!(roost(&["transcript", "diff", &one, "/nowhere.jsonl"]).code, 2);
}

#[test]
fn a_recording_is_shown_to_people() {
    let spec =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-spec/transcripts/presence-track.jsonl");
    let told = roost(&["transcript", "show", &spec.display().to_string()]);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(
        told.out.contains("  13     b ◀── realtime:p-tr presence_diff"),
        "{}",
        told.out
    );
}
