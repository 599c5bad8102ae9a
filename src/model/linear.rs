//! A dense matrix and its bias.

use std::rc::Rc;

use tch::Tensor;

use crate::model::compute::Compute;
use crate::model::cpu::{Cpu, Numbers};
use crate::model::kernels::Precision;
use crate::model::{LoadError, Weights, tensors};

/// `x Wᵀ + b`, where `W` is `[outputs, inputs]`.
pub enum Linear {
    /// The weights lie where they are stored.
    Cpu {
        cpu: Rc<Cpu>,
        precision: Precision,
        weight: Numbers,
        bias: Option<Numbers>,
        outputs: usize,
        inputs: usize,
    },
    Torch {
        weight: Tensor,
        bias: Option<Tensor>,
    },
}

impl Linear {
    /// `{name}.weight` and `{name}.bias`.
    pub fn load(
        weights: &Weights,
        name: &str,
        outputs: i64,
        inputs: i64,
        compute: &Compute,
    ) -> Result<Self, LoadError> {
        Self::new(weights, name, true, [outputs, inputs], compute)
    }

    /// `{name}.weight` alone.
    pub fn without_bias(
        weights: &Weights,
        name: &str,
        outputs: i64,
        inputs: i64,
        compute: &Compute,
    ) -> Result<Self, LoadError> {
        Self::new(weights, name, false, [outputs, inputs], compute)
    }

    fn new(
        weights: &Weights,
        name: &str,
        biased: bool,
        [outputs, inputs]: [i64; 2],
        compute: &Compute,
    ) -> Result<Self, LoadError> {
        let weight = weights.dense(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = biased.then(|| weights.dense(&format!("{name}.bias"), &[outputs])).transpose()?;
        Ok(match &compute.cpu {
            Some(cpu) => Linear::Cpu {
                cpu: cpu.clone(),
                precision: cpu.precision,
                weight: Numbers::new(weight)?,
                bias: bias.map(Numbers::new).transpose()?,
                outputs: outputs as usize,
                inputs: inputs as usize,
            },
            None => Linear::Torch {
                weight: tensors::tensor(&weight, compute.place)?,
                bias: bias.map(|bias| tensors::tensor(&bias, compute.place)).transpose()?,
            },
        })
    }

    /// The same, exact whatever the settings say: for choices, which must not depend on how many rows there are.
    pub fn exact(self) -> Self {
        match self {
            Linear::Cpu { cpu, weight, bias, outputs, inputs, .. } => {
                Linear::Cpu { cpu, precision: Precision::Exact, weight, bias, outputs, inputs }
            }
            torch => torch,
        }
    }

    /// `x` `[m, inputs]`; gives `[m, outputs]`.
    pub fn apply(&self, x: &Tensor) -> Tensor {
        match self {
            Linear::Cpu { cpu, precision, weight, bias, outputs, .. } => {
                cpu.linear(weight, *outputs, bias.as_ref(), x, *precision)
            }
            Linear::Torch { weight, bias } => x.linear(weight, bias.as_ref()),
        }
    }

    /// Some of the outputs alone, without a bias: `[m, some]`.
    pub fn apply_some(&self, x: &Tensor, some: &[u32]) -> Tensor {
        match self {
            Linear::Cpu { cpu, precision, weight, inputs, .. } => {
                cpu.linear(&weight.rows(some, *inputs), some.len(), None, x, *precision)
            }
            Linear::Torch { weight, .. } => {
                let some: Vec<i64> = some.iter().map(|&output| output.into()).collect();
                let some = Tensor::from_slice(&some).to_device(weight.device());
                x.linear(&weight.index_select(0, &some), None::<Tensor>)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tensors::floats;
    use tch::{Device, Kind};

    /// Rows enough for every path of the kernels.
    #[test]
    fn what_is_exact_does_not_depend_on_how_many_rows_there_are() {
        let _guard = tch::no_grad_guard();
        let cpu = Rc::new(Cpu::new(1, Precision::Fast));
        let numbers = |rows: i64, seed: f64| {
            (Tensor::arange(rows * 256, (Kind::Float, Device::Cpu)) * seed).sin().view([rows, 256])
        };
        let weight = numbers(32, 0.7).to_kind(Kind::BFloat16);
        let wide = weight.to_kind(Kind::Double);
        let halves = floats(&weight.to_kind(Kind::Float)).iter().map(|wide| (wide.to_bits() >> 16) as u16).collect();
        let weight = Numbers::Halves(halves);
        let linear = Linear::Cpu { cpu, precision: Precision::Fast, weight, bias: None, outputs: 32, inputs: 256 };
        let linear = linear.exact();
        for rows in [1, 8, 20] {
            let x = numbers(rows, 1.3);
            let error = linear.apply(&x).to_kind(Kind::Double) - x.to_kind(Kind::Double).matmul(&wide.transpose(0, 1));
            let error = f64::try_from(error.abs().max()).unwrap();
            assert!(error < 2e-6, "{rows} rows: {error}");
        }
    }
}
