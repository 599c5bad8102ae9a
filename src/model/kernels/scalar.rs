//! No instruction set in particular: arrays, which compilers know how to turn into whatever there is.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "the contract of `Simd`")]

use super::isa::compile;
use super::matrix::{VALUES, power, widened};
use super::simd::{BIASED, Simd, trusting};

pub struct Scalar;

compile!(Scalar, inline(never), words: None);

impl Simd for Scalar {
    const LANES: usize = 4;
    type F = [f32; 4];
    type I = [i32; 4];
    type B = [u8; 16];

    trusting! {
        fn zero() -> [f32; 4] {
            [0.0; 4]
        }
        fn splat(x: f32) -> [f32; 4] {
            [x; 4]
        }
        fn load(p: *const f32) -> [f32; 4] {
            p.cast::<[f32; 4]>().read_unaligned()
        }
        fn load_bf16(p: *const u16) -> [f32; 4] {
            p.cast::<[u16; 4]>().read_unaligned().map(widened)
        }
        fn store(p: *mut f32, a: [f32; 4]) {
            p.cast::<[f32; 4]>().write_unaligned(a)
        }
        fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| a[i] + b[i])
        }
        fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| a[i] * b[i])
        }
        fn fma(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| a[i] * b[i] + c[i])
        }
        fn sum(a: [f32; 4]) -> f32 {
            (a[0] + a[2]) + (a[1] + a[3])
        }
        fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
            std::array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
        }
        fn largest(a: [f32; 4]) -> f32 {
            a.into_iter().fold(f32::NEG_INFINITY, f32::max)
        }
        fn power(a: [f32; 4]) -> [f32; 4] {
            a.map(|a| f32::from_bits((a.to_bits() << 23).wrapping_add(127 << 23)))
        }
        fn prefetch_near(_p: *const u8) {}
        fn prefetch_far(_p: *const u8) {}

        fn zero_int() -> [i32; 4] {
            [0; 4]
        }
        fn load_int(p: *const i32) -> [i32; 4] {
            p.cast::<[i32; 4]>().read_unaligned()
        }
        fn add_int(a: [i32; 4], b: [i32; 4]) -> [i32; 4] {
            std::array::from_fn(|i| a[i] + b[i])
        }
        fn shift_8(a: [i32; 4]) -> [i32; 4] {
            a.map(|a| a << 8)
        }
        fn to_float(a: [i32; 4]) -> [f32; 4] {
            a.map(|a| a as f32)
        }

        fn load_bytes(p: *const u8) -> [u8; 16] {
            p.cast::<[u8; 16]>().read()
        }
        fn load_some_bytes(_p: *const u8, _blocks: usize) -> [u8; 16] {
            unreachable!("a register holds one block")
        }
        fn nibbles(a: [u8; 16]) -> ([u8; 16], [u8; 16]) {
            (a.map(|a| BIASED[usize::from(a & 15)]), a.map(|a| BIASED[usize::from(a >> 4)]))
        }
        fn dot_bytes(c: [i32; 4], even: [u8; 16], odd: [u8; 16], x: *const i8) -> [i32; 4] {
            let x = x.cast::<[i8; 32]>().read();
            let product = |i: usize| i32::from(even[i]) * i32::from(x[i]) + i32::from(odd[i]) * i32::from(x[16 + i]);
            std::array::from_fn(|lane| c[lane] + (4 * lane..4 * lane + 4).map(product).sum::<i32>())
        }
        fn scales(p: *const u8) -> [f32; 4] {
            [f32::from_bits(u32::from(*p) << 23); 4]
        }
        fn some_scales(_p: *const u8, _blocks: usize) -> [f32; 4] {
            unreachable!("a register holds one block")
        }
        fn unfold(block: *const u8, scale: f32, out: *mut f32) {
            for i in 0..16 {
                let byte = *block.add(i);
                *out.add(2 * i) = VALUES[usize::from(byte & 15)] * scale;
                *out.add(2 * i + 1) = VALUES[usize::from(byte >> 4)] * scale;
            }
        }

        fn gather(p: *const u8, at: &[usize; 16]) -> [[u8; 16]; 4] {
            let rows: [[u8; 16]; 4] = std::array::from_fn(|row| p.add(at[row]).cast::<[u8; 16]>().read());
            std::array::from_fn(|i| std::array::from_fn(|byte| rows[byte / 4][4 * i + byte % 4]))
        }
        fn as_floats(a: [u8; 16]) -> [f32; 4] {
            lanes(a).map(f32::from_bits)
        }
        fn unfold_bf16(a: [u8; 16]) -> [[f32; 4]; 2] {
            [lanes(a).map(|a| f32::from_bits(a << 16)), lanes(a).map(|a| f32::from_bits(a & !0xffff))]
        }
        fn unfold_codes(a: [u8; 16]) -> [[f32; 4]; 8] {
            std::array::from_fn(|i| lanes(a).map(|a| VALUES[(a >> (4 * i) & 15) as usize]))
        }
        fn unfold_scales(a: [u8; 16]) -> [[f32; 4]; 4] {
            std::array::from_fn(|i| lanes(a).map(|a| power((a >> (8 * i)) as u8)))
        }
    }
}

/// Each 32 bits, the lowest byte first.
#[inline(always)]
fn lanes(a: [u8; 16]) -> [u32; 4] {
    std::array::from_fn(|lane| u32::from_le_bytes(std::array::from_fn(|byte| a[4 * lane + byte])))
}
