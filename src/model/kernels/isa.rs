//! The instruction sets, which of them this machine has, and the kernels compiled for each.

#![allow(unsafe_code, reason = "a kernel may run only where its instruction set is")]

use super::attend::{Item, State, Step};
use super::columns::{Columns, Source, Work};
use super::digits::{Digits, DigitsRow};
use super::flash::Panels;
use super::matrix::Matrix;
use super::memory::Rows;
use super::panel::Panel;
use super::swiglu::Swiglu;
use super::words::Rounded;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// None in particular.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
    /// AVX-512 with VBMI, and AMX with bfloat16.
    Amx,
    /// Of every 64-bit Arm.
    Neon,
}

impl Isa {
    /// Those of this machine, the fastest first.
    pub fn available() -> Vec<Isa> {
        #[allow(unused_mut, reason = "on a machine without vectors")]
        let mut found = vec![Isa::Scalar];
        #[cfg(target_arch = "aarch64")]
        found.insert(0, Isa::Neon);
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                found.insert(0, Isa::Avx2);
                if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") && has!("avx512vnni") {
                    found.insert(0, Isa::Avx512);
                    if has!("avx512vbmi") && super::amx::available() {
                        found.insert(0, Isa::Amx);
                    }
                }
            }
        }
        found
    }

    /// Panics where this machine does not have it.
    pub(super) fn kernels(self) -> Compiled {
        assert!(Isa::available().contains(&self), "this machine has no {self:?}");
        let table = match self {
            Isa::Scalar => &super::scalar::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => &super::avx2::TABLE,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => &super::avx512::TABLE,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => &super::neon::TABLE,
            #[allow(unreachable_patterns, reason = "those of other machines")]
            _ => unreachable!("it is available"),
        };
        let tiles = match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Some(&super::tiled::TABLE),
            _ => None,
        };
        Compiled { isa: self, table, tiles }
    }
}

/// The kernels of an instruction set that this machine has.
#[derive(Clone, Copy)]
pub struct Compiled {
    isa: Isa,
    table: &'static Table,
    tiles: Option<&'static TilesTable>,
}

/// The entry points of one instruction set; only for machines that have it.
pub struct Table {
    pub lanes: usize,
    // SAFETY: for all that follow, the machine has the instruction set.
    pub stream: unsafe fn(Matrix, Rows<f32>, &mut [f32]),
    // SAFETY: as above.
    pub floats: unsafe fn(Matrix, Rows<f32>, &mut Panel, &mut [f32]),
    // SAFETY: as above.
    pub widen: unsafe fn(Matrix, &mut [f32]),
    // SAFETY: as above.
    pub split: unsafe fn(&[f32], DigitsRow),
    // SAFETY: as above.
    pub digits: unsafe fn(Matrix, &Digits, &[u32], &mut [f32]),
    /// Where products of 16-bit integers are quick.
    pub words: Option<WordsTable>,
    // SAFETY: as above.
    pub swiglu: unsafe fn(&[f32], Swiglu, &mut [f32]),
    // SAFETY: as above.
    pub norm: unsafe fn(&[f32], &[f32], f32, &mut [f32]),
    // SAFETY: as above.
    pub rope: unsafe fn(&mut [f32], usize, &[f32], &[f32], f32),
    // SAFETY: as above.
    pub attend: unsafe fn(&Step, &Item, &mut Panels, &mut State),
    // SAFETY: as above.
    pub read: unsafe fn(&[f32]) -> f32,
}

pub struct WordsTable {
    // SAFETY: as above.
    pub round: unsafe fn(&[f32], &mut [i32], &mut f32),
    // SAFETY: as above.
    pub multiply: unsafe fn(Matrix, &Rounded, &[u32], &mut Panel, &mut [f32]),
}

/// Where there are tiles.
pub struct TilesTable {
    // SAFETY: as above.
    pub pack: unsafe fn(Source, &mut [i32]),
    // SAFETY: as above.
    pub multiply: unsafe fn(Matrix, &Columns, usize, &mut Work, &mut [f32]) -> Option<()>,
}

/// Methods that call an entry of the table.
macro_rules! calls {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)?;)*) => {$(
        $(#[$meta])*
        pub fn $name(&self, $($arg: $type),*) $(-> $out)? {
            // SAFETY: `Isa::kernels` has seen that this machine has the instruction set.
            unsafe { (self.table.$name)($($arg),*) }
        }
    )*};
}

impl Compiled {
    pub fn isa(&self) -> Isa {
        self.isa
    }

    pub fn lanes(&self) -> usize {
        self.table.lanes
    }

    pub fn has_words(&self) -> bool {
        self.table.words.is_some()
    }

