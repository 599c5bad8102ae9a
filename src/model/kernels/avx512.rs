//! AVX-512 with VNNI: registers of 512 bits, 32 of them, and dot products of integers.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "the contract of `Simd`")]

use std::arch::asm;
use std::arch::x86_64::*;

use super::isa::{compile, compile_words};
use super::matrix::VALUES;
use super::simd::{BIASED, DOUBLED, Simd, Words, trusting};

pub struct Avx512;

compile!(Avx512, target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"), words: Some(WORDS));
compile_words!(Avx512, target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"));

/// In each lane of a block, the block's scale out of four.
const SCALES: [[i8; 4]; 16] = {
    let mut lanes = [[0, -1, -1, -1]; 16];
    let mut lane = 0;
    while lane < 16 {
        lanes[lane][0] = lane as i8 / 4;
        lane += 1;
    }
    lanes
};

impl Simd for Avx512 {
    const LANES: usize = 16;
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    trusting! {
        fn zero() -> __m512 {
            _mm512_setzero_ps()
        }
        fn splat(x: f32) -> __m512 {
            _mm512_set1_ps(x)
        }
        fn load(p: *const f32) -> __m512 {
            _mm512_loadu_ps(p)
        }
        fn load_bf16(p: *const u16) -> __m512 {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))
        }
        fn store(p: *mut f32, a: __m512) {
            _mm512_storeu_ps(p, a)
        }
        fn add(a: __m512, b: __m512) -> __m512 {
            _mm512_add_ps(a, b)
        }
        fn mul(a: __m512, b: __m512) -> __m512 {
            _mm512_mul_ps(a, b)
        }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            _mm512_fmadd_ps(a, b, c)
        }
        fn sum(a: __m512) -> f32 {
            _mm512_reduce_add_ps(a)
        }
        fn max(a: __m512, b: __m512) -> __m512 {
            _mm512_max_ps(a, b)
        }
        fn largest(a: __m512) -> f32 {
            _mm512_reduce_max_ps(a)
        }
        fn power(a: __m512) -> __m512 {
            let exponent = _mm512_slli_epi32(_mm512_castps_si512(a), 23);
            _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(127 << 23)))
        }
        fn prefetch_near(p: *const u8) {
            _mm_prefetch(p.cast(), _MM_HINT_T0)
        }
        fn prefetch_far(p: *const u8) {
            _mm_prefetch(p.cast(), _MM_HINT_T1)
        }

        fn zero_int() -> __m512i {
            _mm512_setzero_si512()
        }
        fn load_int(p: *const i32) -> __m512i {
            _mm512_loadu_si512(p.cast())
        }
        fn add_int(a: __m512i, b: __m512i) -> __m512i {
            _mm512_add_epi32(a, b)
        }
        fn shift_8(a: __m512i) -> __m512i {
            _mm512_slli_epi32(a, 8)
        }
        fn to_float(a: __m512i) -> __m512 {
            _mm512_cvtepi32_ps(a)
        }

        fn load_bytes(p: *const u8) -> __m512i {
            _mm512_loadu_si512(p.cast())
        }
        fn load_some_bytes(p: *const u8, blocks: usize) -> __m512i {
            _mm512_maskz_loadu_epi8((1 << (16 * blocks)) - 1, p.cast())
        }
        fn nibbles(a: __m512i) -> (__m512i, __m512i) {
            let (low, high) = halves(a);
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(BIASED.as_ptr().cast()));
            (_mm512_shuffle_epi8(table, low), _mm512_shuffle_epi8(table, high))
        }
        fn dot_bytes(c: __m512i, even: __m512i, odd: __m512i, x: *const i8) -> __m512i {
            let c = _mm512_dpbusd_epi32(c, even, _mm512_loadu_si512(x.cast()));
            _mm512_dpbusd_epi32(c, odd, _mm512_loadu_si512(x.add(64).cast()))
        }
        fn scales(p: *const u8) -> __m512 {
            spread(_mm512_set1_epi32(p.cast::<i32>().read_unaligned()))
        }
        fn some_scales(p: *const u8, blocks: usize) -> __m512 {
            spread(_mm512_broadcastd_epi32(_mm_maskz_loadu_epi8((1 << blocks) - 1, p.cast())))
        }
        fn unfold(block: *const u8, scale: f32, out: *mut f32) {
            let values = _mm512_mul_ps(_mm512_loadu_ps(VALUES.as_ptr()), _mm512_set1_ps(scale));
            let shifts = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
            for half in 0..2 {
                let low = _mm256_set1_epi32(block.add(8 * half).cast::<i32>().read_unaligned());
                let high = _mm256_set1_epi32(block.add(8 * half + 4).cast::<i32>().read_unaligned());
                let codes = _mm512_srlv_epi32(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), shifts);
                _mm512_storeu_ps(out.add(16 * half), _mm512_permutexvar_ps(codes, values));
            }
        }

        fn gather(p: *const u8, at: &[usize; 16]) -> [__m512i; 4] {
            let mut rows = [_mm512_setzero_si512(); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                let line = _mm512_castsi128_si512(_mm_loadu_si128(p.add(at[i]).cast()));
                let line = _mm512_inserti32x4(line, _mm_loadu_si128(p.add(at[4 + i]).cast()), 1);
                let line = _mm512_inserti32x4(line, _mm_loadu_si128(p.add(at[8 + i]).cast()), 2);
                *row = _mm512_inserti32x4(line, _mm_loadu_si128(p.add(at[12 + i]).cast()), 3);
            }
            let [a, b, c, d] = rows;
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            [
                _mm512_unpacklo_epi64(ab, cd),
                _mm512_unpackhi_epi64(ab, cd),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ]
        }
        fn as_floats(a: __m512i) -> __m512 {
            _mm512_castsi512_ps(a)
        }
        fn unfold_bf16(a: __m512i) -> [__m512; 2] {
            let high = _mm512_and_si512(a, _mm512_set1_epi32(!0xffff));
            [_mm512_castsi512_ps(_mm512_slli_epi32(a, 16)), _mm512_castsi512_ps(high)]
        }
        fn unfold_codes(a: __m512i) -> [__m512; 8] {
            let values = _mm512_loadu_ps(VALUES.as_ptr());
            [
                _mm512_permutexvar_ps(a, values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 4), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 8), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 12), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 16), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 20), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 24), values),
                _mm512_permutexvar_ps(_mm512_srli_epi32(a, 28), values),
            ]
        }
        fn unfold_scales(a: __m512i) -> [__m512; 4] {
            // A zero is 2^-127, which is half of the smallest normal number.
            let power = |a| _mm512_castsi512_ps(_mm512_max_epi32(_mm512_slli_epi32(a, 23), _mm512_set1_epi32(1 << 22)));
            let low = _mm512_set1_epi32(0xff);
            [
                power(_mm512_and_si512(a, low)),
                power(_mm512_and_si512(_mm512_srli_epi32(a, 8), low)),
                power(_mm512_and_si512(_mm512_srli_epi32(a, 16), low)),
                power(_mm512_srli_epi32(a, 24)),
            ]
        }
    }
}

