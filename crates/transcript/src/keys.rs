//! What a replay has to be given, because it is not in the file: keys that nobody but their server knows, and the secret
//! that tokens are signed with.

use std::fmt;

use crate::format::Transcript;
use crate::token::{Algorithm, KeySource, Token};

/// A placeholder that nothing is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The file.
    pub file: String,
    /// The first line that has the placeholder.
    pub line: usize,
    /// What is lacking.
    pub what: Lacking,
}

/// What nothing is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// A key of this name, of which the file has the name only.
    Key(String),
    /// The signature of the token of this name.
    Signature(String),
    /// The secret itself.
    Secret,
}

impl Transcript {
    /// Names of the header's keys and tokens that stand for something the file does not have.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let jwt = self.header.jwt.iter();
        jwt.filter(|(name, token)| token.is_blank(name) || is_signed_by_tenant(token))
            .map(|(name, _)| name.as_str())
    }

    /// What is lacking if these keys are given and tokens can, or cannot, be signed; each with the first line that needs it.
    pub fn lacks(&self, is_given: impl Fn(&str) -> bool, has_secret: bool) -> Vec<Lack> {
        let lacking = self.header.jwt.iter().filter_map(|(name, token)| {
            if is_given(name) {
                None
            } else if token.is_blank(name) {
                Some(Lacking::Key(name.clone()))
            } else if !has_secret && is_signed_by_tenant(token) {
                Some(Lacking::Signature(name.clone()))
            } else {
                None
            }
        });
        let secret = (!has_secret).then_some(Lacking::Secret);
        lacking
            .chain(secret)
            .filter_map(|what| {
                let placeholder = what.placeholder();
                let (line, _) = self.lines().find(|(_, line)| line.contains(&placeholder))?;
                Some(Lack {
                    file: self.file.clone(),
                    line,
                    what,
                })
            })
            .collect()
    }
}

impl Lacking {
    /// What stands in the line.
    pub fn placeholder(&self) -> String {
        match self {
            Self::Key(name) | Self::Signature(name) => format!("${{jwt:{name}}}"),
            Self::Secret => "${secret}".to_owned(),
        }
    }
}

/// File, line, placeholder.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placeholder = self.what.placeholder();
        write!(f, "{}:{}: {placeholder} ", self.file, self.line)?;
        match &self.what {
            Lacking::Key(_) => f.write_str("stands for a key, which is not in the file"),
            Lacking::Signature(_) => f.write_str("stands for a token, which has to be signed or given"),
            Lacking::Secret => f.write_str("stands for the secret of tokens, which is not known"),
        }
    }
}

impl Token {
    /// What a file has in the place of a key of this name that nobody may read in it.
    pub fn blank(name: &str) -> String {
        format!("insert {name} here")
    }

    fn is_blank(&self, name: &str) -> bool {
        matches!(self, Self::Raw(text) if *text == Self::blank(name))
    }
}

fn is_signed_by_tenant(token: &Token) -> bool {
    matches!(
        token,
        Token::Claims { key: KeySource::Tenant, algorithm, .. } if *algorithm != Algorithm::None
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        r#"{"transcript":1,"name":"n","area":"a","title":"t","shows":"s","#,
        r#""reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":5,"jwt":{JWT}}"#
    );

    fn lacks(jwt: &str, step: &str, given: &[&str], has_secret: bool) -> Vec<String> {
        let text = format!("{}\n\n{step}", HEADER.replace("JWT", jwt));
        let transcript = Transcript::parse("n", &text).unwrap();
        let lacks = transcript.lacks(|name| given.contains(&name), has_secret);
        lacks
            .iter()
            .map(|lack| {
                assert_eq!((&*lack.file, lack.line), ("n", 3));
                lack.what.placeholder()
            })
            .collect()
    }

    #[test]
    fn a_token_needs_the_secret_of_the_tenant_or_is_given() {
        let step = r#"{"open":"a","params":{"apikey":"${jwt:t}"}}"#;
        let signed = r#""t":{"claims":{}}"#;
        assert_eq!(lacks(signed, step, &[], false), ["${jwt:t}"]);
        assert_eq!(lacks(signed, step, &["t"], false), [""; 0]);
        assert_eq!(lacks(signed, step, &[], true), [""; 0]);
        assert_eq!(lacks(signed, r#"{"open":"a"}"#, &[], false), [""; 0]);
        for other in [
            r#""t":{"claims":{},"secret":"x"}"#,
            r#""t":{"claims":{},"alg":"none"}"#,
            r#""t":{"raw":"x"}"#,
        ] {
            assert_eq!(lacks(other, step, &[], false), [""; 0], "{other}");
        }
        let secret = r#"{"open":"a","params":{"apikey":"${secret}"}}"#;
        assert_eq!(lacks("", secret, &["secret"], false), ["${secret}"]);
        assert_eq!(lacks("", secret, &[], true), [""; 0]);
    }

    #[test]
    fn a_key_that_is_not_in_the_file_has_to_be_given() {
        let step = r#"{"open":"a","params":{"apikey":"${jwt:k}","other":"${jwt:l}"}}"#;
        let jwt = r#""k":{"raw":"insert k here"},"l":{"raw":"insert k here"}"#;
        assert_eq!(lacks(jwt, step, &[], true), ["${jwt:k}"]);
        assert_eq!(lacks(jwt, step, &["k"], true), [""; 0]);
        assert_eq!(lacks(jwt, r#"{"open":"a"}"#, &[], true), [""; 0]);
    }

    #[test]
    fn a_lack_names_its_place() {
        let lack = Lack {
            file: "f.jsonl".into(),
            line: 2,
            what: Lacking::Key("k".into()),
        };
        assert_eq!(
            lack.to_string(),
            "f.jsonl:2: ${jwt:k} stands for a key, which is not in the file"
        );
    }
}
