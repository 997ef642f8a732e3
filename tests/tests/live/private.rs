//! Private channels: who gets in, what passes, and what the database is asked for it.

use client::{Answer, Endpoint, Request};
use pgcluster::TestCluster;
use serde_json::{Value, json};
use tests::gateway::Gateway;
use tests::peer::{Peer, SECRET, token, token_with};
use tests::stage::{DATABASE, Stage};

/// What a topic allows is in its prefix. `room` is for `authenticated`, `own` for the subject it names; `who` is for the
/// role `anon` with the claims and headers of an honest client and nothing else.
const POLICIES: &str = "
create sequence asked; grant usage on sequence asked to anon, authenticated;
create function allows() returns boolean language plpgsql as $$ begin
  return case split_part(realtime.topic(), ':', 1)
    when 'room' then current_user = 'authenticated'
    when 'own' then realtime.topic() = 'own:' || (auth.jwt() ->> 'sub')
    when 'claims' then md5(auth.jwt() ->> 'note') = split_part(realtime.topic(), ':', 2)
    when 'hdr' then current_setting('request.headers')::jsonb ->> 'x-pass' = 'it''s \"open\"'
    when 'counted' then nextval('asked') > 0
    when 'slow' then pg_sleep(3) is not null
    when 'held' then pg_sleep(1) is not null and nextval('asked') > 0
    when 'who' then current_user = 'anon' and auth.jwt() = '{\"role\":\"anon\",\"exp\":4000000000}'
      and current_setting('request.headers')::jsonb = '{}' and current_setting('request.jwt.claim.sub', true) is not distinct from ''
    else realtime.topic() = E'it''s \\\\ a \"topic\" $1; drop table notes --é' end;
end $$;
create policy reads on realtime.messages for select to anon, authenticated using (allows());
create policy writes on realtime.messages for insert to anon, authenticated with check (allows());";

/// A server on a database that it has set up itself.
fn stage(flags: &[&str]) -> Stage {
    let flags: Vec<&str> = ["--migrate", "--channel-error-backoff-ms", "0"]
        .iter()
        .chain(flags)
        .copied()
        .collect();
    // Who is there when the schema is made may use it.
    let stage = Stage::with(&flags, "create role service_role nologin bypassrls");
    stage.sql(POLICIES);
    stage
}

fn private() -> Value {
    json!({"private": true})
}

fn unauthorized(topic: &str) -> String {
    format!("Unauthorized: You do not have permissions to read from this Channel topic: {topic}")
}

async fn member(stage: &Stage, role: &str, topic: &str) -> Peer {
    let mut peer = Peer::connect_with(stage.gateway.address(), &token(role)).await;
    peer.join(topic, private()).await;
    peer
}

