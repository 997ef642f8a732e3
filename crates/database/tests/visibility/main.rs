//! Who sees which rows, against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gone;
mod tables;
#[path = "../viewers/mod.rs"]
mod viewers;

use std::sync::Arc;

use changes::{Shape, Type};
use database::visibility::{Answers, Question, Row};
use database::{Error, Pool};
use pgcluster::TestCluster;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio_postgres::{Client, NoTls};
use viewers::{World, assert_clean};

const ANN: &str = r#"{"sub":"00000000-0000-4000-8000-00000000000a"}"#;
const BOB: &str = r#"{"sub":"00000000-0000-4000-8000-00000000000b"}"#;

/// Rooms with members; ann is in room 1, bob in room 2.
const CHAT: &str = "
create table members (room bigint, member uuid, primary key (room, member));
create table notes (id bigint primary key, room bigint, body text);
alter table notes enable row level security;
create policy members_only on notes for select to authenticated using (
  exists (select from members m where m.room = notes.room and m.member = (select auth.uid())));
create policy not_for_reading on notes for update to anon using (true);
insert into members values (1, '00000000-0000-4000-8000-00000000000a'), (2, '00000000-0000-4000-8000-00000000000b');
insert into notes values (1, 1, 'a'), (2, 2, 'b'), (3, 1, 'c');
grant select on members, notes to anon, authenticated, service, \"web-user\";";

fn question(role: &str, claims: &str, table: &str, rows: &[Arc<Row>]) -> Question {
    Question {
        role: role.into(),
        claims: claims.into(),
        schema: "public".into(),
        table: table.into(),
        rows: rows.to_vec(),
    }
}

/// A type by its name in SQL, which is all that matters here.
fn named(sql: &str) -> Type {
    Type {
        oid: 0,
        name: sql.into(),
        sql: sql.into(),
        shape: Shape::Scalar,
    }
}

