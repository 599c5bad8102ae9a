//! MXFP4 by activations of 24 bits, in integers: exact but for rounding the activations as f32 would round their sum.
//!
//! Unfolding 4-bit weights to floats costs more than reading them from memory. As bytes they unfold many at a time, and
//! an activation of three signed bytes, `x = d2 * 65536 + d1 * 256 + d0`, multiplies them in three steps. The weights are
//! doubled and biased, so that they are unsigned integers; the bias is taken off by a sum that depends on `x` alone.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::dot::{FAR, NEAR, by_rows, tiles};
use super::matrix::{BLOCK, Matrix, Weights};
use super::memory::{Buffer, Shared};
use super::simd::{BIAS, Simd};
use super::team::{Team, by_row};

/// The largest activation of a chunk; a little below 127 * (65536 + 256 + 1), so that rounding does not pass it.
const LARGEST: f32 = 8_355_000.0;

/// Rows of activations in three digits. A chunk is what one register of weights meets: `8 * LANES` columns.
#[derive(Debug, Default)]
pub struct Digits {
    /// `[rows, chunks, 3, 2, 4 * LANES]`: the highest digit first; the even columns, then the odd ones.
    digits: Buffer<i8>,
    /// `[rows, chunks, LANES]`: takes off the bias.
    offsets: Buffer<i32>,
    /// `[rows, chunks]`: what one is worth, halved since the weights are doubled.
    steps: Buffer<f32>,
    rows: usize,
    cols: usize,
    chunks: usize,
    lanes: usize,
}

/// One row of [`Digits`], to be written.
pub struct DigitsRow<'a> {
    digits: &'a mut [i8],
    offsets: &'a mut [i32],
    steps: &'a mut [f32],
}

impl Digits {
    /// Rows of `x` `[rows, cols]`, by `split` of an instruction set of so many lanes.
    pub fn fill(
        &mut self,
        team: &Team,
        x: &[f32],
        cols: usize,
        lanes: usize,
        split: impl Fn(&[f32], DigitsRow) + Sync,
    ) {
        let (rows, chunks) = (x.len() / cols, cols.div_ceil(8 * lanes));
        (self.rows, self.cols, self.chunks, self.lanes) = (rows, cols, chunks, lanes);
        let digits = Shared::new(self.digits.space(rows * chunks * 24 * lanes));
        let offsets = Shared::new(self.offsets.space(rows * chunks * lanes));
        let steps = Shared::new(self.steps.space(rows * chunks));
        by_row(team, x, cols, |row, x| {
            let part = |size: usize| row * chunks * size..(row + 1) * chunks * size;
            // SAFETY: every row is given out once.
            let row = unsafe {
                DigitsRow {
                    digits: digits.part(part(24 * lanes)),
                    offsets: offsets.part(part(lanes)),
                    steps: steps.part(part(1)),
                }
            };
            split(x, row);
        });
    }

    #[inline(always)]
    fn pointers<const M: usize>(&self, chosen: &[u32]) -> [Start; M] {
        std::array::from_fn(|m| {
            let chunk = chosen[m] as usize * self.chunks;
            Start {
                digits: self.digits.all()[chunk * 24 * self.lanes..].as_ptr(),
                offsets: self.offsets.all()[chunk * self.lanes..].as_ptr(),
                steps: self.steps.all()[chunk..].as_ptr(),
            }
        })
    }
}

/// Where the numbers of a row begin.
#[derive(Clone, Copy)]
struct Start {
    digits: *const i8,
    offsets: *const i32,
    steps: *const f32,
}

/// What makes the largest of `x` `most`, and what one is worth then; nothing where a number is not finite. Where all are so
/// small that the former would not be finite, they count as zero.
#[inline(always)]
pub fn scale(x: &[f32], most: f32) -> Option<(f32, f32)> {
    const NOTHING: f32 = 1e-30;
    // Of floats that are not negative, the order is that of their bits, of which compilers find the largest quickly.
    let largest = f32::from_bits(x.iter().map(|x| x.abs().to_bits()).max().unwrap_or(0));
    let scale = if largest > NOTHING { (most / largest, largest / most) } else { (0.0, 0.0) };
    largest.is_finite().then_some(scale)
}

