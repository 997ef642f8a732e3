//! What it costs to verify a token: with every join, and with every `access_token` push.
//!
//! Most of it is the hash. Keys are prepared beforehand, as they are in a running server.

use auth::{ClaimValidators, Claims, Keys, Secret, sign, verify};
use divan::{AllocProfiler, Bencher, black_box};
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const NOW: i64 = 1_800_000_000;

fn secret() -> Secret {
    Secret::new("a-secret-of-the-tenant-32-bytes!")
}

fn signed(claims: &Value) -> String {
    let claims = claims.as_object().cloned().unwrap_or_else(Map::new);
    sign(&claims, &secret())
}

/// A token that holds.
fn verified(bencher: Bencher, token: &str) {
    let keys = Keys::new(Some(&secret()), None).expect("a secret is a key");
    let validators = ClaimValidators::parse("{}").expect("an object");
    bencher.bench_local(|| -> Claims {
        verify(black_box(token), &keys, &validators, NOW).expect("the token holds")
    });
}

/// HS256, with the three claims an API key has.
#[divan::bench(sample_size = 100)]
fn verify_an_api_key(bencher: Bencher) {
    let claims = json!({ "role": "anon", "iss": "roost", "exp": NOW + 3600 });
    verified(bencher, &signed(&claims));
}

/// HS256, with the claims of a signed-in user: some 500 bytes.
#[divan::bench(sample_size = 100)]
fn verify_the_token_of_a_user(bencher: Bencher) {
    let claims = json!({
        "iss": "https://project.example.com/auth/v1",
        "sub": "11111111-1111-4111-8111-111111111111",
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "email": "ada@example.com",
        "phone": "",
        "app_metadata": { "provider": "email", "providers": ["email"] },
        "user_metadata": { "email_verified": true, "name": "Ada" },
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{ "method": "password", "timestamp": NOW }],
        "session_id": "22222222-2222-4222-8222-222222222222",
        "is_anonymous": false
    });
    verified(bencher, &signed(&claims));
}

/// A token signed with another secret: refused before its claims are looked into.
#[divan::bench(sample_size = 100)]
fn refuse_a_signature(bencher: Bencher) {
    let keys =
        Keys::new(Some(&Secret::new("another-secret-that-is-32-bytes!")), None).expect("a secret is a key");
    let validators = ClaimValidators::parse("{}").expect("an object");
    let token = signed(&json!({ "role": "anon", "exp": NOW + 3600 }));
    bencher.bench_local(|| verify(black_box(&token), &keys, &validators, NOW).is_err());
}
