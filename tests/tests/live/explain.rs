//! `roost explain-change`: each of its answers, with a database that gives a reason for it.

use std::path::PathBuf;
use std::process::{Command, Output};

use pgcluster::TestCluster;
use serde_json::{Value, json};
use tests::stage::{DATABASE, Stage, all_of, next_change};

const ANN: &str = "a0000000-0000-4000-8000-000000000001";
const BOB: &str = "b0000000-0000-4000-8000-000000000002";

/// A database, and a role of the same name that has to do with nobody else's.
struct Scene {
    name: &'static str,
    dsn: String,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    report: Value,
}

/// `notes` is published, and the role may select it.
const SETUP: &str = "
create role ROLE nologin;
create schema auth; grant usage on schema auth to ROLE;
create function auth.jwt() returns jsonb language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create function auth.uid() returns uuid language sql stable as
  $$ select (auth.jwt() ->> 'sub')::uuid $$;
create publication supabase_realtime;
create table notes (id bigint primary key, body text, n integer);
grant select on notes to ROLE;
alter publication supabase_realtime add table notes;
insert into notes values (1, 'one', 1), (2, 'two', 2)";

/// Tasks of their owners.
const TASKS: &str = "
create table tasks (id bigint primary key, owner uuid, team text);
alter table tasks enable row level security;
grant select on tasks to ROLE;
alter publication supabase_realtime add table tasks;
insert into tasks values (1, 'a0000000-0000-4000-8000-000000000001', 'red'),
  (2, 'b0000000-0000-4000-8000-000000000002', 'red')";
const OWN: &str = "create policy own on tasks for select to ROLE using (auth.uid() = owner)";

impl Scene {
    fn new(name: &'static str) -> Self {
        let dsn = TestCluster::shared().create_database(name);
        let scene = Self { name, dsn };
        scene.sql(SETUP);
        scene
    }