    pub fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    calls! {
        fn stream(w: Matrix, x: Rows<f32>, out: &mut [f32]);
        fn floats(w: Matrix, x: Rows<f32>, panel: &mut Panel, out: &mut [f32]);
        fn widen(w: Matrix, out: &mut [f32]);
        fn split(x: &[f32], row: DigitsRow);
        fn digits(w: Matrix, x: &Digits, chosen: &[u32], out: &mut [f32]);
        fn swiglu(both: &[f32], swiglu: Swiglu, out: &mut [f32]);
        fn norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]);
        fn rope(x: &mut [f32], half: usize, cos: &[f32], sin: &[f32], scale: f32);
        fn attend(step: &Step, item: &Item, panels: &mut Panels, state: &mut State);
        fn read(memory: &[f32]) -> f32;
    }

    pub fn round(&self, x: &[f32], pairs: &mut [i32], step: &mut f32) {
        // SAFETY: as in `calls`.
        unsafe { (self.words().round)(x, pairs, step) }
    }

    pub fn words_multiply(&self, w: Matrix, x: &Rounded, chosen: &[u32], panel: &mut Panel, out: &mut [f32]) {
        // SAFETY: as in `calls`.
        unsafe { (self.words().multiply)(w, x, chosen, panel, out) }
    }

    pub fn tiles_pack(&self, from: Source, out: &mut [i32]) {
        // SAFETY: as in `calls`.
        unsafe { (self.tiles().pack)(from, out) }
    }

    pub fn tiles_multiply(&self, w: Matrix, x: &Columns, set: usize, work: &mut Work, out: &mut [f32]) -> Option<()> {
        // SAFETY: as in `calls`.
        unsafe { (self.tiles().multiply)(w, x, set, work, out) }
    }

    fn tiles(&self) -> &TilesTable {
        self.tiles.expect("asked for only where `has_tiles`")
    }

    fn words(&self) -> &WordsTable {
        self.table.words.as_ref().expect("asked for only where `has_words`")
    }
}

/// Compiles the kernels for an instruction set: the constant `TABLE`.
macro_rules! compile {
    ($simd:ty, $features:meta, words: $words:expr) => {
        use super::isa::{Table, compile_one};
        use super::{attend, flash, norm, rope};
        use super::{bandwidth, digits, dot, floats, matrix::Matrix, memory::Rows, panel::Panel, swiglu, unfold};

        pub static TABLE: Table =
            Table { lanes: <$simd as Simd>::LANES, stream, floats, widen, split, digits, words: $words, swiglu, norm, rope, attend, read };

        compile_one!($features, fn stream(w: Matrix, x: Rows<f32>, out: &mut [f32]) = dot::stream::<$simd>);
        compile_one!($features,
            fn floats(w: Matrix, x: Rows<f32>, panel: &mut Panel, out: &mut [f32]) = floats::multiply_floats::<$simd>);
        compile_one!($features, fn widen(w: Matrix, out: &mut [f32]) = unfold::widen::<$simd>);
        compile_one!($features, fn split(x: &[f32], row: digits::DigitsRow) = digits::split::<$simd>);
        compile_one!($features,
            fn digits(w: Matrix, x: &digits::Digits, chosen: &[u32], out: &mut [f32]) = digits::multiply::<$simd>);
        compile_one!($features,
            fn swiglu(both: &[f32], with: swiglu::Swiglu, out: &mut [f32]) = swiglu::swiglu::<$simd>);
        compile_one!($features,
            fn norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) = norm::norm::<$simd>);
        compile_one!($features,
            fn rope(x: &mut [f32], half: usize, cos: &[f32], sin: &[f32], scale: f32) = rope::rope::<$simd>);
        compile_one!($features,
            fn attend(
                step: &attend::Step, item: &attend::Item, panels: &mut flash::Panels, state: &mut attend::State
            ) = flash::attend::<$simd>);
        compile_one!($features, fn read(memory: &[f32]) -> f32 = bandwidth::read::<$simd>);
    };
}
pub(super) use compile;

/// The same for the kernels of 16-bit integers: the constant `WORDS`.
#[cfg(target_arch = "x86_64")]
macro_rules! compile_words {
    ($simd:ty, $features:meta) => {
        const WORDS: super::isa::WordsTable = super::isa::WordsTable { round, multiply };

        compile_one!($features, fn round(x: &[f32], pairs: &mut [i32], step: &mut f32) = super::words::round::<$simd>);
        compile_one!($features,
            fn multiply(
                w: Matrix, x: &super::words::Rounded, chosen: &[u32], panel: &mut Panel, out: &mut [f32]
            ) = super::words::multiply_words::<$simd>);
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use compile_words;

macro_rules! compile_one {
    ($features:meta, fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? = $kernel:expr) => {
        #[$features]
        // SAFETY: the machine has the instruction set.
        unsafe fn $name($($arg: $type),*) $(-> $out)? {
            // SAFETY: all that the kernel asks for is the instruction set.
            unsafe { $kernel($($arg),*) }
        }
    };
}
pub(super) use compile_one;
