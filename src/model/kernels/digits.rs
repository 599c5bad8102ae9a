//! MXFP4 by activations of 24 bits, in integers: exact but for rounding the activations as f32 would round their sum.
//!
//! Unfolding 4-bit weights to floats costs more than reading them from memory. As bytes they unfold many at a time, and
//! an activation of three signed bytes, `x = d2 * 65536 + d1 * 256 + d0`, multiplies them in three steps. The weights
//! are doubled and biased, so that they are unsigned integers; the bias is taken off by a sum that depends on `x`
//! alone. Activations of two digits have 16 bits, and take two steps.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]
#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays of registers")]

use super::dot::{FAR, NEAR, by_rows, put, tiles};
use super::matrix::{BLOCK, Matrix, Weights};
use super::memory::{Buffer, Shared};
use super::simd::{BIAS, Simd};
use super::team::{Team, by_row};

/// The largest activation of a chunk, in two digits and in three; a little below 127 * (65536 + 256 + 1), and that
/// without its first digit, so that rounding does not pass it.
const LARGEST: [f32; 2] = [32_638.0, 8_355_000.0];

/// Rows of activations in two or three digits. A chunk is what one register of weights meets: `8 * LANES` columns.
#[derive(Debug, Default)]
pub struct Digits {
    /// `[rows, chunks, count, 2, 4 * LANES]`: the highest digit first; the even columns, then the odd ones.
    digits: Buffer<i8>,
    /// `[rows, chunks, LANES]`: takes off the bias.
    offsets: Buffer<i32>,
    /// `[rows, chunks]`: what one is worth, halved since the weights are doubled.
    steps: Buffer<f32>,
    rows: usize,
    cols: usize,
    chunks: usize,
    lanes: usize,
    /// 2 or 3.
    count: usize,
}

/// One row of [`Digits`], to be written.
pub struct DigitsRow<'a> {
    digits: &'a mut [i8],
    offsets: &'a mut [i32],
    steps: &'a mut [f32],
}

