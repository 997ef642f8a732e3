//! A database with roles like those of a Supabase project, and a gateway that is only their member.

use std::sync::OnceLock;

use database::Pool;
use pgcluster::TestCluster;

/// A database of its own for a test.
pub(crate) struct World {
    pub(crate) cluster: &'static TestCluster,
    pub(crate) name: &'static str,
}

/// `gateway` may act as all of them but `ungranted`. The names of the last two would like to be something else.
const ROLES: &str = r#"
create role gateway login replication password 'p';
create role anon;
create role authenticated;
create role service bypassrls;
create role raised;
create role ungranted;
create role "web-user";
create role "a'b""c\d; drop table notes; --";
grant anon, authenticated, service, raised, "web-user", "a'b""c\d; drop table notes; --" to gateway;
"#;

/// A value of this domain can be read by whoever is nobody but the user it has logged in as, without claims.
const WITNESS: &str = "
create schema auth;
grant usage on schema auth to public;
create function auth.uid() returns uuid language sql stable as
  $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
create domain clean as text check (
  current_user = session_user and coalesce(current_setting('request.jwt.claims', true), '') = '');
create function prepared() returns bigint language sql volatile as 'select count(*) from pg_prepared_statements';
create domain within_bounds as text check (prepared() between 1 and 128);";

impl World {
    pub(crate) fn new(name: &'static str, setup: &str) -> Self {
        static ONCE: OnceLock<()> = OnceLock::new();
        let cluster = TestCluster::shared();
        ONCE.get_or_init(|| {
            cluster.execute("postgres", ROLES).expect("the roles are new");
        });
        cluster.create_database(name);
        let world = Self { cluster, name };
        world.sql(WITNESS);
        world.sql(setup);
        world
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        let ran = self.cluster.execute(self.name, sql);
        ran.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A pool of an ordinary user with one connection, so that every question follows in the steps of the last one.
    pub(crate) fn pool(&self) -> Pool {
        self.pool_with("")
    }

    /// The same with settings for the session, as in `?options=-c%20…`.
    pub(crate) fn pool_with(&self, options: &str) -> Pool {
        let dsn = self.cluster.dsn("gateway", "p", self.name);
        Pool::new(format!("{dsn}{options}").parse().unwrap(), 1)
    }
}

/// Fails unless the one session of the pool is as it was after the login.
pub(crate) async fn assert_clean(pool: &Pool) {
    let asked = changes::Question {
        operator: changes::Operator::Eq,
        type_sql: "public.clean".into(),
        value: "x".into(),
        text: "x".into(),
    };
    assert_eq!(pool.conditions(&[asked]).await.unwrap(), [Ok(Some(true))]);
}
