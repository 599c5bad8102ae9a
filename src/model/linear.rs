//! A dense matrix and its bias.

use tch::Tensor;

use crate::model::{Checkpoint, LoadError, Place};

/// `x Wᵀ + b`.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `{name}.weight` `[outputs, inputs]` and `{name}.bias`.
    pub fn load(
        checkpoint: &Checkpoint,
        name: &str,
        outputs: i64,
        inputs: i64,
        place: Place,
    ) -> Result<Self, LoadError> {
        Ok(Linear {
            weight: checkpoint.dense(&format!("{name}.weight"), &[outputs, inputs], place)?,
            bias: checkpoint.dense(&format!("{name}.bias"), &[outputs], place)?,
        })
    }

    pub fn apply(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}
