//! Fields of a message, one after the other.

use super::decode::{DecodeError, Problem};

/// What is left of a message.
pub(super) struct Reader<'a> {
    /// The message, for errors.
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'static str, rest: &'a [u8]) -> Self {
        Self { message, rest }
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        self.array(field).map(u64::from_be_bytes)
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        self.array(field).map(i64::from_be_bytes)
    }

    /// Bytes with a length of 32 bits in front.
    pub(super) fn counted(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = self.u32(field)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.error(field, Problem::Truncated));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// Text with a length in front.
    pub(super) fn counted_str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let bytes = self.counted(field)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(field, Problem::NotUtf8))
    }

    /// Text with a zero byte behind.
    pub(super) fn c_str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        let Some(end) = self.rest.iter().position(|byte| *byte == 0) else {
            return Err(self.error(field, Problem::Truncated));
        };
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| self.error(field, Problem::NotUtf8))
    }

    /// How many bytes are left: no sensible count of anything is above it.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.error("end", Problem::Surplus(self.rest.len())))
        }
    }

    pub(super) fn error(&self, field: &'static str, problem: Problem) -> DecodeError {
        DecodeError {
            message: self.message,
            field,
            problem,
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error(field, Problem::Truncated));
        };
        self.rest = rest;
        Ok(*bytes)
    }
}
