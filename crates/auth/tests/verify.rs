//! Which tokens are accepted, and how the others fail.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use auth::{ClaimValidators, Claims, Keys, Secret, VerifyError, sign, verify};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const SECRET: &str = "a-secret-of-the-tenant-32-bytes!";
const NOW: i64 = 1_800_000_000;
const LATER: i64 = 2_110_853_787;

fn secret() -> Secret {
    Secret::new(SECRET)
}

fn with_secret() -> Keys {
    Keys::new(Some(&secret()), None).unwrap()
}

/// The secret, and a set of the public halves of `fixtures/keys.json`.
fn with_key_set() -> Keys {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/keys.json")).unwrap();
    let public = |jwk: &Value| {
        let mut jwk = jwk.as_object().unwrap().clone();
        jwk.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
        Value::Object(jwk)
    };
    let keys: Vec<Value> = fixture["keys"]
        .as_object()
        .unwrap()
        .values()
        .map(public)
        .collect();
    Keys::new(Some(&secret()), Some(&json!({ "keys": keys }))).unwrap()
}

fn fixture(name: &str) -> String {
    let tokens: Value = serde_json::from_str(include_str!("fixtures/tokens.json")).unwrap();
    tokens[name].as_str().unwrap().to_owned()
}

fn signed(claims: Value) -> String {
    let Value::Object(claims) = claims else {
        panic!("claims are an object")
    };
    sign(&claims, &secret())
}

