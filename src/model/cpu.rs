//! The CPU's own arithmetic: activations in f32, weights as they are stored.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use crate::model::kernels::{Kernels, Matrix, Precision, Vector, Weights};
use crate::model::tensors::{floats, floats_mut};
use crate::model::{Format, LoadError, Place, Stored, Values, tensors};

/// Rows of activations from which a dense matrix is widened and multiplied by libtorch.
const MANY: usize = 24;
/// Numbers that are widened at a time: they stay in the last level of cache.
const WIDE: usize = 4 << 20;

/// The kernels, and the memory that they share with libtorch.
pub struct Cpu {
    pub kernels: Kernels,
    pub precision: Precision,
    /// Widened weights, f32.
    wide: RefCell<Tensor>,
}

/// Weights in a format that the kernels read.
pub enum Numbers {
    Stored(Stored),
    Floats(Vec<f32>),
    /// Bfloat16, as bits.
    Halves(Vec<u16>),
}

impl Cpu {
    pub fn new(threads: usize, precision: Precision) -> Self {
        Cpu { kernels: Kernels::new(threads), precision, wide: RefCell::new(Tensor::new()) }
    }

    /// `x` `[m, cols]` times the transpose of the weights `[rows, cols]`, plus the bias `[rows]`.
    pub fn linear(&self, weights: &Numbers, rows: usize, bias: Option<&Numbers>, x: &Tensor) -> Tensor {
        let x = x.contiguous();
        let (m, cols) = (x.size()[0] as usize, x.size()[1] as usize);
        let matrix = Matrix::new(rows, cols, weights.weights());
        let bias = bias.map(Numbers::vector);
        let mut y = Tensor::empty([m as i64, rows as i64], (Kind::Float, Device::Cpu));
        if m < MANY {
            self.kernels.matmul(matrix, bias, floats(&x), self.precision, floats_mut(&mut y));
            return y;
        }
        let block = (WIDE / cols).clamp(1, rows);
        let mut wide = self.wide.borrow_mut();
        if wide.numel() < block * cols {
            *wide = Tensor::empty([(block * cols) as i64], (Kind::Float, Device::Cpu));
        }
        for start in (0..rows).step_by(block) {
            let count = block.min(rows - start);
            let mut part = wide.narrow(0, 0, (count * cols) as i64);
            self.kernels.widen(matrix.range(start..start + count), floats_mut(&mut part));
            let part = part.view([count as i64, cols as i64]);
            let _ = x.f_mm_out(&y.narrow(1, start as i64, count as i64), &part.tr());
        }
        if let Some(bias) = bias {
            for y in floats_mut(&mut y).chunks_exact_mut(rows) {
                bias.add_to(0, y);
            }
        }
        y
    }
}

impl Numbers {
    /// Floats as the kernels read them: what they do not know is widened.
    pub fn new(stored: Stored) -> Result<Self, LoadError> {
        if stored.format() != Format::F16 {
            return Ok(Numbers::Stored(stored));
        }
        let wide = tensors::tensor(&stored, Place { device: Device::Cpu, kind: Kind::Float })?;
        Ok(Numbers::Floats(floats(&wide).to_vec()))
    }

    /// Panics for packed numbers: those are two tensors.
    pub fn weights(&self) -> Weights<'_> {
        match self {
            Numbers::Floats(floats) => Weights::F32(floats),
            Numbers::Halves(halves) => Weights::Bf16(halves),
            Numbers::Stored(stored) => match stored.values() {
                Values::F32(floats) => Weights::F32(floats),
                Values::Bf16(halves) => Weights::Bf16(halves),
                Values::F16(_) | Values::U8(_) => unreachable!("made from neither"),
            },
        }
    }

    pub fn vector(&self) -> Vector<'_> {
        match self.weights() {
            Weights::F32(floats) => Vector::F32(floats),
            Weights::Bf16(halves) => Vector::Bf16(halves),
            Weights::Mxfp4 { .. } => unreachable!("made from neither"),
        }
    }

    /// Some rows of a matrix of this many columns.
    pub fn rows(&self, rows: &[u32], cols: usize) -> Numbers {
        fn pick<T: Copy>(from: &[T], rows: &[u32], cols: usize) -> Vec<T> {
            rows.iter().flat_map(|&row| &from[row as usize * cols..][..cols]).copied().collect()
        }
        match self.weights() {
            Weights::F32(floats) => Numbers::Floats(pick(floats, rows, cols)),
            Weights::Bf16(halves) => Numbers::Halves(pick(halves, rows, cols)),
            Weights::Mxfp4 { .. } => unreachable!("made from neither"),
        }
    }
}
