//! MXFP4 by many rows of activations of 16 bits, in integers: twice as fast as floats, with an error of about 2^-16 of
//! a row's largest activation.
//!
//! Inside a block products add up in 32-bit integers, which cannot overflow: 12 * 32767 * 32 < 2^24.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::digits::scale;
use super::matrix::{BLOCK, Matrix, Weights};
use super::memory::{Buffer, Rows, Shared};
use super::panel::{Ahead, Form, Panel, WIDTH, multiply, places, unfold_scales};
use super::simd::Words;
use super::team::{Team, by_row};

/// Pairs of columns in a block.
const PAIRS: usize = BLOCK / 2;

/// What scales are divided by, and steps multiplied, so that products of large weights with small activations stay
/// finite.
const RAISED: f32 = (1 << 24) as f32;

/// Rows of activations in 16 bits.
#[derive(Debug, Default)]
pub struct Rounded {
    /// `[rows, cols / 2]`: pairs, in the order of the weights'.
    pairs: Buffer<i32>,
    /// `[rows]`: what one is worth, halved since the weights are doubled.
    steps: Buffer<f32>,
    rows: usize,
    cols: usize,
}

impl Rounded {
    /// Rows of `x` `[rows, cols]`, by `round` of an instruction set.
    pub fn fill(&mut self, team: &Team, x: &[f32], cols: usize, round: impl Fn(&[f32], &mut [i32], &mut f32) + Sync) {
        let rows = x.len() / cols;
        (self.rows, self.cols) = (rows, cols);
        let pairs = Shared::new(self.pairs.space(rows * cols / 2));
        let steps = Shared::new(self.steps.space(rows));
        by_row(team, x, cols, |row, x| {
            // SAFETY: every row is given out once.
            let (pairs, steps) =
                unsafe { (pairs.part(row * cols / 2..(row + 1) * cols / 2), steps.part(row..row + 1)) };
            round(x, pairs, &mut steps[0]);
        });
    }
}

/// Writes one row of [`Rounded`]: its pairs and its step.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn round<S: Words>(x: &[f32], pairs: &mut [i32], step: &mut f32) {
    const LARGEST: f32 = 32_766.0;
    assert_eq!(x.len(), 2 * pairs.len());
    let Some((inverse, worth)) = scale(x, LARGEST) else {
        (*step, _) = (f32::NAN, pairs.fill(0));
        return;
    };
    *step = worth * 0.5 * RAISED;
    for (x, pairs) in x.chunks_exact(8).zip(pairs.chunks_exact_mut(4)) {
        // SAFETY: they are finite, and within `LARGEST` but for their rounding.
        let whole = |x: f32| -> i32 { unsafe { (x * inverse).round_ties_even().to_int_unchecked() } };
        for i in 0..4 {
            pairs[i] = whole(x[i]) & 0xffff | whole(x[4 + i]) << 16;
        }
    }
}

/// `out` `[chosen, w]`: the products of MXFP4 weights with chosen rows.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn multiply_words<S: Words>(w: Matrix, x: &Rounded, chosen: &[u32], panel: &mut Panel, out: &mut [f32]) {
    assert_eq!(w.cols(), x.cols, "as many inputs as columns");
    assert!(chosen.iter().all(|&row| (row as usize) < x.rows), "rows that exist");
    let rows = Rows::new(x.pairs.all(), x.cols / 2, chosen);
    let steps = x.steps.all();
    multiply::<S, Pairs>(w, rows, |m| steps[chosen[m] as usize], panel, out);
}

struct Pairs;

impl<S: Words> Form<S> for Pairs {
    type X = i32;
    const TILE: usize = S::TILE;

    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn unfold(w: Matrix, panel: &mut Panel) {
        let Weights::Mxfp4 { blocks, scales } = w.weights() else { unreachable!("the weights are MXFP4") };
        let groups = w.cols() / BLOCK;
        let pairs = panel.weights.space(groups * PAIRS * WIDTH * S::LANES).as_mut_ptr();
        unfold_scales::<S>(scales, groups, 1.0 / RAISED, &mut panel.scales);
        for width in 0..WIDTH {
            let at = places::<S>(width, w.rows(), w.cols() / 2);
            for group in 0..groups {
                let lines = S::gather(blocks.as_ptr().add(group * 16), &at);
                for (i, line) in lines.into_iter().enumerate() {
                    for (j, unfolded) in S::unfold_pairs(line).into_iter().enumerate() {
                        let place = (group * PAIRS + 4 * i + j) * WIDTH + width;
                        S::store_pairs(pairs.add(place * S::LANES).cast(), unfolded);
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
        x: [*const i32; M],
        ahead: &mut Ahead,
    ) -> [[S::F; WIDTH]; M] {
        let (pairs, factors) = (panel.weights.all().as_ptr().cast::<i32>(), panel.scales.all().as_ptr());
        let mut sums = [[S::zero(); WIDTH]; M];
        for group in 0..cols / BLOCK {
            ahead.step::<S>();
            let mut products = [[S::zero_int(); WIDTH]; M];
            for pair in group * PAIRS..(group + 1) * PAIRS {
                let first = S::load_pairs(pairs.add(pair * WIDTH * S::LANES));
                let second = S::load_pairs(pairs.add((pair * WIDTH + 1) * S::LANES));
                for m in 0..M {
                    let x = S::splat_pair(*x[m].add(pair));
                    products[m][0] = S::dot_pairs(products[m][0], first, x);
                    products[m][1] = S::dot_pairs(products[m][1], second, x);
                }
            }
            for width in 0..WIDTH {
                let factor = S::load(factors.add((group * WIDTH + width) * S::LANES));
                for m in 0..M {
                    sums[m][width] = S::fma(S::to_float(products[m][width]), factor, sums[m][width]);
                }
            }
        }
        sums
    }
}