/// Writes one row of [`Digits`].
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn split<S: Simd>(x: &[f32], row: DigitsRow) {
    let chunks = x.chunks(8 * S::LANES);
    assert_eq!(row.digits.len(), chunks.len() * 24 * S::LANES);
    assert_eq!(row.offsets.len(), chunks.len() * S::LANES);
    assert_eq!(row.steps.len(), chunks.len());
    let out = row.digits.chunks_exact_mut(24 * S::LANES).zip(row.offsets.chunks_exact_mut(S::LANES)).zip(row.steps);
    for (x, ((digits, offsets), step)) in chunks.zip(out) {
        // As many as any instruction set needs; columns that are not there are zero.
        let mut wide = [0.0f32; 128];
        wide[..x.len()].copy_from_slice(x);
        let Some((inverse, worth)) = scale(&wide, LARGEST) else {
            (*step, _) = (f32::NAN, digits.fill(0));
            continue;
        };
        *step = worth * 0.5;
        let mut sums = [0i32; 16];
        let (mut high, mut middle, mut low) = ([0i8; 128], [0i8; 128], [0i8; 128]);
        for i in 0..128 {
            // SAFETY: it is finite, and within `LARGEST` but for its rounding.
            let x: i32 = unsafe { (wide[i] * inverse).round_ties_even().to_int_unchecked() };
            low[i] = x as i8;
            let rest = (x - i32::from(low[i])) >> 8;
            middle[i] = rest as i8;
            high[i] = ((rest - i32::from(middle[i])) >> 8) as i8;
            sums[i / 8] += x;
        }
        for (offset, sum) in offsets.iter_mut().zip(sums) {
            *offset = -BIAS * sum;
        }
        for (out, digit) in digits.chunks_exact_mut(8 * S::LANES).zip([&high, &middle, &low]) {
            let (even, odd) = out.split_at_mut(4 * S::LANES);
            for (i, (even, odd)) in even.iter_mut().zip(odd).enumerate() {
                (*even, *odd) = (digit[2 * i], digit[2 * i + 1]);
            }
        }
    }
}

/// `out` `[chosen, w]`: the products of MXFP4 weights with chosen rows. The weights come from memory and are read once
/// for every six rows, the second time from the cache.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn multiply<S: Simd>(w: Matrix, x: &Digits, chosen: &[u32], out: &mut [f32]) {
    let Weights::Mxfp4 { blocks, scales } = w.weights() else { unreachable!("the weights are MXFP4") };
    assert_eq!(w.cols(), x.cols, "as many inputs as columns");
    assert_eq!(out.len(), chosen.len() * w.rows(), "an output for each row of weights");
    assert!(chosen.iter().all(|&row| (row as usize) < x.rows), "rows that exist");
    let groups = w.cols() / BLOCK;
    for (first, count) in tiles(chosen.len(), 6) {
        by_rows!(count, M => {
            let x = x.pointers::<M>(&chosen[first..]);
            for row in 0..w.rows() {
                let (blocks, scales) = (blocks.as_ptr().add(row * groups * 16), scales.as_ptr().add(row * groups));
                S::prefetch_near(scales.wrapping_add(NEAR));
                S::prefetch_near(scales.wrapping_add(NEAR + 64));
                let sums = product::<S, M>(blocks, scales, groups, x);
                for (m, sum) in sums.into_iter().enumerate() {
                    *out.get_unchecked_mut((first + m) * w.rows() + row) = sum;
                }
            }
        });
    }
}

/// The products of a row of weights with `M` rows.
#[inline(always)]
// SAFETY: the contract of `Simd`; all have `groups` blocks.
unsafe fn product<S: Simd, const M: usize>(
    blocks: *const u8,
    scales: *const u8,
    groups: usize,
    x: [Start; M],
) -> [f32; M] {
    let mut sums = [S::zero(); M];
    let chunks = groups / S::BLOCKS;
    for chunk in 0..chunks {
        let (blocks, scales) = (blocks.add(chunk * S::BLOCKS * 16), scales.add(chunk * S::BLOCKS));
        S::prefetch_far(blocks.wrapping_add(FAR));
        S::prefetch_near(blocks.wrapping_add(NEAR));
        accumulate::<S, M>(&mut sums, S::load_bytes(blocks), S::scales(scales), x, chunk);
    }
    let rest = groups % S::BLOCKS;
    if rest > 0 {
        let (blocks, scales) = (blocks.add(chunks * S::BLOCKS * 16), scales.add(chunks * S::BLOCKS));
        accumulate::<S, M>(&mut sums, S::load_some_bytes(blocks, rest), S::some_scales(scales, rest), x, chunks);
    }
    let mut out = [0.0; M];
    for m in 0..M {
        out[m] = S::sum(sums[m]);
    }
    out
}

#[inline(always)]
// SAFETY: the contract of `Simd`; each row has that chunk.
unsafe fn accumulate<S: Simd, const M: usize>(
    sums: &mut [S::F; M],
    weights: S::B,
    scales: S::F,
    x: [Start; M],
    chunk: usize,
) {
    let (even, odd) = S::nibbles(weights);
    for m in 0..M {
        let digits = x[m].digits.add(chunk * 24 * S::LANES);
        // Apart until the end, so that none waits for another.
        let high = S::dot_bytes(S::zero_int(), even, odd, digits);
        let middle = S::dot_bytes(S::zero_int(), even, odd, digits.add(8 * S::LANES));
        let low = S::dot_bytes(S::load_int(x[m].offsets.add(chunk * S::LANES)), even, odd, digits.add(16 * S::LANES));
        let product = S::add_int(low, S::shift_8(S::add_int(middle, S::shift_8(high))));
        let product = S::to_float(product);
        sums[m] = S::fma(product, S::mul(scales, S::splat(*x[m].steps.add(chunk))), sums[m]);
    }
}
