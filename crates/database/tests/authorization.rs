//! Policies on `realtime.messages`, asked on behalf of many.

use std::sync::OnceLock;
use std::time::Duration;

use database::{Asked, DAYS_AHEAD, Error, Grants, KEEP_HOURS, Pool, Questions, Refusal, Set, migrate};
use pgcluster::TestCluster;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use replication::Dsn;
use serde_json::{Value, json};

/// A database of its own for a test, set up, with policies of which the topic says what they do.
struct Database {
    cluster: &'static TestCluster,
    name: &'static str,
}

const ROLES: &str = r#"
create role anon; create role authenticated; create role service_role bypassrls; create role outsider;
create role "o'brien \ ""quoted"" ü"; grant authenticated to "o'brien \ ""quoted"" ü";
create role ordinary login replication password 'p' in role anon, authenticated;
"#;

const STRANGE_ROLE: &str = r#"o'brien \ "quoted" ü"#;

const POLICIES: &str = r#"
create function allows(topic text, extension text, action text) returns boolean language plpgsql as $$
begin
  case split_part(topic, ':', 1)
    when 'room' then return true;
    when 'ro' then return action = 'read';
    when 'wo' then return action = 'write';
    when 'bcast' then return extension = 'broadcast';
    when 'pres' then return extension = 'presence';
    when 'own' then return topic = 'own:' || current_setting('request.jwt.claim.sub');
    when 'hdr' then return current_setting('request.headers')::json ->> 'x-pass' = 'open';
    when 'claim' then return current_setting('request.jwt.claims')::json ->> 'admin' = 'yes';
    when 'boom' then raise exception 'policy exploded';
    when 'assert' then assert false, 'policy asserts';
    when 'slow' then perform pg_sleep(1.2); return true;
    when 'sticky' then
      perform set_config('test.stuck', 'yes', true);
      perform set_config('test.stuck', 'yes', false);
      return true;
    when 'clean' then return coalesce(current_setting('test.stuck', true), '') = '';
    when 'count' then return public.rows_seen() = split_part(topic, ':', 2)::integer;
    when 'echo' then raise exception '%', json_build_array(
      topic, current_setting('request.jwt.claims'), current_setting('request.jwt.claim.sub'),
      current_setting('request.jwt.claim.role'), current_setting('request.headers'), current_user, extension);
    else return false;
  end case;
end $$;
create function rows_seen() returns integer language sql security definer as
  'select count(*)::integer from realtime.messages where topic like ''count%''';
create policy may_read on realtime.messages for select to authenticated
  using (allows(realtime.topic(), extension, 'read'));
create policy may_write on realtime.messages for insert to authenticated
  with check (allows(realtime.topic(), extension, 'write'));
grant usage on schema realtime to ordinary;
grant select, insert on realtime.messages to ordinary;
create policy probes on realtime.messages for insert to ordinary with check (true);
"#;

impl Database {
    async fn set_up(name: &'static str) -> Database {
        let cluster = TestCluster::shared();
        static MADE: OnceLock<()> = OnceLock::new();
        MADE.get_or_init(|| {
            cluster.execute("postgres", ROLES).expect("roles are new");
        });
        cluster.create_database(name);
        let database = Database { cluster, name };
        let report = migrate(&database.dsn(), Set::Tenant).await;
        report.expect("a superuser may do everything");
        let pool = database.pool(1);
        let done = pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS).await;
        done.expect("the table is ours");
        database.sql(POLICIES);
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

    fn pool(&self, size: usize) -> Pool {
        Pool::new(self.dsn(), size)
    }

    /// No row, no transaction.
    fn is_clean(&self) -> bool {
        let left = self.sql(
            "select (select count(*) from realtime.messages) + (
               select count(*) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null)",
        );
        left == "0"
    }
}

const EVERYTHING: Questions = Questions {
    broadcast_read: true,
    broadcast_write: true,
    presence_read: true,
    presence_write: true,
};
const READ: Questions = Questions {
    broadcast_read: true,
    presence_read: true,
    broadcast_write: false,
    presence_write: false,
};
const WRITE: Questions = Questions {
    broadcast_read: false,
    presence_read: false,
    broadcast_write: true,
    presence_write: true,
};

