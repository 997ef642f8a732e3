//! Bindings that look at what a row was, and what has to be checked before a row may be told.

use super::*;
use crate::pgoutput::{OldTuple, Update};
use crate::relation::ReplicaIdentity;
use crate::testing::{BEGIN, tuple};

/// `notes` with this identity, with policies or without.
fn notes(replica_identity: ReplicaIdentity, row_security: bool) -> Table {
    let mut notes = table("notes", NOTES);
    notes.replica_identity = replica_identity;
    notes.row_security = row_security;
    notes
}

/// An index of that table and of no other, and how its rows are read.
fn guarded(replica_identity: ReplicaIdentity, row_security: bool) -> (SubscriptionIndex<u8>, Mapping) {
    let notes = notes(replica_identity, row_security);
    let mut index = SubscriptionIndex::new(Catalog::from_iter([notes.clone()]));
    index.set_selectable("user", selectable([0, 1, 2]));
    (index, mapping(notes, replica_identity))
}

fn refused(index: &mut SubscriptionIndex<u8>, binding: &str) -> Option<String> {
    index.set_selectable("user", selectable([0, 1, 2]));
    let refused = index.insert(1, subscription("user", &[binding])).err()?;
    Some(refused.message.split_once("Exception: ").unwrap().1.to_owned())
}

/// The matches in their order: what is told, what has to be checked, and the ids.
fn told(index: &SubscriptionIndex<u8>, change: &RowChange<'_>) -> Vec<String> {
    let matches = heard(index, change).into_iter();
    matches
        .map(|found| {
            let view = match found.view {
                View::Columns(_) => "change",
                View::OldRow(_) => "old row",
                View::Left(_) => "left",
                View::NoPrimaryKey => "no primary key",
                View::Unauthorized => "unauthorized",
            };
            format!("{view} {:?} {:?}", found.check, found.ids)
        })
        .collect()
}

