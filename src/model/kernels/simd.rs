//! What the kernels need of an instruction set. They are written once over it, and compiled for each.

#![allow(unsafe_code, reason = "intrinsics, and pointers whose bounds the entry functions have asserted")]

/// Functions of [`Simd`] and [`Words`] with the one contract that they all have, so that it is said once.
macro_rules! trusting {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[inline(always)]
        // SAFETY: the caller has seen that the processor has the instruction set, and its pointers are valid for what
        // the function says that it reads or writes.
        unsafe fn $name($($arg: $type),*) $(-> $out)? $body
    )*};
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)?;)*) => {$(
        $(#[$meta])*
        // SAFETY: as above.
        unsafe fn $name($($arg: $type),*) $(-> $out)?;
    )*};
}
pub(super) use trusting;

/// The codes of MXFP4 times two, so that they are whole.
pub const DOUBLED: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// The same, plus [`BIAS`], so that they are unsigned.
pub const BIASED: [u8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
pub const BIAS: i32 = 12;

/// A vector of 32-bit lanes, and what is done with it.
pub trait Simd {
    /// 32-bit lanes of a register.
    const LANES: usize;
    /// Blocks of MXFP4 in a register of packed bytes: the lanes of a block have one scale.
    const BLOCKS: usize = Self::LANES / 4;
    /// Floats.
    type F: Copy;
    /// Signed integers of 32 bits.
    type I: Copy;
    /// Bytes, `4 * LANES` of them.
    type B: Copy;

    trusting! {
        fn zero() -> Self::F;
        fn splat(x: f32) -> Self::F;
        /// `LANES` floats.
        fn load(p: *const f32) -> Self::F;
        /// `LANES` bfloat16, widened.
        fn load_bf16(p: *const u16) -> Self::F;
        fn store(p: *mut f32, a: Self::F);
        fn add(a: Self::F, b: Self::F) -> Self::F;
        fn mul(a: Self::F, b: Self::F) -> Self::F;
        /// `a * b + c`.
        fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
        fn sum(a: Self::F) -> f32;
        /// The larger; what is no number in `b` stays so.
        fn max(a: Self::F, b: Self::F) -> Self::F;
        /// The largest lane, where all are numbers.
        fn largest(a: Self::F) -> f32;
        /// Two to the number that stands in the lowest bits of each lane.
        fn power(a: Self::F) -> Self::F;
        /// Asks for a cache line that need not exist, into the first level.
        fn prefetch_near(p: *const u8);
        /// The same, into the second level.
        fn prefetch_far(p: *const u8);

        fn zero_int() -> Self::I;
        /// `LANES` integers.
        fn load_int(p: *const i32) -> Self::I;
        fn add_int(a: Self::I, b: Self::I) -> Self::I;
        /// `a * 256`.
        fn shift_8(a: Self::I) -> Self::I;
        fn to_float(a: Self::I) -> Self::F;

        /// `4 * LANES` bytes.
        fn load_bytes(p: *const u8) -> Self::B;
        /// The bytes of so many blocks, fewer than `BLOCKS`; the others are zero.
        fn load_some_bytes(p: *const u8, blocks: usize) -> Self::B;
        /// [`BIASED`] of the low halves and of the high ones.
        fn nibbles(a: Self::B) -> (Self::B, Self::B);
        /// Adds to lane k of `c` the products of the bytes 4k to 4k + 3 of `even`, and of `odd`, with those of the signed bytes
        /// `x[..4 * LANES]`, and `x[4 * LANES..]`. The former are at most twice [`BIAS`]. It must be these lanes: `c` takes
        /// off the bias of each lane's own columns, without which sums do not stay within 32 bits.
        fn dot_bytes(c: Self::I, even: Self::B, odd: Self::B, x: *const i8) -> Self::I;
        /// `BLOCKS` scales as floats, each in the lanes of its block. A zero, which stands for 2^-127, becomes zero.
        fn scales(p: *const u8) -> Self::F;
        /// Fewer than `BLOCKS`; the others are zero.
        fn some_scales(p: *const u8, blocks: usize) -> Self::F;
        /// The 32 weights of a block of 16 bytes, in order, times `scale`.
        fn unfold(block: *const u8, scale: f32, out: *mut f32);

        /// 16 bytes from each of `LANES` rows, `p + at[row]`: the i-th result has their i-th 32 bits.
        fn gather(p: *const u8, at: &[usize; 16]) -> [Self::B; 4];
        fn as_floats(a: Self::B) -> Self::F;
        /// The low and the high bfloat16 of each lane.
        fn unfold_bf16(a: Self::B) -> [Self::F; 2];
        /// The values of the 8 codes of MXFP4 in each lane, the lowest first.
        fn unfold_codes(a: Self::B) -> [Self::F; 8];
        /// The powers of two that the 4 scales in each lane stand for, the lowest first.
        fn unfold_scales(a: Self::B) -> [Self::F; 4];
    }
}

/// Products of 16-bit integers, for the instruction sets that are quick at them. `Self::B` holds pairs of them here.
pub trait Words: Simd {
    /// Rows of activations that a tile takes, at most.
    const TILE: usize;

    trusting! {
        /// The 8 codes in each lane, times two, as pairs: (0, 4), (1, 5), (2, 6), (3, 7).
        fn unfold_pairs(a: Self::B) -> [Self::B; 4];
        fn store_pairs(p: *mut i32, a: Self::B);
        fn load_pairs(p: *const i32) -> Self::B;
        fn splat_pair(x: i32) -> Self::B;
        /// Adds both products of each lane's pairs.
        fn dot_pairs(c: Self::I, a: Self::B, b: Self::B) -> Self::I;
    }
}
