//! `roost token`, and the tokens `roost dev` prints.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::Secret;
use serde_json::{Map, Value, json};

use crate::cli::TokenArgs;
use crate::environment::Environment;
use crate::kept::Kept;

pub(crate) fn run(args: &TokenArgs, environment: &Environment) -> Result<(), Box<dyn Error>> {
    let given = args
        .jwt_secret
        .as_deref()
        .or_else(|| environment.get("API_JWT_SECRET"))
        .map(Secret::new);
    let secret = given
        .or_else(|| Kept::secret_in(&args.data_dir))
        .ok_or("--jwt-secret (or JWT_SECRET) is needed to sign a token")?;
    if secret.reveal().is_empty() {
        return Err("--jwt-secret: an empty secret signs nothing a server would take".into());
    }
    let mut claims: Map<String, Value> = args.claims.iter().cloned().collect();
    if let Some(sub) = &args.sub {
        claims.insert("sub".to_owned(), json!(sub));
    }
    println!("{}", sign(&args.role, args.expires_in, claims, &secret));
    Ok(())
}

/// A token with these claims and the usual ones.
pub(crate) fn sign(
    role: &str,
    expires_in: Duration,
    mut claims: Map<String, Value>,
    secret: &Secret,
) -> String {
    let now = now();
    let exp = now.saturating_add(i64::try_from(expires_in.as_secs()).unwrap_or(i64::MAX));
    let usual = [
        ("iss", json!("roost")),
        ("role", json!(role)),
        ("iat", json!(now)),
        ("exp", json!(exp)),
    ];
    for (name, value) in usual {
        claims.entry(name).or_insert(value);
    }
    auth::sign(&claims, secret)
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Reads `name=value`; a value that is no JSON is text.
pub(crate) fn parse_claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a claim is NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_json_or_text() {
        assert_eq!(parse_claim("n=1"), Ok(("n".to_owned(), json!(1))));
        assert_eq!(parse_claim("a=b=c"), Ok(("a".to_owned(), json!("b=c"))));
        assert_eq!(
            parse_claim(r#"app={"x":[true]}"#),
            Ok(("app".to_owned(), json!({"x": [true]})))
        );
        assert!(parse_claim("a").is_err());
    }

    #[test]
    fn a_printed_token_verifies() {
        let secret = Secret::new("a secret of some length, for tests");
        let token = sign(
            "anon",
            Duration::from_secs(60),
            Map::from_iter([("sub".to_owned(), json!("me"))]),
            &secret,
        );
        let keys = auth::Keys::new(Some(&secret), None).expect("a secret is a key");
        let claims = auth::verify(&token, &keys, &auth::ClaimValidators::default(), now()).expect("fresh");
        assert_eq!((claims.role(), claims.sub()), (Some("anon"), Some("me")));
    }
}
