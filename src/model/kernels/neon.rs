//! NEON: registers of 128 bits, 32 of them, on every 64-bit Arm.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "the contract of `Simd`")]

use std::arch::aarch64::*;

use super::isa::compile;
use super::simd::{BIASED, Simd, trusting};

pub struct Neon;

compile!(Neon, target_feature(enable = "neon"), words: None);

/// The codes' values as bfloat16: their low bytes, and their high ones.
const LOW: [u8; 16] = [0x00, 0x00, 0x80, 0xc0, 0x00, 0x40, 0x80, 0xc0, 0x00, 0x00, 0x80, 0xc0, 0x00, 0x40, 0x80, 0xc0];
const HIGH: [u8; 16] = [0x00, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40, 0x80, 0xbf, 0xbf, 0xbf, 0xc0, 0xc0, 0xc0, 0xc0];

impl Simd for Neon {
    const LANES: usize = 4;
    type F = float32x4_t;
    type I = int32x4_t;
    type B = uint8x16_t;

    trusting! {
        fn zero() -> float32x4_t {
            vdupq_n_f32(0.0)
        }
        fn splat(x: f32) -> float32x4_t {
            vdupq_n_f32(x)
        }
        fn load(p: *const f32) -> float32x4_t {
            vld1q_f32(p)
        }
        fn load_bf16(p: *const u16) -> float32x4_t {
            vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))
        }
        fn store(p: *mut f32, a: float32x4_t) {
            vst1q_f32(p, a)
        }
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vaddq_f32(a, b)
        }
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vmulq_f32(a, b)
        }
        fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            vfmaq_f32(c, a, b)
        }
        fn sum(a: float32x4_t) -> f32 {
            vaddvq_f32(a)
        }
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
            vmaxq_f32(a, b)
        }
        fn largest(a: float32x4_t) -> f32 {
            vmaxvq_f32(a)
        }
        fn power(a: float32x4_t) -> float32x4_t {
            let exponent = vshlq_n_s32(vreinterpretq_s32_f32(a), 23);
            vreinterpretq_f32_s32(vaddq_s32(exponent, vdupq_n_s32(127 << 23)))
        }
        /// These processors see a stream by themselves.
        fn prefetch_near(_p: *const u8) {}
        fn prefetch_far(_p: *const u8) {}

        fn zero_int() -> int32x4_t {
            vdupq_n_s32(0)
        }
        fn load_int(p: *const i32) -> int32x4_t {
            vld1q_s32(p)
        }
        fn add_int(a: int32x4_t, b: int32x4_t) -> int32x4_t {
            vaddq_s32(a, b)
        }
        fn shift_8(a: int32x4_t) -> int32x4_t {
            vshlq_n_s32(a, 8)
        }
        fn to_float(a: int32x4_t) -> float32x4_t {
            vcvtq_f32_s32(a)
        }

        fn load_bytes(p: *const u8) -> uint8x16_t {
            vld1q_u8(p)
        }
        fn load_some_bytes(_p: *const u8, _blocks: usize) -> uint8x16_t {
            unreachable!("a register holds one block")
        }
        fn nibbles(a: uint8x16_t) -> (uint8x16_t, uint8x16_t) {
            let table = vld1q_u8(BIASED.as_ptr());
            (vqtbl1q_u8(table, vandq_u8(a, vdupq_n_u8(15))), vqtbl1q_u8(table, vshrq_n_u8(a, 4)))
        }
        fn dot_bytes(c: int32x4_t, even: uint8x16_t, odd: uint8x16_t, x: *const i8) -> int32x4_t {
            // At most 24, so that they are the same when signed. Four products of at most 24 * 128 fit in 16 bits.
            let (even, odd) = (vreinterpretq_s8_u8(even), vreinterpretq_s8_u8(odd));
            let (first, second) = (vld1q_s8(x), vld1q_s8(x.add(16)));
            let low = vmull_s8(vget_low_s8(even), vget_low_s8(first));
            let low = vmlal_s8(low, vget_low_s8(odd), vget_low_s8(second));
            let high = vmlal_high_s8(vmull_high_s8(even, first), odd, second);
            vaddq_s32(c, vpaddlq_s16(vpaddq_s16(low, high)))
        }
        fn scales(p: *const u8) -> float32x4_t {
            vdupq_n_f32(f32::from_bits(u32::from(*p) << 23))
        }
        fn some_scales(_p: *const u8, _blocks: usize) -> float32x4_t {
            unreachable!("a register holds one block")
        }
        fn unfold(block: *const u8, scale: f32, out: *mut f32) {
            let bytes = vld1q_u8(block);
            let (even, odd) = (vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4));
            let (low, high) = (vld1q_u8(LOW.as_ptr()), vld1q_u8(HIGH.as_ptr()));
            for (sixteen, codes) in [vzip1q_u8(even, odd), vzip2q_u8(even, odd)].into_iter().enumerate() {
                let (low, high) = (vqtbl1q_u8(low, codes), vqtbl1q_u8(high, codes));
                for (eight, values) in [vzip1q_u8(low, high), vzip2q_u8(low, high)].into_iter().enumerate() {
                    let values = vreinterpretq_u16_u8(values);
                    let (first, second) = (vshll_n_u16(vget_low_u16(values), 16), vshll_high_n_u16(values, 16));
                    let out = out.add(16 * sixteen + 8 * eight);
                    vst1q_f32(out, vmulq_n_f32(vreinterpretq_f32_u32(first), scale));
                    vst1q_f32(out.add(4), vmulq_n_f32(vreinterpretq_f32_u32(second), scale));
                }
            }
        }

        fn gather(p: *const u8, at: &[usize; 16]) -> [uint8x16_t; 4] {
            let mut rows = [vdupq_n_u32(0); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = vreinterpretq_u32_u8(vld1q_u8(p.add(at[i])));
            }
            let [a, b, c, d] = rows;
            let (ab, cd) = (vreinterpretq_u64_u32(vtrn1q_u32(a, b)), vreinterpretq_u64_u32(vtrn1q_u32(c, d)));
            let (ab_odd, cd_odd) = (vreinterpretq_u64_u32(vtrn2q_u32(a, b)), vreinterpretq_u64_u32(vtrn2q_u32(c, d)));
            [
                vreinterpretq_u8_u64(vtrn1q_u64(ab, cd)),
                vreinterpretq_u8_u64(vtrn1q_u64(ab_odd, cd_odd)),
                vreinterpretq_u8_u64(vtrn2q_u64(ab, cd)),
                vreinterpretq_u8_u64(vtrn2q_u64(ab_odd, cd_odd)),
            ]
        }
        fn as_floats(a: uint8x16_t) -> float32x4_t {
            vreinterpretq_f32_u8(a)
        }
        fn unfold_bf16(a: uint8x16_t) -> [float32x4_t; 2] {
            let a = vreinterpretq_u32_u8(a);
            let high = vandq_u32(a, vdupq_n_u32(!0xffff));
            [vreinterpretq_f32_u32(vshlq_n_u32(a, 16)), vreinterpretq_f32_u32(high)]
        }
        fn unfold_codes(a: uint8x16_t) -> [float32x4_t; 8] {
            let (low, high) = (vld1q_u8(LOW.as_ptr()), vld1q_u8(HIGH.as_ptr()));
            let mut out = [vdupq_n_f32(0.0); 8];
            for (i, out) in out.iter_mut().enumerate() {
                let shifted = vshlq_u32(vreinterpretq_u32_u8(a), vdupq_n_s32(-4 * i as i32));
                // The bytes above the code are 0, which both tables leave so.
                let codes = vreinterpretq_u8_u32(vandq_u32(shifted, vdupq_n_u32(15)));
                let high = vshlq_n_u32(vreinterpretq_u32_u8(vqtbl1q_u8(high, codes)), 24);
                let low = vshlq_n_u32(vreinterpretq_u32_u8(vqtbl1q_u8(low, codes)), 16);
                *out = vreinterpretq_f32_u32(vorrq_u32(high, low));
            }
            out
        }
        fn unfold_scales(a: uint8x16_t) -> [float32x4_t; 4] {
            let mut out = [vdupq_n_f32(0.0); 4];
            for (i, out) in out.iter_mut().enumerate() {
                let scale = vshlq_u32(vreinterpretq_u32_u8(a), vdupq_n_s32(-8 * i as i32));
                let power = vshlq_n_u32(vandq_u32(scale, vdupq_n_u32(255)), 23);
                // A zero is 2^-127, which is half of the smallest normal number.
                *out = vreinterpretq_f32_u32(vmaxq_u32(power, vdupq_n_u32(1 << 22)));
            }
            out
        }
    }
}
