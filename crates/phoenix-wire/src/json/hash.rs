//! A hash of what a value says, not of how it is written.

use smallvec::SmallVec;

use super::Kind;
use super::walk::{Elements, Members, elements, kind, members, string};

/// Hashes checked JSON text so that equal values have equal hashes: white space, escapes and the order of members do
/// not count. Numbers are compared by their text.
///
/// The same on every machine and in every release; not meant to withstand somebody who looks for collisions. Does not
/// recurse.
pub fn content_hash(text: &str) -> u64 {
    /// A container whose contents are being hashed.
    enum Open<'a> {
        Array { rest: Elements<'a>, hash: u64 },
        Object { rest: Members<'a>, hash: u64, name: u64 },
    }

    let mut open: SmallVec<[Open<'_>; OPEN_INLINE]> = SmallVec::new();
    let mut value = text;
    loop {
        let mut hash = match kind(value) {
            Kind::Array => {
                open.push(Open::Array {
                    rest: elements(value),
                    hash: ARRAY,
                });
                None
            }
            Kind::Object => {
                open.push(Open::Object {
                    rest: members(value),
                    hash: OBJECT,
                    name: 0,
                });
                None
            }
            Kind::String => Some(fnv(STRING, string(value).unwrap_or_default().as_bytes())),
            Kind::Null | Kind::Bool | Kind::Number => Some(fnv(PLAIN, value.as_bytes())),
        };
        // Hand finished hashes to their containers until a container has something left to hash.
        value = loop {
            let Some(container) = open.last_mut() else {
                return hash.unwrap_or_default();
            };
            let next = match container {
                Open::Array { rest, hash: total } => {
                    if let Some(element) = hash {
                        *total = mix(*total ^ element);
                    }
                    rest.next().ok_or(*total)
                }
                Open::Object {
                    rest,
                    hash: total,
                    name,
                } => {
                    if let Some(member) = hash {
                        // A sum: members have no order.
                        *total = total.wrapping_add(mix(*name ^ member));
                    }
                    match rest.next() {
                        Some((found, value)) => {
                            *name = mix(fnv(STRING, found.as_bytes()));
                            Ok(value)
                        }
                        None => Err(mix(*total)),
                    }
                }
            };
            match next {
                Ok(value) => break value,
                Err(total) => {
                    open.pop();
                    hash = Some(total);
                }
            }
        };
    }
}

/// Containers inside each other that are hashed without allocating. Presence payloads are flat.
const OPEN_INLINE: usize = 4;

const PLAIN: u64 = 0xcbf2_9ce4_8422_2325;
const STRING: u64 = PLAIN ^ 0x5555;
const ARRAY: u64 = PLAIN ^ 0xAAAA;
const OBJECT: u64 = PLAIN ^ 0xFFFF;

/// FNV-1a.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of splitmix64: spreads every bit over the whole word.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_member_order_do_not_count() {
        let texts = [
            r#"{"event":"*","list":[1,{"a":null}],"table":"t"}"#,
            r#"{ "table":"\u0074", "event" : "*" , "list":[ 1 , { "a" : null } ] }"#,
        ];
        assert_eq!(content_hash(texts[0]), content_hash(texts[1]));
    }

    #[test]
    fn different_values_differ() {
        let texts = [
            "null",
            "{}",
            "[]",
            r#""""#,
            r#""null""#,
            "[[]]",
            "[{}]",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[1,[2]]",
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1,"b":2}"#,
            r#"{"a":2,"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"b":{"a":1}}"#,
            r#"["a",1]"#,
        ];
        for (at, a) in texts.iter().enumerate() {
            for b in &texts[at + 1..] {
                assert_ne!(content_hash(a), content_hash(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_hash_is_the_same_for_ever() {
        assert_eq!(content_hash(r#"{"event":"*","schema":"public"}"#), GOLDEN);
    }

    const GOLDEN: u64 = 11_927_228_906_119_708_141;
}
