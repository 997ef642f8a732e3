//! A transcript for people: one line for each thing that was said, with arrows, in the order of the file.

use std::fmt::Write as _;

use crate::explain::{hex, shortened_to};
use crate::format::Transcript;
use crate::header::Header;
use crate::json::Value;
use crate::step::{
    Action, Body, Ending, Expectation, Expected, ExpectedAnswer, FaultKind, HttpCall, Open, Outgoing, Query,
    SqlCall, Step,
};
use crate::token::Token;
use crate::view::view;

/// Characters of a payload, a statement or a body that are shown.
const SHOWN_CHARS_MAX: usize = 240;
/// Shorter things that look like tokens are none. Characters.
const TOKEN_CHARS_MIN: usize = 40;

/// The header and the steps, a line each. Tokens are shortened.
pub fn timeline(transcript: &Transcript) -> String {
    let mut shown = head(&transcript.header);
    let width = transcript
        .steps
        .iter()
        .map(|step| party(step).chars().count())
        .max();
    let mut lines = Lines {
        width: width.unwrap_or_default().max("http".len()),
        has_times: transcript.steps.iter().any(|step| step.at_ms.is_some()),
        shown: String::new(),
    };
    for step in &transcript.steps {
        lines.step(step);
    }
    shown.push_str(&lines.shown);
    shown
}

/// A token in a text, as far as it says which one it is.
pub fn with_short_tokens(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("eyJ") {
        let (before, token) = rest.split_at(at);
        let is_of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let end = token.find(|c| !is_of_token(c)).unwrap_or(token.len());
        let (token, after) = token.split_at(end);
        short.push_str(before);
        if token.len() >= TOKEN_CHARS_MIN && token.matches('.').count() == 2 {
            let tail = token.get(token.len() - 4..).unwrap_or_default();
            let _ = write!(short, "eyJ…{tail}");
        } else {
            short.push_str(token);
        }
        rest = after;
    }
    short.push_str(rest);
    short
}

/// What a frame is about: topic and event of a message, its first words otherwise.
pub(crate) fn summary(json: &Value) -> String {
    match message(json) {
        Some(message) => {
            let mut shown = format!("{} {}", plain(message.topic), plain(message.event));
            for (name, value) in [("ref", message.reference), ("join_ref", message.join_ref)] {
                if !matches!(value, Value::Null) {
                    let _ = write!(shown, " {name}={}", plain(value));
                }
            }
            let _ = write!(shown, "  {}", brief(message.payload));
            shown
        }
        None => brief(json),
    }
}

/// A message in either serializer.
pub(crate) struct Message<'v> {
    pub(crate) join_ref: &'v Value,
    pub(crate) reference: &'v Value,
    pub(crate) topic: &'v Value,
    pub(crate) event: &'v Value,
    pub(crate) payload: &'v Value,
}

pub(crate) fn message(json: &Value) -> Option<Message<'_>> {
    const NULL: &Value = &Value::Null;
    match json {
        Value::Array(elements) => match elements.as_slice() {
            [join_ref, reference, topic, event, payload] => Some(Message {
                join_ref,
                reference,
                topic,
                event,
                payload,
            }),
            _ => None,
        },
        Value::Object(_) => Some(Message {
            join_ref: json.get("join_ref").unwrap_or(NULL),
            reference: json.get("ref").unwrap_or(NULL),
            topic: json.get("topic")?,
            event: json.get("event")?,
            payload: json.get("payload").unwrap_or(NULL),
        }),
        _ => None,
    }
}

fn head(header: &Header) -> String {
    let reference = &header.reference;
    let seconds = header.takes_ms / 1000;
    let tenths = header.takes_ms % 1000 / 100;
    let mut shown = format!("{} ({})  {}\n", header.name, header.area, header.title);
    let _ = writeln!(shown, "  shows   {}", header.shows);
    let _ = writeln!(
        shown,
        "  from    {} {} ({}), tenant {}, {seconds}.{tenths} s",
        reference.server, reference.version, reference.commit, header.tenant
    );
    for (name, token) in &header.jwt {
        let token = match token {
            Token::Raw(text) => with_short_tokens(text),
            Token::Claims {
                claims, algorithm, ..
            } => format!("{} {}", algorithm.name(), brief(claims)),
        };
        let _ = writeln!(shown, "  token   {name}: {token}");
    }
    for (word, statements) in [("setup", &header.setup), ("teardown", &header.teardown)] {
        for sql in statements {
            let _ = writeln!(shown, "  {word:<7} {}", one_line(sql));
        }
    }
    shown.push('\n');
    shown
}

