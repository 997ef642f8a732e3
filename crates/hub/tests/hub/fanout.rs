//! How a publication reaches the listeners of its topic.

use std::sync::Arc;

use crate::support::{House, Listener, frame, key};
use hub::{Publication, Sender};
use phoenix_wire::Version::{self, V1, V2};

/// Publishes as `from`; the versions that were encoded.
fn publish(house: &House, from: &Listener, sender: Sender, text: &str) -> Vec<Version> {
    let mut encoded = Vec::new();
    house.workers[from.worker].publish(&from.subscription, sender, None, |version| {
        encoded.push(version);
        Some(frame(version, text))
    });
    house.hand_out();
    encoded
}

#[test]
fn a_broadcast_reaches_all_but_its_sender_on_every_worker() {
    let house = House::new();
    let [a, b, far] = [0, 0, 1].map(|worker| house.listener(worker, "room", V2));
    let elsewhere = house.listener(1, "other", V2);
    publish(&house, &a, Sender::Excluded, "hello");
    assert!(a.read().is_empty());
    assert_eq!(b.read(), [r#"[null,null,"realtime:room","broadcast","hello"]"#]);
    assert_eq!(far.read().len(), 1);
    assert!(elsewhere.read().is_empty());
}

#[test]
fn a_sender_that_wants_to_hears_itself() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    publish(&house, &a, Sender::Included, "hello");
    assert_eq!((a.read().len(), b.read().len()), (1, 1));
}

#[test]
fn each_listener_gets_the_frame_of_its_serializer() {
    let house = House::new();
    let [a, b, c] = [V2, V1, V2].map(|version| house.listener(0, "room", version));
    assert_eq!(publish(&house, &a, Sender::Excluded, "hello"), [V1, V2]);
    assert!(b.read()[0].starts_with('{'));
    assert!(c.read()[0].starts_with('['));
}

#[test]
fn a_serializer_nobody_else_listens_with_is_not_encoded() {
    let house = House::new();
    let a = house.listener(0, "room", V2);
    assert_eq!(publish(&house, &a, Sender::Excluded, "x"), []);
    assert_eq!(publish(&house, &a, Sender::Included, "x"), [V2]);
    let far = house.listener(1, "room", V1);
    assert_eq!(publish(&house, &a, Sender::Excluded, "x"), [V1]);
    house.leave(far);
    assert_eq!(publish(&house, &a, Sender::Excluded, "x"), []);
}

#[test]
fn a_worker_without_listeners_gets_no_mail() {
    let house = House::new();
    let [a, b] = [0, 0].map(|worker| house.listener(worker, "room", V2));
    house.workers[0].publish(&a.subscription, Sender::Excluded, None, |v| Some(frame(v, "x")));
    assert_eq!((house.mails(0), house.mails(1), b.read().len()), (0, 0, 1));
    let _far = [1, 1].map(|worker| house.listener(worker, "room", V2));
    house.workers[0].publish(&a.subscription, Sender::Excluded, None, |v| Some(frame(v, "x")));
    assert_eq!(
        (house.mails(0), house.mails(1)),
        (0, 1),
        "one mail however many listen there"
    );
}

#[test]
fn a_message_that_does_not_exist_in_a_serializer_is_passed_over_there() {
    let house = House::new();
    let [a, old, new] = [V2, V1, V2].map(|version| house.listener(0, "room", version));
    let fanout = house.workers[0].publish(&a.subscription, Sender::Excluded, None, |version| {
        (version == V2).then(|| frame(version, "binary"))
    });
    assert_eq!(fanout.delivered, 1);
    assert_eq!((old.read().len(), new.read().len()), (0, 1));
}

#[test]
fn only_those_who_may_read_broadcasts_get_them() {
    let house = House::new();
    let [a, b, c] = [0, 0, 1].map(|worker| house.listener(worker, "room", V2));
    b.subscription.set_reads(false, true);
    c.subscription.set_reads(true, false);
    publish(&house, &a, Sender::Excluded, "x");
    assert_eq!((b.read().len(), c.read().len()), (0, 1));
    b.subscription.set_reads(true, true);
    publish(&house, &a, Sender::Excluded, "x");
    assert_eq!(b.read().len(), 1);
}

#[test]
fn what_was_replayed_does_not_come_again() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    a.subscription.set_replayed(["m1".into()].into());
    for id in [Some("m1"), Some("m2"), None] {
        let encode = |_: &hub::Topic, version| Some(frame(version, id.unwrap_or("none")));
        assert!(house.hub.publish_identified(&key("room"), id, encode));
    }
    house.hand_out();
    assert_eq!(a.read().len(), 2);
    assert_eq!(b.read().len(), 3);
}