impl Digits {
    /// Rows of `x` `[rows, cols]` in two or three digits, by `split` of an instruction set of so many lanes.
    pub fn fill(
        &mut self,
        team: &Team,
        x: &[f32],
        cols: usize,
        (count, lanes): (usize, usize),
        split: impl Fn(&[f32], DigitsRow) + Sync,
    ) {
        let (rows, chunks) = (x.len() / cols, cols.div_ceil(8 * lanes));
        (self.rows, self.cols, self.chunks, self.lanes, self.count) = (rows, cols, chunks, lanes, count);
        let digits = Shared::new(self.digits.space(rows * chunks * 8 * count * lanes));
        let offsets = Shared::new(self.offsets.space(rows * chunks * lanes));
        let steps = Shared::new(self.steps.space(rows * chunks));
        by_row(team, x, cols, |row, x| {
            let part = |size: usize| row * chunks * size..(row + 1) * chunks * size;
            // SAFETY: every row is given out once.
            let row = unsafe {
                DigitsRow {
                    digits: digits.part(part(8 * count * lanes)),
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
                digits: self.digits.all()[chunk * 8 * self.count * self.lanes..].as_ptr(),
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

/// What makes the largest of `x` `most`, and what one is worth then; nothing where a number is not finite. Where all
/// are so small that the former would not be finite, they count as zero.
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
    let count = row.digits.len() / (8 * S::LANES * chunks.len().max(1));
    assert!(count == 2 || count == 3);
    assert_eq!(row.digits.len(), chunks.len() * 8 * count * S::LANES);
    assert_eq!(row.offsets.len(), chunks.len() * S::LANES);
    assert_eq!(row.steps.len(), chunks.len());
    let digits = row.digits.chunks_exact_mut(8 * count * S::LANES);
    let out = digits.zip(row.offsets.chunks_exact_mut(S::LANES)).zip(row.steps);
    for (x, ((digits, offsets), step)) in chunks.zip(out) {
        // As many as any instruction set needs; columns that are not there are zero.
        let mut wide = [0.0f32; 128];
        wide[..x.len()].copy_from_slice(x);
        let Some((inverse, worth)) = scale(&wide, LARGEST[count - 2]) else {
            (*step, _) = (f32::NAN, digits.fill(0));
            continue;
        };
        *step = worth * 0.5;
        // One thing at a time, each of which compilers do in vectors.
        let mut whole = [0i32; 128];
        let (mut high, mut middle, mut low) = ([0i8; 128], [0i8; 128], [0i8; 128]);
        for i in 0..128 {
            // SAFETY: it is finite, and within `LARGEST` but for its rounding.
            whole[i] = unsafe { (wide[i] * inverse).round_ties_even().to_int_unchecked() };
        }
        for (offset, whole) in offsets.iter_mut().zip(whole.chunks_exact(8)) {
            *offset = -BIAS * whole.iter().sum::<i32>();
        }
        for i in 0..128 {
            low[i] = whole[i] as i8;
            // Adding a half of what the next digit is worth rounds to it.
            middle[i] = ((whole[i] + (1 << 7)) >> 8) as i8;
            high[i] = ((whole[i] + (1 << 7) + (1 << 15)) >> 16) as i8;
        }
        for (out, digit) in digits.chunks_exact_mut(8 * S::LANES).zip(&[high, middle, low][3 - count..]) {
            let (even, odd) = out.split_at_mut(4 * S::LANES);
            for (i, (even, odd)) in even.iter_mut().zip(odd).enumerate() {
                (*even, *odd) = (digit[2 * i], digit[2 * i + 1]);
            }
        }
    }
}

/// `out` `[chosen, w]`: the products of MXFP4 weights with chosen rows. The weights come from memory and are read once
/// for every three rows, the second time from the cache.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn multiply<S: Simd>(w: Matrix, x: &Digits, chosen: &[u32], out: &mut [f32]) {
    let Weights::Mxfp4 { blocks, scales } = w.weights() else { unreachable!("the weights are MXFP4") };
    assert_eq!(S::LANES, x.lanes, "digits for this instruction set");
    assert_eq!(w.cols(), x.cols, "as many inputs as columns");
    assert_eq!(out.len(), chosen.len() * w.rows(), "an output for each row of weights");
    assert!(chosen.iter().all(|&row| (row as usize) < x.rows), "rows that exist");
    if x.count == 2 {
        rows::<S, 2>(blocks, scales, w.rows(), x, chosen, out);
    } else {
        rows::<S, 3>(blocks, scales, w.rows(), x, chosen, out);
    }
}

#[inline(always)]
// SAFETY: the contract of `Simd`; the sizes are those of `multiply`.
unsafe fn rows<S: Simd, const D: usize>(
    blocks: &[u8],
    scales: &[u8],
    rows: usize,
    x: &Digits,
    chosen: &[u32],
    out: &mut [f32],
) {
    let groups = x.cols / BLOCK;
    for (first, count) in tiles(chosen.len(), 3) {
        by_rows!(count, M in 1 2 3 => {
            const HIGH: usize = if M <= 2 { 4 } else { 2 };
            let x = x.pointers::<M>(&chosen[first..]);
            let out = out.as_mut_ptr().add(first * rows);
            // As many streams of weights, each of rows that follow each other.
            let stream = rows / HIGH;
            for row in 0..stream {
                let (blocks, scales) = (blocks.as_ptr().add(row * groups * 16), scales.as_ptr().add(row * groups));
                put::<HIGH, M>(out.add(row), rows, stream, tile::<S, D, HIGH, M>(blocks, scales, groups, stream, x));
            }
            for row in stream * HIGH..rows {
                let (blocks, scales) = (blocks.as_ptr().add(row * groups * 16), scales.as_ptr().add(row * groups));
                put::<1, M>(out.add(row), rows, 1, tile::<S, D, 1, M>(blocks, scales, groups, 1, x));
            }
        });
    }
}

/// The products of `R` rows of weights, every `stride`-th, with `M` of activations.
#[inline(always)]
// SAFETY: the contract of `Simd`; all have `groups` blocks.
unsafe fn tile<S: Simd, const D: usize, const R: usize, const M: usize>(
    blocks: *const u8,
    scales: *const u8,
    groups: usize,
    stride: usize,
    x: [Start; M],
) -> [[f32; M]; R] {
    for r in 0..R {
        for line in (0..groups).step_by(64) {
            S::prefetch_near(scales.wrapping_add(r * stride * groups + NEAR + line));
        }
    }
    let mut sums = [[S::zero(); M]; R];
    let chunks = groups / S::BLOCKS;
    for chunk in 0..chunks {
        for r in 0..R {
            let group = r * stride * groups + chunk * S::BLOCKS;
            let (blocks, scales) = (blocks.add(group * 16), scales.add(group));
            S::prefetch_far(blocks.wrapping_add(FAR));
            S::prefetch_near(blocks.wrapping_add(NEAR));
            accumulate::<S, D, M>(&mut sums[r], S::load_bytes(blocks), S::scales(scales), x, chunk);
        }
    }
    let rest = groups % S::BLOCKS;
    let mut out = [[0.0; M]; R];
    for r in 0..R {
        if rest > 0 {
            let group = r * stride * groups + chunks * S::BLOCKS;
            let (bytes, scales) =
                (S::load_some_bytes(blocks.add(group * 16), rest), S::some_scales(scales.add(group), rest));
            accumulate::<S, D, M>(&mut sums[r], bytes, scales, x, chunks);
        }
        for m in 0..M {
            out[r][m] = S::sum(sums[r][m]);
        }
    }
    out
}

#[inline(always)]
// SAFETY: the contract of `Simd`; each row has that chunk.
unsafe fn accumulate<S: Simd, const D: usize, const M: usize>(
    sums: &mut [S::F; M],
    weights: S::B,
    scales: S::F,
    x: [Start; M],
    chunk: usize,
) {
    let (even, odd) = S::nibbles(weights);
    // A lane's 8 columns come to at most 24 * 8 * 8,355,128 before the bias is off, and to half of that after: within 32
    // bits, and so is each sum on the way.
    for m in 0..M {
        let digits = x[m].digits.add(chunk * 8 * D * S::LANES);
        // Apart until the end, so that none waits for another.
        let mut high = S::dot_bytes(S::zero_int(), even, odd, digits);
        if D == 3 {
            high = S::add_int(S::shift_8(high), S::dot_bytes(S::zero_int(), even, odd, digits.add(8 * S::LANES)));
        }
        let offset = S::load_int(x[m].offsets.add(chunk * S::LANES));
        let low = S::dot_bytes(offset, even, odd, digits.add(8 * (D - 1) * S::LANES));
        let product = S::to_float(S::add_int(low, S::shift_8(high)));
        sums[m] = S::fma(product, S::mul(scales, S::splat(*x[m].steps.add(chunk))), sums[m]);
    }
}
