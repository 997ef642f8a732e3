//! The fuzz targets of this crate, run for a moment over mutations of what is to be expected. See `fuzz/README.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/entry/changes_binding.rs"]
mod changes_binding;
#[path = "../../../fuzz/entry/pgoutput.rs"]
mod pgoutput;

const ITERATIONS: u32 = 20_000;

#[test]
fn any_stream_is_read_or_refused() {
    let corpus = [
        stream(&[
            begin(),
            relation(
                6,
                b'd',
                &[
                    ("id", 20, true),
                    ("a", 1005, false),
                    ("j", 114, false),
                    ("c", 2249, false),
                ],
            ),
            insert(
                6,
                &[
                    "1",
                    r#"{1,NULL,"a b"}"#,
                    r#"{"b":[1e3],"a":{"x":null},"a":""}"#,
                    r#"(1,"{""a"":1}",)"#,
                ],
            ),
            update(
                6,
                None,
                &["1", "[0:1]={{a},{b}}", r#"[1.50, true, "\u00e9"]"#, "()", "{}"],
            ),
            delete(6, b'K', &["1", "~", "~", "~", "~"]),
        ]),
        stream(&[
            begin(),
            relation(
                7,
                b'f',
                &[
                    ("gone", 25, true),
                    ("t", 1184, true),
                    ("n", 701, true),
                    ("b", 17, true),
                    ("f", 16, true),
                ],
            ),
            update(
                7,
                Some(&["", "infinity", "1e-07", r"\x00ff", "t"]),
                &["", "2026-02-28 10:34:56.5+00", "NaN", "=", "~"],
            ),
            delete(7, b'O', &["", "0044-03-15 00:00:00+00 BC", "-0", r"\x", "f"]),
        ]),
    ];
    bounded::run(&corpus, ITERATIONS, pgoutput::run);
}

#[test]
fn any_binding_is_understood_or_refused() {
    let corpus = [
        "b=eq.true,n=not.gt.5\nt\n7",
        "n=in.(1, 2,null)\nf\n2",
        "f=gt.0.1,num=lte.1e1\n~\n1\nNaN\n1.50",
        "t=eq.\"a,\\\"b\",t=in.(\"a,b\",c)\n~\n1\n1\n1\na,b",
        "u=eq.11111111-1111-4111-8111-111111111111\n~\n1\n1\n1\nx\n11111111-1111-4111-8111-111111111111",
        "ts=gte.2026-01-31T12:00:00+02:00,d=is.null\n~\n1\n1\n1\nx\n~\n2026-01-31 10:00:00+00\n~",
        "d=isdistinct.2026-01-31\n~\n1\n1\n1\nx\n~\n~\n2026-01-31",
        "t=like.a%,t=not.ilike._\\%%é\n~\n1\n1\n1\nabc",
        "t=match.^a",
    ]
    .map(|text| text.as_bytes().to_vec());
    bounded::run(&corpus, ITERATIONS, changes_binding::run);
}

/// Messages as the entry point reads them: each with its length in front.
fn stream(messages: &[Vec<u8>]) -> Vec<u8> {
    let framed = messages.iter().map(|message| {
        let length = u16::try_from(message.len()).unwrap();
        [&length.to_be_bytes(), message.as_slice()].concat()
    });
    framed.collect::<Vec<_>>().concat()
}

fn begin() -> Vec<u8> {
    [&b"B"[..], &[0; 20]].concat()
}

fn relation(oid: u32, identity: u8, columns: &[(&str, u32, bool)]) -> Vec<u8> {
    let mut message = [&b"R"[..], &oid.to_be_bytes(), b"public\0t\0", &[identity]].concat();
    message.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
    for (name, type_oid, is_key) in columns {
        message.push(u8::from(*is_key));
        message.extend([name.as_bytes(), b"\0", &type_oid.to_be_bytes(), &[0xFF; 4]].concat());
    }
    message
}

fn insert(oid: u32, new: &[&str]) -> Vec<u8> {
    [&b"I"[..], &oid.to_be_bytes(), b"N", &tuple(new)].concat()
}

fn update(oid: u32, old: Option<&[&str]>, new: &[&str]) -> Vec<u8> {
    let old = old.map_or_else(Vec::new, |old| [&b"O"[..], &tuple(old)].concat());
    [&b"U"[..], &oid.to_be_bytes(), &old, b"N", &tuple(new)].concat()
}

fn delete(oid: u32, kind: u8, old: &[&str]) -> Vec<u8> {
    [&b"D"[..], &oid.to_be_bytes(), &[kind], &tuple(old)].concat()
}

/// `~` is NULL and `=` was left alone.
fn tuple(values: &[&str]) -> Vec<u8> {
    let mut bytes = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match *value {
            "~" => bytes.push(b'n'),
            "=" => bytes.push(b'u'),
            text => {
                let length = u32::try_from(text.len()).unwrap();
                bytes.extend([&b"t"[..], &length.to_be_bytes(), text.as_bytes()].concat());
            }
        }
    }
    bytes
}
