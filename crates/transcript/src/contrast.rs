//! Two values beside each other, a line for each member: what only one of them has, and what both have.

use crate::explain::shortened;
use crate::json::Value;

/// Lines that are shown; the rest is only counted.
const LINES_MAX: usize = 80;
/// Characters of what both have. What differs is shown at more length.
const COMMON_CHARS_MAX: usize = 80;

/// Lines that start with `-` for what only the first has, with `+` for the second, and with a blank for both. `is_same`
/// says when two values are equal, for instance because the first is a placeholder of the second.
pub(crate) fn contrast(one: &Value, other: &Value, is_same: &dyn Fn(&Value, &Value) -> bool) -> Vec<String> {
    let mut contrast = Contrast {
        is_same,
        lines: Vec::new(),
    };
    contrast.both("", one, other, 0);
    let more = contrast.lines.len().saturating_sub(LINES_MAX);
    contrast.lines.truncate(LINES_MAX);
    if more > 0 {
        contrast.lines.push(format!("  … {more} more lines"));
    }
    contrast.lines
}

struct Contrast<'c> {
    is_same: &'c dyn Fn(&Value, &Value) -> bool,
    lines: Vec<String>,
}

impl Contrast<'_> {
    fn both(&mut self, label: &str, one: &Value, other: &Value, depth: usize) {
        if (self.is_same)(one, other) {
            let text = other.to_string();
            let shown: String = text.chars().take(COMMON_CHARS_MAX).collect();
            let end = if shown.len() < text.len() { " …" } else { "" };
            self.line(' ', label, &format!("{shown}{end}"), depth);
            return;
        }
        match (one, other) {
            (Value::Object(members), Value::Object(others))
                if members.iter().all(|(name, _)| is_plain(name)) =>
            {
                self.line(' ', label, "{", depth);
                for (name, value) in members {
                    let label = format!("{}: ", Value::text(name));
                    match other.get(name) {
                        Some(other) => self.both(&label, value, other, depth + 1),
                        None => self.line('-', &label, &value.to_string(), depth + 1),
                    }
                }
                for (name, value) in others.iter().filter(|(name, _)| one.get(name).is_none()) {
                    self.line(
                        '+',
                        &format!("{}: ", Value::text(name)),
                        &value.to_string(),
                        depth + 1,
                    );
                }
                self.line(' ', "", "}", depth);
            }
            (Value::Array(elements), Value::Array(others)) => {
                self.line(' ', label, "[", depth);
                for (value, other) in elements.iter().zip(others) {
                    self.both("", value, other, depth + 1);
                }
                for value in elements.iter().skip(others.len()) {
                    self.line('-', "", &value.to_string(), depth + 1);
                }
                for value in others.iter().skip(elements.len()) {
                    self.line('+', "", &value.to_string(), depth + 1);
                }
                self.line(' ', "", "]", depth);
            }
            _ => {
                self.line('-', label, &one.to_string(), depth);
                self.line('+', label, &other.to_string(), depth);
            }
        }
    }

    fn line(&mut self, mark: char, label: &str, text: &str, depth: usize) {
        let indent = "  ".repeat(depth);
        self.lines
            .push(format!("{mark} {indent}{label}{}", shortened(text)));
    }
}

/// Whether a member stands for itself, and not for any name or any order.
fn is_plain(name: &str) -> bool {
    !name.starts_with('$') && !name.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(one: &str, other: &str) -> Vec<String> {
        let is_same = |one: &Value, other: &Value| one == other || *one == Value::text("${any}");
        contrast(
            &Value::parse(one).unwrap(),
            &Value::parse(other).unwrap(),
            &is_same,
        )
    }

    #[test]
    fn members_stand_beside_each_other() {
        let one = r#"["1",{"status":"ok","id":"${any}","gone":1,"list":[1,2]}]"#;
        let other = r#"["1",{"status":"error","id":7,"new":2,"list":[1]}]"#;
        let expected = [
            "  [",
            "    \"1\"",
            "    {",
            "-     \"status\": \"ok\"",
            "+     \"status\": \"error\"",
            "      \"id\": 7",
            "-     \"gone\": 1",
            "      \"list\": [",
            "        1",
            "-       2",
            "      ]",
            "+     \"new\": 2",
            "    }",
            "  ]",
        ];
        assert_eq!(lines(one, other), expected);
    }

    #[test]
    fn what_is_alike_is_one_line_and_many_lines_are_cut() {
        assert_eq!(lines("[1,2]", "[1,2]"), ["  [1,2]"]);
        let long = |n: i32| {
            format!(
                "[{}]",
                (0..200)
                    .map(|at| (at * n).to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        let lines = lines(&long(1), &long(2));
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert!(lines[LINES_MAX].contains("more lines"));
    }
}
