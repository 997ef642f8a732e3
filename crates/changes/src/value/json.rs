//! `json` to what `jsonb` would make of it: members in its order, the last of the same name, numbers as `numeric`.
//!
//! No tree is built. Members are written in the order they come; only if that is not the order of `jsonb`, they are put
//! in order afterwards. So a `jsonb`, which has it already, is copied, and an unordered object costs a copy of its text:
//! at worst the text once per level of nesting, which is why nesting is bounded.

use std::borrow::Cow;
use std::ops::Range;

use super::number;
use crate::jsonb;

/// Deepest nesting of arrays and objects that is looked into.
pub const JSON_DEPTH_MAX: usize = 256;

/// Writes a JSON value. False if the text is none or nested too deeply.
pub(super) fn write(out: &mut String, text: &str) -> bool {
    let mut parser = Parser { text, at: 0 };
    parser.value(out, 0).is_some() && parser.peek().is_none()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// A member as it was written to the output.
struct Member<'a> {
    name: Cow<'a, str>,
    written: Range<usize>,
}

impl<'a> Parser<'a> {
    fn value(&mut self, out: &mut String, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' if depth < JSON_DEPTH_MAX => self.object(out, depth + 1),
            b'[' if depth < JSON_DEPTH_MAX => self.array(out, depth + 1),
            b'"' => {
                out.push_str(self.string()?);
                Some(())
            }
            b'{' | b'[' => None,
            _ => self.plain(out),
        }
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Option<()> {
        self.expect(b'[')?;
        out.push('[');
        if self.peek()? != b']' {
            self.value(out, depth)?;
            while self.peek()? == b',' {
                self.expect(b',')?;
                out.push(',');
                self.value(out, depth)?;
            }
        }
        self.expect(b']')?;
        out.push(']');
        Some(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Option<()> {
        self.expect(b'{')?;
        out.push('{');
        let mut members: Vec<Member<'a>> = Vec::new();
        if self.peek()? != b'}' {
            members.push(self.member(out, depth)?);
            while self.peek()? == b',' {
                self.expect(b',')?;
                out.push(',');
                members.push(self.member(out, depth)?);
            }
        }
        self.expect(b'}')?;
        if !members.is_sorted_by(|a, b| jsonb::compare_keys(&a.name, &b.name).is_lt()) {
            put_in_order(out, members);
        }
        out.push('}');
        Some(())
    }

    fn member(&mut self, out: &mut String, depth: usize) -> Option<Member<'a>> {
        self.peek()?;
        let start = out.len();
        let name = self.string()?;
        out.push_str(name);
        self.expect(b':')?;
        out.push(':');
        self.value(out, depth)?;
        Some(Member {
            name: phoenix_wire::json::string(name)?,
            written: start..out.len(),
        })
    }

    /// A string as it is written, quotes included.
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    /// What follows a backslash. Half of a surrogate pair is no character.
    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex4()? {
                0xD800..0xDC00 => {
                    let low = (self.next()? == b'\\' && self.next()? == b'u').then(|| self.hex4())??;
                    (0xDC00..0xE000).contains(&low).then_some(())
                }
                0xDC00..0xE000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    }

    /// A number or one of the three words.
    fn plain(&mut self, out: &mut String) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let end = rest
            .find(|found: char| !found.is_ascii_alphanumeric() && !matches!(found, '-' | '+' | '.'))
            .unwrap_or(rest.len());
        let found = rest.get(..end)?;
        self.at += end;
        match found {
            "true" | "false" | "null" => {
                out.push_str(found);
                Some(())
            }
            _ => number::write(out, found).then_some(()),
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        if self.peek()? == byte {
            self.at += 1;
            Some(())
        } else {
            None
        }
    }

    /// The next byte that is no white space between tokens.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.as_bytes().get(self.at)?;
        self.at += 1;
        Some(*byte)
    }
}

/// Rewrites the members at the end of the output in the order of `jsonb`, the last of those of the same name.
fn put_in_order(out: &mut String, mut members: Vec<Member<'_>>) {
    let Some(start) = members.first().map(|first| first.written.start) else {
        return;
    };
    // Stable, so the last of equals stays the last.
    members.sort_by(|a, b| jsonb::compare_keys(&a.name, &b.name));
    let written = out.split_off(start);
    let mut rest = members.iter().peekable();
    while let Some(member) = rest.next() {
        if rest.peek().is_some_and(|next| next.name == member.name) {
            continue;
        }
        if out.len() > start {
            out.push(',');
        }
        let range = member.written.start - start..member.written.end - start;
        out.push_str(written.get(range).unwrap_or_default());
    }
}
