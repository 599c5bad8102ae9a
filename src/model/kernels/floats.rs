//! Panels of weights in f32.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::matrix::{BLOCK, Matrix, Weights, widened};
use super::memory::Rows;
use super::panel::{Ahead, Form, Panel, WIDTH, multiply, places, unfold_scales};
use super::simd::Simd;

/// `out` `[x, w]`.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn multiply_floats<S: Simd>(w: Matrix, x: Rows<f32>, panel: &mut Panel, out: &mut [f32]) {
    assert_eq!(w.cols(), x.stride(), "as many inputs as columns");
    multiply::<S, Floats>(w, x, |_| 1.0, panel, out);
}

struct Floats;

impl<S: Simd> Form<S> for Floats {
    type X = f32;
    const TILE: usize = 6;

    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn unfold(w: Matrix, panel: &mut Panel) {
        let out = panel.weights.space(w.cols() * WIDTH * S::LANES).as_mut_ptr();
        if let Weights::Mxfp4 { scales, .. } = w.weights() {
            unfold_scales::<S>(scales, w.cols() / BLOCK, 1.0, &mut panel.scales);
        }
        let factors = panel.scales.all().as_ptr();
        for width in 0..WIDTH {
            match w.weights() {
                Weights::F32(weights) => {
                    let at = places::<S>(width, w.rows(), w.cols() * 4);
                    let whole = w.cols() - w.cols() % 4;
                    for col in (0..whole).step_by(4) {
                        let lines = S::gather(weights.as_ptr().add(col).cast(), &at);
                        for (i, line) in lines.into_iter().enumerate() {
                            S::store(out.add(((col + i) * WIDTH + width) * S::LANES), S::as_floats(line));
                        }
                    }
                    rest::<S>(out, width, whole..w.cols(), |col, lane| weights[at[lane] / 4 + col]);
                }
                Weights::Bf16(weights) => {
                    let at = places::<S>(width, w.rows(), w.cols() * 2);
                    let whole = w.cols() - w.cols() % 8;
                    for col in (0..whole).step_by(8) {
                        let lines = S::gather(weights.as_ptr().add(col).cast(), &at);
                        for (i, line) in lines.into_iter().enumerate() {
                            for (j, floats) in S::unfold_bf16(line).into_iter().enumerate() {
                                S::store(out.add(((col + 2 * i + j) * WIDTH + width) * S::LANES), floats);
                            }
                        }
                    }
                    rest::<S>(out, width, whole..w.cols(), |col, lane| widened(weights[at[lane] / 2 + col]));
                }
                Weights::Mxfp4 { blocks, .. } => {
                    let at = places::<S>(width, w.rows(), w.cols() / 2);
                    for group in 0..w.cols() / BLOCK {
                        let factors = S::load(factors.add((group * WIDTH + width) * S::LANES));
                        let lines = S::gather(blocks.as_ptr().add(group * 16), &at);
                        for (i, line) in lines.into_iter().enumerate() {
                            for (j, floats) in S::unfold_codes(line).into_iter().enumerate() {
                                let col = group * BLOCK + 8 * i + j;
                                S::store(out.add((col * WIDTH + width) * S::LANES), S::mul(floats, factors));
                            }
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    // SAFETY: the contract of `Simd`; all have `cols` columns.
    unsafe fn tile<const M: usize>(
        panel: &Panel,
        cols: usize,
        x: [*const f32; M],
        ahead: &mut Ahead,
    ) -> [[S::F; WIDTH]; M] {
        let weights = panel.weights.all().as_ptr();
        let mut sums = [[S::zero(); WIDTH]; M];
        for start in (0..cols).step_by(BLOCK) {
            ahead.step::<S>();
            for col in start..cols.min(start + BLOCK) {
                let first = S::load(weights.add(col * WIDTH * S::LANES));
                let second = S::load(weights.add((col * WIDTH + 1) * S::LANES));
                for m in 0..M {
                    let x = S::splat(*x[m].add(col));
                    sums[m][0] = S::fma(first, x, sums[m][0]);
                    sums[m][1] = S::fma(second, x, sums[m][1]);
                }
            }
        }
        sums
    }
}

/// Columns that do not fill 16 bytes.
#[inline(always)]
// SAFETY: the panel has these columns.
unsafe fn rest<S: Simd>(
    out: *mut f32,
    width: usize,
    cols: std::ops::Range<usize>,
    weight: impl Fn(usize, usize) -> f32,
) {
    for col in cols {
        for lane in 0..S::LANES {
            *out.add((col * WIDTH + width) * S::LANES + lane) = weight(col, lane);
        }
    }
}
