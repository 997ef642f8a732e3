//! The `realtime` schema: made in an empty database, and left alone in one that the reference has set up.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};

use database::{
    DAYS_AHEAD, Day, Error, KEEP_HOURS, MESSAGES_PUBLICATION, Partitions, PartitionsError, Pool, Set, migrate,
};
use pgcluster::TestCluster;
use replication::Dsn;
use tokio_postgres::{AsyncMessage, Client, NoTls};

/// A database of its own for a test.
struct Database {
    cluster: &'static TestCluster,
    name: &'static str,
}

impl Database {
    /// Empty, beside the roles of Supabase.
    fn empty(name: &'static str) -> Database {
        let cluster = TestCluster::shared();
        static MADE: OnceLock<()> = OnceLock::new();
        MADE.get_or_init(|| {
            cluster.execute("postgres", ROLES).expect("roles are new");
        });
        cluster.create_database(name);
        Database { cluster, name }
    }

    /// As the reference leaves it, with marks in place of what its functions do.
    fn of_the_reference(name: &'static str) -> Database {
        let database = Database::empty(name);
        database.sql(REFERENCE);
        database
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster
            .execute(self.name, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn dsn(&self) -> Dsn {
        let dsn = self.cluster.superuser_dsn(self.name);
        dsn.parse().expect("the cluster's addresses can be parsed")
    }

    /// For the ordinary role.
    fn ordinary_dsn(&self) -> Dsn {
        let dsn = self.cluster.dsn("replicator", "p", self.name);
        dsn.parse().expect("the cluster's addresses can be parsed")
    }

    /// A session, and the warnings in it.
    async fn session(&self) -> (Client, Arc<Mutex<Vec<String>>>) {
        let dsn = self.cluster.superuser_dsn(self.name);
        let (client, mut connection) = tokio_postgres::connect(&dsn, NoTls)
            .await
            .expect("the cluster is up");
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&warnings);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    let mut heard = heard.lock().expect("nobody panics with it");
                    heard.push(notice.message().to_owned());
                }
            }
        });
        (client, warnings)
    }

    fn partitions(&self) -> String {
        self.sql(
            "select string_agg(c.relname, ' ' order by c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent = 'realtime.messages'::regclass and c.relkind = 'r'",
        )
    }
}

async fn migrated(database: &Database, pool_size: usize) -> Pool {
    let report = migrate(&database.dsn(), Set::Tenant).await;
    report.expect("a superuser may do everything");
    Pool::new(database.dsn(), pool_size)
}

/// What every object of the schema is, and whose.
const EVERYTHING: &str = "
select 'function', p.oid::regprocedure::text, md5(p.prosrc), p.proowner::regrole::text, p.proacl::text
from pg_proc p where p.pronamespace = 'realtime'::regnamespace
union all
select 'relation', c.oid::text || c.relname, c.relkind::text, c.relowner::regrole::text, c.relacl::text
from pg_class c where c.relnamespace = 'realtime'::regnamespace
union all
select 'column', a.attrelid::regclass || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
  pg_get_expr(d.adbin, d.adrelid)
from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on (adrelid, adnum) = (attrelid, attnum)
where c.relnamespace = 'realtime'::regnamespace and attnum > 0
union all
select 'schema', nspname, '', nspowner::regrole::text, nspacl::text from pg_namespace where nspname = 'realtime'
union all
select 'publication', pubname, oid::text, pubowner::regrole::text, (
  select string_agg(prrelid::regclass::text, ' ') from pg_publication_rel where prpubid = p.oid
) from pg_publication p
union all
select 'migrations', count(*)::text, '', '', '' from realtime.schema_migrations
order by 1, 2";

const ROLES: &str = "
create role anon nologin noinherit; create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls; create role dashboard_user nologin;
create role supabase_admin superuser; create role supabase_realtime_admin nologin noinherit;
create role replicator login replication password 'p'";

