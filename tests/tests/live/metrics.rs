//! What an operator sees at `/metrics`.

use std::collections::HashMap;

use auth::Secret;
use client::{Answer, Endpoint, Request};
use serde_json::{Map, json};
use tests::gateway::Gateway;
use tests::peer::{Peer, SECRET, token};
use tests::stage::{Stage, all_of, next_record};

const METRICS_SECRET: &str = "a secret of those who scrape, long enough";

async fn get(gateway: &Gateway, token: Option<&str>) -> Answer {
    let address = gateway.address();
    let request = Request {
        method: "GET".to_owned(),
        target: "/metrics".to_owned(),
        host: address.to_owned(),
        headers: token
            .map(|token| ("authorization".to_owned(), format!("Bearer {token}")))
            .into_iter()
            .collect(),
        ..Request::default()
    };
    let endpoint = Endpoint::parse(&format!("ws://{address}")).expect("an address");
    endpoint.call(&request).await.expect("a server")
}

/// A token without claims: none is required.
fn scraper() -> String {
    auth::sign(&Map::new(), &Secret::new(METRICS_SECRET))
}

/// Every series and its value, after a look at the form of the page.
async fn scrape(gateway: &Gateway) -> HashMap<String, f64> {
    let answer = get(gateway, Some(&scraper())).await;
    assert_eq!(answer.status, 200);
    let content_type = answer.header("content-type").unwrap_or_default();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4"),
        "{content_type}"
    );
    let page = str::from_utf8(&answer.body).expect("text");
    let mut family = "";
    let mut series = HashMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap_or_default();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let words: Vec<&str> = kind.split(' ').collect();
            assert!(
                matches!(words[..], [name, "gauge" | "counter"] if name == family),
                "{line}"
            );
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
            assert_eq!(name.split('{').next(), Some(family), "{line}");
            let value = value.parse().expect("a value is a number");
            assert_eq!(series.insert(name.to_owned(), value), None, "{line}");
        }
    }
    series
}

fn of_tenant(series: &HashMap<String, f64>, name: &str) -> f64 {
    let name = format!(r#"{name}{{tenant="roost"}}"#);
    *series
        .get(&name)
        .unwrap_or_else(|| panic!("no {name} in {series:?}"))
}

#[tokio::test]
async fn without_a_secret_the_answer_says_what_turns_metrics_on() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET]);
    let answer = get(&gateway, Some(&scraper())).await;
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("METRICS_JWT_SECRET"));
}

#[tokio::test]
async fn only_a_token_signed_with_the_secret_of_metrics_opens_them() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET, "--metrics-jwt-secret", METRICS_SECRET]);
    for wrong in [None, Some(token("service_role")), Some("x".to_owned())] {
        let answer = get(&gateway, wrong.as_deref()).await;
        assert_eq!((answer.status, answer.body.len()), (403, 0), "{wrong:?}");
    }
    let series = scrape(&gateway).await;
    assert!(
        !series.keys().any(|name| name.starts_with("roost_feed_")),
        "there is no database"
    );
    assert!(series["roost_process_resident_memory_bytes"] > 0.0);
    assert!(series.contains_key("roost_process_cpu_seconds_total"));
}

#[tokio::test]
async fn sockets_channels_and_events_are_counted_and_no_scrape_takes_any_away() {
    let gateway = Gateway::serve(&["--jwt-secret", SECRET, "--metrics-jwt-secret", METRICS_SECRET]);
    let mut peer = Peer::connect(gateway.address()).await;
    peer.join("realtime:room", json!({"broadcast": {"self": true}}))
        .await;
    let mut other = Peer::connect(gateway.address()).await;
    // Whoever is answered is there.
    other.send(&json!([null, "1", "phoenix", "heartbeat", {}])).await;
    other.next_of("phx_reply").await;
    for round in 1..=3 {
        let broadcast = json!({"type": "broadcast", "event": "hello", "payload": {}});
        peer.send(&json!(["1", "2", "realtime:room", "broadcast", broadcast]))
            .await;
        peer.next_of("broadcast").await;
        let series = scrape(&gateway).await;
        assert_eq!(of_tenant(&series, "roost_sockets"), 2.0);
        assert_eq!(of_tenant(&series, "roost_sockets_joined"), 1.0);
        assert_eq!(of_tenant(&series, "roost_channels"), 1.0);
        assert_eq!(of_tenant(&series, "roost_joins_total"), 1.0);
        // One sent and one delivered.
        assert_eq!(
            of_tenant(&series, "roost_broadcast_events_total"),
            f64::from(2 * round)
        );
    }
}

#[tokio::test]
async fn a_change_that_went_through_is_counted_and_its_delay_known() {
    let stage = Stage::with(&["--metrics-jwt-secret", METRICS_SECRET], "");
    let before = scrape(&stage.gateway).await;
    assert_eq!(of_tenant(&before, "roost_feed_streaming"), 1.0);
    assert_eq!(of_tenant(&before, "roost_feed_deliveries_total"), 0.0);

    let (mut one, _) = stage.follow("realtime:one", all_of("notes")).await;
    let (mut two, _) = stage.follow("realtime:two", all_of("notes")).await;
    stage.sql("insert into notes values (1, 'counted', 1)");
    assert_eq!(next_record(&mut one).await["id"], 1);
    assert_eq!(next_record(&mut two).await["id"], 1);

    let after = scrape(&stage.gateway).await;
    assert_eq!(of_tenant(&after, "roost_feed_subscriptions"), 2.0);
    assert_eq!(of_tenant(&after, "roost_feed_deliveries_total"), 2.0);
    assert_eq!(of_tenant(&after, "roost_feed_changes_total"), 1.0);
    assert!(of_tenant(&after, "roost_feed_transactions_total") >= 1.0);
    assert!(of_tenant(&after, "roost_feed_delay_seconds") > 0.0);
    assert!(of_tenant(&after, "roost_feed_lag_bytes") >= 0.0);
    for name in ["rounds", "gaps", "oversized_changes"] {
        assert_eq!(
            of_tenant(&after, &format!("roost_feed_{name}_total")),
            0.0,
            "{name}"
        );
    }
}

#[tokio::test]
async fn answers_of_policies_are_counted_by_who_gave_them() {
    let stage = Stage::with(
        &["--metrics-jwt-secret", METRICS_SECRET],
        "create table letters (id bigint primary key, owner uuid);
         alter table letters enable row level security;
         grant select on letters to authenticated;
         create policy own on letters for select to authenticated using (owner = auth.uid());
         alter publication supabase_realtime add table letters",
    );
    let owner = "11111111-1111-4111-8111-111111111111";
    let claims = json!({"sub": owner});
    let (mut peer, _) = stage
        .follow_as("authenticated", &claims, "realtime:letters", all_of("letters"))
        .await;
    stage.sql(&format!("insert into letters values (1, '{owner}')"));
    assert_eq!(next_record(&mut peer).await["id"], 1);
    let series = scrape(&stage.gateway).await;
    let checks = |by: &str| series[&format!(r#"roost_feed_policy_checks_total{{tenant="roost",by="{by}"}}"#)];
    assert_eq!(checks("gateway") + checks("database"), 1.0);
    assert_eq!(of_tenant(&series, "roost_feed_rounds_total"), 1.0);
}
