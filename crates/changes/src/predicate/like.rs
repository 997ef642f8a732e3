//! `LIKE` and `ILIKE`.
//!
//! Case is folded for ASCII alone: how other letters fold, depends on the locale, and is asked of the database.

/// Characters of the longest pattern that is evaluated: `_` makes matching cost text times pattern.
pub(super) const PATTERN_CHARS_MAX: usize = 256;

/// A compiled pattern: what stands between its `%`.
#[derive(Clone, Debug)]
pub(super) struct LikePattern {
    fold_case: bool,
    /// Where the text begins.
    first: Segment,
    /// Somewhere behind, in this order.
    middle: Vec<Segment>,
    /// Where the text ends; `None` without a `%`.
    last: Option<Segment>,
}

/// A piece of a pattern of fixed length. `None` is a `_`.
#[derive(Clone, Debug, Default)]
struct Segment {
    chars: Vec<Option<char>>,
    /// Its text, if it has no `_`.
    literal: Option<String>,
}

/// Why a pattern cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Nothing follows the backslash at its end.
    OpenEscape,
    /// Longer than [`PATTERN_CHARS_MAX`].
    TooLong,
}

impl LikePattern {
    /// Compiles a pattern. In front of any character a backslash makes it stand for itself.
    pub(super) fn new(pattern: &str, fold_case: bool) -> Result<Self, Problem> {
        if pattern.chars().nth(PATTERN_CHARS_MAX).is_some() {
            let backslashes = pattern.bytes().rev().take_while(|byte| *byte == b'\\').count();
            return Err(if backslashes % 2 == 1 {
                Problem::OpenEscape
            } else {
                Problem::TooLong
            });
        }
        let folded = |found: char| {
            if fold_case {
                found.to_ascii_lowercase()
            } else {
                found
            }
        };
        let mut segments = Vec::new();
        let mut segment = Vec::new();
        let mut chars = pattern.chars();
        while let Some(found) = chars.next() {
            match found {
                '%' => segments.push(Segment::new(std::mem::take(&mut segment))),
                '_' => segment.push(None),
                '\\' => segment.push(Some(folded(chars.next().ok_or(Problem::OpenEscape)?))),
                other => segment.push(Some(folded(other))),
            }
        }
        let tail = Segment::new(segment);
        let mut segments = segments.into_iter();
        let (first, last) = match segments.next() {
            Some(first) => (first, Some(tail)),
            None => (tail, None),
        };
        Ok(Self {
            fold_case,
            first,
            middle: segments.filter(|segment| !segment.chars.is_empty()).collect(),
            last,
        })
    }

    /// Whether the pattern stands for this text.
    pub(super) fn matches(&self, text: &str) -> bool {
        if self.fold_case {
            self.matches_folded(&text.to_ascii_lowercase())
        } else {
            self.matches_folded(text)
        }
    }

    fn matches_folded(&self, text: &str) -> bool {
        let Some(mut rest) = self.first.strip_from(text) else {
            return false;
        };
        let Some(last) = &self.last else {
            return rest.is_empty();
        };
        for segment in &self.middle {
            // The first place is as good as any later one.
            match segment.find_in(rest) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        last.ends(rest)
    }
}

impl Segment {
    fn new(chars: Vec<Option<char>>) -> Self {
        let literal = chars.iter().copied().collect();
        Self { chars, literal }
    }

    /// What follows the segment if the text begins with it.
    fn strip_from<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(literal) = &self.literal {
            return text.strip_prefix(literal.as_str());
        }
        let mut chars = text.chars();
        for wanted in &self.chars {
            let found = chars.next()?;
            if wanted.is_some_and(|wanted| wanted != found) {
                return None;
            }
        }
        Some(chars.as_str())
    }

    /// What follows the first place of the segment in the text.
    fn find_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        if let Some(literal) = &self.literal {
            let at = text.find(literal.as_str())?;
            return text.get(at + literal.len()..);
        }
        text.char_indices()
            .find_map(|(at, _)| self.strip_from(text.get(at..)?))
    }

    fn ends(&self, text: &str) -> bool {
        let Some(furthest) = self.chars.len().checked_sub(1) else {
            return true;
        };
        let start = text.char_indices().rev().nth(furthest);
        start.is_some_and(|(at, _)| text.get(at..).and_then(|tail| self.strip_from(tail)).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(pattern: &str, text: &str) -> bool {
        LikePattern::new(pattern, false).unwrap().matches(text)
    }

    #[test]
    fn patterns_stand_for_what_like_says() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("abc", "ABC", false),
            ("a%", "a", true),
            ("a%", "ba", false),
            ("%a", "ba", true),
            ("%a", "", false),
            ("%", "", true),
            ("", "", true),
            ("", "a", false),
            ("_", "é", true),
            ("_", "", false),
            ("%__%", "a", false),
            ("%__%", "ab", true),
            ("a_c%e_g", "abcdefg", true),
            ("a_c%e_g", "abceg", false),
            ("a%a", "a", false),
            ("a%a", "aa", true),
            ("%ab%ab%", "abab", true),
            ("%ab%ab%", "aab b", false),
            ("%a_b%b", "axaxbxb", true),
            ("a*", "a*", true),
            ("a*", "ab", false),
            (r"100\%", "100%", true),
            (r"100\%", "1000", false),
            (r"a\_b", "axb", false),
            (r"\a\\", r"a\", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_folded_for_text_and_pattern() {
        let ilike = |pattern: &str, text: &str| LikePattern::new(pattern, true).unwrap().matches(text);
        for (pattern, text) in [("A%", "abc"), ("a_C", "AbC")] {
            assert!(ilike(pattern, text), "{pattern} {text}");
        }
        assert!(!ilike("b%", "ABC"));
    }

    #[test]
    fn a_pattern_has_an_end_and_a_bound() {
        assert_eq!(LikePattern::new(r"a\", false).unwrap_err(), Problem::OpenEscape);
        let longest = "é".repeat(PATTERN_CHARS_MAX);
        assert!(LikePattern::new(&longest, false).is_ok());
        let too_long = |tail: &str| LikePattern::new(&format!("{longest}{tail}"), false).unwrap_err();
        assert_eq!(too_long("%"), Problem::TooLong);
        assert_eq!(too_long(r"\\"), Problem::TooLong);
        assert_eq!(too_long(r"\"), Problem::OpenEscape);
    }

    #[test]
    fn long_texts_take_no_quadratic_time() {
        let text = "a".repeat(1_000_000);
        for pattern in [
            "%a%a%a%a%a%b",
            "%aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab%",
            "%_a_a_a_a%b%",
        ] {
            assert!(!like(pattern, &text), "{pattern}");
        }
    }
}
