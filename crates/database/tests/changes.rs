//! What clients are told of rows, and which rows their filters let through, against PostgreSQL: the log is read with
//! pgoutput, decoded, and the outcome compared with what the database says itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use changes::pgoutput::{self, Begin, LogicalMessage};
use changes::{
    Answers, Binding, Catalog, ColumnSet, Mapping, NumberedBinding, Operator, Question, RelationCache,
    RowChange, Selectable, Subscription, SubscriptionIndex, Table, Timestamp, Unproven, View,
};
use database::Pool;
use pgcluster::TestCluster;
use phoenix_wire::json;
use phoenix_wire::payload::RawBinding;

/// A database with a published table, and the messages its changes make.
struct Published {
    cluster: &'static TestCluster,
    database: &'static str,
    table: Table,
    messages: Vec<Vec<u8>>,
}

impl Published {
    /// `setup` creates a table `t`; `changes` are then made to it.
    async fn new(database: &'static str, setup: &str, changes: &str) -> Self {
        let cluster = TestCluster::shared();
        let dsn = cluster.create_database(database);
        let run = |sql: &str| {
            cluster
                .execute(database, sql)
                .unwrap_or_else(|error| panic!("{sql}: {error}"))
        };
        run(setup);
        run(
            "create publication p for table t; select pg_create_logical_replication_slot('slot_of_' || current_database(), 'pgoutput');",
        );
        run(changes);
        let log = run(
            "set timezone = 'UTC'; set extra_float_digits = 1;
            select encode(data, 'hex') from pg_logical_slot_get_binary_changes(
              'slot_of_' || current_database(), null, null, 'proto_version', '1', 'publication_names', 'p');",
        );
        run("select pg_drop_replication_slot('slot_of_' || current_database())");
        let pool = Pool::new(dsn.parse().expect("the cluster's addresses can be parsed"), 1);
        let published = pool.published("p").await.unwrap();
        Self {
            cluster,
            database,
            table: published.tables.into_iter().next().expect("one table"),
            messages: log.lines().map(bytes).collect(),
        }
    }

