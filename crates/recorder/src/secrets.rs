//! Tokens and keys, and the names that stand for them in the file.
//!
//! A token that is a JWT is kept as its claims, without its signature, so that a replay signs one of its own: `alg` is
//! kept if a shared secret signs it, and otherwise left to the replay, whose tenant has no other key. A key that cannot be
//! looked into (`sb_publishable_…`, `sb_secret_…`, or whatever stood where a key has to be) is kept as its name alone; a
//! replay is given it.
//!
//! Invariant: what was found to be a secret never leaves this file but as a placeholder.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use transcript::{Number, Token, Value};

/// Secrets that get a name of their own; more of them share one.
pub(crate) const SECRETS_MAX: usize = 10_000;

/// The secrets seen so far.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// From the text of a secret to its name.
    names: HashMap<String, String>,
    /// How many names there are with each beginning.
    counts: HashMap<String, usize>,
    /// What the header says of each, in the order they were seen.
    entries: Vec<(String, Value)>,
}

/// Claims of a token, as far as it can be read.
pub(crate) struct Claims {
    algorithm: Option<&'static str>,
    pub(crate) claims: Vec<(String, Value)>,
}

impl Secrets {
    /// What stands for a text that has been seen.
    pub(crate) fn placeholder(&self, secret: &str) -> Option<String> {
        self.names.get(secret).map(|name| format!("${{jwt:{name}}}"))
    }

    /// Takes in a token with its claims, which may have been redacted; what stands for it.
    pub(crate) fn add_token(&mut self, token: &str, claims: Claims, unix_s: i64) -> String {
        let role = claims.claims.iter().find(|(name, _)| name == "role");
        let base = match role.and_then(|(_, role)| role.as_str()) {
            Some("authenticated") => "user",
            Some(role) if is_name(role) => role,
            _ => "token",
        }
        .to_owned();
        let relative = claims
            .claims
            .into_iter()
            .map(|(name, value)| match (&name[..], &value) {
                ("exp" | "iat" | "nbf", Value::Number(number)) => {
                    let value = relative(number, unix_s).map_or(value, Value::String);
                    (name, value)
                }
                _ => (name, value),
            });
        let mut members = vec![("claims".to_owned(), Value::Object(relative.collect()))];
        members.extend(claims.algorithm.map(|name| ("alg".to_owned(), name.into())));
        self.add(token, &base, |_| Value::Object(members))
    }

    /// Takes in a key that cannot be looked into; what stands for it.
    pub(crate) fn add_key(&mut self, key: &str) -> String {
        let base = KEY_KINDS
            .iter()
            .find(|kind| key.starts_with(**kind))
            .map_or("key", |kind| kind.trim_end_matches('_'));
        self.add(key, base, |name| {
            Value::Object(vec![("raw".to_owned(), Value::String(Token::blank(name)))])
        })
    }

    /// The member `jwt` of the header.
    pub(crate) fn header(&self) -> Value {
        Value::Object(self.entries.clone())
    }

    /// Names of the keys a replay has to be given.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.get("raw").is_some());
        keys.map(|(name, _)| name.as_str())
    }

    fn add(&mut self, secret: &str, base: &str, entry: impl FnOnce(&str) -> Value) -> String {
        if let Some(placeholder) = self.placeholder(secret) {
            return placeholder;
        }
        if self.entries.len() >= SECRETS_MAX {
            return self
                .entries
                .last()
                .map_or_else(String::new, |(name, _)| format!("${{jwt:{name}}}"));
        }
        let count = self.counts.entry(base.to_owned()).or_default();
        *count += 1;
        let name = match count {
            1 => base.to_owned(),
            count => format!("{base}{count}"),
        };
        self.entries.push((name.clone(), entry(&name)));
        let placeholder = format!("${{jwt:{name}}}");
        self.names.insert(secret.to_owned(), name);
        placeholder
    }
}

/// A stretch of a text that is a secret by its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The first secret in a text: a JWT, or a key of the newer kind.
pub(crate) fn find(text: &str) -> Option<Found> {
    let jwt = starts(text, "eyJ").find_map(|start| {
        let rest = text.get(start..)?;
        let end = rest.find(|c| !is_of_jwt(c)).unwrap_or(rest.len());
        let run = rest.get(..end)?;
        let mut dots = run.match_indices('.').map(|(at, _)| at).skip(1);
        // Whatever follows a third dot is not of it.
        dots.next()?;
        let end = dots.next().unwrap_or(end);
        claims_of(rest.get(..end)?)?;
        Some(Found {
            start,
            end: start + end,
        })
    });
    let key = KEY_KINDS
        .iter()
        .flat_map(|kind| starts(text, kind))
        .min()
        .and_then(|start| {
            let rest = text.get(start..)?;
            let end = rest.find(|c| c == '.' || !is_of_jwt(c)).unwrap_or(rest.len());
            Some(Found {
                start,
                end: start + end,
            })
        });
    match (jwt, key) {
        (Some(jwt), Some(key)) if key.start < jwt.start => Some(key),
        (jwt, key) => jwt.or(key),
    }
}

/// The claims of a JWT; `None` if the text is none.
pub(crate) fn claims_of(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let mut decoded = || {
        let part = parts.next()?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        Value::parse_bytes(&bytes).ok()
    };
    let (header, claims) = (decoded()?, decoded()?);
    let algorithm = header.get("alg")?.as_str()?;
    let kept = ["HS384", "HS512", "none"];
    parts.next()?;
    Some(Claims {
        algorithm: kept.into_iter().find(|kept| *kept == algorithm),
        claims: claims.as_object()?.to_vec(),
    })
}

