//! Row level security: who hears of which rows.

use serde_json::{Value, json};
use tests::peer::{Peer, token_with};
use tests::stage::{Stage, all_of, next_change, next_record};

const ANN: &str = "a0000000-0000-4000-8000-000000000001";
const BOB: &str = "b0000000-0000-4000-8000-000000000002";

/// Tasks of their owners, and of groups whose members are listed elsewhere.
const TASKS: &str = "
create table tasks (id bigint primary key, owner uuid, team text, body text);
create table members (team text, person uuid, primary key (team, person));
alter table tasks enable row level security;
grant select on tasks to authenticated;
grant select on members to authenticated;
alter publication supabase_realtime add table tasks";

const OWN: &str = "create policy own on tasks for select to authenticated using (auth.uid() = owner)";
const OF_TEAM: &str = "create policy of_team on tasks for select to authenticated using
  (exists (select from members m where m.team = tasks.team and m.person = (select auth.uid())))";

async fn follow(stage: &Stage, person: &str, binding: Value) -> Peer {
    let claims = json!({"sub": person});
    let topic = format!("realtime:tasks-{}", &person[..4]);
    let (peer, notice) = stage.follow_as("authenticated", &claims, &topic, binding).await;
    assert_eq!(notice["status"], "ok", "{notice}");
    peer
}

fn insert(id: u32, owner: &str, team: &str) -> String {
    format!("insert into tasks values ({id}, '{owner}', '{team}', 'text')")
}

#[tokio::test]
async fn owners_hear_of_their_own_rows_and_of_no_others() {
    let stage = Stage::with(&[], &format!("{TASKS}; {OWN}"));
    let mut ann = follow(&stage, ANN, all_of("tasks")).await;
    let mut bob = follow(&stage, BOB, all_of("tasks")).await;
    for (id, owner) in [(1, ANN), (2, BOB), (3, BOB), (4, ANN)] {
        stage.sql(&insert(id, owner, "red"));
    }
    for id in [1, 4] {
        assert_eq!(next_record(&mut ann).await["id"], id);
    }
    for id in [2, 3] {
        assert_eq!(next_record(&mut bob).await["id"], id);
    }
    // An update is judged by the row as it is now; the deletion of a row is told to everybody, with its key only.
    stage.sql(&format!("update tasks set owner = '{BOB}' where id = 1"));
    stage.sql("delete from tasks where id = 4");
    let update = next_change(&mut bob).await;
    assert_eq!(
        (&update["type"], &update["record"]["id"]),
        (&json!("UPDATE"), &json!(1))
    );
    for peer in [&mut ann, &mut bob] {
        let delete = next_change(peer).await;
        assert_eq!(delete["type"], "DELETE");
        assert_eq!(delete["old_record"], json!({"id": 4}));
    }
}

#[tokio::test]
async fn a_policy_that_asks_another_table_is_asked_of_the_database() {
    let stage = Stage::with(&[], &format!("{TASKS}; {OF_TEAM}"));
    stage.sql(&format!(
        "insert into members values ('red', '{ANN}'), ('blue', '{BOB}')"
    ));
    let mut ann = follow(&stage, ANN, all_of("tasks")).await;
    let mut bob = follow(&stage, BOB, all_of("tasks")).await;
    stage.sql(
        "begin; insert into tasks values (1, null, 'red'), (2, null, 'blue'), (3, null, 'green'); commit",
    );
    assert_eq!(next_record(&mut ann).await["id"], 1);
    assert_eq!(next_record(&mut bob).await["id"], 2);
    // Membership counts as it is when the row is told.
    stage.sql(&format!("insert into members values ('green', '{ANN}')"));
    stage.sql("insert into tasks values (4, null, 'green')");
    assert_eq!(next_record(&mut ann).await["id"], 4);
    // Order is kept between rows that are asked about and others.
    stage.sql("insert into tasks values (5, null, 'blue'); delete from tasks where id = 1");
    assert_eq!(next_record(&mut bob).await["id"], 5);
    assert_eq!(next_change(&mut bob).await["old_record"], json!({"id": 1}));
}

