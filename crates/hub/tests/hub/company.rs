//! Where a newcomer to a topic sits best.

use hub::WorkerId;
use phoenix_wire::Version::{V1, V2};

use crate::support::House;

const HERE: WorkerId = WorkerId(0);
const ELSEWHERE: WorkerId = WorkerId(1);

#[test]
fn a_newcomer_sits_where_most_listeners_of_its_topic_are() {
    let house = House::new();
    assert_eq!(house.hub.company("room", HERE), None, "nobody is anywhere");
    let first = house.listener(1, "room", V2);
    assert_eq!(house.hub.company("room", HERE), Some(ELSEWHERE));
    assert_eq!(house.hub.company("room", ELSEWHERE), None, "it is there already");
    assert_eq!(house.hub.company("other", HERE), None);
    let _second = house.listener(0, "room", V1);
    assert_eq!(house.hub.company("room", HERE), None, "as many are here");
    house.leave(first);
    assert_eq!(house.hub.company("room", ELSEWHERE), Some(HERE));
}

#[test]
fn beyond_a_thousand_they_spread() {
    let house = House::new();
    let _there: Vec<_> = (0..1_024).map(|_| house.listener(1, "room", V2)).collect();
    assert_eq!(house.hub.company("room", HERE), None);
    let _here = house.listener(0, "room", V2);
    assert_eq!(house.hub.company("room", ELSEWHERE), Some(HERE));
}
