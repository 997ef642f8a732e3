//! The filters of a binding: `id=gt.5,name=not.in.(a,"b,c")`, all of which have to hold.
//!
//! Only the form is looked at here; what a condition means for a column is in [`crate::predicate`].
//! Source: protocol-spec/postgres-changes.md, section 3.

use phoenix_wire::payload::changes as text;

/// A condition on one column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// Name of the column.
    pub column: Box<str>,
    /// What is asked.
    pub operator: Operator,
    /// What the column is compared with; an array literal, in braces, for `in`.
    pub value: Box<str>,
    /// `not.` stands in front of the operator.
    pub negated: bool,
}

/// The operators of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `=`
    Eq,
    /// `!=`
    Neq,
    /// `<`
    Lt,
    /// `<=`
    Lte,
    /// `>`
    Gt,
    /// `>=`
    Gte,
    /// `= any (array)`
    In,
    /// `LIKE`
    Like,
    /// `ILIKE`
    Ilike,
    /// `IS NULL`, `IS TRUE`, `IS FALSE`, `IS UNKNOWN`
    Is,
    /// `~`
    Match,
    /// `~*`
    Imatch,
    /// `IS DISTINCT FROM`
    IsDistinct,
}

impl Operator {
    const ALL: [Self; 13] = [
        Self::Eq,
        Self::Neq,
        Self::Lt,
        Self::Lte,
        Self::Gt,
        Self::Gte,
        Self::In,
        Self::Like,
        Self::Ilike,
        Self::Is,
        Self::Match,
        Self::Imatch,
        Self::IsDistinct,
    ];

    /// As clients write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::In => "in",
            Self::Like => "like",
            Self::Ilike => "ilike",
            Self::Is => "is",
            Self::Match => "match",
            Self::Imatch => "imatch",
            Self::IsDistinct => "isdistinct",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text)
    }
}

/// Reads a filter. Blank text is none.
///
/// # Errors
///
/// The message for the client.
pub(crate) fn parse(filter: &str) -> Result<Vec<Condition>, String> {
    let filter = filter.trim();
    if filter.is_empty() {
        return Ok(Vec::new());
    }
    segments(filter).into_iter().map(parse_condition).collect()
}

/// Cuts at commas that stand neither in parentheses nor in quotes.
fn segments(filter: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    // Parentheses that are open; one too many closes nothing.
    let mut depth = 0_usize;
    let mut quoted = false;
    // The character before, in this segment.
    let mut before = None;
    let mut chars = filter.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' if quoted => {
                chars.next();
            }
            '"' if quoted => quoted = false,
            _ if quoted => {}
            // Elsewhere a quote is a character like any other.
            '"' if matches!(before, Some('.' | '(' | ',')) => quoted = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.push(filter.get(start..at).unwrap_or_default());
                start = at + 1;
                before = None;
                continue;
            }
            _ => {}
        }
        before = Some(char);
    }
    found.push(filter.get(start..).unwrap_or_default());
    found
}

fn parse_condition(segment: &str) -> Result<Condition, String> {
    let segment = segment.trim();
    if segment.is_empty() {
        return Err(text::FILTER_EMPTY_SEGMENT.to_owned());
    }
    let Some((column, rest)) = segment.split_once('=') else {
        return Err(text::filter_parts(&[segment]));
    };
    let (negated, rest) = match rest.strip_prefix("not.") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let Some((operator, value)) = rest.split_once('.') else {
        return Err(text::filter_parts(&[rest]));
    };
    let Some(operator) = Operator::parse(operator) else {
        return Err(text::filter_parts(&[operator, value]));
    };
    let value = if operator == Operator::In {
        let list = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let list = list.ok_or_else(|| text::FILTER_IN_UNWRAPPED.to_owned())?;
        format!("{{{list}}}")
    } else {
        unquoted(value).unwrap_or_else(|| value.to_owned())
    };
    Ok(Condition {
        column: column.into(),
        operator,
        value: value.into(),
        negated,
    })
}

