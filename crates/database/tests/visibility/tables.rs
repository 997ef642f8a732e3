//! Keys and tables of all kinds, and what becomes of them.

use changes::Operator;

use super::*;

const KINDS: [(&str, &str, &str, &[&str]); 12] = [
    ("k_text", "text", "pg_catalog.text", &["a'b\"c\\d,{}", "", "NULL"]),
    (
        "k_uuid",
        "uuid",
        "pg_catalog.uuid",
        &["11111111-1111-4111-8111-111111111111"],
    ),
    (
        "k_numeric",
        "numeric",
        "pg_catalog.numeric",
        &["1.50", "NaN", "1e300"],
    ),
    (
        "k_date",
        "date",
        "pg_catalog.date",
        &["2026-02-28", "infinity", "0044-03-15 BC"],
    ),
    (
        "k_mood",
        "kinds.\"My mood\"",
        "kinds.\"My mood\"",
        &["so, so", "happy"],
    ),
    ("k_short", "kinds.short", "kinds.short", &["abc", "\"x\""]),
    ("k_char", "char(5)", "pg_catalog.bpchar", &["ab   ", "     "]),
    (
        "k_varchar",
        "varchar(5)",
        "pg_catalog.\"varchar\"",
        &["ab", " a "],
    ),
    (
        "k_tz",
        "timestamptz",
        "pg_catalog.timestamptz",
        &["2026-02-28 12:34:56.123456+00"],
    ),
    ("k_bytea", "bytea", "pg_catalog.bytea", &["\\x00ff27", "\\x"]),
    (
        "k_array",
        "integer[]",
        "pg_catalog._int4",
        &["{1,2}", "{}", "{{1},{NULL}}"],
    ),
    (
        "k_pair",
        "kinds.pair",
        "kinds.pair",
        &["(1,\"a\"\"b,\\\\\")", "(,)"],
    ),
];

#[tokio::test]
async fn keys_of_any_type_are_found() {
    let world = World::new(
        "visible_kinds",
        "
        create schema kinds;
        grant usage on schema kinds to anon;
        create type kinds.\"My mood\" as enum ('happy', 'so, so');
        create domain kinds.short as text check (length(value) < 5);
        create type kinds.pair as (x integer, y text);",
    );
    let pool = world.pool();
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for (table, declared, sql, texts) in KINDS {
        world.sql(&format!(
            "create table {table} (\"the \"\"Key\" {declared} primary key, v text);
             alter table {table} enable row level security;
             create policy p on {table} using (v = 'shown');
             grant select on {table} to anon;"
        ));
        for (at, text) in texts.iter().enumerate() {
            let v = if at == 0 { "shown" } else { "hidden" };
            let text = text.replace('\'', "''");
            world.sql(&format!("insert into {table} values ('{text}', '{v}')"));
        }
        questions.push(question("anon", "{}", table, &keys("the \"Key", sql, texts)));
        expected.push(format!("+{}", "-".repeat(texts.len() - 1)));
    }
    assert_eq!(ask(&pool, &questions).await, expected);
}

#[tokio::test]
async fn keys_of_several_columns_and_odd_names_are_found() {
    let world = World::new(
        "visible_composite",
        r#"
        create schema "Odd "" schema; --";
        create table "Odd "" schema; --"."k.t '\ é" ("i" bigint, c text, k uuid, t date, primary key (t, c, k));
        insert into "Odd "" schema; --"."k.t '\ é" values
          (1, 'a', '11111111-1111-4111-8111-111111111111', '2026-01-01'),
          (2, 'b', '11111111-1111-4111-8111-111111111111', '2026-01-01');
        alter table "Odd "" schema; --"."k.t '\ é" enable row level security;
        create policy p on "Odd "" schema; --"."k.t '\ é" to "a'b""c\d; drop table notes; --" using (i = 1);
        grant usage on schema "Odd "" schema; --" to public;
        grant select on "Odd "" schema; --"."k.t '\ é" to public;"#,
    );
    let types = ["pg_catalog.text", "pg_catalog.uuid", "pg_catalog.date"].map(named);
    let [text, uuid, date] = &types;
    let row = |c, t| {
        let k = "11111111-1111-4111-8111-111111111111";
        Arc::new(Row::current([("c", text, c), ("k", uuid, k), ("t", date, t)]))
    };
    let rows = vec![
        row("b", "2026-01-01"),
        row("a", "2026-01-01"),
        row("a", "2026-01-02"),
    ];
    let asked = |role: &str| Question {
        role: role.into(),
        claims: "{}".into(),
        schema: "Odd \" schema; --".into(),
        table: "k.t '\\ é".into(),
        rows: rows.clone(),
    };
    let odd = asked("a'b\"c\\d; drop table notes; --");
    assert_eq!(ask(&world.pool(), &[asked("anon"), odd]).await, ["---", "-+-"]);
}

