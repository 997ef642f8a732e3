//! Conversations, and the lines they become.

use transcript::Transcript;
use transcript::binary::{Encoding, UserBroadcast};

use super::*;

struct Session {
    scribe: Scribe,
    at_ms: u64,
}

impl Session {
    fn new(paths: &[&str]) -> Self {
        let redactions = paths.iter().map(|path| path.parse().unwrap()).collect();
        Self {
            scribe: Scribe::new("s", "h", redactions, 1_700_000_000_000),
            at_ms: 0,
        }
    }

    fn hear(&mut self, event: Event) {
        self.at_ms += 1;
        self.scribe.hear(self.at_ms, event);
    }

    fn open(&mut self, connection: u64) {
        self.hear(Event::Opened {
            connection,
            query: "vsn=2.0.0".into(),
            headers: vec![],
            refused: None,
        });
    }

    fn says(&mut self, connection: u64, origin: Origin, message: Message) {
        self.hear(Event::Said {
            connection,
            origin,
            message,
        });
    }

    fn sends(&mut self, connection: u64, text: &str) {
        self.says(connection, Origin::Client, Message::Text(text.into()));
    }

    fn receives(&mut self, connection: u64, text: &str) {
        self.says(connection, Origin::Server, Message::Text(text.into()));
    }

    fn ends(&mut self, connection: u64, origin: Origin) {
        self.hear(Event::Ended { connection, origin });
    }

    /// The lines, without their times; the file is one that can be read.
    fn lines(&mut self) -> Vec<String> {
        let lines = self.scribe.finish();
        let text = format!("{}\n{lines}", self.scribe.header(5));
        let transcript = Transcript::parse("s", &text).unwrap();
        assert!(transcript.problems().is_empty(), "{:?}", transcript.problems());
        lines
            .lines()
            .map(|line| {
                let (line, _) = line.rsplit_once(",\"at_ms\":").unwrap();
                format!("{line}}}")
            })
            .collect()
    }
}

#[test]
fn connections_have_names_and_end_as_they_ended() {
    let mut session = Session::new(&[]);
    for connection in 0..5 {
        session.open(connection);
    }
    session.says(0, Origin::Client, Message::Close(Some(1000)));
    session.says(0, Origin::Server, Message::Close(Some(1000)));
    session.ends(0, Origin::Server);
    session.says(1, Origin::Client, Message::Close(Some(4000)));
    session.ends(1, Origin::Client);
    session.ends(2, Origin::Client);
    session.ends(2, Origin::Server);
    session.says(3, Origin::Server, Message::Close(Some(1012)));
    session.says(3, Origin::Client, Message::Close(Some(1012)));
    session.ends(4, Origin::Server);
    session.ends(4, Origin::Client);
    let opened = |name: &str| format!(r#"{{"open":"{name}","vsn":"2.0.0"}}"#);
    let mut expected: Vec<String> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|name| opened(name))
        .collect();
    expected.extend(
        [
            r#"{"close":"a"}"#,
            r#"{"close":"b","code":4000}"#,
            r#"{"close":"c","abrupt":true}"#,
            r#"{"closed":"d","code":1012}"#,
            r#"{"closed":"e","code":1006}"#,
        ]
        .map(str::to_owned),
    );
    assert_eq!(session.lines(), expected);
    assert_eq!(
        [0, 25, 26, 27, 26 * 27].map(letters),
        ["a", "z", "aa", "ab", "aaa"]
    );
}