const REFERENCE: &str = "
create schema realtime authorization supabase_admin;
grant usage on schema realtime to anon, authenticated, service_role;
grant usage on schema realtime to postgres with grant option;
grant create, usage on schema realtime to supabase_realtime_admin with grant option;
create table realtime.schema_migrations (version bigint primary key, inserted_at timestamp(0));
alter table realtime.schema_migrations owner to supabase_admin;
insert into realtime.schema_migrations select 20211116024917 + n, now() from generate_series(1, 80) n;
create table realtime.messages (
  topic text not null, extension text not null, payload jsonb, event text, private boolean default false,
  updated_at timestamp not null default now(), inserted_at timestamp not null default now(),
  id uuid not null default gen_random_uuid(), binary_payload bytea
) partition by range (inserted_at);
alter table realtime.messages add constraint messages_payload_exclusive
  check (payload is null or binary_payload is null) not valid;
alter table realtime.messages add constraint messages_pkey primary key (id, inserted_at);
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
  where extension = 'broadcast' and private is true;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
grant all on realtime.messages to postgres, dashboard_user;
alter table realtime.messages owner to supabase_realtime_admin;
create function realtime.topic() returns text language sql as 'select ''mark''';
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
  language sql as 'select null::void';
alter function realtime.topic() owner to supabase_realtime_admin;
alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;
create publication supabase_realtime;
create publication supabase_realtime_messages_publication for table realtime.messages;
grant usage on schema realtime to replicator;
";

mod migrations {
    use super::*;