/// The content of a value that is one quoted string from end to end; a backslash stands in front of any character that
/// is meant as such.
fn unquoted(value: &str) -> Option<String> {
    let mut chars = value.strip_prefix('"')?.chars();
    let mut content = String::with_capacity(value.len());
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(content),
            // The last character of all stands for itself.
            '\\' => content.push(chars.next().unwrap_or('\\')),
            other => content.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Conditions in one line each: `column|operator|value`, `!` in front of a negated operator.
    fn shown(filter: &str) -> Vec<String> {
        let conditions = parse(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
        let line = |condition: &Condition| {
            let not = if condition.negated { "!" } else { "" };
            format!(
                "{}|{not}{}|{}",
                condition.column,
                condition.operator.as_str(),
                condition.value
            )
        };
        conditions.iter().map(line).collect()
    }

    #[test]
    fn a_condition_is_column_operator_value() {
        for operator in Operator::ALL
            .into_iter()
            .filter(|operator| *operator != Operator::In)
        {
            let name = operator.as_str();
            assert_eq!(shown(&format!("c={name}.v")), [format!("c|{name}|v")]);
            assert_eq!(shown(&format!("c=not.{name}.v")), [format!("c|!{name}|v")]);
        }
        assert_eq!(shown("a.b=eq.x=y.z"), ["a.b|eq|x=y.z"]);
        assert_eq!(shown("=eq."), ["|eq|"]);
        assert_eq!(shown(" c =eq. v"), ["c |eq| v"]);
        assert_eq!(shown(" \t "), [""; 0]);
    }

    #[test]
    fn lists_become_array_literals() {
        assert_eq!(shown("c=in.(1,2)"), ["c|in|{1,2}"]);
        assert_eq!(shown(r#"c=not.in.("a,b",c)"#), [r#"c|!in|{"a,b",c}"#]);
        assert_eq!(shown("c=in.()"), ["c|in|{}"]);
        assert_eq!(shown("c=in.(a)b)"), ["c|in|{a)b}"]);
    }

    #[test]
    fn commas_separate_conditions_outside_parentheses_and_quotes() {
        assert_eq!(shown("a=gt.1,a=lt.5"), ["a|gt|1", "a|lt|5"]);
        assert_eq!(shown(" n=eq.3 , t=eq.abc "), ["n|eq|3", "t|eq|abc"]);
        assert_eq!(
            shown("a=in.(1,2),b=in.(x,(y,z))"),
            ["a|in|{1,2}", "b|in|{x,(y,z)}"]
        );
        assert_eq!(shown(r#"n=eq.3,t=eq."a,b""#), ["n|eq|3", "t|eq|a,b"]);
        assert_eq!(shown(r#"t=eq."a\",b",n=eq.1"#), ["t|eq|a\",b", "n|eq|1"]);
        assert_eq!(shown(r#"t=in.("a)",b),n=eq.1"#), [r#"t|in|{"a)",b}"#, "n|eq|1"]);
    }

    #[test]
    fn a_parenthesis_too_many_closes_nothing() {
        assert_eq!(shown("a=eq.x),b=eq.y"), ["a|eq|x)", "b|eq|y"]);
        assert_eq!(shown("a=eq.(x,b=eq.y"), ["a|eq|(x,b=eq.y"]);
    }

    #[test]
    fn a_quote_inside_a_value_is_a_character() {
        assert_eq!(shown(r#"a=eq.5",b=eq.6""#), [r#"a|eq|5""#, r#"b|eq|6""#]);
        assert_eq!(shown(r#"a=eq."x"y"#), [r#"a|eq|"x"y"#]);
        assert_eq!(shown(r#"a=eq."x,b=eq.y"#), [r#"a|eq|"x,b=eq.y"#]);
        assert_eq!(shown(r#"a=eq."C:\new""#), ["a|eq|C:new"]);
        assert_eq!(shown(r#"a=eq."""#), ["a|eq|"]);
        assert_eq!(shown(r#"a=eq."x\"#), [r#"a|eq|"x\"#]);
    }

    #[test]
    fn mistakes_are_told_as_the_reference_does() {
        let parts = |parts: &str| format!("Error parsing `filter` params: {parts}");
        for (filter, error) in [
            ("wrong", parts(r#"["wrong"]"#)),
            ("undefined", parts(r#"["undefined"]"#)),
            ("n=foo.5", parts(r#"["foo", "5"]"#)),
            ("n=5", parts(r#"["5"]"#)),
            ("n=EQ.5", parts(r#"["EQ", "5"]"#)),
            ("n=not.foo.1", parts(r#"["foo", "1"]"#)),
            ("n=not.5", parts(r#"["5"]"#)),
            ("n=not.not.eq.5", parts(r#"["not", "eq.5"]"#)),
            ("n=in.1,2", text::FILTER_IN_UNWRAPPED.to_owned()),
            ("n=in.(1,2", text::FILTER_IN_UNWRAPPED.to_owned()),
            ("n=in.(", text::FILTER_IN_UNWRAPPED.to_owned()),
            ("n=eq.1,", text::FILTER_EMPTY_SEGMENT.to_owned()),
            (",", text::FILTER_EMPTY_SEGMENT.to_owned()),
            ("n=eq.1, ,n=5", text::FILTER_EMPTY_SEGMENT.to_owned()),
        ] {
            assert_eq!(parse(filter), Err(error), "{filter}");
        }
    }
}