/// Puts `x` in the place of secrets, so that a text whose placeholders nobody replaces has none.
pub(crate) fn blot(bytes: &[u8]) -> Vec<u8> {
    // Byte by byte a character, so that places in one are places in the other.
    let mut blotted: String = bytes
        .iter()
        .map(|byte| if byte.is_ascii() { char::from(*byte) } else { ' ' })
        .collect();
    let mut out = bytes.to_vec();
    while let Some(Found { start, end }) = find(&blotted) {
        let crosses = "x".repeat(end - start);
        blotted.replace_range(start..end, &crosses);
        if let Some(place) = out.get_mut(start..end) {
            place.copy_from_slice(crosses.as_bytes());
        }
    }
    out
}

fn starts<'t>(text: &'t str, beginning: &str) -> impl Iterator<Item = usize> + use<'t> {
    let beginning = beginning.to_owned();
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text.get(from..)?.find(&beginning)?;
        from = at + 1;
        Some(at)
    })
}

fn is_of_jwt(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=')
}

/// Fit for a placeholder.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A time as a replay reads it: `now+60`.
fn relative(number: &Number, unix_s: i64) -> Option<String> {
    let offset = number.as_str().parse::<i64>().ok()?.checked_sub(unix_s)?;
    Some(match offset {
        0 => "now".to_owned(),
        offset => format!("now{offset:+}"),
    })
}

/// How keys of the newer kind begin.
const KEY_KINDS: [&str; 2] = ["sb_publishable_", "sb_secret_"];

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(header: &str, claims: &str) -> String {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(claims))
    }

    fn hs256(claims: &str) -> String {
        jwt(r#"{"alg":"HS256","typ":"JWT"}"#, claims)
    }

    #[test]
    fn a_token_is_kept_as_its_claims_with_times_of_the_replay() {
        let mut secrets = Secrets::default();
        for (token, placeholder) in [
            (
                hs256(r#"{"role":"anon","iat":900,"exp":1060,"nbf":1000,"n":1.50}"#),
                "${jwt:anon}",
            ),
            (hs256(r#"{"role":"authenticated","sub":"u"}"#), "${jwt:user}"),
            (
                jwt(r#"{"alg":"ES256","kid":"k"}"#, r#"{"role":"authenticated"}"#),
                "${jwt:user2}",
            ),
            (jwt(r#"{"alg":"HS512"}"#, r#"{"role":"a b"}"#), "${jwt:token}"),
        ] {
            let claims = claims_of(&token).unwrap();
            assert_eq!(secrets.add_token(&token, claims, 1000), placeholder);
            assert_eq!(secrets.placeholder(&token).as_deref(), Some(placeholder));
        }
        assert_eq!(
            secrets.header().to_string(),
            concat!(
                r#"{"anon":{"claims":{"role":"anon","iat":"now-100","exp":"now+60","nbf":"now","n":1.50}},"#,
                r#""user":{"claims":{"role":"authenticated","sub":"u"}},"user2":{"claims":{"role":"authenticated"}},"#,
                r#""token":{"claims":{"role":"a b"},"alg":"HS512"}}"#,
            )
        );
    }

    #[test]
    fn a_key_is_kept_as_its_name() {
        let mut secrets = Secrets::default();
        let placeholders: Vec<_> = [
            "sb_publishable_abc",
            "sb_secret_abc",
            "sb_secret_def",
            "hush",
            "hush",
        ]
        .iter()
        .map(|key| secrets.add_key(key))
        .collect();
        assert_eq!(
            placeholders,
            [
                "${jwt:sb_publishable}",
                "${jwt:sb_secret}",
                "${jwt:sb_secret2}",
                "${jwt:key}",
                "${jwt:key}"
            ]
        );
        let header = secrets.header().to_string();
        assert!(!header.contains("abc") && !header.contains("hush"), "{header}");
        assert_eq!(secrets.keys().count(), 4);
    }

    #[test]
    fn secrets_are_found_by_their_looks() {
        let token = hs256("{}");
        for (text, found) in [
            (format!("Bearer {token}"), Some((7, 7 + token.len()))),
            (format!("a={token}&b=1"), Some((2, 2 + token.len()))),
            (format!("{token}.more"), Some((0, token.len()))),
            ("eyJ.eyJ.x".to_owned(), None),
            (
                format!("{}é", token.trim_end_matches("c2ln")),
                Some((0, token.len() - 4)),
            ),
            ("x sb_secret_a-b_c! sb_publishable_d".to_owned(), Some((2, 17))),
            ("nothing".to_owned(), None),
        ] {
            assert_eq!(find(&text).map(|found| (found.start, found.end)), found, "{text}");
        }
        let text = format!("\u{fffd}{token}{token} sb_secret_x");
        let blotted = String::from_utf8(blot(text.as_bytes())).unwrap();
        assert_eq!(blotted.len(), text.len());
        assert!(
            find(&blotted).is_none() && blotted.starts_with('\u{fffd}'),
            "{blotted}"
        );
    }

    #[test]
    fn names_do_not_grow_without_bound() {
        let mut secrets = Secrets::default();
        for number in 0..SECRETS_MAX + 5 {
            secrets.add_key(&format!("k{number}"));
        }
        assert_eq!(secrets.entries.len(), SECRETS_MAX);
        assert_eq!(secrets.add_key("one more"), format!("${{jwt:key{SECRETS_MAX}}}"));
    }
}
