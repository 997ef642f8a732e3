//! The replication connection against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod durable;
mod liveness;
mod login;
mod reading;
mod slots;
mod streaming;
mod tls;

use std::time::{Duration, Instant};

use pgcluster::TestCluster;
use replication::{Connection, Dsn, Durability, Error};

fn parse(dsn: &str) -> Dsn {
    dsn.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn sql(cluster: &TestCluster, database: &str, sql: &str) -> String {
    cluster
        .execute(database, sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Logs in, and asks the server something to see that it listens.
async fn log_in(dsn: &str) -> Result<Connection, Error> {
    let mut connection = Connection::open(&parse(dsn)).await?;
    connection.identify_system().await?;
    Ok(connection)
}

/// Why a login fails.
async fn refusal(dsn: &str) -> Error {
    log_in(dsn).await.expect_err("nobody gets in here")
}

/// Replaces the rules by which a server lets clients in, and has it read them.
fn set_rules(cluster: &mut TestCluster, rules: &[&str]) {
    let rows: Vec<_> = rules.iter().map(|rule| format!("('{rule}')")).collect();
    let statement = format!(
        "do $$ begin execute format('copy (values {}) to %L', current_setting('hba_file')); end $$",
        rows.join(", ").replace('\'', "''")
    );
    sql(cluster, "postgres", &statement);
    cluster.restart().expect("the server starts with other rules");
}

/// Waits until a statement selects `expected`. Other tasks go on meanwhile.
async fn until(cluster: &TestCluster, statement: &str, expected: &str) {
    let deadline = Instant::now() + UNTIL_MAX;
    while sql(cluster, "postgres", statement) != expected {
        assert!(Instant::now() < deadline, "never {expected:?}: {statement}");
        tokio::task::yield_now().await;
    }
}

/// Long enough for a busy machine; shorter than the patience of whoever waits for a test that fails.
const UNTIL_MAX: Duration = Duration::from_secs(60);
