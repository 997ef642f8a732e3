//! Who hears of what.

mod asking;
mod former_rows;

use super::*;
use crate::binding::Binding;
use crate::mapping::Mapping;
use crate::payload::View;
use crate::relation::ReplicaIdentity::{Default, Full};
use crate::testing::{delete, insert, mapping, raw_binding, table, update};

const NOTES: &str = "id!:int8 body:text n:int4";

/// An index of `notes` and `pairs`, of which `user` may select everything.
fn index() -> SubscriptionIndex<u8> {
    let tables = [table("notes", NOTES), table("pairs!", "a!:int4 b!:text v:text")];
    let mut index = SubscriptionIndex::new(Catalog::from_iter(tables));
    index.set_selectable("user", selectable([0, 1, 2]));
    index
}

fn selectable<const N: usize>(positions: [usize; N]) -> Selectable {
    let columns = ColumnSet::from_iter(positions);
    Selectable::from_iter([(5, columns.clone()), (6, columns)])
}

/// Bindings given by what comes after `"schema":"public",`; their ids are 1, 2, ….
fn subscription(role: &str, bindings: &[&str]) -> Subscription {
    let numbered = |(members, id): (&&str, u32)| NumberedBinding {
        id,
        binding: Arc::new(
            Binding::parse(&raw_binding(&format!(r#"{{"schema":"public",{members}}}"#))).unwrap(),
        ),
    };
    Subscription {
        role: role.into(),
        claims: "{}".into(),
        bindings: bindings.iter().zip(1..).map(numbered).collect(),
    }
}

/// Who hears of a change that nothing has to be asked about.
fn heard<'a>(index: &'a SubscriptionIndex<u8>, change: &RowChange<'_>) -> Vec<Match<'a, u8>> {
    assert!(index.questions(change).is_empty());
    index.matches(change, &Answers::default())
}

/// One line for each match: members, ids, and the columns or the error.
fn shown(matches: Vec<Match<'_, u8>>) -> Vec<String> {
    let line = |found: Match<'_, u8>| {
        let mut members: Vec<_> = found.members.iter().map(|member| member.key).collect();
        members.sort_unstable();
        let view = match found.view {
            View::Columns(columns) => {
                let positions: Vec<_> = (0..10).filter(|at| columns.contains(*at)).collect();
                format!("columns {positions:?}")
            }
            refusal => format!("{refusal:?}"),
        };
        format!("{members:?} by {:?}: {view}", found.ids)
    };
    let mut lines: Vec<_> = matches.into_iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn ids_come_last_binding_first_and_as_often_as_there_are_bindings() {
    let mut index = index();
    let bindings = [
        r#""table":"notes""#,
        r#""event":"INSERT","table":"notes""#,
        r#""event":"INSERT","table":"notes","filter":"n=gt.5""#,
        r#""table":"*""#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let all = "columns [0, 1, 2]";
    let matches = heard(&index, &insert(&notes, &["1", "x", "1"]));
    assert_eq!(shown(matches), [format!("[1] by [4, 2, 1]: {all}")]);
    let matches = heard(&index, &insert(&notes, &["1", "x", "9"]));
    assert_eq!(shown(matches), [format!("[1] by [4, 3, 2, 1]: {all}")]);
    let matches = heard(&index, &delete(&notes, &["1", "~", "~"]));
    assert_eq!(shown(matches), [format!("[1] by [4, 1]: {all}")]);
}

#[test]
fn subscribers_who_hear_the_same_are_one_match() {
    let mut index = index();
    for key in 1..=3 {
        index
            .insert(key, subscription("user", &[r#""table":"notes""#]))
            .unwrap();
    }
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "x", "1"]);
    assert_eq!(
        shown(heard(&index, &change)),
        ["[1, 2, 3] by [1]: columns [0, 1, 2]"]
    );
    index.remove(1);
    index.remove(1);
    assert_eq!(
        shown(heard(&index, &change)),
        ["[2, 3] by [1]: columns [0, 1, 2]"]
    );
    index.remove(3);
    index.remove(2);
    assert!(heard(&index, &change).is_empty());
    assert!(index.is_empty() && index.audiences.is_empty() && !index.knows_role("user"));
}

#[test]
fn a_change_reaches_only_those_who_ask_for_its_value() {
    let mut index = index();
    for key in 0..200 {
        let filter = format!(r#""table":"notes","filter":"n=eq.{}""#, key / 2);
        index.insert(key, subscription("user", &[&filter])).unwrap();
    }
    let two_values = [
        r#""table":"notes","filter":"n=eq.7""#,
        r#""table":"notes","filter":"body=eq.x,n=gt.1""#,
    ];
    index.insert(200, subscription("user", &two_values)).unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let all = "columns [0, 1, 2]";

    let change = insert(&notes, &["1", "x", "7"]);
    let audience = index.audiences.get(&5).unwrap();
    assert_eq!(audience.candidate_count(&change), 2);
    assert_eq!(
        shown(heard(&index, &change)),
        [
            format!("[14, 15] by [1]: {all}"),
            format!("[200] by [2, 1]: {all}")
        ]
    );
    let change = insert(&notes, &["1", "x", "1"]);
    assert_eq!(shown(heard(&index, &change)), [format!("[2, 3] by [1]: {all}")]);
    let change = insert(&notes, &["1", "x", "~"]);
    assert!(heard(&index, &change).is_empty());
    for key in 0..=200 {
        index.remove(key);
    }
    assert!(index.audiences.is_empty());
}

#[test]
fn selections_are_told_apart_and_cut_to_what_the_role_may_see() {
    let mut index = index();
    index.set_selectable("guest", selectable([0, 1]));
    let bindings = [
        r#""table":"notes""#,
        r#""table":"notes","select":["n"]"#,
        r#""table":"notes","select":["body"]"#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    index
        .insert(2, subscription("guest", &[bindings[0], bindings[2]]))
        .unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "x", "1"]);
    let keys_and_ids = |found: &Match<'_, u8>| (found.members[0].key, found.ids.clone());
    let of_user: Vec<_> = heard(&index, &change)
        .iter()
        .map(keys_and_ids)
        .filter(|(key, _)| *key == 1)
        .collect();
    assert_eq!(of_user, [(1, vec![1]), (1, vec![3]), (1, vec![2])]);
    assert_eq!(
        shown(heard(&index, &change)),
        [
            "[1] by [1]: columns [0, 1, 2]",
            "[1] by [2]: columns [0, 2]",
            "[1] by [3]: columns [0, 1]",
            "[2] by [1]: columns [0, 1]",
            "[2] by [2]: columns [0, 1]",
        ]
    );
}

#[test]
fn privileges_count_from_the_next_change_on() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes""#]))
        .unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "x", "1"]);
    index.set_selectable("user", selectable([0, 2]));
    assert_eq!(shown(heard(&index, &change)), ["[1] by [1]: columns [0, 2]"]);
    index.set_selectable("user", selectable([1]));
    assert_eq!(shown(heard(&index, &change)), ["[1] by [1]: Unauthorized"]);
}

#[test]
fn who_may_not_see_the_key_hears_of_every_row_whatever_the_filter() {
    let mut index = index();
    index.set_selectable("guest", selectable([2]));
    let bindings = [
        r#""event":"INSERT","table":"notes","filter":"n=eq.5""#,
        r#""event":"DELETE","table":"notes""#,
    ];
    for (key, role) in [(1, "guest"), (2, "user")] {
        index.insert(key, subscription(role, &bindings)).unwrap();
    }
    let notes = mapping(table("notes", NOTES), Default);
    let matches = heard(&index, &insert(&notes, &["1", "x", "1"]));
    assert_eq!(shown(matches), ["[1] by [1]: Unauthorized"]);
    let matches = heard(&index, &insert(&notes, &["1", "x", "5"]));
    assert_eq!(
        shown(matches),
        ["[1] by [1]: Unauthorized", "[2] by [1]: columns [0, 1, 2]"]
    );
    let matches = heard(&index, &delete(&notes, &["1", "~", "~"]));
    assert_eq!(
        shown(matches),
        ["[1] by [2]: columns [2]", "[2] by [2]: columns [0, 1, 2]"]
    );
}

#[test]
fn a_table_without_primary_key_tells_of_deleted_rows_only() {
    let mut index = SubscriptionIndex::new(Catalog::from_iter([table("nopk", "a:int4 b:text")]));
    index.set_selectable("user", Selectable::from_iter([(4, ColumnSet::from_iter([0, 1]))]));
    index
        .insert(1, subscription("user", &[r#""table":"nopk","filter":"a=eq.2""#]))
        .unwrap();
    let nopk = mapping(table("nopk", "a:int4 b:text"), Full);
    assert_eq!(
        shown(heard(&index, &insert(&nopk, &["1", "x"]))),
        ["[1] by [1]: NoPrimaryKey"]
    );
    assert!(heard(&index, &delete(&nopk, &["1", "x"])).is_empty());
    assert_eq!(
        shown(heard(&index, &delete(&nopk, &["2", "x"]))),
        ["[1] by [1]: columns [0, 1]"]
    );
}

#[test]
fn filters_see_the_new_row_of_an_update_and_what_is_left_of_a_deleted_one() {
    let mut index = index();
    let bindings = [
        r#""event":"UPDATE","table":"notes","filter":"n=eq.2""#,
        r#""event":"DELETE","table":"notes","filter":"n=eq.2""#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    assert_eq!(heard(&index, &update(&notes, None, &["1", "x", "2"])).len(), 1);
    assert!(heard(&index, &delete(&notes, &["1", "~", "~"])).is_empty());
    let full = mapping(table("notes", NOTES), Full);
    assert!(heard(&index, &update(&full, Some(&["1", "x", "2"]), &["1", "x", "3"])).is_empty());
    // A value that was left alone is not in the new row.
    assert!(heard(&index, &update(&full, Some(&["1", "x", "2"]), &["1", "x", "="])).is_empty());
    assert_eq!(heard(&index, &delete(&full, &["1", "x", "2"])).len(), 1);
}

#[test]
fn subscribing_again_replaces_bindings_and_claims() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes""#]))
        .unwrap();
    let mut again = subscription("user", &[r#""table":"notes""#, r#""table":"pairs!""#]);
    again.claims = r#"{"sub":"1"}"#.into();
    index.insert(1, again.clone()).unwrap();
    let notes = mapping(table("notes", NOTES), Default);
    let change = insert(&notes, &["1", "x", "1"]);
    let claims = |index: &SubscriptionIndex<u8>| {
        let matches = heard(index, &change);
        assert_eq!(matches.len(), 1);
        matches[0]
            .members
            .iter()
            .map(|member| member.claims.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(claims(&index), [r#"{"sub":"1"}"#]);
    // The same cohort with other claims.
    again.claims = r#"{"sub":"2"}"#.into();
    index.insert(1, again).unwrap();
    assert_eq!(claims(&index), [r#"{"sub":"2"}"#]);
    index.remove(1);
    assert!(index.audiences.is_empty() && index.roles.is_empty());
}

#[test]
fn one_binding_that_cannot_be_served_refuses_all() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes""#]))
        .unwrap();
    let refused = |index: &mut SubscriptionIndex<u8>, bindings: &[&str]| {
        let error = index
            .insert(1, subscription("user", bindings))
            .expect_err("refused");
        error.message
    };
    let unpublished = refused(&mut index, &[r#""table":"notes""#, r#""table":"unpublished""#]);
    assert_eq!(
        unpublished,
        "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given \
         connect parameters: [event: *, schema: public, table: unpublished, filters: [], select: nil]"
    );
    let rejected = refused(&mut index, &[r#""table":"notes","filter":"nope=eq.1""#]);
    assert_eq!(
        rejected,
        "Unable to subscribe to changes with given parameters. An exception happened so please check your connect \
         parameters: [event: *, schema: public, table: notes, filters: [{\"nope\", \"eq\", \"1\", false}], select: nil]. \
         Exception: ERROR P0001 (raise_exception) invalid column for filter nope"
    );
    // What it had before is still there.
    let notes = mapping(table("notes", NOTES), Default);
    assert_eq!(heard(&index, &insert(&notes, &["1", "x", "1"])).len(), 1);
    assert_eq!(index.roles.get("user").map(|role| role.subscribers), Some(1));
}

#[test]
fn filters_and_selections_need_columns_the_role_may_select() {
    let mut index = index();
    index.set_selectable("guest", selectable([0]));
    for (binding, exception) in [
        (
            r#""table":"notes","filter":"body=eq.x""#,
            "invalid column for filter body",
        ),
        (
            r#""table":"notes","select":["id","body"]"#,
            "invalid column for select body",
        ),
    ] {
        index.set_selectable("guest", selectable([0]));
        let error = index
            .insert(2, subscription("guest", &[binding]))
            .expect_err("refused");
        assert!(error.message.ends_with(exception), "{error}");
        assert!(!index.knows_role("guest"));
    }
}

#[test]
fn a_column_that_is_gone_costs_its_conditions_and_no_binding() {
    let mut index = index();
    let bindings = [
        r#""table":"notes","filter":"n=not.eq.1""#,
        r#""table":"notes","select":["n"]"#,
        r#""table":"notes""#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    let altered = "id!:int8 t:text";
    let roles = [("user".into(), selectable([0, 1]))];
    let refused = index.replace_catalog(Catalog::from_iter([table("notes", altered)]), roles);
    assert_eq!(refused.len(), 0);
    let notes: Mapping = mapping(table("notes", altered), Default);
    assert_eq!(
        shown(heard(&index, &insert(&notes, &["7", "x"]))),
        ["[1] by [2]: columns [0]", "[1] by [3]: columns [0, 1]"]
    );
    // Whoever is new is refused.
    assert!(index.insert(2, subscription("user", &bindings)).is_err());
}

#[test]
fn privileges_that_go_and_come_back_leave_conditions_and_selections_as_they_were() {
    let mut index = index();
    let bindings = [
        r#""table":"notes","filter":"n=eq.1""#,
        r#""table":"notes","select":["n"]"#,
    ];
    index.insert(1, subscription("user", &bindings)).unwrap();
    let altered = "id!:int8 n:int4 added:text";
    let catalog = || Catalog::from_iter([table("notes", altered)]);
    index.replace_catalog(catalog(), [("user".into(), selectable([0]))]);
    let notes: Mapping = mapping(table("notes", altered), Default);
    let told = |index: &SubscriptionIndex<u8>, n| shown(heard(index, &insert(&notes, &["7", n, "x"])));
    assert_eq!(told(&index, "2"), ["[1] by [2]: columns [0]"]);
    index.replace_catalog(catalog(), [("user".into(), selectable([0, 1]))]);
    assert_eq!(
        told(&index, "1"),
        ["[1] by [1]: columns [0, 1]", "[1] by [2]: columns [0, 1]"]
    );
}

#[test]
fn another_catalog_makes_subscriptions_anew_or_takes_them_out() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes","filter":"n=eq.1""#]))
        .unwrap();
    for key in 2..50 {
        let pairs = subscription("user", &[r#""table":"pairs!""#]);
        index.insert(key, pairs).unwrap();
    }
    let altered = "id!:int8 n:int4";
    let roles = [
        ("user".into(), selectable([0, 1])),
        ("nobody".into(), Selectable::default()),
    ];
    let refused = index.replace_catalog(Catalog::from_iter([table("notes", altered)]), roles);
    assert!(refused.len() == 48 && refused.iter().all(|(key, _)| *key != 1));
    assert_eq!(index.len(), 1);
    assert!(index.knows_role("user"));
    assert!(!index.knows_role("nobody"));
    let notes: Mapping = mapping(table("notes", altered), Default);
    assert_eq!(
        shown(heard(&index, &insert(&notes, &["7", "1"]))),
        ["[1] by [1]: columns [0, 1]"]
    );
}

#[test]
fn the_same_catalog_brings_new_privileges_only() {
    let mut index = index();
    index
        .insert(1, subscription("user", &[r#""table":"notes","filter":"n=eq.1""#]))
        .unwrap();
    let catalog = index.catalog().clone();
    // A filter on a column that may not be selected any more would be refused now; it stays.
    let refused = index.replace_catalog(catalog, [("user".into(), selectable([0, 1]))]);
    assert!(refused.is_empty());
    let notes = mapping(table("notes", NOTES), Default);
    assert_eq!(
        shown(heard(&index, &insert(&notes, &["1", "x", "1"]))),
        ["[1] by [1]: columns [0, 1]"]
    );
}

#[test]
fn the_tables_of_a_subscriber_are_bounded() {
    let numbered = (0..100).map(|at| table(&"t".repeat(at + 1), "id!:int8"));
    let mut index = SubscriptionIndex::<u8>::new(Catalog::from_iter(numbered));
    let every_table = |bindings: usize| subscription("user", &vec![r#""table":"*""#; bindings]);
    let most = TABLES_PER_SUBSCRIBER_MAX / 100;
    assert!(index.insert(1, every_table(most)).is_ok());
    let error = index.insert(1, every_table(most + 1)).expect_err("refused");
    assert!(
        error.message.contains("ERROR 54000 (program_limit_exceeded)"),
        "{error}"
    );
}
