//! The payload of `access_token` pushes. Source: protocol-spec/auth.md, section 5.

use std::fmt;

use super::OPAQUE_KEY_PREFIX;
use crate::JsonText;
use crate::json;

/// What an `access_token` push says. None of them is ever answered.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenPush {
    /// Null or an opaque key: the channel keeps its token.
    Ignored,
    /// No `access_token`, or one that is no string: treated and counted as an unknown event.
    Unknown,
    /// A new token; also the empty string. To be ignored if it is the one the channel has.
    Token(String),
}

impl TokenPush {
    /// Reads an `access_token` push.
    pub fn parse(payload: &JsonText<'_>) -> Self {
        match json::member(payload.as_str(), "access_token") {
            Some("null") => Self::Ignored,
            Some(value) => match json::string(value) {
                Some(token) if token.starts_with(OPAQUE_KEY_PREFIX) => Self::Ignored,
                Some(token) => Self::Token(token.into_owned()),
                None => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }
}

impl fmt::Debug for TokenPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignored => "Ignored",
            Self::Unknown => "Unknown",
            Self::Token(_) => "Token(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strings_that_are_no_opaque_keys_are_tokens() {
        for (text, push) in [
            (
                r#"{"access_token":"a.b.c"}"#,
                TokenPush::Token("a.b.c".to_owned()),
            ),
            (r#"{"access_token":""}"#, TokenPush::Token(String::new())),
            (r#"{"access_token":null}"#, TokenPush::Ignored),
            (r#"{"access_token":"sb_publishable_x"}"#, TokenPush::Ignored),
            (r#"{"access_token":"sb_"}"#, TokenPush::Ignored),
            (r#"{"access_token":7}"#, TokenPush::Unknown),
            (r#"{"access_token":false}"#, TokenPush::Unknown),
            ("{}", TokenPush::Unknown),
            (r#""access_token""#, TokenPush::Unknown),
        ] {
            assert_eq!(
                TokenPush::parse(&json::check(text.as_bytes()).unwrap()),
                push,
                "{text}"
            );
        }
    }

    #[test]
    fn debug_output_shows_no_token() {
        assert_eq!(format!("{:?}", TokenPush::Token("secret".to_owned())), "Token(…)");
    }
}
