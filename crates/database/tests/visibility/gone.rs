//! Rows that are gone.

use super::*;

#[tokio::test]
async fn rows_that_are_gone_are_judged_by_the_policies() {
    let world = World::new("visible_gone", CHAT);
    let pool = world.pool();
    let rows = [
        image(&[("id", "70"), ("room", "1"), ("body", "x")]),
        image(&[("id", "71"), ("room", "2"), ("body", "~")]),
        image(&[("body", "~"), ("room", "~"), ("id", "72")]),
    ];
    let mixed = [rows[0].clone(), ids(&["1"])[0].clone(), rows[1].clone()];
    let questions = [
        question("authenticated", ANN, "notes", &rows),
        question("authenticated", BOB, "notes", &rows),
        question("anon", ANN, "notes", &rows),
        question("service", "", "notes", &rows),
        question("authenticated", BOB, "notes", &mixed),
        question("no such role", BOB, "notes", &mixed),
        question("authenticated", BOB, "gone", &rows),
    ];
    for _ in 0..2 {
        assert_eq!(
            ask(&pool, &questions).await,
            ["+--", "-+-", "---", "+++", "--+", "no role no such role", "42P01"]
        );
    }
    world.sql("alter table notes add column more text;");
    assert_eq!(
        ask(&pool, &questions).await,
        [
            "public.notes altered",
            "public.notes altered",
            "public.notes altered",
            "+++",
            "public.notes altered",
            "no role no such role",
            "42P01"
        ]
    );
    world.sql("alter table notes drop column more, drop column body;");
    assert_eq!(ask(&pool, &questions[..2]).await, ["+--", "-+-"]);
    world.sql("alter table notes disable row level security;");
    assert_eq!(ask(&pool, &questions[..2]).await, ["+++", "+++"]);
}

#[tokio::test]
async fn policies_count_as_the_database_counts_them() {
    let world = World::new(
        "visible_gone_rules",
        "
        create table notes (a integer, b text);
        alter table notes enable row level security;
        create policy low on notes for select to anon using (a < 10);
        create policy high on notes to public using (a > 90);
        create policy named on notes as restrictive using (b <> 'no');
        create policy known on notes as restrictive for select to authenticated using (b is not null);
        create policy blind on notes for all to anon with check (true);
        create table open (a integer);
        alter table open enable row level security;
        create table owned (a integer);
        alter table owned owner to authenticated;
        alter table owned enable row level security;
        create table forced (a integer);
        alter table forced owner to authenticated;
        alter table forced enable row level security;
        alter table forced force row level security;",
    );
    let pool = world.pool();
    let note = |a: &str, b: &str| image(&[("a", a), ("b", b)]);
    let notes = [
        note("5", "x"),
        note("50", "x"),
        note("95", "x"),
        note("95", "no"),
        note("95", "~"),
        note("~", "x"),
    ];
    let a = [image(&[("a", "1")])];
    let questions = [
        question("anon", "", "notes", &notes),
        question("authenticated", "", "notes", &notes),
        question("anon", "", "open", &a),
        question("authenticated", "", "owned", &a),
        question("anon", "", "owned", &a),
        question("authenticated", "", "forced", &a),
    ];
    assert_eq!(
        ask(&pool, &questions).await,
        ["+-+---", "--+---", "-", "+", "-", "-"]
    );
}

#[tokio::test]
async fn what_policies_name_is_found_also_where_the_role_may_not_look() {
    let world = World::new(
        "visible_gone_private",
        r#"
        create schema private;
        create table private.friends (name text);
        insert into private.friends values ('ann');
        create function private.is_friend(text) returns boolean language sql stable security definer as
          'select exists (select from private.friends where name = $1)';
        create table "k" (c text, "i" integer, t text, "K" integer[]);
        create function whole("k") returns boolean language sql immutable as $$ select $1.t = 'whole' and $1."K"[2] = 3 $$;
        create table closed (c text);
        alter table "k" enable row level security;
        create policy friends on "k" to anon using (private.is_friend(c));
        create policy whole on "k" to authenticated using (whole("k".*));
        create policy closed on "k" to service using (true);
        create policy raises on "k" to raised using (i / 0 = 1 or exists (select from closed));
        create policy itself on "k" to "web-user" using (i in (select k.i from "k" where c = "k".c) or i = 2);
        alter role service nobypassrls;
        "#,
    );
    let pool = world.pool();
    let row = |c: &str, i: &str, t: &str, k: &str| image(&[("c", c), ("i", i), ("t", t), ("K", k)]);
    let rows = [
        row("ann", "1", "whole", "{2,3}"),
        row("a'n\"n\\", "1", "whole", "{2,4}"),
        row("bob", "2", "~", "~"),
    ];
    let questions = ["anon", "authenticated", "service", "raised"].map(|role| question(role, "", "k", &rows));
    // Somebody has to find the function by its name.
    assert_eq!(ask(&pool, &questions).await, ["42501", "+--", "+++", "42501"]);
    world.sql("grant usage on schema private to gateway");
    // Executed twice, as the second time it is prepared.
    for _ in 0..2 {
        assert_eq!(ask(&pool, &questions).await, ["+--", "+--", "+++", "42501"]);
    }
    world.sql("alter role service bypassrls; grant select on \"k\" to \"web-user\"");
    let itself = question("web-user", "", "k", &rows);
    // As in a selection from the table.
    assert_eq!(ask(&pool, &[itself]).await, ["42P17"]);
}

#[tokio::test]
async fn the_failure_of_one_is_no_others() {
    let world = World::new(
        "visible_gone_failures",
        "
        create table t (id integer, at pg_catalog.\"char\");
        alter table t enable row level security;
        create policy p on t using (id = current_setting('request.jwt.claims')::integer);
        create table stored (id integer);
        alter table stored enable row level security;
        create policy p on stored using (ctid is not null);",
    );
    let rows = [
        image(&[("id", "1"), ("at", "x")]),
        image(&[("id", "2"), ("at", "~")]),
    ];
    let questions = [
        question("anon", "1", "t", &rows),
        question("anon", "x", "t", &rows),
        question("anon", "2", "t", &rows),
        question("anon", "2", "t", &[image(&[("id", "two"), ("at", "x")])]),
        question("anon", "2", "t", &[image(&[("id", "2"), ("at", "\0")])]),
        question("anon", "2", "stored", &[image(&[("id", "2")])]),
    ];
    assert_eq!(
        ask(&world.pool(), &questions).await,
        ["+-", "22P02", "-+", "22P02", "-", "42703"]
    );
}
