//! From the JSON of a line to a [`Step`], strictly.

use super::*;
use crate::fields::{Fields, Reason};
use crate::placeholder::{check_expected, check_sent};

impl Step {
    pub(crate) fn parse(line: usize, value: &Value) -> Result<Self, Reason> {
        let mut fields = Fields::of(value)?;
        let kind = fields.first().ok_or("an empty object says nothing")?;
        let at_ms = fields.integer("at_ms")?;
        let after_ms = fields.integer("after_ms")?;
        let timeout_ms = fields.integer("timeout_ms")?;
        let numbers = match fields.text("numbers")? {
            None => Numbers::Decimal,
            Some("exact") => Numbers::Exact,
            Some(other) => return Err(format!("numbers has to be exact, not {other}")),
        };
        // For the reader only.
        fields.take("sample");

        let action = match kind {
            "open" => Action::Open(open(&mut fields)?),
            "send" => Action::Send {
                connection: name(&mut fields, "send")?,
                message: outgoing(&mut fields)?,
            },
            "recv" => Action::Receive {
                connection: name(&mut fields, "recv")?,
                expected: expectations(&mut fields)?,
                numbers,
            },
            "silence" => Action::Silence {
                connection: name(&mut fields, "silence")?,
                ms: fields.need_integer("ms")?,
            },
            "close" => Action::Close {
                connection: name(&mut fields, "close")?,
                ending: ending(&mut fields)?,
            },
            "closed" => Action::Closed {
                connection: name(&mut fields, "closed")?,
                codes: codes(&mut fields)?,
            },
            "http" => Action::Http(http_call(&mut fields)?),
            "sql" => Action::Sql(sql_call(&mut fields)?),
            "sleep" => Action::Sleep {
                ms: fields.need_integer("sleep")?,
            },
            "fault" => Action::Fault(Fault::parse(&mut fields)?),
            unknown => return Err(format!("unknown step {unknown}")),
        };
        fields.finish()?;
        Ok(Self {
            line,
            action,
            at_ms,
            after_ms,
            timeout_ms,
        })
    }
}

fn name(fields: &mut Fields<'_>, key: &str) -> Result<String, Reason> {
    match fields.need_text(key)? {
        "" => Err("the connection has no name".into()),
        name => Ok(name.to_owned()),
    }
}

fn open(fields: &mut Fields<'_>) -> Result<Open, Reason> {
    let connection = name(fields, "open")?;
    let mut parameters = sent_texts(fields, "params")?;
    if let Some(vsn) = sent_text(fields, "vsn")? {
        parameters.push(("vsn".to_owned(), vsn));
    }
    let query = match sent_text(fields, "query")? {
        Some(_) if !parameters.is_empty() => return Err("query excludes params and vsn".into()),
        Some(literal) => Query::Literal(literal),
        None => Query::Parameters(parameters),
    };
    let headers = sent_texts(fields, "headers")?;
    let host = sent_text(fields, "host")?;
    let refused = fields.take("refused").map(expected_answer).transpose()?;
    Ok(Open {
        connection,
        query,
        headers,
        host,
        refused,
    })
}

fn outgoing(fields: &mut Fields<'_>) -> Result<Outgoing, Reason> {
    if let Some(json) = fields.take("text") {
        return Ok(Outgoing::Json(sent(json)?));
    }
    if let Some(text) = fields.text("raw")? {
        return Ok(Outgoing::Exact(
            opcode(fields, Frame::Text)?,
            text.as_bytes().to_vec(),
        ));
    }
    if let Some(bytes) = fields.hex("bytes")? {
        fields.members("view")?;
        return Ok(Outgoing::Exact(opcode(fields, Frame::Binary)?, bytes));
    }
    if let Some(view) = fields.take("push") {
        return Ok(Outgoing::Push(push(view)?));
    }
    if let Some(text) = fields.text("ping")? {
        return Ok(Outgoing::Ping(text.to_owned()));
    }
    Err("text, raw, bytes, push or ping is missing".into())
}

fn opcode(fields: &mut Fields<'_>, default: Frame) -> Result<Frame, Reason> {
    match fields.text("opcode")? {
        None => Ok(default),
        Some("text") => Ok(Frame::Text),
        Some("binary") => Ok(Frame::Binary),
        Some(other) => Err(format!("unknown opcode {other}")),
    }
}

