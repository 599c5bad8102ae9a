//! Rotation of queries and keys by their positions' angles.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::memory::Shared;
use super::product::Crew;
use super::simd::Simd;
use super::team::by_piece;

/// Turns `x` `[tokens, heads, head_dim]` by angles of `[tokens, head_dim / 2]`, and then multiplies it by `scale`.
pub fn forward(
    crew: &Crew,
    x: &mut [f32],
    (heads, head_dim): (usize, usize),
    (cos, sin): (&[f32], &[f32]),
    scale: f32,
) {
    let (cols, half) = (heads * head_dim, head_dim / 2);
    assert!(head_dim.is_multiple_of(2) && x.len().is_multiple_of(cols), "whole heads of pairs");
    let tokens = x.len() / cols;
    assert!(cos.len() == tokens * half && sin.len() == cos.len(), "an angle for each pair of each token");
    let x = Shared::new(x);
    by_piece(&crew.team, tokens, cols, |some| {
        let angles = some.start * half..some.end * half;
        // SAFETY: every token is in one piece.
        let x = unsafe { x.part(some.start * cols..some.end * cols) };
        crew.kernels.rope(x, half, &cos[angles.clone()], &sin[angles], scale);
    });
}

/// The same, by one thread; `half` is `head_dim / 2`.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn rope<S: Simd>(x: &mut [f32], half: usize, cos: &[f32], sin: &[f32], scale: f32) {
    assert_eq!(cos.len(), sin.len(), "a sine for each cosine");
    let Some(tokens) = cos.len().checked_div(half).filter(|&tokens| tokens > 0) else { return };
    let whole = half - half % S::LANES;
    let (cols, scales) = (x.len() / tokens, S::splat(scale));
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (x, (cos, sin)) in x.chunks_exact_mut(cols).zip(angles) {
        for x in x.chunks_exact_mut(2 * half) {
            let (first, second) = x.split_at_mut(half);
            for at in (0..whole).step_by(S::LANES) {
                let (cos, sin) = (S::load(cos.as_ptr().add(at)), S::load(sin.as_ptr().add(at)));
                let (p, q) = (first.as_mut_ptr().add(at), second.as_mut_ptr().add(at));
                let (a, b) = (S::load(p), S::load(q));
                let minus = S::mul(S::mul(b, sin), S::splat(-1.0));
                S::store(p, S::mul(S::fma(a, cos, minus), scales));
                S::store(q, S::mul(S::fma(b, cos, S::mul(a, sin)), scales));
            }
            for at in whole..half {
                let (a, b) = (first[at], second[at]);
                first[at] = (a * cos[at] - b * sin[at]) * scale;
                second[at] = (b * cos[at] + a * sin[at]) * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernels};

    #[test]
    fn pairs_are_turned_and_scaled() {
        for isa in Isa::available() {
            let kernels = Kernels::with(2, isa);
            for (tokens, heads, dim) in
                [(0, 1, 2), (1, 1, 2), (2, 3, 6), (3, 2, 32), (5, 8, 64), (2, 1, 70), (200, 8, 64)]
            {
                let half = dim / 2;
                let number = |i: usize| ((i * 7919 + 13) % 2003) as f32 / 1001.0 - 1.0;
                let x: Vec<f32> = (0..tokens * heads * dim).map(number).collect();
                let (sin, cos): (Vec<f32>, Vec<f32>) = (0..tokens * half).map(|i| (number(i) * 3.0).sin_cos()).unzip();
                for scale in [1.0, 0.125] {
                    let mut got = x.clone();
                    kernels.rope(&mut got, heads, dim, (&cos, &sin), scale);
                    for (i, got) in got.into_iter().enumerate() {
                        let (token, pair) = (i / (heads * dim), i % dim % half);
                        let (cos, sin) = (cos[token * half + pair], sin[token * half + pair]);
                        let wide = f64::from;
                        let expected = if i % dim < half {
                            wide(x[i]) * wide(cos) - wide(x[i + half]) * wide(sin)
                        } else {
                            wide(x[i]) * wide(cos) + wide(x[i - half]) * wide(sin)
                        };
                        let error = (wide(got) - expected * wide(scale)).abs();
                        assert!(error < 2e-7, "{isa:?} {tokens} {heads} {dim}, {i}: {got}, not {expected}");
                    }
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "an angle for each pair")]
    fn fewer_angles_are_refused() {
        Kernels::new(1).rope(&mut [0.0; 16], 2, 4, (&[0.0; 4], &[0.0; 3]), 1.0);
    }

    #[test]
    #[should_panic(expected = "whole heads of pairs")]
    fn odd_heads_are_refused() {
        Kernels::new(1).rope(&mut [0.0; 12], 2, 3, (&[0.0; 2], &[0.0; 2]), 1.0);
    }
}
