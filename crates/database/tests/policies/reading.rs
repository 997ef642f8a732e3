//! What the catalog says of policies, and when it says something else.

use database::{Policies, Pool};
use pgcluster::TestCluster;

use super::{AUTH, database, oid, parse, sql};

fn expressions(policies: &Policies, table: u32, role: &str) -> Vec<(String, bool)> {
    let security = policies.of(table, role).expect("a table with policies");
    let expressions = security.policies.iter().map(|policy| {
        let expression = policy.expression.as_deref().unwrap_or("none");
        (expression.to_owned(), policy.is_foreign)
    });
    expressions.collect()
}

#[tokio::test]
async fn a_decoy_on_the_search_path_is_told_from_what_it_imitates() {
    let (cluster, dsn) = database("policies_decoy");
    sql(
        cluster,
        "policies_decoy",
        "
        create role decoy_reader;
        create schema decoy;
        create function decoy.always(integer, integer) returns boolean language sql immutable as 'select true';
        create operator decoy.= (function = decoy.always, leftarg = integer, rightarg = integer);
        create function decoy.lower(text) returns text language sql immutable as 'select ''x''::text';
        create table public.t (id integer primary key, body text);
        alter table public.t enable row level security;
        set search_path = decoy, pg_catalog, public;
        create policy a_operator on public.t using (id = 5);
        create policy b_hidden on public.t using (id is distinct from 5);
        create policy c_function on public.t using (lower(body) is null);
        create policy d_plain on public.t using (id operator(pg_catalog.=) 5);
        alter database policies_decoy set search_path = decoy, pg_catalog, public;
        ",
    );
    let table = oid(cluster, "policies_decoy", "public.t");
    let pool = Pool::new(dsn, 1);
    // The second time, the one session of the pool still has the search path of the database.
    for _ in 0..2 {
        let policies = pool.policies(&["decoy_reader"], &[table]).await.unwrap();
        assert_eq!(
            expressions(&policies, table, "decoy_reader"),
            [
                ("(id OPERATOR(decoy.=) 5)".to_owned(), true),
                ("(id IS DISTINCT FROM 5)".to_owned(), true),
                ("(decoy.lower(body) IS NULL)".to_owned(), true),
                ("(id = 5)".to_owned(), false),
            ]
        );
        let surroundings = &policies.of(table, "decoy_reader").unwrap().surroundings;
        assert!(!surroundings.is_ordinary);
    }
    sql(
        cluster,
        "policies_decoy",
        "alter database policies_decoy reset search_path",
    );
    let dsn = parse(&cluster.superuser_dsn("policies_decoy"));
    let policies = Pool::new(dsn, 1)
        .policies(&["decoy_reader"], &[table])
        .await
        .unwrap();
    let surroundings = &policies.of(table, "decoy_reader").unwrap().surroundings;
    assert!(surroundings.is_ordinary);
}

#[tokio::test]
async fn what_gives_expressions_another_meaning_is_not_ordinary() {
    let (cluster, dsn) = database("policies_strange");
    sql(
        cluster,
        "policies_strange",
        "create role strange_reader; create table t (id integer primary key); alter table t enable row level security;
        create schema decoy; create function decoy.get(jsonb, jsonb) returns text language sql as 'select ''x''::text';
        create function decoy.cast(text) returns uuid language sql as 'select null::uuid';",
    );
    let table = oid(cluster, "policies_strange", "t");
    for (strange, ordinary) in [
        (
            "create operator public.->> (function = decoy.get, leftarg = jsonb, rightarg = jsonb)",
            "drop operator public.->> (jsonb, jsonb)",
        ),
        (
            "create cast (text as uuid) with function decoy.cast(text)",
            "drop cast (text as uuid)",
        ),
        (
            "create function decoy.current_setting(text, boolean) returns text language sql as 'select ''{}''::text'",
            "drop function decoy.current_setting(text, boolean)",
        ),
        (
            "alter database policies_strange set request.jwt.claim.sub = 'x'",
            "alter database policies_strange reset request.jwt.claim.sub",
        ),
    ] {
        let is_ordinary = async || {
            let pool = Pool::new(dsn.clone(), 1);
            let policies = pool.policies(&["strange_reader"], &[table]).await.unwrap();
            policies
                .of(table, "strange_reader")
                .unwrap()
                .surroundings
                .is_ordinary
        };
        let before = is_ordinary().await;
        sql(cluster, "policies_strange", strange);
        let then = is_ordinary().await;
        sql(cluster, "policies_strange", ordinary);
        assert_eq!((before, then), (true, false), "{strange}");
        assert!(is_ordinary().await, "{ordinary}");
    }
}