/// Asks to join a private topic; the reply's status, and its reason if it is refused.
async fn outcome(peer: &mut Peer, topic: &str, token: &str) -> Result<(), String> {
    let topic = format!("realtime:{topic}");
    peer.ask_to_join("j", &topic, private(), token).await;
    let reply = loop {
        let frame = peer.next().await;
        if frame[3] == "phx_reply" {
            break frame;
        }
    };
    if reply[4]["status"] == "ok" {
        peer.send(&json!(["j", "l", topic, "phx_leave", {}])).await;
        peer.next_of("phx_close").await;
        return Ok(());
    }
    Err(reply[4]["response"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let address = gateway.address();
    let mut all = vec![("content-type".to_owned(), "application/json".to_owned())];
    all.extend(
        headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let request = Request {
        method: "POST".to_owned(),
        target: path.to_owned(),
        host: address.to_owned(),
        headers: all,
        body: body.to_string().into(),
    };
    let endpoint = Endpoint::parse(&format!("ws://{address}")).expect("an address");
    endpoint.call(&request).await.expect("a server")
}

fn message_of(answer: &Answer) -> (u16, Value) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body["message"].clone())
}

#[tokio::test]
async fn a_private_topic_is_of_its_members_alone() {
    let stage = stage(&[]);
    let mut a = member(&stage, "authenticated", "realtime:room:a").await;
    let mut b = member(&stage, "authenticated", "realtime:room:a").await;
    let mut elsewhere = member(&stage, "authenticated", "realtime:room:b").await;
    let mut public = Peer::connect(stage.gateway.address()).await;
    public.join("realtime:room:a", json!({})).await;
    let mut refused = Peer::connect(stage.gateway.address()).await;
    assert_eq!(
        outcome(&mut refused, "room:a", &token("anon")).await,
        Err(unauthorized("room:a"))
    );

    let push = json!({"type": "broadcast", "event": "e", "payload": {"n": 1}});
    let track = json!({"type": "presence", "event": "track", "payload": {"secret": true}});
    a.send(&json!(["1", "2", "realtime:room:a", "presence", track]))
        .await;
    a.send(&json!(["1", "3", "realtime:room:a", "broadcast", push]))
        .await;
    assert_eq!(
        b.next().await,
        json!([null, null, "realtime:room:a", "broadcast", push])
    );
    stage.sql("select realtime.send('{\"n\": 2}', 'e', 'room:a')");
    assert_eq!(b.next_of_any_kind().await["payload"]["n"], 2);
    // From outside: over the public channel of that name, over no channel at all, and over HTTP.
    public
        .send(&json!(["1", "2", "realtime:room:a", "broadcast", push]))
        .await;
    refused
        .send(&json!(["j", "2", "realtime:room:a", "broadcast", push]))
        .await;
    assert_eq!(
        refused.next().await[4]["response"]["reason"],
        "unmatched topic",
        "the topic is not joined"
    );
    let anon = format!("Bearer {}", token("anon"));
    let path = "/api/broadcast/room%3Aa/events/e?private=true";
    let answer = post(&stage.gateway, path, &[("authorization", &anon)], &json!({})).await;
    assert_eq!(message_of(&answer), (403, json!("Unauthorized")));
    let body = json!({"messages": [{"topic": "room:a", "event": "e", "payload": {}, "private": true}]});
    let answer = post(
        &stage.gateway,
        "/api/broadcast",
        &[("authorization", &anon)],
        &body,
    )
    .await;
    assert_eq!(answer.status, 202);
    for peer in [&mut b, &mut elsewhere, &mut public, &mut refused] {
        peer.hears_nothing().await;
    }
}

#[tokio::test]
async fn no_token_and_no_topic_gets_more_than_the_policies_give() {
    // One connection, so that what is left on it would be seen by the next.
    let stage = stage(&["--private-pool-size", "1"]);
    let mut peer = Peer::connect(stage.gateway.address()).await;
    let odd = "it's \\ a \"topic\" $1; drop table notes --é";
    assert_eq!(outcome(&mut peer, odd, &token("anon")).await, Ok(()));
    assert_eq!(outcome(&mut peer, "who", &token("anon")).await, Ok(()));
    let with = |claims: Value| token_with("anon", &claims);
    let long = "x".repeat(100_000);
    let stranger = "nobody_knows";
    stage.sql("create role without_usage nologin");
    for (topic, token) in [
        ("who\0", token("anon")),
        ("room:a\0", token("authenticated")),
        ("room:a", token(stranger)),
        ("room:a", token("none")),
        ("room:a", token("")),
        ("room:a", token("without_usage")),
        ("room:a", token("authenticated'; set role postgres --")),
        ("room:a", token("authenticated\0")),
        ("room:a", with(json!({"role": null}))),
        ("room:a", with(json!({"role": ["authenticated"]}))),
        (
            "room:a",
            with(json!({"note": "'; reset role; --", "sub": "\\ \" ' $1 é 🦀"})),
        ),
        ("room:a", with(json!({ "note": long }))),
        ("own:a", with(json!({"sub": "a' or true --"}))),
        ("own:a", with(json!({"sub": {"a": 1}}))),
    ] {
        let refused = outcome(&mut peer, topic, &token).await;
        assert_eq!(refused, Err(unauthorized(topic)), "{token:.200}");
        assert_eq!(outcome(&mut peer, "who", &self::token("anon")).await, Ok(()));
    }
    // Who the project's secret says is all-powerful is so, and nobody after it.
    assert_eq!(outcome(&mut peer, "room:a", &token("postgres")).await, Ok(()));
    let refused = outcome(&mut peer, "room:a", &token("anon")).await;
    assert_eq!(refused, Err(unauthorized("room:a")));
    // What is said arrives as it was said.
    for note in ["it's \\ \"quoted\" $1 é 🦀", &long] {
        let digest = stage.sql(&format!("select md5($note${note}$note$)"));
        let topic = format!("claims:{}", digest.trim());
        assert_eq!(
            outcome(&mut peer, &topic, &with(json!({ "note": note }))).await,
            Ok(())
        );
    }
    assert_eq!(stage.sql("select count(*) from realtime.messages").trim(), "0");
    let idle =
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'";
    assert_eq!(stage.sql(idle).trim(), "0");
}

#[tokio::test]
async fn an_ordinary_role_serves_private_channels_if_it_is_a_member_of_the_client_roles() {
    let cluster = TestCluster::start(&[]);
    cluster.create_database(DATABASE);
    let run = |sql: &str| cluster.execute(DATABASE, sql).expect("valid SQL");
    run(
        "create role gateway login replication password 'gateway'; create role anon nologin;
         create role authenticated nologin; grant anon, authenticated to gateway;
         create publication supabase_realtime;
         grant create on database changes to gateway",
    );
    let dsn = cluster.dsn("gateway", "gateway", DATABASE);
    let gateway = Gateway::serve(&[
        "--jwt-secret",
        SECRET,
        "--database-url",
        &dsn,
        "--migrate",
        "--channel-error-backoff-ms",
        "0",
    ]);
    gateway.wait_for_log("private channels are on", "tenant");
    run("create policy reads on realtime.messages for select to authenticated using (realtime.topic() = 'room');
         create policy writes on realtime.messages for insert to authenticated with check (realtime.topic() = 'room')");
    let mut peer = Peer::connect(gateway.address()).await;
    assert_eq!(outcome(&mut peer, "room", &token("authenticated")).await, Ok(()));
    for role in ["anon", "postgres", "gateway", "pg_read_all_data"] {
        let refused = outcome(&mut peer, "room:other", &token(role)).await;
        let is_own = role == "gateway";
        assert_eq!(refused.is_ok(), is_own, "{role}: {refused:?}");
    }
    assert_eq!(
        outcome(&mut peer, "other", &token("authenticated")).await,
        Err(unauthorized("other"))
    );
}

#[tokio::test]
async fn what_is_asked_at_the_same_time_is_asked_once() {
    let stage = stage(&[]);
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(Peer::connect(stage.gateway.address()).await);
    }
    for peer in &mut peers {
        peer.ask_to_join("1", "realtime:held:a", private(), &token("anon"))
            .await;
    }
    for peer in &mut peers {
        assert_eq!(peer.next().await[4]["status"], "ok");
    }
    let asked: u32 = stage
        .sql("select last_value from asked")
        .trim()
        .parse()
        .expect("a number");
    assert!(asked < 20, "{asked}");
}

#[tokio::test]
async fn many_users_at_once_take_few_transactions() {
    let stage = stage(&["--log-level", "info,gateway::private=debug"]);
    let mut peer = Peer::connect(stage.gateway.address()).await;
    let users = 400;
    for user in 0..users {
        let token = token_with("authenticated", &json!({ "sub": user.to_string() }));
        let topic = format!("realtime:own:{user}");
        peer.ask_to_join(&user.to_string(), &topic, private(), &token)
            .await;
    }
    for _ in 0..users {
        assert_eq!(peer.next().await[4]["status"], "ok");
    }
    let (mut questions, mut batches) = (0, 0);
    while questions < users {
        let asked = stage.gateway.wait_for_log("policies are asked", "questions");
        questions += asked.parse::<i32>().expect("a number");
        batches += 1;
    }
    assert!(batches <= users / 4, "{batches}");
}

#[tokio::test]
async fn slow_policies_hold_up_neither_heartbeats_nor_others() {
    let stage = stage(&["--private-pool-size", "2"]);
    let mut slow = Peer::connect(stage.gateway.address()).await;
    for name in ["a", "b", "c"] {
        let topic = format!("realtime:slow:{name}");
        slow.ask_to_join(name, &topic, private(), &token("anon")).await;
    }
    slow.hears_nothing().await;
    let mut quick = member(&stage, "authenticated", "realtime:room:a").await;
    quick.hears_nothing().await;
    for _ in 0..3 {
        let reply = slow.next().await;
        assert_eq!(reply[3], "phx_reply", "{reply}");
    }
}

#[tokio::test]
async fn answers_are_kept_only_if_they_are_to_be() {
    for (flags, asked) in [(&[][..], "2"), (&["--authorization-cache-ms", "600000"], "1")] {
        let stage = stage(flags);
        let mut peer = Peer::connect(stage.gateway.address()).await;
        for _ in 0..2 {
            assert_eq!(outcome(&mut peer, "counted:a", &token("anon")).await, Ok(()));
        }
        assert_eq!(
            stage.sql("select last_value from asked").trim(),
            asked,
            "{flags:?}"
        );
    }
}

#[tokio::test]
async fn partitions_are_made_ahead_and_a_missing_one_is_made_and_not_reported() {
    let stage = stage(&[]);
    let mut first = member(&stage, "authenticated", "realtime:room:a").await;
    first.hears_nothing().await;
    let count = "select count(*) from pg_inherits where inhparent = 'realtime.messages'::regclass";
    assert_eq!(stage.sql(count).trim(), "5", "from yesterday to three days ahead");
    let lose = "do $$ declare lost regclass; begin
        for lost in select inhrelid::regclass from pg_inherits where inhparent = 'realtime.messages'::regclass loop
          execute format('drop table %s', lost);
        end loop; end $$";
    stage.sql(lose);
    let mut peer = member(&stage, "authenticated", "realtime:room:a").await;
    assert_eq!(stage.sql(count).trim(), "5");
    stage.sql(lose);
    stage.sql(
        "create table realtime.messages_2020_01_01 partition of realtime.messages
         for values from ('2020-01-01') to ('2020-01-02')",
    );
    let push = json!({"type": "broadcast", "event": "e", "payload": {}});
    peer.send(&json!(["1", "2", "realtime:room:a", "broadcast", push]))
        .await;
    let service = format!("Bearer {}", token("authenticated"));
    let path = "/api/broadcast/room:a/events/e?private=true";
    let answer = post(
        &stage.gateway,
        path,
        &[("authorization", &service)],
        &json!({"n": 1}),
    )
    .await;
    assert_eq!(answer.status, 202);
    assert_eq!(peer.next_of_any_kind().await["payload"]["n"], 1);
    assert_eq!(stage.sql(count).trim(), "5", "an old one is dropped on the way");
}

#[tokio::test]
async fn policies_see_the_headers_of_the_handshake_and_of_a_request() {
    let stage = stage(&[]);
    let pass = ("X-Pass".to_owned(), "it's \"open\"".to_owned());
    let token = token("anon");
    let mut with = Peer::connect_with_headers(stage.gateway.address(), &token, &[pass]).await;
    assert_eq!(outcome(&mut with, "hdr:a", &token).await, Ok(()));
    let mut without = Peer::connect_with(stage.gateway.address(), &token).await;
    assert_eq!(
        outcome(&mut without, "hdr:a", &token).await,
        Err(unauthorized("hdr:a"))
    );
    let bearer = format!("Bearer {token}");
    let path = "/api/broadcast/hdr:a/events/e?private=true";
    for (pass, status) in [("it's \"open\"", 202), ("closed", 403)] {
        let headers = [("authorization", &*bearer), ("x-pass", pass)];
        let answer = post(&stage.gateway, path, &headers, &json!({})).await;
        assert_eq!(answer.status, status, "{pass}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_set_up_lets_nobody_in_and_says_so_to_its_operator() {
    let stage = Stage::with(&["--channel-error-backoff-ms", "0"], "");
    let mut peer = Peer::connect(stage.gateway.address()).await;
    let refused = outcome(&mut peer, "room:a", &token("authenticated")).await;
    assert_eq!(refused, Err(unauthorized("room:a")));
    let path = "/api/broadcast/room:a/events/e?private=true";
    let bearer = format!("Bearer {}", token("authenticated"));
    let answer = post(&stage.gateway, path, &[("authorization", &bearer)], &json!({})).await;
    assert_eq!(message_of(&answer), (422, json!("RLS policy error")));
    let gateway = Gateway::serve(&stage.flags());
    gateway.wait_for_log(
        "private channels and broadcasts from the database are off: the database has no table realtime.messages. \
         `roost migrate` makes it, and so does --migrate",
        "tenant",
    );
}

#[tokio::test]
async fn a_database_that_is_away_refuses_private_joins_until_it_is_back() {
    let mut stage = stage(&[]);
    let mut peer = Peer::connect(stage.gateway.address()).await;
    assert_eq!(
        outcome(&mut peer, "room:a", &token("authenticated")).await,
        Ok(())
    );
    stage.cluster.stop();
    let reason = "UnableToConnectToProject: Realtime was unable to connect to the project database";
    let refused = outcome(&mut peer, "room:a", &token("authenticated")).await;
    assert_eq!(refused, Err(reason.to_owned()));
    let bearer = format!("Bearer {}", token("authenticated"));
    let path = "/api/broadcast/room:a/events/e?private=true";
    let answer = post(&stage.gateway, path, &[("authorization", &bearer)], &json!({})).await;
    assert_eq!(message_of(&answer), (422, json!("Tenant database unavailable")));
    stage.cluster.start().expect("it starts again");
    assert_eq!(
        outcome(&mut peer, "room:a", &token("authenticated")).await,
        Ok(())
    );
}

#[test]
fn a_replay_and_what_is_live_leave_no_gap_and_tell_nothing_twice() {
    let stage = stage(&[]);
    let cluster = &stage.cluster;
    let last = 400;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let send = format!(
                "do $$ begin for n in 1..{last} loop
                   perform realtime.send(jsonb_build_object('n', n), 'e', 'room:gap'); commit; perform pg_sleep(0.003);
                 end loop; end $$"
            );
            cluster.execute(DATABASE, &send).expect("valid SQL");
        });
        tokio::runtime::Runtime::new()
            .expect("a runtime")
            .block_on(async {
                let mut peers = Vec::new();
                for _ in 0..20 {
                    let token = token("authenticated");
                    let mut peer = Peer::connect_with(stage.gateway.address(), &token).await;
                    let config = json!({"private": true, "broadcast": {"replay": {"since": 0}}});
                    peer.join("realtime:room:gap", config).await;
                    peers.push(peer);
                }
                for peer in &mut peers {
                    let mut expected = None;
                    loop {
                        let frame = peer.next_of_any_kind().await;
                        let is_replayed = frame["kind"] != 4;
                        let payload = if is_replayed {
                            &frame[4]["payload"]
                        } else {
                            &frame["payload"]
                        };
                        let n = payload["n"].as_i64().expect("a number");
                        assert!(
                            expected.is_none_or(|expected| expected == n),
                            "{expected:?}: {frame}"
                        );
                        if n == last {
                            break;
                        }
                        expected = Some(n + 1);
                    }
                }
            });
    });
}

