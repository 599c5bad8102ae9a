//! Products by tiles of bfloat16, for bf16 and MXFP4 weights: exact but for the activations' parts.
//!
//! Weights come a chunk at a time: 32 rows of a few tiles' depth, which the first level of cache holds twice. While the
//! tiles of one chunk are multiplied with all columns of activations, the vector units unfold the next.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use std::arch::asm;
use std::arch::x86_64::*;

use super::amx::{Sums, Tiles};
use super::avx512::Avx512;
use super::columns::{Block, Columns, DEPTH, SIDE, Source, TILE, Work, pack};
use super::isa::{TilesTable, compile_one};
use super::matrix::{BLOCK, Matrix, VALUES, Weights};
use super::panel::Ahead;
use super::simd::Simd;

/// Rows of a chunk: two tiles'.
const ROWS: usize = 2 * SIDE;
/// Tiles of depth in a chunk, at most.
const STEPS: usize = 8;

pub static TABLE: TilesTable = TilesTable { pack: fill, multiply };

const _: () = assert!(BLOCK == DEPTH);

compile_one!(
    target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx2,fma"),
    fn fill(from: Source, out: &mut [i32]) = pack::<Avx512>
);

/// `out` `[rows of the set, w]`: the products with a set of rows of activations. Nothing, and the results are to be
/// thrown away, where a scale of the weights is none that bfloat16 holds.
// SAFETY: the machine has AMX, and the vectors that go with it.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx2,fma")]
unsafe fn multiply(w: Matrix, x: &Columns, set: usize, work: &mut Work, out: &mut [f32]) -> Option<()> {
    match w.weights() {
        Weights::F32(_) => unreachable!("the weights are of fewer bits"),
        Weights::Bf16(weights) => by_block(w, x, set, work, out, Halves { weights, cols: w.cols() }),
        Weights::Mxfp4 { blocks, scales } => by_block(w, x, set, work, out, Packed::new(blocks, scales, w.cols())),
    }
}

#[inline(always)]
// SAFETY: that of `multiply`; `source` is of these weights.
unsafe fn by_block<F: Unfold>(
    w: Matrix,
    x: &Columns,
    set: usize,
    work: &mut Work,
    out: &mut [f32],
    mut source: F,
) -> Option<()> {
    assert_eq!(w.cols(), x.cols(), "as many inputs as columns");
    let blocks = x.blocks(set);
    assert_eq!(out.len(), blocks.iter().map(|block| block.rows).sum::<usize>() * w.rows(), "an output for each row");
    let tiles = Tiles::new();
    for &block in blocks {
        let out = &mut out[block.first * w.rows()..(block.first + block.rows) * w.rows()];
        one_block(w, x, block, work, out, &mut source);
    }
    drop(tiles);
    source.is_fine().then_some(())
}

