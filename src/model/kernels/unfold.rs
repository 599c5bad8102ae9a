//! Weights as they are stored, widened to f32.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]

use super::dot::{FAR, NEAR};
use super::matrix::{BLOCK, Matrix, Weights, power, widened};
use super::simd::Simd;

/// `out` `[rows, cols]`.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn widen<S: Simd>(w: Matrix, out: &mut [f32]) {
    assert_eq!(out.len(), w.rows() * w.cols(), "room for every weight");
    match w.weights() {
        Weights::F32(weights) => out.copy_from_slice(weights),
        Weights::Bf16(weights) => {
            let whole = out.len() - out.len() % (2 * S::LANES);
            for at in (0..whole).step_by(2 * S::LANES) {
                let from = weights.as_ptr().add(at);
                S::prefetch_far(from.cast::<u8>().wrapping_add(FAR));
                S::prefetch_near(from.cast::<u8>().wrapping_add(NEAR));
                S::store(out.as_mut_ptr().add(at), S::load_bf16(from));
                S::store(out.as_mut_ptr().add(at + S::LANES), S::load_bf16(from.add(S::LANES)));
            }
            out[whole..].iter_mut().zip(&weights[whole..]).for_each(|(out, &w)| *out = widened(w));
        }
        Weights::Mxfp4 { blocks, scales } => {
            for (block, &scale) in scales.iter().enumerate() {
                let from = blocks.as_ptr().add(block * BLOCK / 2);
                if block % 4 == 0 {
                    S::prefetch_far(from.wrapping_add(FAR));
                    S::prefetch_near(from.wrapping_add(NEAR));
                }
                S::unfold(from, power(scale), out.as_mut_ptr().add(block * BLOCK));
            }
        }
    }
}