fn push(view: &Value) -> Result<Push, Reason> {
    let view = sent(view)?;
    let mut fields = Fields::of(&view)?;
    let push = Push {
        join_ref: fields.text("join_ref")?.unwrap_or_default().to_owned(),
        reference: fields.text("ref")?.unwrap_or_default().to_owned(),
        topic: fields.need_text("topic")?.to_owned(),
        event: fields.need_text("event")?.to_owned(),
        payload: fields.need("payload")?.clone(),
    };
    fields.finish()?;
    Ok(push)
}

fn expectations(fields: &mut Fields<'_>) -> Result<Vec<Expectation>, Reason> {
    let Some(elements) = fields.list("unordered")? else {
        return Ok(vec![expectation(fields)?]);
    };
    if elements.is_empty() {
        return Err("unordered has no elements".into());
    }
    let element = |value| {
        let mut fields = Fields::of(value)?;
        fields.take("sample");
        let expectation = expectation(&mut fields)?;
        fields.finish()?;
        Ok(expectation)
    };
    let numbered =
        |(index, value)| element(value).map_err(|reason: Reason| format!("unordered[{index}]: {reason}"));
    elements.iter().enumerate().map(numbered).collect()
}

fn expectation(fields: &mut Fields<'_>) -> Result<Expectation, Reason> {
    let optional = fields.flag("optional")?;
    let frame = if let Some(json) = fields.take("text") {
        Expected::Text(expected(json)?)
    } else if let Some(bytes) = fields.hex("bytes")? {
        fields.members("view")?;
        Expected::Bytes(bytes)
    } else if let Some(view) = fields.take("view") {
        Fields::of(view).map_err(|reason| format!("view: {reason}"))?;
        Expected::View(expected(view)?)
    } else if let Some(text) = fields.text("pong")? {
        Expected::Pong(text.to_owned())
    } else {
        return Err("text, bytes, view, pong or unordered is missing".into());
    };
    Ok(Expectation { frame, optional })
}

fn ending(fields: &mut Fields<'_>) -> Result<Ending, Reason> {
    match (fields.flag("abrupt")?, fields.code("code")?) {
        (true, None) => Ok(Ending::Abrupt),
        (true, Some(_)) => Err("an abrupt end has no code".into()),
        (false, code) => Ok(Ending::Code(code.unwrap_or(1000))),
    }
}

fn codes(fields: &mut Fields<'_>) -> Result<Vec<u16>, Reason> {
    let code = fields.need("code")?;
    let codes = code.as_array().unwrap_or(std::slice::from_ref(code));
    let read = |code: &Value| match code {
        Value::Number(number) => number.as_u64().and_then(|code| u16::try_from(code).ok()),
        _ => None,
    };
    let codes: Option<Vec<u16>> = codes.iter().map(read).collect();
    codes
        .filter(|codes| !codes.is_empty())
        .ok_or_else(|| "code has to be a close code or a list of them".into())
}

fn http_call(fields: &mut Fields<'_>) -> Result<HttpCall, Reason> {
    let request = sent_text(fields, "http")?.unwrap_or_default();
    let (method, target) = match request.split_once(' ') {
        Some((method, target)) if target.starts_with('/') => (method.to_owned(), target.to_owned()),
        _ => return Err("http has to be a method and a path".into()),
    };
    let body = match (fields.take("body"), fields.text("raw")?, fields.hex("hex")?) {
        (None, None, None) => Body::Absent,
        (Some(json), None, None) => Body::Json(sent(json)?),
        (None, Some(text), None) => Body::Exact(text.as_bytes().to_vec()),
        (None, None, Some(bytes)) => Body::Exact(bytes),
        _ => return Err("body, raw and hex exclude each other".into()),
    };
    // For the reader only: the recording left the answer's body out.
    fields.flag("brief")?;
    Ok(HttpCall {
        method,
        target,
        headers: sent_texts(fields, "headers")?,
        host: sent_text(fields, "host")?,
        body,
        expect: expected_answer(fields.need("expect")?)?,
    })
}

fn expected_answer(value: &Value) -> Result<ExpectedAnswer, Reason> {
    let mut fields = Fields::of(value)?;
    let answer = ExpectedAnswer {
        status: fields.code("status")?.ok_or("status is missing")?,
        content_type: fields.text("type")?.map(str::to_owned),
        body: fields.take("body").map(expected).transpose()?,
    };
    fields.finish()?;
    Ok(answer)
}