#[tokio::test]
async fn a_role_has_the_policies_that_are_for_it_and_is_bypassed_as_the_database_does() {
    let (cluster, dsn) = database("policies_roles");
    sql(
        cluster,
        "policies_roles",
        "
        create role roles_owner; create role roles_reader; create role roles_staff; create role roles_member in role roles_staff;
        create role roles_passes bypassrls; create role roles_super superuser; create role roles_child in role roles_owner;
        create schema closed;
        create table free (id integer primary key);
        create table closed.t (id integer primary key);
        create table owned (id integer primary key);
        create table forced (id integer primary key);
        alter table owned owner to roles_owner; alter table forced owner to roles_owner;
        alter table closed.t enable row level security;
        alter table owned enable row level security;
        alter table forced enable row level security; alter table forced force row level security;
        create policy for_all on owned using (true);
        create policy for_staff on owned for select to roles_staff, roles_passes using (id > 0);
        create policy held_back on owned as restrictive for select to roles_staff using (id < 9);
        create policy not_asked on owned for update using (false);
        create policy without on owned for select to roles_reader;
        ",
    );
    let [free, closed, owned, forced] =
        ["free", "closed.t", "owned", "forced"].map(|table| oid(cluster, "policies_roles", table));
    let roles = [
        "roles_reader",
        "roles_staff",
        "roles_member",
        "roles_passes",
        "roles_super",
        "roles_owner",
        "roles_child",
        "roles_nobody",
    ];
    let pool = Pool::new(dsn, 1);
    let policies = pool
        .policies(&roles, &[free, closed, owned, forced, 1])
        .await
        .unwrap();
    assert!(policies.of(free, "roles_reader").is_none());
    assert!(policies.of(owned, "roles_nobody").is_none());
    let names = |role: &str| {
        let security = policies.of(owned, role).unwrap();
        let names = security.policies.iter().map(|policy| {
            let mark = match (policy.permissive, &policy.expression) {
                (_, None) => "?",
                (true, _) => "+",
                (false, _) => "-",
            };
            format!("{mark}{}", policy.name)
        });
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("roles_reader"), "+for_all ?without");
    assert_eq!(names("roles_member"), "+for_all +for_staff -held_back");
    let bypassed = |table: u32| {
        let bypassed = roles
            .iter()
            .filter(|role| policies.of(table, role).is_some_and(|security| security.bypassed));
        bypassed.copied().collect::<Vec<_>>()
    };
    assert_eq!(
        bypassed(owned),
        ["roles_passes", "roles_super", "roles_owner", "roles_child"]
    );
    assert_eq!(bypassed(forced), ["roles_passes", "roles_super"]);
    let reachable = |table: u32, role: &str| policies.of(table, role).unwrap().reachable;
    assert!(reachable(owned, "roles_reader") && reachable(closed, "roles_super"));
    assert!(!reachable(closed, "roles_reader") && !reachable(closed, "roles_passes"));
}

#[tokio::test]
async fn an_ordinary_role_reads_them_and_reaches_what_it_can_become() {
    let (cluster, _) = database("policies_ordinary");
    sql(
        cluster,
        "policies_ordinary",
        "create role ordinary_reader; create role ordinary_other; create role ordinary login password 'p' in role ordinary_reader;
        create table t (id integer primary key); alter table t enable row level security; create policy p on t using (id > 0);",
    );
    let table = oid(cluster, "policies_ordinary", "t");
    let pool = Pool::new(parse(&cluster.dsn("ordinary", "p", "policies_ordinary")), 1);
    let policies = pool
        .policies(&["ordinary_reader", "ordinary_other"], &[table])
        .await
        .unwrap();
    let reachable = |role: &str| policies.of(table, role).unwrap().reachable;
    assert!(reachable("ordinary_reader") && !reachable("ordinary_other"));
    assert_eq!(policies.version, pool.catalog_version().await.unwrap());
    assert!(expressions(&policies, table, "ordinary_reader") == [("(id > 0)".to_owned(), false)]);
}

#[tokio::test]
async fn the_version_changes_with_what_the_stream_does_not_tell() {
    // A cluster of its own: roles are everybody's.
    let cluster = TestCluster::start(&[]);
    let dsn = parse(&cluster.create_database("version"));
    let run = |statement: &str| sql(&cluster, "version", statement);
    run(AUTH);
    run("create role a; create role b; create role owner; create schema s; create type mood as enum ('sad', 'ok');
        create table t (id integer primary key); alter table t enable row level security");
    let pool = Pool::new(dsn, 1);
    let mut before = pool.catalog_version().await.unwrap();
    for statement in [
        "alter role a bypassrls",
        "alter role a superuser",
        "alter role a noinherit",
        "alter role a rename to c",
        "grant b to c",
        "revoke b from c",
        "create role d",
        "drop role d",
        "grant usage on schema s to b",
        "revoke usage on schema s from b",
        "alter schema s owner to owner",
        "alter schema s rename to r",
        "create or replace function auth.uid() returns uuid language sql stable as 'select null::uuid'",
        "revoke execute on function auth.uid() from public",
        "drop function auth.role()",
        "alter type mood rename value 'ok' to 'fine'",
        "alter database version owner to owner",
        "alter database version set search_path = public",
    ] {
        run(statement);
        let version = pool.catalog_version().await.unwrap();
        assert_eq!(version, pool.catalog_version().await.unwrap());
        assert_ne!(version, before, "{statement}");
        before = version;
    }
    run(
        "create policy p on t using (true); insert into t values (1); grant select on t to b; analyze; vacuum",
    );
    assert_eq!(before, pool.catalog_version().await.unwrap());
}
