//! Sizes in the Erlang external term format, the unit of payload limits.
//!
//! A decoded JSON value maps to terms one to one: string to binary, object to map, `true`/`false`/`null` to the atoms
//! `true`/`false`/`nil`, array to list. Sizes are in bytes, without the version byte in front of a whole term. Source:
//! protocol-spec/errors-and-limits.md, section 6, which follows the public description of the format.

/// An empty list.
pub(super) const NIL: u32 = 1;

/// A map: tag and arity. Its members come on top.
pub(super) const MAP: u32 = 5;

/// A float.
pub(super) const FLOAT: u32 = 9;

/// Tag and length of a list, and the empty list at its end.
const LIST: u32 = 5 + NIL;

/// Tag and length of a list written as a string.
const STRING: u32 = 3;

/// An integer of one byte. No other term has this size, which [`ListSize`] relies on.
const SMALL_INTEGER: u32 = 2;

/// Longest list of one-byte integers that is written as a string. Elements.
const STRING_ELEMENTS_MAX: u32 = 65_534;

/// A binary with `len` bytes.
pub(super) fn binary(len: usize) -> u32 {
    5 + len as u32
}

/// The atom a JSON literal becomes.
pub(super) fn atom(literal: &str) -> u32 {
    2 + if literal == "null" {
        "nil".len() as u32
    } else {
        literal.len() as u32
    }
}

/// An integer that fits 64 bits beside its sign.
pub(super) fn integer(negative: bool, magnitude: u64) -> u32 {
    if magnitude <= 0xFF && (!negative || magnitude == 0) {
        return SMALL_INTEGER;
    }
    let limit = i32::MAX as u64 + u64::from(negative);
    if magnitude <= limit {
        5
    } else {
        big(u64::from(u64::BITS - magnitude.leading_zeros()).div_ceil(8))
    }
}

/// An integer whose magnitude takes `bytes` bytes.
pub(super) fn big(bytes: u64) -> u32 {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX / 2);
    if bytes <= 0xFF { 3 + bytes } else { 6 + bytes }
}

/// Adds up a list while its elements go by. A list of one-byte integers is written as a string, one byte each.
#[derive(Clone, Copy)]
pub(super) struct ListSize {
    /// Running total in front of the list.
    before: u32,
    /// Running total after the last element.
    mark: u32,
    count: u32,
    only_bytes: bool,
}

impl ListSize {
    pub(super) fn new(running: u32) -> Self {
        Self {
            before: running,
            mark: running,
            count: 0,
            only_bytes: true,
        }
    }

    pub(super) fn count_element(&mut self, running: u32) {
        self.only_bytes &= running - self.mark == SMALL_INTEGER;
        self.mark = running;
        self.count += 1;
    }

    /// The running total after the list.
    pub(super) fn total(&self, running: u32) -> u32 {
        if self.only_bytes && self.count <= STRING_ELEMENTS_MAX {
            self.before + STRING + self.count
        } else {
            running + LIST
        }
    }
}
