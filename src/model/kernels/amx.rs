//! AMX: registers that hold tiles of 16 rows of 64 bytes, and products of tiles of bfloat16.
//!
//! Rust has no intrinsics for it yet, so the instructions stand here by name. No compiler uses tiles by itself, so what
//! one piece of assembly leaves in them is there for the next.

#![allow(unsafe_code, reason = "instructions by name")]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::LazyLock;

use super::columns::SIDE;

/// Whether this machine has it, and lets this process use it.
pub fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| has() && permitted());
    *AVAILABLE
}

/// The processor has tiles and products of bfloat16, and the system keeps tiles when it switches threads. Only for
/// machines with AVX-512, whose systems have the instruction that tells.
fn has() -> bool {
    const BF16_AND_TILES: u32 = 1 << 22 | 1 << 24;
    const TILES_ARE_KEPT: u32 = 1 << 17 | 1 << 18;
    if !std::arch::is_x86_feature_detected!("avx512f") || __cpuid_count(7, 0).edx & BF16_AND_TILES != BF16_AND_TILES {
        return false;
    }
    let kept: u32;
    // SAFETY: where AVX-512 was detected, the system has enabled this instruction.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") kept, out("edx") _, options(nomem, nostack, preserves_flags)) };
    kept & TILES_ARE_KEPT == TILES_ARE_KEPT
}

/// Linux gives a process the 8 KiB that each thread needs for its tiles only when it asks.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ASK: usize = 0x1023;
    const TILES: usize = 18;
    let refused: isize;
    // SAFETY: the call takes two numbers, and changes nothing but what the process may use.
    unsafe {
        asm!("syscall", inout("rax") ARCH_PRCTL => refused, in("rdi") ASK, in("rsi") TILES, out("rcx") _, out("r11") _,
            options(nostack));
    }
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// While it lives, this thread's eight tiles are of full size: four sums of products, two of weights, two of
/// activations.
pub struct Tiles(());

impl Tiles {
    // SAFETY: AMX is available, and nothing else on this thread uses it until this is dropped.
    pub unsafe fn new() -> Self {
        #[repr(align(64))]
        struct Sizes([u8; 64]);
        const ALL: Sizes = {
            let mut sizes = [0; 64];
            sizes[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                sizes[16 + 2 * tile] = 64;
                sizes[48 + tile] = SIDE as u8;
                tile += 1;
            }
            Sizes(sizes)
        };
        // SAFETY: the machine has the instruction, and it reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) ALL.0.as_ptr(), options(readonly, nostack, preserves_flags)) };
        Tiles(())
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the machine has the instruction.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Two tiles of weights' rows by `N` tiles of activations, one or two: the sums of products, `[2][N]`.
pub struct Sums<const N: usize>;

impl<const N: usize> Sums<N> {
    /// Sets them to zero.
    // SAFETY: there are `Tiles`.
    #[inline(always)]
    pub unsafe fn zero() {
        // SAFETY: it changes tiles alone.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nomem, nostack, preserves_flags)
            );
        }
    }

    /// Reads them from a matrix, whose rows are `stride` bytes apart.
    // SAFETY: there are `Tiles`; the matrix has `2 * SIDE` rows of `N * SIDE` floats.
    #[inline(always)]
    pub unsafe fn load(from: *const f32, stride: usize) {
        // SAFETY: it is within the matrix.
        unsafe {
            let below = from.byte_add(SIDE * stride);
            asm!("tileloadd tmm0, [{a} + {s}]", "tileloadd tmm2, [{b} + {s}]", a = in(reg) from, b = in(reg) below,
                s = in(reg) stride, options(readonly, nostack, preserves_flags));
            if N == 2 {
                asm!("tileloadd tmm1, [{a} + {s} + 64]", "tileloadd tmm3, [{b} + {s} + 64]", a = in(reg) from,
                    b = in(reg) below, s = in(reg) stride, options(readonly, nostack, preserves_flags));
            }
        }
    }

    /// Writes them to a matrix, as `load` reads them.
    // SAFETY: there are `Tiles`; the matrix has `2 * SIDE` rows of `N * SIDE` floats.
    #[inline(always)]
    pub unsafe fn store(to: *mut f32, stride: usize) {
        // SAFETY: it is within the matrix.
        unsafe {
            let below = to.byte_add(SIDE * stride);
            asm!("tilestored [{a} + {s}], tmm0", "tilestored [{b} + {s}], tmm2", a = in(reg) to, b = in(reg) below,
                s = in(reg) stride, options(nostack, preserves_flags));
            if N == 2 {
                asm!("tilestored [{a} + {s} + 64], tmm1", "tilestored [{b} + {s} + 64], tmm3", a = in(reg) to,
                    b = in(reg) below, s = in(reg) stride, options(nostack, preserves_flags));
            }
        }
    }

    /// Adds the products of two tiles of weights with `N` of activations.
    // SAFETY: there are `Tiles`; all are whole tiles, of `SIDE` rows of `SIDE` lanes.
    #[inline(always)]
    pub unsafe fn add(weights: [*const i32; 2], x: [*const i32; 2]) {
        // SAFETY: it reads whole tiles.
        unsafe {
            if N == 2 {
                asm!(
                    "tileloadd tmm4, [{a} + {s}]", "tileloadd tmm6, [{c} + {s}]", "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{b} + {s}]", "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm7, [{d} + {s}]", "tdpbf16ps tmm1, tmm4, tmm7", "tdpbf16ps tmm3, tmm5, tmm7",
                    a = in(reg) weights[0], b = in(reg) weights[1], c = in(reg) x[0], d = in(reg) x[1],
                    s = in(reg) 64usize, options(readonly, nostack, preserves_flags)
                );
            } else {
                asm!(
                    "tileloadd tmm4, [{a} + {s}]", "tileloadd tmm6, [{c} + {s}]", "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{b} + {s}]", "tdpbf16ps tmm2, tmm5, tmm6",
                    a = in(reg) weights[0], b = in(reg) weights[1], c = in(reg) x[0], s = in(reg) 64usize,
                    options(readonly, nostack, preserves_flags)
                );
            }
        }
    }
}
