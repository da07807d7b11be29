//! Makes bytes that are nearly right out of bytes that are.

/// Longest input that is made, in bytes.
pub const INPUT_MAX: usize = 64 << 10;

/// Reproducible chance (SplitMix64); for tests only.
pub struct Chance(u64);

impl Chance {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let next = self.number() as usize;
        next.checked_rem(end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    /// One of several by chance; none if there are none.
    pub fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }

    /// A piece of `bytes`, short ones more often.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let room = length - start;
        let most = match self.below(4) {
            0 => room,
            1 => room.min(32),
            _ => room.min(4),
        };
        start..start + self.below(most + 1)
    }
}

/// Numbers at which code goes wrong, as they stand in formats: one to eight bytes, either order, and postcard's varints.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    3,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x0400_0001,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// Pieces of JSON, CSV and PEM that mean something.
const WORDS: [&str; 18] = [
    "null",
    "true",
    "{}",
    "[]",
    "[[[[",
    "\"\"",
    "-1",
    "1e999",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    ",",
    ":",
    "\n",
    "18446744073709551616",
    "AAAA",
    "====",
    "-----BEGIN ",
];

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return out;
        }
        out.push(low | 0x80);
    }
}

fn number(chance: &mut Chance, near: usize) -> Vec<u8> {
    let value = match chance.below(3) {
        0 => (near as u64)
            .wrapping_add(chance.number() % 5)
            .wrapping_sub(2),
        _ => chance.of(&NUMBERS).copied().unwrap_or_default(),
    };
    let width = 1 << chance.below(4);
    match chance.below(3) {
        0 => value.to_le_bytes()[..width].to_vec(),
        1 => value.to_be_bytes()[8 - width..].to_vec(),
        _ => varint(value),
    }
}

fn replace(out: &mut Vec<u8>, range: std::ops::Range<usize>, with: &[u8]) {
    out.splice(range, with.iter().copied());
}

/// One to eight changes of one of `samples`.
pub fn mutate(chance: &mut Chance, samples: &[Vec<u8>]) -> Vec<u8> {
    let mut out = chance.of(samples).cloned().unwrap_or_default();
    for _ in 0..=chance.below(8) {
        once(chance, samples, &mut out);
    }
    out.truncate(INPUT_MAX);
    out
}

fn once(chance: &mut Chance, samples: &[Vec<u8>], out: &mut Vec<u8>) {
    let at = chance.below(out.len());
    match chance.below(10) {
        0 | 1 => {
            let bit = 1 << chance.below(8);
            if let Some(byte) = out.get_mut(at) {
                *byte ^= bit;
            }
        }
        2 => {
            let byte = chance.byte();
            if let Some(at) = out.get_mut(at) {
                *at = byte;
            }
        }
        3 => {
            // A number in place of as many bytes, or between others.
            let with = number(chance, out.len());
            let end = match chance.below(2) {
                0 => (at + with.len()).min(out.len()),
                _ => at,
            };
            replace(out, at..end, &with);
        }
        4 => {
            let range = chance.range(out.len());
            replace(out, range, &[]);
        }
        5 => out.truncate(at),
        6 => {
            let with: Vec<u8> = (0..=chance.below(16)).map(|_| chance.byte()).collect();
            replace(out, at..at, &with);
        }
        7 => {
            // The same again, up to many times.
            let range = chance.range(out.len());
            let times = 1 + chance.below(8);
            let with = out[range].repeat(times);
            replace(out, at..at, &with[..with.len().min(INPUT_MAX)]);
        }
        8 => {
            // A piece of another.
            let other = chance.of(samples).cloned().unwrap_or_default();
            let (from, to) = (chance.range(other.len()), chance.range(out.len()));
            replace(out, to, &other[from]);
        }
        _ => {
            let range = chance.range(out.len());
            let word = chance.of(&WORDS).copied().unwrap_or_default();
            replace(out, range, word.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_and_most_of_it_is_new() {
        let samples = vec![b"one sample".to_vec(), vec![], vec![7; 300]];
        let run = |seed| {
            let mut chance = Chance::new(seed);
            (0..500)
                .map(|_| mutate(&mut chance, &samples))
                .collect::<Vec<_>>()
        };
        let (one, two) = (run(1), run(1));
        assert_eq!(one, two);
        assert_ne!(one, run(2));
        let new: std::collections::BTreeSet<_> = one.iter().collect();
        assert!(new.len() > 300, "{}", new.len());
        assert!(one.iter().all(|i| i.len() <= INPUT_MAX));
    }

    #[test]
    fn varints_are_postcards() {
        for n in NUMBERS {
            assert_eq!(varint(n), postcard::to_stdvec(&n).unwrap_or_default());
        }
    }
}
