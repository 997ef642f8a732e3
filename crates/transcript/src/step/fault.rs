//! What the server does wrong on purpose, when the server's side of a file is played. Source: SCRIPTS.md beside
//! FORMAT.md, "Faults".
//!
//! A fault is about its place in the file and says nothing about what a server has to do, so a replay passes over it.

use crate::fields::{Fields, Reason};
use crate::json::Value;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// On which connection; if it is not said, on that of the step before.
    pub connection: Option<String>,
    /// What goes wrong.
    pub kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The next frame of the server comes late.
    Delay {
        /// By how much. Milliseconds.
        ms: u64,
    },
    /// The TCP connection ends without a close frame.
    Drop,
    /// The server closes.
    Close {
        /// With this code.
        code: u16,
        /// And this reason, mostly empty.
        reason: String,
    },
    /// The next message of the client that can be answered is answered with an error.
    Error {
        /// The `response` of the reply.
        response: Value,
    },
    /// The next replies on channels do not come.
    MuteReplies {
        /// How many.
        count: u64,
    },
    /// The next heartbeats are not answered.
    MuteHeartbeats {
        /// How many.
        count: u64,
    },
}

impl Fault {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let kind = match fields.need_text("fault")? {
            "delay" => FaultKind::Delay {
                ms: fields.need_integer("ms")?,
            },
            "drop" => FaultKind::Drop,
            "close" => close(fields)?,
            "error" => FaultKind::Error {
                response: fields.need("response")?.clone(),
            },
            "mute" => mute(fields)?,
            unknown => return Err(format!("unknown fault {unknown}")),
        };
        let connection = match fields.text("on")? {
            Some("") => return Err("the connection has no name".into()),
            name => name.map(str::to_owned),
        };
        Ok(Self { connection, kind })
    }
}

fn close(fields: &mut Fields<'_>) -> Result<FaultKind, Reason> {
    let code = fields.code("code")?.ok_or("code is missing")?;
    if !may_be_sent(code) {
        return Err(format!("{code} is no code that a close frame may have"));
    }
    let reason = fields.text("reason")?.unwrap_or_default().to_owned();
    if reason.len() > REASON_BYTES_MAX {
        return Err(format!("reason is longer than {REASON_BYTES_MAX} bytes"));
    }
    Ok(FaultKind::Close { code, reason })
}

fn mute(fields: &mut Fields<'_>) -> Result<FaultKind, Reason> {
    match (fields.integer("replies")?, fields.integer("heartbeats")?) {
        (Some(count), None) => Ok(FaultKind::MuteReplies { count }),
        (None, Some(count)) => Ok(FaultKind::MuteHeartbeats { count }),
        (None, None) => Err("replies or heartbeats is missing".into()),
        (Some(_), Some(_)) => Err("replies and heartbeats exclude each other".into()),
    }
}

/// What fits beside the code into a close frame.
const REASON_BYTES_MAX: usize = 123;

/// Source: RFC 6455, section 7.4, and the IANA registry of close codes.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Fault, Reason> {
        let value = Value::parse(text).unwrap();
        let mut fields = Fields::of(&value)?;
        let fault = Fault::parse(&mut fields)?;
        fields.finish()?;
        Ok(fault)
    }

    #[test]
    fn there_are_six_ways_to_go_wrong() {
        let close = FaultKind::Close {
            code: 1012,
            reason: "bye".into(),
        };
        let error = FaultKind::Error {
            response: Value::parse(r#"{"reason":"no"}"#).unwrap(),
        };
        for (text, kind) in [
            (r#"{"fault":"delay","ms":200}"#, FaultKind::Delay { ms: 200 }),
            (r#"{"fault":"drop"}"#, FaultKind::Drop),
            (r#"{"fault":"close","code":1012,"reason":"bye"}"#, close),
            (r#"{"fault":"error","response":{"reason":"no"}}"#, error),
            (
                r#"{"fault":"mute","replies":2}"#,
                FaultKind::MuteReplies { count: 2 },
            ),
            (
                r#"{"fault":"mute","heartbeats":1}"#,
                FaultKind::MuteHeartbeats { count: 1 },
            ),
        ] {
            let connection = None;
            assert_eq!(parse(text), Ok(Fault { connection, kind }), "{text}");
        }
        let elsewhere = parse(r#"{"fault":"drop","on":"b"}"#).unwrap();
        assert_eq!(elsewhere.connection.as_deref(), Some("b"));
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        for (text, reason) in [
            (r#"{"fault":"panic"}"#, "unknown fault panic"),
            (r#"{"fault":"delay"}"#, "ms is missing"),
            (r#"{"fault":"close"}"#, "code is missing"),
            (
                r#"{"fault":"close","code":1006}"#,
                "1006 is no code that a close frame may have",
            ),
            (r#"{"fault":"error"}"#, "response is missing"),
            (r#"{"fault":"mute"}"#, "replies or heartbeats is missing"),
            (
                r#"{"fault":"mute","replies":1,"heartbeats":1}"#,
                "replies and heartbeats exclude each other",
            ),
            (r#"{"fault":"drop","ms":1}"#, "unknown key ms"),
            (r#"{"fault":"drop","on":""}"#, "the connection has no name"),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
        let long = format!(
            r#"{{"fault":"close","code":1000,"reason":"{}"}}"#,
            "x".repeat(124)
        );
        assert_eq!(parse(&long), Err("reason is longer than 123 bytes".into()));
    }
}
