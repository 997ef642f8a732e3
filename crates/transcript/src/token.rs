//! Tokens as data: what is to be signed, with what, and how. Source: FORMAT.md, "Tokens".

use crate::fields::{Fields, Reason};
use crate::json::Value;
use crate::number::Number;

/// One token of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// The token is this text.
    Raw(String),
    /// Claims to be signed.
    Claims {
        /// As they are written, times unresolved; an object.
        claims: Value,
        /// The signature algorithm.
        algorithm: Algorithm,
        /// Put into the token's header.
        kid: Option<String>,
        /// What signs.
        key: KeySource,
    },
}

/// The `alg` of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Es256,
    EdDsa,
    None,
}

/// Where the key of a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The secret of the tenant.
    Tenant,
    /// The secret of the admin API.
    Admin,
    /// This text.
    Text(String),
    /// The key of this name in `fixtures/keys.json`.
    Fixture(String),
}

impl Token {
    pub(crate) fn parse(value: &Value) -> Result<Self, Reason> {
        let mut fields = Fields::of(value)?;
        if let Some(raw) = fields.text("raw")? {
            fields.finish()?;
            return Ok(Self::Raw(raw.to_owned()));
        }
        let claims = fields.need("claims")?.clone();
        if claims.as_object().is_none() {
            return Err(format!("claims have to be an object, not {}", claims.kind()));
        }
        let algorithm = match fields.text("alg")? {
            None => Algorithm::Hs256,
            Some(name) => Algorithm::named(name).ok_or_else(|| format!("unknown algorithm {name}"))?,
        };
        let kid = fields.text("kid")?.map(str::to_owned);
        let key = match (fields.text("key")?, fields.text("secret")?) {
            (None, None) => KeySource::Tenant,
            (None, Some("admin")) => KeySource::Admin,
            (None, Some(text)) => KeySource::Text(text.to_owned()),
            (Some(name), None) => KeySource::Fixture(name.to_owned()),
            (Some(_), Some(_)) => return Err("key and secret exclude each other".into()),
        };
        fields.finish()?;
        Ok(Self::Claims {
            claims,
            algorithm,
            kid,
            key,
        })
    }
}

impl Algorithm {
    /// As a token's header writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::None => "none",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [
            Self::Hs256,
            Self::Hs384,
            Self::Hs512,
            Self::Rs256,
            Self::Es256,
            Self::EdDsa,
            Self::None,
        ]
        .into_iter()
        .find(|algorithm| algorithm.name() == name)
    }
}

/// Claims with `"now"`, `"now+60"` and `"now-5"` as seconds since the epoch.
pub fn claims_at(claims: &Value, unix_s: i64) -> Value {
    match claims {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), claim_at(value, unix_s)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn claim_at(value: &Value, unix_s: i64) -> Value {
    let offset = match value.as_str().and_then(|text| text.strip_prefix("now")) {
        Some("") => Some(0),
        Some(offset) if offset.starts_with(['+', '-']) => offset.parse::<i64>().ok(),
        _ => None,
    };
    match offset {
        Some(offset) => Number::from(unix_s.saturating_add(offset)).into(),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Token, Reason> {
        Token::parse(&Value::parse(text).unwrap())
    }

    #[test]
    fn claims_are_signed_with_the_secret_of_the_tenant_unless_told_otherwise() {
        let claims = Value::parse("{}").unwrap();
        let token = |algorithm, kid: Option<&str>, key| {
            Ok(Token::Claims {
                claims: claims.clone(),
                algorithm,
                kid: kid.map(str::to_owned),
                key,
            })
        };
        assert_eq!(
            parse(r#"{"claims":{}}"#),
            token(Algorithm::Hs256, None, KeySource::Tenant)
        );
        assert_eq!(
            parse(r#"{"claims":{},"alg":"EdDSA","key":"ed","kid":"ed-1"}"#),
            token(Algorithm::EdDsa, Some("ed-1"), KeySource::Fixture("ed".into()))
        );
        assert_eq!(
            parse(r#"{"claims":{},"secret":"admin"}"#),
            token(Algorithm::Hs256, None, KeySource::Admin)
        );
        assert_eq!(
            parse(r#"{"claims":{},"secret":"hush","alg":"HS512"}"#),
            token(Algorithm::Hs512, None, KeySource::Text("hush".into()))
        );
        assert_eq!(
            parse(r#"{"claims":{},"alg":"none"}"#),
            token(Algorithm::None, None, KeySource::Tenant)
        );
        assert_eq!(parse(r#"{"raw":"a.b"}"#), Ok(Token::Raw("a.b".into())));
    }

    #[test]
    fn what_cannot_be_signed_is_refused() {
        for (text, reason) in [
            ("{}", "claims is missing"),
            (r#"{"claims":[]}"#, "claims have to be an object, not an array"),
            (r#"{"claims":{},"alg":"HS1"}"#, "unknown algorithm HS1"),
            (
                r#"{"claims":{},"key":"a","secret":"b"}"#,
                "key and secret exclude each other",
            ),
            (r#"{"raw":"a","claims":{}}"#, "unknown key claims"),
            (r#"{"claims":{},"typ":"x"}"#, "unknown key typ"),
        ] {
            assert_eq!(parse(text), Err(reason.into()));
        }
    }

    #[test]
    fn times_are_relative_to_the_replay() {
        let claims = Value::parse(
            r#"{"exp":"now+60","nbf":"now-5","iat":"now","sub":"nowhere","a":"now+","b":"now+x","role":"anon","n":1.0}"#,
        )
        .unwrap();
        assert_eq!(
            claims_at(&claims, 1000).to_string(),
            r#"{"exp":1060,"nbf":995,"iat":1000,"sub":"nowhere","a":"now+","b":"now+x","role":"anon","n":1.0}"#
        );
    }
}