#[test]
fn publishing_from_outside_reaches_every_worker_and_tells_whether_anybody_listens() {
    let house = House::new();
    assert!(
        !house
            .hub
            .publish(&key("room"), |_, _| unreachable!("nobody listens"))
    );
    let all = [0, 1].map(|worker| house.listener(worker, "room", V2));
    assert!(house.hub.publish(&key("room"), |topic, version| {
        assert_eq!(topic.joined(), "realtime:room");
        Some(frame(version, "x"))
    }));
    house.hand_out();
    assert!(all.iter().all(|listener| listener.read().len() == 1));
}

#[test]
fn public_and_private_topics_of_one_name_are_apart() {
    let house = House::new();
    let public = house.listener(0, "room", V2);
    let private = hub::TopicKey {
        private: true,
        name: "room".into(),
    };
    assert!(
        !house
            .hub
            .publish(&private, |_, version| Some(frame(version, "x")))
    );
    assert!(public.read().is_empty());
}

#[test]
fn deliveries_are_counted_and_name_their_receivers_under_overload() {
    let house = House::new();
    let [a, b] = [0, 0].map(|worker| house.listener(worker, "room", V2));
    let send = || house.workers[0].publish(&a.subscription, Sender::Excluded, None, |v| Some(frame(v, "x")));
    assert!(send().overloaded.is_empty());
    house.tally.set_overloaded(true);
    let fanout = send();
    assert_eq!(fanout.overloaded, [(b.outbox.socket(), b.subscription.member())]);
    assert_eq!(b.read().len(), 2, "the message is delivered all the same");
    assert_eq!(house.tally.take_broadcasts(), 2);
    assert_eq!(house.tally.take_broadcasts(), 0);
}

#[test]
fn mail_for_a_topic_that_was_left_meanwhile_is_dropped() {
    let house = House::new();
    let [a, far] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    house.workers[0].publish(&a.subscription, Sender::Excluded, None, |v| Some(frame(v, "x")));
    let outbox = far.outbox.clone();
    house.leave(far);
    let again = house.listener(1, "room", V2);
    assert_eq!(
        house
            .hand_out()
            .iter()
            .map(|fanout| fanout.delivered)
            .sum::<u64>(),
        1
    );
    assert!(outbox.is_empty());
    assert_eq!(
        again.read().len(),
        1,
        "the topic lives on, so the new listener is one of its listeners"
    );
}

#[test]
fn a_topic_is_forgotten_with_its_last_listener_and_made_anew() {
    let house = House::new();
    let [a, b] = [0, 1].map(|worker| house.listener(worker, "room", V2));
    let topic = a.subscription.topic().clone();
    assert!(Arc::ptr_eq(&topic, b.subscription.topic()));
    house.leave(a);
    assert!(house.hub.topic(&key("room")).is_some());
    house.leave(b);
    assert!(house.hub.topic(&key("room")).is_none());
    let c = house.listener(0, "room", V2);
    assert!(!Arc::ptr_eq(&topic, c.subscription.topic()));
}

#[test]
fn listeners_are_counted_over_topics_workers_and_serializers() {
    let house = House::new();
    let gone = house.listener(0, "room", V1);
    house.listener(1, "room", V2);
    house.listener(1, "hall", V2);
    assert_eq!(house.hub.listeners(), 3);
    house.leave(gone);
    assert_eq!(house.hub.listeners(), 2);
}

#[test]
fn slots_of_listeners_are_reused() {
    let house = House::new();
    let stays = house.listener(0, "room", V2);
    for _ in 0..100 {
        let guest = house.listener(0, "room", V2);
        publish(&house, &stays, Sender::Excluded, "x");
        assert_eq!(guest.read().len(), 1);
        house.leave(guest);
    }
    let guest = house.listener(0, "room", V2);
    publish(&house, &guest, Sender::Excluded, "x");
    assert_eq!((stays.read().len(), guest.read().len()), (1, 0));
}

#[test]
fn a_publication_without_frames_is_empty() {
    assert!(Publication::encode(|_| true, |_| None).is_empty());
    assert!(!Publication::encode(|version| version == V1, |version| Some(frame(version, "x"))).is_empty());
}
