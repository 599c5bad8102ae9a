//! Products with many rows of activations: a panel of weights is unfolded once, with a row in each lane, and then meets
//! the rows of activations a few at a time.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]
#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays of registers")]

use std::ops::Range;

use super::dot::{by_rows, tiles};
use super::matrix::{BLOCK, Matrix};
use super::memory::{Buffer, Number, Rows};
use super::simd::Simd;

/// Registers of weights' rows in a panel.
pub const WIDTH: usize = 2;

/// A panel of unfolded weights.
#[derive(Debug, Default)]
pub struct Panel {
    /// `[cols, WIDTH, LANES]`, or for pairs of 16 bits half as many columns.
    pub weights: Buffer<f32>,
    /// `[cols / 32, WIDTH, LANES]`, where they have scales.
    pub scales: Buffer<f32>,
}

/// What weights are unfolded to.
pub trait Form<S: Simd> {
    /// Of a row of activations.
    type X: Number;
    /// Rows of activations in a tile, at most six.
    const TILE: usize;

    /// Writes a panel of at most `WIDTH * LANES` rows; where there are fewer, what is behind them does not matter.
    // SAFETY: the contract of `Simd`.
    unsafe fn unfold(w: Matrix, panel: &mut Panel);

    /// The products of a panel with `M` rows of activations. Every 32 columns, it takes a step `ahead`.
    // SAFETY: the contract of `Simd`; all have `cols` columns.
    unsafe fn tile<const M: usize>(
        panel: &Panel,
        cols: usize,
        x: [*const Self::X; M],
        ahead: &mut Ahead,
    ) -> [[S::F; WIDTH]; M];
}

/// The addresses of the next panel, to be asked for a few lines at a time while this one is worked on.
pub struct Ahead {
    addresses: Range<usize>,
    /// Bytes in a step.
    step: usize,
}

impl Ahead {
    pub fn new(addresses: Range<usize>, steps: usize) -> Self {
        let step = addresses.len().div_ceil(steps.max(1)).next_multiple_of(64);
        Ahead { addresses, step }
    }

    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    pub unsafe fn step<S: Simd>(&mut self) {
        let end = self.addresses.end.min(self.addresses.start + self.step);
        while self.addresses.start < end {
            S::prefetch_far(self.addresses.start as *const u8);
            self.addresses.start += 64;
        }
    }
}

/// `out` `[x, w]`: the products, each times the `step` of its row of activations. The weights are read once.
// SAFETY: the processor has the instruction set; a row of `x` has as many columns as one of weights.
#[inline(always)]
pub unsafe fn multiply<S: Simd, F: Form<S>>(
    w: Matrix,
    x: Rows<F::X>,
    step: impl Fn(usize) -> f32,
    panel: &mut Panel,
    out: &mut [f32],
) {
    assert_eq!(out.len(), x.len() * w.rows(), "an output for each row of weights");
    let lanes = WIDTH * S::LANES;
    for start in (0..w.rows()).step_by(lanes) {
        let end = w.rows().min(start + lanes);
        F::unfold(w.range(start..end), panel);
        let steps = x.len().div_ceil(F::TILE) * w.cols().div_ceil(BLOCK);
        let mut ahead = Ahead::new(w.addresses(end..w.rows().min(end + lanes)), steps);
        for (first, count) in tiles(x.len(), F::TILE) {
            by_rows!(count, M in 1 2 3 4 5 6 => {
                let sums = F::tile::<M>(panel, w.cols(), x.pointers::<M>(first), &mut ahead);
                for m in 0..M {
                    let mut row = [0.0f32; 16 * WIDTH];
                    for width in 0..WIDTH {
                        S::store(row.as_mut_ptr().add(width * S::LANES), S::mul(sums[m][width], S::splat(step(first + m))));
                    }
                    out[(first + m) * w.rows()..][start..end].copy_from_slice(&row[..end - start]);
                }
            });
        }
    }
}

/// Writes the scales of a panel of MXFP4, times `factor`.
#[inline(always)]
// SAFETY: the contract of `Simd`.
pub unsafe fn unfold_scales<S: Simd>(scales: &[u8], groups: usize, factor: f32, out: &mut Buffer<f32>) {
    let out = out.space(groups * WIDTH * S::LANES).as_mut_ptr();
    let rows = scales.len() / groups;
    for width in 0..WIDTH {
        let at = places::<S>(width, rows, groups);
        for first in (0..groups).step_by(16) {
            let lines = if first + 16 <= groups {
                S::gather(scales.as_ptr().add(first), &at)
            } else {
                let mut rest = [0u8; 256];
                for (rest, at) in rest.chunks_exact_mut(16).zip(at) {
                    rest[..groups - first].copy_from_slice(&scales[at + first..at + groups]);
                }
                S::gather(rest.as_ptr(), &std::array::from_fn(|lane| 16 * lane))
            };
            for (i, line) in lines.into_iter().enumerate() {
                for (j, scales) in S::unfold_scales(line).into_iter().enumerate() {
                    let group = first + 4 * i + j;
                    if group < groups {
                        S::store(out.add((group * WIDTH + width) * S::LANES), S::mul(scales, S::splat(factor)));
                    }
                }
            }
        }
    }
}

/// Where the lanes' rows begin in bytes; the last row stands in for those that are not there.
#[inline(always)]
pub fn places<S: Simd>(width: usize, rows: usize, row_bytes: usize) -> [usize; 16] {
    std::array::from_fn(|lane| (width * S::LANES + lane).min(rows - 1) * row_bytes)
}
