//! What takes heap memory and what does not, counted.

use allocation_counter::measure;
use presence::{Diff, MemberId, PresenceSet};

const META: &str = r#"{"user":"ada","typing":false,"at":"2026-08-21T12:03:56.123Z"}"#;

fn room_of(members: u64) -> PresenceSet {
    let mut room = PresenceSet::default();
    for member in 0..members {
        room.track(
            MemberId(member),
            &format!("key-{member}"),
            META,
            member.to_string(),
        );
    }
    room
}

#[test]
fn a_snapshot_takes_one_allocation_however_large_the_room() {
    for members in [0, 1, 10, 1000] {
        let room = room_of(members);
        let counted = measure(|| drop(room.state_json()));
        assert_eq!(counted.count_total, 1, "{members} members");
    }
}

#[test]
fn the_text_of_a_diff_takes_one_allocation_however_many_it_tells_of() {
    for members in [0, 1, 1000] {
        let (mut room, mut diff) = (PresenceSet::default(), Diff::default());
        for member in 0..members {
            let change = room.track(
                MemberId(member),
                &format!("key-{member}"),
                META,
                member.to_string(),
            );
            diff.add(change.expect("everybody is new"));
        }
        let counted = measure(|| drop(diff.to_json()));
        assert_eq!(counted.count_total, 1, "{members} members");
    }
}

#[test]
fn what_is_tracked_already_is_found_out_without_allocating() {
    let mut room = room_of(1000);
    let mut change = None;
    let counted = measure(|| change = room.track(MemberId(7), "key-7", META, String::new()));
    assert_eq!((counted.count_total, change), (0, None));
}

#[test]
fn leaving_allocates_nothing() {
    let mut room = room_of(1000);
    let mut change = None;
    let counted = measure(|| change = room.untrack(MemberId(7)));
    assert!(change.is_some());
    assert_eq!(counted.count_total, 0);
}

#[test]
fn a_join_costs_the_same_in_a_room_of_ten_and_in_one_of_thousands() {
    let allocations_of_joining = |members| {
        let mut room = room_of(members);
        let phx_ref = "F8aXl2k_0001".to_owned();
        measure(|| drop(room.track(MemberId(u64::MAX), "newcomer", META, phx_ref))).count_total
    };
    // Its text, the text shared, its key, its `phx_ref`; nodes of the two trees come on top now and then.
    for members in [10, 5000] {
        assert!(allocations_of_joining(members) <= 8, "{members} members");
    }
}
