//! The statements against a real PostgreSQL.

use std::time::Duration;

use changes::{Column, ColumnSet, ReplicaIdentity, Shape, Table};
use database::{Error, Pool, Set, migrate};
use pgcluster::TestCluster;
use replication::{Definite, Dsn};

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

fn names(tables: &[Table]) -> Vec<String> {
    tables
        .iter()
        .map(|table| format!("{}.{}", table.schema, table.name))
        .collect()
}

fn table<'a>(tables: &'a [Table], name: &str) -> &'a Table {
    tables
        .iter()
        .find(|table| &*table.name == name)
        .expect("a published table")
}

mod published {
    use super::*;

    #[tokio::test]
    async fn tables_come_with_columns_keys_and_types() {
        let (cluster, dsn) = database("published_types");
        sql(
            cluster,
            "published_types",
            r#"
            create schema "Odd, name.é";
            create type mood as enum ('sad', 'happy');
            create domain short as text;
            create domain shorter as short;
            create type pair as (x integer, y shorter);
            create table "Odd, name.é"."a ""b""" (
              gone integer, b text, a integer, carried integer,
              moods mood[], pairs pair[], short shorter, v int2vector, boxes box[],
              twice integer generated always as (a * 2) stored,
              primary key (a, b) include (carried));
            alter table "Odd, name.é"."a ""b""" drop column gone;
            alter table "Odd, name.é"."a ""b""" enable row level security;
            alter table "Odd, name.é"."a ""b""" replica identity full;
            create type "Odd, name.é"."The ""Type" as enum ('x');
            create table plain (id integer, odd "Odd, name.é"."The ""Type");
            create table unpublished (id integer);
            create publication p for table plain, "Odd, name.é"."a ""b""";
            "#,
        );
        let published = Pool::new(dsn, 1).published("p").await.unwrap();
        assert_eq!(names(&published.tables), ["Odd, name.é.a \"b\"", "public.plain"]);

        let odd = table(&published.tables, "a \"b\"");
        let shown: Vec<_> = odd
            .columns
            .iter()
            .map(|column| (&*column.name, &*column.r#type.name, column.in_primary_key))
            .collect();
        assert_eq!(
            shown,
            [
                ("b", "text", true),
                ("a", "int4", true),
                ("carried", "int4", false),
                ("moods", "_mood", false),
                ("pairs", "_pair", false),
                ("short", "shorter", false),
                ("v", "int2vector", false),
                ("boxes", "_box", false),
                ("twice", "int4", false),
            ]
        );
        assert!(odd.row_security);
        assert!(!table(&published.tables, "plain").row_security);
        assert_eq!(odd.replica_identity, ReplicaIdentity::Full);
        assert_eq!(
            table(&published.tables, "plain").replica_identity,
            ReplicaIdentity::Default
        );
        let oid = sql(cluster, "published_types", "select 'plain'::regclass::oid");
        assert_eq!(table(&published.tables, "plain").oid.to_string(), oid);

        let shape = |column: &str| {
            let position = odd.position(column).expect("a column");
            &odd.columns[position].r#type.shape
        };
        let Shape::Array {
            element,
            delimiter: ',',
        } = shape("pairs")
        else {
            panic!("{:?}", shape("pairs"));
        };
        let Shape::Composite { fields } = &element.shape else {
            panic!("{element:?}");
        };
        let fields: Vec<_> = fields
            .iter()
            .map(|field| (&*field.name, &*field.r#type.name))
            .collect();
        assert_eq!(fields, [("x", "int4"), ("y", "shorter")]);
        assert!(matches!(shape("short"), Shape::Domain { base } if &*base.base().name == "text"));
        assert!(
            matches!(shape("moods"), Shape::Array { element, .. } if element.shape == Shape::Enum { labels: vec!["sad".into(), "happy".into()] })
        );
        assert!(matches!(shape("boxes"), Shape::Array { delimiter: ';', .. }));
        assert_eq!(shape("v"), &Shape::Scalar);

        // What the catalog calls a type stands in a statement as it is.
        let named = |columns: &[Column]| {
            columns
                .iter()
                .map(|column| column.r#type.sql.to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            named(&table(&published.tables, "plain").columns),
            ["pg_catalog.int4", r#""Odd, name.é"."The ""Type""#]
        );
        assert_eq!(named(&odd.columns)[3], "public._mood");
    }

    #[tokio::test]
    async fn partitions_are_listed_as_they_are_streamed() {
        let (cluster, dsn) = database("published_partitions");
        sql(
            cluster,
            "published_partitions",
            "create table parted (id integer primary key, v text) partition by range (id);
             create table low partition of parted for values from (0) to (10);
             create publication leaves for table parted;
             create publication root for table parted with (publish_via_partition_root = true);",
        );
        let pool = Pool::new(dsn, 1);
        let leaves = pool.published("leaves").await.unwrap().tables;
        assert_eq!(names(&leaves), ["public.low"]);
        let root = pool.published("root").await.unwrap().tables;
        assert_eq!(names(&root), ["public.parted"]);
        assert_eq!(root[0].primary_key(), ColumnSet::from_iter([0]));
    }

    #[tokio::test]
    async fn the_answer_tells_which_transactions_it_includes() {
        let (cluster, dsn) = database("published_snapshot");
        let run = |statements: &str| sql(cluster, "published_snapshot", statements);
        run("create table t (id integer primary key); create publication p for all tables;");
        let pool = Pool::new(dsn, 1);
        let before = pool.published("p").await.unwrap();
        let xid: u32 = run("insert into t values (1) returning xmin;").parse().unwrap();
        assert!(!before.snapshot.sees(xid));
        assert!(pool.published("p").await.unwrap().snapshot.sees(xid));
        assert_eq!(names(&before.tables), ["public.t"]);
    }

    #[tokio::test]
    async fn an_empty_publication_differs_from_a_missing_one() {
        let (cluster, dsn) = database("published_none");
        sql(cluster, "published_none", "create publication empty;");
        let pool = Pool::new(dsn, 1);
        assert_eq!(pool.published("empty").await.unwrap().tables, []);
        let publication = "missing".to_owned();
        assert_eq!(
            pool.published("missing").await.unwrap_err(),
            Error::PublicationMissing(Definite::PublicationMissing { publication })
        );
    }
}

mod privileges {
    use super::*;

    #[tokio::test]
    async fn a_role_may_select_what_is_granted_to_it() {
        let (cluster, dsn) = database("privileges");
        sql(
            cluster,
            "privileges",
            r#"
            create role "some-body";
            create table open (id integer primary key, body text);
            create table half (id integer primary key, hidden text, shown text);
            create table closed (id integer primary key);
            grant select on open to "some-body";
            grant select (id, shown) on half to "some-body";
            create publication p for table open, half, closed;
            "#,
        );
        let pool = Pool::new(dsn, 1);
        let tables = pool.published("p").await.unwrap().tables;
        let [open, half, closed] = ["open", "half", "closed"].map(|name| table(&tables, name));
        let selectable = pool.selectable("some-body", [open, half, closed]).await.unwrap();
        assert_eq!(selectable.of(open.oid), Some(&ColumnSet::from_iter([0, 1])));
        assert_eq!(selectable.of(half.oid), Some(&ColumnSet::from_iter([0, 2])));
        assert_eq!(selectable.of(closed.oid), Some(&ColumnSet::default()));

        let only = pool.selectable("some-body", [closed]).await.unwrap();
        assert_eq!(only.of(closed.oid), Some(&ColumnSet::default()));
        assert_eq!(only.of(open.oid), None);

        sql(
            cluster,
            "privileges",
            "alter table open rename body to other; drop table half;",
        );
        let later = pool.selectable("some-body", [open, half]).await.unwrap();
        assert_eq!(later.of(open.oid), Some(&ColumnSet::from_iter([0])));
        assert_eq!(later.of(half.oid), Some(&ColumnSet::default()));
    }

    #[tokio::test]
    async fn a_role_that_does_not_exist_is_named() {
        let (_, dsn) = database("privileges_nobody");
        let role = "nobody's".to_owned();
        assert_eq!(
            Pool::new(dsn, 1).selectable("nobody's", []).await.unwrap_err(),
            Error::RoleMissing { role }
        );
    }
}

mod obstacles {
    use super::*;

    #[tokio::test]
    async fn a_database_that_is_set_up_has_none() {
        let (_, dsn) = database("obstacles_none");
        migrate(&dsn, Set::Tenant).await.unwrap();
        assert_eq!(Pool::new(dsn, 1).obstacles("supabase_realtime").await, Ok(vec![]));
    }

    #[tokio::test]
    async fn all_of_them_are_listed_with_what_to_do() {
        let cluster = TestCluster::start(&[("wal_level", "replica")]);
        cluster.create_database("app");
        sql(&cluster, "app", "create role plain login password 'p';");
        let pool = Pool::new(parse(&cluster.dsn("plain", "p", "app")), 1);
        let obstacles = pool.obstacles("supabase_realtime").await.unwrap();
        assert_eq!(
            obstacles,
            [
                Definite::WalLevel {
                    wal_level: "replica".into()
                },
                Definite::ReplicationRole { user: "plain".into() },
                Definite::PublicationMissing {
                    publication: "supabase_realtime".into()
                },
            ]
        );
        let sentences: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
        for (sentence, remedy) in sentences.iter().zip([
            "alter system set wal_level = logical",
            "alter role \"plain\" with replication",
            "create publication \"supabase_realtime\"",
        ]) {
            assert!(sentence.contains(remedy), "{sentence}");
        }
    }
}

mod pool {
    use super::*;

    fn sessions(cluster: &TestCluster, database: &str) -> String {
        let statement = format!(
            "select count(*) from pg_stat_activity where datname = '{database}' and \
             application_name = 'roost'"
        );
        sql(cluster, "postgres", &statement)
    }

    #[tokio::test]
    async fn connections_are_opened_when_needed_reused_and_closed_by_the_owner() {
        let (cluster, dsn) = database("pool_life");
        let pool = Pool::new(dsn, 3);
        assert_eq!(sessions(cluster, "pool_life"), "0");
        for _ in 0..3 {
            pool.obstacles("p").await.unwrap();
        }
        assert_eq!(sessions(cluster, "pool_life"), "1");
        assert_eq!(pool.close_idle(Duration::from_secs(3600)), 1);
        assert_eq!(pool.close_idle(Duration::ZERO), 0);
        while sessions(cluster, "pool_life") != "0" {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn there_are_never_more_than_its_size() {
        let (cluster, dsn) = database("pool_size");
        let pool = Pool::new(dsn, 2);
        let ask = || pool.obstacles("p");
        let answers = tokio::join!(ask(), ask(), ask(), ask(), ask());
        assert!(
            [answers.0, answers.1, answers.2, answers.3, answers.4]
                .iter()
                .all(Result::is_ok)
        );
        assert_eq!(pool.close_idle(Duration::from_secs(3600)), 2);
        assert_eq!(sessions(cluster, "pool_size"), "2");
    }

    #[tokio::test]
    async fn a_connection_that_was_ended_is_replaced() {
        let (cluster, dsn) = database("pool_ended");
        let pool = Pool::new(dsn, 1);
        pool.obstacles("p").await.unwrap();
        sql(
            cluster,
            "postgres",
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = 'pool_ended'",
        );
        // The news of the end may come before the next question, or in place of its answer.
        if let Err(error) = pool.obstacles("p").await {
            assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
        }
        pool.obstacles("p").await.unwrap();
    }

    #[tokio::test]
    async fn what_keeps_us_out_is_told_apart() {
        let (cluster, _) = database("pool_out");
        let ask = async |dsn: &str| Pool::new(parse(dsn), 1).obstacles("p").await.unwrap_err();
        let wrong = ask(&cluster.dsn("postgres", "wrong", "pool_out")).await;
        assert!(
            matches!(wrong, Error::Refused(Definite::Password { .. })),
            "{wrong:?}"
        );
        let missing = ask(&cluster.superuser_dsn("no_such_database")).await;
        assert!(
            matches!(missing, Error::Refused(Definite::DatabaseMissing { .. })),
            "{missing:?}"
        );

        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let nobody = ask(&format!("postgres://u:secret@{free}/d")).await;
        assert!(matches!(nobody, Error::Unreachable(_)), "{nobody:?}");
        assert!(!format!("{nobody} {nobody:?}").contains("secret"));

        sql(
            cluster,
            "pool_out",
            "create role single login password 'p' connection limit 1;",
        );
        let first = Pool::new(parse(&cluster.dsn("single", "p", "pool_out")), 1);
        first.obstacles("p").await.unwrap();
        let second = ask(&cluster.dsn("single", "p", "pool_out")).await;
        assert!(matches!(second, Error::LackOfConnections { .. }), "{second:?}");
    }

    #[tokio::test]
    async fn sessions_are_encrypted_and_bound_to_their_channel() {
        let mut cluster = TestCluster::start(&[]);
        let command = "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                       -keyout server.key -out server.crt -subj /CN=localhost -days 2 2>&1";
        sql(
            &cluster,
            "postgres",
            &format!("copy (select) to program 'cat > /dev/null; {command}'; alter system set ssl = on"),
        );
        let plain = format!("{}?sslmode=require", cluster.superuser_dsn("postgres"));
        let refused = Pool::new(parse(&plain), 1).obstacles("p").await.unwrap_err();
        assert!(
            matches!(refused, Error::Refused(Definite::TlsNotOffered { .. })),
            "{refused:?}"
        );
        cluster.restart().unwrap();
        let pool = Pool::new(parse(&format!("{plain}&channel_binding=require")), 1);
        pool.obstacles("p").await.unwrap();
        let encrypted =
            "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'roost'";
        assert_eq!(sql(&cluster, "postgres", encrypted), "t");
    }

    #[tokio::test]
    async fn no_connection_is_kept_of_a_question_that_was_given_up() {
        let (cluster, dsn) = database("pool_given_up");
        sql(cluster, "pool_given_up", "create publication p;");
        let pool = Pool::new(dsn, 1);
        pool.published("p").await.unwrap();
        {
            let mut question = std::pin::pin!(pool.published("p"));
            let once = std::future::poll_fn(|cx| std::task::Poll::Ready(question.as_mut().poll(cx)));
            assert!(once.await.is_pending());
        }
        assert_eq!(pool.close_idle(Duration::from_secs(3600)), 0);
        pool.published("p").await.unwrap();
    }
}

mod migrations {
    use super::*;

    #[tokio::test]
    async fn each_step_is_taken_once() {
        let (cluster, dsn) = database("migrations_once");
        assert_eq!(
            migrate(&dsn, Set::Tenant).await.unwrap().applied,
            [
                "tenant/0001_publication",
                "tenant/0002_messages",
                "tenant/0003_send",
                "tenant/0004_messages_publication"
            ]
        );
        assert!(migrate(&dsn, Set::Tenant).await.unwrap().applied.is_empty());
        assert_eq!(
            migrate(&dsn, Set::Dev).await.unwrap().applied,
            ["dev/0001_roles", "dev/0002_auth", "dev/0003_rooms"]
        );
        assert!(migrate(&dsn, Set::Dev).await.unwrap().applied.is_empty());
        assert_eq!(
            sql(
                cluster,
                "migrations_once",
                "select count(*) from roost.migrations"
            ),
            "7"
        );
    }

    #[tokio::test]
    async fn the_dev_set_makes_a_chat_everybody_can_use() {
        let (cluster, dsn) = database("migrations_dev");
        migrate(&dsn, Set::Dev).await.unwrap();
        let written = sql(
            cluster,
            "migrations_dev",
            "set role anon; insert into room_messages (body) values ('hello') returning room;",
        );
        assert_eq!(written, "lobby");
        let pool = Pool::new(dsn, 1);
        let tables = pool.published("supabase_realtime").await.unwrap().tables;
        assert_eq!(names(&tables), ["public.room_messages", "public.rooms"]);
        assert!(tables.iter().all(|table| !table.row_security));
        let selectable = pool.selectable("authenticated", &tables).await.unwrap();
        for table in &tables {
            let columns = selectable.of(table.oid).expect("asked about");
            assert!((0..table.columns.len()).all(|position| columns.contains(position)));
        }
        let claims = r#"set role authenticated;
            select set_config('request.jwt.claims', '{"sub":"8b2e8a1c-0000-4000-8000-000000000001","role":"x"}', false)
            \g /dev/null
            select auth.uid(), auth.role(), auth.jwt() ->> 'role';"#;
        assert_eq!(
            sql(cluster, "migrations_dev", claims),
            "8b2e8a1c-0000-4000-8000-000000000001|x|x"
        );
    }

    #[tokio::test]
    async fn what_the_reference_has_set_up_stays_as_it_is() {
        let (cluster, dsn) = database("migrations_beside");
        sql(
            cluster,
            "migrations_beside",
            "create schema realtime; create schema auth;
             create table realtime.schema_migrations (version bigint primary key);
             insert into realtime.schema_migrations values (20211116024918);
             create function auth.uid() returns uuid language sql as 'select null::uuid';
             create table notes (id integer primary key);
             create publication supabase_realtime for table notes;",
        );
        migrate(&dsn, Set::Dev).await.unwrap();
        let look = "select (select count(*) from realtime.schema_migrations),
            (select prosrc from pg_proc where oid = 'auth.uid()'::regprocedure),
            (select string_agg(tablename, ' ' order by tablename) from pg_publication_tables)";
        assert_eq!(
            sql(cluster, "migrations_beside", look),
            "1|select null::uuid|notes room_messages rooms"
        );
    }

    #[tokio::test]
    async fn of_two_that_migrate_at_once_one_does_the_work() {
        let (_, dsn) = database("migrations_race");
        let (first, second) = tokio::join!(migrate(&dsn, Set::Dev), migrate(&dsn, Set::Dev));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.applied.len() + second.applied.len(), 7);
        assert!(first.applied.is_empty() || second.applied.is_empty());
    }

    #[tokio::test]
    async fn a_role_that_may_not_create_is_told_so() {
        let (cluster, _) = database("migrations_refused");
        sql(
            cluster,
            "migrations_refused",
            "create role lowly login password 'p';",
        );
        let dsn = parse(&cluster.dsn("lowly", "p", "migrations_refused"));
        let error = migrate(&dsn, Set::Tenant).await.unwrap_err();
        assert!(
            matches!(&error, Error::Migration { reason, .. } if reason.sqlstate == "42501"),
            "{error:?}"
        );
    }
}