    fn sql(&self, sql: &str) -> String {
        self.cluster
            .execute(self.database, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Calls `see` with every change of a row, in order.
    fn each_change(&self, mut see: impl FnMut(&RowChange<'_>)) {
        let mut relations = RelationCache::default();
        let begin = Begin {
            final_lsn: 0,
            timestamp: Timestamp(0),
            xid: 0,
        };
        let table = Arc::new(self.table.clone());
        for message in &self.messages {
            let mapping = |oid| Mapping::new(table.clone(), relations.get(oid).expect("described").clone());
            match pgoutput::decode(message).unwrap_or_else(|error| panic!("{message:?}: {error}")) {
                LogicalMessage::Relation(relation) => drop(relations.insert(relation).unwrap()),
                LogicalMessage::Insert(insert) => {
                    see(&RowChange::insert(&mapping(insert.relation), &begin, insert).unwrap());
                }
                LogicalMessage::Update(update) => {
                    see(&RowChange::update(&mapping(update.relation), &begin, update).unwrap());
                }
                LogicalMessage::Delete(delete) => {
                    see(&RowChange::delete(&mapping(delete.relation), &begin, delete).unwrap());
                }
                _ => {}
            }
        }
    }

    /// What the database says to questions.
    fn answers(&self, questions: Vec<Question>) -> Answers {
        let ask = |question: &Question| {
            let Question {
                operator,
                type_sql,
                value,
                text,
            } = question;
            let text = format!("{}::{type_sql}", literal(text));
            format!(
                "select coalesce(({})::text, 'null');",
                compared(&text, *operator, type_sql, value)
            )
        };
        let asked: String = questions.iter().map(ask).collect();
        let told = self.sql(&format!("set timezone = 'UTC'; {asked}"));
        assert_eq!(told.lines().count(), questions.len());
        let answer = |told: &str| match told {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        questions.into_iter().zip(told.lines().map(answer)).collect()
    }

    fn every_column(&self) -> ColumnSet {
        (0..self.table.columns.len()).collect()
    }
}

/// A condition of SQL.
fn compared(left: &str, operator: Operator, type_sql: &str, value: &str) -> String {
    let value = literal(value);
    let sql = match operator {
        Operator::Eq => "=",
        Operator::Neq => "!=",
        Operator::Lt => "<",
        Operator::Lte => "<=",
        Operator::Gt => ">",
        Operator::Gte => ">=",
        Operator::Like => "like",
        Operator::Ilike => "ilike",
        Operator::Match => "~",
        Operator::Imatch => "~*",
        Operator::IsDistinct => "is distinct from",
        Operator::In => return format!("{left} = any ({value}::{type_sql}[])"),
        Operator::Is => panic!("is asked of the database"),
    };
    format!("{left} {sql} ({value}::{type_sql})")
}

fn trial(unproven: &Unproven) -> String {
    let Unproven {
        operator,
        type_sql,
        value,
        ..
    } = unproven;
    let left = match operator {
        Operator::Match | Operator::Imatch => "''".to_owned(),
        _ => format!("null::{type_sql}"),
    };
    format!("select {};", compared(&left, *operator, type_sql, value))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .map(|digit| digit.to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[tokio::test]
async fn values_are_what_to_jsonb_makes_of_them() {
    let published = Published::new(
        "to_jsonb",
        r#"
        create type mood as enum ('sad', 'ok', 'happy');
        create domain short as text;
        create domain shorter as short;
        create domain positive as integer;
        create domain digits as bytea;
        create domain tags as text[];
        create type pair as (x integer, "a long name" text, y text);
        create type nest as (p pair, ps pair[], b bytea, j json, at timestamptz);
        create table t (
          id bigint primary key, i2 int2, i4 int4, i8 int8, num numeric, num2 numeric(10,2), f4 real, f8 float8,
          m money, b bool, t text, vc varchar(10), c char(5), c1 "char", n name, bits bit(4), vb varbit,
          d date, tm time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json, jb jsonb,
          ip inet, net cidr, mac macaddr, pt point, bx box, x xml, tv tsvector, o oid, e mood, short short,
          shorter shorter, pos positive, digits digits, tags tags, p pair, nest nest,
          r int4range, tr tstzrange, mr int4multirange,
          a_i4 int4[], a_t text[], a_num numeric[], a_f8 float8[], a_b bool[], a_u uuid[], a_tz timestamptz[],
          a_d date[], a_j json[], a_jb jsonb[], a_e mood[], a_by bytea[], a_bx box[], a_p pair[], a_pos positive[],
          a_c char(3)[], raw bytea);
        "#,
        r#"
        insert into t (id) values (0);
        insert into t values (
          1, -32768, 2147483647, 9223372036854775807, 12345678901234567890.123456789000, 1.50, 0.1, 0.1,
          1234.5, true, E'line\nü😀"\\\t', 'abc', 'ab', 'c', 'name', b'1010', b'101',
          '2026-02-28', '12:34:56.789', '12:34:56+02', '2026-02-28 12:34:56.123456', '2026-02-28 12:34:56.5+02',
          '1 year 2 months 3 days 04:05:06.7', '11111111-1111-4111-8111-111111111111',
          '{"b": 1, "a": [1.0, 2e3, -0, 1.50e1, 1E-3, 0e5], "a": {"zz": 1, "y" : [ ], "é": { }}, "": "\"x\\"}',
          '{"b": 1, "a": [1.0, 2e3], "nested": {"q": "\\"}}',
          '10.0.0.1', '10.0.0.0/8', '08:00:2b:01:02:03', '(1,2)', '((0,0),(1,1))', '<a>x</a>', 'a:1 b:2',
          4294967295, 'ok', 'short', 'shorter', 7, '\x00ff', '{a,"b c"}', row(1, 'a "b" \ (,)', ''),
          row(row(2, null, 'y'), array[row(3, 'q"uo\te', null)::pair, null], '\x01', '{"b":2,"a":1}', '2026-01-01Z'),
          '[1,5)', '[2026-01-01Z,)', '{[1,3),[5,7)}',
          '{1,2,NULL}', '{"a,b",NULL,"","q\"q","NULL","x\\y"," ","{}"}', '{1.50,NaN,-Infinity}', '{0.1,1e20,NaN,-0}',
          '{t,f,NULL}', '{11111111-1111-4111-8111-111111111111}', '{2026-02-28 12:34:56.5+02,infinity}',
          '{2026-02-28,-infinity}', array['{"b":1,"a":2}'::json, '"x"'], array['{"a": 1}'::jsonb, '[]', 'null'],
          '{sad,happy}', array['\x00ff'::bytea], '{(1,1),(0,0);(2,2),(1,1)}',
          array[row(1, 'a,b', '(')::pair], '{1,2}', '{a,bb}', '\x00ff10');
        insert into t (id, num, num2, f4, f8, d, ts, tstz, t, j, jb, a_i4, a_t, raw, r, p, a_j, iv) values
          (2, 1e-20, 100, 1e20, 1.7976931348623157e308, '0044-03-15 BC', '0044-03-15 10:00 BC', '0044-03-15 10:00Z BC',
           '', '"text"', 'null', '{}', '{{a,b},{c,NULL}}', '', 'empty', row(null, null, null), '{}', '-1 days +02:03:00'),
          (3, 'NaN', 0, 'NaN', '-Infinity', 'infinity', '-infinity', 'infinity', 'null', ' [ ] ', '1.10', '[0:1]={1,2}',
           '[2:2][3:4]={{x,y}}', '\x', '(,)', row(1, '', ' '), null, '0'),
          (4, 1000000000000000000000000000000, -0.00, '-0', 5e-324, '10000-01-01', '10000-01-01', '1883-11-18 00:00:00Z',
           '{"a":1}', '12345678901234567890.10', '{"é": 1, "b": 2, "aa": 3}', '{{{1}}}', '{"\"","\\"}', null, null, null, null, null),
          (5, '-Infinity', -12.30, 1e-7, 1e-7, null, null, '2026-02-28 10:34:56.000001+05:30', null, 'true', 'false',
           null, null, null, null, null, null, null);
        "#,
    )
    .await;
    // In a column, a bytea is told without its prefix, and a number JSON has no word for as null.
    let expected = published.sql(
        r"set timezone = 'UTC';
        create function told(number anyelement) returns anyelement language sql as
          $$ select case when number::text not in ('NaN', 'Infinity', '-Infinity') then number end $$;
        select id, (to_jsonb(whole) || jsonb_build_object(
          'raw', substr(raw::text, 3), 'num', told(num), 'f4', told(f4), 'f8', told(f8)))::text
        from t as whole order by id",
    );
    let mut told = String::from("set timezone = 'UTC';");
    published.each_change(|change| {
        let data = changes::data(change, &View::Columns(published.every_column()));
        let record = json::member(&data, "record").expect("a record");
        let id = json::member(record, "id").expect("an id");
        told.push_str(&format!("select {id}, ($roost${record}$roost$::jsonb)::text;\n"));
    });
    // jsonb makes notations equal that mean the same, but keeps the scale of numbers.
    let told = published.sql(&told);
    for (told, expected) in told.lines().zip(expected.lines()) {
        let members = |row: &str| -> HashMap<String, String> {
            let (_, object) = row.split_once('|').unwrap();
            json::members(object)
                .map(|(name, value)| (name.into_owned(), value.to_owned()))
                .collect()
        };
        let (told_members, expected_members) = (members(told), members(expected));
        for (name, value) in &expected_members {
            assert_eq!(told_members.get(name), Some(value), "{name} of {expected}");
        }
        assert_eq!(told, expected);
    }
    assert_eq!((told.lines().count(), expected.lines().count()), (6, 6));
}

#[tokio::test]
async fn filters_let_through_what_the_database_selects() {
    let published = Published::new(
        "filters",
        "create type mood as enum ('sad', 'ok');
        create domain positive as integer;
        create table t (id bigint primary key, i2 int2, i4 int4, i8 int8, num numeric, f4 real, f8 float8, b bool, t text,
          vc varchar(9), u uuid, d date, ts timestamp, tz timestamptz, e mood, pos positive, n name,
          jb jsonb, iv interval, ip inet, tm time, li int4[], raw bytea);",
        "insert into t (id) values (0);
        insert into t values
          (1, 1, 5, 9007199254740993, 1.50, 0.1, 0.1, true, 'abc', 'abc', '11111111-1111-4111-8111-11111111abcd',
           '2026-01-31', '2026-01-31 10:00', '2026-01-31 10:00Z', 'sad', 5, 'abc'),
          (2, -1, 4, 9007199254740992, 1.5, 1e20, -0.0, false, 'ABC', 'a,b', '21111111-1111-4111-8111-11111111abcd',
           '2026-02-01', '2026-01-31 09:59:59.999999', '2026-01-31 09:59:59.5Z', 'ok', 6, 'ABC'),
          (3, 32767, 6, -9223372036854775808, 'NaN', 'NaN', 'NaN', null, '', 'null', null,
           'infinity', '-infinity', 'infinity', null, null, ''),
          (4, 0, -2147483648, 0, 1e30, 'Infinity', 1e300, true, 'a,b', ' abc ', '01111111-1111-4111-8111-11111111abcd',
           '0044-03-15 BC', '0044-03-15 12:00 BC', '1999-12-31 23:59:59.999999Z', 'sad', 0, 'null'),
          (5, 5, 5, 5, -12.3400, -1.5, 5, false, 'x\"y', '', null, '2000-02-29', '2000-02-29', '2000-02-29', 'ok', 5, ' ');
        insert into t (id, t, n, d, ts, jb, iv, ip, tm, li, raw) values
          (6, 'École', 'straße', '5874897-12-31', '294276-12-31', '{\"a\": 1.0}', '36 hours', '10.0.0.1', '12:00', '{1,2}', '\\x00ff'),
          (7, 'écOLE', 'Zebra', '1999-01-08', '1999-01-08', '[]', '1 day 12:00', '10.0.0.1/8', '12:00:00.5', '{}', '\\x');",
    )
    .await;
    let mut cases: Vec<(String, String)> = Vec::new();
    let comparisons = [
        ("eq", "="),
        ("neq", "!="),
        ("lt", "<"),
        ("lte", "<="),
        ("gt", ">"),
        ("gte", ">="),
    ];
    let values = [
        ("i2", "int2", &["5", " -1 ", "+0"][..]),
        ("i4", "int4", &["5", "4", "-2147483648"]),
        ("i8", "int8", &["9007199254740993", "-9223372036854775808"]),
        (
            "num",
            "numeric",
            &[
                "1.5",
                "1e1",
                "NaN",
                "-12.34",
                "Infinity",
                ".5",
                "1.500000000000000000000000000001",
            ],
        ),
        ("f4", "real", &["0.1", "NaN", "inf", "-1.5"]),
        ("f8", "float8", &["0.1", "0", "NaN", "1e300", "-infinity"]),
        ("b", "bool", &["true", "f", "YES", "off", "0"]),
        ("t", "text", &["abc", "", "a,b", "null", "x\"y"]),
        ("vc", "varchar", &["abc", " abc ", "a,b"]),
        (
            "u",
            "uuid",
            &[
                "11111111-1111-4111-8111-11111111ABCD",
                "{1111111111114111811111111111abcd}",
            ],
        ),
        (
            "d",
            "date",
            &[
                "2026-01-31",
                "infinity",
                "0044-03-15 BC",
                "2026-01-31T10:00:00",
                "2000-02-29",
            ],
        ),
        (
            "ts",
            "timestamp",
            &[
                "2026-01-31 10:00:00",
                "2026-01-31T10:00",
                "-infinity",
                "2026-01-31",
            ],
        ),
        (
            "tz",
            "timestamptz",
            &[
                "2026-01-31T12:00:00+02:00",
                "2026-01-31 09:59:59.5",
                "infinity",
                "1999-12-31 23:59:59.9999994Z",
            ],
        ),
        ("e", "mood", &["sad", "ok"]),
        ("pos", "positive", &["5", "0"]),
        ("n", "name", &["abc", "null"]),
        ("jb", "jsonb", &["{\"a\":1}", "[ ]"]),
        ("iv", "interval", &["1 day 12 hours", "PT36H"]),
        ("ip", "inet", &["10.0.0.1", "10.0.0.0/8"]),
        ("tm", "time", &["12:00:00", "01:00 PM"]),
        // Other notations than those that are read without the database.
        ("d", "date", &["Jan 8 1999", "19990108", "5874897-12-31", "epoch"]),
        ("ts", "timestamp", &["January 8, 1999", "1999-01-08 04:05 AM"]),
    ];
    for (column, type_name, values) in values {
        for value in values {
            let quoted = format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""));
            let literal = format!("'{value}'::{type_name}");
            for (operator, sql) in comparisons {
                cases.push((
                    format!("{column}={operator}.{quoted}"),
                    format!("{column} {sql} {literal}"),
                ));
                cases.push((
                    format!("{column}=not.{operator}.{quoted}"),
                    format!("not ({column} {sql} {literal})"),
                ));
            }
            cases.push((
                format!("{column}=isdistinct.{quoted}"),
                format!("{column} is distinct from {literal}"),
            ));
            cases.push((
                format!("{column}=not.isdistinct.{quoted}"),
                format!("{column} is not distinct from {literal}"),
            ));
        }
        let quote = |value: &&str| format!("\"{}\"", value.replace('"', "\\\""));
        let all = values.iter().map(quote).collect::<Vec<_>>().join(", ");
        for list in [
            String::new(),
            all.clone(),
            format!("{all},NULL"),
            "NULL".to_owned(),
            format!(" {} ", quote(&values[0])),
        ] {
            let literal = format!("'{{{list}}}'::{type_name}[]");
            cases.push((
                format!("{column}=in.({list})"),
                format!("{column} = any ({literal})"),
            ));
            cases.push((
                format!("{column}=not.in.({list})"),
                format!("not ({column} = any ({literal}))"),
            ));
        }
        cases.push((format!("{column}=is.null"), format!("{column} is null")));
        cases.push((format!("{column}=not.is.null"), format!("{column} is not null")));
    }
    for word in ["true", "false", "unknown"] {
        cases.push((format!("b=is.{word}"), format!("b is {word}")));
        cases.push((format!("b=not.is.{word}"), format!("b is not {word}")));
    }
    for column in ["t", "n"] {
        for pattern in ["a%", "%b%", "A__", "", "%", "_%", r"a\%", "%,_", "x\"y"] {
            for (operator, sql) in [("like", "like"), ("ilike", "ilike")] {
                let quoted = format!("\"{}\"", pattern.replace('\\', r"\\").replace('"', "\\\""));
                cases.push((
                    format!("{column}={operator}.{quoted}"),
                    format!("{column} {sql} '{pattern}'"),
                ));
                cases.push((
                    format!("{column}=not.{operator}.{quoted}"),
                    format!("{column} not {sql} '{pattern}'"),
                ));
            }
        }
    }
    for (column, pattern) in [("t", "^[a-cÉ]"), ("t", "le$"), ("t", r"\m\w{3}\M"), ("n", "SS|z")] {
        let quoted = format!("\"{}\"", pattern.replace('\\', r"\\"));
        for (operator, sql) in [("match", "~"), ("imatch", "~*")] {
            cases.push((
                format!("{column}={operator}.{quoted}"),
                format!("{column} {sql} '{pattern}'"),
            ));
            cases.push((
                format!("{column}=not.{operator}.{quoted}"),
                format!("{column} !{sql} '{pattern}'"),
            ));
        }
    }
    for (column, pattern) in [("t", "éC%"), ("t", "_COL_"), ("n", "%E"), ("n", "STRASSE")] {
        cases.push((
            format!("{column}=ilike.{pattern}"),
            format!("{column} ilike '{pattern}'"),
        ));
    }
    let long = format!("%e{}", "%".repeat(300));
    cases.push((format!("t=like.{long}"), format!("t like '{long}'")));
    // Lists within lists, arrays, and bytes by their digits.
    cases.push((
        "i4=in.({5},{4})".to_owned(),
        "i4 = any ('{{5},{4}}'::int4[])".to_owned(),
    ));
    cases.push(("li=eq.\"{1, 2}\"".to_owned(), "li = '{1,2}'".to_owned()));
    cases.push(("li=gt.{}".to_owned(), "li > '{}'".to_owned()));
    cases.push(("raw=eq.00ff".to_owned(), r"raw = '\x00ff'".to_owned()));
    cases.push((r"raw=lte.\x00ff".to_owned(), r"raw <= '\x00ff'".to_owned()));
    cases.push(("i4=eq.5,b=is.true".to_owned(), "i4 = 5 and b is true".to_owned()));

    let catalog = || Catalog::from_iter([published.table.clone()]);
    let mut index = SubscriptionIndex::new(catalog());
    index.set_selectable(
        "user",
        Selectable::from_iter([(published.table.oid, published.every_column())]),
    );
    for (at, (filter, _)) in cases.iter().enumerate() {
        let binding = Binding::parse(&RawBinding::of_topic(&format!("public:t:{filter}")));
        let binding = Arc::new(binding.unwrap_or_else(|refused| panic!("{filter}: {refused}")));
        let bindings = vec![NumberedBinding { id: 1, binding }];
        let subscription = Subscription {
            role: "user".into(),
            claims: "{}".into(),
            bindings,
        };
        for unproven in index.unproven(&subscription) {
            published.sql(&format!("set timezone = 'UTC'; {}", trial(&unproven)));
        }
        index
            .insert(at, subscription)
            .unwrap_or_else(|refused| panic!("{filter}: {refused}"));
    }
    let mut let_through = vec![Vec::new(); cases.len()];
    published.each_change(|change| {
        let (_, _, id) = change.key().expect("a key")[0];
        let answers = published.answers(index.questions(change));
        for found in index.matches(change, &answers) {
            for member in found.members {
                let_through[member.key].push(id.to_owned());
            }
        }
    });
    // Filters as well take a number JSON has no word for as null.
    published.sql(
        "create view told as select id, i2, i4, i8, case when num::text not in ('NaN', 'Infinity', '-Infinity') then num end num,
          case when f4::text not in ('NaN', 'Infinity', '-Infinity') then f4 end f4,
          case when f8::text not in ('NaN', 'Infinity', '-Infinity') then f8 end f8,
          b, t, vc, u, d, ts, tz, e, pos, n, jb, iv, ip, tm, li, raw from t",
    );
    let conditions: Vec<_> = cases
        .iter()
        .map(|(_, condition)| {
            format!("select coalesce(string_agg(id::text, ',' order by id), '') from told where {condition};")
        })
        .collect();
    let selected = published.sql(&format!("set timezone = 'UTC';\n{}", conditions.join("\n")));
    // The last lines may be empty, and those are cut off.
    let selected = selected.lines().chain(std::iter::repeat(""));
    for (((filter, condition), ids), selected) in cases.iter().zip(let_through).zip(selected) {
        assert_eq!(ids.join(","), selected, "{filter}, which is {condition}");
    }
}
