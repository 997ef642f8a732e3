//! A database with published tables, and a server that follows it: what tests of Postgres changes start from.

use pgcluster::TestCluster;
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::peer::{Peer, SECRET, token_with};

/// Name of the database.
pub const DATABASE: &str = "changes";

/// A cluster of its own, a database in it, and a server on it.
#[derive(Debug)]
pub struct Stage {
    /// The cluster; tests may restart it.
    pub cluster: TestCluster,
    /// The server.
    pub gateway: Gateway,
    flags: Vec<String>,
}

/// Roles, the functions that policies call, a publication, and the table `notes` in it.
const SETUP: &str = "
create role anon nologin; create role authenticated nologin;
create schema auth; grant usage on schema auth to anon, authenticated;
create function auth.jwt() returns jsonb language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create function auth.uid() returns uuid language sql stable as
  $$ select (auth.jwt() ->> 'sub')::uuid $$;
create publication supabase_realtime;
create table notes (id bigint primary key, body text, n integer);
grant select on notes to anon, authenticated;
alter publication supabase_realtime add table notes";

impl Stage {
    /// A server with these flags besides, on a cluster with these settings besides, after this SQL.
    ///
    /// # Panics
    ///
    /// If anything of it cannot be had.
    pub fn with(flags: &[&str], sql: &str) -> Self {
        let cluster = TestCluster::start(&[]);
        let dsn = cluster.create_database(DATABASE);
        cluster.execute(DATABASE, SETUP).expect("valid SQL");
        if !sql.is_empty() {
            cluster.execute(DATABASE, sql).expect("valid SQL");
        }
        let mut all = vec!["--jwt-secret", SECRET, "--database-url", &dsn];
        all.extend(flags);
        let gateway = Gateway::serve(&all);
        gateway.wait_for_log("streaming changes", "slot");
        let flags = all.into_iter().map(str::to_owned).collect();
        Self {
            cluster,
            gateway,
            flags,
        }
    }

    /// The flags of the server.
    pub fn flags(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }

    /// Runs statements; returns what they print.
    ///
    /// # Panics
    ///
    /// If the database refuses them.
    pub fn sql(&self, sql: &str) -> String {
        self.cluster
            .execute(DATABASE, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Joins a topic with one binding as `anon`; returns the client and the first notice about it.
    pub async fn follow(&self, topic: &str, binding: Value) -> (Peer, Value) {
        self.follow_as("anon", &json!({}), topic, binding).await
    }

    /// The same as that role with these claims.
    pub async fn follow_as(&self, role: &str, claims: &Value, topic: &str, binding: Value) -> (Peer, Value) {
        let mut peer = Peer::connect_with(self.gateway.address(), &token_with(role, claims)).await;
        peer.join(topic, json!({"postgres_changes": [binding]})).await;
        let notice = peer.next_of("system").await;
        (peer, notice[4].clone())
    }
}

/// Every change of a table in `public`.
pub fn all_of(table: &str) -> Value {
    json!({"event": "*", "schema": "public", "table": table})
}

/// The `data` of the next change.
pub async fn next_change(peer: &mut Peer) -> Value {
    peer.next_of("postgres_changes").await[4]["data"].clone()
}

/// The `record` of the next change.
pub async fn next_record(peer: &mut Peer) -> Value {
    next_change(peer).await["record"].clone()
}
