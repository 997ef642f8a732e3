//! Runs an entry point on the stable compiler over mutations of a corpus: a fixed number of them, drawn from a fixed
//! seed, so that a failure repeats.

/// Calls `entry` with every input of the corpus and then with `iterations` mutations of them.
pub(crate) fn run(corpus: &[Vec<u8>], iterations: u32, entry: fn(&[u8])) {
    assert!(!corpus.is_empty());
    for input in corpus {
        entry(input);
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for iteration in 0..iterations {
        let mut input = random.pick(corpus).clone();
        for _ in 0..=random.below(4) {
            mutate(&mut input, corpus, &mut random);
        }
        if let Err(panic) = std::panic::catch_unwind(|| entry(&input)) {
            eprintln!("iteration {iteration}: {:?}", String::from_utf8_lossy(&input));
            eprintln!("iteration {iteration}: {input:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Bytes that mean something to one of the parsers.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"1e400",
    b"-0",
    b"1.5",
    b"\\u0061",
    b"\\ud83d",
    b"\\ude00",
    b"\"k\":1",
    b"\"k\":1,\"k\":2",
    b"\"\":{}",
    b" ",
    b"\xff",
    b"\xc3\xa9",
    b"\0",
    b"\x7f",
    b"\x80",
    b"\x81\x85",
    b"\x89\x80",
    b"\x00\x80",
    b"\x01\x80",
    b"\x7e",
    b"\x7f\x00",
    b"sb_",
    b"config",
    b"realtime:",
    b"=not.in.(",
    b"{\"a\":",
    b"2026-02-28",
    b"\0\x01t\0\0\0\x01",
];

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = at + random.below(16).min(input.len() - at);
    match random.below(7) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => input.insert(at, random.below(256) as u8),
        2 => drop(input.drain(at..end)),
        3 => drop(input.splice(at..end, random.pick(TOKENS).iter().copied())),
        4 => {
            let repeated = input[at..end].repeat(1 + random.below(40));
            drop(input.splice(at..at, repeated));
        }
        5 => {
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            drop(input.splice(at.., other[from..].iter().copied()));
        }
        _ => input.truncate(at),
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
