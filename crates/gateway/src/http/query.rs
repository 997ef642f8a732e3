//! The query string of a request.

use std::borrow::Cow;

/// The last parameter of that name, decoded: `+` is a blank, and escapes that are no UTF-8 are replaced.
pub(super) fn last<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value)
        .last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_counts_and_lists_do_not() {
        let query = Some("apikey=a&apikey=b%20c+d&vsn[]=2.0.0&empty");
        assert_eq!(last(query, "apikey").as_deref(), Some("b c d"));
        assert_eq!(last(query, "vsn"), None);
        assert_eq!(last(query, "empty").as_deref(), Some(""));
        assert_eq!(last(None, "apikey"), None);
    }
}
