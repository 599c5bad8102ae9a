//! AVX2 with FMA: registers of 256 bits, 16 of them.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "the contract of `Simd`")]

use std::arch::x86_64::*;

use super::isa::{compile, compile_words};
use super::simd::{BIASED, DOUBLED, Simd, Words, trusting};

pub struct Avx2;

compile!(Avx2, target_feature(enable = "avx2,fma"), words: Some(WORDS));
compile_words!(Avx2, target_feature(enable = "avx2,fma"));

/// In each lane of a block, the block's scale out of two.
const SCALES: [[i8; 4]; 8] = {
    let [first, second] = [[0, -1, -1, -1], [1, -1, -1, -1]];
    [first, first, first, first, second, second, second, second]
};

impl Simd for Avx2 {
    const LANES: usize = 8;
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    trusting! {
        fn zero() -> __m256 {
            _mm256_setzero_ps()
        }
        fn splat(x: f32) -> __m256 {
            _mm256_set1_ps(x)
        }
        fn load(p: *const f32) -> __m256 {
            _mm256_loadu_ps(p)
        }
        fn load_bf16(p: *const u16) -> __m256 {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))
        }
        fn store(p: *mut f32, a: __m256) {
            _mm256_storeu_ps(p, a)
        }
        fn add(a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(a, b)
        }
        fn mul(a: __m256, b: __m256) -> __m256 {
            _mm256_mul_ps(a, b)
        }
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            _mm256_fmadd_ps(a, b, c)
        }
        fn sum(a: __m256) -> f32 {
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
        fn max(a: __m256, b: __m256) -> __m256 {
            _mm256_max_ps(a, b)
        }
        fn largest(a: __m256) -> f32 {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
        fn power(a: __m256) -> __m256 {
            let exponent = _mm256_slli_epi32(_mm256_castps_si256(a), 23);
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(127 << 23)))
        }
        fn prefetch_near(p: *const u8) {
            _mm_prefetch(p.cast(), _MM_HINT_T0)
        }
        fn prefetch_far(p: *const u8) {
            _mm_prefetch(p.cast(), _MM_HINT_T1)
        }

        fn zero_int() -> __m256i {
            _mm256_setzero_si256()
        }
        fn load_int(p: *const i32) -> __m256i {
            _mm256_loadu_si256(p.cast())
        }
        fn add_int(a: __m256i, b: __m256i) -> __m256i {
            _mm256_add_epi32(a, b)
        }
        fn shift_8(a: __m256i) -> __m256i {
            _mm256_slli_epi32(a, 8)
        }
        fn to_float(a: __m256i) -> __m256 {
            _mm256_cvtepi32_ps(a)
        }

        fn load_bytes(p: *const u8) -> __m256i {
            _mm256_loadu_si256(p.cast())
        }
        fn load_some_bytes(p: *const u8, _blocks: usize) -> __m256i {
            // A register holds two blocks, so some of them are one.
            _mm256_zextsi128_si256(_mm_loadu_si128(p.cast()))
        }
        fn nibbles(a: __m256i) -> (__m256i, __m256i) {
            let (low, high) = halves(a);
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(BIASED.as_ptr().cast()));
            (_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high))
        }
        fn dot_bytes(c: __m256i, even: __m256i, odd: __m256i, x: *const i8) -> __m256i {
            let even = _mm256_maddubs_epi16(even, _mm256_loadu_si256(x.cast()));
            let odd = _mm256_maddubs_epi16(odd, _mm256_loadu_si256(x.add(32).cast()));
            // Four products of at most 24 * 128 fit in 16 bits.
            _mm256_add_epi32(c, _mm256_madd_epi16(_mm256_add_epi16(even, odd), _mm256_set1_epi16(1)))
        }
        fn scales(p: *const u8) -> __m256 {
            spread(_mm256_set1_epi16(p.cast::<i16>().read_unaligned()))
        }
        fn some_scales(p: *const u8, _blocks: usize) -> __m256 {
            spread(_mm256_set1_epi16(i16::from(*p)))
        }
        fn unfold(block: *const u8, scale: f32, out: *mut f32) {
            let values = _mm256_setr_ps(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0);
            let values = _mm256_mul_ps(values, _mm256_set1_ps(scale));
            for eight in 0..4 {
                let codes = _mm256_set1_epi32(block.add(4 * eight).cast::<i32>().read_unaligned());
                let codes = _mm256_srlv_epi32(codes, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
                _mm256_storeu_ps(out.add(8 * eight), signed(values, codes));
            }
        }

        fn gather(p: *const u8, at: &[usize; 16]) -> [__m256i; 4] {
            let mut rows = [_mm256_setzero_si256(); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                let low = _mm_loadu_si128(p.add(at[i]).cast());
                let high = _mm_loadu_si128(p.add(at[4 + i]).cast());
                *row = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
            }
            let [a, b, c, d] = rows;
            let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(ab, cd),
                _mm256_unpackhi_epi64(ab, cd),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ]
        }
        fn as_floats(a: __m256i) -> __m256 {
            _mm256_castsi256_ps(a)
        }
        fn unfold_bf16(a: __m256i) -> [__m256; 2] {
            let high = _mm256_and_si256(a, _mm256_set1_epi32(!0xffff));
            [_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(high)]
        }
        fn unfold_codes(a: __m256i) -> [__m256; 8] {
            let values = _mm256_setr_ps(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0);
            let mut out = [values; 8];
            for (i, out) in out.iter_mut().enumerate() {
                *out = signed(values, _mm256_srl_epi32(a, _mm_cvtsi32_si128(4 * i as i32)));
            }
            out
        }
        fn unfold_scales(a: __m256i) -> [__m256; 4] {
            // A zero is 2^-127, which is half of the smallest normal number.
            let power = |a| _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(a, 23), _mm256_set1_epi32(1 << 22)));
            let low = _mm256_set1_epi32(0xff);
            [
                power(_mm256_and_si256(a, low)),
                power(_mm256_and_si256(_mm256_srli_epi32(a, 8), low)),
                power(_mm256_and_si256(_mm256_srli_epi32(a, 16), low)),
                power(_mm256_srli_epi32(a, 24)),
            ]
        }
    }
}

