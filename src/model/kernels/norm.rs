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