    #[tokio::test]
    async fn an_empty_database_gets_the_table_of_the_reference() {
        let ours = Database::empty("schema_ours");
        migrate(&ours.dsn(), Set::Tenant).await.unwrap();
        let theirs = Database::of_the_reference("schema_theirs");
        for look in [
            "select string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull,
               pg_get_expr(adbin, adrelid)), ', ' order by attnum)
             from pg_attribute left join pg_attrdef on (adrelid, adnum) = (attrelid, attnum)
             where attrelid = 'realtime.messages'::regclass and attnum > 0",
            "select string_agg(pg_get_indexdef(indexrelid), ', ' order by indexrelid::regclass::text)
             from pg_index where indrelid = 'realtime.messages'::regclass",
            "select string_agg(concat_ws(' ', conname, contype, conkey), ', ' order by conname)
             from pg_constraint where conrelid = 'realtime.messages'::regclass",
            "select relrowsecurity, relforcerowsecurity, relkind, pg_get_partkeydef(oid)
             from pg_class where oid = 'realtime.messages'::regclass",
            "select string_agg(concat_ws(' ', grantee, privilege_type, is_grantable), ', '
               order by grantee::text, privilege_type)
             from information_schema.table_privileges
             where table_schema = 'realtime' and table_name = 'messages'
               and grantee in ('anon', 'authenticated', 'service_role', 'dashboard_user')",
            "select has_schema_privilege('anon', 'realtime', 'usage'), has_schema_privilege('authenticated', 'realtime', 'usage'),
               has_schema_privilege('service_role', 'realtime', 'usage'), has_schema_privilege('anon', 'realtime', 'create')",
            "select string_agg(concat_ws(' ', pubname, schemaname, tablename), ', ') from pg_publication_tables",
            "select pubinsert, pubviaroot, puballtables, (select string_agg(prrelid::regclass::text, ' ') from pg_publication_rel)
             from pg_publication where pubname like '%messages%'",
        ] {
            assert_eq!(ours.sql(look), theirs.sql(look), "{look}");
        }
        let functions =
            "select string_agg(concat_ws(' ', oid::regprocedure, prosecdef, provolatile, proconfig,
              pg_get_function_arguments(oid)), '; ' order by proname)
            from pg_proc where pronamespace = 'realtime'::regnamespace";
        assert_eq!(
            ours.sql(functions),
            "realtime.broadcast_changes(text,text,text,text,text,record,record,text) f v topic_name text, event_name text, \
             operation text, table_name text, table_schema text, new record, old record, level text DEFAULT 'ROW'::text; \
             realtime.send(jsonb,text,text,boolean) f v payload jsonb, event text, topic text, private boolean DEFAULT true; \
             realtime.send_binary(bytea,text,text,boolean) f v payload bytea, event text, topic text, private boolean DEFAULT true; \
             realtime.topic() f s "
        );
    }

    #[tokio::test]
    async fn what_the_reference_has_set_up_stays_and_its_next_steps_apply() {
        let database = Database::of_the_reference("schema_beside");
        let before = database.sql(EVERYTHING);
        let report = migrate(&database.dsn(), Set::Tenant).await.unwrap();
        assert_eq!(report.applied.len(), 4);
        assert_eq!(database.sql(EVERYTHING), before);
        database.sql(
            "set role supabase_admin;
             create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
             returns void language sql as 'select null::void';
             create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
             returns void language sql as 'select null::void';
             alter function realtime.send_binary(bytea, text, text, boolean) owner to supabase_realtime_admin;
             alter table realtime.messages add column if not exists binary_payload bytea;
             alter table realtime.messages owner to supabase_realtime_admin;
             insert into realtime.schema_migrations values (20260709120000, now());",
        );
    }

    #[tokio::test]
    async fn a_publication_of_the_table_is_made_or_completed_where_the_reference_has_not_come_to_it() {
        let database = Database::of_the_reference("schema_publication");
        let listed =
            "select string_agg(pubname || ' ' || prrelid::regclass, ', ' order by prrelid::regclass::text)
             from pg_publication p join pg_publication_rel r on r.prpubid = p.oid";
        database.sql("drop publication supabase_realtime_messages_publication");
        migrate(&database.dsn(), Set::Tenant).await.unwrap();
        let whole = format!("{MESSAGES_PUBLICATION} realtime.messages");
        assert_eq!(database.sql(listed), whole);

        database.sql(
            "drop schema roost cascade; create table other (id integer);
             alter publication supabase_realtime_messages_publication set table other",
        );
        migrate(&database.dsn(), Set::Tenant).await.unwrap();
        assert_eq!(
            database.sql(listed),
            format!("{MESSAGES_PUBLICATION} other, {whole}")
        );
    }

    #[tokio::test]
    async fn a_schema_that_is_there_gets_only_what_is_missing() {
        let database = Database::empty("schema_partly");
        database.sql(
            "create schema realtime; create function realtime.topic() returns text language sql as 'select ''mark''';",
        );
        migrate(&database.dsn(), Set::Tenant).await.unwrap();
        assert_eq!(database.sql("select realtime.topic()"), "mark");
        assert_eq!(
            database.sql("select to_regprocedure('realtime.send(jsonb, text, text, boolean)') is not null"),
            "t"
        );
    }

    #[tokio::test]
    async fn an_ordinary_role_migrates_where_everything_is_there() {
        let database = Database::of_the_reference("schema_ordinary");
        let before = database.sql(EVERYTHING);
        let dsn = database.ordinary_dsn();
        // Neither may it make notes …
        let report = migrate(&dsn, Set::Tenant).await.unwrap();
        assert_eq!((report.applied.len(), report.unnoted.len()), (0, 4));
        // … nor read those of another role.
        migrate(&database.dsn(), Set::Tenant).await.unwrap();
        let report = migrate(&dsn, Set::Tenant).await.unwrap();
        assert_eq!((report.applied.len(), report.unnoted.len()), (0, 4));
        assert_eq!(database.sql(EVERYTHING), before);

        database.sql("grant usage on schema roost to replicator; grant select, insert on roost.migrations to replicator");
        let report = migrate(&dsn, Set::Tenant).await.unwrap();
        assert_eq!((report.applied.len(), report.unnoted.len()), (0, 0));
    }

    #[tokio::test]
    async fn an_ordinary_role_that_would_have_to_create_is_told_so() {
        let database = Database::empty("schema_refused");
        database.sql("create publication supabase_realtime");
        let error = migrate(&database.ordinary_dsn(), Set::Tenant).await.unwrap_err();
        let Error::Migration { name, reason } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((&**name, &*reason.sqlstate), ("tenant/0002_messages", "42501"));
    }
}