impl Words for Avx2 {
    const TILE: usize = 2;

    trusting! {
        fn unfold_pairs(a: __m256i) -> [__m256i; 4] {
            let (low, high) = halves(a);
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(DOUBLED.as_ptr().cast()));
            let (even, odd) = (_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
            [
                _mm256_srai_epi16(_mm256_slli_epi16(even, 8), 8),
                _mm256_srai_epi16(_mm256_slli_epi16(odd, 8), 8),
                _mm256_srai_epi16(even, 8),
                _mm256_srai_epi16(odd, 8),
            ]
        }
        fn store_pairs(p: *mut i32, a: __m256i) {
            _mm256_storeu_si256(p.cast(), a)
        }
        fn load_pairs(p: *const i32) -> __m256i {
            _mm256_loadu_si256(p.cast())
        }
        fn splat_pair(x: i32) -> __m256i {
            _mm256_set1_epi32(x)
        }
        fn dot_pairs(c: __m256i, a: __m256i, b: __m256i) -> __m256i {
            _mm256_add_epi32(c, _mm256_madd_epi16(a, b))
        }
    }
}

/// What the lowest four bits of each lane stand for: three choose one of `values`, and the fourth is its sign.
#[inline]
#[target_feature(enable = "avx2")]
fn signed(values: __m256, codes: __m256i) -> __m256 {
    let sign = _mm256_slli_epi32(_mm256_and_si256(codes, _mm256_set1_epi32(8)), 28);
    _mm256_xor_ps(_mm256_permutevar8x32_ps(values, codes), _mm256_castsi256_ps(sign))
}

/// The scales in each 16 bits, to the lanes of their blocks, as floats.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(scales: __m256i) -> __m256 {
    // SAFETY: it is as long as a register.
    let lanes = unsafe { _mm256_loadu_si256(SCALES.as_ptr().cast()) };
    _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_shuffle_epi8(scales, lanes), 23))
}

/// The low halves of the bytes, and the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(a: __m256i) -> (__m256i, __m256i) {
    let mask = _mm256_set1_epi8(15);
    (_mm256_and_si256(a, mask), _mm256_and_si256(_mm256_srli_epi16(a, 4), mask))
}
