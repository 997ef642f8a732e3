//! Duplicate members: found when their object closes, cut out of the text at the end.
//!
//! Up to [`PAIRWISE_MAX`] members are compared with each other; larger objects are sorted, so that the worst a sender
//! can do costs `n log n` comparisons and needs no secret hash key.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::string::{self, StringSpan};

/// Members an object may have before sorting beats comparing all pairs.
const PAIRWISE_MAX: usize = 16;

/// Members of all open objects that cost no allocation.
const KEYS_INLINE: usize = 32;

/// The members of all open objects; those of the innermost lie on top.
#[derive(Default)]
pub(super) struct Keys {
    stack: SmallVec<[Key; KEYS_INLINE]>,
}

/// A member of an open object.
#[derive(Clone, Copy)]
struct Key {
    /// Where the member would be cut off: the comma in front of it.
    separator: u32,
    /// What stands between the quotes of its name.
    start: u32,
    len: u32,
    /// Term size of everything in front of the member.
    size: u32,
    /// Equal for equal names.
    fingerprint: u32,
    escaped: bool,
    duplicate: bool,
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.stack.len()
    }

    pub(super) fn push(&mut self, text: &str, separator: usize, name: &StringSpan, size: u32) {
        let raw = text.get(name.start..name.start + name.len).unwrap_or_default();
        let escaped = name.is_escaped();
        let fingerprint = if escaped {
            fingerprint(string::decode(raw).as_bytes())
        } else {
            fingerprint(raw.as_bytes())
        };
        self.stack.push(Key {
            separator: separator as u32,
            start: name.start as u32,
            len: name.len as u32,
            size,
            fingerprint,
            escaped,
            duplicate: false,
        });
    }

    /// Ends the innermost object, whose members start at `first` and whose closing brace is at `brace`. Returns the
    /// running term size without its duplicates.
    pub(super) fn close_object(
        &mut self,
        text: &str,
        first: usize,
        brace: usize,
        size: u32,
        drops: &mut Drops,
    ) -> u32 {
        let members = self.stack.get_mut(first..).unwrap_or_default();
        let found = if members.len() <= PAIRWISE_MAX {
            mark_pairwise(members, text)
        } else {
            mark_sorted(members, text)
        };
        let size = if found {
            size - drops.collect(members, brace, size)
        } else {
            size
        };
        self.stack.truncate(first);
        size
    }
}

impl Key {
    fn name<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let raw = text
            .get(self.start as usize..(self.start + self.len) as usize)
            .unwrap_or_default();
        if self.escaped {
            string::decode(raw)
        } else {
            Cow::Borrowed(raw)
        }
    }

    fn has_name_of(&self, other: &Self, text: &str) -> bool {
        self.fingerprint == other.fingerprint && self.name(text) == other.name(text)
    }
}

/// Marks every member whose name an earlier one has. Returns whether there is any.
fn mark_pairwise(members: &mut [Key], text: &str) -> bool {
    let mut found = false;
    let mut rest = members;
    while let Some((last, earlier)) = rest.split_last_mut() {
        if earlier.iter().any(|key| key.has_name_of(last, text)) {
            last.duplicate = true;
            found = true;
        }
        rest = earlier;
    }
    found
}

/// As [`mark_pairwise`], for many members.
fn mark_sorted(members: &mut [Key], text: &str) -> bool {
    let mut names: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(index, key)| (key.fingerprint, key.name(text), index))
        .collect();
    names.sort_unstable();
    let mut found = false;
    for pair in names.windows(2) {
        // Of equal names the first member sorts first.
        if let [(_, earlier, _), (_, name, index)] = pair
            && earlier == name
            && let Some(member) = members.get_mut(*index)
        {
            member.duplicate = true;
            found = true;
        }
    }
    found
}

/// Length, head and tail of a name, mixed: tells apart what tends to be in one object.
fn fingerprint(name: &[u8]) -> u32 {
    let word = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let (head, tail) = if name.len() < 4 {
        (name.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)), 0)
    } else {
        (word(name.first_chunk()), word(name.last_chunk()))
    };
    head.rotate_left(16) ^ tail ^ (name.len() as u32).wrapping_mul(0x9E37_79B9)
}

/// What is to be cut out of the text: the duplicate members, each with the comma in front of it. The first member of
/// an object is never a duplicate, so there is always such a comma.
#[derive(Default)]
pub(super) struct Drops {
    /// In the order the objects closed: inner before outer.
    ranges: Vec<Range<u32>>,
}

impl Drops {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Adds the duplicates among `members` and returns their term size. `brace` and `size` are where the last member
    /// ends.
    fn collect(&mut self, members: &[Key], brace: usize, size: u32) -> u32 {
        let mut dropped = 0;
        let (mut end, mut end_size) = (brace as u32, size);
        for member in members.iter().rev() {
            if member.duplicate {
                self.ranges.push(member.separator..end);
                dropped += end_size - member.size;
            }
            (end, end_size) = (member.separator, member.size);
        }
        dropped
    }

    /// The text of `within`, which starts and ends outside of every cut, without those inside it.
    pub(super) fn cut<'a>(&self, text: &'a str, within: Range<usize>) -> Cow<'a, str> {
        let inside = |cut: &&Range<u32>| within.contains(&(cut.start as usize));
        let mut cuts: Vec<_> = self.ranges.iter().filter(inside).collect();
        if cuts.is_empty() {
            return Cow::Borrowed(text.get(within).unwrap_or_default());
        }
        cuts.sort_unstable_by_key(|cut| cut.start);
        let mut kept = String::with_capacity(within.len());
        let mut at = within.start;
        for cut in cuts {
            // Nothing is left to keep in front of a cut that lies inside an earlier one.
            kept.push_str(text.get(at..cut.start as usize).unwrap_or_default());
            at = at.max(cut.end as usize);
        }
        kept.push_str(text.get(at..within.end).unwrap_or_default());
        Cow::Owned(kept)
    }
}