#[inline(always)]
// SAFETY: that of `multiply`; there are `Tiles`.
unsafe fn one_block<F: Unfold>(w: Matrix, x: &Columns, block: Block, work: &mut Work, out: &mut [f32], source: &mut F) {
    let depth = w.cols().div_ceil(DEPTH);
    let (pairs, width) = (x.pairs(block), block.tiles * SIDE);
    let (chunks, sums) = (work.chunks.space(4 * STEPS * TILE), work.sums.space(ROWS * width));
    // Two chunks, each `[2, STEPS, TILE]`.
    let (mut now, mut next) = chunks.split_at_mut(2 * STEPS * TILE);
    let stride = width * size_of::<f32>();
    let parts = depth.div_ceil(STEPS);
    let part = |index: usize| index * STEPS..depth.min((index + 1) * STEPS);
    let panel = |start: usize| start..w.rows().min(start + ROWS);
    let mut unfolding = Unfolding { source, rows: panel(0), steps: part(0), done: 0 };
    (0..ROWS).for_each(|_| unfolding.next(now));
    for start in (0..w.rows()).step_by(ROWS) {
        let below = panel(start + ROWS.min(w.rows() - start));
        let mut ahead = Ahead::new(w.addresses(below.clone()), depth * block.tiles.div_ceil(2));
        for index in 0..parts {
            let steps = part(index);
            (unfolding.rows, unfolding.steps) =
                if index + 1 < parts { (panel(start), part(index + 1)) } else { (below.clone(), part(0)) };
            unfolding.done = 0;
            let turns = steps.len() * block.tiles.div_ceil(2);
            let mut meanwhile = Meanwhile { ahead: &mut ahead, unfolding: &mut unfolding, chunk: next, due: 0, turns };
            for first in (0..block.tiles).step_by(2) {
                let x = pairs.as_ptr().add((first * depth + steps.start) * TILE);
                let sums = sums.as_mut_ptr().add(first * SIDE);
                let (begins, ends) = (index == 0, index + 1 == parts);
                // One pair of tiles of columns stays where it is from chunk to chunk.
                let (load, store) = (!begins && block.tiles > 2, ends || block.tiles > 2);
                if first + 1 < block.tiles {
                    products::<2, F>(now, x, depth, steps.len(), (sums, stride), (begins, load, store), &mut meanwhile);
                } else {
                    products::<1, F>(now, x, depth, steps.len(), (sums, stride), (begins, load, store), &mut meanwhile);
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        add_parts(sums, width, block.rows, x.parts());
        put(sums, width, panel(start), block.rows, out, w.rows());
    }
}

/// A chunk by `N` tiles of columns.
#[inline(always)]
// SAFETY: there are `Tiles`; a chunk has so many steps, and the columns' tiles are `depth` apart.
unsafe fn products<const N: usize, F: Unfold>(
    chunk: &[i32],
    x: *const i32,
    depth: usize,
    steps: usize,
    (sums, stride): (*mut f32, usize),
    (begins, load, store): (bool, bool, bool),
    meanwhile: &mut Meanwhile<F>,
) {
    if begins {
        Sums::<N>::zero();
    } else if load {
        Sums::<N>::load(sums, stride);
    }
    for step in 0..steps {
        let upper = chunk.as_ptr().add(step * TILE);
        let x = x.add(step * TILE);
        Sums::<N>::add([upper, upper.add(STEPS * TILE)], [x, x.wrapping_add(depth * TILE)]);
        meanwhile.turn();
    }
    if store {
        Sums::<N>::store(sums, stride);
    }
}

/// Adds what the parts of each row of activations gave, in `[ROWS, width]`, to what the first part gave.
#[inline(always)]
fn add_parts(sums: &mut [f32], width: usize, rows: usize, parts: usize) {
    for sums in sums.chunks_exact_mut(width) {
        let (first, others) = sums.split_at_mut(rows);
        for part in others.chunks_exact(rows).take(parts - 1) {
            first.iter_mut().zip(part).for_each(|(sum, &part)| *sum += part);
        }
    }
}

/// Turns `[ROWS, width]` around, into some columns of `out` `[rows, of all weights]`.
#[inline(always)]
// SAFETY: that of `multiply`; the width is that of whole tiles, and at least `rows`.
unsafe fn put(sums: &[f32], width: usize, panel: std::ops::Range<usize>, rows: usize, out: &mut [f32], all: usize) {
    let at = std::array::from_fn(|row| row * width * size_of::<f32>());
    for first in (0..rows).step_by(4) {
        let from = sums.as_ptr().add(first);
        let upper = Avx512::gather(from.cast(), &at);
        let lower = Avx512::gather(from.add(SIDE * width).cast(), &at);
        for i in 0..4.min(rows - first) {
            let mut row = [0.0f32; ROWS];
            Avx512::store(row.as_mut_ptr(), Avx512::as_floats(upper[i]));
            Avx512::store(row.as_mut_ptr().add(SIDE), Avx512::as_floats(lower[i]));
            out[(first + i) * all..][panel.clone()].copy_from_slice(&row[..panel.len()]);
        }
    }
}

/// What the vector units do while tiles are multiplied.
struct Meanwhile<'a, 'b, F> {
    ahead: &'a mut Ahead,
    unfolding: &'a mut Unfolding<'b, F>,
    chunk: &'a mut [i32],
    /// Rows that are due, times the turns in which all are to be done.
    due: usize,
    turns: usize,
}

impl<F: Unfold> Meanwhile<'_, '_, F> {
    #[inline(always)]
    // SAFETY: that of `multiply`; the chunk has room.
    unsafe fn turn(&mut self) {
        self.ahead.step::<Avx512>();
        self.due += ROWS;
        while self.due >= self.turns {
            self.due -= self.turns;
            self.unfolding.next(self.chunk);
        }
    }
}

/// The unfolding of a chunk of weights: so many of its rows are done.
struct Unfolding<'a, F> {
    source: &'a mut F,
    rows: std::ops::Range<usize>,
    steps: std::ops::Range<usize>,
    done: usize,
}

impl<F: Unfold> Unfolding<'_, F> {
    /// One more row, if there is one.
    #[inline(always)]
    // SAFETY: that of `multiply`; a chunk has room for it.
    unsafe fn next(&mut self, chunk: &mut [i32]) {
        if self.done < self.rows.len() {
            let tile = self.done / SIDE * STEPS * TILE + self.done % SIDE * SIDE;
            self.source.unfold(self.rows.start + self.done, self.steps.clone(), chunk.as_mut_ptr().add(tile));
            self.done += 1;
        }
    }
}

/// Weights that unfold to bfloat16.
trait Unfold {
    /// Writes part of a row, `DEPTH` columns every `TILE` lanes; columns that are not there are zero.
    // SAFETY: that of `multiply`; the row is there.
    unsafe fn unfold(&mut self, row: usize, steps: std::ops::Range<usize>, to: *mut i32);

    /// Whether all were such as bfloat16 holds.
    fn is_fine(&self) -> bool;
}

struct Halves<'a> {
    weights: &'a [u16],
    cols: usize,
}

