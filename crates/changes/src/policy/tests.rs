//! Policies as the database prints them, and who sees what by them. Whether that is what the database says is shown by
//! the tests of `database`.

use std::sync::Arc;

use super::*;
use crate::mapping::Mapping;
use crate::relation::ReplicaIdentity;
use crate::testing::{delete, insert, mapping, table, update};
use crate::value::oid;

const COLUMNS: &str =
    "id!:int8 owner:uuid body:text org:int4 flag:bool amount:numeric score:float8 at:timestamptz data:jsonb";
const UUID: &str = "11111111-1111-4111-8111-11111111aaaa";

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

fn functions() -> Vec<ClaimFunction> {
    let claims = "nullif(current_setting('request.jwt.claims', true), '')::jsonb";
    vec![
        function("jwt", oid::JSONB, &format!("select {claims}")),
        function("role", oid::TEXT, "select auth.jwt() ->> 'role'"),
        function("uid", oid::UUID, "SELECT (auth.jwt() ->> 'sub')::uuid;"),
    ]
}

fn policy(permissive: bool, expression: &str) -> Policy {
    Policy {
        name: "p".into(),
        permissive,
        expression: (expression != "none").then(|| expression.into()),
        is_foreign: false,
    }
}

fn security(policies: Vec<Policy>) -> RowSecurity {
    RowSecurity {
        role: "authenticated".into(),
        table: table("notes", COLUMNS).oid,
        reachable: true,
        bypassed: false,
        policies,
        collations: Vec::new(),
        surroundings: Arc::new(Surroundings {
            is_ordinary: true,
            functions: functions(),
        }),
    }
}

fn notes() -> Mapping {
    mapping(table("notes", COLUMNS), ReplicaIdentity::Full)
}

fn compile(security: &RowSecurity) -> RowPolicies {
    RowPolicies::compile(&table("notes", COLUMNS), security)
}

fn compile_one(expression: &str) -> RowPolicies {
    compile(&security(vec![policy(true, expression)]))
}

const ROW: [&str; 9] = [
    "7",
    UUID,
    "text",
    "5",
    "t",
    "1.5",
    "0.5",
    "2026-02-28 10:00:00+00",
    "{}",
];

/// What a new row is to a viewer.
fn sees(policies: &RowPolicies, row: &[&str], claims: &str) -> Option<bool> {
    let notes = notes();
    let viewer = policies.bind(&Viewer::new("authenticated", claims));
    policies.sees(&policies.read(&insert(&notes, row), Image::New), &viewer)
}

fn sees_one(expression: &str, claims: &str) -> Option<bool> {
    let policies = compile_one(expression);
    assert!(policies.proven(), "{expression}: {:?}", policies.obstacle());
    sees(&policies, &ROW, claims)
}

