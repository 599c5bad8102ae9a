//! Dot products of rows of float weights with rows of activations, along the columns, in f32.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]
#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays of registers")]

use super::matrix::{Matrix, Weights, widened};
use super::memory::Rows;
use super::simd::Simd;

/// How far ahead a stream of weights is asked for, in bytes: into the first level of cache and into the second.
pub const NEAR: usize = 768;
pub const FAR: usize = 8192;

/// A float as it is stored.
trait Float: Copy {
    // SAFETY: the contract of `Simd`. Reads `S::LANES` of them.
    unsafe fn load<S: Simd>(p: *const Self) -> S::F;
    fn wide(self) -> f32;
}

/// Runs `$body` with the constant `$M` for a number of rows of activations, one of those named.
macro_rules! by_rows {
    ($m:expr, $M:ident in $($n:literal)* => $body:expr) => {
        match $m {
            $($n => {
                const $M: usize = $n;
                $body
            })*
            _ => unreachable!("tiles are not larger"),
        }
    };
}
pub(super) use by_rows;

/// `out` `[x, w]`: weights in f32 or bf16 that come from memory and are read once for every six rows of `x`, the second
/// time from the cache.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn stream<S: Simd>(w: Matrix, x: Rows<f32>, out: &mut [f32]) {
    assert_eq!(w.cols(), x.stride(), "as many inputs as columns");
    assert_eq!(out.len(), x.len() * w.rows(), "an output for each row of weights");
    match w.weights() {
        Weights::F32(weights) => stream_rows::<S, f32>(weights, w.rows(), x, out),
        Weights::Bf16(weights) => stream_rows::<S, u16>(weights, w.rows(), x, out),
        Weights::Mxfp4 { .. } => unreachable!("MXFP4 is widened, or multiplied as integers"),
    }
}

/// Parts `count` into pieces that are nearly equal, of at most `most`: where each begins, and its size.
pub fn tiles(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = count.div_ceil(most);
    let start = move |piece: usize| piece * count / pieces;
    (0..pieces).map(move |piece| (start(piece), start(piece + 1) - start(piece)))
}

#[inline(always)]
// SAFETY: the contract of `Simd`; the sizes are those of `stream`.
unsafe fn stream_rows<S: Simd, W: Float>(weights: &[W], rows: usize, x: Rows<f32>, out: &mut [f32]) {
    let cols = x.stride();
    for (first, count) in tiles(x.len(), 6) {
        by_rows!(count, M in 1 2 3 4 5 6 => {
            const HIGH: usize = 4;
            const UNROLLED: usize = if M <= 2 { 2 } else { 1 };
            let x = x.pointers::<M>(first);
            let out = out.as_mut_ptr().add(first * rows);
            // As many streams of weights, each of rows that follow each other.
            let stream = rows / HIGH;
            for row in 0..stream {
                let sums = tile::<S, W, HIGH, M, UNROLLED>(weights.as_ptr().add(row * cols), stream * cols, x, cols);
                put::<HIGH, M>(out.add(row), rows, stream, sums);
            }
            for row in stream * HIGH..rows {
                let sums = tile::<S, W, 1, M, 1>(weights.as_ptr().add(row * cols), cols, x, cols);
                put::<1, M>(out.add(row), rows, 1, sums);
            }
        });
    }
}

/// The products of `R` rows of weights, `stride` apart, with `M` of activations, `width` columns of them; with `U` sums
/// for each, so that additions need not wait for each other.
#[inline(always)]
// SAFETY: the contract of `Simd`; each row has `width` columns.
unsafe fn tile<S: Simd, W: Float, const R: usize, const M: usize, const U: usize>(
    w: *const W,
    stride: usize,
    x: [*const f32; M],
    width: usize,
) -> [[f32; M]; R] {
    let mut sums = [[[S::zero(); U]; M]; R];
    let step = U * S::LANES;
    let mut at = 0;
    while at + step <= width {
        for r in 0..R {
            let p = w.add(r * stride + at).cast::<u8>();
            for line in (0..step * size_of::<W>()).step_by(64) {
                S::prefetch_far(p.wrapping_add(FAR + line));
                S::prefetch_near(p.wrapping_add(NEAR + line));
            }
        }
        for u in 0..U {
            accumulate::<S, W, R, M, U>(&mut sums, w, stride, x, at + u * S::LANES, u);
        }
        at += step;
    }
    while at + S::LANES <= width {
        accumulate::<S, W, R, M, U>(&mut sums, w, stride, x, at, 0);
        at += S::LANES;
    }
    let mut out = [[0.0; M]; R];
    for r in 0..R {
        for m in 0..M {
            for u in 1..U {
                sums[r][m][0] = S::add(sums[r][m][0], sums[r][m][u]);
            }
            out[r][m] = S::sum(sums[r][m][0]);
            for at in at..width {
                out[r][m] += (*w.add(r * stride + at)).wide() * *x[m].add(at);
            }
        }
    }
    out
}

#[inline(always)]
// SAFETY: the contract of `Simd`; each row has `S::LANES` columns from `at` on.
unsafe fn accumulate<S: Simd, W: Float, const R: usize, const M: usize, const U: usize>(
    sums: &mut [[[S::F; U]; M]; R],
    w: *const W,
    stride: usize,
    x: [*const f32; M],
    at: usize,
    u: usize,
) {
    let mut weights = [S::zero(); R];
    for r in 0..R {
        weights[r] = W::load::<S>(w.add(r * stride + at));
    }
    for m in 0..M {
        let x = S::load(x[m].add(at));
        for r in 0..R {
            sums[r][m][u] = S::fma(weights[r], x, sums[r][m][u]);
        }
    }
}

/// Writes the sums of a tile to their places in `[x, w]`.
#[inline(always)]
// SAFETY: `out` has `M` rows, `rows` apart, with `R` columns, `stride` apart.
pub unsafe fn put<const R: usize, const M: usize>(out: *mut f32, rows: usize, stride: usize, sums: [[f32; M]; R]) {
    for m in 0..M {
        for r in 0..R {
            *out.add(m * rows + r * stride) = sums[r][m];
        }
    }
}

impl Float for f32 {
    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn load<S: Simd>(p: *const f32) -> S::F {
        S::load(p)
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        self
    }
}

/// A bfloat16.
impl Float for u16 {
    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn load<S: Simd>(p: *const u16) -> S::F {
        S::load_bf16(p)
    }

    #[inline(always)]
    fn wide(self) -> f32 {
        widened(self)
    }
}
