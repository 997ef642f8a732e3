//! The scanner: one pass over the bytes of a frame, value by value.
//!
//! Containers are not recursed into but kept on an explicit stack of [`Level`]s, which also counts what the term size
//! of a container depends on. The names of the members of all open objects lie on one shared stack ([`Keys`]).

use std::borrow::Cow;

use smallvec::SmallVec;

use super::keys::{Drops, Keys};
use super::{DEPTH_MAX, JsonError, JsonErrorKind, JsonText, TEXT_BYTES_MAX, number, string, term};

/// Nesting that costs no allocation.
const LEVELS_INLINE: usize = 32;

/// The text to scan.
///
/// # Errors
///
/// [`JsonErrorKind::NotUtf8`] and [`JsonErrorKind::TooLong`].
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, JsonError> {
    if bytes.len() > TEXT_BYTES_MAX {
        return Err(JsonError {
            kind: JsonErrorKind::TooLong,
            at: TEXT_BYTES_MAX,
        });
    }
    std::str::from_utf8(bytes).map_err(|error| JsonError {
        kind: JsonErrorKind::NotUtf8,
        at: error.valid_up_to(),
    })
}

/// Scans JSON values out of a text. After an error it is of no further use.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Term size of everything scanned so far, dropped members taken off.
    size: u32,
    levels: SmallVec<[Level; LEVELS_INLINE]>,
    keys: Keys,
    drops: Drops,
}

/// One value in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Term size of the value.
    size: u32,
}

/// An open array or object.
#[derive(Clone, Copy)]
enum Level {
    Object {
        /// Where its members start on the stack of keys.
        keys: usize,
    },
    Array(term::ListSize),
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `text`, which comes out of [`text_of`]. Large and cheap: it is to stay where it is made.
    #[inline]
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            size: 0,
            levels: SmallVec::new(),
            keys: Keys::default(),
            drops: Drops::default(),
        }
    }

    /// Scans one value and the white space in front of it.
    pub(crate) fn value(&mut self) -> Result<Span, JsonError> {
        self.skip_space();
        let (start, size) = (self.at, self.size);
        self.whole_value()?;
        Ok(Span {
            start,
            end: self.at,
            size: self.size - size,
        })
    }

    /// Skips white space and consumes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips white space and consumes `byte`, which has to be next.
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.eat(byte) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Scans a string and returns its value: the name of a member.
    pub(crate) fn name(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let found = string::scan(self.text, self.at)?;
        self.at = found.end();
        Ok(string::decode(
            self.text
                .get(found.start..found.start + found.len)
                .unwrap_or_default(),
        ))
    }

    /// Nothing but white space may be left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// The text of a value as it was written, duplicates and all.
    pub(crate) fn raw(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// A value without its duplicate members.
    pub(crate) fn checked(&self, span: Span) -> JsonText<'a> {
        let text = if self.drops.is_empty() {
            Cow::Borrowed(self.raw(span))
        } else {
            self.drops.cut(self.text, span.start..span.end)
        };
        JsonText::new(text, span.size)
    }

    fn whole_value(&mut self) -> Result<(), JsonError> {
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(b'{') => {
                    self.at += 1;
                    self.size += term::MAP;
                    if !self.eat(b'}') {
                        self.open(Level::Object {
                            keys: self.keys.len(),
                        })?;
                        self.member(self.at)?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.eat(b']') {
                        self.size += term::NIL;
                    } else {
                        self.open(Level::Array(term::ListSize::new(self.size)))?;
                        continue;
                    }
                }
                Some(b'-' | b'0'..=b'9') => {
                    let number = number::scan(self.text, self.at)?;
                    self.at = number.end;
                    self.size += number.term_size;
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                Some(_) | None => return Err(self.unexpected()),
            }
            if self.after_value()? == Next::End {
                return Ok(());
            }
        }
    }

    /// A value has just ended: closes what ends with it and steps over the comma to the next value.
    fn after_value(&mut self) -> Result<Next, JsonError> {
        while let Some(level) = self.levels.last_mut() {
            if let Level::Array(list) = level {
                list.count_element(self.size);
            }
            let level = *level;
            self.skip_space();
            match (self.peek(), level) {
                (Some(b','), Level::Array(_)) => {
                    self.at += 1;
                    self.skip_space();
                    return Ok(Next::Value);
                }
                (Some(b','), Level::Object { .. }) => {
                    let separator = self.at;
                    self.at += 1;
                    self.skip_space();
                    self.member(separator)?;
                    return Ok(Next::Value);
                }
                (Some(b']'), Level::Array(list)) => self.size = list.total(self.size),
                (Some(b'}'), Level::Object { keys }) => {
                    self.size = self
                        .keys
                        .close_object(self.text, keys, self.at, self.size, &mut self.drops);
                }
                _ => return Err(self.unexpected()),
            }
            self.at += 1;
            self.levels.pop();
        }
        Ok(Next::End)
    }

    fn open(&mut self, level: Level) -> Result<(), JsonError> {
        if self.levels.len() == DEPTH_MAX {
            return Err(JsonError {
                kind: JsonErrorKind::TooDeep,
                at: self.at,
            });
        }
        self.levels.push(level);
        Ok(())
    }

    /// The name of a member, up to where its value starts. `separator` is where the member would be cut off.
    fn member(&mut self, separator: usize) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let name = string::scan(self.text, self.at)?;
        self.keys.push(self.text, separator, &name, self.size);
        self.at = name.end();
        self.size += term::binary(name.decoded_len);
        self.expect(b':')?;
        self.skip_space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let found = string::scan(self.text, self.at)?;
        self.at = found.end();
        self.size += term::binary(found.decoded_len);
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let same = rest
            .iter()
            .zip(word.as_bytes())
            .take_while(|(a, b)| a == b)
            .count();
        self.at += same;
        if same < word.len() {
            return Err(self.unexpected());
        }
        self.size += term::atom(word);
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn unexpected(&self) -> JsonError {
        let kind = if self.at < self.text.len() {
            JsonErrorKind::Unexpected
        } else {
            JsonErrorKind::Truncated
        };
        JsonError { kind, at: self.at }
    }
}

#[derive(PartialEq)]
enum Next {
    Value,
    End,
}
