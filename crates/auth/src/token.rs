//! A token taken apart; nothing here is verified.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;

use crate::error::VerifyError;
use crate::json::is_object;

/// The three parts of a token.
#[derive(Debug)]
pub(crate) struct Token {
    text: String,
    /// Byte offset of the second dot.
    signature_dot: usize,
    header: Header,
    claims: String,
}

/// What the header says about the key.
#[derive(Debug)]
pub(crate) struct Header {
    /// `alg`, if it is text.
    pub(crate) alg: Option<String>,
    /// `kid`, if it is text.
    pub(crate) kid: Option<String>,
}

impl Token {
    /// Takes `token` apart: cleans it, and checks that header and claims are JSON objects.
    pub(crate) fn parse(token: &str) -> Result<Token, VerifyError> {
        let text = String::from_utf8(clean(token)?.into_owned()).map_err(|_| VerifyError::Malformed)?;
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifyError::Malformed);
        };
        let claims = decode_object(claims, "claims")?;
        let header = Header::parse(&decode_object(header, "header")?)?;
        let signature_dot = text.len() - signature.len() - 1;
        Ok(Token {
            signature_dot,
            header,
            claims,
            text,
        })
    }

    /// The header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The claims: the text of a JSON object.
    pub(crate) fn claims(&self) -> &str {
        &self.claims
    }

    /// What the signature is over.
    pub(crate) fn message(&self) -> &[u8] {
        self.text.as_bytes().get(..self.signature_dot).unwrap_or_default()
    }

    /// The signature, still base64url.
    pub(crate) fn signature(&self) -> &str {
        self.text.get(self.signature_dot + 1..).unwrap_or_default()
    }
}

impl Header {
    fn parse(json: &str) -> Result<Header, VerifyError> {
        let header: serde_json::Value = serde_json::from_str(json).map_err(|_| VerifyError::Malformed)?;
        let text = |name| {
            header
                .get(name)
                .and_then(serde_json::Value::as_str)
                .map(str::to_owned)
        };
        Ok(Header {
            alg: text("alg"),
            kid: text("kid"),
        })
    }
}

/// Undoes percent-encoding, then removes white space: tokens arrive through URLs and through copy and paste.
fn clean(token: &str) -> Result<Cow<'_, [u8]>, VerifyError> {
    let bytes = token.as_bytes();
    if !bytes.iter().any(|&byte| byte == b'%' || is_space(byte)) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut cleaned = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        let byte = match (byte, behind) {
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                (hex_digit(*high)? << 4) | hex_digit(*low)?
            }
            (b'%', _) => return Err(VerifyError::BadEscape),
            (byte, behind) => {
                rest = behind;
                byte
            }
        };
        if !is_space(byte) {
            cleaned.push(byte);
        }
    }
    Ok(Cow::Owned(cleaned))
}

fn is_space(byte: u8) -> bool {
    // As a regular expression's \s, which has the vertical tab that `is_ascii_whitespace` lacks.
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn hex_digit(byte: u8) -> Result<u8, VerifyError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(VerifyError::BadEscape),
    }
}

fn decode_object(part: &str, name: &str) -> Result<String, VerifyError> {
    let bytes = BASE64.decode(part).map_err(|_| VerifyError::Malformed)?;
    let text = String::from_utf8(bytes).map_err(|_| VerifyError::Malformed)?;
    let json: &RawValue = serde_json::from_str(&text).map_err(|_| VerifyError::Malformed)?;
    if is_object(json) {
        Ok(text)
    } else {
        Err(VerifyError::InvalidClaim {
            claim: name.to_owned(),
        })
    }
}

/// Lenient about padding and spare bits, as those who mint tokens are not always careful. What is signed is the encoded
/// text, so leniency about header and claims lets nothing be forged; signatures themselves are read strictly.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &str, expected: Result<&[u8], VerifyError>) {
        assert_eq!(
            clean(token).map(Cow::into_owned),
            expected.map(<[u8]>::to_vec),
            "{token:?}"
        );
    }

    #[test]
    fn escapes_are_undone_before_white_space_is_removed() {
        check("a.b.c", Ok(b"a.b.c"));
        check("a%2Eb%2ec", Ok(b"a.b.c"));
        check(" a\t.\r\nb\x0b.c\x0c", Ok(b"a.b.c"));
        check("a%20b%0A", Ok(b"ab"));
        check("a+b", Ok(b"a+b"));
        check("%C3%A4%ff", Ok(b"\xc3\xa4\xff"));
    }

    #[test]
    fn a_percent_sign_needs_two_digits() {
        for token in ["%", "a%", "%a", "%g0", "%0g", "100%25%"] {
            check(token, Err(VerifyError::BadEscape));
        }
    }
}
