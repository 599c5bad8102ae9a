//! Rows of activations as the columns of tiles, for products of bfloat16: each in two or three parts that add up to it.
//!
//! A part is what the parts before it leave, rounded to bfloat16's eight bits. Two parts hold 16 bits or more; three are
//! exact, but for what is smaller than bfloat16 can hold.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use std::ops::Range;

use super::dot::tiles;
use super::memory::{Buffer, Rows, Shared};
use super::simd::Simd;
use super::team::Team;

/// Rows of a tile, and columns: 32-bit lanes, of two bfloat16 each.
pub const SIDE: usize = 16;
/// Bfloat16 in a row of a tile of weights, and in a column of one of activations.
pub const DEPTH: usize = 2 * SIDE;
/// 32-bit lanes of a tile.
pub const TILE: usize = SIDE * SIDE;
/// Columns of a block, at most: its tiles are to stay in the second level of cache.
const MOST: usize = 12 * SIDE;

/// The order in which the pairs of 32 columns of weights are unfolded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Plain,
    /// Two pairs of the first half, two of the second, and so on.
    Woven,
}

/// Sets of rows of activations, each row in parts. A set is cut into blocks, and a block of `n` rows has as columns the
/// first parts of its rows, then the second, and so on.
#[derive(Debug, Default)]
pub struct Columns {
    /// By block: `[tiles of columns, tiles of depth, TILE]`.
    pairs: Buffer<i32>,
    blocks: Vec<Block>,
    /// Of each set.
    ranges: Vec<Range<usize>>,
    cols: usize,
    parts: usize,
}

/// What a thread keeps between products.
#[derive(Debug, Default)]
pub struct Work {
    /// Unfolded weights.
    pub chunks: Buffer<i32>,
    /// `[32, columns]`.
    pub sums: Buffer<f32>,
}

#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// The first of its rows in the set, and how many there are.
    pub first: usize,
    pub rows: usize,
    /// Tiles of columns.
    pub tiles: usize,
    /// Of its pairs.
    start: usize,
}

/// What fills a tile of columns.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The rows of the block.
    pub x: Rows<'a, f32>,
    pub parts: usize,
    pub order: Order,
    /// The first column of the tile.
    pub column: usize,
}

impl Columns {
    /// Sets of chosen rows of `x` `[.., cols]` in so many parts, by `pack` of an instruction set.
    pub fn fill<'a>(
        &mut self,
        team: &Team,
        (x, cols): (&[f32], usize),
        (parts, order): (usize, Order),
        sets: impl Iterator<Item = &'a [u32]> + Clone,
        pack: impl Fn(Source, &mut [i32]) + Sync,
    ) {
        let depth = cols.div_ceil(DEPTH);
        (self.cols, self.parts) = (cols, parts);
        self.blocks.clear();
        self.ranges.clear();
        // For each tile of columns: its block and the rows of that.
        let (mut jobs, mut size) = (Vec::new(), 0);
        for set in sets {
            let first_block = self.blocks.len();
            for (first, rows) in tiles(set.len(), MOST / parts) {
                let block = Block { first, rows, tiles: (rows * parts).div_ceil(SIDE), start: size };
                jobs.extend((0..block.tiles).map(|tile| (tile, block, &set[first..first + rows])));
                self.blocks.push(block);
                size += block.tiles * depth * TILE;
            }
            self.ranges.push(first_block..self.blocks.len());
        }
        let pairs = Shared::new(self.pairs.space(size));
        let job = |_, index: usize| {
            let (tile, block, chosen) = jobs[index];
            let start = block.start + tile * depth * TILE;
            // SAFETY: every tile of columns is in one job.
            let out = unsafe { pairs.part(start..start + depth * TILE) };
            pack(Source { x: Rows::new(x, cols, chosen), parts, order, column: tile * SIDE }, out);
        };
        if jobs.len() < 2 * team.threads() {
            (0..jobs.len()).for_each(|index| job(0, index));
        } else {
            team.each(jobs.len(), job);
        }
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    pub fn parts(&self) -> usize {
        self.parts
    }

    pub fn blocks(&self, set: usize) -> &[Block] {
        &self.blocks[self.ranges[set].clone()]
    }

    /// The tiles of a block.
    pub fn pairs(&self, block: Block) -> &[i32] {
        &self.pairs.all()[block.start..block.start + block.tiles * self.cols.div_ceil(DEPTH) * TILE]
    }
}

/// Writes the tiles of 16 columns, `[tiles of depth, TILE]`; what is not there is zero.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn pack<S: Simd>(Source { x, parts, order, column }: Source, out: &mut [i32]) {
    assert!(S::LANES == SIDE && out.len() == x.stride().div_ceil(DEPTH) * TILE);
    let rows = x.len();
    for (step, tile) in out.chunks_exact_mut(TILE).enumerate() {
        let cols = step * DEPTH..x.stride().min((step + 1) * DEPTH);
        let mut halves = [[0u16; DEPTH]; SIDE];
        for (column, halves) in (column..rows * parts).zip(&mut halves) {
            let [row] = x.pointers::<1>(column % rows);
            // SAFETY: the row has these columns.
            let row = unsafe { std::slice::from_raw_parts(row.add(cols.start), cols.len()) };
            match column / rows {
                0 => part::<0>(row, halves),
                1 => part::<1>(row, halves),
                _ => part::<2>(row, halves),
            }
        }
        for quarter in 0..4 {
            let lines = S::gather(halves.as_ptr().cast::<u8>().add(16 * quarter), &std::array::from_fn(|i| 64 * i));
            for (i, line) in lines.into_iter().enumerate() {
                let pair = 4 * quarter + i;
                let place = match order {
                    Order::Plain => pair,
                    Order::Woven => pair % 8 / 2 * 4 + pair / 8 * 2 + pair % 2,
                };
                S::store(tile.as_mut_ptr().add(place * SIDE).cast(), S::as_floats(line));
            }
        }
    }
}

/// The `P`-th parts of a few activations.
#[inline(always)]
fn part<const P: usize>(x: &[f32], out: &mut [u16; DEPTH]) {
    for (&x, out) in x.iter().zip(out) {
        let mut rest = x;
        for _ in 0..P {
            rest -= f32::from_bits(u32::from(rounded(rest)) << 16);
        }
        *out = rounded(rest);
    }
}

/// The nearest bfloat16. What is no number stays so.
#[inline(always)]
fn rounded(x: f32) -> u16 {
    const INFINITY: u32 = 0x7f80_0000;
    let bits = x.to_bits();
    let up = 0x7fff + (bits >> 16 & 1);
    let bits = if bits & !(1 << 31) < INFINITY { bits + up } else { bits };
    (bits >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wide(x: u16) -> f64 {
        f64::from(f32::from_bits(u32::from(x) << 16))
    }

    proptest! {
        #[test]
        fn parts_add_up(x in -1e30f32..1e30, small in -100..0) {
            let x = x * 2f32.powi(small);
            let mut parts = [[0; DEPTH]; 3];
            part::<0>(&[x], &mut parts[0]);
            part::<1>(&[x], &mut parts[1]);
            part::<2>(&[x], &mut parts[2]);
            let [first, second, third] = parts.map(|part| wide(part[0]));
            let x = f64::from(x);
            prop_assert!((first + second - x).abs() <= x.abs() / 131_072.0);
            prop_assert_eq!(first + second + third, x);
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        for bits in [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7fff_ffff, 0xffff_ffff] {
            assert!(!wide(rounded(f32::from_bits(bits))).is_finite());
        }
    }
}
