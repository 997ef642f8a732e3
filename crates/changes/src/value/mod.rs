//! The text of a Postgres value to JSON, as `to_jsonb` would have it: text in, text out.
//!
//! What the text looks like depends on settings of the session that wrote it; see [`crate::pgoutput`] for those relied
//! on. Text that is not what its type promises is no error: it becomes a JSON string, so that whatever the server sends,
//! the output is one JSON value.
//!
//! Different from `to_jsonb` is
//! * white space and the spelling of strings inside `json`, which stay as they are written, minus white space between tokens;
//! * a `json` value that is no `jsonb` (half a surrogate pair, nesting beyond [`JSON_DEPTH_MAX`]): a string with its text;
//! * an exponent in `json` beyond [`EXPONENT_MAX`], which stays an exponent;
//! * types with a cast to `json` of their own (those of extensions): a string like any other.
//!
//! Source: protocol-spec/postgres-changes.md, section 7.

mod array;
mod composite;
mod json;
mod number;
mod time;

use phoenix_wire::json::write_string;

use crate::table::{Shape, Type};

pub use json::JSON_DEPTH_MAX;
pub use number::EXPONENT_MAX;

/// Writes the value of a column.
///
/// `bytea` is written as its digits, without the `\x` that a `bytea` inside another value keeps.
pub(crate) fn write_column(out: &mut String, r#type: &Type, text: &str) {
    match text.strip_prefix(r"\x") {
        Some(digits) if r#type.oid == oid::BYTEA => write_string(out, digits),
        _ => write(out, r#type, text),
    }
}

/// Writes a value of any type but `bytea` columns.
fn write(out: &mut String, r#type: &Type, text: &str) {
    let start = out.len();
    if !try_write(out, r#type, text) {
        out.truncate(start);
        write_string(out, text);
    }
}

/// False if the text is none of the type's; what was written until then is to be taken back.
fn try_write(out: &mut String, r#type: &Type, text: &str) -> bool {
    let r#type = r#type.base();
    match &r#type.shape {
        Shape::Array { element, delimiter } => return array::write(out, element, *delimiter, text),
        Shape::Composite { fields } => return composite::write(out, fields, text),
        // The base of a domain is none.
        Shape::Scalar | Shape::Enum { .. } | Shape::Domain { .. } => {}
    }
    match r#type.oid {
        oid::BOOL => match text {
            "t" => out.push_str("true"),
            "f" => out.push_str("false"),
            _ => return false,
        },
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC => {
            return number::write(out, text);
        }
        oid::JSON | oid::JSONB => return json::write(out, text),
        oid::INT2VECTOR => return write_vector(out, text, number::write),
        oid::OIDVECTOR => {
            return write_vector(out, text, |out, element| {
                write_string(out, element);
                true
            });
        }
        oid::TIMESTAMP => time::write_timestamp(out, text),
        oid::TIMESTAMPTZ => time::write_timestamptz(out, text),
        _ => write_string(out, text),
    }
    true
}

/// The arrays of the catalog, whose text is their elements with blanks between.
fn write_vector(out: &mut String, text: &str, write: impl Fn(&mut String, &str) -> bool) -> bool {
    let mut separator = '[';
    for element in text.split_ascii_whitespace() {
        out.push(separator);
        if !write(out, element) {
            return false;
        }
        separator = ',';
    }
    if separator == '[' {
        out.push(separator);
    }
    out.push(']');
    true
}

/// The types whose values are understood; `pg_type.dat`.
pub(crate) mod oid {
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT2VECTOR: u32 = 22;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OIDVECTOR: u32 = 30;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::table::Field;

    fn scalar(oid: u32) -> Arc<Type> {
        shaped(oid, Shape::Scalar)
    }

    fn shaped(oid: u32, shape: Shape) -> Arc<Type> {
        Arc::new(Type {
            oid,
            name: "".into(),
            sql: "".into(),
            shape,
        })
    }

    fn array(element: &Arc<Type>) -> Arc<Type> {
        let element = Arc::clone(element);
        shaped(
            0,
            Shape::Array {
                element,
                delimiter: ',',
            },
        )
    }

    fn domain(base: &Arc<Type>) -> Arc<Type> {
        shaped(
            99_999,
            Shape::Domain {
                base: Arc::clone(base),
            },
        )
    }

    fn composite(fields: &[(&str, &Arc<Type>)]) -> Arc<Type> {
        let fields = fields.iter().map(|(name, r#type)| Field {
            name: (*name).into(),
            r#type: Arc::clone(r#type),
        });
        shaped(
            99_998,
            Shape::Composite {
                fields: fields.collect(),
            },
        )
    }

