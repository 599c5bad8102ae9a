//! Views of weights as they lie in a checkpoint's files.

use std::ops::Range;

/// Weights of MXFP4 that share a scale.
pub const BLOCK: usize = 32;

/// The values of the codes of MXFP4: a sign, two bits of exponent, one of mantissa.
pub const VALUES: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// A matrix of weights, a row for each output: `[rows, cols]`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    rows: usize,
    cols: usize,
    weights: Weights<'a>,
}

/// The elements, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
    /// `blocks` `[rows, cols / 32, 16]`, in each byte the even element low; `scales` `[rows, cols / 32]`, a power of
    /// two plus 127, not 255.
    Mxfp4 {
        blocks: &'a [u8],
        scales: &'a [u8],
    },
}

/// A row of numbers, such as a bias.
#[derive(Clone, Copy, Debug)]
pub enum Vector<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

impl<'a> Matrix<'a> {
    /// Panics where the weights are not of that size, or where rows of MXFP4 are not whole blocks.
    pub fn new(rows: usize, cols: usize, weights: Weights<'a>) -> Self {
        let size = rows.checked_mul(cols).expect("a matrix in memory has a size");
        match weights {
            Weights::F32(w) => assert_eq!(w.len(), size, "f32 weights of [{rows}, {cols}]"),
            Weights::Bf16(w) => assert_eq!(w.len(), size, "bf16 weights of [{rows}, {cols}]"),
            Weights::Mxfp4 { blocks, scales } => {
                assert_eq!(cols % BLOCK, 0, "a row of MXFP4 is whole blocks");
                assert_eq!(blocks.len(), size / 2, "blocks of [{rows}, {cols}]");
                assert_eq!(scales.len(), size / BLOCK, "scales of [{rows}, {cols}]");
            }
        }
        Matrix { rows, cols, weights }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn cols(&self) -> usize {
        self.cols
    }

    pub fn weights(&self) -> Weights<'a> {
        self.weights
    }

    /// Some of its rows.
    pub fn range(&self, rows: Range<usize>) -> Matrix<'a> {
        let cut = |per_row: usize| rows.start * per_row..rows.end * per_row;
        let weights = match self.weights {
            Weights::F32(w) => Weights::F32(&w[cut(self.cols)]),
            Weights::Bf16(w) => Weights::Bf16(&w[cut(self.cols)]),
            Weights::Mxfp4 { blocks, scales } => {
                Weights::Mxfp4 { blocks: &blocks[cut(self.cols / 2)], scales: &scales[cut(self.cols / BLOCK)] }
            }
        };
        Matrix { rows: rows.len(), cols: self.cols, weights }
    }

    /// Where rows lie in memory, but for their scales.
    pub fn addresses(&self, rows: Range<usize>) -> Range<usize> {
        let (start, row) = match self.weights {
            Weights::F32(w) => (w.as_ptr() as usize, self.cols * 4),
            Weights::Bf16(w) => (w.as_ptr() as usize, self.cols * 2),
            Weights::Mxfp4 { blocks, .. } => (blocks.as_ptr() as usize, self.cols / 2),
        };
        start + rows.start * row..start + rows.end * row
    }

    /// The bytes that a row takes.
    pub fn row_bytes(&self) -> usize {
        match self.weights {
            Weights::F32(_) => self.cols * 4,
            Weights::Bf16(_) => self.cols * 2,
            Weights::Mxfp4 { .. } => self.cols / 2 + self.cols / BLOCK,
        }
    }
}

impl Vector<'_> {
    pub fn size(&self) -> usize {
        match self {
            Vector::F32(v) => v.len(),
            Vector::Bf16(v) => v.len(),
        }
    }

    /// Adds the numbers from `start` on.
    pub fn add_to(&self, start: usize, out: &mut [f32]) {
        match self {
            Vector::F32(v) => out.iter_mut().zip(&v[start..]).for_each(|(out, &v)| *out += v),
            Vector::Bf16(v) => out.iter_mut().zip(&v[start..]).for_each(|(out, &v)| *out += widened(v)),
        }
    }
}

/// A bfloat16 as f32.
#[inline(always)]
pub fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The factor that a scale of MXFP4 stands for: 2^(scale - 127).
#[inline(always)]
pub fn power(scale: u8) -> f32 {
    const SMALLEST: u32 = 1 << 22;
    f32::from_bits(if scale == 0 { SMALLEST } else { u32::from(scale) << 23 })
}
