//! Experts by our own kernels: on the CPU, weights as they are stored.

use std::rc::Rc;

use tch::Tensor;

use super::Routing;
use crate::model::cpu::{Cpu, Numbers};
use crate::model::kernels::{self, Matrix, Swiglu, Vector};
use crate::model::tensors::{floats, floats_mut, ids};
use crate::model::{Config, LoadError, Stored, StoredExperts, Weights};

/// The matrices of a layer's experts, one below the other.
pub struct Native {
    cpu: Rc<Cpu>,
    count: usize,
    gate_up: Side,
    down: Side,
    swiglu: Swiglu,
}

/// One of the two matrices of every expert.
struct Side {
    weights: Form,
    bias: Numbers,
    rows: usize,
    cols: usize,
}

enum Form {
    Packed { blocks: Stored, scales: Stored },
    Dense(Numbers),
}

impl Native {
    pub fn load(
        weights: &Weights,
        name: &str,
        config: &Config,
        cpu: &Rc<Cpu>,
        packed: bool,
    ) -> Result<Self, LoadError> {
        let Config { experts, hidden, intermediate, .. } = *config;
        let side = |part: &str, rows: i64, cols: i64| {
            let bias = weights.dense(&format!("{name}.{part}_bias"), &[experts, rows])?;
            let (rows, cols) = ((experts * rows) as usize, cols as usize);
            let stored = weights.experts(&format!("{name}.{part}"), [experts, rows as i64 / experts, cols as i64])?;
            let weights = match stored {
                StoredExperts::Packed { blocks, scales } => Form::Packed { blocks, scales },
                StoredExperts::Dense(stored) => Form::Dense(Numbers::new(stored)?),
            };
            let side = Side { weights, bias: Numbers::new(bias)?, rows, cols };
            Ok(if packed { side } else { side.unpacked(cpu) })
        };
        Ok(Native {
            cpu: cpu.clone(),
            count: experts as usize,
            gate_up: side("gate_up_proj", 2 * intermediate, hidden)?,
            down: side("down_proj", hidden, intermediate)?,
            swiglu: Swiglu { limit: config.swiglu_limit as f32, alpha: config.swiglu_alpha as f32 },
        })
    }

    /// `x` `[tokens, hidden]`; gives the same shape.
    pub fn forward(&self, x: &Tensor, routing: &Routing) -> Tensor {
        let experts = kernels::Experts::new(self.count, self.gate_up.view(), self.down.view(), self.swiglu);
        let (x, chosen, weights) = (x.contiguous(), routing.experts.contiguous(), routing.weights.contiguous());
        let per_token = chosen.size()[1] as usize;
        let routing = kernels::Routing { experts: ids(&chosen), weights: floats(&weights), per_token };
        let mut out = x.empty_like();
        self.cpu.kernels.experts(&experts, routing, floats(&x), self.cpu.precision, floats_mut(&mut out));
        out
    }
}

impl Side {
    fn view(&self) -> (Matrix<'_>, Vector<'_>) {
        (self.matrix(), self.bias.vector())
    }

    fn matrix(&self) -> Matrix<'_> {
        let weights = match &self.weights {
            Form::Packed { blocks, scales } => {
                kernels::Weights::Mxfp4 { blocks: blocks.bytes(), scales: scales.bytes() }
            }
            Form::Dense(numbers) => numbers.weights(),
        };
        Matrix::new(self.rows, self.cols, weights)
    }

    /// The same weights in bfloat16, in which every value of MXFP4 is exact.
    fn unpacked(self, cpu: &Cpu) -> Self {
        let Form::Packed { .. } = &self.weights else { return self };
        let mut halves = Vec::with_capacity(self.rows * self.cols);
        let mut wide = vec![0.0; (1 << 20) / self.cols.max(1) * self.cols + self.cols];
        let some = wide.len() / self.cols;
        for start in (0..self.rows).step_by(some) {
            let end = self.rows.min(start + some);
            let wide = &mut wide[..(end - start) * self.cols];
            cpu.kernels.widen(self.matrix().range(start..end), wide);
            halves.extend(wide.iter().map(|wide| (wide.to_bits() >> 16) as u16));
        }
        Side { weights: Form::Dense(Numbers::Halves(halves)), ..self }
    }
}
