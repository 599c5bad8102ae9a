//! Root-mean-square norm.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::memory::Shared;
use super::product::Crew;
use super::simd::Simd;
use super::team::by_piece;

/// `out` `[rows, cols]` from `x` of the same size; `weight` `[cols]`.
pub fn forward(crew: &Crew, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let cols = weight.len();
    assert!(x.len() == out.len() && x.len().is_multiple_of(cols), "whole rows, and as many outputs as inputs");
    let (rows, out) = (x.len() / cols, Shared::new(out));
    by_piece(&crew.team, rows, cols, |rows| {
        let part = rows.start * cols..rows.end * cols;
        // SAFETY: every row is in one piece.
        let out = unsafe { out.part(part.clone()) };
        crew.kernels.norm(&x[part], weight, eps, out);
    });
}

/// The same, by one thread.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn norm<S: Simd>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let cols = weight.len();
    assert_eq!(x.len(), out.len(), "as many outputs as inputs");
    let whole = cols - cols % S::LANES;
    for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact_mut(cols)) {
        let rest: f32 = x[whole..].iter().map(|x| x * x).sum();
        let (x, out) = (x.as_ptr(), out.as_mut_ptr());
        let scale = ((squares::<S>(x, whole) + rest) / cols as f32 + eps).sqrt().recip();
        let (weight, scales) = (weight.as_ptr(), S::splat(scale));
        for at in (0..whole).step_by(S::LANES) {
            let scaled = S::mul(S::load(x.add(at)), scales);
            S::store(out.add(at), S::mul(scaled, S::load(weight.add(at))));
        }
        for at in whole..cols {
            *out.add(at) = *x.add(at) * scale * *weight.add(at);
        }
    }
}

/// The sum of the squares of the first `len`, whole registers of them.
#[inline(always)]
// SAFETY: the contract of `Simd`; there are as many.
unsafe fn squares<S: Simd>(x: *const f32, len: usize) -> f32 {
    let mut sums = [S::zero(); 4];
    for at in (0..len).step_by(4 * S::LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = at + i * S::LANES;
            if at < len {
                let x = S::load(x.add(at));
                *sum = S::fma(x, x, *sum);
            }
        }
    }
    S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])))
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernels};

    #[test]
    fn rows_are_divided_by_their_size() {
        for isa in Isa::available() {
            let kernels = Kernels::with(2, isa);
            for (rows, cols) in [(0, 5), (1, 1), (3, 7), (2, 64), (5, 100), (40, 2880)] {
                let number = |i: usize| ((i * 7919 + 13) % 2003) as f32 / 1001.0 - 1.0;
                let x: Vec<f32> = (0..rows * cols).map(|i| number(i) * 10f32.powi((i / cols % 9) as i32 - 4)).collect();
                let weight: Vec<f32> = (0..cols).map(|i| number(i + 5) + 1.5).collect();
                let mut out = vec![f32::NAN; x.len()];
                kernels.norm(&x, &weight, 1e-5, &mut out);
                for (x, out) in x.chunks(cols).zip(out.chunks(cols)) {
                    let square = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / cols as f64;
                    for ((x, out), weight) in x.iter().zip(out).zip(&weight) {
                        let expected = f64::from(*x) / (square + 1e-5).sqrt() * f64::from(*weight);
                        let error = (f64::from(*out) - expected).abs();
                        assert!(error <= 5e-7 * expected.abs(), "{isa:?} {rows} {cols}: {out}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_in_its_row() {
        for isa in Isa::available() {
            let mut x = vec![1.0; 3 * 50];
            x[77] = f32::NAN;
            let mut out = vec![0.0; x.len()];
            Kernels::with(1, isa).norm(&x, &[1.0; 50], 1e-5, &mut out);
            for (i, out) in out.iter().enumerate() {
                assert_eq!(out.is_nan(), (50..100).contains(&i), "{isa:?} {i}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "whole rows")]
    fn wrong_sizes_are_refused() {
        Kernels::new(1).norm(&[0.0; 7], &[0.0; 3], 0.0, &mut [0.0; 7]);
    }

    #[test]
    #[should_panic(expected = "whole rows")]
    fn fewer_outputs_are_refused() {
        Kernels::new(1).norm(&[0.0; 6], &[0.0; 3], 0.0, &mut [0.0; 3]);
    }
}
