//! Clients that follow a snapshot and the diffs after it as phoenix.js does always see what the server sees.

use presence::{Diff, MemberId, PresenceSet};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// What happens to a room.
#[derive(Debug, Clone)]
enum Step {
    Track {
        member: u64,
        payload: u8,
    },
    Untrack {
        member: u64,
    },
    /// Somebody joins and gets the snapshot.
    Snapshot,
    /// What is untold is told to everybody who has a snapshot.
    Tell,
}

/// Presence as a client keeps it. The rules are those of phoenix.js, `syncDiff`.
#[derive(Debug, Clone)]
struct Client(Map<String, Value>);

impl Client {
    fn apply(&mut self, diff: &Value) {
        for (key, presence) in object(&diff["joins"]) {
            let mut metas = array(&presence["metas"]).clone();
            if let Some(current) = self.0.get(key) {
                let is_known = |meta: &Value| metas.iter().any(|new| new["phx_ref"] == meta["phx_ref"]);
                let mut kept: Vec<_> = array(&current["metas"]).clone();
                kept.retain(|meta| !is_known(meta));
                kept.append(&mut metas);
                metas = kept;
            }
            self.0.insert(key.clone(), json!({ "metas": metas }));
        }
        for (key, presence) in object(&diff["leaves"]) {
            let Some(current) = self.0.get_mut(key) else {
                continue;
            };
            let metas = current["metas"].as_array_mut().expect("metas are an array");
            metas.retain(|meta| {
                !array(&presence["metas"])
                    .iter()
                    .any(|left| left["phx_ref"] == meta["phx_ref"])
            });
            if metas.is_empty() {
                self.0.remove(key);
            }
        }
    }
}

fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

fn array(value: &Value) -> &Vec<Value> {
    value.as_array().expect("an array")
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u64, 0..3_u8).prop_map(|(member, payload)| Step::Track { member, payload }),
        3 => (0..6_u64).prop_map(|member| Step::Untrack { member }),
        1 => Just(Step::Snapshot),
        2 => Just(Step::Tell),
    ]
}

proptest! {
    #[test]
    fn every_client_sees_what_the_server_sees_once_everything_is_told(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let (mut set, mut untold, mut clients) = (PresenceSet::default(), Diff::default(), Vec::new());
        for (at, step) in steps.into_iter().chain([Step::Tell]).enumerate() {
            match step {
                Step::Track { member, payload } => {
                    // Two members to a key.
                    let key = format!("key{}", member / 2);
                    let payload = format!(r#"{{"p":{payload},"phx_ref":"mine"}}"#);
                    let change = set.track(MemberId(member), &key, &payload, format!("ref{at}"));
                    change.into_iter().for_each(|change| untold.add(change));
                }
                Step::Untrack { member } => {
                    set.untrack(MemberId(member)).into_iter().for_each(|change| untold.add(change));
                }
                Step::Snapshot => {
                    untold.seal();
                    clients.push(Client(object(&parse(&set.state_json())).clone()));
                }
                Step::Tell => {
                    let diff = parse(&std::mem::take(&mut untold).to_json());
                    clients.iter_mut().for_each(|client| client.apply(&diff));
                    let state = parse(&set.state_json());
                    for client in &clients {
                        prop_assert_eq!(&client.0, object(&state));
                    }
                }
            }
        }
    }

    #[test]
    fn a_diff_tells_no_more_metas_than_changed(steps in prop::collection::vec(step(), 0..60)) {
        let (mut set, mut untold) = (PresenceSet::default(), Diff::default());
        for (at, step) in steps.into_iter().enumerate() {
            let change = match step {
                Step::Track { member, payload } => {
                    set.track(MemberId(member), "k", &format!("[{payload}]"), format!("ref{at}"))
                }
                Step::Untrack { member } => set.untrack(MemberId(member)),
                Step::Snapshot | Step::Tell => None,
            };
            change.into_iter().for_each(|change| untold.add(change));
        }
        let diff = parse(&untold.to_json());
        // Nobody was ever told anything, so there is nobody to tell of a leave.
        prop_assert_eq!(&diff["leaves"], &json!({}));
        prop_assert_eq!(&diff["joins"], &parse(&set.state_json()));
    }
}
