//! Messages that are asked for again.

use std::time::Duration;

use database::{DAYS_AHEAD, Error, KEEP_HOURS, MessagePayload, Pool, Replayed, Set, migrate};
use pgcluster::TestCluster;

struct Database {
    cluster: &'static TestCluster,
    name: &'static str,
    pool: Pool,
}

impl Database {
    async fn set_up(name: &'static str) -> Database {
        let cluster = TestCluster::shared();
        let dsn = cluster
            .create_database(name)
            .parse()
            .expect("the cluster's addresses can be parsed");
        let report = migrate(&dsn, Set::Tenant).await;
        report.expect("a superuser may do everything");
        let pool = Pool::new(dsn, 1);
        let done = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        done.expect("the table is ours");
        Database { cluster, name, pool }
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster
            .execute(self.name, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// So many seconds ago by the clock of the database. Milliseconds.
    fn ago(&self, seconds: u32) -> i64 {
        let now = format!("select floor(extract(epoch from now()) * 1000)::bigint - {seconds} * 1000");
        self.sql(&now).parse().expect("a number")
    }

    async fn events(&self, topic: &str, since_ms: i64, limit: i64) -> Vec<String> {
        let messages = self.pool.replay(topic, since_ms, limit).await;
        let messages = messages.expect("there is a table");
        messages.into_iter().filter_map(|message| message.event).collect()
    }
}

#[tokio::test]
async fn the_newest_of_a_topic_come_oldest_first() {
    let database = Database::set_up("replay_newest").await;
    database.sql(
        "insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
         select 'room', 'broadcast', 'ev' || n, '{}', true, now() at time zone 'UTC' - make_interval(secs => 60 - n)
         from generate_series(1, 30) n",
    );
    let since = database.ago(120);
    let numbered = |numbers: std::ops::RangeInclusive<u32>| -> Vec<String> {
        numbers.map(|number| format!("ev{number}")).collect()
    };
    assert_eq!(database.events("room", since, 2).await, numbered(29..=30));
    for limit in [0, -5, i64::MIN] {
        assert_eq!(database.events("room", since, limit).await, numbered(30..=30));
    }
    for limit in [25, 26, i64::MAX] {
        assert_eq!(database.events("room", since, limit).await, numbered(6..=30));
    }
    assert_eq!(
        database.events("room", database.ago(35), 25).await,
        numbered(26..=30)
    );
    assert_eq!(database.events("other", since, 25).await, [""; 0]);
}

#[tokio::test]
async fn only_private_broadcasts_of_the_time_are_replayed() {
    let database = Database::set_up("replay_which").await;
    database.sql(
        "insert into realtime.messages (topic, extension, event, payload, private, inserted_at)
         select 'room', extension, event, '{}', private, now() at time zone 'UTC' + distance
         from (values ('broadcast', 'yes', true, interval '-30 s'), ('broadcast', 'public', false, '-30 s'),
           ('broadcast', 'neither', null, '-30 s'), ('presence', 'presence', true, '-30 s'),
           ('broadcast', 'old', true, '-10 min'), ('broadcast', 'clock ahead', true, '30 s'),
           ('broadcast', 'ahead', true, '2 min')) as rows (extension, event, private, distance)",
    );
    assert_eq!(
        database.events("room", database.ago(60), 25).await,
        ["yes", "clock ahead"]
    );
    assert_eq!(
        database.events("room", i64::MIN, 25).await,
        ["old", "yes", "clock ahead"]
    );
    assert_eq!(database.events("room", i64::MAX, 25).await, [""; 0]);
    assert_eq!(database.events("room\0", 0, 25).await, [""; 0]);
    assert_eq!(
        database.events("'; drop table realtime.messages", 0, 25).await,
        [""; 0]
    );
}

#[tokio::test]
async fn ids_events_and_payloads_are_those_of_the_rows() {
    let database = Database::set_up("replay_payloads").await;
    database.sql(
        r#"insert into realtime.messages (id, topic, extension, event, payload, binary_payload, private) values
           ('AAAAAAAA-0000-4000-8000-000000000001', 'room', 'broadcast', 'json', '{"b":1.50,"a":[null]}', null, true),
           ('aaaaaaaa-0000-4000-8000-000000000002', 'room', 'broadcast', 'bytes', null, '\x00ff', true),
           ('aaaaaaaa-0000-4000-8000-000000000003', 'room', 'broadcast', 'none', null, '', true),
           ('aaaaaaaa-0000-4000-8000-000000000004', 'room', 'broadcast', null, null, null, true)"#,
    );
    let message = |number: u32, event: Option<&str>, payload| Replayed {
        id: format!("aaaaaaaa-0000-4000-8000-00000000000{number}"),
        event: event.map(str::to_owned),
        payload,
    };
    assert_eq!(
        database.pool.replay("room", 0, 25).await.unwrap(),
        [
            message(
                1,
                Some("json"),
                Some(MessagePayload::Json(r#"{"a": [null], "b": 1.50}"#.into()))
            ),
            message(2, Some("bytes"), Some(MessagePayload::Binary(vec![0, 0xff]))),
            message(3, Some("none"), Some(MessagePayload::Binary(vec![]))),
            message(4, None, None),
        ]
    );
}

#[tokio::test]
async fn what_one_transaction_sends_keeps_its_order() {
    let database = Database::set_up("replay_order").await;
    database.sql(
        "do $$ begin
           for n in 1 .. 20 loop
             perform realtime.send('{}', 'sent ' || n, 'room');
           end loop;
           insert into realtime.messages (topic, extension, event, private)
           select 'room', 'broadcast', 'inserted ' || n, true from generate_series(1, 5) n;
         end $$",
    );
    let sent = (1..=20).map(|number| format!("sent {number}"));
    let inserted = (1..=5).map(|number| format!("inserted {number}"));
    let all: Vec<String> = sent.chain(inserted).collect();
    assert_eq!(database.events("room", 0, 25).await, all);
    assert_eq!(database.events("room", 0, 7).await, all[18..]);
    let ids = database.pool.replay("room", 0, 25).await.unwrap();
    assert_eq!(database.pool.replay("room", 0, 25).await.unwrap(), ids);
}

#[tokio::test]
async fn a_table_of_a_reference_without_binary_payloads_is_replayed() {
    let database = Database::set_up("replay_before").await;
    database.sql(
        "alter table realtime.messages drop column binary_payload;
         insert into realtime.messages (topic, extension, event, payload, private) values ('room', 'broadcast', 'ev', '[1]', true)",
    );
    let messages = database.pool.replay("room", 0, 25).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload, Some(MessagePayload::Json("[1]".into())));
}

#[tokio::test]
async fn without_the_table_the_server_says_so() {
    let database = Database::set_up("replay_none").await;
    database.sql("drop table realtime.messages");
    let error = database.pool.replay("room", 0, 25).await.unwrap_err();
    assert!(
        matches!(&error, Error::Statement(server) if server.sqlstate == "42P01"),
        "{error:?}"
    );
}

#[tokio::test]
async fn only_a_commit_under_way_is_waited_for() {
    let database = Database::set_up("replay_settled").await;
    let moment = Duration::from_millis(50);
    let settled = || database.pool.messages_settled(moment);
    assert_eq!(settled().await, Ok(true));
    let insert = "insert into realtime.messages (topic, extension) values ('a', 'broadcast')";
    let dsn = database.cluster.superuser_dsn(database.name);
    let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls)
        .await
        .expect("a server");
    tokio::spawn(connection);
    client
        .batch_execute(&format!("begin; {insert}"))
        .await
        .expect("valid SQL");
    let waits = "select count(*) from pg_stat_activity where query like 'begin; insert%' and wait_event = 'ClientRead'";
    while database.sql(waits).trim() == "0" {
        tokio::task::yield_now().await;
    }
    assert_eq!(settled().await, Ok(true), "it waits for its client");
    let busy = client.batch_execute("do $$ begin loop end loop; end $$");
    tokio::select! {
        biased;
        ended = busy => panic!("it has no end: {ended:?}"),
        settled = async {
            let is_busy = "select count(*) from pg_stat_activity where query like 'do %' and state = 'active'";
            while database.sql(is_busy).trim() == "0" {
                tokio::task::yield_now().await;
            }
            settled().await
        } => assert_eq!(settled, Ok(false), "it may be committing"),
    }
    database.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like 'do %'");
    assert_eq!(
        database.pool.messages_settled(Duration::from_secs(30)).await,
        Ok(true)
    );
}
