//! Row level security decided in memory: `auth.uid() = owner`, the most usual of policies.

use std::sync::Arc;

use changes::policy::{ClaimFunction, Image, Policy, RowPolicies, RowSecurity, Surroundings, Viewer};
use divan::{Bencher, black_box};

use crate::support::{ROW, change, insert_message, mapping, notes};

const CLAIMS: &str =
    r#"{"sub":"11111111-1111-4111-8111-111111111111","role":"authenticated","exp":1800000000}"#;

fn function(name: &str, returns: u32, source: &str) -> ClaimFunction {
    ClaimFunction {
        name: name.into(),
        is_callable: true,
        language: "sql".into(),
        source: source.into(),
        kind: 'f',
        volatility: 's',
        is_security_definer: false,
        returns_set: false,
        returns,
        settings: Vec::new(),
    }
}

fn own_notes_only() -> RowPolicies {
    let claims = "select nullif(current_setting('request.jwt.claims', true), '')::jsonb";
    let security = RowSecurity {
        role: "authenticated".into(),
        table: notes().oid,
        reachable: true,
        bypassed: false,
        policies: vec![Policy {
            name: "own notes only".into(),
            permissive: true,
            expression: Some("(( SELECT auth.uid() AS uid) = owner)".into()),
            is_foreign: false,
        }],
        collations: Vec::new(),
        surroundings: Arc::new(Surroundings {
            is_ordinary: true,
            functions: vec![
                function("jwt", 3802, claims),
                function("uid", 2950, "select (auth.jwt() ->> 'sub')::uuid"),
            ],
        }),
    };
    let policies = RowPolicies::compile(&notes(), &security);
    assert!(policies.proven(), "{:?}", policies.obstacle());
    policies
}

/// Once for a subscriber: what does not depend on the row.
#[divan::bench(sample_size = 100)]
fn bind_a_viewer(bencher: Bencher) {
    let policies = own_notes_only();
    bencher.bench_local(|| policies.bind(&Viewer::new("authenticated", black_box(CLAIMS))));
}

/// Once for a row: the columns that are looked at.
#[divan::bench(sample_size = 100)]
fn read_a_row(bencher: Bencher) {
    let (policies, mapping, message) = (own_notes_only(), mapping(), insert_message(&ROW));
    let change = change(&mapping, &message);
    bencher.bench_local(|| policies.read(black_box(&change), Image::New));
}

/// For each row and subscriber: the comparison.
#[divan::bench(sample_size = 100)]
fn decide(bencher: Bencher) {
    let (policies, mapping, message) = (own_notes_only(), mapping(), insert_message(&ROW));
    let change = change(&mapping, &message);
    let row = policies.read(&change, Image::New);
    let viewer = policies.bind(&Viewer::new("authenticated", CLAIMS));
    assert_eq!(policies.sees(&row, &viewer), Some(true));
    bencher.bench_local(|| policies.sees(black_box(&row), black_box(&viewer)));
}
