//! The activation between the two matrices of an expert.

#![allow(unsafe_code, reason = "compiled for each instruction set")]

use super::simd::Simd;

/// What bounds and bends it.
#[derive(Clone, Copy, Debug)]
pub struct Swiglu {
    pub limit: f32,
    pub alpha: f32,
}

/// `both` `[n, 2]`, gate and up alternating; `out` `[n]`: `(up + 1) * gate * sigmoid(alpha * gate)`, where `gate` is at
/// most the limit and `up` within it on both sides. What is no number stays so.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn swiglu<S: Simd>(both: &[f32], Swiglu { limit, alpha }: Swiglu, out: &mut [f32]) {
    assert_eq!(both.len(), 2 * out.len(), "a gate for each output");
    for (out, both) in out.iter_mut().zip(both.chunks_exact(2)) {
        let gate = at_most(both[0], limit);
        let up = -at_most(-at_most(both[1], limit), limit);
        *out = (up + 1.0) * gate / (1.0 + exp(-alpha * gate));
    }
}

/// `x.min(limit)`, but what is no number stays so.
#[inline(always)]
fn at_most(x: f32, limit: f32) -> f32 {
    if x > limit { limit } else { x }
}

/// Adding it rounds to a whole number, which then stands in the lowest bits.
pub const ROUND: f32 = 12_582_912.0;
/// The logarithm of 2, in two numbers of which the first has few bits.
pub const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// `(e^r - 1 - r) / r^2` near zero, the highest power first.
pub const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// e^x within two units in the last place, without branches; x is held to where the result is a normal number.
/// Cody and Waite's reduction, and the polynomial of Cephes.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = -at_most(-at_most(x, 88.0), 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    let p = POLYNOMIAL[1..].iter().fold(POLYNOMIAL[0], |p, factor| p * r + factor);
    let power = f32::from_bits((shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    (p * r * r + r + 1.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_as_exact_as_its_type() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got / expected - 1.0).abs() < 2e-7, "exp({x}) = {got}, not {expected}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(f32::INFINITY) > 1e38);
    }
}