/// Rows by the text of their only key column.
fn keys(column: &str, r#type: &str, texts: &[&str]) -> Vec<Arc<Row>> {
    let r#type = named(r#type);
    let row = |text: &&str| Arc::new(Row::current([(column, &r#type, *text)]));
    texts.iter().map(row).collect()
}

fn ids(texts: &[&str]) -> Vec<Arc<Row>> {
    keys("id", "pg_catalog.int8", texts)
}

/// A row that is gone, `~` for NULL.
fn image(values: &[(&str, &str)]) -> Arc<Row> {
    let any = named("unused");
    let value = |(name, text): &(&'static str, &'static str)| (*name, *text);
    let values: Vec<(&str, &str)> = values
        .iter()
        .map(|(name, text)| value(&(leak(name), leak(text))))
        .collect();
    let values = values.iter().map(|(name, text)| {
        let any: &Type = &any;
        (*name, any, (*text != "~").then_some(*text))
    });
    Arc::new(Row::image(values))
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.into())
}

/// What each question's rows are: `+` seen, `-` not, or the error.
fn shown(answers: &Answers) -> Vec<String> {
    let shown = answers.seen.iter().map(|seen| match seen {
        Ok(seen) => seen.iter().map(|seen| if *seen { '+' } else { '-' }).collect(),
        Err(error) => short(error),
    });
    shown.collect()
}

fn short(error: &Error) -> String {
    match error {
        Error::Statement(said) => said.sqlstate.clone(),
        Error::RoleMissing { role } => format!("no role {role}"),
        Error::RoleNotGranted { role, user } => format!("grant {role} to {user}"),
        Error::TableAltered { table } => format!("{table} altered"),
        other => panic!("{other}"),
    }
}

async fn ask(pool: &Pool, questions: &[Question]) -> Vec<String> {
    let answers = pool.visible(questions).await.unwrap();
    assert_clean(pool).await;
    shown(&answers)
}

#[tokio::test]
async fn each_sees_what_the_policies_let_them_see() {
    let world = World::new("visible_chat", CHAT);
    let pool = world.pool();
    let rows = ids(&["1", "2", "3", "4"]);
    let one_alone = ids(&["3"]);
    let questions = [
        question("authenticated", ANN, "notes", &rows),
        question("anon", ANN, "notes", &rows),
        question("authenticated", BOB, "notes", &rows),
        question("service", "", "notes", &rows),
        question("authenticated", ANN, "notes", &rows),
        question("authenticated", ANN, "notes", &one_alone),
        question("authenticated", ANN, "notes", &[]),
        question("authenticated", "", "notes", &rows),
        question("web-user", ANN, "members", &[]),
    ];
    // The second time, with what has been prepared.
    for _ in 0..2 {
        assert_eq!(
            ask(&pool, &questions).await,
            ["+-+-", "----", "-+--", "+++-", "+-+-", "+", "", "----", ""]
        );
    }
}

#[tokio::test]
async fn without_questions_there_is_a_snapshot_and_a_version() {
    let world = World::new("visible_nothing", "create table t (id bigint primary key);");
    let pool = world.pool();
    let before = pool.visible(&[]).await.unwrap();
    let xid: u32 = world
        .sql("insert into t values (1); select xmin from t")
        .parse()
        .unwrap();
    let after = pool.visible(&[]).await.unwrap();
    assert!(!before.snapshot.sees(xid) && after.snapshot.sees(xid));
    assert_eq!(pool.catalog_version().await.unwrap(), after.version);
    assert_clean(&pool).await;
}

#[tokio::test]
async fn the_failure_of_one_is_no_others() {
    let world = World::new(
        "visible_failures",
        "
        create table t (id bigint primary key);
        insert into t values (1), (2);
        alter table t enable row level security;
        create policy reading_claims on t to authenticated, raised using (
          id <= (current_setting('request.jwt.claims')::jsonb ->> 'n')::integer);
        create schema hidden;
        create table hidden.t (id bigint primary key);
        create table ungranted (id bigint primary key);
        grant select on t to authenticated;
        grant usage on schema hidden to anon;
        grant select on hidden.t to public;",
    );
    let pool = world.pool();
    let rows = ids(&["1", "2", "3"]);
    let mut hidden = question("authenticated", "{}", "t", &rows);
    hidden.schema = "hidden".into();
    let mut shown_hidden = hidden.clone();
    shown_hidden.role = "anon".into();
    let mut nul = question("authenticated", r#"{"n": 1}"#, "t", &rows);
    nul.claims = "{\0}".into();
    let mut questions = vec![
        question("authenticated", r#"{"n": 1}"#, "t", &rows),
        question("authenticated", r#"{"n": "x"}"#, "t", &rows),
        question("authenticated", r#"{"n": 2}"#, "t", &rows),
        question("authenticated", "not json", "t", &rows),
        question("authenticated", "", "t", &rows),
        question("authenticated", r#"{"n": 9}"#, "t", &rows),
        nul,
        hidden,
        shown_hidden,
        question("raised", r#"{"n": 1}"#, "t", &rows),
        question("ungranted", r#"{"n": 1}"#, "t", &rows),
        question("no such role", r#"{"n": 1}"#, "t", &rows),
        question("none", r#"{"n": 1}"#, "t", &rows),
        question("NONE", r#"{"n": 1}"#, "t", &rows),
        question("authenticated", r#"{"n": 1}"#, "gone", &rows),
        question("authenticated", r#"{"n": 1}"#, "ungranted", &rows),
        question(
            "authenticated",
            r#"{"n": 1}"#,
            "t",
            &keys("id", "no.such", &["1"]),
        ),
        question("authenticated", r#"{"n": 1}"#, "t", &ids(&["x"])),
        question(
            "authenticated",
            r#"{"n": 9}"#,
            "t",
            &[ids(&["2"]), ids(&["1\0"]), vec![Arc::new(Row::current([]))]].concat(),
        ),
    ];
    let expected = [
        "+--",
        "22P02",
        "++-",
        "22P02",
        "22P02",
        "++-",
        "22021",
        "42501",
        "---",
        "42501",
        "grant ungranted to gateway",
        "no role no such role",
        "no role none",
        "no role NONE",
        "42P01",
        "42501",
        "3F000",
        "22P02",
        "+--",
    ];
    assert_eq!(ask(&pool, &questions).await, expected);
    // In whatever order they are asked.
    questions.reverse();
    let backwards: Vec<&str> = expected.into_iter().rev().collect();
    assert_eq!(ask(&pool, &questions).await, backwards);
    let message = pool
        .visible(&questions)
        .await
        .unwrap()
        .failures()
        .find_map(|(_, error)| matches!(error, Error::RoleNotGranted { .. }).then(|| error.to_string()));
    assert_eq!(
        message.unwrap(),
        r#"the database lets "gateway" not act as "ungranted": GRANT "ungranted" TO "gateway""#
    );
}

#[tokio::test]
async fn what_takes_too_long_is_the_failure_of_one() {
    let world = World::new(
        "visible_slow",
        "
        create table t (id bigint primary key);
        insert into t values (1);
        alter table t enable row level security;
        create policy slow on t using (
          current_setting('request.jwt.claims') <> 'slow' or pg_sleep(600) is not null);
        grant select on t to anon;",
    );
    let pool = world.pool_with("?options=-c%20statement_timeout%3D100ms");
    let rows = ids(&["1"]);
    let questions = ["", "slow", "{}"].map(|claims| question("anon", claims, "t", &rows));
    assert_eq!(ask(&pool, &questions).await, ["+", "57014", "+"]);
}

#[tokio::test]
async fn a_connection_is_closed_if_its_questions_are_given_up() {
    let world = World::new("visible_given_up", CHAT);
    let pool = world.pool();
    let questions = [question("authenticated", ANN, "notes", &ids(&["1"]))];
    pool.visible(&questions).await.unwrap();
    {
        let mut asking = std::pin::pin!(pool.visible(&questions));
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
        assert!(once.await.is_pending());
    }
    assert_eq!(pool.close_idle(std::time::Duration::from_secs(3600)), 0);
    assert_eq!(ask(&pool, &questions).await, ["+"]);
}

#[tokio::test]
async fn nothing_that_a_policy_does_remains() {
    let world = World::new(
        "visible_writes",
        "
        create table t (id bigint primary key);
        create table seen (by text);
        insert into t values (1);
        alter table t enable row level security;
        create function note() returns boolean language sql volatile security definer as
          $$ insert into seen values ('x'); select set_config('search_path', 'nowhere', false) is not null $$;
        create policy noting on t using (note());
        grant select on t to anon;",
    );
    let pool = world.pool();
    let questions = [question("anon", "", "t", &ids(&["1"]))];
    assert_eq!(ask(&pool, &questions).await, ["+"]);
    assert_eq!(world.sql("select count(*) from seen"), "0");
    assert_eq!(
        ask(&pool, &questions).await,
        ["+"],
        "the search path is what it was"
    );
}

#[tokio::test]
async fn what_policies_remember_of_one_is_not_there_for_the_next() {
    let world = World::new(
        "visible_remembered",
        "
        create table t (id text primary key);
        insert into t values ('ann'), ('bob');
        alter table t enable row level security;
        create function who() returns text language plpgsql volatile as $$ begin
          if coalesce(current_setting('app.who', true), '') = '' then
            perform set_config('app.who', current_setting('request.jwt.claims'), true);
          end if;
          return current_setting('app.who');
        end $$;
        create policy p on t using (id = who());
        grant select on t to anon, authenticated;",
    );
    let pool = world.pool();
    let rows = [
        keys("id", "pg_catalog.text", &["ann", "bob"]),
        vec![image(&[("id", "ann")]), image(&[("id", "bob")])],
    ]
    .concat();
    let asked = |role, claims| question(role, claims, "t", &rows);
    let questions = [
        asked("anon", "ann"),
        asked("anon", "bob"),
        asked("authenticated", "bob"),
        asked("authenticated", "ann"),
    ];
    assert_eq!(ask(&pool, &questions).await, ["+-+-", "-+-+", "-+-+", "+-+-"]);
}

#[tokio::test]
async fn a_text_that_the_server_cannot_read_is_the_failure_of_one() {
    let world = World::new("visible_utf8", "");
    let latin1 = "create database visible_latin1 encoding latin1 locale 'C' template template0";
    world.cluster.execute("postgres", latin1).unwrap();
    let setup =
        "create table t (id bigint primary key); insert into t values (1); grant select on t to anon;";
    world.cluster.execute("visible_latin1", setup).unwrap();
    let dsn = world.cluster.dsn("gateway", "p", "visible_latin1");
    let pool = Pool::new(dsn.parse().unwrap(), 1);
    let rows = ids(&["1", "2"]);
    let asked = |claims| question("anon", claims, "t", &rows);
    let questions = ["a", "😀", "é", "😎"].map(asked);
    for _ in 0..2 {
        let answers = pool.visible(&questions).await.unwrap();
        assert_eq!(shown(&answers), ["+-", "22P05", "+-", "22P05"]);
    }
}

#[tokio::test]
async fn all_answers_are_of_one_snapshot() {
    let world = World::new(
        "visible_snapshot",
        "
        create table t (id bigint primary key);
        create table flag (up boolean);
        insert into t values (1);
        insert into flag values (false);
        alter table t enable row level security;
        create policy waiting on t using (
          case when current_setting('request.jwt.claims') = 'a wait' then pg_advisory_xact_lock(7) is not null end
          or (select up from flag));
        grant select on t, flag to anon;",
    );
    let pool = world.pool();
    let (mut other, connection) = tokio_postgres::connect(&world.cluster.superuser_dsn(world.name), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let held = other.transaction().await.unwrap();
    held.batch_execute("select pg_advisory_xact_lock(7); update flag set up = true")
        .await
        .unwrap();
    let rows = ids(&["1"]);
    let questions = ["a wait", "b"].map(|claims| question("anon", claims, "t", &rows));
    let release = async {
        // Until the first check waits.
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
        while held.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        let xid: String = held
            .query_one("select pg_current_xact_id()::text", &[])
            .await
            .unwrap()
            .get(0);
        held.commit().await.unwrap();
        xid.parse::<u64>().unwrap()
    };
    let (answers, xid) = tokio::join!(pool.visible(&questions), release);
    let answers = answers.unwrap();
    assert_eq!(shown(&answers), ["+", "-"]);
    assert!(!answers.snapshot.sees(u32::try_from(xid).unwrap()));
    assert_eq!(ask(&pool, &questions).await, ["+", "+"]);
}

#[test]
fn any_text_is_only_a_text() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = World::new(
        "visible_any_text",
        r#"
        alter database visible_any_text set standard_conforming_strings = off;
        create table notes (id text primary key, claims text);
        alter table notes enable row level security;
        create policy p on notes using (claims = current_setting('request.jwt.claims'));
        grant select on notes to public;"#,
    );
    let pools = [
        world.pool(),
        world.pool_with("?options=-c%20standard_conforming_strings%3Don"),
    ];
    let client = runtime.block_on(connect(world.cluster, world.name));
    let role = prop_oneof![
        Just("anon".to_owned()),
        Just("web-user".to_owned()),
        Just("a'b\"c\\d; drop table notes; --".to_owned()),
        text(),
    ];
    let viewer = (role, text(), text());
    let viewers = proptest::collection::vec(viewer, 1..8);
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&viewers, |viewers| {
            runtime.block_on(client.batch_execute("truncate notes")).unwrap();
            // The key of each, with their claims.
            let mut notes: Vec<(&str, &str)> = Vec::new();
            for (_, claims, key) in &viewers {
                let is_new = !notes.iter().any(|(known, _)| known == key);
                if is_new && !key.contains('\0') && !claims.contains('\0') {
                    notes.push((key, claims));
                    runtime
                        .block_on(client.execute("insert into notes values ($1, $2)", &[key, claims]))
                        .unwrap();
                }
            }
            let texts: Vec<&str> = viewers.iter().map(|(_, _, key)| &**key).collect();
            let current = keys("id", "pg_catalog.text", &texts);
            let gone = viewers.iter().map(|(_, claims, key)| {
                let any = named("unused");
                let values = [("id", &any, Some(&**key)), ("claims", &any, Some(&**claims))];
                Arc::new(Row::image(values))
            });
            let rows: Vec<Arc<Row>> = current.into_iter().chain(gone).collect();
            let questions: Vec<Question> = viewers
                .iter()
                .map(|(role, claims, _)| question(role, claims, "notes", &rows))
                .collect();
            for pool in &pools {
                let answers = runtime.block_on(pool.visible(&questions)).unwrap();
                for ((role, claims, _), seen) in viewers.iter().zip(&answers.seen) {
                    if viewers.iter().all(|(_, _, key)| key.contains('\0')) {
                        prop_assert_eq!(seen, &Ok(vec![false; rows.len()]), "no row can be like that");
                        continue;
                    }
                    if claims.contains('\0') || role.contains('\0') {
                        prop_assert_eq!(short(seen.as_ref().unwrap_err()), "22021");
                        continue;
                    }
                    if !["anon", "web-user", "a'b\"c\\d; drop table notes; --"].contains(&&**role) {
                        prop_assert_eq!(short(seen.as_ref().unwrap_err()), format!("no role {role}"));
                        continue;
                    }
                    let current = viewers
                        .iter()
                        .map(|(_, _, key)| notes.iter().any(|note| *note == (key, claims)));
                    let gone = viewers
                        .iter()
                        .map(|(_, theirs, key)| theirs == claims && !key.contains('\0'));
                    let expected: Vec<bool> = current.chain(gone).collect();
                    prop_assert_eq!(seen, &Ok(expected));
                }
                runtime.block_on(assert_clean(pool));
            }
            Ok(())
        })
        .unwrap();
}

async fn connect(cluster: &TestCluster, database: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.superuser_dsn(database), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
}

/// Texts that would like to be statements.
fn text() -> impl Strategy<Value = String> {
    const NASTY: [&str; 20] = [
        "'",
        "\"",
        "\\",
        "\\'",
        "$$",
        "E'",
        ";",
        "--",
        "/*",
        "{",
        "}",
        "(",
        ")",
        ",",
        "NULL",
        "\0",
        "\n",
        "é",
        "');drop table notes;--",
        "a",
    ];
    let pieces = prop_oneof![
        4 => proptest::sample::select(&NASTY[..]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}