impl Unfold for Halves<'_> {
    #[inline(always)]
    // SAFETY: that of `multiply`; the row is there.
    unsafe fn unfold(&mut self, row: usize, steps: std::ops::Range<usize>, to: *mut i32) {
        let from = self.weights.as_ptr().add(row * self.cols);
        let whole = steps.end.min(self.cols / DEPTH);
        for step in steps.start..whole {
            let line = _mm512_loadu_si512(from.add(step * DEPTH).cast());
            _mm512_store_si512(to.add((step - steps.start) * TILE).cast(), line);
        }
        if whole < steps.end {
            let mask = u32::MAX >> (DEPTH - self.cols % DEPTH);
            let line = _mm512_maskz_loadu_epi16(mask, from.add(whole * DEPTH).cast());
            _mm512_store_si512(to.add((whole - steps.start) * TILE).cast(), line);
        }
    }

    #[inline(always)]
    fn is_fine(&self) -> bool {
        true
    }
}

struct Packed<'a> {
    blocks: &'a [u8],
    scales: &'a [u8],
    /// In a row.
    count: usize,
    /// For each scale, whether it or one before it in its place was out of bounds.
    wrong: u16,
    constants: Constants,
}

#[derive(Clone, Copy)]
struct Constants {
    /// In each lane, a code's value where the scale is 0, as it would be if exponents had no bounds.
    values: __m512i,
    /// Where in 64 bits each byte's code lies, two bits up.
    shifts: __m512i,
}