fn party(step: &Step) -> &str {
    match &step.action {
        Action::Http(_) => "http",
        Action::Sql(_) => "sql",
        action => action.connection().unwrap_or_default(),
    }
}

struct Lines {
    width: usize,
    has_times: bool,
    shown: String,
}

impl Lines {
    fn step(&mut self, step: &Step) {
        match &step.action {
            Action::Open(open) => self.open(step, open),
            Action::Send { message, .. } => self.line(step, "──▶", &sent(message)),
            Action::Receive { expected, .. } => match expected.as_slice() {
                [only] => self.line(step, "◀──", &received(only)),
                several => {
                    self.line(step, "◀──", &format!("{} frames in any order", several.len()));
                    for expectation in several {
                        self.more("◀──", &received(expectation));
                    }
                }
            },
            Action::Silence { ms, .. } => self.line(step, " · ", &format!("nothing for {ms} ms")),
            Action::Close { ending, .. } => {
                let how = match ending {
                    Ending::Code(code) => format!("close {code}"),
                    Ending::Abrupt => "TCP connection dropped".to_owned(),
                };
                self.line(step, "══▶", &how);
            }
            Action::Closed { codes, .. } => {
                let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
                self.line(step, "◀══", &format!("close {}", codes.join(" or ")));
            }
            Action::Http(call) => self.http(step, call),
            Action::Sql(call) => self.sql(step, call),
            Action::Fault(fault) => self.line(step, " ! ", &faulty(&fault.kind)),
            Action::Sleep { ms } => self.line(step, " · ", &format!("{ms} ms pass")),
        }
    }

    fn open(&mut self, step: &Step, open: &Open) {
        let query = match &open.query {
            Query::Literal(text) => text.clone(),
            Query::Parameters(parameters) => {
                let pairs: Vec<String> = parameters
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                pairs.join(" ")
            }
        };
        self.line(step, "══▶", &format!("handshake  {query}"));
        for (name, value) in &open.headers {
            self.more("══▶", &format!("{name}: {value}"));
        }
        if let Some(answer) = &open.refused {
            self.more("◀══", &format!("refused: {}", answered(answer)));
        }
    }

    fn http(&mut self, step: &Step, call: &HttpCall) {
        let body = match &call.body {
            Body::Absent => String::new(),
            Body::Json(json) => brief(json),
            Body::Exact(bytes) => shortened_to(&String::from_utf8_lossy(bytes), SHOWN_CHARS_MAX),
        };
        self.line(
            step,
            "──▶",
            format!("{} {} {body}", call.method, call.target).trim_end(),
        );
        self.more("◀──", &answered(&call.expect));
    }

    fn sql(&mut self, step: &Step, call: &SqlCall) {
        self.line(step, "──▶", &one_line(&call.sql));
        if let Some(rows) = &call.rows {
            self.more("◀──", &brief(rows));
        }
        if let Some(code) = &call.error {
            self.more("◀──", &format!("error {code}"));
        }
    }

    fn line(&mut self, step: &Step, arrow: &str, text: &str) {
        let at = match step.at_ms {
            Some(ms) => format!("{:>4}.{:03}", ms / 1000, ms % 1000),
            None => String::new(),
        };
        let at_width = if self.has_times { 10 } else { 0 };
        let (number, party, width) = (step.line, party(step), self.width);
        let text = with_short_tokens(text);
        let _ = writeln!(
            self.shown,
            "{number:>4}{at:>at_width$}  {party:>width$} {arrow} {text}"
        );
    }

    /// A further line of the same step.
    fn more(&mut self, arrow: &str, text: &str) {
        let before = 7 + self.width + if self.has_times { 10 } else { 0 };
        let text = with_short_tokens(text);
        let _ = writeln!(self.shown, "{:before$}{arrow} {text}", "");
    }
}

fn faulty(kind: &FaultKind) -> String {
    match kind {
        FaultKind::Delay { ms } => format!("fault: the next frame comes {ms} ms late"),
        FaultKind::Drop => "fault: the server drops the TCP connection".to_owned(),
        FaultKind::Close { code, reason } => format!("fault: the server closes with {code} {reason:?}"),
        FaultKind::Error { response } => format!("fault: the next answer is the error {}", brief(response)),
        FaultKind::MuteReplies { count } => format!("fault: the next {count} replies do not come"),
        FaultKind::MuteHeartbeats { count } => format!("fault: the next {count} heartbeats are not answered"),
    }
}

