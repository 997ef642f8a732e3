//! Keys of the newer kind, `sb_publishable_…` and `sb_secret_…`: not tokens, but names of a role.
//!
//! In front of the reference a gateway puts a token in their place; here they are given a role by configuration.

use std::sync::Arc;

use auth::{ClaimValidators, Keys, Secret};
use gateway::config::ApiKey;
use serde_json::{Map, json};

/// A key as a flag has it: `KEY=ROLE`. Roles have no `=`, keys may.
pub(crate) fn parse(text: &str) -> Result<ApiKey, String> {
    let (key, role) = text.rsplit_once('=').ok_or("KEY=ROLE is expected")?;
    api_key(key, role)
}

/// The key of a role.
///
/// # Errors
///
/// What is wrong with it. The key itself is not in the message.
pub(crate) fn api_key(key: &str, role: &str) -> Result<ApiKey, String> {
    if !key.starts_with(PREFIX) {
        return Err(format!("a key that begins with {PREFIX} is expected"));
    }
    if role.is_empty() {
        return Err("a role is expected".to_owned());
    }
    let claims = Map::from_iter([("role".to_owned(), json!(role)), ("exp".to_owned(), json!(NEVER))]);
    // Claims are what a token says, so there is one for a moment. Nobody else ever sees it.
    let secret = Secret::new("signs and verifies here alone");
    let token = auth::sign(&claims, &secret);
    let keys = Keys::new(Some(&secret), None).map_err(|error| error.to_string())?;
    let claims =
        auth::verify(&token, &keys, &ClaimValidators::default(), 0).map_err(|error| error.to_string())?;
    Ok(ApiKey {
        key: Secret::new(key),
        claims: Arc::new(claims),
    })
}

/// What tells a key from a token.
const PREFIX: &str = "sb_";
/// The end of the year 9999. Seconds since the Unix epoch.
const NEVER: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_for_a_role_and_nothing_else() {
        let key = parse("sb_secret_a=b==service_role").unwrap();
        assert_eq!(key.key.reveal(), "sb_secret_a=b=");
        assert_eq!(key.claims.role(), Some("service_role"));
        assert_eq!(key.claims.sub(), None);
        assert!(!format!("{key:?}").contains("sb_secret"));
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        for text in ["sb_secret_hidden", "hidden=anon", "sb_hidden="] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
