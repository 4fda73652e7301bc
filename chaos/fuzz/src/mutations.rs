//! Small changes to an input, the same ones for the same seed: what a replay tries around every file of a corpus.

/// Values at which arithmetic and lengths go wrong.
const EDGES: [u8; 6] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF];

/// An endless sequence of changed copies of one input.
#[derive(Clone, Debug)]
pub struct Mutations<'a> {
    input: &'a [u8],
    /// Another input, to take pieces from.
    other: &'a [u8],
    dice: Dice,
}

impl<'a> Mutations<'a> {
    /// Of `input`, decided by `seed`; pieces are also taken from `other`.
    #[must_use]
    pub fn new(input: &'a [u8], other: &'a [u8], seed: u64) -> Self {
        Self {
            input,
            other,
            dice: Dice(seed),
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.dice.below(bytes.len() + 1);
        let end = (at + 1 + self.dice.below(16)).min(bytes.len());
        match (self.dice.below(8), bytes.get(at).copied()) {
            (0, Some(byte)) => bytes[at] = byte ^ (1 << self.dice.below(8)),
            (1, Some(_)) => bytes[at] = EDGES[self.dice.below(EDGES.len())],
            (2, Some(byte)) => bytes[at] = byte.wrapping_add(1 + self.dice.byte() % 8),
            (3, Some(_)) => drop(bytes.drain(at..end)),
            (4, Some(_)) => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            (5, Some(_)) => bytes.truncate(at),
            (6, _) if !self.other.is_empty() => {
                let from = self.dice.below(self.other.len());
                let to = (from + 1 + self.dice.below(32)).min(self.other.len());
                bytes.splice(at..end.max(at), self.other[from..to].iter().copied());
            }
            _ => bytes.insert(at, self.dice.byte()),
        }
    }
}

impl Iterator for Mutations<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.input.to_vec();
        for _ in 0..=self.dice.below(3) {
            self.change(&mut bytes);
        }
        Some(bytes)
    }
}

/// SplitMix64.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let value = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ value >> 31
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound as u64).expect("below a usize")
    }
}