fn sent(message: &Outgoing) -> String {
    match message {
        Outgoing::Json(json) => summary(json),
        Outgoing::Exact(_, bytes) => match (std::str::from_utf8(bytes), view(bytes)) {
            (_, Some(view)) => format!("binary {}", brief(&view)),
            (Ok(text), None) => format!("raw {:?}", shortened_to(text, SHOWN_CHARS_MAX)),
            (Err(_), None) => format!("binary {}", shortened_to(&hex(bytes), SHOWN_CHARS_MAX)),
        },
        Outgoing::Push(push) => format!("binary {} {}  {}", push.topic, push.event, brief(&push.payload)),
        Outgoing::Ping(text) => format!("ping {text:?}"),
    }
}

fn received(expectation: &Expectation) -> String {
    let mut shown = match &expectation.frame {
        Expected::Text(json) => summary(json),
        Expected::Bytes(bytes) => match view(bytes) {
            Some(view) => format!("binary {}", brief(&view)),
            None => format!("binary {}", shortened_to(&hex(bytes), SHOWN_CHARS_MAX)),
        },
        Expected::View(view) => format!("binary {}", brief(view)),
        Expected::Pong(text) => format!("pong {text:?}"),
    };
    if expectation.optional {
        shown.push_str("  (or nothing)");
    }
    shown
}

fn answered(answer: &ExpectedAnswer) -> String {
    match &answer.body {
        Some(body) => format!("{} {}", answer.status, brief(body)),
        None => answer.status.to_string(),
    }
}

/// A string without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn brief(value: &Value) -> String {
    shortened_to(&value.to_string(), SHOWN_CHARS_MAX)
}

fn one_line(sql: &str) -> String {
    let words: Vec<&str> = sql.split_whitespace().collect();
    shortened_to(&words.join(" "), SHOWN_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_has_a_line_for_each_thing_that_was_said() {
        let token = format!("eyJ{}.{}.{}wxyz", "a".repeat(20), "b".repeat(20), "c".repeat(20));
        let text = [
            r#"{"transcript":2,"name":"n","area":"join","title":"t","shows":"s","reference":{"server":"roost","version":"1","commit":"c"},"vsn":[],"tenant":"main","setup":["select\n  1"],"takes_ms":1250,"jwt":{"anon":{"claims":{"role":"anon"}}}}"#,
            r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"TOKEN"},"at_ms":0}"#,
            r#"{"send":"a","text":["1","2","realtime:x","phx_join",{}],"at_ms":1234}"#,
            r#"{"recv":"a","text":{"topic":"realtime:x","event":"phx_reply","ref":"2","payload":{"status":"ok"}}}"#,
            r#"{"recv":"a","unordered":[{"text":[1]},{"pong":"p","optional":true}]}"#,
            r#"{"http":"POST /x","body":{"a":1},"expect":{"status":202}}"#,
            r#"{"sql":"insert\ninto t","error":"42P01"}"#,
            r#"{"silence":"a","ms":5}"#,
            r#"{"closed":"a","code":[1000,1006]}"#,
        ];
        let text = text.join("\n").replace("TOKEN", &token);
        let shown = timeline(&Transcript::parse("n", &text).unwrap());
        let expected = r#"n (join)  t
  shows   s
  from    roost 1 (c), tenant main, 1.2 s
  token   anon: HS256 {"role":"anon"}
  setup   select 1

   2     0.000     a ══▶ handshake  apikey=eyJ…wxyz vsn=2.0.0
   3     1.234     a ──▶ realtime:x phx_join ref=2 join_ref=1  {}
   4               a ◀── realtime:x phx_reply ref=2  {"status":"ok"}
   5               a ◀── 2 frames in any order
                     ◀── [1]
                     ◀── pong "p"  (or nothing)
   6            http ──▶ POST /x {"a":1}
                     ◀── 202
   7             sql ──▶ insert into t
                     ◀── error 42P01
   8               a  ·  nothing for 5 ms
   9               a ◀══ close 1000 or 1006
"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_only_looks_like_a_token_stays() {
        for text in ["eyJ", "eyJhbGciOiJIUzI1NiJ9", "keyJob", ""] {
            assert_eq!(with_short_tokens(text), text);
        }
    }
}
