//! Rows, policies and claims at random: what is evaluated in memory, and a bit more.

/// A source of the same numbers in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }

    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.roll(of) == 0
    }
}

/// The table, and what the database says who sees.
pub(crate) const SETUP: &str = r#"
    create role viewer_one; create role viewer_two; create role viewer_staff;
    grant viewer_staff to viewer_two;
    create type mood as enum ('sad', 'ok', 'happy');
    create domain short as text;
    create domain positive as integer;
    create collation lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table t (
      id bigint primary key, owner uuid, owner_text text, org integer, small smallint, amount numeric, score float8,
      ratio real, flag boolean, body text, code varchar(10), padded char(4), mood mood, day date, at timestamptz,
      plain timestamp, tags text[], data jsonb, "Odd ""col" text, lax text collate lax, other text collate "POSIX",
      short short, positive positive, named name, pair point);
    alter table t enable row level security;
    grant select on t to viewer_one, viewer_two, viewer_staff;
    create function strange(text) returns boolean language sql stable as 'select $1 = ''a''';
    create publication p for table t;
    create function seen(viewer text, claims text) returns text language plpgsql as $$
    declare ids text;
    begin
      perform set_config('request.jwt.claims', claims, true), set_config('role', viewer, true);
      execute 'select coalesce(string_agg(id::text, '','' order by id), '''') from public.t' into ids;
      perform set_config('role', 'none', true);
      return ids;
    exception when others then
      return 'failed: ' || sqlerrm;
    end $$;
"#;

const UUIDS: [&str; 3] = [
    "11111111-1111-4111-8111-11111111aaaa",
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333",
];
const TEXTS: [&str; 10] = ["a", "A", "b", "", "é", "true", "5", " a", "it's", "a\\b"];

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn own_text(dice: &mut Dice) -> String {
    let key = dice.pick(&["sub", "role", "n", "b", "x", "o", "missing"]);
    match dice.roll(12) {
        0 | 1 => "auth.role()".into(),
        2 | 3 => format!("(auth.jwt() ->> '{key}')"),
        4 => format!("(auth.jwt() -> 'o' ->> '{key}')"),
        5 => format!("(current_setting('request.jwt.claims', true)::json ->> '{key}')"),
        6 => format!("((select auth.jwt()) -> '{key}' ->> 'x')"),
        7 => "(select auth.uid())::text".into(),
        8 => format!("coalesce(auth.jwt() ->> '{key}', 'a')"),
        9 => format!("nullif(auth.jwt() ->> '{key}', 'a')"),
        10 => "current_user::text".into(),
        _ => format!("(select auth.jwt() ->> '{key}')"),
    }
}

/// A value of some type: a column, something of the viewer, or a constant.
fn value(dice: &mut Dice, r#type: &str) -> String {
    let source = dice.roll(3);
    match (r#type, source) {
        ("text", 0) => dice
            .pick(&[
                "body",
                "code",
                "owner_text",
                "\"Odd \"\"col\"",
                "owner::text",
                "org::text",
                "flag::text",
                "mood::text",
                "short",
                "named",
                "padded::text",
                "other",
                "lax",
                "code::text",
                "small::text",
                "amount::text",
                "positive::text",
                "named::text",
            ])
            .into(),
        ("text", 1) => own_text(dice),
        ("text", _) => match dice.roll(5) {
            0 => "null::text".into(),
            1 => format!("{}::varchar", quoted(dice.pick(&TEXTS))),
            _ => quoted(dice.pick(&TEXTS)),
        },
        ("uuid", 0) => "owner".into(),
        ("uuid", 1) => dice
            .pick(&[
                "auth.uid()",
                "(select auth.uid())",
                "(auth.jwt() ->> 'sub')::uuid",
                "owner_text::uuid",
            ])
            .into(),
        ("uuid", _) => format!("{}::uuid", quoted(dice.pick(&UUIDS))),
        ("int", 0) => dice
            .pick(&["org", "id", "small", "positive", "org::bigint", "id::integer"])
            .into(),
        ("int", 1) => dice
            .pick(&[
                "(auth.jwt() ->> 'n')::integer",
                "(auth.jwt() -> 'n')::bigint",
                "(auth.jwt() ->> 'n')::smallint",
                "(auth.jwt() -> 'o' ->> 'n')::bigint",
            ])
            .into(),
        ("int", _) => dice
            .pick(&[
                "5",
                "-1",
                "0",
                "5::smallint",
                "'5'::bigint",
                "5000000000",
                "null::integer",
            ])
            .into(),
        ("numeric", 0) => dice
            .pick(&["amount", "org::numeric", "id::numeric", "amount"])
            .into(),
        ("numeric", 1) => "((auth.jwt() ->> 'n')::integer)::numeric".into(),
        ("numeric", _) => dice
            .pick(&["1.5", "5.0", "-1.50", "'NaN'::numeric", "0.1"])
            .into(),
        ("float", 0) => dice.pick(&["score", "ratio", "score", "org::float8"]).into(),
        ("float", _) => dice
            .pick(&["'0.1'::float8", "'1.5'::real", "5::float8", "'1e20'::float8"])
            .into(),
        ("bool", 0) => "flag".into(),
        ("bool", 1) => dice
            .pick(&[
                "(auth.jwt() ->> 'b')::boolean",
                "(auth.jwt() -> 'b')::boolean",
                "(org = 5)",
                "coalesce((auth.jwt() ->> 'b')::boolean, false)",
            ])
            .into(),
        ("bool", _) => dice.pick(&["true", "false", "null::boolean"]).into(),
        ("mood", 0) => "mood".into(),
        ("mood", _) => dice
            .pick(&[
                "'ok'::mood",
                "'happy'::mood",
                "null::mood",
                "(auth.jwt() ->> 'x')::mood",
            ])
            .into(),
        ("day", 0) => dice.pick(&["day", "at::date"]).into(),
        ("day", _) => dice
            .pick(&["'2026-02-28'::date", "'infinity'::date", "current_date"])
            .into(),
        ("at", 0) => "at".into(),
        ("at", _) => dice
            .pick(&[
                "'2026-02-28 10:00:00+02'::timestamptz",
                "now()",
                "'2026-02-28 08:00:00Z'::timestamptz",
            ])
            .into(),
        ("plain", 0) => "plain".into(),
        ("plain", _) => "'2026-02-28 10:00:00.5'::timestamp".into(),
        ("padded", 0) => "padded".into(),
        ("padded", _) => dice
            .pick(&["'a'::bpchar", "'a   '::char(4)", "'b'::bpchar"])
            .into(),
        ("named", 0) => "named".into(),
        ("named", _) => dice.pick(&["current_user", "'a'::name", "'viewer_one'"]).into(),
        _ => unreachable!("{type}"),
    }
}

const TYPES: [&str; 16] = [
    "text", "text", "text", "text", "uuid", "uuid", "uuid", "int", "int", "numeric", "float", "bool", "mood",
    "day", "at", "padded",
];

/// A policy's expression.
pub(crate) fn condition(dice: &mut Dice, depth: usize) -> String {
    if depth > 0 && dice.one_in(2) {
        let (a, b) = (condition(dice, depth - 1), condition(dice, depth - 1));
        return match dice.roll(7) {
            0 | 1 => format!("({a} and {b})"),
            2 | 3 => format!("({a} or {b})"),
            4 => format!("not {a}"),
            5 => format!(
                "({a} is {}{})",
                dice.pick(&["", "not "]),
                dice.pick(&["true", "false", "unknown", "null"])
            ),
            _ => format!("({a} and {b} or {})", condition(dice, 0)),
        };
    }
    let r#type = match dice.roll(20) {
        0 => "plain",
        1 => "named",
        _ => dice.pick(&TYPES),
    };
    let (a, b) = (value(dice, r#type), value(dice, r#type));
    match dice.roll(24) {
        0..8 => format!("({a} = {b})"),
        8 | 9 => format!("({a} <> {b})"),
        10 | 11 => format!("({a} {} {b})", dice.pick(&["<", "<=", ">", ">="])),
        12 | 13 => format!("({a} is {}null)", dice.pick(&["", "not "])),
        14 | 15 => format!("({a} is {}distinct from {b})", dice.pick(&["", "not "])),
        16 | 17 => {
            let c = value(dice, r#type);
            format!("({a} {}in ({b}, {c}))", dice.pick(&["", "not "]))
        }
        18 => format!(
            "({a} {} (array[{b}, {a}]))",
            dice.pick(&["= any", "<> all", "= all", "<> any"])
        ),
        19 => value(dice, "bool"),
        20 => format!("(select {})", own_condition(dice)),
        21 => own_condition(dice),
        _ => dice
            .pick(&[
                "(body like 'a%')",
                "(lower(body) = 'a')",
                "strange(body)",
                "exists (select from t where false)",
                "coalesce(flag, false)",
                "((data ->> 'x') = 'a')",
                "(data is not null)",
                "(tags @> '{a}')",
                "(tags is null)",
                "('a' = any (tags))",
                "(case when flag then true else false end)",
                "(body || 'x' = 'ax')",
                "(body = any ('{a,b}'))",
                "(pair is null)",
                "(auth.jwt() is not null)",
                "((auth.jwt() -> 'x') is null)",
                "(owner_text::uuid = owner)",
                "(org + 1 = 6)",
                "(body collate \"C\" = 'a')",
                "(body = 'a' collate lax)",
                "(t.* is not null)",
                "(row(org, body) = row(5, 'a'))",
                "(body between 'a' and 'b')",
                "(org between 1 and 5)",
                "(auth.jwt() ? 'sub')",
                "(code = 'abcdefghijkl'::varchar(3))",
            ])
            .into(),
    }
}

fn own_condition(dice: &mut Dice) -> String {
    match dice.roll(4) {
        0 => "(auth.uid() is not null)".into(),
        1 => format!("({} = {})", own_text(dice), quoted(dice.pick(&TEXTS))),
        2 => "(auth.role() = 'authenticated')".into(),
        _ => format!("({} in ('a', 'b', 'authenticated'))", own_text(dice)),
    }
}

fn json_value(dice: &mut Dice, depth: usize) -> String {
    if dice.one_in(3) {
        return format!("\"{}\"", dice.pick(&UUIDS));
    }
    match dice.roll(if depth == 0 { 18 } else { 20 }) {
        0..4 => dice
            .pick(&["\"a\"", "\"b\"", "\"A\"", "\"\"", "\"authenticated\"", "\"anon\""])
            .into(),
        4..7 => dice.pick(&["5", "0", "-1", "5000000000", "70000"]).into(),
        7 => dice
            .pick(&[
                "1.50",
                "-0",
                "-0.0",
                "1e2",
                "5.0",
                "1E-400",
                "123456789012345678901234567890.5",
            ])
            .into(),
        8..10 => dice.pick(&["true", "false"]).into(),
        10 => "null".into(),
        11 => dice
            .pick(&[
                "\"t\"",
                "\"yes\"",
                "\" off \"",
                "\"o\"",
                "\"5\"",
                "\" 5 \"",
                "\"+5\"",
                "\"0x5\"",
                "\"5_0\"",
            ])
            .into(),
        12 => dice
            .pick(&[
                "\"{11111111-1111-4111-8111-11111111AAAA}\"",
                "\"11111111111141118111-11111111aaaa\"",
                "\"not one\"",
                "\" 11111111-1111-4111-8111-11111111aaaa\"",
            ])
            .into(),
        13 => dice
            .pick(&[
                "\"\\u00e9\"",
                "\"é\"",
                "\"\\u0000\"",
                "\"\\ud83d\\ude00\"",
                "\"it's\"",
                "\"a\\\\b\"",
                "\"\\ud800\"",
            ])
            .into(),
        14 => dice.pick(&["[]", "[\"a\", 1]", "[{\"x\": \"a\"}]", "{}"]).into(),
        15 => dice.pick(&["\"viewer_one\"", "\"ok\"", "\"happy\""]).into(),
        16 => "\"t\"".into(),
        17 => "\"5\"".into(),
        _ => claims(dice, depth - 1),
    }
}

/// Claims, most of them usual.
pub(crate) fn claims(dice: &mut Dice, depth: usize) -> String {
    let mut members = Vec::new();
    for key in ["sub", "role", "n", "b", "x", "o"] {
        if dice.one_in(4) {
            continue;
        }
        let value = match key {
            "sub" if !dice.one_in(5) => format!("\"{}\"", dice.pick(&UUIDS)),
            "role" if !dice.one_in(3) => dice.pick(&["\"authenticated\"", "\"a\"", "\"anon\""]).to_owned(),
            "n" if !dice.one_in(3) => dice.pick(&["5", "0", "\"5\"", "-1"]).to_owned(),
            "b" if !dice.one_in(3) => dice.pick(&["true", "false", "\"true\""]).to_owned(),
            "o" if depth > 0 && !dice.one_in(3) => claims(dice, depth - 1),
            _ => json_value(dice, depth),
        };
        members.push(format!("\"{key}\": {value}"));
    }
    if dice.one_in(30) {
        members.push(format!("\"x\": {}", json_value(dice, 0)));
    }
    format!("{{{}}}", members.join(", "))
}

/// Values for an INSERT.
pub(crate) fn row(dice: &mut Dice, id: usize) -> String {
    let values: Vec<String> = [
        UUIDS.map(quoted).to_vec(),
        [UUIDS[0], "a", "no uuid"].map(quoted).to_vec(),
        ["5", "0", "-1", "7"].map(String::from).to_vec(),
        ["5", "0", "-1"].map(String::from).to_vec(),
        ["1.5", "1.50", "5", "'NaN'", "-1.5", "0.1"]
            .map(String::from)
            .to_vec(),
        ["0.1", "'NaN'", "1.5", "5", "'-Infinity'", "1e20"]
            .map(String::from)
            .to_vec(),
        ["0.1", "1.5", "'NaN'", "5"].map(String::from).to_vec(),
        ["true", "false"].map(String::from).to_vec(),
        TEXTS.map(quoted).to_vec(),
        TEXTS.map(quoted).to_vec(),
        ["'a'", "'b'", "'a  '", "''"].map(String::from).to_vec(),
        ["'sad'", "'ok'", "'happy'"].map(String::from).to_vec(),
        ["'2026-02-28'", "'infinity'", "'0044-03-15 BC'"]
            .map(String::from)
            .to_vec(),
        ["'2026-02-28 08:00Z'", "'-infinity'", "'2026-02-28 10:00Z'"]
            .map(String::from)
            .to_vec(),
        ["'2026-02-28 10:00:00.5'", "'infinity'"]
            .map(String::from)
            .to_vec(),
        ["'{a}'", "'{}'", "'{b,NULL}'"].map(String::from).to_vec(),
        ["'{\"x\":\"a\"}'", "'null'", "'[]'"].map(String::from).to_vec(),
        TEXTS.map(quoted).to_vec(),
        ["'a'", "'A'", "'b'"].map(String::from).to_vec(),
        ["'a'", "'A'", "'b'"].map(String::from).to_vec(),
        ["'a'", "'b'"].map(String::from).to_vec(),
        ["5", "7"].map(String::from).to_vec(),
        ["'a'", "'viewer_one'"].map(String::from).to_vec(),
        ["'(1,2)'"].map(String::from).to_vec(),
    ]
    .iter()
    .map(|of| {
        if dice.one_in(6) {
            "null".to_owned()
        } else {
            of[dice.roll(of.len())].clone()
        }
    })
    .collect();
    format!("({id}, {})", values.join(", "))
}
