//! The rows somebody sees now, against a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod viewers;

use std::sync::Arc;

use changes::{ColumnSet, Condition, Operator, Table};
use database::rows::RowsWanted;
use database::{Error, Pool};
use viewers::{World, assert_clean};

async fn table(world: &World, pool: &Pool) -> Arc<Table> {
    world.sql("create publication p for all tables");
    let tables = pool.published("p").await.unwrap().tables;
    Arc::new(tables.into_iter().find(|table| &*table.name == "notes").unwrap())
}

fn wanted(table: &Arc<Table>, role: &str, claims: &str) -> RowsWanted {
    RowsWanted {
        table: table.clone(),
        columns: (0..table.columns.len()).collect(),
        role: role.into(),
        claims: claims.into(),
        conditions: Vec::new(),
        rows_max: 100,
    }
}

fn condition(column: &str, negated: bool, operator: Operator, value: &str) -> Condition {
    Condition {
        column: column.into(),
        operator,
        value: value.into(),
        negated,
    }
}

/// A line per row, `|` between columns, `~` for nothing.
async fn read(pool: &Pool, wanted: RowsWanted) -> String {
    let (_, found) = pool.current_rows(&[wanted]).await.unwrap();
    let [found] = &found[..] else { panic!("{found:?}") };
    let lines = found.rows.iter().map(|row| {
        let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("~")).collect();
        values.join("|")
    });
    let lines: Vec<String> = lines.chain(found.more.then(|| "more".to_owned())).collect();
    assert_clean(pool).await;
    lines.join("\n")
}

const NOTES: &str = "
create table notes (
  body text, id bigint, part integer, flag boolean, padded char(4), at timestamptz, raw bytea, n numeric(6,2), l integer[],
  primary key (part, id));
insert into notes values
  ('b', 2, 1, true, 'x', '2026-02-28 12:34:56.5+02', '\\x00ff', 1.5, '{1,2}'),
  ('a', 1, 2, null, null, null, null, null, null),
  ('', 3, 1, false, '', 'infinity', '', 0, '{}');
alter table notes enable row level security;
create policy by_claims on notes using (
  id <= (current_setting('request.jwt.claims')::jsonb ->> 'n')::integer);
grant select on notes to authenticated;
grant select (part, id, body) on notes to anon;";