fn about(topic: &str) -> Asked<'_> {
    Asked {
        topic,
        role: "authenticated",
        claims: "{}",
        sub: None,
        headers: "{}",
        questions: EVERYTHING,
    }
}

/// Read and write with broadcasts, read and write with presence.
fn grants(answers: [bool; 4]) -> Grants {
    let [broadcast_read, broadcast_write, presence_read, presence_write] = answers.map(Some);
    Grants {
        broadcast_read,
        broadcast_write,
        presence_read,
        presence_write,
    }
}

fn policy_message(answer: &Result<Grants, Refusal>) -> &str {
    match answer {
        Err(Refusal::Policy(server)) => &server.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_question_is_answered_by_its_policy() {
    let database = Database::set_up("answers").await;
    let topics = ["room:1", "ro:1", "wo:1", "bcast:1", "pres:1", "nothing", ""];
    let asked = topics.map(about);
    let answers = database.pool(1).authorize(&asked).await.unwrap();
    let expected = [
        [true, true, true, true],
        [true, false, true, false],
        [false, true, false, true],
        [true, true, false, false],
        [false, false, true, true],
        [false; 4],
        [false; 4],
    ];
    assert_eq!(answers, expected.map(|answers| Ok(grants(answers))));
    assert!(database.is_clean());
}

#[tokio::test]
async fn what_is_not_asked_is_not_answered() {
    let database = Database::set_up("questions").await;
    let single = [
        Questions {
            broadcast_read: true,
            ..Questions::default()
        },
        Questions {
            broadcast_write: true,
            ..Questions::default()
        },
        Questions {
            presence_read: true,
            ..Questions::default()
        },
        Questions {
            presence_write: true,
            ..Questions::default()
        },
        Questions::default(),
    ];
    let asked = single.map(|questions| Asked {
        questions,
        ..about("room:1")
    });
    let answers = database.pool(1).authorize(&asked).await.unwrap();
    let yes = |place: usize| {
        let mut answers = [None; 4];
        if let Some(answer) = answers.get_mut(place) {
            *answer = Some(true);
        }
        let [broadcast_read, broadcast_write, presence_read, presence_write] = answers;
        Ok(Grants {
            broadcast_read,
            broadcast_write,
            presence_read,
            presence_write,
        })
    };
    assert_eq!(answers, [yes(0), yes(1), yes(2), yes(3), yes(4)]);
    assert!(database.pool(1).authorize(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn policies_see_claims_subject_role_and_headers() {
    let database = Database::set_up("settings").await;
    let asked = [
        Asked {
            sub: Some("one"),
            ..about("own:one")
        },
        Asked {
            sub: Some("two"),
            ..about("own:one")
        },
        Asked {
            headers: r#"{"x-pass":"open"}"#,
            ..about("hdr:1")
        },
        about("hdr:1"),
        Asked {
            claims: r#"{"admin":"yes"}"#,
            ..about("claim:1")
        },
        about("claim:1"),
    ];
    let answers = database.pool(1).authorize(&asked).await.unwrap();
    let expected = [true, false, true, false, true, false];
    assert_eq!(answers, expected.map(|allowed| Ok(grants([allowed; 4]))));

    let echo = Asked {
        sub: Some("a sub"),
        claims: r#"{"role": "x"}"#,
        headers: r#"{"x-a": "b"}"#,
        ..about("echo:é")
    };
    let answers = database.pool(1).authorize(&[echo]).await.unwrap();
    let seen: Value = serde_json::from_str(policy_message(&answers[0])).unwrap();
    assert_eq!(
        seen,
        json!([
            "echo:é",
            r#"{"role": "x"}"#,
            "a sub",
            "authenticated",
            r#"{"x-a": "b"}"#,
            "authenticated",
            "broadcast"
        ])
    );
}

#[tokio::test]
async fn roles_are_those_of_the_database() {
    let database = Database::set_up("roles").await;
    let roles = [
        "authenticated",
        "anon",
        "service_role",
        "postgres",
        STRANGE_ROLE,
        "outsider",
        "nobody_knows",
        "none",
        "NONE",
        "",
        "a\0b",
    ];
    let asked = roles.map(|role| Asked {
        role,
        ..about("ro:1")
    });
    let answers = database.pool(1).authorize(&asked).await.unwrap();
    assert_eq!(answers[0], Ok(grants([true, false, true, false])));
    assert_eq!(answers[1], Ok(grants([false; 4])));
    assert_eq!(answers[2], Ok(grants([true; 4])));
    assert_eq!(answers[3], Ok(grants([true; 4])));
    // A member of the role that the policies are for, but without a privilege of its own.
    assert_eq!(answers[4], Ok(grants([true, false, true, false])));
    assert!(policy_message(&answers[5]).contains("permission denied for schema realtime"));
    for (at, role) in [(6, "nobody_knows"), (8, "NONE"), (9, "")] {
        let Err(Refusal::Policy(server)) = &answers[at] else {
            panic!("{:?}", answers[at]);
        };
        assert_eq!(server.sqlstate, "22023");
        assert_eq!(server.message, format!("role \"{role}\" does not exist"));
    }
    assert_eq!(answers[7], Err(Refusal::Unusable("role")));
    assert_eq!(answers[10], Err(Refusal::Unusable("role")));
}

#[tokio::test]
async fn a_role_we_may_not_switch_to_is_refused_for_reading_and_for_writing() {
    let database = Database::set_up("switch").await;
    let dsn = database.cluster.dsn("ordinary", "p", database.name);
    let pool = Pool::new(dsn.parse().unwrap(), 1);
    for questions in [READ, WRITE] {
        let asked = [
            Asked {
                questions,
                ..about("room:1")
            },
            Asked {
                role: "service_role",
                questions,
                ..about("room:1")
            },
        ];
        let answers = pool.authorize(&asked).await.unwrap();
        assert!(
            answers[0]
                .as_ref()
                .is_ok_and(|grants| *grants != Grants::default())
        );
        let Err(Refusal::Policy(server)) = &answers[1] else {
            panic!("{answers:?}");
        };
        assert_eq!(server.sqlstate, "42501");
        assert_eq!(server.message, "permission denied to set role \"service_role\"");
    }
    assert!(database.is_clean());
}

#[tokio::test]
async fn who_fails_fails_alone() {
    let database = Database::set_up("alone").await;
    let topics = ["room:1", "boom:1", "assert:1", "room:2", "boom:2", "ro:1"];
    let answers = database.pool(1).authorize(&topics.map(about)).await.unwrap();
    assert_eq!(answers[0], Ok(grants([true; 4])));
    assert_eq!(policy_message(&answers[1]), "policy exploded");
    assert_eq!(policy_message(&answers[2]), "policy asserts");
    assert_eq!(answers[3], Ok(grants([true; 4])));
    assert_eq!(policy_message(&answers[4]), "policy exploded");
    assert_eq!(answers[5], Ok(grants([true, false, true, false])));
    assert!(database.is_clean());
}

#[tokio::test]
async fn who_fails_the_whole_transaction_fails_alone_as_well() {
    let database = Database::set_up("trigger").await;
    database.sql(
        "create function refuse() returns trigger language plpgsql as $$
         begin
           if new.topic = 'refused' then raise exception 'refused by a trigger'; end if;
           return new;
         end $$;
         create trigger refuse before insert on realtime.messages for each row execute function refuse()",
    );
    let answers = database
        .pool(1)
        .authorize(&["room:1", "refused", "room:2"].map(about))
        .await
        .unwrap();
    assert_eq!(answers[0], Ok(grants([true; 4])));
    assert_eq!(policy_message(&answers[1]), "refused by a trigger");
    assert_eq!(answers[2], Ok(grants([true; 4])));
}

#[tokio::test]
async fn nothing_of_one_is_there_for_the_next() {
    let database = Database::set_up("leftovers").await;
    let pool = database.pool(1);
    let answers = pool.authorize(&["sticky:1", "clean:1"].map(about)).await.unwrap();
    assert_eq!(answers, [Ok(grants([true; 4])), Ok(grants([true; 4]))]);
    let answers = pool.authorize(&[about("clean:1")]).await.unwrap();
    assert_eq!(answers, [Ok(grants([true; 4]))]);
    // To a policy that looks, as with the reference, there are the two rows that are read, or what is already written.
    let asked = [READ, WRITE].map(|questions| Asked {
        questions,
        ..about("count:2")
    });
    let answers = pool.authorize(&asked).await.unwrap();
    assert_eq!(answers[0].as_ref().unwrap().presence_read, Some(true));
    assert_eq!(answers[1].as_ref().unwrap().presence_write, Some(false));
    let asked = ["count:0", "count:0"].map(|topic| Asked {
        questions: WRITE,
        ..about(topic)
    });
    let answers = pool.authorize(&asked).await.unwrap();
    for answer in answers {
        assert_eq!(answer.unwrap().broadcast_write, Some(true));
    }
}

#[tokio::test]
async fn who_is_slow_does_not_keep_the_others_waiting() {
    let database = Database::set_up("slow").await;
    let pool = database.pool(1);
    let read = |topic| Asked {
        questions: READ,
        ..about(topic)
    };
    let asked = ["room:1", "slow:1", "room:2", "room:3"].map(read);
    let answers = pool.authorize(&asked).await.unwrap();
    assert_eq!(answers[1], Err(Refusal::Slow));
    let allowed = Ok(Grants {
        broadcast_read: Some(true),
        presence_read: Some(true),
        ..Grants::default()
    });
    assert_eq!([&answers[0], &answers[2], &answers[3]], [&allowed; 3]);
    // Alone there is more time.
    assert_eq!(pool.authorize(&[read("slow:1")]).await.unwrap(), [allowed]);
    assert!(database.is_clean());
}

#[tokio::test]
async fn who_is_cancelled_is_told_so() {
    let database = Database::set_up("cancelled").await;
    database.sql("alter database cancelled set statement_timeout = '1h'");
    let pool = database.pool(1);
    let asked = [about("slow:1")];
    let (answers, ()) = tokio::join!(pool.authorize(&asked), async {
        let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity
            where datname = current_database() and wait_event = 'PgSleep'";
        while database.sql(cancel) == "0" {
            tokio::task::yield_now().await;
        }
    });
    let answers = answers.unwrap();
    assert!(
        matches!(&answers[0], Err(Refusal::Cancelled(server)) if server.message.contains("user request")),
        "{answers:?}"
    );
    assert!(database.is_clean());
}

#[tokio::test]
async fn a_connection_whose_question_is_given_up_is_not_used_again() {
    let database = Database::set_up("given_up").await;
    let pool = database.pool(1);
    let asked = [about("slow:1")];
    let question = tokio::time::timeout(Duration::from_millis(200), pool.authorize(&asked));
    assert!(question.await.is_err());
    assert_eq!(pool.close_idle(Duration::ZERO), 0);
    let answers = pool.authorize(&[about("room:1")]).await.unwrap();
    assert_eq!(answers, [Ok(grants([true; 4]))]);
}

#[tokio::test]
async fn a_day_without_a_partition_is_named() {
    let database = Database::set_up("missing").await;
    database.sql(
        "do $$ declare name text; begin
           for name in select inhrelid::regclass::text from pg_inherits where inhparent = 'realtime.messages'::regclass loop
             execute 'drop table ' || name;
           end loop;
         end $$",
    );
    let pool = database.pool(1);
    for questions in [READ, WRITE, EVERYTHING] {
        let asked = ["room:1", "room:2"].map(|topic| Asked {
            questions,
            ..about(topic)
        });
        let answers = pool.authorize(&asked).await.unwrap();
        assert_eq!(
            answers,
            [Err(Refusal::MissingPartition), Err(Refusal::MissingPartition)]
        );
    }
    pool.maintain_partitions(None, DAYS_AHEAD, KEEP_HOURS)
        .await
        .unwrap();
    let answers = pool.authorize(&[about("room:1")]).await.unwrap();
    assert_eq!(answers, [Ok(grants([true; 4]))]);
}

#[tokio::test]
async fn without_a_database_nobody_can_be_asked() {
    let database = Database::set_up("gone").await;
    let dsn = database.cluster.superuser_dsn("no_such_database");
    let asked = [about("room:1")];
    let error = Pool::new(dsn.parse().unwrap(), 1)
        .authorize(&asked)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error:?}");

    let pool = database.pool(1);
    let slow = [about("slow:1")];
    let (answers, ()) = tokio::join!(pool.authorize(&slow), async {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and wait_event = 'PgSleep'";
        while database.sql(end) == "0" {
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(answers, Err(Error::Unreachable(_))), "{answers:?}");
    assert_eq!(pool.authorize(&asked).await.unwrap(), [Ok(grants([true; 4]))]);
}

#[tokio::test]
async fn many_askers_with_large_claims_are_answered_in_their_order() {
    let database = Database::set_up("many").await;
    let pool = database.pool(2);
    let large = json!({"padding": "é'\\\"".repeat(25_000), "admin": "yes"}).to_string();
    let roles = ["authenticated", "anon", "nobody"];
    let topics: Vec<String> = (0..150)
        .map(|at| format!("{}:{at}", ["ro", "claim"][at % 2]))
        .collect();
    let asked: Vec<Asked<'_>> = topics
        .iter()
        .enumerate()
        .map(|(at, topic)| Asked {
            role: roles[at % 3],
            claims: if at % 5 == 0 { &large } else { "{}" },
            questions: READ,
            ..about(topic)
        })
        .collect();
    let answers = pool.authorize(&asked).await.unwrap();
    assert_eq!(answers.len(), asked.len());
    for (at, answer) in answers.iter().enumerate() {
        let expected = match at % 3 {
            0 => Some(at % 2 == 0 || at % 5 == 0),
            1 => Some(false),
            _ => None,
        };
        let answer = answer.as_ref().ok().and_then(|grants| grants.presence_read);
        assert_eq!(answer, expected, "{at}");
    }
    assert!(database.is_clean());
}

#[test]
fn any_text_arrives_as_it_is_or_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(Database::set_up("any_text"));
    let pool = database.pool(1);
    let roles = prop_oneof![
        Just("authenticated".to_owned()),
        Just(STRANGE_ROLE.to_owned()),
        text(),
    ];
    let asker = (text(), roles, text(), proptest::option::of(text()), text());
    let askers = proptest::collection::vec(asker, 1..12);
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&askers, |askers| {
            let topics: Vec<String> = askers.iter().map(|(topic, ..)| format!("echo:{topic}")).collect();
            let asked: Vec<Asked<'_>> = askers
                .iter()
                .zip(&topics)
                .map(|((_, role, claims, sub, headers), topic)| Asked {
                    topic,
                    role,
                    claims,
                    sub: sub.as_deref(),
                    headers,
                    questions: WRITE,
                })
                .collect();
            let answers = runtime.block_on(pool.authorize(&asked)).unwrap();
            prop_assert_eq!(answers.len(), asked.len());
            for (asked, answer) in asked.iter().zip(&answers) {
                check_echo(asked, answer)?;
            }
            Ok(())
        })
        .unwrap();
    assert!(database.is_clean());
    assert_eq!(
        database.sql("select count(*) from pg_roles where rolname = 'authenticated'"),
        "1"
    );
}

/// Texts that would like to be statements.
fn text() -> impl Strategy<Value = String> {
    const NASTY: [&str; 22] = [
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "$$",
        "$roost$",
        ";",
        "--",
        "/*",
        "{",
        "}",
        ",",
        "NULL",
        "\0",
        "\n",
        "é",
        "😀",
        "\u{feff}",
        "');drop role authenticated;--",
        "%",
        "a",
    ];
    let pieces = prop_oneof![
        proptest::sample::select(&NASTY[..]).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn check_echo(asked: &Asked<'_>, answer: &Result<Grants, Refusal>) -> Result<(), TestCaseError> {
    let texts = [
        asked.topic,
        asked.role,
        asked.claims,
        asked.sub.unwrap_or_default(),
        asked.headers,
    ];
    if texts.iter().any(|text| text.contains('\0')) || asked.role == "none" {
        prop_assert!(matches!(answer, Err(Refusal::Unusable(_))), "{:?}", answer);
        return Ok(());
    }
    let Err(Refusal::Policy(server)) = answer else {
        return Err(TestCaseError::fail(format!("{answer:?}")));
    };
    if asked.role == "authenticated" || asked.role == STRANGE_ROLE {
        let [topic, claims, sub, headers] = [
            asked.topic,
            asked.claims,
            asked.sub.unwrap_or_default(),
            asked.headers,
        ];
        let expected = json!([topic, claims, sub, asked.role, headers, asked.role, "broadcast"]);
        let seen: Value = serde_json::from_str(&server.message).expect("what the policy says");
        prop_assert_eq!(seen, expected);
    } else {
        prop_assert_eq!(&*server.sqlstate, "22023", "{}", server.message);
    }
    Ok(())
}
