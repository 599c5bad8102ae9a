//! Which kernel multiplies a matrix with rows of activations, by how many there are.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::columns::{Columns, Order, Work};
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
    /// Weights in tiles of bfloat16, by activations in so many parts.
    Tiles(usize, Order),
}

/// Rows from which unfolding the weights is the faster way, measured with AVX-512: to 16 bits, and to f32 where they
/// are packed and where they are not.
const WORDS: usize = 7;
const FLOATS_PACKED: usize = 15;
const FLOATS: usize = 13;
/// The same with AMX: to tiles of bfloat16.
const TILES: usize = 8;
const TILES_PACKED: usize = 7;

impl Path {
    pub fn new(w: &Matrix, rows: usize, precision: Precision, kernels: Compiled) -> Path {
        let fast = precision == Precision::Fast;
        let parts = if fast { 2 } else { 3 };
        match w.weights() {
            Weights::Bf16(_) if rows >= TILES && kernels.has_tiles() => Path::Tiles(parts, Order::Plain),
            Weights::Mxfp4 { .. } if rows >= TILES_PACKED && kernels.has_tiles() => Path::Tiles(parts, Order::Woven),
            Weights::F32(_) | Weights::Bf16(_) if rows < FLOATS => Path::Stream,
            Weights::Mxfp4 { .. } if fast && rows >= WORDS && kernels.has_words() => Path::Words,
            Weights::Mxfp4 { .. } if rows < FLOATS_PACKED => Path::Digits(parts),
            _ => Path::Floats,
        }
    }
}

/// Sets of rows of activations, each in the form that its path takes.
#[derive(Clone, Copy)]
pub struct Activations<'a> {
    floats: &'a [f32],
    cols: usize,
    chosen: &'a [u32],
    forms: &'a Forms,
}

#[derive(Debug, Default)]
pub struct Forms {
    sets: Vec<Set>,
    digits: Digits,
    rounded: Rounded,
    columns: Columns,
}

/// Rows of activations that meet the same weights.
#[derive(Clone, Debug)]
struct Set {
    path: Path,
    /// Of those chosen.
    rows: Range<usize>,
    /// Which it is of those in columns.
    place: usize,
}

impl Forms {
    /// Those of sets of chosen rows of `x` `[.., cols]`, for their paths.
    pub fn fill<'a>(
        &'a mut self,
        team: &Team,
        kernels: Compiled,
        (x, cols): (&'a [f32], usize),
        chosen: &'a [u32],
        sets: impl Iterator<Item = (Path, Range<usize>)>,
    ) -> Activations<'a> {
        self.sets.clear();
        let (mut digits, mut words, mut tiles, mut place) = (None, false, None, 0);
        for (path, rows) in sets {
            self.sets.push(Set { path, rows, place });
            match path {
                Path::Digits(count) => digits = Some(count),
                Path::Words => words = true,
                Path::Tiles(parts, order) => (tiles, place) = (Some((parts, order)), place + 1),
                Path::Stream | Path::Floats => {}
            }
        }
        if let Some(count) = digits {
            self.digits.fill(team, x, cols, (count, kernels.lanes()), |x, row| kernels.split(x, row));
        }
        if words {
            self.rounded.fill(team, x, cols, |x, pairs, step| kernels.round(x, pairs, step));
        }
        if let Some(tiles) = tiles {
            let sets = self.sets.iter().filter(|set| matches!(set.path, Path::Tiles(..)));
            let sets = sets.map(|set| &chosen[set.rows.clone()]);
            self.columns.fill(team, (x, cols), tiles, sets, |from, out| kernels.tiles_pack(from, out));
        }
        Activations { floats: x, cols, chosen, forms: self }
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
    work: Work,
}

/// The products of `w` with a set of rows of activations: `[rows of the set, w.rows()]`.
pub fn product<'a>(kernels: Compiled, w: Matrix, x: Activations, set: usize, desk: &'a mut Desk) -> &'a mut [f32] {
    let Desk { out, panel, work } = desk;
    let Activations { floats, cols, chosen, forms } = x;
    let Set { path, rows, place } = &forms.sets[set];
    let chosen = &chosen[rows.clone()];
    let out = out.space(chosen.len() * w.rows());
    match path {
        Path::Stream => kernels.stream(w, Rows::new(floats, cols, chosen), out),
        Path::Digits(_) => kernels.digits(w, &forms.digits, chosen, out),
        Path::Words => kernels.words_multiply(w, &forms.rounded, chosen, panel, out),
        Path::Floats => kernels.floats(w, Rows::new(floats, cols, chosen), panel, out),
        Path::Tiles(..) => {
            if kernels.tiles_multiply(w, &forms.columns, *place, work, out).is_none() {
                kernels.floats(w, Rows::new(floats, cols, chosen), panel, out);
            }
        }
    }
    out
}

/// Rows of weights that a thread takes at a time: enough that few of those that were asked for ahead are another's.
pub fn tile(w: &Matrix, path: Path, threads: usize) -> usize {
    const BYTES: usize = 256 << 10;
    let rows = match path {
        Path::Stream | Path::Digits(_) => (BYTES / w.row_bytes().max(1)).min(w.rows() / (4 * threads)),
        Path::Floats | Path::Words => (w.rows() / (16 * threads)).min(256),
        Path::Tiles(..) => (w.rows() / (8 * threads)).min(512),
    };
    rows.next_multiple_of(32).max(32)
}

/// What is guarded is scratch: a panic leaves nothing in it that the next call would read.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