    fn sql(&self, sql: &str) {
        let sql = sql.replace("ROLE", self.name);
        let done = TestCluster::shared().execute(self.name, &sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn explain(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--database-url", &self.dsn, "--role", self.name];
        all.extend(arguments);
        explain(&all)
    }
}

impl Answer {
    /// The finding with this code, which has to be there.
    fn finding(&self, code: &str) -> &Value {
        let sections = self.report["findings"].as_object().expect("there are sections");
        let mut findings = sections
            .values()
            .flat_map(|findings| findings.as_array().expect("a list"));
        findings
            .find(|finding| finding["code"] == code)
            .unwrap_or_else(|| panic!("no {code} in {:#}", self.report))
    }

    fn text(&self, code: &str) -> &str {
        self.finding(code)["text"].as_str().expect("a text")
    }

    fn next(&self, code: &str) -> &str {
        self.finding(code)["next"].as_str().expect("a text")
    }

    /// Changes are not delivered, because of this and nothing else, which stops these actions.
    #[track_caller]
    fn is_stopped_by(&self, code: &str, actions: &[&str]) {
        assert_eq!(self.code, Some(1), "{:#}", self.report);
        for action in ["INSERT", "UPDATE", "DELETE"] {
            let expected: &[&str] = if actions.contains(&action) { &[code] } else { &[] };
            assert_eq!(
                self.report["obstacles"][action],
                json!(expected),
                "{:#}",
                self.report
            );
        }
    }
}

const EVERY: &[&str] = &["INSERT", "UPDATE", "DELETE"];
const OF_ROWS: &[&str] = &["INSERT", "UPDATE"];

fn run(arguments: &[&str]) -> Output {
    // Beside the test that runs: `target/<profile>/deps/live-…` and `target/<profile>/roost`.
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder: PathBuf = test.ancestors().nth(2).expect("a folder of a folder").into();
    Command::new(folder.join("roost"))
        .arg("explain-change")
        .args(arguments)
        .env_remove("DATABASE_URL")
        .output()
        .expect("the binary is built: cargo build --bin roost")
}

fn explain(arguments: &[&str]) -> Answer {
    let output = run(&[arguments, &["--json"]].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let code = output.status.code();
    Answer { code, report }
}

#[tokio::test]
async fn the_data_that_is_announced_is_what_is_delivered() {
    let setup = "
        create table tasks (id bigint primary key, owner uuid, f float8, at timestamptz, tags text[],
          twice bigint generated always as (id * 2) stored);
        alter table tasks enable row level security;
        grant select (id, owner, f, tags) on tasks to authenticated;
        create policy own on tasks for select to authenticated using (auth.uid() = owner);
        alter publication supabase_realtime add table tasks";
    let stage = Stage::with(&[], setup);
    let claims = json!({"sub": ANN});
    let binding = json!({"event": "*", "schema": "public", "table": "tasks", "filter": "id=gte.5", "select": ["f", "tags"]});
    let (mut ann, notice) = stage
        .follow_as("authenticated", &claims, "realtime:tasks", binding)
        .await;
    assert_eq!(notice["status"], "ok", "{notice}");
    stage.sql(&format!(
        "insert into tasks values (5, '{ANN}', 0.1, now(), '{{a,\"b c\"}}')"
    ));
    let mut delivered = next_change(&mut ann).await;

    let dsn = stage.cluster.superuser_dsn(DATABASE);
    let mut answer = explain(&[
        "--database-url",
        &dsn,
        "--table",
        "tasks",
        "--role",
        "authenticated",
        "--sub",
        ANN,
        "--filter",
        "id=gte.5",
        "--select",
        "f,tags",
        "--key",
        "id=5",
    ]);
    assert_eq!(answer.code, Some(0), "{:#}", answer.report);
    assert_eq!(answer.report["delivered"], true);
    for data in [&mut delivered, &mut answer.report["data"]] {
        let timestamp = data["commit_timestamp"].take();
        assert_eq!(timestamp.as_str().map(str::len), Some(24), "{timestamp}");
    }
    assert_eq!(answer.report["data"], delivered);
    assert_eq!(answer.report["row"]["owner"], ANN, "the row is shown whole");
    assert!(answer.text("generated-columns").contains("twice"));
    assert!(answer.text("columns-left-out").contains("at, twice"));
    assert!(
        answer
            .text("row-seen")
            .contains("memory and the database both say")
    );
}

#[test]
fn a_table_has_to_be_there_and_published() {
    let scene = Scene::new("explain_published");
    assert_eq!(scene.explain(&["--table", "notes"]).code, Some(0));

    scene.sql("create schema app; create table app.notes (id bigint primary key); create table \"Order\" (id int primary key)");
    let missing = scene.explain(&["--table", "app.order"]);
    missing.finding("binding-refused");
    assert!(missing.next("table-missing").contains(r#"public."Order""#));

    let unpublished = scene.explain(&["--table", "Order"]);
    assert_eq!(unpublished.code, Some(1));
    scene.sql("create publication other for table \"Order\"");
    assert!(
        scene
            .explain(&["--table", "Order"])
            .text("not-published")
            .contains("other")
    );
    let next = unpublished.next("not-published");
    assert_eq!(
        next,
        r#"alter publication supabase_realtime add table public."Order""#
    );
    assert!(
        unpublished
            .text("binding-refused")
            .contains("Unable to subscribe")
    );
    scene.sql(next);
    scene.sql("grant select on \"Order\" to ROLE");
    assert_eq!(
        scene.explain(&["--table", "Order"]).code,
        Some(0),
        "what was said has been done"
    );

    scene.sql("create view seen as select * from notes; create unlogged table quick (id int primary key)");
    scene.explain(&["--table", "seen"]).finding("not-a-table");
    assert!(
        scene
            .explain(&["--table", "quick"])
            .next("unlogged")
            .contains("set logged")
    );

    let followed_by_nobody = scene.explain(&["--table", "notes", "--publication", "mine"]);
    followed_by_nobody.is_stopped_by("publication-missing", EVERY);
    assert_eq!(
        followed_by_nobody.next("publication-missing"),
        "create publication mine for table public.notes"
    );
}

#[test]
fn partitions_are_told_by_their_own_names_or_by_that_of_their_root() {
    let scene = Scene::new("explain_partitions");
    scene.sql(
        "create table days (id bigint, day int, primary key (id, day)) partition by list (day);
         create table days_1 partition of days for values in (1);
         grant select on days, days_1 to ROLE; alter publication supabase_realtime add table days",
    );
    let root = scene.explain(&["--table", "days"]);
    assert!(root.text("told-as-partitions").contains("public.days_1"));
    assert_eq!(scene.explain(&["--table", "days_1"]).code, Some(0));
    scene.sql(root.next("told-as-partitions"));
    let root = scene.explain(&["--table", "days"]);
    assert_eq!(root.code, Some(0));
    root.finding("partitioned");
    assert_eq!(
        scene.explain(&["--table", "days_1"]).next("told-as-root"),
        "subscribe to public.days"
    );
}

#[test]
fn a_publication_says_which_actions_rows_and_columns() {
    let scene = Scene::new("explain_publication");
    scene.sql("alter publication supabase_realtime set (publish = 'insert, delete')");
    let answer = scene.explain(&["--table", "notes"]);
    answer.is_stopped_by("action-not-published", &["UPDATE"]);
    assert_eq!(
        scene.explain(&["--table", "notes", "--event", "insert"]).code,
        Some(0)
    );
    scene.sql(answer.next("action-not-published"));
    assert_eq!(scene.explain(&["--table", "notes"]).code, Some(0));

    scene.sql("alter publication supabase_realtime set table notes (id, n) where (id > 1)");
    let first = scene.explain(&["--table", "notes"]);
    first.is_stopped_by("row-not-published", OF_ROWS);
    assert!(first.text("row-filter").contains("id > 1"));
    assert!(first.text("column-list").ends_with(": body"));
    assert_eq!(first.report["data"], Value::Null);
    let second = scene.explain(&["--table", "notes", "--key", "id=2"]);
    assert_eq!(second.code, Some(0));
    assert_eq!(second.report["data"]["record"], json!({"id": 2, "n": 2}));
    let by_body = scene.explain(&["--table", "notes", "--key", "id=2", "--filter", "body=eq.two"]);
    by_body.finding("filter-column-not-published");
}

#[test]
fn keys_decide_what_is_told_of_former_rows() {
    let scene = Scene::new("explain_keys");
    assert!(
        scene
            .explain(&["--table", "notes"])
            .text("identity-key")
            .contains("has id and nothing else")
    );
    scene
        .sql("create table keyless (a int); grant select on keyless to ROLE; insert into keyless values (1)");
    scene.sql("alter publication supabase_realtime add table keyless");
    let answer = scene.explain(&["--table", "keyless"]);
    assert!(
        answer
            .text("no-primary-key")
            .contains("Error 400: Bad Request, no primary key")
    );
    assert_eq!(answer.report["obstacles"]["DELETE"], json!(["no-identity"]));
    assert_eq!(
        answer.report["data"]["errors"],
        json!(["Error 400: Bad Request, no primary key"])
    );
    scene.sql(answer.next("no-identity"));
    let answer = scene.explain(&["--table", "keyless"]);
    answer.is_stopped_by("no-primary-key", OF_ROWS);
    answer.finding("identity-full");
}

#[test]
fn a_role_has_to_exist_and_to_select_the_key() {
    let scene = Scene::new("explain_privileges");
    let nobody = explain(&[
        "--database-url",
        &scene.dsn,
        "--table",
        "notes",
        "--role",
        "explain_nobody",
    ]);
    assert!(
        nobody
            .text("role-missing")
            .contains(r#"role "explain_nobody" does not exist"#)
    );
    assert!(
        nobody
            .text("binding-refused")
            .contains(r#"role "explain_nobody" does not exist"#)
    );
    assert_eq!(nobody.next("role-missing"), "create role explain_nobody nologin");

    scene.sql("revoke select on notes from ROLE");
    let nothing = scene.explain(&["--table", "notes"]);
    nothing.is_stopped_by("key-not-selectable", OF_ROWS);
    assert_eq!(
        nothing.report["data"]["errors"],
        json!(["Error 401: Unauthorized"])
    );
    assert_eq!(
        nothing.next("key-not-selectable"),
        "grant select on public.notes to explain_privileges"
    );

    scene.sql("grant select (body, n) on notes to ROLE");
    let no_key = scene.explain(&["--table", "notes"]);
    no_key.is_stopped_by("key-not-selectable", OF_ROWS);
    scene.sql(no_key.next("key-not-selectable"));
    scene.sql("revoke select (body) on notes from ROLE");
    let some = scene.explain(&["--table", "notes"]);
    assert_eq!(some.code, Some(0));
    assert!(some.text("columns-left-out").ends_with(": body"));
    assert_eq!(some.report["data"]["record"], json!({"id": 1, "n": 1}));
    scene.sql(some.next("columns-left-out"));
    scene.explain(&["--table", "notes"]).finding("columns");
}

#[test]
fn the_gateway_has_to_act_as_the_role_only_where_there_are_policies() {
    let scene = Scene::new("explain_reach");
    scene.sql(&format!(
        "{TASKS}; create policy all_of_them on tasks using (true)"
    ));
    scene.sql("create role explain_gateway login noinherit replication password 'hidden'; grant usage on schema auth to explain_gateway; grant select on notes to explain_gateway");
    let dsn = TestCluster::shared().dsn("explain_gateway", "hidden", scene.name);
    let ask = |table: &str| explain(&["--database-url", &dsn, "--table", table, "--role", scene.name]);
    let notes = ask("notes");
    assert_eq!(notes.code, Some(0));
    assert_eq!(
        notes.next("role-not-granted"),
        "grant explain_reach to explain_gateway"
    );
    let tasks = ask("tasks");
    tasks.is_stopped_by("role-not-granted", OF_ROWS);
    // Its own policies would hide rows from the gateway's user, which is told rather than taken for an empty table.
    assert!(tasks.text("row-not-readable").contains("row-level security"));
    scene.sql(notes.next("role-not-granted"));
    scene.sql("alter role explain_gateway bypassrls");
    assert!(
        ask("tasks")
            .text("row-not-readable")
            .contains("permission denied")
    );
    scene.sql("grant select on tasks to explain_gateway");
    assert_eq!(ask("tasks").code, Some(0));

    scene.sql("create schema app; alter table tasks set schema app");
    let hidden = ask("app.tasks");
    assert!(
        hidden.report["obstacles"]["INSERT"]
            .as_array()
            .is_some_and(|codes| codes.contains(&json!("schema-not-usable")))
    );
    assert_eq!(
        hidden.next("schema-not-usable"),
        "grant usage on schema app to explain_reach"
    );
    scene.sql("alter role explain_gateway noreplication");
    assert!(ask("notes").text("no-stream").contains("may not replicate"));
}

#[test]
fn policies_are_listed_with_whoever_evaluates_them() {
    let scene = Scene::new("explain_policies");
    scene.sql(TASKS);
    let none = scene.explain(&["--table", "tasks", "--sub", ANN]);
    none.finding("no-policy");
    assert_eq!(none.code, Some(1));

    scene.sql(OWN);
    let ann = scene.explain(&["--table", "tasks", "--sub", ANN]);
    assert_eq!(ann.code, Some(0), "{:#}", ann.report);
    let policy = ann.text("policy");
    assert!(
        policy.starts_with(r#"permissive policy "own": (auth.uid() = owner)"#),
        "{policy}"
    );
    assert!(policy.ends_with("evaluated in memory"), "{policy}");
    assert!(
        ann.text("row-seen")
            .starts_with("memory and the database both say")
    );
    assert!(ann.next("deletes-unasked").contains("replica identity full"));
    let bob = scene.explain(&["--table", "tasks", "--claims", &json!({"sub": BOB}).to_string()]);
    bob.is_stopped_by("row-not-seen", OF_ROWS);
    assert_eq!(bob.report["data"], Value::Null);
    assert_eq!(bob.report["row"]["id"], 1);

    scene.sql(
        "create table members (team text primary key); grant select on members to ROLE; insert into members values ('red');
         create policy of_team on tasks as restrictive for select to ROLE using
           (exists (select from members m where m.team = tasks.team))",
    );
    let asked = scene.explain(&["--table", "tasks", "--sub", ANN]);
    assert_eq!(asked.code, Some(0), "{:#}", asked.report);
    assert!(asked.text("policy").contains("restrictive"));
    assert!(asked.text("policy").contains("asked of the database: "));
    asked.finding("asked-of-database");
    assert!(
        asked
            .text("row-seen")
            .starts_with("the database, which alone can tell, says")
    );

    let broken = scene.explain(&["--table", "tasks", "--sub", "nobody"]);
    broken.is_stopped_by("policies-fail", OF_ROWS);
    assert!(
        broken
            .text("policies-fail")
            .contains("invalid input syntax for type uuid")
    );
}

#[test]
fn a_role_that_bypasses_policies_is_said_to() {
    let scene = Scene::new("explain_bypass");
    scene.sql(&format!("{TASKS}; {OWN}"));
    let why = || scene.explain(&["--table", "tasks"]).text("bypassed").to_owned();
    scene.sql("alter table tasks owner to ROLE");
    assert!(why().contains("privileges of the owner explain_bypass"));
    scene.sql("alter table tasks force row level security");
    scene.explain(&["--table", "tasks"]).finding("row-security-on");
    scene.sql("alter role ROLE bypassrls");
    assert!(why().ends_with("BYPASSRLS"));
    scene.sql("alter role ROLE superuser");
    assert!(why().ends_with("superuser"));
    scene.sql("alter table tasks disable row level security");
    let off = scene.explain(&["--table", "tasks"]);
    assert_eq!(
        off.next("policies-off"),
        "alter table public.tasks enable row level security"
    );
    assert!(
        scene
            .explain(&["--table", "notes"])
            .text("row-security-off")
            .contains("every row is told")
    );
}

#[tokio::test]
async fn a_refusal_is_the_text_that_clients_get() {
    let stage = Stage::with(&[], "");
    let dsn = stage.cluster.superuser_dsn(DATABASE);
    for (at, filter) in [
        "n=eq.x",
        "n=what.1",
        "nothing=eq.1",
        "body=match.(",
        "n=in.(1",
        "n=like.1",
    ]
    .into_iter()
    .enumerate()
    {
        let mut binding = all_of("notes");
        binding["filter"] = json!(filter);
        let (_peer, notice) = stage.follow(&format!("realtime:{at}"), binding).await;
        let told = notice["message"].as_str().expect("a text");
        let answer = explain(&[
            "--database-url",
            &dsn,
            "--table",
            "notes",
            "--role",
            "anon",
            "--filter",
            filter,
        ]);
        answer.is_stopped_by("binding-refused", EVERY);
        let text = answer.text("binding-refused");
        assert!(
            text.ends_with(&format!("the client is told \"{told}\"")),
            "{text} and not {told}"
        );
    }
}

#[test]
fn conditions_are_evaluated_here_or_there() {
    let scene = Scene::new("explain_filters");
    let ask = |filter: &str, more: &[&str]| {
        scene.explain(
            &[
                &["--table", "notes", "--event", "INSERT", "--filter", filter],
                more,
            ]
            .concat(),
        )
    };
    let memory = ask("n=gte.1", &["--select", "body"]);
    assert_eq!(memory.code, Some(0), "{:#}", memory.report);
    assert!(memory.text("condition").ends_with("evaluated in memory"));
    memory.finding("filter-holds");
    assert!(memory.text("select").contains("body"));
    assert_eq!(memory.report["data"]["record"], json!({"id": 1, "body": "one"}));
    assert_eq!(ask("body=match.^o", &[]).code, Some(0));
    ask("body=match.^o", &[]).finding("condition-asked");
    ask("body=ilike.O%", &[]).finding("condition-asked-at-times");
    let fails = ask("body=match.^o,n=lt.5,n=gt.7", &[]);
    assert!(
        fails.text("filter-fails").ends_with("does not satisfy n gt 7"),
        "{:#}",
        fails.report
    );
    assert_eq!(fails.code, Some(1));
    assert_eq!(ask("body=match.^o", &["--key", "id=2"]).code, Some(1));

    let deletes = scene.explain(&["--table", "notes", "--filter", "body=eq.one"]);
    deletes.is_stopped_by("filter-column-not-in-identity", &["DELETE"]);
    scene.sql(deletes.next("filter-column-not-in-identity"));
    assert_eq!(
        scene
            .explain(&["--table", "notes", "--filter", "body=eq.one"])
            .code,
        Some(0)
    );
}

#[test]
fn a_row_is_looked_for_by_its_key() {
    let scene = Scene::new("explain_rows");
    let first = scene.explain(&["--table", "notes"]);
    assert!(first.text("row-found").contains("first row by primary key"));
    assert_eq!(first.report["row"], json!({"id": 1, "body": "one", "n": 1}));
    let second = scene.explain(&["--table", "notes", "--key", "id=2", "--key", "body=two"]);
    assert_eq!(second.report["row"]["id"], 2);
    scene
        .explain(&["--table", "notes", "--key", "id=3"])
        .is_stopped_by("row-gone", OF_ROWS);
    scene.sql("delete from notes");
    let empty = scene.explain(&["--table", "notes"]);
    empty.finding("no-rows");
    assert_eq!(empty.code, Some(0), "nothing stands in the way");
}

#[test]
fn wrong_usage_has_a_code_of_its_own_and_tells_no_secret() {
    let scene = Scene::new("explain_usage");
    let unreachable = "postgres://me:topsecret@127.0.0.1:1/nowhere";
    let arguments: [&[&str]; 5] = [
        &[
            "--database-url",
            unreachable,
            "--table",
            "notes",
            "--role",
            "anon",
        ],
        &[
            "--database-url",
            &scene.dsn,
            "--table",
            "notes",
            "--role",
            "anon",
            "--key",
            "id=x",
        ],
        &[
            "--database-url",
            &scene.dsn,
            "--table",
            "notes",
            "--role",
            scene.name,
            "--key",
            "id=x",
        ],
        &[
            "--database-url",
            &scene.dsn,
            "--table",
            "notes",
            "--role",
            scene.name,
            "--key",
            "nothing=1",
        ],
        &["--table", "notes", "--role", "anon", "--event", "TRUNCATE"],
    ];
    for (at, arguments) in arguments.into_iter().enumerate() {
        let output = run(arguments);
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        // Without the role there is nobody to look at a row for.
        let expected = if at == 1 { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{stdout}{stderr}");
        assert!(!format!("{stdout}{stderr}").contains("topsecret"));
    }
}

#[test]
fn a_report_for_people_says_the_same() {
    let scene = Scene::new("explain_people");
    let output = run(&[
        "--database-url",
        &scene.dsn,
        "--table",
        "notes",
        "--role",
        scene.name,
        "--filter",
        "n=eq.2",
    ]);
    let text = String::from_utf8(output.stdout).expect("text");
    for line in [
        "Changes of public.notes for role explain_people, by publication supabase_realtime",
        "publication",
        "  ok    public.notes is published by supabase_realtime",
        "  STOP  the row, if it is inserted, does not satisfy n eq 2",
        "INSERT: would not be delivered (filter-fails)",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line:?} is not in:\n{text}"
        );
    }
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_server_without_logical_replication_streams_nothing() {
    let cluster = TestCluster::start(&[("wal_level", "replica")]);
    let dsn = cluster.create_database(DATABASE);
    cluster
        .execute(DATABASE, &SETUP.replace("ROLE", "anon"))
        .expect("valid SQL");
    let answer = explain(&["--database-url", &dsn, "--table", "notes", "--role", "anon"]);
    answer.is_stopped_by("no-stream", EVERY);
    assert!(answer.text("no-stream").contains("wal_level = logical"));
}
