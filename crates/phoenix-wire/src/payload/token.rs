//! Tokens clients send: with a join, and in `access_token` pushes. Source: protocol-spec/auth.md, sections 1 and 5.

use std::fmt;

use super::OPAQUE_KEY_PREFIX;
use crate::JsonText;
use crate::json;

/// Which token a channel runs on.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenChoice {
    /// The token of the connection.
    Connection,
    /// A token of its own. Any string, also an empty one, which then fails as malformed.
    Own(String),
}

impl fmt::Debug for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "Connection",
            Self::Own(_) => "Own(…)",
        })
    }
}

impl TokenChoice {
    /// Reads the text of a join payload.
    ///
    /// The first of `access_token` and `user_token` that is set decides whether an opaque key is meant; a token is
    /// taken from `user_token` first. That is as odd as it is in the reference.
    pub(super) fn parse(payload: &str) -> Self {
        let access = json::member(payload, "access_token").filter(|value| json::is_truthy(value));
        let user = json::member(payload, "user_token").filter(|value| json::is_truthy(value));
        let as_string = |value: Option<&str>| value.and_then(json::string).map(|text| text.into_owned());

        let is_opaque = as_string(access.or(user)).is_some_and(|token| token.starts_with(OPAQUE_KEY_PREFIX));
        if is_opaque {
            return TokenChoice::Connection;
        }
        as_string(user)
            .or_else(|| as_string(access))
            .map_or(TokenChoice::Connection, TokenChoice::Own)
    }
}

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

    fn choose(text: &str) -> Option<String> {
        match TokenChoice::parse(text) {
            TokenChoice::Connection => None,
            TokenChoice::Own(token) => Some(token),
        }
    }

    #[test]
    fn the_token_is_chosen_as_the_reference_chooses() {
        for (text, expected) in [
            (r#"{}"#, None),
            (r#"{"access_token":"a"}"#, Some("a")),
            (r#"{"user_token":"u"}"#, Some("u")),
            (r#"{"access_token":"a","user_token":"u"}"#, Some("u")),
            (r#"{"access_token":""}"#, Some("")),
            (r#"{"access_token":"sb_x"}"#, None),
            (r#"{"user_token":"sb_x"}"#, None),
            (r#"{"access_token":"sb_x","user_token":"u"}"#, None),
            (r#"{"access_token":"a","user_token":"sb_x"}"#, Some("sb_x")),
            (r#"{"access_token":null,"user_token":"sb_x"}"#, None),
            (r#"{"access_token":true}"#, None),
            (r#"{"access_token":7,"user_token":"u"}"#, Some("u")),
            (r#"{"access_token":"a","user_token":7}"#, Some("a")),
            (r#"{"access_token":null}"#, None),
        ] {
            assert_eq!(choose(text).as_deref(), expected, "{text}");
        }
    }

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
        assert_eq!(format!("{:?}", TokenChoice::Own("secret".to_owned())), "Own(…)");
    }
}