impl Words for Avx512 {
    const TILE: usize = 6;

    trusting! {
        fn unfold_pairs(a: __m512i) -> [__m512i; 4] {
            let (low, high) = halves(a);
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(DOUBLED.as_ptr().cast()));
            let (even, odd) = (_mm512_shuffle_epi8(table, low), _mm512_shuffle_epi8(table, high));
            [
                _mm512_srai_epi16(_mm512_slli_epi16(even, 8), 8),
                _mm512_srai_epi16(_mm512_slli_epi16(odd, 8), 8),
                _mm512_srai_epi16(even, 8),
                _mm512_srai_epi16(odd, 8),
            ]
        }
        fn store_pairs(p: *mut i32, a: __m512i) {
            _mm512_storeu_si512(p.cast(), a)
        }
        fn load_pairs(p: *const i32) -> __m512i {
            _mm512_loadu_si512(p.cast())
        }
        fn splat_pair(x: i32) -> __m512i {
            _mm512_set1_epi32(x)
        }
        fn dot_pairs(c: __m512i, a: __m512i, b: __m512i) -> __m512i {
            dot_words(c, a, b)
        }
    }
}

/// `vpdpwssd` by name: of the intrinsic, compilers make two instructions, which are half as fast.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_words(mut c: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: it reads and writes registers alone.
    unsafe {
        asm!("vpdpwssd {c}, {a}, {b}", c = inout(zmm_reg) c, a = in(zmm_reg) a, b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    c
}

/// The scales in each 32 bits, to the lanes of their blocks, as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn spread(scales: __m512i) -> __m512 {
    // SAFETY: it is as long as a register.
    let lanes = unsafe { _mm512_loadu_si512(SCALES.as_ptr().cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_shuffle_epi8(scales, lanes), 23))
}

/// The low halves of the bytes, and the high ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn halves(a: __m512i) -> (__m512i, __m512i) {
    let mask = _mm512_set1_epi8(15);
    (_mm512_and_si512(a, mask), _mm512_and_si512(_mm512_srli_epi16(a, 4), mask))
}