#[tokio::test]
async fn keys_are_looked_up_in_the_index_also_of_partitions() {
    let world = World::new(
        "visible_index",
        "
        create table plain (id bigint primary key, v text);
        create table texts (id text primary key, v text);
        create table parted (id bigint, at date, primary key (id, at)) partition by range (at);
        create table early partition of parted for values from (minvalue) to ('2026-01-01');
        create table late partition of parted for values from ('2026-01-01') to (maxvalue);
        insert into plain select g from generate_series(1, 5000) g;
        insert into texts select g from generate_series(1, 5000) g;
        insert into parted select g, date '2025-12-01' + g % 60 from generate_series(1, 5000) g;
        alter table plain enable row level security;
        alter table texts enable row level security;
        alter table parted enable row level security;
        create policy p on plain using (v is null and current_user = 'authenticated');
        create policy p on texts using (v is null and current_user = 'authenticated');
        create policy p on parted using (current_user = 'authenticated');
        grant select on plain, texts, parted to anon, authenticated;
        analyze;",
    );
    world.sql("select pg_stat_reset()");
    let pool = world.pool();
    let int8 = named("pg_catalog.int8");
    let date = named("pg_catalog.date");
    let parted = |id, at| Arc::new(Row::current([("id", &int8, id), ("at", &date, at)]));
    let parted = [
        parted("1", "2025-12-02"),
        parted("40", "2026-01-10"),
        parted("40", "2025-12-02"),
    ];
    let asked = |role: &str| {
        [
            question(role, "{}", "plain", &ids(&["1", "0", "4999"])),
            question(role, "{}", "texts", &keys("id", "pg_catalog.text", &["5", "x"])),
            question(role, "{}", "parted", &parted),
        ]
    };
    let questions = [asked("anon"), asked("authenticated")].concat();
    for _ in 0..10 {
        assert_eq!(
            ask(&pool, &questions).await,
            ["---", "--", "---", "+-+", "+-", "++-"]
        );
    }
    // A session tells what it has done when it ends, at the latest.
    drop(pool);
    let counted = "select count(*) from pg_stat_activity where datname = current_database()
        and backend_type = 'client backend' and pid <> pg_backend_pid()";
    while world.sql(counted) != "0" {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        world.sql("select relname, seq_scan, idx_scan >= 10 from pg_stat_user_tables where relname <> 'parted' order by 1"),
        "early|0|t\nlate|0|t\nplain|0|t\ntexts|0|t"
    );
}

#[tokio::test]
async fn what_becomes_of_a_table_is_noticed() {
    let world = World::new("visible_altered", CHAT);
    let pool = world.pool();
    world.sql("create table other (id bigint primary key); grant select on other to anon;");
    let rows = ids(&["1", "2"]);
    let questions = [
        question("authenticated", ANN, "notes", &rows),
        question("anon", ANN, "other", &rows),
    ];
    assert_eq!(ask(&pool, &questions).await, ["+-", "--"]);
    world.sql("alter table notes add column more text; alter table notes alter id type numeric;");
    assert_eq!(ask(&pool, &questions).await, ["+-", "--"]);
    world.sql("create policy p on notes for select using (true);");
    assert_eq!(ask(&pool, &questions).await, ["++", "--"]);
    world.sql("drop policy members_only on notes; drop policy p on notes;");
    assert_eq!(ask(&pool, &questions).await, ["--", "--"]);
    world.sql("alter table notes disable row level security;");
    assert_eq!(ask(&pool, &questions).await, ["++", "--"]);
    world.sql("revoke select on notes from authenticated;");
    assert_eq!(ask(&pool, &questions).await, ["42501", "--"]);
    world.sql("alter table notes rename to renamed;");
    assert_eq!(ask(&pool, &questions).await, ["42P01", "--"]);
    world.sql("create table notes (id bigint primary key); insert into notes values (2); grant select on notes to public;");
    assert_eq!(ask(&pool, &questions).await, ["-+", "--"]);
    world.sql("alter table notes rename id to key;");
    assert_eq!(ask(&pool, &questions).await, ["42703", "--"]);
}

#[tokio::test]
async fn a_session_keeps_a_bounded_number_of_statements() {
    let world = World::new(
        "visible_bounded",
        "
        do $$ begin
          for n in 1..300 loop
            execute format('create table t%s (id bigint primary key)', n);
            execute format('insert into t%s values (%s)', n, n);
            execute format('grant select on t%s to anon', n);
          end loop;
        end $$;",
    );
    let pool = world.pool();
    let rows = ids(&["7", "150", "299"]);
    let questions: Vec<Question> = (1..=300)
        .map(|n| question("anon", "{}", &format!("t{n}"), &rows))
        .collect();
    for _ in 0..2 {
        let answers = ask(&pool, &questions).await;
        for (n, answer) in (1..).zip(&answers) {
            let expected = match n {
                7 => "+--",
                150 => "-+-",
                299 => "--+",
                _ => "---",
            };
            assert_eq!(answer, expected, "{n}");
        }
        let bounded = changes::Question {
            operator: Operator::Eq,
            type_sql: "public.within_bounds".into(),
            value: "x".into(),
            text: "x".into(),
        };
        assert_eq!(pool.conditions(&[bounded]).await.unwrap(), [Ok(Some(true))]);
    }
}

#[tokio::test]
async fn a_batch_of_any_size_is_answered() {
    let world = World::new("visible_large", CHAT);
    world.sql("insert into notes select g, g % 2 + 1 from generate_series(4, 3000) g;");
    let texts: Vec<String> = (1..=3000).map(|id| id.to_string()).collect();
    let rows = ids(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let claims =
        |n: usize| if n.is_multiple_of(2) { ANN } else { BOB }.replace('}', &format!(r#","n":{n}}}"#));
    let questions: Vec<Question> = (0..60)
        .map(|n| question("authenticated", &claims(n), "notes", &rows))
        .collect();
    let answers = world.pool().visible(&questions).await.unwrap();
    for (n, seen) in answers.seen.iter().enumerate() {
        let seen = seen.as_ref().unwrap();
        for id in 4..=3000 {
            assert_eq!(seen[id - 1], id % 2 == n % 2, "viewer {n}, row {id}");
        }
    }
}