/// A token whose claims are this text, signed with HS256; `header` replaces the usual one.
fn signed_text(header: &str, claims: &str) -> String {
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn claims_text(claims: &str) -> Result<Claims, VerifyError> {
    plain(&signed_text(r#"{"alg":"HS256"}"#, claims))
}

fn plain(token: &str) -> Result<Claims, VerifyError> {
    verify(token, &with_secret(), &ClaimValidators::default(), NOW)
}

fn unknown_key(kid: &str) -> VerifyError {
    VerifyError::UnknownKey { kid: kid.to_owned() }
}

fn invalid(claim: &str) -> VerifyError {
    VerifyError::InvalidClaim {
        claim: claim.to_owned(),
    }
}

#[test]
fn every_supported_algorithm_verifies_against_the_key_set() {
    let keys = with_key_set();
    for name in [
        "HS256 oct",
        "HS384 oct",
        "HS512 oct",
        "RS256 rsa",
        "RS384 rsa",
        "RS512 rsa",
        "ES256 ec",
        "ES384 p384",
        "ES512 p521",
        "EdDSA ed",
        "Ed25519 ed",
    ] {
        let claims = verify(&fixture(name), &keys, &ClaimValidators::default(), NOW);
        assert_eq!(claims.map(|claims| claims.exp()), Ok(LATER), "{name}");
    }
}

#[test]
fn one_changed_byte_of_the_message_breaks_every_signature() {
    let keys = with_key_set();
    for name in [
        "HS256 oct",
        "RS256 rsa",
        "ES256 ec",
        "ES384 p384",
        "ES512 p521",
        "EdDSA ed",
    ] {
        let token = fixture(name);
        let (header, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"role":"root","exp":2110853787}"#);
        let forged = format!("{header}.{claims}.{signature}");
        let outcome = verify(&forged, &keys, &ClaimValidators::default(), NOW);
        assert_eq!(outcome, Err(VerifyError::Signature), "{name}");
    }
}

#[test]
fn a_key_is_found_by_id_and_kind_or_not_at_all() {
    let keys = with_key_set();
    for (name, expected) in [
        ("RS256 rsa, unknown kid", unknown_key("rsa-9")),
        ("RS256 rsa, no kid", VerifyError::NoSigner),
        ("RS256 rsa, kid of ec", unknown_key("ec-1")),
        ("RS256 rsa, RS512 signature", VerifyError::Signature),
        ("ES256 p384", VerifyError::Signature),
        ("EdDSA ed448", VerifyError::NoSigner),
        ("Ed448 ed448", VerifyError::NoSigner),
    ] {
        assert_eq!(
            verify(&fixture(name), &keys, &ClaimValidators::default(), NOW),
            Err(expected),
            "{name}"
        );
    }
}

#[test]
fn without_a_key_set_only_the_secret_verifies() {
    assert_eq!(plain(&fixture("RS256 rsa")), Err(VerifyError::NoSigner));
    assert_eq!(plain(&fixture("EdDSA ed")), Err(VerifyError::NoSigner));
    assert_eq!(plain(&fixture("HS256 oct")), Err(VerifyError::Signature));
    let keyless = Keys::new(None, None).unwrap();
    let token = signed(json!({"role": "anon", "exp": LATER}));
    assert_eq!(
        verify(&token, &keyless, &ClaimValidators::default(), NOW),
        Err(VerifyError::NoSigner)
    );
}

#[test]
fn an_hmac_token_with_an_id_the_set_lacks_falls_back_to_the_secret() {
    for header in [
        r#"{"alg":"HS256","kid":"of-nobody"}"#,
        r#"{"alg":"HS256","kid":"rsa-1"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256"}"#,
    ] {
        let token = signed_text(header, r#"{"role":"anon","exp":2110853787}"#);
        let outcome = verify(&token, &with_key_set(), &ClaimValidators::default(), NOW);
        assert_eq!(outcome.map(|claims| claims.exp()), Ok(LATER), "{header}");
    }
}

#[test]
fn an_hmac_key_that_is_no_base64_is_a_signer_error_and_one_that_is_no_text_falls_back() {
    let token = signed_text(
        r#"{"alg":"HS256","kid":"one"}"#,
        r#"{"role":"anon","exp":2110853787}"#,
    );
    let outcome = |k: Value| {
        let set = json!({"keys": [{"kty": "oct", "kid": "one", "k": k}]});
        let keys = Keys::new(Some(&secret()), Some(&set)).unwrap();
        verify(&token, &keys, &ClaimValidators::default(), NOW).map(|claims| claims.exp())
    };
    assert_eq!(outcome(json!("!!")), Err(unknown_key("one")));
    assert_eq!(outcome(json!("")), Err(unknown_key("one")));
    assert_eq!(outcome(json!(7)), Ok(LATER));
}

#[test]
fn other_algorithms_have_no_signer() {
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"PS256","kid":"rsa-1"}"#,
        r#"{"alg":"hs256"}"#,
        r#"{"alg":null}"#,
        r#"{"kid":"rsa-1"}"#,
        "{}",
    ] {
        let token = signed_text(header, r#"{"role":"anon","exp":2110853787}"#);
        let outcome = verify(&token, &with_key_set(), &ClaimValidators::default(), NOW);
        assert_eq!(outcome, Err(VerifyError::NoSigner), "{header}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    for token in [
        "",
        "x",
        "a.b.c",
        "sb_publishable_x",
        "..",
        "e30.e30",
        "e30.e30.e30.e30",
        "e30.bm8.e30",
        "ä.ä.ä",
    ] {
        assert_eq!(plain(token), Err(VerifyError::Malformed), "{token}");
    }
    assert_eq!(
        plain("bm8.e30.x"),
        Err(VerifyError::Malformed),
        "a header that is no JSON"
    );
    assert_eq!(
        plain("e30.gICA.x"),
        Err(VerifyError::Malformed),
        "claims that are no UTF-8"
    );
}

#[test]
fn header_and_claims_that_are_no_objects_are_told_apart_from_malformed_ones() {
    assert_eq!(claims_text("[]"), Err(invalid("claims")));
    assert_eq!(claims_text("null"), Err(invalid("claims")));
    assert_eq!(plain(&signed_text("[]", "{}")), Err(invalid("header")));
}

#[test]
fn a_token_may_be_escaped_broken_into_lines_and_padded() {
    let token = signed(json!({"role": "anon", "exp": LATER}));
    let escaped = token.replace('.', "%2E");
    let (start, end) = token.split_at(20);
    let broken = format!("  {start}\r\n\t{end}%0a");
    let padded = signed_text(r#"{"alg":"HS256"}"#, r#"{"role":"anon","exp":2110853787} "#);
    for token in [&token, &escaped, &broken, &padded] {
        assert_eq!(plain(token).map(|claims| claims.exp()), Ok(LATER), "{token}");
    }
    assert_eq!(plain(&format!("{token}%")), Err(VerifyError::BadEscape));
}

#[test]
fn a_signature_with_another_secret_fails_before_the_claims_are_looked_at() {
    let claims = json!({"exp": 1}).as_object().unwrap().clone();
    assert_eq!(
        plain(&sign(&claims, &Secret::new("another"))),
        Err(VerifyError::Signature)
    );
    assert_eq!(
        plain(&sign(&claims, &secret())),
        Err(VerifyError::Expired { seconds_ago: NOW - 1 })
    );
}

#[test]
fn a_token_is_expired_from_the_second_its_exp_names() {
    let outcome = |exp: i64| plain(&signed(json!({"role": "anon", "exp": exp}))).map(|claims| claims.exp());
    assert_eq!(outcome(NOW + 1), Ok(NOW + 1));
    assert_eq!(outcome(NOW), Err(VerifyError::Expired { seconds_ago: 0 }));
    assert_eq!(outcome(NOW - 5), Err(VerifyError::Expired { seconds_ago: 5 }));
    assert_eq!(
        outcome(i64::MIN),
        Err(VerifyError::Expired {
            seconds_ago: i64::MAX
        })
    );
}

#[test]
fn exp_is_a_number_and_an_expired_fraction_is_no_plain_expiry() {
    assert_eq!(
        claims_text(r#"{"role":"anon","exp":"2110853787"}"#),
        Err(invalid("exp"))
    );
    assert_eq!(claims_text(r#"{"role":"anon","exp":null}"#), Err(invalid("exp")));
    assert_eq!(
        claims_text(r#"{"role":"anon","exp":1600000000.5}"#),
        Err(invalid("exp"))
    );
    assert_eq!(
        claims_text(r#"{"role":"anon","exp":18446744073709551615}"#)
            .unwrap()
            .exp(),
        i64::MAX
    );
    assert_eq!(
        claims_text(r#"{"role":"anon","exp":1e300}"#).unwrap().exp(),
        i64::MAX
    );
}

#[test]
fn fractions_of_exp_and_iat_are_rounded_in_the_claims() {
    let claims = claims_text(r#"{"role":"anon","iat":1.7e9,"exp":2110853787.5,"n":1.50}"#).unwrap();
    assert_eq!(claims.exp(), LATER + 1);
    assert_eq!(
        claims.json(),
        r#"{"exp":2110853788,"iat":1700000000,"n":1.50,"role":"anon"}"#
    );
}

#[test]
fn iat_is_a_number_if_it_is_there_and_nbf_is_not_looked_at() {
    assert_eq!(
        claims_text(r#"{"role":"anon","exp":2110853787,"iat":"yesterday"}"#),
        Err(invalid("iat"))
    );
    assert!(claims_text(r#"{"role":"anon","exp":2110853787,"iat":99999999999}"#).is_ok());
    assert!(claims_text(r#"{"role":"anon","exp":2110853787,"nbf":2110853000}"#).is_ok());
}

#[test]
fn role_and_exp_must_be_there_and_are_asked_for_last() {
    for claims in ["{}", r#"{"role":"anon"}"#, r#"{"sub":"x","exp":2110853787}"#] {
        assert_eq!(claims_text(claims), Err(VerifyError::MissingClaims), "{claims}");
    }
    assert_eq!(claims_text(r#"{"iat":"x"}"#), Err(invalid("iat")));
    assert_eq!(
        claims_text(r#"{"exp":1}"#),
        Err(VerifyError::Expired { seconds_ago: NOW - 1 })
    );
}

#[test]
fn a_role_that_is_no_text_verifies_but_is_no_role() {
    for role in ["null", "\"\"", "7", "[\"anon\"]"] {
        let claims = claims_text(&format!(r#"{{"role":{role},"sub":7,"exp":2110853787}}"#)).unwrap();
        assert_eq!((claims.role(), claims.sub()), (None, None), "{role}");
    }
    let claims = claims_text(r#"{"role":"an\u006fn","sub":"","exp":2110853787}"#).unwrap();
    assert_eq!((claims.role(), claims.sub()), (Some("anon"), Some("")));
}

#[test]
fn claims_are_kept_verbatim_but_for_duplicates_of_which_the_first_counts() {
    let text = r#"{"role":"anon", "exp":2110853787,"big":12345678901234567890123,"n":1.50}"#;
    assert_eq!(claims_text(text).unwrap().json(), text);
    let claims = claims_text(r#"{"role":"anon","exp":2110853787,"role":"service_role"}"#).unwrap();
    assert_eq!(claims.role(), Some("anon"));
    assert_eq!(claims.json(), r#"{"exp":2110853787,"role":"anon"}"#);
}

#[test]
fn validators_hold_claims_that_are_there_to_a_value() {
    let validators = ClaimValidators::parse(r#"{"iss":"me","aud":["a","b"],"level":2}"#).unwrap();
    let outcome = |claims: Value| {
        let mut all = json!({"role": "anon", "exp": LATER});
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        verify(&signed(all), &with_secret(), &validators, NOW).map(|_| ())
    };
    assert_eq!(outcome(json!({})), Ok(()));
    assert_eq!(
        outcome(json!({"iss": "me", "aud": ["a", "b"], "level": 2.0})),
        Ok(())
    );
    assert_eq!(outcome(json!({"iss": "you"})), Err(invalid("iss")));
    assert_eq!(outcome(json!({"aud": "a"})), Err(invalid("aud")));
    assert_eq!(outcome(json!({"iss": null})), Err(invalid("iss")));
    assert_eq!(
        outcome(json!({"aud": "a", "exp": 1})),
        Err(invalid("aud")),
        "first by name"
    );
    assert_eq!(
        outcome(json!({"iss": "x", "exp": NOW})),
        Err(VerifyError::Expired { seconds_ago: 0 })
    );
}

#[test]
fn debug_of_claims_shows_nothing_personal() {
    let claims = plain(&signed(
        json!({"role": "anon", "exp": LATER, "email": "a@example.com"}),
    ))
    .unwrap();
    assert_eq!(
        format!("{claims:?}"),
        r#"Claims { role: Some("anon"), exp: 2110853787, .. }"#
    );
}

proptest! {
    #[test]
    fn no_text_makes_verification_panic(token in ".*") {
        let _ = verify(&token, &with_key_set(), &ClaimValidators::default(), NOW);
    }

    #[test]
    fn nothing_shaped_like_a_token_makes_verification_panic(
        alg in "(HS256|HS512|RS256|ES256|ES512|EdDSA|Ed448|none|x)",
        kid in "(rsa-1|ec-1|p384-1|p521-1|ed-1|ed448-1|oct-1|other)",
        claims in "\\{(\"exp\":-?[0-9]{1,40}(\\.[0-9]{1,3})?(e[0-9]{1,3})?)?(,\"role\":(\"x\"|null))?\\}|.*",
        signature in "[A-Za-z0-9_-]{0,200}|.*",
    ) {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.{signature}", encode(&header), encode(&claims));
        prop_assert!(verify(&token, &with_key_set(), &ClaimValidators::default(), NOW).is_err());
        let _ = claims_text(&claims);
    }

    #[test]
    fn what_is_signed_verifies(name in "[a-z]{1,8}", value in ".*", exp in NOW + 1..LATER) {
        let mut claims = Map::new();
        claims.insert(name, value.into());
        claims.insert("role".to_owned(), "anon".into());
        claims.insert("exp".to_owned(), exp.into());
        let verified = plain(&sign(&claims, &secret()));
        let expected = claims.get("iat").map_or(Ok(exp), |_| Err(invalid("iat")));
        prop_assert_eq!(verified.map(|claims| claims.exp()), expected);
    }
}