    fn shown(r#type: &Type, text: &str) -> String {
        let mut out = String::new();
        write_column(&mut out, r#type, text);
        phoenix_wire::json::check(out.as_bytes()).unwrap_or_else(|error| panic!("{out}: {error}"));
        out
    }

    fn check(r#type: &Type, cases: &[(&str, &str)]) {
        for (text, json) in cases {
            assert_eq!(shown(r#type, text), *json, "{text}");
        }
    }

    #[test]
    fn vectors_of_the_catalog_are_arrays() {
        check(
            &scalar(oid::INT2VECTOR),
            &[("1 2 3", "[1,2,3]"), ("", "[]"), ("1 x", r#""1 x""#)],
        );
        check(&scalar(oid::OIDVECTOR), &[("1 2", r#"["1","2"]"#), ("", "[]")]);
    }

    #[test]
    fn booleans_and_numbers_are_json_of_their_own() {
        check(&scalar(oid::BOOL), &[("t", "true"), ("f", "false")]);
        check(
            &scalar(oid::INT8),
            &[("-9223372036854775808", "-9223372036854775808"), ("0", "0")],
        );
        let numeric = [
            (
                "12345678901234567890.123456789000",
                "12345678901234567890.123456789000",
            ),
            ("1.50", "1.50"),
            ("NaN", r#""NaN""#),
            ("-Infinity", r#""-Infinity""#),
        ];
        check(&scalar(oid::NUMERIC), &numeric);
        let float = [
            ("0.1", "0.1"),
            ("1e+20", "100000000000000000000"),
            ("1.5e-07", "0.00000015"),
            ("-0", "0"),
            ("Infinity", r#""Infinity""#),
            ("NaN", r#""NaN""#),
        ];
        check(&scalar(oid::FLOAT8), &float);
        check(&scalar(oid::FLOAT4), &float);
    }

    #[test]
    fn times_are_iso_8601() {
        let timestamp = [
            ("2026-02-28 12:34:56.123456", r#""2026-02-28T12:34:56.123456""#),
            ("0044-03-15 00:00:00 BC", r#""0044-03-15T00:00:00 BC""#),
            ("-infinity", r#""-infinity""#),
        ];
        check(&scalar(oid::TIMESTAMP), &timestamp);
        let timestamptz = [
            ("2026-02-28 10:34:56.5+00", r#""2026-02-28T10:34:56.5+00:00""#),
            ("2026-02-28 10:34:56+05:30", r#""2026-02-28T10:34:56+05:30""#),
            ("0044-03-15 00:00:00-01 BC", r#""0044-03-15T00:00:00-01:00 BC""#),
            ("infinity", r#""infinity""#),
        ];
        check(&scalar(oid::TIMESTAMPTZ), &timestamptz);
    }

    #[test]
    fn bytea_loses_its_prefix_in_a_column_only() {
        let bytea = scalar(oid::BYTEA);
        check(&bytea, &[(r"\x00ff10", r#""00ff10""#), (r"\x", r#""""#)]);
        check(&domain(&bytea), &[(r"\x00ff", r#""\\x00ff""#)]);
        check(&array(&bytea), &[(r#"{"\\x00ff"}"#, r#"["\\x00ff"]"#)]);
        check(
            &composite(&[("b", &bytea)]),
            &[(r#"("\\x00ff")"#, r#"{"b":"\\x00ff"}"#)],
        );
    }

    #[test]
    fn domains_are_their_base() {
        let positive = domain(&domain(&scalar(oid::INT4)));
        check(&positive, &[("7", "7")]);
        check(&array(&positive), &[("{7,8}", "[7,8]")]);
        check(&domain(&array(&positive)), &[("{7,8}", "[7,8]")]);
    }

    #[test]
    fn arrays_nest_quote_and_hold_nulls() {
        let text = [
            ("{}", "[]"),
            (
                r#"{"a,b",NULL,"","q\"q","NULL","x\\y",é}"#,
                r#"["a,b",null,"","q\"q","NULL","x\\y","é"]"#,
            ),
            ("{{a,b},{c,d}}", r#"[["a","b"],["c","d"]]"#),
            ("[0:1][2:3]={{a,b},{c,d}}", r#"[["a","b"],["c","d"]]"#),
            (r#"{"{}","}"}"#, r#"["{}","}"]"#),
        ];
        check(&array(&scalar(oid::TEXT)), &text);
        check(&array(&scalar(oid::BOOL)), &[("{t,f,NULL}", "[true,false,null]")]);
        check(
            &array(&scalar(oid::FLOAT8)),
            &[("{0.1,1e+20,NaN}", r#"[0.1,100000000000000000000,"NaN"]"#)],
        );
        check(
            &array(&scalar(oid::JSONB)),
            &[(r#"{"{\"a\": 1}",[]}"#, r#"[{"a":1},[]]"#)],
        );
        let boxes = shaped(
            1020,
            Shape::Array {
                element: scalar(603),
                delimiter: ';',
            },
        );
        check(
            &boxes,
            &[("{(1,1),(0,0);(2,2),(1,1)}", r#"["(1,1),(0,0)","(2,2),(1,1)"]"#)],
        );
    }

    #[test]
    fn composites_are_objects_in_the_order_of_jsonb() {
        let pair = composite(&[
            ("long", &scalar(oid::INT4)),
            ("y", &scalar(oid::TEXT)),
            ("x", &scalar(oid::TEXT)),
        ]);
        let cases = [
            ("(1,a,)", r#"{"x":null,"y":"a","long":1}"#),
            (
                r#"(,"","a ""b"" \\ (,)")"#,
                r#"{"x":"a \"b\" \\ (,)","y":"","long":null}"#,
            ),
        ];
        check(&pair, &cases);
        let nested = composite(&[("p", &array(&pair)), ("n", &scalar(oid::INT4))]);
        check(
            &nested,
            &[(
                r#"("{""(1,\\""a b\\"",)"",NULL}",2)"#,
                r#"{"n":2,"p":[{"x":null,"y":"a b","long":1},null]}"#,
            )],
        );
        check(&composite(&[]), &[("()", "{}")]);
    }

    #[test]
    fn json_is_normalised_as_jsonb_is() {
        let cases = [
            (r#"{"b": 1, "a": [1.0, 2e3], "a": null}"#, r#"{"a":null,"b":1}"#),
            (r#" "text" "#, r#""text""#),
            ("null", "null"),
            ("-0.0", "0.0"),
            (
                r#"{"bb":1,"a":{"d":1,"c":2},"\u0061":{"z" : 1, "y" : 2}}"#,
                r#"{"\u0061":{"y":2,"z":1},"bb":1}"#,
            ),
            (r#"{"é":1,"zz":2,"b":3}"#, r#"{"b":3,"zz":2,"é":1}"#),
            (
                r#"{"a": "x\n\u00e9\ud83d\ude00"}"#,
                r#"{"a":"x\n\u00e9\ud83d\ude00"}"#,
            ),
            ("[ ]", "[]"),
            ("{ }", "{}"),
        ];
        check(&scalar(oid::JSON), &cases);
        check(&scalar(oid::JSONB), &cases);
    }

    #[test]
    fn text_that_breaks_the_promise_of_its_type_is_a_string() {
        check(&scalar(oid::BOOL), &[("yes", r#""yes""#)]);
        check(
            &scalar(oid::INT4),
            &[
                ("", r#""""#),
                ("1x", r#""1x""#),
                ("01-2", r#""01-2""#),
                ("1.", r#""1.""#),
            ],
        );
        let broken = [
            "", "{", "}", "{a", "{a}}", "{a}x", "{a,,b}", "{,a}", "{a,}", "{{a}b}", r#"{"a}"#, "{\"a\\",
            "[1=", "{{}",
        ];
        for text in broken {
            let mut string = String::new();
            write_string(&mut string, text);
            assert_eq!(shown(&array(&scalar(oid::TEXT)), text), string);
        }
        let pair = composite(&[("x", &scalar(oid::TEXT)), ("y", &scalar(oid::TEXT))]);
        for text in [
            "",
            "(",
            "(a",
            "(a)",
            "(a,b",
            "(a,b)c",
            "(a,b,c)",
            r#"(a,"b)"#,
            r#"(a,"b\"#,
        ] {
            let mut string = String::new();
            write_string(&mut string, text);
            assert_eq!(shown(&pair, text), string);
        }
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "nul",
            "1 2",
            "01",
            "\"\\ud800\"",
            "\"\n\"",
            "\"\\x\"",
            "\"a",
        ] {
            let mut string = String::new();
            write_string(&mut string, text);
            assert_eq!(shown(&scalar(oid::JSON), text), string);
        }
    }

    #[test]
    fn deep_json_is_a_string() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(
            shown(&scalar(oid::JSON), &nested(JSON_DEPTH_MAX)),
            nested(JSON_DEPTH_MAX)
        );
        let deeper = nested(JSON_DEPTH_MAX + 1);
        assert_eq!(shown(&scalar(oid::JSON), &deeper), format!("\"{deeper}\""));
        assert!(shown(&scalar(oid::JSON), &"[".repeat(1_000_000)).starts_with('"'));
    }
}
