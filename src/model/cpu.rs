//! The CPU's own arithmetic: activations in f32, weights as they are stored.

use tch::{Device, Kind, Tensor};

use crate::model::kernels::{Kernels, Matrix, Precision, Vector, Weights};
use crate::model::tensors::{floats, floats_mut};
use crate::model::{Format, LoadError, Place, Stored, Values, tensors};

/// The kernels, and how exact they are to be.
pub struct Cpu {
    pub kernels: Kernels,
    pub precision: Precision,
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
        Cpu { kernels: Kernels::new(threads), precision }
    }

    /// `x` `[m, cols]` times the transpose of the weights `[rows, cols]`, plus the bias `[rows]`.
    pub fn linear(
        &self,
        weights: &Numbers,
        rows: usize,
        bias: Option<&Numbers>,
        x: &Tensor,
        precision: Precision,
    ) -> Tensor {
        let x = x.contiguous();
        let (m, cols) = (x.size()[0], x.size()[1] as usize);
        let matrix = Matrix::new(rows, cols, weights.weights());
        let bias = bias.map(Numbers::vector);
        let mut y = Tensor::empty([m, rows as i64], (Kind::Float, Device::Cpu));
        self.kernels.matmul(matrix, bias, floats(&x), precision, floats_mut(&mut y));
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