#[test]
fn a_handshake_is_kept_with_what_it_was_asked_and_answered() {
    let mut session = Session::new(&[]);
    session.hear(Event::Opened {
        connection: 1,
        query: "apikey=hush+hush&log_level=info&vsn=1.0.0".into(),
        headers: vec![("x-my".into(), "1".into())],
        refused: Some(Answer {
            status: 401,
            content_type: Some("text/plain".into()),
            body: b"no ${way}".to_vec(),
        }),
    });
    assert_eq!(
        session.lines(),
        [concat!(
            r#"{"open":"a","vsn":"1.0.0","params":{"apikey":"${jwt:key}","log_level":"info"},"headers":{"x-my":"1"},"#,
            r#""refused":{"status":401,"type":"text/plain","body":"no ${fill:$:1}{way}"}}"#
        )]
    );
    assert!(session.scribe.header(0).contains(r#""vsn":["1.0.0"]"#));
    assert_eq!(session.scribe.recorded().keys, ["key"]);
}

#[test]
fn messages_are_kept_in_the_form_that_says_most() {
    let mut session = Session::new(&["$.payload.email"]);
    let push = |encoding, meta, payload| {
        let broadcast = UserBroadcast {
            topic: "t",
            event: "e",
            meta,
            encoding,
            payload,
        };
        Message::Binary(broadcast.push("1", "2").unwrap())
    };
    session.open(0);
    session.sends(0, r#"[ null, "1" ]"#);
    session.sends(0, "{");
    session.says(0, Origin::Client, push(Encoding::Json, b"", br#"{"x":1}"#));
    session.says(
        0,
        Origin::Client,
        push(Encoding::Json, b"", br#"{ "email": "a@b" }"#),
    );
    session.says(0, Origin::Client, push(Encoding::Json, b"", b"[ ]"));
    session.says(0, Origin::Client, push(Encoding::Binary, b"", b"\xff"));
    session.says(
        0,
        Origin::Client,
        push(Encoding::Json, b"{}", br#"{"email":"a@b"}"#),
    );
    session.says(0, Origin::Client, Message::Binary(b"{}".to_vec()));
    session.says(0, Origin::Client, Message::Ping(b"p".to_vec()));
    session.says(0, Origin::Client, Message::Pong(b"p".to_vec()));
    session.says(0, Origin::Server, Message::Pong(b"p".to_vec()));
    session.says(0, Origin::Server, Message::Ping(b"p".to_vec()));
    session.says(
        0,
        Origin::Server,
        Message::Binary(b"\x04\x01\x01\0\x01te{}".to_vec()),
    );
    session.says(0, Origin::Server, Message::Binary(b"\xff".to_vec()));
    let hex = |text: &str| hex(text.as_bytes());
    assert_eq!(
        session.lines()[1..],
        [
            r#"{"send":"a","text":[null,"1"]}"#.to_owned(),
            r#"{"send":"a","raw":"{"}"#.to_owned(),
            r#"{"send":"a","push":{"join_ref":"1","ref":"2","topic":"t","event":"e","payload":{"x":1}}}"#.to_owned(),
            r#"{"send":"a","push":{"join_ref":"1","ref":"2","topic":"t","event":"e","payload":{"email":"redacted-1"}}}"#
                .to_owned(),
            format!(
                r#"{{"send":"a","bytes":"030101010100013132{}","view":{{"kind":"user_broadcast_push","join_ref":"1","ref":"2","topic":"t","event":"e","encoding":"json","payload":[]}}}}"#,
                hex("te[ ]")
            ),
            format!(
                r#"{{"send":"a","bytes":"030101010100003132{}ff","view":{{"kind":"user_broadcast_push","join_ref":"1","ref":"2","topic":"t","event":"e","encoding":"binary","payload":"ff"}}}}"#,
                hex("te")
            ),
            format!(
                r#"{{"send":"a","bytes":"030101010102013132{}","view":{{"kind":"user_broadcast_push","join_ref":"1","ref":"2","topic":"t","event":"e","meta":{{}},"encoding":"json","payload":{{"email":"redacted-1"}}}}}}"#,
                hex(r#"te{}{"email":"redacted-1"}"#)
            ),
            r#"{"send":"a","raw":"{}","opcode":"binary"}"#.to_owned(),
            r#"{"send":"a","ping":"p"}"#.to_owned(),
            concat!(
                r#"{"recv":"a","unordered":[{"pong":"p"},"#,
                r#"{"view":{"kind":"user_broadcast","topic":"t","event":"e","encoding":"json","payload":{}}},"#,
                r#"{"bytes":"ff"}]}"#
            )
            .to_owned(),
        ]
    );
}

#[test]
fn what_happens_at_the_same_time_is_written_one_after_the_other() {
    let mut session = Session::new(&[]);
    let join = r#"["1","1","realtime:t","phx_join",{}]"#;
    let joined = r#"["1","1","realtime:t","phx_reply",{"status":"ok"}]"#;
    for connection in 0..3 {
        session.open(connection);
        session.sends(connection, join);
        session.receives(connection, joined);
    }
    let broadcast = |n: u64| format!(r#"["1","{n}","realtime:t","broadcast",{{"n":{n}}}]"#);
    let heard = |n: u64| format!(r#"[null,null,"realtime:t","broadcast",{{"n":{n}}}]"#);
    session.sends(0, &broadcast(1));
    session.sends(1, &broadcast(2));
    session.receives(2, &heard(2));
    session.open(3);
    session.receives(2, &heard(1));
    session.receives(2, &heard(9));
    session.receives(0, r#"["1","1","realtime:t","phx_reply",{"status":"ok"}]"#);
    session.sends(3, join);
    session.receives(3, &heard(2));
    session.receives(3, joined);
    let shown: Vec<String> = session.lines()[9..]
        .iter()
        .map(|line| line.replace(r#""realtime:t","#, ""))
        .collect();
    assert_eq!(
        shown,
        [
            r#"{"send":"a","text":["1","1","broadcast",{"n":1}]}"#,
            r#"{"recv":"c","text":[null,null,"broadcast",{"n":1}]}"#,
            r#"{"recv":"a","text":["1","1","phx_reply",{"status":"ok"}]}"#,
            r#"{"open":"d","vsn":"2.0.0"}"#,
            r#"{"recv":"c","text":[null,null,"broadcast",{"n":9}]}"#,
            r#"{"send":"d","text":["1","1","phx_join",{}]}"#,
            r#"{"recv":"d","text":["1","1","phx_reply",{"status":"ok"}]}"#,
            r#"{"send":"b","text":["1","2","broadcast",{"n":2}]}"#,
            r#"{"recv":"c","text":[null,null,"broadcast",{"n":2}]}"#,
            r#"{"recv":"d","text":[null,null,"broadcast",{"n":2}]}"#,
        ]
    );
}

#[test]
fn a_request_is_kept_with_its_answer_where_it_was_made() {
    let mut session = Session::new(&["$.payload.email"]);
    session.open(0);
    let request = |target: &str, content_type: &str, body: &[u8]| {
        Box::new(Request {
            target: target.into(),
            headers: vec![
                ("authorization".into(), "Bearer hush".into()),
                ("content-type".into(), content_type.into()),
            ],
            body: body.to_vec(),
        })
    };
    let batch = r#"{"messages":[{"topic":"t","event":"e","payload":{"email":"x@y"}}]}"#;
    session.hear(Event::Called {
        call: 9,
        request: request(
            "/api/broadcast?apikey=hush&a=b%20c",
            "application/json",
            batch.as_bytes(),
        ),
    });
    session.receives(0, r#"[null,null,"realtime:t","broadcast",{"email":"x@y"}]"#);
    session.hear(Event::Answered {
        call: 9,
        answer: Some(Answer {
            status: 202,
            content_type: None,
            body: vec![],
        }),
    });
    for (call, content_type, body) in [
        (10, "application/octet-stream", b"\xff".as_slice()),
        (11, "text/plain", b"x"),
        (12, "application/json", b"{"),
        (13, "application/json", b"{}"),
    ] {
        let request = request("/api/broadcast/t/events/e", content_type, body);
        session.hear(Event::Called { call, request });
        let answer = Answer {
            status: 422,
            content_type: Some("application/json".into()),
            body: br#"{"errors":[]}"#.to_vec(),
        };
        let answer = (call != 13).then_some(answer);
        session.hear(Event::Answered { call, answer });
    }
    let answer = r#""expect":{"status":422,"type":"application/json","body":{"errors":[]}}"#;
    let single = |content_type: &str, body: &str| {
        format!(
            r#"{{"http":"POST /api/broadcast/t/events/e","headers":{{"authorization":"Bearer ${{jwt:key}}","content-type":"{content_type}"}},{body},{answer}}}"#
        )
    };
    assert_eq!(
        session.lines()[1..],
        [
            concat!(
                r#"{"http":"POST /api/broadcast?apikey=${jwt:key}&a=b+c","headers":{"authorization":"Bearer ${jwt:key}"},"#,
                r#""body":{"messages":[{"topic":"t","event":"e","payload":{"email":"redacted-1"}}]},"#,
                r#""expect":{"status":202,"body":""}}"#
            )
            .to_owned(),
            r#"{"recv":"a","text":[null,null,"realtime:t","broadcast",{"email":"redacted-1"}]}"#.to_owned(),
            single("application/octet-stream", r#""hex":"ff""#),
            single("text/plain", r#""raw":"x""#),
            single("application/json", r#""raw":"{""#),
        ]
    );
}

fn change(topic: &str, time: &str, record: &str) -> String {
    format!(
        r#"[null,null,"realtime:{topic}","postgres_changes",{{"ids":[7],"data":{{"schema":"s","table":"t","type":"INSERT","commit_timestamp":"2024-01-01T00:00:00.{time}Z","columns":[],"record":{record},"errors":null}}}}]"#
    )
}

#[test]
fn a_change_of_a_table_stands_alone_and_is_counted_once_however_many_hear_of_it() {
    let mut session = Session::new(&[]);
    session.open(0);
    session.open(1);
    session.receives(0, &change("x", "001", r#"{"id":1}"#));
    session.receives(0, &change("x", "002", r#"{"id":2}"#));
    session.sends(1, r#"[null,"1","phoenix","heartbeat",{}]"#);
    session.receives(1, r#"[null,"1","phoenix","phx_reply",{}]"#);
    session.receives(1, &change("x", "001", r#"{"id":1,"more":true}"#));
    session.receives(1, &change("y", "001", r#"{"id":1}"#));
    session.receives(1, &change("x", "002", r#"{"id":2}"#));
    session.receives(1, &change("x", "003", r#"{"id":2}"#));
    let lines = session.lines();
    let of = |line: &String| {
        let ids = ["\"id\":1", "\"id\":2"].map(|id| line.matches(id).count());
        (line.get(..11).unwrap_or_default().to_owned(), ids)
    };
    let told: Vec<_> = lines.iter().skip(2).map(of).collect();
    let expected = [
        (r#"{"recv":"a""#, [1, 0]),
        (r#"{"recv":"b""#, [2, 0]),
        (r#"{"recv":"a""#, [0, 1]),
        (r#"{"recv":"b""#, [0, 1]),
        (r#"{"send":"b""#, [0, 0]),
        (r#"{"recv":"b""#, [0, 0]),
        (r#"{"recv":"b""#, [0, 1]),
    ];
    assert_eq!(
        told,
        expected.map(|(start, ids)| (start.to_owned(), ids)),
        "{lines:#?}"
    );
    assert_eq!(session.scribe.recorded().changes, 3);
}
