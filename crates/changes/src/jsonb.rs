//! The order of `jsonb`.

use std::cmp::Ordering;

/// How `jsonb` orders the members of an object: shorter names first, then by their bytes.
pub(crate) fn compare_keys(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}
