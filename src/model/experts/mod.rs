//! The mixture of experts: a router picks a few for each token, and their outputs are added by weight.

mod native;
mod torch;

use tch::{Kind, Tensor};

use crate::model::compute::Compute;
use crate::model::linear::Linear;
use crate::model::{Config, LoadError, Weights};
use native::Native;
use torch::Torch;

/// The router and the experts of one layer.
pub struct Experts {
    router: Linear,
    per_token: i64,
    matrices: Matrices,
}

enum Matrices {
    Native(Box<Native>),
    Torch(Torch),
}

/// Which experts each token goes to; both `[tokens, experts per token]`.
pub struct Routing {
    /// Adds up to 1 for each token. f32.
    pub weights: Tensor,
    /// int64.
    pub experts: Tensor,
}

impl Experts {
    /// From `{name}.router` and `{name}.experts`.
    pub fn load(weights: &Weights, name: &str, config: &Config, compute: &Compute) -> Result<Self, LoadError> {
        let experts = format!("{name}.experts");
        Ok(Experts {
            router: Linear::load(weights, &format!("{name}.router"), config.experts, config.hidden, compute)?.exact(),
            per_token: config.experts_per_token,
            matrices: match &compute.cpu {
                Some(cpu) => Matrices::Native(Native::load(weights, &experts, config, cpu, compute.packed)?.into()),
                None => Matrices::Torch(Torch::load(weights, &experts, config, compute)?),
            },
        })
    }

    /// Scores the experts for each token, keeps the best and weighs them among themselves.
    pub fn route(&self, x: &Tensor) -> Routing {
        let (scores, experts) = self.router.apply(x).topk(self.per_token, -1, true, true);
        Routing { weights: scores.softmax(-1, Kind::Float), experts }
    }

    /// `x` `[tokens, hidden]`; gives the same shape.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let routing = self.route(x);
        match &self.matrices {
            Matrices::Native(native) => native.forward(x, &routing),
            Matrices::Torch(torch) => torch.forward(x, &routing),
        }
    }
}
