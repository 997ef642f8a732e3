//! The replayer against a server whose every move is in the transcript itself.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use auth::Secret;
use pgcluster::TestCluster;
use replayer::{Options, Outcome, Target, Tenant, Verdict, prepare_database};
use support::Server;
use transcript::{Failure, Pace, Settings, Transcript};

const OPEN: &str = r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:anon}"}}"#;

fn transcript(more: &str, steps: &[&str]) -> Transcript {
    let header = r#"{"transcript":1,"name":"n","area":"x","title":"t","shows":"s","reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":1,"jwt":{"anon":{"claims":{"role":"anon"}}}"#;
    let text = format!("{header}{more}}}\n{}\n", steps.join("\n"));
    Transcript::parse("n.jsonl", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn target(server: &Server, database: Option<String>) -> Target {
    let tenant = Tenant::new("main", Secret::new("hush-hush"), database);
    Target {
        endpoint: server.endpoint.clone(),
        profiles: BTreeMap::from([("main".to_owned(), vec![tenant])]),
        admin_secret: None,
        keys: BTreeMap::new(),
    }
}

async fn replay(transcripts: Vec<Transcript>, target: &Target, concurrency: usize) -> Vec<Outcome> {
    let options = Options {
        concurrency,
        ..Options::default()
    };
    replayer::replay(transcripts, target, options, &mut |_| {}).await
}

async fn replay_with(settings: Settings, target: &Target, transcript: Transcript) -> Outcome {
    let options = Options {
        settings,
        ..Options::default()
    };
    let outcomes = replayer::replay(vec![transcript], target, options, &mut |_| {}).await;
    outcomes
        .into_iter()
        .next()
        .expect("one transcript has one outcome")
}

async fn outcome(server: &Server, steps: &[&str]) -> Outcome {
    let outcomes = replay(vec![transcript("", steps)], &target(server, None), 1).await;
    outcomes
        .into_iter()
        .next()
        .expect("one transcript has one outcome")
}

async fn passes(steps: &[&str]) {
    match outcome(&Server::start().await, steps).await.verdict {
        Verdict::Passed => {}
        Verdict::Failed(failure) => panic!("{failure}"),
        Verdict::LeftOut(reason) => panic!("{reason}"),
    }
}

async fn fails(steps: &[&str]) -> Failure {
    match outcome(&Server::start().await, steps).await.verdict {
        Verdict::Failed(failure) => *failure,
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test]
async fn what_is_sent_and_received_is_expanded_and_compared() {
    passes(&[
        OPEN,
        r#"{"send":"a","text":["say",["1",{"n":1.50}],["x"]]}"#,
        r#"{"recv":"a","text":["1",{"n":15e-1}]}"#,
        r#"{"recv":"a","text":["${text:x}"]}"#,
        r#"{"send":"a","text":["${text:x}","${fill:y:3}","${now_ms}"]}"#,
        r#"{"recv":"a","text":["x","yyy","${int}"]}"#,
        r#"{"send":"a","raw":" [ 1.0 ] "}"#,
        r#"{"recv":"a","text":[1]}"#,
        r#"{"send":"a","raw":"[1]","opcode":"binary"}"#,
        r#"{"recv":"a","bytes":"5b315d"}"#,
    ])
    .await;
}

#[tokio::test]
async fn frames_of_all_kinds_are_compared() {
    passes(&[
        OPEN,
        r#"{"send":"a","bytes":"0401010001746531"}"#,
        r#"{"recv":"a","bytes":"0401010001746531"}"#,
        r#"{"send":"a","bytes":"0401010001746531"}"#,
        r#"{"recv":"a","view":{"kind":"user_broadcast","topic":"t","event":"e","encoding":"json","payload":1}}"#,
        r#"{"send":"a","push":{"join_ref":"1","ref":"2","topic":"t","event":"e","payload":{"x":"${fill:x:2}"}}}"#,
        r#"{"recv":"a","view":{"kind":"user_broadcast_push","join_ref":"1","ref":"2","topic":"t","event":"e","encoding":"json","payload":{"x":"xx"}}}"#,
        r#"{"send":"a","ping":"hello"}"#,
        r#"{"recv":"a","pong":"hello"}"#,
        r#"{"silence":"a","ms":50}"#,
        r#"{"send":"a","text":["say",1,2,3]}"#,
        r#"{"recv":"a","unordered":[{"text":3},{"text":1},{"text":2},{"text":4,"optional":true}]}"#,
    ])
    .await;
}

#[tokio::test]
async fn connections_end_as_told() {
    passes(&[
        OPEN,
        r#"{"send":"a","text":["close",4001]}"#,
        r#"{"closed":"a","code":[4000,4001]}"#,
        OPEN,
        r#"{"send":"a","text":["drop"]}"#,
        r#"{"closed":"a","code":1006}"#,
        r#"{"silence":"a","ms":10}"#,
        OPEN,
        r#"{"close":"a","code":4000}"#,
        OPEN,
        r#"{"close":"a","abrupt":true}"#,
    ])
    .await;
}

#[tokio::test]
async fn handshakes_and_requests_are_sent_as_told() {
    let server = Server::start().await;
    let steps = [
        r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"a b&c=ü"},"headers":{"x-a":"${tenant}"}}"#,
        r#"{"open":"b","query":"apikey[]=%41","host":"other.example"}"#,
        r#"{"open":"c","refused":{"status":401,"type":"application/json","body":{"error":"${text}"}}}"#,
        r#"{"http":"POST /p?t=${tenant}","headers":{"h":"${secret}"},"body":{"k":"${fill:z:2}"},"expect":{"status":200,"body":["post /p?t=main http/1.1","{\"k\":\"zz\"}"]}}"#,
        r#"{"http":"PUT /raw","raw":"{\"k\"","expect":{"status":200,"body":["${text}","{\"k\""]}}"#,
        r#"{"http":"GET /none","expect":{"status":200,"type":"application/json","body":["${text}",""]}}"#,
    ];
    match outcome(&server, &steps).await.verdict {
        Verdict::Passed => {}
        other => panic!("{other:?}"),
    }
    let heads = server.heads.lock().unwrap().clone();
    assert!(
        heads[0].starts_with("get /socket/websocket?apikey=a%20b%26c%3d%c3%bc&vsn=2.0.0 "),
        "{}",
        heads[0]
    );
    assert!(heads[0].contains("\r\nhost: main.localhost\r\n") && heads[0].contains("\r\nx-a: main\r\n"));
    assert!(
        heads[1].starts_with("get /socket/websocket?apikey[]=%41 ")
            && heads[1].contains("\r\nhost: other.example\r\n")
    );
    assert!(
        heads[3].contains("\r\nh: hush-hush\r\n")
            && heads[3].contains("\r\ncontent-type: application/json\r\n")
    );
    assert!(!heads[4].contains("content-type"));
}

#[tokio::test]
async fn what_differs_is_told_with_its_place_and_what_led_to_it() {
    let failure = fails(&[
        OPEN,
        r#"{"send":"a","text":["say",["1",{"status":"error"}]]}"#,
        r#"{"recv":"a","text":["1",{"status":"ok"}]}"#,
    ])
    .await;
    assert_eq!(
        (failure.line, failure.problem.as_str()),
        (4, "something else arrived")
    );
    let mismatch = failure.mismatch.clone().expect("two values differ");
    assert_eq!(
        mismatch.to_string(),
        r#"at $[1].status: expected "ok", got "error""#
    );
    assert!(
        failure
            .contrast
            .iter()
            .any(|line| line == "-     \"status\": \"ok\""),
        "{failure}"
    );
    let told = failure.to_string();
    assert!(
        told.contains("a ─▶ [\"say\"") && told.contains("a ◀─ [\"1\",{\"status\":\"error\"}]"),
        "{told}"
    );
}

#[tokio::test]
async fn every_kind_of_surprise_is_a_failure() {
    let sleep = r#"{"sleep":200}"#;
    for (steps, line, problem) in [
        (vec![r#"{"silence":"a","ms":1000}"#], 4, "something arrived: 7"),
        (vec![sleep, r#"{"close":"a"}"#], 5, "the queue still holds: 7"),
        (vec![], 3, "after the last step, a still holds: 7"),
        (
            vec![r#"{"closed":"a","code":1000}"#],
            4,
            "not a close with [1000] but: 7",
        ),
        (
            vec![r#"{"recv":"a","text":8,"optional":true}"#],
            4,
            "after the last step, a still holds: 7",
        ),
        (vec![r#"{"recv":"a","text":7}"#, OPEN], 5, "it is still open"),
        (vec![r#"{"send":"b","text":1}"#], 4, "no such connection is open"),
    ] {
        let failure = fails(&[vec![OPEN, r#"{"send":"a","text":["say",7]}"#], steps].concat()).await;
        assert_eq!((failure.line, failure.problem.as_str()), (line, problem));
    }
}

#[tokio::test]
async fn a_connection_that_is_over_brings_nothing() {
    let failure = fails(&[
        OPEN,
        r#"{"send":"a","text":["drop"]}"#,
        r#"{"closed":"a","code":1006}"#,
        r#"{"recv":"a","text":1}"#,
    ])
    .await;
    assert_eq!(failure.problem, "the connection is over");
}

#[tokio::test]
async fn handshakes_that_go_another_way_are_failures() {
    let failure = fails(&[r#"{"open":"a"}"#]).await;
    assert!(
        failure.problem.starts_with("the handshake was refused: 401"),
        "{}",
        failure.problem
    );
    let failure = fails(&[r#"{"open":"a","params":{"apikey":"x"},"refused":{"status":401}}"#]).await;
    assert_eq!(failure.problem, "the handshake was accepted");
    let failure = fails(&[r#"{"open":"a","refused":{"status":403}}"#]).await;
    assert_eq!(failure.mismatch.expect("two values differ").path, "$.status");
}

#[tokio::test]
async fn reports_hold_neither_tokens_nor_secrets() {
    let failure = fails(&[
        OPEN,
        r#"{"send":"a","text":["${jwt:anon}","${secret}"]}"#,
        r#"{"recv":"a","text":["${jwt:anon}","${secret}"]}"#,
        r#"{"http":"GET /x?${secret}","headers":{"authorization":"Bearer ${jwt:anon}"},"expect":{"status":400}}"#,
    ])
    .await;
    let sent: String = failure
        .to_string()
        .lines()
        .filter(|line| line.contains("─▶"))
        .collect();
    assert!(!sent.contains("hush-hush") && !sent.contains("eyJ"), "{sent}");
    assert_eq!(failure.line, 5);
}

#[tokio::test]
async fn transcripts_of_one_lock_never_run_together_and_others_do() {
    let server = Server::start().await;
    let steps = [OPEN, r#"{"sleep":300}"#];
    let locked: Vec<Transcript> = (0..4).map(|_| transcript(r#","lock":"l""#, &steps)).collect();
    let outcomes = replay(locked, &target(&server, None), 16).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome.verdict, Verdict::Passed)),
        "{outcomes:?}"
    );
    assert_eq!(server.most_open.load(Ordering::SeqCst), 1);

    let free: Vec<Transcript> = (0..4).map(|_| transcript("", &steps)).collect();
    replay(free, &target(&server, None), 16).await;
    assert!(server.most_open.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn what_the_target_lacks_is_left_out() {
    let server = Server::start().await;
    let all = vec![
        transcript(r#","setup":["select 1"]"#, &[OPEN]),
        transcript(r#","fresh_tenant":true"#, &[OPEN]),
        transcript("", &[r#"{"sql":"select 1"}"#]),
    ];
    for outcome in replay(all, &target(&server, None), 1).await {
        assert!(matches!(outcome.verdict, Verdict::LeftOut(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn statements_run_before_between_and_after() {
    let dsn = TestCluster::shared().create_database("replayer_sql");
    let server = Server::start().await;
    let steps = [
        r#"{"sql":"insert into t values (1, null); select * from t","rows":[{"a":"1","b":null}]}"#,
        r#"{"sql":"select * from nowhere","error":"42P01"}"#,
        r#"{"sql":"select count(*) from t","rows":[{"count":"1"}]}"#,
    ];
    let around = r#","setup":["create table t (a int, b text)"],"teardown":["drop table t"]"#;
    for _ in 0..2 {
        let outcomes = replay(
            vec![transcript(around, &steps)],
            &target(&server, Some(dsn.clone())),
            1,
        )
        .await;
        assert!(matches!(outcomes[0].verdict, Verdict::Passed), "{outcomes:?}");
    }
    for (step, problem) in [
        (
            r#"{"sql":"select * from nowhere"}"#,
            "the statement failed: ERROR: relation \"nowhere\" does not exist",
        ),
        (
            r#"{"sql":"select 1","error":"42P01"}"#,
            "the statement did not fail with 42P01",
        ),
        (
            r#"{"sql":"select 1 as a","rows":[{"a":"2"}]}"#,
            "the rows are others",
        ),
    ] {
        let outcomes = replay(
            vec![transcript(around, &[step])],
            &target(&server, Some(dsn.clone())),
            1,
        )
        .await;
        match &outcomes[0].verdict {
            Verdict::Failed(failure) => assert_eq!((failure.line, failure.problem.as_str()), (2, problem)),
            other => panic!("not a failure: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_database_can_be_prepared_before_and_after_the_server_came() {
    let dsn = TestCluster::shared().create_database("replayer_fixtures");
    prepare_database(&dsn)
        .await
        .unwrap_or_else(|error| panic!("before: {error}"));
    let server = "create table realtime.messages (topic text, extension text); \
        create function realtime.topic() returns text language sql as 'select null::text'; \
        create function realtime.broadcast_changes(text, text, text, text, text, record, record, text) returns void language plpgsql as 'begin end'";
    TestCluster::shared()
        .execute("replayer_fixtures", server)
        .unwrap_or_else(|error| panic!("{error}"));
    prepare_database(&dsn)
        .await
        .unwrap_or_else(|error| panic!("after: {error}"));
    let policies = "select count(*) from pg_policies where schemaname = 'realtime'";
    assert_eq!(
        TestCluster::shared()
            .execute("replayer_fixtures", policies)
            .expect("it runs")
            .trim(),
        "2"
    );
}

/// The lines of a file after its header that an update makes of these steps.
async fn updated(steps: &[&str]) -> Vec<String> {
    let server = Server::start().await;
    let settings = Settings {
        is_updating: true,
        patience: std::time::Duration::from_millis(300),
        ..Settings::default()
    };
    let outcome = replay_with(settings, &target(&server, None), transcript("", steps)).await;
    assert!(matches!(outcome.verdict, Verdict::Passed), "{outcome:?}");
    let text = outcome
        .rewritten
        .map(|rewritten| rewritten.text)
        .unwrap_or_default();
    let again = Transcript::parse("n.jsonl", &text).unwrap_or_else(|error| panic!("{error}"));
    let verdict = replay_with(Settings::default(), &target(&server, None), again)
        .await
        .verdict;
    assert!(matches!(verdict, Verdict::Passed), "{verdict:?}");
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn an_update_keeps_what_matches_and_takes_the_rest_from_the_server() {
    let uuid = "01234567-89ab-4cde-8f01-23456789abcd";
    let say =
        format!(r#"{{"send":"a","text":["say",["r",7,{{"status":"error","id":"{uuid}","more":[1]}}]]}}"#);
    let steps = [
        OPEN,
        &say,
        r#"{"recv":"a","text":["${text:t}","${int}",{"status":"ok","id":"${uuid:u}","gone":1}],"after_ms":5,"sample":1}"#,
    ];
    let lines = updated(&steps).await;
    assert_eq!(lines[..2], [OPEN, &say]);
    assert_eq!(
        lines[2],
        r#"{"recv":"a","text":["${text:t}","${int}",{"status":"error","id":"${uuid:u}","more":[1]}],"after_ms":5}"#
    );
}

#[tokio::test]
async fn an_update_adds_frames_that_came_and_removes_those_that_did_not() {
    let steps = [
        OPEN,
        r#"{"send":"a","text":["say",1,2,3]}"#,
        r#"{"recv":"a","unordered":[{"text":9},{"text":1}]}"#,
        r#"{"silence":"a","ms":50}"#,
        r#"{"recv":"a","text":4}"#,
        r#"{"send":"a","text":["say",5]}"#,
        r#"{"http":"GET /x","expect":{"status":404,"body":["${text}","x"]}}"#,
        r#"{"send":"a","text":["close",4000]}"#,
        r#"{"recv":"a","text":5}"#,
        r#"{"closed":"a","code":1000}"#,
        r#"{"open":"a","refused":{"status":403}}"#,
        OPEN,
        r#"{"send":"a","text":["say",6]}"#,
    ];
    let lines = updated(&steps).await;
    let expected = [
        OPEN,
        steps[1],
        r#"{"recv":"a","unordered":[{"text":2},{"text":1}]}"#,
        r#"{"recv":"a","text":3}"#,
        steps[3],
        steps[5],
        r#"{"http":"GET /x","expect":{"status":200,"body":["${text}",""]}}"#,
        steps[7],
        steps[8],
        r#"{"closed":"a","code":4000}"#,
        r#"{"open":"a","refused":{"status":401}}"#,
        OPEN,
        steps[12],
    ];
    assert_eq!(lines[..expected.len()], expected);
    assert_eq!(lines[expected.len()..], [r#"{"recv":"a","text":6}"#]);
}

#[tokio::test]
async fn nothing_is_rewritten_where_everything_matches() {
    let server = Server::start().await;
    let settings = Settings {
        is_updating: true,
        ..Settings::default()
    };
    let steps = [
        OPEN,
        r#"{"send":"a","text":[1]}"#,
        r#"{"recv":"a","text":["${int}"]}"#,
    ];
    let outcome = replay_with(settings, &target(&server, None), transcript("", &steps)).await;
    assert!(
        matches!(outcome.verdict, Verdict::Passed) && outcome.rewritten.is_none(),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_real_pace_keeps_the_pauses_and_the_fast_one_does_not() {
    let steps = [
        r#"{"open":"a","vsn":"2.0.0","params":{"apikey":"${jwt:anon}"},"at_ms":0}"#,
        r#"{"send":"a","text":[1],"at_ms":400}"#,
        r#"{"recv":"a","text":[1],"at_ms":401}"#,
    ];
    let header = r#"{"transcript":2,"name":"n","area":"x","title":"t","shows":"s","reference":{"server":"x","version":"1","commit":"c"},"vsn":[],"tenant":"main","takes_ms":1,"jwt":{"anon":{"claims":{"role":"anon"}}}}"#;
    let text = format!("{header}\n{}\n", steps.join("\n"));
    let server = Server::start().await;
    let mut took = Vec::new();
    for pace in [Pace::Fast, Pace::Real] {
        let settings = Settings {
            pace,
            ..Settings::default()
        };
        let transcript = Transcript::parse("n.jsonl", &text).unwrap_or_else(|error| panic!("{error}"));
        let outcome = replay_with(settings, &target(&server, None), transcript).await;
        assert!(matches!(outcome.verdict, Verdict::Passed), "{outcome:?}");
        took.push(outcome.took);
    }
    // Both wait as long for what may follow the last step.
    let difference = took[1].saturating_sub(took[0]);
    assert!(difference.as_millis() > 200, "{took:?}");
}