#[tokio::test]
async fn rows_come_by_their_key_in_the_texts_of_the_stream() {
    let world = World::new("rows", NOTES);
    let pool = world.pool();
    let table = table(&world, &pool).await;
    assert_eq!(
        read(&pool, wanted(&table, "authenticated", r#"{"n": 9}"#)).await,
        "a|1|2|~|~|~|~|~|~\n\
         b|2|1|t|x   |2026-02-28 10:34:56.5+00|\\x00ff|1.50|{1,2}\n\
         |3|1|f|    |infinity|\\x|0.00|{}"
    );
    assert_eq!(
        read(&pool, wanted(&table, "authenticated", r#"{"n": 1}"#)).await,
        "a|1|2|~|~|~|~|~|~"
    );
    assert_eq!(
        read(&pool, wanted(&table, "authenticated", r#"{"n": 0}"#)).await,
        ""
    );
    let mut few = wanted(&table, "anon", r#"{"n": 9}"#);
    few.columns = ColumnSet::from_iter([0, 2]);
    assert_eq!(
        read(&pool, few.clone()).await,
        "a|~|2|~|~|~|~|~|~\nb|~|1|~|~|~|~|~|~\n|~|1|~|~|~|~|~|~"
    );
    few.rows_max = 2;
    assert_eq!(
        read(&pool, few.clone()).await,
        "a|~|2|~|~|~|~|~|~\nb|~|1|~|~|~|~|~|~\nmore"
    );
    few.rows_max = 3;
    assert!(!read(&pool, few.clone()).await.ends_with("more"));
    few.rows_max = 0;
    assert_eq!(read(&pool, few.clone()).await, "more");
    few.columns = ColumnSet::default();
    few.rows_max = 9;
    assert_eq!(read(&pool, few).await.lines().count(), 3);
}

#[tokio::test]
async fn conditions_are_evaluated_where_the_rows_are() {
    let world = World::new("rows_conditions", NOTES);
    let pool = world.pool();
    let table = table(&world, &pool).await;
    for (column, negated, operator, value, ids) in [
        ("id", false, Operator::Gt, "1", "23"),
        ("id", true, Operator::Gt, "1", "1"),
        ("id", false, Operator::In, "{1,3}", "13"),
        ("flag", false, Operator::Is, "null", "1"),
        ("flag", true, Operator::Is, "true", "13"),
        ("flag", false, Operator::Neq, "true", "3"),
        ("flag", true, Operator::Eq, "true", "3"),
        ("flag", false, Operator::IsDistinct, "true", "13"),
        ("body", false, Operator::Match, "^[ab]$", "12"),
        ("body", true, Operator::Ilike, "A%", "23"),
        ("body", false, Operator::Eq, "a' or true; --\\", ""),
        ("padded", false, Operator::Eq, "x", "2"),
    ] {
        let mut wanted = wanted(&table, "authenticated", r#"{"n": 9}"#);
        wanted.columns = ColumnSet::from_iter([1]);
        wanted.conditions = vec![
            condition("part", false, Operator::Lt, "100"),
            condition(column, negated, operator, value),
        ];
        let read = read(&pool, wanted).await.replace(['|', '~', '\n'], "");
        assert_eq!(read, ids, "{column} {negated} {operator:?} {value}");
    }
}

#[tokio::test]
async fn all_reads_are_of_the_snapshot_that_is_told() {
    let world = World::new("rows_snapshot", NOTES);
    let pool = world.pool();
    let table = table(&world, &pool).await;
    let wanted = ["authenticated", "authenticated"].map(|role| wanted(&table, role, r#"{"n": 9}"#));
    let (before, rows) = pool.current_rows(&wanted).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0], rows[1]);
    let xid = world.sql("insert into notes (id, part) values (9, 9); select xmin from notes where id = 9");
    let xid = xid.parse().unwrap();
    let (after, rows) = pool.current_rows(&wanted).await.unwrap();
    assert!(!before.sees(xid) && after.sees(xid));
    assert_eq!(rows[1].rows.len(), 4);
    let (_, none) = pool.current_rows(&[]).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn values_are_kept_up_to_a_size() {
    let world = World::new("rows_large", NOTES);
    let pool = world.pool();
    let table = table(&world, &pool).await;
    world.sql("update notes set body = repeat('x', 6 << 20)");
    let (_, found) = pool
        .current_rows(&[wanted(&table, "authenticated", r#"{"n": 9}"#)])
        .await
        .unwrap();
    assert_eq!((found[0].rows.len(), found[0].more), (2, true));
    assert_clean(&pool).await;
}

#[tokio::test]
async fn failures_are_told_and_leave_nothing_behind() {
    let world = World::new("rows_failing", NOTES);
    let pool = world.pool();
    let table = table(&world, &pool).await;
    let altered = {
        let mut wanted = wanted(&table, "authenticated", "{}");
        wanted.conditions = vec![condition("gone", false, Operator::Eq, "x")];
        wanted
    };
    for (wanted, error) in [
        (wanted(&table, "authenticated", "x"), "22P02"),
        (wanted(&table, "anon", r#"{"n": 1}"#), "42501"),
        (wanted(&table, "none", "{}"), "no role none"),
        (wanted(&table, "nobody", "{}"), "no role nobody"),
        (wanted(&table, "ungranted", "{}"), "grant ungranted to gateway"),
        (wanted(&table, "authenticated", "\0"), "22021"),
        (altered, "public.notes"),
    ] {
        let sound = self::wanted(&table, "authenticated", r#"{"n": 9}"#);
        let told = match pool.current_rows(&[sound, wanted]).await.unwrap_err() {
            Error::Statement(said) => said.sqlstate,
            Error::RoleMissing { role } => format!("no role {role}"),
            Error::RoleNotGranted { role, user } => format!("grant {role} to {user}"),
            Error::TableAltered { table } => table,
            other => panic!("{other}"),
        };
        assert_eq!(told, error);
        assert_clean(&pool).await;
    }
}
