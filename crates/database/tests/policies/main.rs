//! Policies against PostgreSQL: what is read of them, and what is evaluated in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod grammar;
mod reading;

use pgcluster::TestCluster;
use replication::Dsn;

/// A database of its own for a test, and its address for the superuser.
fn database(name: &str) -> (&'static TestCluster, Dsn) {
    let cluster = TestCluster::shared();
    let dsn = cluster.create_database(name);
    (cluster, parse(&dsn))
}

fn parse(dsn: &str) -> Dsn {
    dsn.parse().expect("the cluster's addresses can be parsed")
}

fn sql(cluster: &TestCluster, database: &str, sql: &str) -> String {
    cluster
        .execute(database, sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn oid(cluster: &TestCluster, database: &str, table: &str) -> u32 {
    let oid = sql(cluster, database, &format!("select '{table}'::regclass::oid"));
    oid.parse().unwrap()
}

/// What the functions are in migrations/dev.
const AUTH: &str = "
create schema if not exists auth;
grant usage on schema auth to public;
create or replace function auth.jwt() returns jsonb language sql stable as
  'select nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb';
create or replace function auth.uid() returns uuid language sql stable as
  'select (auth.jwt() ->> ''sub'')::uuid';
create or replace function auth.role() returns text language sql stable as
  'select auth.jwt() ->> ''role''';
";