mod sending {
    use super::*;

    async fn set_up(name: &'static str) -> Database {
        let database = Database::empty(name);
        let pool = migrated(&database, 1).await;
        let done = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        done.expect("the table is ours");
        database
    }

    const STORED: &str =
        "select topic, extension, event, private, replace(payload::text, id::text, '<id>'), binary_payload,
        inserted_at = updated_at from realtime.messages order by inserted_at, cmin::text::integer";

    #[tokio::test]
    async fn a_payload_gains_the_id_of_the_row_unless_it_has_one() {
        let database = set_up("sending_ids").await;
        database.sql(
            r#"select realtime.send('{"a": 1}', 'ev', 'room');
               select realtime.send('{"id": null}', 'ev', 'room', false);
               select realtime.send('{"id": "mine"}', 'ev', 'room', true);
               select realtime.send('["id"]', 'ev', 'room');
               select realtime.send(null, null, 'room', null);
               select realtime.send_binary('\x00ff', 'ev', 'room');
               select realtime.send_binary(payload => '', event => 'ev', topic => 'room', private => false);"#,
        );
        assert_eq!(
            database.sql(STORED),
            r#"room|broadcast|ev|t|{"a": 1, "id": "<id>"}||t
room|broadcast|ev|f|{"id": null}||t
room|broadcast|ev|t|{"id": "mine"}||t
room|broadcast|ev|t|["id"]||t
room|broadcast|||||t
room|broadcast|ev|t||\x00ff|t
room|broadcast|ev|f||\x|t"#
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_in_sending_is_a_warning_and_nothing_is_stored() {
        let database = set_up("sending_warnings").await;
        let (client, warnings) = database.session().await;
        for (statement, words) in [
            ("select realtime.send('[1]', 'ev', 'room')", "path element"),
            ("select realtime.send('\"text\"', 'ev', 'room')", "scalar"),
            ("select realtime.send('{}', 'ev', null)", "null value"),
            ("select realtime.send_binary('x', 'ev', null)", "null value"),
            (
                "begin; set local role authenticated; select realtime.send('{}', 'ev', 'room'); commit",
                "row-level security",
            ),
            (
                "begin; set local role anon; select realtime.send_binary('x', 'ev', 'room'); commit",
                "row-level security",
            ),
            (
                "begin; alter table realtime.messages alter inserted_at set default '2000-01-01';
                 select realtime.send('{}', 'ev', 'room'); alter table realtime.messages alter inserted_at set default now();
                 commit",
                "no partition of relation",
            ),
        ] {
            client.batch_execute(statement).await.unwrap();
            let heard = std::mem::take(&mut *warnings.lock().unwrap());
            let [heard] = &heard[..] else {
                panic!("{statement}: {heard:?}");
            };
            assert!(
                heard.starts_with("WarnSendingBroadcastMessage: ") && heard.contains(words),
                "{statement}: {heard}"
            );
        }
        assert_eq!(database.sql("select count(*) from realtime.messages"), "0");
    }

    #[tokio::test]
    async fn policies_and_triggers_learn_the_topic_of_what_is_sent() {
        let database = set_up("sending_topic").await;
        database.sql(
            "create policy own on realtime.messages for insert to authenticated with check (realtime.topic() = 'mine')",
        );
        let sent = database.sql(
            "select coalesce(realtime.topic(), 'none');
             begin; set local role authenticated;
             select from realtime.send('{}', 'ev', 'mine') \\g /dev/null
             select realtime.topic();
             commit;
             select realtime.topic() is null;",
        );
        assert_eq!(sent, "none\nmine\nt");
        assert_eq!(database.sql("select topic from realtime.messages"), "mine");
    }

    #[tokio::test]
    async fn a_trigger_sends_rows_privately() {
        let database = set_up("sending_changes").await;
        database.sql(
            "create table posts (id text primary key, value text);
             create function changed() returns trigger language plpgsql as $$
             begin
               perform realtime.broadcast_changes(
                 'room', tg_op, tg_op, tg_table_name, tg_table_schema, new, old, tg_level);
               return null;
             end $$;
             create trigger changed after insert or update or delete on posts for each row execute function changed();
             begin; insert into posts values ('1', 'new'); commit;
             begin; update posts set value = 'newer'; commit;
             begin; delete from posts; commit;",
        );
        assert_eq!(
            database.sql(
                "select event, private, (payload ->> 'id')::uuid = id, payload - 'id' from realtime.messages order by inserted_at"
            ),
            r#"INSERT|t|t|{"table": "posts", "record": {"id": "1", "value": "new"}, "schema": "public", "operation": "INSERT", "old_record": null}
UPDATE|t|t|{"table": "posts", "record": {"id": "1", "value": "newer"}, "schema": "public", "operation": "UPDATE", "old_record": {"id": "1", "value": "new"}}
DELETE|t|t|{"table": "posts", "record": null, "schema": "public", "operation": "DELETE", "old_record": {"id": "1", "value": "newer"}}"#
        );
    }

    #[tokio::test]
    async fn a_trigger_that_is_misused_fails_its_statement() {
        let database = set_up("sending_misuse").await;
        let (client, _) = database.session().await;
        for (operation, level, words) in [
            (
                "'INSERT'",
                "'STATEMENT'",
                "function can only be triggered for each row, not for each statement",
            ),
            ("'TRUNCATE'", "'ROW'", "Unexpected operation type: TRUNCATE"),
            ("null", "null", "Unexpected operation type: <NULL>"),
        ] {
            let statement = format!(
                "select realtime.broadcast_changes('room', 'ev', {operation}, 't', 's', row(1), row(2), {level})"
            );
            let error = client.batch_execute(&statement).await.unwrap_err();
            let error = error.as_db_error().expect("the server's words");
            assert_eq!(error.message(), format!("Failed to process the row: {words}"));
            assert_eq!(error.code().code(), "P0001");
        }
        // What cannot be stored is still a warning.
        let sent = "select realtime.broadcast_changes(null, 'ev', 'INSERT', 't', 's', row(1), null::record)";
        client.batch_execute(sent).await.unwrap();
    }

    #[tokio::test]
    async fn a_row_cannot_have_both_payloads() {
        let database = set_up("sending_both").await;
        let (client, _) = database.session().await;
        let both = "insert into realtime.messages (topic, extension, payload, binary_payload) values ('t', 'broadcast', '{}', 'x')";
        let error = client.batch_execute(both).await.unwrap_err();
        let error = error.as_db_error().expect("the server's words");
        assert_eq!(error.constraint(), Some("messages_payload_exclusive"));
    }
}

mod partitions {
    use super::*;

    /// 2026-02-28.
    const TODAY: Day = Day(20_512);
    const AROUND: &str =
        "messages_2026_02_27 messages_2026_02_28 messages_2026_03_01 messages_2026_03_02 messages_2026_03_03";

    async fn set_up(name: &'static str) -> (Database, Pool) {
        let database = Database::empty(name);
        let pool = migrated(&database, 2).await;
        (database, pool)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn maintain(pool: &Pool, today: Day) -> Partitions {
        let done = pool
            .maintain_partitions(Some(today), DAYS_AHEAD, KEEP_HOURS)
            .await;
        done.expect("the table is ours, or nothing is to be done")
    }

    #[tokio::test]
    async fn the_days_around_today_have_partitions_like_those_of_the_reference() {
        let (database, pool) = set_up("partitions_days").await;
        let done = maintain(&pool, TODAY).await;
        assert_eq!(done.created.join(" "), AROUND);
        assert!(done.dropped.is_empty() && done.failed.is_empty());
        assert_eq!(database.partitions(), AROUND);
        assert_eq!(
            database.sql(
                "select pg_get_expr(relpartbound, oid), relrowsecurity, relacl is null, (
                   select count(*) from pg_index where indrelid = c.oid
                 ), (select count(*) from pg_inherits i join pg_index x on i.inhrelid = x.indexrelid where x.indrelid = c.oid)
                 from pg_class c where oid = 'realtime.messages_2026_02_28'::regclass"
            ),
            "FOR VALUES FROM ('2026-02-28 00:00:00') TO ('2026-03-01 00:00:00')|f|t|2|2"
        );
        assert_eq!(maintain(&pool, TODAY).await, Partitions::default());
    }

    #[tokio::test]
    async fn the_database_knows_what_day_it_is_in_utc() {
        let (database, pool) = set_up("partitions_today").await;
        let done = pool.maintain_partitions(None, 0, KEEP_HOURS).await.unwrap();
        assert_eq!(done.created.len(), 2);
        database.sql(
            "insert into realtime.messages (topic, extension, inserted_at) values ('t', 'broadcast', now() at time zone 'UTC'),
             ('t', 'broadcast', now() at time zone 'UTC' - interval '1 day')",
        );
    }

    #[tokio::test]
    async fn what_is_older_than_it_is_kept_is_dropped() {
        let (database, pool) = set_up("partitions_old").await;
        maintain(&pool, Day(TODAY.0 - 4)).await;
        database.sql(
            "create table realtime.messages_mine partition of realtime.messages for values from ('2020-01-01') to ('2020-02-01')",
        );
        let done = maintain(&pool, TODAY).await;
        assert_eq!(
            done.dropped,
            names(&["messages_2026_02_23", "messages_2026_02_24"])
        );
        assert_eq!(
            database.partitions(),
            format!("messages_2026_02_25 messages_2026_02_26 {AROUND} messages_mine")
        );
        let hour = pool
            .maintain_partitions(Some(TODAY), DAYS_AHEAD, 0)
            .await
            .unwrap();
        assert_eq!(hour.dropped.len(), 3);
    }

    #[tokio::test]
    async fn a_missing_one_is_made_and_a_detached_one_attached() {
        let (database, pool) = set_up("partitions_repair").await;
        maintain(&pool, TODAY).await;
        database.sql(
            "insert into realtime.messages (topic, extension, inserted_at) values ('t', 'broadcast', '2026-03-01 10:00:00');
             drop table realtime.messages_2026_02_28; alter table realtime.messages detach partition realtime.messages_2026_03_01",
        );
        let done = maintain(&pool, TODAY).await;
        assert_eq!(
            done.created,
            names(&["messages_2026_02_28", "messages_2026_03_01"])
        );
        assert_eq!(database.partitions(), AROUND);
        assert_eq!(database.sql("select count(*) from realtime.messages"), "1");
    }

    #[tokio::test]
    async fn a_day_that_somebody_elses_partition_covers_needs_none() {
        let (database, pool) = set_up("partitions_covered").await;
        database.sql(
            "create table realtime.messages_march partition of realtime.messages for values from ('2026-03-01') to ('2026-04-01')",
        );
        let done = maintain(&pool, TODAY).await;
        assert_eq!(
            done.created,
            names(&["messages_2026_02_27", "messages_2026_02_28"])
        );
        assert_eq!(done.failed, []);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_reported_and_the_others_are_made() {
        let (database, pool) = set_up("partitions_taken").await;
        database.sql("create view realtime.messages_2026_02_28 as select 1");
        let done = maintain(&pool, TODAY).await;
        assert_eq!(done.created.len(), 4);
        let [(name, _)] = &done.failed[..] else {
            panic!("{done:?}");
        };
        assert_eq!(name, "messages_2026_02_28");
    }

    #[tokio::test]
    async fn of_gateways_that_come_at_once_each_partition_is_made_by_one() {
        let (database, first) = set_up("partitions_race").await;
        let second = Pool::new(database.dsn(), 1);
        let (reference, _) = database.session().await;
        let theirs = async {
            for day in ["27", "28"] {
                let next = if day == "27" { "2026-02-28" } else { "2026-03-01" };
                // May come too late, as the reference's own may.
                let made = format!(
                    "create table if not exists realtime.messages_2026_02_{day} partition of realtime.messages
                     for values from ('2026-02-{day}') to ('{next}')"
                );
                _ = reference.batch_execute(&made).await;
            }
        };
        let (first, second, ()) = tokio::join!(maintain(&first, TODAY), maintain(&second, TODAY), theirs);
        assert_eq!((first.failed, second.failed), (vec![], vec![]));
        assert_eq!(database.partitions(), AROUND);
    }

    #[tokio::test]
    async fn writers_do_not_keep_partitions_from_being_made_only_from_being_dropped() {
        let (database, pool) = set_up("partitions_busy").await;
        maintain(&pool, Day(TODAY.0 - 4)).await;
        let (writer, _) = database.session().await;
        let write = "insert into realtime.messages (topic, extension, inserted_at) values ('t', 'broadcast', '2026-02-27')";
        writer.batch_execute(&format!("begin; {write}")).await.unwrap();
        let done = maintain(&pool, TODAY).await;
        assert_eq!(done.created.len(), 4);
        let [(name, reason)] = &done.failed[..] else {
            panic!("{done:?}");
        };
        assert_eq!((&**name, &*reason.sqlstate), ("messages_2026_02_23", "55P03"));
        writer.batch_execute(&format!("{write}; commit")).await.unwrap();
        assert_eq!(maintain(&pool, TODAY).await.dropped.len(), 2);
    }

    #[tokio::test]
    async fn a_role_that_does_not_own_the_table_is_told_so_once_there_is_something_to_do() {
        let database = Database::of_the_reference("partitions_owner");
        let pool = Pool::new(database.ordinary_dsn(), 1);
        let done = pool
            .maintain_partitions(Some(TODAY), DAYS_AHEAD, KEEP_HOURS)
            .await;
        let error = done.unwrap_err();
        assert!(
            matches!(&error, PartitionsError::NotOwner { user, owner, partitions }
                if user == "replicator" && owner == "supabase_realtime_admin" && partitions.len() == 5),
            "{error:?}"
        );
        maintain(&Pool::new(database.dsn(), 1), TODAY).await;
        assert_eq!(maintain(&pool, TODAY).await, Partitions::default());
        // A partition is the owner's, whoever makes it.
        assert_eq!(
            database.sql("select distinct tableowner from pg_tables where schemaname = 'realtime' and tablename like 'messages\\_%'"),
            "supabase_realtime_admin"
        );
    }

    #[tokio::test]
    async fn a_member_of_the_owner_keeps_house_as_well() {
        let database = Database::of_the_reference("partitions_member");
        database.sql("create role housekeeper login password 'p' in role supabase_realtime_admin");
        let dsn = database.cluster.dsn("housekeeper", "p", database.name);
        let pool = Pool::new(dsn.parse().unwrap(), 1);
        let done = maintain(&pool, TODAY).await;
        assert_eq!((done.created.join(" "), done.failed), (AROUND.to_owned(), vec![]));
        assert_eq!(maintain(&pool, Day(TODAY.0 + 10)).await.dropped.len(), 5);
    }

    #[tokio::test]
    async fn without_the_table_there_is_nothing_to_keep() {
        let database = Database::empty("partitions_none");
        let pool = Pool::new(database.dsn(), 1);
        let done = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        assert_eq!(done.unwrap_err(), PartitionsError::NoMessages);
        database.sql("create schema realtime; create table realtime.messages (id integer)");
        let done = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        assert_eq!(done.unwrap_err(), PartitionsError::NoMessages);
    }
}