fn sql_call(fields: &mut Fields<'_>) -> Result<SqlCall, Reason> {
    let call = SqlCall {
        sql: sent_text(fields, "sql")?.unwrap_or_default(),
        rows: fields.take("rows").map(expected).transpose()?,
        error: fields.text("error")?.map(str::to_owned),
    };
    match (&call.rows, &call.error) {
        (Some(_), Some(_)) => Err("rows and error exclude each other".into()),
        (Some(rows), None) if rows.as_array().is_none() => Err("rows has to be an array".into()),
        _ => Ok(call),
    }
}

fn sent(value: &Value) -> Result<Value, Reason> {
    check_sent(value).map_err(|error| error.to_string())?;
    Ok(value.clone())
}

fn expected(value: &Value) -> Result<Value, Reason> {
    check_expected(value).map_err(|error| error.to_string())?;
    Ok(value.clone())
}

fn sent_text(fields: &mut Fields<'_>, key: &str) -> Result<Option<String>, Reason> {
    let Some(text) = fields.text(key)? else {
        return Ok(None);
    };
    sent(&Value::text(text))?;
    Ok(Some(text.to_owned()))
}

/// The members of an object whose values are texts.
fn sent_texts(fields: &mut Fields<'_>, key: &str) -> Result<Vec<(String, String)>, Reason> {
    let members = fields.members(key)?;
    members
        .iter()
        .map(|(name, value)| match sent(value)? {
            Value::String(text) => Ok((name.clone(), text)),
            other => Err(format!("{key}: {name} has to be a string, not {}", other.kind())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Result<Step, Reason> {
        Step::parse(7, &Value::parse(text).unwrap())
    }

    fn action(text: &str) -> Action {
        step(text).unwrap().action
    }

    fn json(text: &str) -> Value {
        Value::parse(text).unwrap()
    }

    #[test]
    fn any_step_may_carry_hints() {
        let hinted = step(
            r#"{"sleep":5,"at_ms":3,"after_ms":1,"timeout_ms":2,"numbers":"exact","sample":{"any":"thing"}}"#,
        );
        let expected = Step {
            line: 7,
            action: Action::Sleep { ms: 5 },
            at_ms: Some(3),
            after_ms: Some(1),
            timeout_ms: Some(2),
        };
        assert_eq!(hinted, Ok(expected));
    }

    #[test]
    fn a_handshake_has_parameters_or_a_literal_query() {
        let Action::Open(open) = action(
            r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:anon}","x":"1"},"headers":{"h":"v"},"host":"x"}"#,
        ) else {
            panic!("not a handshake")
        };
        let pairs = [("apikey", "${jwt:anon}"), ("x", "1"), ("vsn", "2.0.0")];
        assert_eq!(
            open.query,
            Query::Parameters(pairs.map(|(n, v)| (n.into(), v.into())).into())
        );
        assert_eq!(open.headers, [("h".to_owned(), "v".to_owned())]);
        assert_eq!((open.host.as_deref(), open.refused), (Some("x"), None));

        let Action::Open(open) = action(
            r#"{"open":"a","query":"vsn=2.0.0&apikey[]=x","refused":{"status":401,"type":"t","body":{"error":"e"}}}"#,
        ) else {
            panic!("not a handshake")
        };
        assert_eq!(open.query, Query::Literal("vsn=2.0.0&apikey[]=x".into()));
        let refused = ExpectedAnswer {
            status: 401,
            content_type: Some("t".into()),
            body: Some(json(r#"{"error":"e"}"#)),
        };
        assert_eq!(open.refused, Some(refused));
    }

    #[test]
    fn there_are_five_ways_to_say_what_is_sent() {
        let push = Push {
            join_ref: "1".into(),
            reference: "2".into(),
            topic: "t".into(),
            event: "e".into(),
            payload: json("{}"),
        };
        for (text, message) in [
            (r#"{"send":"a","text":[1]}"#, Outgoing::Json(json("[1]"))),
            (
                r#"{"send":"a","raw":"{"}"#,
                Outgoing::Exact(Frame::Text, b"{".to_vec()),
            ),
            (
                r#"{"send":"a","raw":"{","opcode":"binary"}"#,
                Outgoing::Exact(Frame::Binary, b"{".to_vec()),
            ),
            (
                r#"{"send":"a","bytes":"03ff","view":{}}"#,
                Outgoing::Exact(Frame::Binary, vec![3, 255]),
            ),
            (
                r#"{"send":"a","bytes":"03ff","opcode":"text"}"#,
                Outgoing::Exact(Frame::Text, vec![3, 255]),
            ),
            (
                r#"{"send":"a","push":{"join_ref":"1","ref":"2","topic":"t","event":"e","payload":{}}}"#,
                Outgoing::Push(push),
            ),
            (r#"{"send":"a","ping":"x"}"#, Outgoing::Ping("x".into())),
        ] {
            assert_eq!(
                action(text),
                Action::Send {
                    connection: "a".into(),
                    message
                }
            );
        }
    }

    #[test]
    fn raw_text_is_sent_exactly_as_it_stands() {
        let message = Outgoing::Exact(Frame::Text, b"${nonsense}".to_vec());
        assert_eq!(
            action(r#"{"send":"a","raw":"${nonsense}"}"#),
            Action::Send {
                connection: "a".into(),
                message
            }
        );
    }

    #[test]
    fn there_are_five_ways_to_say_what_arrives() {
        let received = |expected: &[(Expected, bool)], numbers| Action::Receive {
            connection: "a".into(),
            expected: expected
                .iter()
                .map(|(frame, optional)| Expectation {
                    frame: frame.clone(),
                    optional: *optional,
                })
                .collect(),
            numbers,
        };
        let text = Expected::Text(json("[1]"));
        let pong = Expected::Pong("x".into());
        for (line, expected) in [
            (
                r#"{"recv":"a","text":[1],"numbers":"exact"}"#,
                received(&[(text.clone(), false)], Numbers::Exact),
            ),
            (
                r#"{"recv":"a","text":[1],"optional":true}"#,
                received(&[(text.clone(), true)], Numbers::Decimal),
            ),
            (
                r#"{"recv":"a","bytes":"04","view":{"kind":"x"}}"#,
                received(&[(Expected::Bytes(vec![4]), false)], Numbers::Decimal),
            ),
            (
                r#"{"recv":"a","view":{"kind":"x"}}"#,
                received(
                    &[(Expected::View(json(r#"{"kind":"x"}"#)), false)],
                    Numbers::Decimal,
                ),
            ),
            (
                r#"{"recv":"a","pong":"x"}"#,
                received(&[(pong.clone(), false)], Numbers::Decimal),
            ),
            (
                r#"{"recv":"a","unordered":[{"text":[1],"optional":true},{"pong":"x","sample":1}]}"#,
                received(&[(text, true), (pong, false)], Numbers::Decimal),
            ),
        ] {
            assert_eq!(action(line), expected);
        }
    }

    #[test]
    fn connections_end_in_several_ways() {
        let close = |ending| Action::Close {
            connection: "a".into(),
            ending,
        };
        assert_eq!(action(r#"{"close":"a"}"#), close(Ending::Code(1000)));
        assert_eq!(action(r#"{"close":"a","code":4000}"#), close(Ending::Code(4000)));
        assert_eq!(action(r#"{"close":"a","abrupt":true}"#), close(Ending::Abrupt));
        for (text, codes) in [("1012", vec![1012]), ("[1000,1006]", vec![1000, 1006])] {
            let line = format!(r#"{{"closed":"a","code":{text}}}"#);
            assert_eq!(
                action(&line),
                Action::Closed {
                    connection: "a".into(),
                    codes
                }
            );
        }
        assert_eq!(
            action(r#"{"silence":"a","ms":5}"#),
            Action::Silence {
                connection: "a".into(),
                ms: 5
            }
        );
    }

    #[test]
    fn requests_have_at_most_one_body() {
        let call = |text| match action(text) {
            Action::Http(call) => call,
            other => panic!("not a request: {other:?}"),
        };
        let full = call(
            r#"{"http":"POST /a?b=${now}","headers":{"h":"v"},"host":"x","body":{"k":1},"brief":true,"expect":{"status":202}}"#,
        );
        assert_eq!(
            (full.method.as_str(), full.target.as_str()),
            ("POST", "/a?b=${now}")
        );
        assert_eq!(
            (full.host.as_deref(), full.body),
            (Some("x"), Body::Json(json(r#"{"k":1}"#)))
        );
        assert_eq!(
            full.expect,
            ExpectedAnswer {
                status: 202,
                content_type: None,
                body: None
            }
        );
        assert_eq!(
            call(r#"{"http":"GET /","expect":{"status":1}}"#).body,
            Body::Absent
        );
        assert_eq!(
            call(r#"{"http":"GET /","raw":"x","expect":{"status":1}}"#).body,
            Body::Exact(b"x".to_vec())
        );
        assert_eq!(
            call(r#"{"http":"GET /","hex":"00","expect":{"status":1}}"#).body,
            Body::Exact(vec![0])
        );
    }

    #[test]
    fn statements_have_rows_or_an_error() {
        let sql = |rows: Option<&str>, error: Option<&str>| {
            Action::Sql(SqlCall {
                sql: "select".into(),
                rows: rows.map(json),
                error: error.map(str::to_owned),
            })
        };
        assert_eq!(action(r#"{"sql":"select"}"#), sql(None, None));
        assert_eq!(
            action(r#"{"sql":"select","rows":[{"a":"1"}]}"#),
            sql(Some(r#"[{"a":"1"}]"#), None)
        );
        assert_eq!(
            action(r#"{"sql":"select","error":"42P01"}"#),
            sql(None, Some("42P01"))
        );
    }

    #[test]
    fn what_is_unknown_or_missing_is_refused() {
        for (text, reason) in [
            ("{}", "an empty object says nothing"),
            ("[]", "an object is expected, not an array"),
            (r#"{"jump":1}"#, "unknown step jump"),
            (r#"{"sleep":5,"then":1}"#, "unknown key then"),
            (
                r#"{"sleep":5,"numbers":"loose"}"#,
                "numbers has to be exact, not loose",
            ),
            (r#"{"send":"a"}"#, "text, raw, bytes, push or ping is missing"),
            (r#"{"send":"a","text":[],"raw":""}"#, "unknown key raw"),
            (r#"{"send":"a","raw":"","opcode":"ping"}"#, "unknown opcode ping"),
            (r#"{"send":"","text":[]}"#, "the connection has no name"),
            (
                r#"{"send":"a","text":["${uuid}"]}"#,
                "${uuid} has no name, so there is nothing to send",
            ),
            (
                r#"{"recv":"a"}"#,
                "text, bytes, view, pong or unordered is missing",
            ),
            (
                r#"{"recv":"a","text":["${when}"]}"#,
                "unknown placeholder ${when}",
            ),
            (
                r#"{"recv":"a","text":["${now}"]}"#,
                "the time cannot be expected, only sent; use ${int} or ${time}",
            ),
            (
                r#"{"recv":"a","view":1}"#,
                "view: an object is expected, not a number",
            ),
            (r#"{"recv":"a","unordered":[]}"#, "unordered has no elements"),
            (
                r#"{"recv":"a","unordered":[{"text":1}],"optional":true}"#,
                "unknown key optional",
            ),
            (
                r#"{"recv":"a","unordered":[{"text":1,"of":2}]}"#,
                "unordered[0]: unknown key of",
            ),
            (
                r#"{"close":"a","code":1000,"abrupt":true}"#,
                "an abrupt end has no code",
            ),
            (r#"{"closed":"a"}"#, "code is missing"),
            (
                r#"{"closed":"a","code":[]}"#,
                "code has to be a close code or a list of them",
            ),
            (
                r#"{"open":"a","query":"x","vsn":"1"}"#,
                "query excludes params and vsn",
            ),
            (
                r#"{"open":"a","params":{"n":1}}"#,
                "params: n has to be a string, not a number",
            ),
            (r#"{"open":"a","refused":{"body":""}}"#, "status is missing"),
            (
                r#"{"http":"GET","expect":{"status":1}}"#,
                "http has to be a method and a path",
            ),
            (
                r#"{"http":"GET /","raw":"","hex":"","expect":{"status":1}}"#,
                "body, raw and hex exclude each other",
            ),
            (
                r#"{"sql":"x","rows":[],"error":"y"}"#,
                "rows and error exclude each other",
            ),
            (r#"{"sql":"x","rows":{}}"#, "rows has to be an array"),
        ] {
            assert_eq!(step(text), Err(reason.to_owned()), "{text}");
        }
    }
}