#[test]
fn policies_decide_about_rows_that_are_there() {
    for (row_security, check) in [(false, "Nothing"), (true, "CurrentRow")] {
        let (mut index, notes) = guarded(Default, row_security);
        index
            .insert(1, subscription("user", &[r#""table":"notes""#]))
            .unwrap();
        for change in [
            insert(&notes, &["1", "x", "1"]),
            update(&notes, None, &["1", "x", "1"]),
        ] {
            assert_eq!(told(&index, &change), [format!("change {check} [1]")]);
        }
        assert_eq!(
            told(&index, &delete(&notes, &["1", "~", "~"])),
            ["change Nothing [1]"]
        );
    }
}

#[test]
fn an_error_row_needs_no_check() {
    let (mut index, notes) = guarded(Default, true);
    index
        .insert(1, subscription("user", &[r#""table":"notes""#]))
        .unwrap();
    index.set_selectable("user", selectable([1]));
    assert_eq!(
        told(&index, &insert(&notes, &["1", "x", "1"])),
        ["unauthorized Nothing [1]"]
    );
}

#[test]
fn deletes_are_told_to_who_has_seen_the_row() {
    let (mut index, notes) = guarded(Full, true);
    let bindings = [
        r#""table":"notes""#,
        r#""table":"notes","deletes":"visible""#,
        r#""event":"DELETE","table":"notes","deletes":"visible","filter":"n=eq.2""#,
        r#""table":"notes","deletes":"visible","select":["n"]"#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    assert_eq!(
        told(&index, &delete(&notes, &["1", "x", "2"])),
        [
            "old row OldRow [3, 2]",
            "change Nothing [1]",
            "old row OldRow [4]"
        ]
    );
    assert_eq!(
        told(&index, &delete(&notes, &["1", "x", "3"])),
        ["old row OldRow [2]", "change Nothing [1]", "old row OldRow [4]"]
    );
    // Of rows that are there it makes no difference.
    assert_eq!(
        told(&index, &insert(&notes, &["1", "x", "2"])),
        ["change CurrentRow [2, 1]", "change CurrentRow [4]"]
    );
}

#[test]
fn without_policies_everybody_has_seen_the_row() {
    let (mut index, notes) = guarded(Default, false);
    let bindings = [r#""table":"notes""#, r#""table":"notes","deletes":"visible""#];
    index.insert(1, subscription("user", &bindings)).unwrap();
    assert_eq!(
        told(&index, &delete(&notes, &["1", "~", "~"])),
        ["change Nothing [2, 1]"]
    );
}

#[test]
fn bindings_that_need_the_old_row_say_what_is_missing() {
    let error = |key: &str| {
        Some(format!(
            "ERROR 55000 (object_not_in_prerequisite_state) {key} needs the old rows of table public.notes, which are \
             not in the log: alter table \"public\".\"notes\" replica identity full"
        ))
    };
    let deletes = r#""table":"notes","deletes":"visible""#;
    let deletes_of_inserts = r#""event":"INSERT","table":"notes","deletes":"visible""#;
    let left_by_value = r#""table":"notes","filter":"n=eq.1","left":true"#;
    let left_by_key = r#""table":"notes","filter":"id=lt.9","left":true"#;
    let left_without_filter = r#""table":"notes","left":true"#;
    let left_of_updates = r#""event":"UPDATE","table":"notes","filter":"n=eq.1","left":true"#;
    for (identity, row_security, binding, expected) in [
        (Default, true, deletes, error("deletes")),
        (ReplicaIdentity::Index, true, deletes, error("deletes")),
        (Full, true, deletes, None),
        (Default, false, deletes, None),
        (Default, true, deletes_of_inserts, None),
        (Default, false, left_by_value, error("left")),
        (ReplicaIdentity::Nothing, false, left_by_value, error("left")),
        (Full, false, left_by_value, None),
        (Full, true, left_by_value, None),
        (Default, false, left_by_key, None),
        (ReplicaIdentity::Index, false, left_by_key, error("left")),
        (Default, true, left_by_key, error("left")),
        (Default, false, left_without_filter, None),
        (Default, false, left_of_updates, None),
    ] {
        let (mut index, _) = guarded(identity, row_security);
        assert_eq!(
            refused(&mut index, binding),
            expected,
            "{identity:?} {row_security} {binding}"
        );
    }
}

#[test]
fn a_row_leaves_by_an_update_that_takes_it_out_of_the_filter() {
    for (row_security, current, former) in [(false, "Nothing", "Nothing"), (true, "CurrentRow", "OldRow")] {
        let (mut index, notes) = guarded(Full, row_security);
        let bindings = [
            r#""table":"notes","filter":"n=eq.2","left":true"#,
            r#""event":"DELETE","table":"notes","filter":"n=eq.2,body=neq.z","left":true"#,
            r#""event":"UPDATE","table":"notes","filter":"n=eq.2","left":true"#,
            r#""table":"notes","filter":"n=eq.2""#,
        ];
        index.insert(1, subscription("user", &bindings)).unwrap();
        let told = |old: &[&str], new: &[&str]| told(&index, &update(&notes, Some(old), new));
        let left = |ids: &str| vec![format!("left {former} {ids}")];
        // One of them still holds while another one does not any more.
        assert_eq!(told(&["1", "x", "2"], &["1", "x", "3"]), left("[2, 1]"));
        assert_eq!(told(&["1", "x", "2"], &["1", "x", "~"]), left("[2, 1]"));
        assert_eq!(
            told(&["1", "x", "2"], &["1", "z", "2"]),
            [
                format!("change {current} [4, 3, 1]"),
                format!("left {former} [2]")
            ]
        );
        // It was not in, or still is.
        assert_eq!(told(&["1", "x", "3"], &["1", "x", "4"]), [""; 0]);
        assert_eq!(
            told(&["1", "x", "3"], &["1", "x", "2"]),
            [format!("change {current} [4, 3, 1]")]
        );
        assert_eq!(
            told(&["1", "x", "2"], &["1", "y", "2"]),
            [format!("change {current} [4, 3, 1]")]
        );
        // A value that was left alone has not changed; the filter of the update itself does not see it.
        assert_eq!(told(&["1", "x", "2"], &["1", "=", "3"]), left("[2, 1]"));
        assert_eq!(told(&["1", "x", "2"], &["1", "x", "="]), [""; 0]);
    }
}

#[test]
fn a_row_leaves_by_its_key_where_only_the_key_is_logged() {
    let (mut index, notes) = guarded(Default, false);
    index
        .insert(
            1,
            subscription("user", &[r#""table":"notes","filter":"id=lt.9","left":true"#]),
        )
        .unwrap();
    let (old, new) = (tuple(&["1", "~", "~"]), tuple(&["10", "x", "1"]));
    let moved = Update {
        relation: 5,
        old: Some(OldTuple::Key(old)),
        new,
    };
    let moved = RowChange::update(&notes, &BEGIN, moved).unwrap();
    assert_eq!(told(&index, &moved), ["left Nothing [1]"]);
    // Without an old key, it is what it was.
    assert_eq!(
        told(&index, &update(&notes, None, &["1", "x", "1"])),
        ["change Nothing [1]"]
    );
    assert_eq!(told(&index, &update(&notes, None, &["10", "x", "1"])), [""; 0]);
}

#[test]
fn who_is_refused_the_rows_hears_of_leaving_only_as_of_a_deletion() {
    let (mut index, notes) = guarded(Full, false);
    let bindings = [
        r#""table":"notes","filter":"n=eq.2","left":true"#,
        r#""event":"DELETE","table":"notes","filter":"n=eq.2","left":true"#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    index.set_selectable("user", selectable([1, 2]));
    let change = update(&notes, Some(&["1", "x", "2"]), &["1", "x", "3"]);
    assert_eq!(
        told(&index, &change),
        ["unauthorized Nothing [1]", "left Nothing [2]"]
    );
}

#[test]
fn both_rows_are_asked_about_before_a_row_has_left() {
    let (mut index, notes) = guarded(Full, false);
    let binding = r#""event":"DELETE","table":"notes","filter":"body=match.^a,n=gt.0","left":true"#;
    index.insert(1, subscription("user", &[binding])).unwrap();
    let change = update(&notes, Some(&["1", "ab", "1"]), &["1", "b", "1"]);
    let mut texts: Vec<_> = index
        .questions(&change)
        .into_iter()
        .map(|question| question.text)
        .collect();
    texts.sort();
    assert_eq!(texts, ["ab".into(), "b".into()] as [Box<str>; 2]);
    let answered = |was: Option<bool>, is: Option<Option<bool>>| {
        let questions = index.questions(&change).into_iter();
        let answers: Answers = questions
            .filter_map(|question| {
                let answer = if *question.text == *"ab" { Some(was) } else { is };
                Some((question, answer?))
            })
            .collect();
        index.matches(&change, &answers).len()
    };
    assert_eq!(answered(Some(true), Some(Some(false))), 1);
    assert_eq!(answered(Some(true), Some(None)), 1);
    assert_eq!(answered(Some(true), Some(Some(true))), 0);
    assert_eq!(answered(Some(false), Some(Some(false))), 0);
    assert_eq!(answered(None, Some(Some(false))), 0);
    // Nothing leaves by not being answered.
    assert_eq!(answered(Some(true), None), 0);
    // What was not in, or is in without doubt, is not asked about.
    for (old, new) in [
        (["1", "ab", "0"], ["1", "b", "1"]),
        (["1", "~", "1"], ["1", "b", "1"]),
    ] {
        assert!(index.questions(&update(&notes, Some(&old), &new)).is_empty());
    }
    // If the new row is out in any case, only the old one is.
    let change = update(&notes, Some(&["1", "ab", "1"]), &["1", "b", "0"]);
    assert_eq!(index.questions(&change).len(), 1);
}

#[test]
fn nobody_is_watching_any_more_when_all_have_gone() {
    let (mut index, notes) = guarded(Full, false);
    let by_value = r#""table":"notes","filter":"n=eq.2","left":true"#;
    index.insert(1, subscription("user", &[by_value])).unwrap();
    index
        .insert(2, subscription("user", &[r#""table":"notes","filter":"n=eq.2""#]))
        .unwrap();
    let change = update(&notes, Some(&["1", "x", "2"]), &["1", "x", "3"]);
    let candidates =
        |index: &SubscriptionIndex<u8>| index.audiences.get(&5).unwrap().candidate_count(&change);
    assert_eq!(candidates(&index), 2);
    index.remove(1);
    assert_eq!(candidates(&index), 0);
}

#[test]
fn a_snapshot_tells_what_an_insert_would() {
    let (mut index, _) = guarded(Default, true);
    let bindings = [
        r#""table":"notes","snapshot":true,"filter":"n=gt.1,body=match.^a","select":["n"]"#,
        r#""table":"notes""#,
        r#""table":"n_tes","snapshot":true"#,
        r#""table":"notes","snapshot":true,"filter":"nope=eq.1""#,
    ];
    let wanted = subscription("user", &bindings);
    let of = |index: &SubscriptionIndex<u8>, at: usize| index.snapshot_of("user", &wanted.bindings[at]);
    let snapshot = of(&index, 0).unwrap().unwrap();
    assert_eq!((&*snapshot.table().name, snapshot.id()), ("notes", 1));
    assert_eq!(snapshot.view(), &View::Columns(ColumnSet::from_iter([0, 2])));
    let rows = Mapping::of_table(Arc::clone(snapshot.table()));
    let has = |values: &[&str], answer: Option<bool>| {
        let values = tuple(values);
        let row = RowChange::snapshot(&rows, &values).unwrap();
        let questions = snapshot.questions(&row).into_iter();
        snapshot.has(&row, &questions.map(|question| (question, answer)).collect())
    };
    assert!(has(&["1", "ab", "2"], Some(true)));
    assert!(!has(&["1", "ab", "2"], Some(false)));
    assert!(!has(&["1", "ab", "1"], Some(true)));
    // None was asked for, or not by the name of a table.
    assert!(of(&index, 1).unwrap().is_none() && of(&index, 2).unwrap().is_none());
    assert!(of(&index, 3).is_err());
    index.set_selectable("user", selectable([2]));
    assert!(of(&index, 0).is_err());
    index.set_selectable("user", selectable([1, 2]));
    assert_eq!(of(&index, 0).unwrap().unwrap().view(), &View::Unauthorized);
}
