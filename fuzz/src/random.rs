//! Choices that depend on a seed alone.

/// A source of numbers, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Takes the seed off the front of some bytes.
    pub fn of<'b>(bytes: &mut &'b [u8], length: usize) -> Self {
        let (seed, rest): (&'b [u8], &'b [u8]) = bytes.split_at(length.min(bytes.len()));
        *bytes = rest;
        Random(seed.iter().fold(0, |seed, &byte| seed << 8 | u64::from(byte)))
    }

    /// SplitMix64.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// The bytes in pieces, up to `cuts` + 1.
    pub fn pieces<'b>(&mut self, bytes: &'b [u8], cuts: usize) -> Vec<&'b [u8]> {
        let count = self.below(cuts + 1);
        let mut at: Vec<usize> = (0..count).map(|_| self.below(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
    }
}
