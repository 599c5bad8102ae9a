//! Which kernel multiplies a matrix with rows of activations, by how many there are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::digits::Digits;
use super::isa::Compiled;
use super::matrix::{Matrix, Weights};
use super::memory::{Buffer, Rows};
use super::panel::Panel;
use super::team::Team;
use super::words::Rounded;

/// How exact a product is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// To the rounding of f32.
    Exact,
    /// Activations are rounded to 16 bits where that is faster: a relative error of about 3e-5.
    Fast,
}

/// A way to multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Float weights, as they come from memory.
    Stream,
    /// Packed weights, as they come from memory, by activations in so many digits.
    Digits(usize),
    /// Weights of any kind, unfolded to f32.
    Floats,
    /// Packed weights, unfolded to 16 bits.
    Words,
}

/// Rows from which unfolding the weights is the faster way, measured with AVX-512: to 16 bits, and to f32 where they
/// are packed and where they are not.
const WORDS: usize = 7;
const FLOATS_PACKED: usize = 15;
const FLOATS: usize = 13;

impl Path {
    pub fn new(w: &Matrix, rows: usize, precision: Precision, kernels: Compiled) -> Path {
        let fast = precision == Precision::Fast;
        match w.weights() {
            Weights::F32(_) | Weights::Bf16(_) if rows < FLOATS => Path::Stream,
            Weights::Mxfp4 { .. } if fast && rows >= WORDS && kernels.has_words() => Path::Words,
            Weights::Mxfp4 { .. } if rows < FLOATS_PACKED => Path::Digits(if fast { 2 } else { 3 }),
            _ => Path::Floats,
        }
    }
}

/// Activations `[rows, cols]` in the forms that the paths take.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    floats: &'a [f32],
    cols: usize,
    forms: &'a Forms,
}

#[derive(Debug, Default)]
pub struct Forms {
    digits: Digits,
    rounded: Rounded,
}

impl Forms {
    /// Those of `x` `[rows, cols]` for these paths.
    pub fn fill<'a>(
        &'a mut self,
        team: &Team,
        kernels: Compiled,
        x: &'a [f32],
        cols: usize,
        paths: impl Iterator<Item = Path> + Clone,
    ) -> Activations<'a> {
        let digits = paths.clone().find_map(|path| if let Path::Digits(count) = path { Some(count) } else { None });
        if let Some(count) = digits {
            self.digits.fill(team, x, cols, (count, kernels.lanes()), |x, row| kernels.split(x, row));
        }
        if paths.clone().any(|path| path == Path::Words) {
            self.rounded.fill(team, x, cols, |x, pairs, step| kernels.round(x, pairs, step));
        }
        Activations { floats: x, cols, forms: self }
    }
}

/// Who multiplies, with which kernels.
pub struct Crew {
    pub team: Team,
    pub kernels: Compiled,
    /// One for each thread.
    pub desks: Vec<Mutex<Desk>>,
}

/// What one thread keeps between calls.
#[derive(Debug, Default)]
pub struct Desk {
    out: Buffer<f32>,
    panel: Panel,
}

/// The products of `w` with chosen rows of activations: `[chosen, w.rows()]`.
pub fn product<'a>(
    kernels: Compiled,
    path: Path,
    w: Matrix,
    x: Activations,
    chosen: &[u32],
    desk: &'a mut Desk,
) -> &'a mut [f32] {
    let Desk { out, panel } = desk;
    let out = out.space(chosen.len() * w.rows());
    match path {
        Path::Stream => kernels.stream(w, Rows::new(x.floats, x.cols, chosen), out),
        Path::Digits(_) => kernels.digits(w, &x.forms.digits, chosen, out),
        Path::Words => kernels.words_multiply(w, &x.forms.rounded, chosen, panel, out),
        Path::Floats => kernels.floats(w, Rows::new(x.floats, x.cols, chosen), panel, out),
    }
    out
}

/// Rows of weights that a thread takes at a time: enough that few of those that were asked for ahead are another's.
pub fn tile(w: &Matrix, path: Path, threads: usize) -> usize {
    const BYTES: usize = 256 << 10;
    let rows = match path {
        Path::Stream | Path::Digits(_) => (BYTES / w.row_bytes().max(1)).min(w.rows() / (4 * threads)),
        Path::Floats | Path::Words => (w.rows() / (16 * threads)).min(256),
    };
    rows.next_multiple_of(32).max(32)
}

/// What is guarded is scratch: a panic leaves nothing in it that the next call would read.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