#[tokio::test]
async fn policies_grants_and_roles_count_from_the_next_change_on() {
    let stage = Stage::with(&[], &format!("{TASKS}; {OWN}"));
    let mut ann = follow(&stage, ANN, all_of("tasks")).await;
    let (mut marks, _) = stage.follow("realtime:marks", all_of("notes")).await;
    stage.sql(&insert(1, ANN, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 1);
    stage.sql("create policy no_blue on tasks as restrictive for select using (team <> 'blue')");
    stage.sql(&insert(2, ANN, "blue"));
    stage.sql(&insert(3, ANN, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 3, "blue is hidden by now");
    stage.sql("drop policy no_blue on tasks; drop policy own on tasks");
    stage.sql(&insert(4, ANN, "red"));
    // Once this has been told, that has been judged.
    stage.sql("insert into notes values (1, 'mark', 1)");
    assert_eq!(next_record(&mut marks).await["id"], 1);
    stage.sql(OWN);
    stage.sql(&insert(5, ANN, "red"));
    assert_eq!(
        next_record(&mut ann).await["id"],
        5,
        "without a policy nothing is seen"
    );
    // These are announced by nothing in the stream.
    stage.sql("alter role authenticated bypassrls");
    stage.sql(&insert(6, BOB, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 6);
    stage.sql("alter role authenticated nobypassrls");
    stage.sql(&insert(7, BOB, "red"));
    stage.sql(&insert(8, ANN, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 8);
    stage.sql(&format!(
        "create or replace function auth.uid() returns uuid language sql stable as $$ select '{BOB}'::uuid $$"
    ));
    stage.sql(&insert(9, ANN, "red"));
    stage.sql(&insert(10, BOB, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 10, "who is who has changed");
    stage.sql("alter table tasks disable row level security");
    stage.sql(&insert(11, ANN, "red"));
    assert_eq!(next_record(&mut ann).await["id"], 11);
    stage.sql("revoke select (owner) on tasks from authenticated; revoke select on tasks from authenticated");
    stage.sql("grant select (id, body) on tasks to authenticated");
    stage.sql(&insert(12, ANN, "red"));
    assert_eq!(next_record(&mut ann).await, json!({"id": 12, "body": "text"}));
}

/// Sends a new token of that person.
async fn refresh(peer: &mut Peer, person: &str, round: u32) {
    let topic = format!("realtime:tasks-{}", &ANN[..4]);
    let fresh = token_with("authenticated", &json!({"sub": person, "round": round}));
    let push = json!(["1", format!("r{round}"), topic, "access_token", {"access_token": fresh}]);
    peer.send(&push).await;
}

#[tokio::test]
async fn a_new_token_brings_new_claims_without_a_gap() {
    let stage = Stage::with(&[], &format!("{TASKS}; {OWN}"));
    let mut peer = follow(&stage, ANN, all_of("tasks")).await;
    // The same person all the time: whatever subscription is in force, each row is told once.
    for round in 0..20 {
        refresh(&mut peer, ANN, round).await;
        stage.sql(&insert(round, ANN, "red"));
    }
    for id in 0..20 {
        assert_eq!(next_record(&mut peer).await["id"], id);
    }
    refresh(&mut peer, BOB, 20).await;
    // Until the new token counts, rows of the new person are not seen; deletions are told to everybody.
    loop {
        stage.sql(&insert(100, BOB, "red"));
        stage.sql("delete from tasks where id = 100");
        if next_change(&mut peer).await["record"]["id"] == 100 {
            break;
        }
    }
    stage.sql(&insert(200, ANN, "red"));
    stage.sql(&insert(201, BOB, "red"));
    loop {
        let told = next_change(&mut peer).await;
        if told["type"] == "INSERT" && told["record"]["id"] != 100 {
            assert_eq!(
                told["record"]["id"], 201,
                "what is not the new person's is not told"
            );
            break;
        }
    }
}

#[tokio::test]
async fn a_policy_that_fails_for_one_hides_nothing_from_others_and_is_told_once() {
    let stage = Stage::with(
        &[],
        &format!(
            "{TASKS}; create policy p on tasks for select using
             (exists (select from members where person = auth.uid()) or team = 'red')"
        ),
    );
    let mut ann = follow(&stage, ANN, all_of("tasks")).await;
    let (mut broken, _) = stage
        .follow_as(
            "authenticated",
            &json!({"sub": "nobody"}),
            "realtime:broken",
            all_of("tasks"),
        )
        .await;
    stage.sql(&insert(1, ANN, "red"));
    stage.sql(&insert(2, ANN, "red"));
    for id in [1, 2] {
        assert_eq!(next_record(&mut ann).await["id"], id);
    }
    let notice = broken.next_of("system").await[4].clone();
    assert_eq!(notice["status"], "error");
    let message = notice["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("public.tasks") && message.contains("policies fail"),
        "{message}"
    );
    // It is told once, and deletions come nevertheless.
    stage.sql("delete from tasks where id = 1");
    assert_eq!(broken.next().await[4]["data"]["old_record"], json!({"id": 1}));
}

#[tokio::test]
async fn visible_deletes_are_told_to_those_who_could_see_the_row() {
    let stage = Stage::with(&[], &format!("{TASKS}; {OF_TEAM}"));
    stage.sql(&format!(
        "insert into members values ('red', '{ANN}'), ('blue', '{BOB}')"
    ));
    let mut binding = all_of("tasks");
    binding["deletes"] = json!("visible");
    let claims = json!({"sub": ANN});
    let (_, refused) = stage
        .follow_as("authenticated", &claims, "realtime:refused", binding.clone())
        .await;
    assert_eq!(refused["status"], "error");
    let message = refused["message"].as_str().unwrap_or_default();
    assert!(
        message.to_lowercase().contains("replica identity full"),
        "{message}"
    );

    stage.sql("alter table tasks replica identity full");
    let mut ann = follow(&stage, ANN, binding.clone()).await;
    let mut bob = follow(&stage, BOB, binding).await;
    stage.sql("insert into tasks values (1, null, 'red', 'a'), (2, null, 'blue', 'b')");
    assert_eq!(next_record(&mut ann).await["id"], 1);
    assert_eq!(next_record(&mut bob).await["id"], 2);
    stage.sql("delete from tasks where id = 1; delete from tasks where id = 2");
    let gone = next_change(&mut ann).await;
    assert_eq!(gone["type"], "DELETE");
    assert_eq!(
        gone["old_record"],
        json!({"id": 1, "owner": null, "team": "red", "body": "a"})
    );
    assert_eq!(next_change(&mut bob).await["old_record"]["id"], 2);
}
