//! The first line of a file: what the conversation is, and what it needs. Source: FORMAT.md, "Header".

use std::collections::BTreeMap;

use crate::fields::{Fields, Reason};
use crate::json::Value;
use crate::token::Token;

/// The format versions there are. The second has times, see [`crate::Step::at_ms`].
pub(crate) const FORMAT_VERSIONS: [u64; 2] = [1, 2];

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the format, 1 or 2.
    pub version: u64,
    /// The name of the file, without its ending.
    pub name: String,
    /// The topic area, such as `join`.
    pub area: String,
    /// What happens.
    pub title: String,
    /// What it is evidence of.
    pub shows: String,
    /// What it was recorded from.
    pub reference: Reference,
    /// Serializer versions that occur.
    pub vsn: Vec<String>,
    /// The profile of settings the tenant needs.
    pub tenant: String,
    /// Whether counters and settings have to be those of a newly started tenant.
    pub fresh_tenant: bool,
    /// Files with the same lock must not run at the same time.
    pub lock: Option<String>,
    /// Statements to run as superuser before the first step.
    pub setup: Vec<String>,
    /// Statements to run as superuser after the last step.
    pub teardown: Vec<String>,
    /// The tokens by name.
    pub jwt: BTreeMap<String, Token>,
    /// How long the recording took, a hint. Milliseconds.
    pub takes_ms: u64,
}

/// The server a conversation was recorded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which software.
    pub server: String,
    /// Its version.
    pub version: String,
    /// The commit of that version.
    pub commit: String,
}

impl Header {
    pub(crate) fn parse(value: &Value) -> Result<Self, Reason> {
        let mut fields = Fields::of(value)?;
        let version = fields.need_integer("transcript").map_err(|reason| {
            format!("{reason}: the first line of a transcript is its header, {{\"transcript\":1,\"name\":…}}")
        })?;
        if !FORMAT_VERSIONS.contains(&version) {
            return Err(format!(
                "format version {version} is unknown: 1 and 2 can be read; a newer program may know it"
            ));
        }
        let mut jwt = BTreeMap::new();
        for (name, token) in fields.members("jwt")? {
            let token = Token::parse(token).map_err(|reason| format!("token {name}: {reason}"))?;
            if jwt.insert(name.clone(), token).is_some() {
                return Err(format!("token {name} comes twice"));
            }
        }
        let header = Self {
            version,
            name: fields.need_text("name")?.to_owned(),
            area: fields.need_text("area")?.to_owned(),
            title: fields.need_text("title")?.to_owned(),
            shows: fields.need_text("shows")?.to_owned(),
            reference: Reference::parse(fields.need("reference")?)?,
            vsn: fields.texts("vsn")?,
            tenant: fields.need_text("tenant")?.to_owned(),
            fresh_tenant: fields.flag("fresh_tenant")?,
            lock: fields.text("lock")?.map(str::to_owned),
            setup: fields.texts("setup")?,
            teardown: fields.texts("teardown")?,
            jwt,
            takes_ms: fields.need_integer("takes_ms")?,
        };
        fields.finish()?;
        Ok(header)
    }
}

impl Reference {
    fn parse(value: &Value) -> Result<Self, Reason> {
        let mut fields = Fields::of(value)?;
        let reference = Self {
            server: fields.need_text("server")?.to_owned(),
            version: fields.need_text("version")?.to_owned(),
            commit: fields.need_text("commit")?.to_owned(),
        };
        fields.finish()?;
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"{"transcript":1,"name":"n","area":"a","title":"t","shows":"s",
        "reference":{"server":"x","version":"1","commit":"c"},"vsn":["2.0.0"],"tenant":"main","takes_ms":5}"#;

    fn with(more: &str) -> Result<Header, Reason> {
        let text = SMALLEST.replace("\"takes_ms\":5}", &format!("\"takes_ms\":5{more}}}"));
        Header::parse(&Value::parse(&text).unwrap())
    }

    #[test]
    fn what_is_left_out_is_off() {
        let header = with("").unwrap();
        assert_eq!(
            (header.name.as_str(), header.takes_ms, header.fresh_tenant),
            ("n", 5, false)
        );
        assert_eq!(
            (
                header.lock,
                header.setup.len(),
                header.teardown.len(),
                header.jwt.len()
            ),
            (None, 0, 0, 0)
        );
    }

    #[test]
    fn what_is_given_is_kept() {
        let header = with(
            r#","fresh_tenant":true,"lock":"l","setup":["a","b"],"teardown":["c"],"jwt":{"t":{"raw":"x"}}"#,
        )
        .unwrap();
        assert!(header.fresh_tenant);
        assert_eq!(header.lock.as_deref(), Some("l"));
        assert_eq!(
            (header.setup, header.teardown),
            (vec!["a".into(), "b".into()], vec!["c".to_owned()])
        );
        assert_eq!(header.jwt.get("t"), Some(&Token::Raw("x".into())));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for (more, reason) in [
            (r#","color":"red""#, "unknown key color"),
            (r#","jwt":{"t":{}}"#, "token t: claims is missing"),
            (r#","jwt":{"t":{"raw":""},"t":{"raw":""}}"#, "token t comes twice"),
            (
                r#","fresh_tenant":1"#,
                "fresh_tenant has to be a boolean, not a number",
            ),
        ] {
            assert_eq!(with(more).err(), Some(reason.into()));
        }
        let version = Value::parse(&SMALLEST.replace("\"transcript\":1", "\"transcript\":3")).unwrap();
        assert_eq!(
            Header::parse(&version).err(),
            Some("format version 3 is unknown: 1 and 2 can be read; a newer program may know it".into())
        );
    }
}