#[test]
fn usual_policies_are_evaluated() {
    let claims =
        format!(r#"{{"sub":"{UUID}","role":"authenticated","org":5,"admin":true,"app":{{"org":"5"}}}}"#);
    for (expression, expected) in [
        ("true", true),
        ("(auth.uid() = owner)", true),
        ("(( SELECT auth.uid() AS uid) = owner)", true),
        ("((auth.uid())::text = (owner)::text)", true),
        ("((auth.uid())::text = body)", false),
        ("(auth.role() = 'authenticated'::text)", true),
        ("(((auth.jwt() ->> 'org'::text))::integer = org)", true),
        (
            "((((auth.jwt() -> 'app'::text) ->> 'org'::text))::bigint = org)",
            true,
        ),
        (
            "((((current_setting('request.jwt.claims'::text, true))::json ->> 'sub'::text))::uuid = owner)",
            true,
        ),
        ("((auth.uid() IS NOT NULL) AND (NOT flag))", false),
        ("((org = ANY (ARRAY[1, 5])) OR flag)", true),
        ("(org <> ALL (ARRAY[1, 5]))", false),
        (
            "(body = ANY ((ARRAY['text'::character varying, 'b'::character varying])::text[]))",
            true,
        ),
        ("(body IS DISTINCT FROM 'text'::text)", false),
        ("(NOT (org IS DISTINCT FROM 5))", true),
        ("(flag IS NOT TRUE)", false),
        ("((auth.jwt() ->> 'admin'::text))::boolean", true),
        ("((auth.jwt() -> 'admin'::text))::boolean", true),
        (
            "(COALESCE((auth.jwt() ->> 'nothing'::text), 'x'::text) = 'x'::text)",
            true,
        ),
        ("((auth.jwt() ->> 'nothing'::text) = body)", false),
        ("(amount >= 1.50)", true),
        ("(score < '0.25'::double precision)", false),
        ("(at > '2026-01-01 00:00:00+00'::timestamp with time zone)", true),
        ("(data IS NOT NULL)", true),
        ("(CURRENT_USER = 'authenticated'::name)", true),
    ] {
        assert_eq!(sees_one(expression, &claims), Some(expected), "{expression}");
    }
}

#[test]
fn other_expressions_are_left_to_the_database() {
    for expression in [
        "(body < 'x'::text)",
        "(body ~~ 'x%'::text)",
        "(lower(body) = 'x'::text)",
        "public.is_member(id)",
        "auth.email()",
        "auth.is_admin()",
        "(EXISTS ( SELECT 1\n   FROM members\n  WHERE (members.note = notes.id)))",
        "(id IN ( SELECT members.note\n   FROM members))",
        "(id OPERATOR(public.=) 5)",
        "(now() > at)",
        "((org + 1) = 5)",
        "((data ->> 'x'::text) = 'y'::text)",
        "(data = '{}'::jsonb)",
        "((body)::uuid = owner)",
        "((body COLLATE \"C\") = 'x'::text)",
        "((body)::character varying(3) = 'x'::text)",
        "(CASE WHEN flag THEN true ELSE false END)",
        "COALESCE(flag, false)",
        "((amount)::text = '1.5'::text)",
        "((score)::numeric = 1.5)",
        "(body = ANY ('{a,b}'::text[]))",
        "(body = ( SELECT body))",
        "((current_setting('request.headers'::text, true))::json IS NULL)",
        "((current_setting('request.jwt.claim.sub'::text, true))::uuid = owner)",
        "(auth.uid() = auth.uid())",
        "(missing = 5)",
        "(notes.* IS NOT NULL)",
        "(flag",
        "flag)",
        "?",
        "",
        &format!("{}flag{}", "(".repeat(100), ")".repeat(100)),
        &format!("body{} IS NULL", "::text".repeat(1000)),
    ] {
        let policies = compile_one(expression);
        assert!(!policies.proven(), "{expression}");
        assert_eq!(sees(&policies, &ROW, "{}"), None, "{expression}");
        assert!(
            policies.describe().all(|policy| policy.obstacle.is_some()),
            "{expression}"
        );
    }
}

#[test]
fn one_permissive_policy_and_every_restrictive_one_let_a_row_through() {
    for (policies, expected) in [
        (&["+(org = 1)", "+(org = 5)"][..], Some(true)),
        (&["+(org = 1)", "+(org = 2)"], Some(false)),
        (&["+(org = 5)", "-(id = 7)"], Some(true)),
        (&["+(org = 5)", "-(id = 7)", "-(NULL::boolean)"], Some(false)),
        // Nothing lets it through, so nobody looks at the others.
        (&[], Some(false)),
        (&["-true"], Some(false)),
        (&["-public.strange()"], Some(false)),
        // A permissive policy without an expression is none, a restrictive one does not restrict.
        (&["+none"], Some(false)),
        (&["+true", "-none"], Some(true)),
        // It may fail, whatever the others say.
        (&["+true", "+public.strange()"], None),
        (&["+false", "-public.strange()"], None),
    ] {
        let parsed = policies
            .iter()
            .map(|text| policy(text.starts_with('+'), &text[1..]));
        let compiled = compile(&security(parsed.collect()));
        assert_eq!(sees(&compiled, &ROW, "{}"), expected, "{policies:?}");
    }
}

#[test]
fn who_is_bypassed_sees_everything_and_who_is_not_reached_is_asked_about() {
    let strange = || vec![policy(true, "public.strange()")];
    let bypassed = RowSecurity {
        bypassed: true,
        ..security(strange())
    };
    assert_eq!(sees(&compile(&bypassed), &ROW, "no claims"), Some(true));
    let unreachable = RowSecurity {
        reachable: false,
        ..bypassed
    };
    assert_eq!(sees(&compile(&unreachable), &ROW, "{}"), None);
    let extraordinary = |policies: Vec<Policy>| RowSecurity {
        surroundings: Arc::new(Surroundings {
            is_ordinary: false,
            functions: functions(),
        }),
        ..security(policies)
    };
    assert_eq!(
        sees(&compile(&extraordinary(vec![policy(true, "true")])), &ROW, "{}"),
        None
    );
    let mut foreign = policy(true, "true");
    foreign.is_foreign = true;
    assert_eq!(sees(&compile(&security(vec![foreign])), &ROW, "{}"), None);
    let policies = compile_one("true");
    let somebody_else = policies.bind(&Viewer::new("anon", "{}"));
    let notes = notes();
    let row = policies.read(&insert(&notes, &ROW), Image::New);
    assert_eq!(policies.sees(&row, &somebody_else), None);
}

#[test]
fn doubtful_claims_are_left_to_the_database() {
    for claims in [
        r#"{"sub":"no uuid"}"#,
        r#"{"sub":5}"#,
        r#"{"sub":{}}"#,
        r#"{"sub":null,"sub":null}"#,
        r#"{"x":"\u0000"}"#,
        "[]",
        "",
        "{",
    ] {
        assert_eq!(sees_one("(auth.uid() = owner)", claims), None, "{claims}");
        // Whether it comes to that is up to the planner.
        assert_eq!(
            sees_one("(true OR (auth.uid() = owner))", claims),
            None,
            "{claims}"
        );
    }
    for claims in ["{}", r#"{"sub":null}"#] {
        assert_eq!(sees_one("(auth.uid() = owner)", claims), Some(false), "{claims}");
        assert_eq!(sees_one("(auth.uid() IS NULL)", claims), Some(true), "{claims}");
    }
    // A JSON null is not NULL before it is text.
    assert_eq!(
        sees_one("((auth.jwt() -> 'x'::text) IS NULL)", r#"{"x":null}"#),
        Some(false)
    );
    assert_eq!(
        sees_one("((auth.jwt() ->> 'x'::text) IS NULL)", r#"{"x":null}"#),
        Some(true)
    );
}

#[test]
fn functions_are_known_by_what_they_do() {
    let setting = |name: &str| format!("nullif(current_setting('request.jwt.{name}', true), '')");
    let uid = |source: &str| {
        let mut security = security(vec![policy(true, "(auth.uid() = owner)")]);
        let mut functions = functions();
        functions[2].source = source.into();
        security.surroundings = Arc::new(Surroundings {
            is_ordinary: true,
            functions,
        });
        security
    };
    let claims = format!(r#"{{"sub":"{UUID}"}}"#);
    let of_claims = format!("({}::jsonb ->> 'sub')", setting("claims"));
    let reference = format!(
        "\n  select coalesce({}, {of_claims})::uuid\n",
        setting("claim.sub")
    );
    assert_eq!(sees(&compile(&uid(&reference)), &ROW, &claims), Some(true));
    let former = format!("select {}::uuid", setting("claim.sub"));
    assert_eq!(sees(&compile(&uid(&former)), &ROW, &claims), Some(false));
    for strange in [
        "select current_setting('request.jwt.claim.sub', true)::uuid",
        "select (auth.jwt() ->> 'sub')::uuid limit 1",
        "select auth.uid()",
        "select auth.jwt() ->> 'sub'",
        "select id",
        "begin return null; end",
        "",
    ] {
        assert!(!compile(&uid(strange)).proven(), "{strange}");
    }
    let changes: [fn(&mut ClaimFunction); 8] = [
        |function| function.language = "plpgsql".into(),
        |function| function.is_callable = false,
        |function| function.volatility = 'i',
        |function| function.is_security_definer = true,
        |function| function.returns_set = true,
        |function| function.kind = 'p',
        |function| function.returns = oid::TEXT,
        |function| function.settings = vec!["search_path=public".into()],
    ];
    for change in changes {
        let mut security = uid(&reference);
        let mut functions = security.surroundings.functions.clone();
        change(&mut functions[2]);
        security.surroundings = Arc::new(Surroundings {
            is_ordinary: true,
            functions,
        });
        assert!(!compile(&security).proven(), "{:?}", security.surroundings);
    }
}

#[test]
fn what_the_log_does_not_tell_is_left_to_the_database_if_it_matters() {
    let notes = notes();
    let policies = compile_one("((body = 'text'::text) OR (org = 5))");
    let viewer = policies.bind(&Viewer::new("authenticated", "{}"));
    let answer = |change: &RowChange<'_>, image| policies.sees(&policies.read(change, image), &viewer);
    let row = |body, org| ["7", UUID, body, org, "t", "1", "1", "~", "{}"];
    assert_eq!(
        answer(&update(&notes, None, &row("=", "5")), Image::New),
        Some(true)
    );
    assert_eq!(answer(&update(&notes, None, &row("=", "4")), Image::New), None);
    // What was left alone is what it was.
    let former = row("text", "1");
    let changed = row("=", "4");
    let change = update(&notes, Some(&former), &changed);
    assert_eq!(answer(&change, Image::New), Some(true));
    assert_eq!(answer(&change, Image::Old), Some(true));
    let inserted = row("x", "5");
    assert_eq!(answer(&insert(&notes, &inserted), Image::Old), None);
    assert_eq!(answer(&delete(&notes, &inserted), Image::Old), Some(true));
    assert_eq!(answer(&delete(&notes, &inserted), Image::New), None);

    let by_key = mapping(table("notes", COLUMNS), ReplicaIdentity::Default);
    assert_eq!(answer(&delete(&by_key, &inserted), Image::Old), None);
    let keyed = compile_one("(id = 7)");
    let viewer = keyed.bind(&Viewer::new("authenticated", "{}"));
    let row = keyed.read(&delete(&by_key, &inserted), Image::Old);
    assert_eq!(keyed.sees(&row, &viewer), Some(true));
}

#[test]
fn a_number_told_as_null_may_be_one_that_json_has_no_word_for() {
    for expression in ["(amount IS NULL)", "(amount > 5.5)", "(score IS NOT NULL)"] {
        let row = ["7", UUID, "text", "5", "t", "NaN", "~", "~", "~"];
        assert_eq!(sees(&compile_one(expression), &row, "{}"), None, "{expression}");
    }
}

#[test]
fn a_row_of_another_age_is_left_to_the_database() {
    let policies = compile_one("(org = 5)");
    let viewer = policies.bind(&Viewer::new("authenticated", "{}"));
    let altered = mapping(
        table("notes", &COLUMNS.replace("org:int4", "org:int8")),
        ReplicaIdentity::Full,
    );
    assert_eq!(
        policies.sees(&policies.read(&insert(&altered, &ROW), Image::New), &viewer),
        None
    );
    let streamed = notes();
    let read_anew = Arc::new(table("notes", &COLUMNS.replace("org:int4", "organisation:int4")));
    let mapping = Mapping::new(read_anew, Arc::clone(streamed.relation()));
    assert_eq!(
        policies.sees(&policies.read(&insert(&mapping, &ROW), Image::New), &viewer),
        None
    );
}

#[test]
fn texts_are_compared_by_their_bytes_or_not_at_all() {
    let with = |collations: &[(&str, u32, bool)], expression: &str| {
        let collations = collations
            .iter()
            .map(|(column, oid, is_deterministic)| ColumnCollation {
                column: (*column).into(),
                oid: *oid,
                is_deterministic: *is_deterministic,
            });
        let security = RowSecurity {
            collations: collations.collect(),
            ..security(vec![policy(true, expression)])
        };
        RowPolicies::compile(&table("notes", "id!:int8 a:text b:text"), &security).proven()
    };
    assert!(with(&[("a", 5, true)], "(a = b)"));
    assert!(with(&[("a", 5, true), ("b", 5, true)], "(a = b)"));
    assert!(!with(&[("a", 5, true), ("b", 6, true)], "(a = b)"));
    assert!(!with(
        &[("a", 5, true), ("b", 6, true)],
        "('x'::text = ANY (ARRAY[a, b]))"
    ));
    assert!(!with(&[("a", 5, true)], "(CURRENT_USER = a)"));
    assert!(with(&[("a", 950, true)], "(CURRENT_USER = a)"));
    assert!(!with(&[("a", 5, false)], "(a = 'x'::text)"));
    assert!(!with(&[("a", 5, false)], "(a IS DISTINCT FROM 'x'::text)"));
    assert!(with(&[("a", 5, false)], "(a IS NULL)"));
}
