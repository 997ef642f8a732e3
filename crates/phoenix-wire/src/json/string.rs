//! Strings: finding their end, unescaping, writing.

use std::borrow::Cow;

use websocket::FrameBuilder;

use super::{JsonError, JsonErrorKind};

/// A string in the text, quotes included.
pub(super) struct StringSpan {
    /// Offset of the first byte after the opening quote.
    pub(super) start: usize,
    /// Bytes between the quotes.
    pub(super) len: usize,
    /// Bytes of the string's value.
    pub(super) decoded_len: usize,
}

impl StringSpan {
    /// Offset after the closing quote.
    pub(super) fn end(&self) -> usize {
        self.start + self.len + 1
    }

    /// True if the value is not the text between the quotes. Every escape is longer than what it stands for.
    pub(super) fn is_escaped(&self) -> bool {
        self.decoded_len != self.len
    }
}

/// Scans the string whose opening quote is at `quote`.
pub(super) fn scan(text: &str, quote: usize) -> Result<StringSpan, JsonError> {
    let bytes = text.as_bytes();
    let start = quote + 1;
    let mut at = start;
    let mut saved = 0;
    loop {
        at += plain_prefix(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') => {
                let len = at - start;
                return Ok(StringSpan {
                    start,
                    len,
                    decoded_len: len - saved,
                });
            }
            Some(b'\\') => {
                let escape = read_escape(text, at)?;
                saved += escape.len - escape.value.len_utf8();
                at += escape.len;
            }
            Some(_) => {
                return Err(JsonError {
                    kind: JsonErrorKind::ControlCharacter,
                    at,
                });
            }
            None => {
                return Err(JsonError {
                    kind: JsonErrorKind::Truncated,
                    at,
                });
            }
        }
    }
}

/// The value of a string, given what stands between its quotes. Text that is not well formed comes out as it is.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut decoded = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        decoded.push_str(plain);
        let Ok(escape) = read_escape(escaped, 0) else {
            return Cow::Borrowed(raw);
        };
        decoded.push(escape.value);
        rest = escaped.get(escape.len..).unwrap_or_default();
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// How many bytes are neither a quote, nor a backslash, nor a control character. Eight bytes at a time.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;

    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The lowest flag of each term is exact; a borrow can only raise false flags above it.
        let special = zero_byte(word ^ (ONES * u64::from(b'"')))
            | zero_byte(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word & HIGH);
        if special != 0 {
            return index * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let plain = tail
        .iter()
        .take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
        .count();
    words.len() * 8 + plain
}

struct Escape {
    value: char,
    /// Bytes of the escape, the backslash included.
    len: usize,
}

/// Reads the escape whose backslash is at `at`.
fn read_escape(text: &str, at: usize) -> Result<Escape, JsonError> {
    let bytes = text.as_bytes();
    let error = |kind| JsonError { kind, at };
    let value = match bytes.get(at + 1) {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return read_unicode_escape(bytes, at).map_err(error),
        Some(_) => return Err(error(JsonErrorKind::BadEscape)),
        None => return Err(error(JsonErrorKind::Truncated)),
    };
    Ok(Escape { value, len: 2 })
}

fn read_unicode_escape(bytes: &[u8], at: usize) -> Result<Escape, JsonErrorKind> {
    let unit = hex4(bytes, at + 2)?;
    if let Some(value) = char::from_u32(unit) {
        return Ok(Escape { value, len: 6 });
    }
    // A surrogate: the high half has to come first and the low half has to follow at once.
    let is_high = unit < 0xDC00;
    if !is_high || bytes.get(at + 6) != Some(&b'\\') || bytes.get(at + 7) != Some(&b'u') {
        return Err(JsonErrorKind::LoneSurrogate);
    }
    let low = hex4(bytes, at + 8)?;
    if !(0xDC00..0xE000).contains(&low) {
        return Err(JsonErrorKind::LoneSurrogate);
    }
    let value = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    let value = char::from_u32(value).ok_or(JsonErrorKind::LoneSurrogate)?;
    Ok(Escape { value, len: 12 })
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, JsonErrorKind> {
    let digits = bytes.get(at..at + 4).ok_or(JsonErrorKind::Truncated)?;
    digits.iter().try_fold(0, |value, byte| {
        let digit = char::from(*byte).to_digit(16).ok_or(JsonErrorKind::BadEscape)?;
        Ok(value * 16 + digit)
    })
}

/// Somewhere JSON text is written to.
pub trait Sink {
    /// Appends text.
    fn put(&mut self, text: &str);
}

impl Sink for String {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

impl Sink for FrameBuilder {
    fn put(&mut self, text: &str) {
        self.extend_str(text);
    }
}

/// Writes `text` as a JSON string, quotes included. Escapes only what has to be escaped.
pub fn write_string(out: &mut impl Sink, text: &str) {
    out.put("\"");
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest.as_bytes()));
        out.put(plain);
        let mut chars = special.chars();
        let Some(found) = chars.next() else { break };
        match found {
            '"' => out.put("\\\""),
            '\\' => out.put("\\\\"),
            '\n' => out.put("\\n"),
            '\r' => out.put("\\r"),
            '\t' => out.put("\\t"),
            control => out.put(&format!("\\u{:04x}", u32::from(control))),
        }
        rest = chars.as_str();
    }
    out.put("\"");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bytes_are_found_at_every_offset() {
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            for at in 0..40 {
                let mut bytes = vec![b'x'; 40];
                bytes[at] = special;
                bytes[39] = b'"';
                assert_eq!(plain_prefix(&bytes), at, "{special:#x}");
            }
        }
        // Neighbours of the special values, and bytes that only look like them in the upper half.
        let plain: Vec<u8> = (0..=0xFF)
            .filter(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20))
            .collect();
        assert_eq!(plain_prefix(&plain), plain.len());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in [
            "",
            "plain",
            "a\"b\\c/d\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}é😀",
            "\\\"\\\"",
        ] {
            let mut json = String::new();
            write_string(&mut json, text);
            let found = scan(&json, 0).unwrap();
            assert_eq!((found.end(), found.decoded_len), (json.len(), text.len()));
            assert_eq!(decode(&json[1..json.len() - 1]), text);
        }
    }

    #[test]
    fn only_what_has_to_be_escaped_is() {
        let mut json = String::new();
        write_string(&mut json, "/é\u{2028}\u{7f}\u{1}\"");
        assert_eq!(json, "\"/é\u{2028}\u{7f}\\u0001\\\"\"");
    }
}
