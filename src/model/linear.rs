//! A dense matrix and its bias.

use std::rc::Rc;

use tch::Tensor;

use crate::model::compute::Compute;
use crate::model::cpu::{Cpu, Numbers};
use crate::model::{LoadError, Weights, tensors};

/// `x Wᵀ + b`, where `W` is `[outputs, inputs]`.
pub enum Linear {
    /// The weights lie where they are stored.
    Cpu {
        cpu: Rc<Cpu>,
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

    /// `x` `[m, inputs]`; gives `[m, outputs]`.
    pub fn apply(&self, x: &Tensor) -> Tensor {
        match self {
            Linear::Cpu { cpu, weight, bias, outputs, .. } => cpu.linear(weight, *outputs, bias.as_ref(), x),
            Linear::Torch { weight, bias } => x.linear(weight, bias.as_ref()),
        }
    }

    /// Some of the outputs alone, without a bias: `[m, some]`.
    pub fn apply_some(&self, x: &Tensor, some: &[u32]) -> Tensor {
        match self {
            Linear::Cpu { cpu, weight, inputs, .. } => cpu.linear(&weight.rows(some, *inputs), some.len(), None, x),
            Linear::Torch { weight, .. } => {
                let some: Vec<i64> = some.iter().map(|&output| output.into()).collect();
                let some = Tensor::from_slice(&some).to_device(weight.device());
                x.linear(&weight.index_select(0, &some), None::<Tensor>)
            }
        }
    }
}