impl<'a> Packed<'a> {
    #[inline(always)]
    // SAFETY: that of `multiply`.
    unsafe fn new(blocks: &'a [u8], scales: &'a [u8], cols: usize) -> Self {
        const VALUES_AT_0: [i32; 16] = {
            let mut values = [0; 16];
            let mut code = 0;
            while code < 16 {
                values[code] = (VALUES[code].to_bits() >> 16) as i32 - (127 << 7);
                code += 1;
            }
            values
        };
        const SHIFTS: [u8; 64] = {
            let mut shifts = [0; 64];
            let mut byte = 0;
            while byte < 64 {
                let code = byte / 16 * 4 + byte % 8 / 2;
                shifts[byte] = (4 * code as u8).wrapping_sub(2) & 63;
                byte += 1;
            }
            shifts
        };
        let load = |p: *const u8| _mm512_loadu_si512(p.cast());
        let constants = Constants { values: load(VALUES_AT_0.as_ptr().cast()), shifts: load(SHIFTS.as_ptr()) };
        Packed { blocks, scales, count: cols / BLOCK, wrong: 0, constants }
    }
}

impl Constants {
    /// Blocks of 16 bytes, their scales shifted to where exponents are. By name, for compilers take it apart into twice
    /// as many instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    // SAFETY: that of `multiply`; the blocks and their scales are there.
    unsafe fn unfold(self, count: usize, block: *const u8, exponent: *const i32, to: *mut i32) {
        /// All but the two zeros.
        const NOT_ZERO: u32 = !(1 | 1 << 8);
        macro_rules! unfold {
            ($i:expr, $($n:literal)*) => {
                asm!(
                    "kmovd {not_zero}, {lanes:e}",
                    $(
                        concat!("vbroadcasti32x4 {codes}, xmmword ptr [{block} + 16 * ", $n, "]"),
                        "vpmultishiftqb {codes}, {shifts}, {codes}",
                        // Of each 16 bits, the first byte of a lane of values and the second: codes & 0x3c3c | 0x0100.
                        "vpternlogd {codes}, {mask}, {bytes}, 0xea",
                        concat!("vpaddd {out} {{{not_zero}}} {{z}}, {values}, dword ptr [{exponent} + 4 * ", $n, "] {{1to16}}"),
                        "vpermb {out}, {codes}, {out}",
                        concat!("vmovdqa64 zmmword ptr [{to} + 1024 * ", $n, "], {out}"),
                    )*
                    codes = out(zmm_reg) _, out = out(zmm_reg) _, not_zero = out(kreg) _, lanes = in(reg) NOT_ZERO,
                    block = in(reg) block.add(16 * $i), exponent = in(reg) exponent.add($i), to = in(reg) to.add(TILE * $i),
                    shifts = in(zmm_reg) self.shifts, values = in(zmm_reg) self.values,
                    mask = in(zmm_reg) _mm512_set1_epi16(0x3c3c), bytes = in(zmm_reg) _mm512_set1_epi16(0x0100),
                    options(nostack, preserves_flags)
                )
            };
        }
        let whole = count - count % 8;
        for i in (0..whole).step_by(8) {
            unfold!(i, 0 1 2 3 4 5 6 7);
        }
        for i in whole..count {
            unfold!(i, 0);
        }
    }
}

impl Unfold for Packed<'_> {
    #[inline(always)]
    // SAFETY: that of `multiply`; the row is there.
    unsafe fn unfold(&mut self, row: usize, steps: std::ops::Range<usize>, to: *mut i32) {
        let first = row * self.count + steps.start;
        let there = u16::MAX >> (16 - steps.len());
        let scales = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, self.scales.as_ptr().add(first).cast()));
        // Exponents from 0.5 to 6 times a scale are those of normal numbers where it is from 2 to 252.
        let from_2 = _mm512_sub_epi32(scales, _mm512_set1_epi32(2));
        self.wrong |= _mm512_mask_cmpgt_epu32_mask(there, from_2, _mm512_set1_epi32(250));
        let exponents = _mm512_slli_epi32(scales, 7);
        let exponents = (&raw const exponents).cast();
        self.constants.unfold(steps.len(), self.blocks.as_ptr().add(first * BLOCK / 2), exponents, to);
    }

    #[inline(always)]
    fn is_fine(&self) -> bool {
        self.wrong == 0
    }
}
