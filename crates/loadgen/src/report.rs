//! What a benchmark prints as it goes: a table per scenario. The end of it is [`crate::summary`].

use crate::bench::{Column, Comparison, Spread};
use std::fmt::Write;

const NAME_COLUMNS: usize = 46;

/// The figures of one comparison as a table; `names` are those of the servers, the yardstick first.
pub fn table(comparison: &Comparison, names: &[&str]) -> String {
    let mut text = String::new();
    let Comparison {
        name,
        about,
        rounds,
        void_runs,
        failure,
        rows,
        ..
    } = comparison;
    line(&mut text, format_args!("{name}: {about}"));
    if let Some(failure) = failure {
        line(
            &mut text,
            format_args!("FAILED in round {}, {failure}", rounds + 1),
        );
        return text;
    }
    line(
        &mut text,
        format_args!("medians over rounds: {rounds}; void runs repeated: {void_runs}"),
    );
    let mut head = format!("  {:NAME_COLUMNS$}", "");
    for (at, name) in names.iter().enumerate() {
        let _ = write!(head, " {name:>13}");
        if at > 0 {
            let _ = write!(head, "  {:22}", "ratio (least–most)");
        }
    }
    line(&mut text, format_args!("{}", head.trim_end()));
    for row in rows {
        let name = if row.unit.is_empty() {
            row.name.to_owned()
        } else {
            format!("{}, {}", row.name, row.unit)
        };
        let mut cells = format!("  {name:NAME_COLUMNS$} {:>13}", median(row.yardstick));
        for column in &row.others {
            let _ = write!(cells, " {:>13}  {:22}", median(column.value), ratio(column));
        }
        line(&mut text, format_args!("{}", cells.trim_end()));
    }
    text
}

fn median(spread: Option<Spread>) -> String {
    spread.map_or("–".to_owned(), |spread| number(spread.median))
}

fn ratio(column: &Column) -> String {
    let ratio = column
        .ratio
        .map(|ratio| format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.least, ratio.most));
    ratio.unwrap_or_default()
}

/// Three significant digits, but never fewer than all before the point; thousands are set apart.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        ..0.1 if value != 0.0 => 3,
        ..10.0 if value != value.trunc() => 2,
        10.0..100.0 if value != value.trunc() => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (whole.len() - at).is_multiple_of(3) && !grouped.ends_with('-')
        {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_their_thousands_apart() {
        let cases = [
            (0.0234, "0.023"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (20.0, "20"),
            (1234.5, "1,234"),
            (-123.4, "-123"),
            (1_234_567.0, "1,234,567"),
            (0.0, "0"),
            (3.0, "3"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_scenario_that_failed_is_told_with_its_reason() {
        let comparison = Comparison {
            name: "fanout",
            about: "",
            goals: &[],
            rounds: 1,
            void_runs: 0,
            failure: Some("on roost: gone".to_owned()),
            rows: Vec::new(),
        };
        let text = table(&comparison, &["floor", "roost"]);
        assert!(text.contains("FAILED in round 2, on roost: gone"), "{text}");
    }
}
