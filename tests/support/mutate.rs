//! Damage to inputs: at random, the same for the same seed.

use avicuna_models::splitmix;

/// Makes damaged inputs of whole ones.
pub struct Mutator<'a> {
    state: u64,
    /// What the format is made of.
    words: &'a [&'a str],
}

/// Numbers at which readers break, in 64 bits.
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 62, u64::MAX];

impl<'a> Mutator<'a> {
    pub fn new(seed: u64, words: &'a [&'a str]) -> Self {
        Self { state: splitmix::mixed(seed), words }
    }

    /// One of the seeds after one to eight changes, each somewhere or, as often, near the front or the end, where headers are.
    pub fn damaged(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input, seeds);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.place(input.len());
        let rest = input.len() - at;
        match self.below(9) {
            0 => input.truncate(at),
            1 if rest > 0 => input[at] = self.number() as u8,
            2 if rest > 0 => input[at] ^= 1 << self.below(8),
            3 => {
                let size = 1 << self.below(4);
                let bytes = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let bytes = bytes[..size].iter().copied();
                let big_endian = self.below(2) == 0;
                let bytes: Vec<u8> = if big_endian { bytes.rev().collect() } else { bytes.collect() };
                let end = (at + size).min(input.len());
                input[at..end].copy_from_slice(&bytes[..end - at]);
            }
            4 => drop(input.drain(at..at + self.below(64).min(rest))),
            5 => {
                let piece = input[at..at + self.below(64).min(rest)].to_vec();
                let to = self.place(input.len());
                input.splice(to..to, piece);
            }
            6 if !self.words.is_empty() => {
                let word = self.words[self.below(self.words.len())].bytes();
                let over = if self.below(2) == 0 { word.len().min(rest) } else { 0 };
                input.splice(at..at + over, word);
            }
            7 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.place(other.len());
                let length = self.below(256).min(other.len() - from);
                input.splice(at..at, other[from..from + length].iter().copied());
            }
            _ => input.insert(at, self.number() as u8),
        }
    }

    fn place(&mut self, length: usize) -> usize {
        match self.below(4) {
            0 => self.below(length.min(256) + 1),
            1 => length - self.below(length.min(256) + 1),
            _ => self.below(length + 1),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }

    fn number(&mut self) -> u64 {
        self.state = splitmix::next(self.state);
        splitmix::mixed(self.state)
    }
}
