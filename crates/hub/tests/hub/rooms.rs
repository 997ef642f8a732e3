//! Presence of a topic whose members sit on several workers.

use std::time::Duration;

use crate::support::{House, Listener, NOON, key};
use phoenix_wire::Version::{V1, V2};
use phoenix_wire::payload::Tracking;

fn track(listener: &Listener, key: &str, meta: &str) -> hub::Announcement {
    let topic = listener.subscription.topic();
    topic.track(NOON, listener.subscription.member(), key, meta)
}

#[test]
fn everybody_on_every_worker_is_told_the_tracker_included() {
    let house = House::new();
    let [a, b, old] =
        [(0, V2), (1, V2), (1, V1)].map(|(worker, version)| house.listener(worker, "room", version));
    let announcement = track(&a, "ka", r#"{"name":"A"}"#);
    assert_eq!(
        (announcement.outcome, announcement.flush_at),
        (Tracking::Changed, None)
    );
    house.hand_out();
    let told = a.read();
    assert_eq!(told, b.read());
    assert!(
        told[0].starts_with(
            r#"[null,null,"realtime:room","presence_diff",{"joins":{"ka":{"metas":[{"phx_ref":""#
        )
    );
    assert!(told[0].ends_with(r#","name":"A"}]}},"leaves":{}}]"#));
    assert!(old.read()[0].starts_with('{'));
    assert_eq!(house.tally.take_presence(), 3);
}

#[test]
fn who_may_not_read_presence_is_not_told() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    b.subscription.set_reads(true, false);
    track(&a, "ka", "{}");
    house.hand_out();
    assert_eq!((a.read().len(), b.read().len()), (1, 0));
}

#[test]
fn whoever_unsubscribes_is_no_longer_present() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    track(&a, "ka", "{}");
    house.hand_out();
    b.read();
    let topic = b.subscription.topic().clone();
    house.leave(a);
    house.hand_out();
    assert_eq!(topic.presence_state(), "{}");
    assert!(b.read()[0].contains(r#""leaves":{"ka""#));
    house.leave(b);
    assert!(house.hub.topic(&key("room")).is_none());
}

#[test]
fn a_topic_made_anew_is_empty() {
    let house = House::new();
    let a = house.listener(0, "room", V2);
    track(&a, "ka", "{}");
    house.leave(a);
    let b = house.listener(0, "room", V2);
    assert_eq!(b.subscription.topic().presence_state(), "{}");
    house.hand_out();
    assert!(
        b.read().is_empty(),
        "diffs of the topic that was are none of its business"
    );
}

#[test]
fn refs_are_sixteen_safe_characters_and_unique() {
    let house = House::new();
    let a = house.listener(0, "room", V2);
    let mut refs = std::collections::HashSet::new();
    for n in 0..50 {
        track(&a, "ka", &format!(r#"{{"n":{n}}}"#));
        let state = a.subscription.topic().presence_state();
        let phx_ref = state.split('"').nth(7).expect("a ref").to_owned();
        assert_eq!(phx_ref.len(), 16);
        assert!(
            phx_ref
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{phx_ref}"
        );
        assert!(refs.insert(phx_ref));
    }
}

#[test]
fn a_storm_is_told_in_few_diffs_and_completely() {
    let house = House::new();
    let members: Vec<_> = (0..200).map(|n| house.listener(n % 2, "room", V2)).collect();
    let topic = members[0].subscription.topic().clone();
    let flushes: Vec<_> = (0..200)
        .filter_map(|n| track(&members[n], &n.to_string(), "{}").flush_at)
        .collect();
    assert_eq!(
        flushes.len(),
        1,
        "one flush is asked for, however many changes wait"
    );
    house.hand_out();
    let before = members[0].read().len();
    assert!(before < 50, "{before}");
    assert_eq!(topic.flush_presence(flushes[0]), None);
    house.hand_out();
    let rest = members[0].read();
    assert_eq!(rest.len(), 1);
    assert_eq!(before + rest[0].matches("phx_ref").count(), 200);
    assert_eq!(topic.flush_presence(flushes[0] + Duration::from_secs(9)), None);
    assert_eq!(house.mails(0), 0, "there is nothing more to tell");
}

#[test]
fn a_member_that_came_and_went_during_a_storm_is_told_to_whoever_saw_it_in_the_snapshot() {
    let house = House::new();
    let a = house.listener(0, "room", V2);
    let topic = a.subscription.topic().clone();
    let mut n = 0;
    let flush_at = loop {
        n += 1;
        if let Some(at) = track(&a, "ka", &format!(r#"{{"n":{n}}}"#)).flush_at {
            break at;
        }
    };
    let [unseen, seen] = [1, 1].map(|worker| house.listener(worker, "room", V2));
    track(&unseen, "unseen", "{}");
    house.leave(unseen);
    track(&seen, "seen", "{}");
    assert!(topic.presence_state().contains("seen"));
    house.leave(seen);
    house.hand_out();
    a.read();
    topic.flush_presence(flush_at);
    house.hand_out();
    let told = a.read().concat();
    assert!(!told.contains("unseen"), "{told}");
    assert!(
        told.contains(r#""leaves":{"ka""#) && told.contains(r#""seen":{"#),
        "{told}"
    );
}

#[test]
fn a_room_that_is_full_refuses_more_until_somebody_goes() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "full", V2));
    let half = format!(r#"{{"x":"{}"}}"#, "y".repeat(hub::ROOM_BYTES_MAX / 2));
    assert_eq!(track(&a, "a", &half).outcome, Tracking::Changed);
    assert_eq!(track(&b, "b", &half).outcome, Tracking::Refused);
    let topic = a.subscription.topic().clone();
    topic.untrack(NOON, a.subscription.member());
    assert_eq!(track(&b, "b", &half).outcome, Tracking::Changed);
}