#[test]
fn a_message_that_is_streamed_before_it_can_be_seen_is_replayed() {
    let stage = stage(&[]);
    let cluster = &stage.cluster;
    let set = |standby: &str| {
        cluster
            .execute(
                DATABASE,
                &format!("alter system set synchronous_standby_names = '{standby}'"),
            )
            .expect("valid SQL");
        cluster
            .execute(DATABASE, "select pg_reload_conf()")
            .expect("valid SQL");
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let mut first = member(&stage, "authenticated", "realtime:room:a").await;
        set("nobody");
        let sent = std::thread::scope(|scope| {
            let send = "select realtime.send('{\"n\": 1}', 'e', 'room:a')";
            scope.spawn(|| cluster.execute(DATABASE, send).expect("valid SQL"));
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    // It has been told to those who are there, and nobody can see it yet.
                    let told = first.next_of_any_kind().await;
                    let mut late = Peer::connect_with(stage.gateway.address(), &token("authenticated")).await;
                    let config = json!({"private": true, "broadcast": {"replay": {"since": 0}}});
                    late.ask_to_join("1", "realtime:room:a", config, &token("authenticated"))
                        .await;
                    // The gateway looks for it while the standby is away.
                    let looks = "select count(*) from pg_stat_activity where query like '%pg_locks%' and pid <> pg_backend_pid()";
                    while stage.sql(looks).trim() == "0" {
                        tokio::task::yield_now().await;
                    }
                    set("");
                    assert_eq!(late.next().await[4]["status"], "ok");
                    assert_eq!(late.next().await[4]["payload"]["n"], 1);
                    late.hears_nothing().await;
                    told
                })
            })
        });
        assert_eq!(sent["payload"]["n"], 1);
    });
}

