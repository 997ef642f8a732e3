//! The hash of a server's certificate that binds SCRAM to its TLS channel: `tls-server-end-point`.
//!
//! The hash function is that of the certificate's signature, but for MD5 and SHA-1, which SHA-256 replaces. Source: RFC
//! 5929, section 4.1. So the signature algorithm has to be read from the certificate, which takes three steps into its
//! DER; nothing else of it is looked at.

use aws_lc_rs::digest::{self, Algorithm, SHA256, SHA384, SHA512};

/// The binding data, or `None` if the algorithm names no hash (Ed25519) or hides it in parameters (RSA-PSS).
pub(crate) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = signature_hash(certificate)?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { algorithm OID, … }, … }`
fn signature_hash(certificate: &[u8]) -> Option<&'static Algorithm> {
    let (body, _) = read(SEQUENCE, certificate)?;
    let (_, after_tbs) = read(SEQUENCE, body)?;
    let (algorithm, _) = read(SEQUENCE, after_tbs)?;
    let (oid, _) = read(OID, algorithm)?;
    match oid {
        // {md5,sha1,sha256,sha384,sha512}WithRSAEncryption: 1.2.840.113549.1.1.{4,5,11,12,13}
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4 | 5 | 11] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12] => Some(&SHA384),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13] => Some(&SHA512),
        // ecdsa-with-SHA1: 1.2.840.10045.4.1
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => Some(&SHA256),
        // ecdsa-with-SHA{256,384,512}: 1.2.840.10045.4.3.{2,3,4}
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => Some(&SHA384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => Some(&SHA512),
        _ => None,
    }
}

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// The content of the value at the start of `der`, and what follows it. `None` if it has another tag or is cut off.
fn read(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
                rest,
            )
        }
        _ => return None,
    };
    (found == tag).then_some(())?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with an empty body and an algorithm.
    fn certificate(oid: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let algorithm = wrap(SEQUENCE, &wrap(OID, oid));
        wrap(SEQUENCE, &[wrap(SEQUENCE, &[]), algorithm].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let check = |oid: &[u8], length: Option<usize>| {
            let hash = tls_server_end_point(&certificate(oid));
            assert_eq!(hash.map(|hash| hash.len()), length);
        };
        check(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], Some(32));
        check(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], Some(48));
        check(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4], Some(64));
        check(&[0x2b, 0x65, 0x70], None);
    }

    #[test]
    fn a_certificate_cut_off_anywhere_has_no_hash() {
        let whole = certificate(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        for length in 0..whole.len() {
            assert_eq!(tls_server_end_point(&whole[..length]), None);
        }
        assert_eq!(
            tls_server_end_point(&[SEQUENCE, 0x84, 0xff, 0xff, 0xff, 0xff]),
            None
        );
        assert_eq!(tls_server_end_point(&[SEQUENCE, 0x80]), None);
    }
}