#[tokio::test]
async fn messages_of_one_transaction_are_replayed_in_their_order() {
    let stage = stage(&[]);
    stage.sql(
        "begin; select realtime.send(jsonb_build_object('n', n), 'e', 'room:order') from generate_series(1, 40) n; commit",
    );
    let mut peer = Peer::connect_with(stage.gateway.address(), &token("authenticated")).await;
    let config = json!({"private": true, "broadcast": {"replay": {"since": 0, "limit": 30}}});
    peer.join("realtime:room:order", config).await;
    for n in 16..=40 {
        assert_eq!(peer.next().await[4]["payload"]["n"], n);
    }
    peer.hears_nothing().await;
}

#[tokio::test]
async fn a_private_batch_goes_out_topic_by_topic_without_what_may_not_be_written() {
    let stage = stage(&[]);
    let mut peer = Peer::connect_with(stage.gateway.address(), &token("authenticated")).await;
    for topic in ["realtime:room:a", "realtime:room:b"] {
        peer.ask_to_join(topic, topic, private(), &token("authenticated"))
            .await;
        assert_eq!(peer.next().await[4]["status"], "ok");
    }
    let message = |topic: &str, n: i32, id: Option<&str>| json!({"topic": topic, "event": "e", "payload": {"n": n}, "private": true, "id": id});
    let body = json!({"messages": [
        message("room:a", 1, None),
        message("own:nobody", 2, None),
        message("room:b", 3, Some("mine")),
        message("room:a", 4, None),
    ]});
    let bearer = format!("Bearer {}", token("authenticated"));
    let answer = post(
        &stage.gateway,
        "/api/broadcast",
        &[("authorization", &bearer)],
        &body,
    )
    .await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    let mut heard = Vec::new();
    for _ in 0..3 {
        let frame = peer.next().await;
        heard.push((frame[4]["payload"]["n"].clone(), frame[4]["meta"].clone()));
    }
    let meta = json!({"id": "mine"});
    assert_eq!(
        heard,
        [(json!(1), Value::Null), (json!(4), Value::Null), (json!(3), meta)]
    );
    for (role, path, expected) in [
        ("nobody_knows", "room:a", (422, "RLS policy error")),
        ("authenticated", "own:nobody", (403, "Unauthorized")),
    ] {
        let bearer = format!("Bearer {}", token(role));
        let path = format!("/api/broadcast/{path}/events/e?private=true");
        let answer = post(&stage.gateway, &path, &[("authorization", &bearer)], &json!({})).await;
        assert_eq!(message_of(&answer), (expected.0, json!(expected.1)));
    }
    peer.hears_nothing().await;
}

#[tokio::test]
async fn keys_that_are_no_tokens_act_in_the_role_they_were_given() {
    let keys = "sb_publishable_x=anon,sb_secret_y=service_role";
    let stage = stage(&["--api-key", keys]);
    let address = stage.gateway.address();
    let mut publishable = Peer::connect_with(address, "sb_publishable_x").await;
    // A key in a join or as a new token is passed over, so the connection's role stays.
    assert_eq!(
        outcome(&mut publishable, "room:a", "sb_secret_y").await,
        Err(unauthorized("room:a"))
    );
    assert_eq!(
        outcome(&mut publishable, "counted:a", "sb_secret_y").await,
        Ok(())
    );
    let mut secret = Peer::connect_with(address, "sb_secret_y").await;
    assert_eq!(outcome(&mut secret, "room:a", "sb_secret_y").await, Ok(()));
    let path = "/api/broadcast/room:a/events/e?private=true";
    for (key, status) in [
        ("sb_publishable_x", 403),
        ("sb_secret_y", 202),
        ("sb_secret_z", 401),
    ] {
        let answer = post(&stage.gateway, path, &[("apikey", key)], &json!({})).await;
        assert_eq!(answer.status, status, "{key}");
    }
}
