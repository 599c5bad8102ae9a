//! The mixture of experts: a router picks a few for each token, and their outputs are added by weight.

use tch::{Kind, Tensor};

use crate::model::linear::Linear;
use crate::model::{Checkpoint, Config, LoadError, Place};

/// The router and the experts of one layer.
pub struct Experts {
    router: Linear,
    /// `[experts, 2 * intermediate, hidden]`; gate and up alternate, row by row.
    gate_up: Tensor,
    gate_up_bias: Tensor,
    /// `[experts, hidden, intermediate]`.
    down: Tensor,
    down_bias: Tensor,
    experts: usize,
    per_token: usize,
    limit: f64,
    alpha: f64,
}

/// Which experts each token goes to; both `[tokens, experts per token]`.
pub struct Routing {
    /// Adds up to 1 for each token.
    pub weights: Tensor,
    pub experts: Tensor,
}

impl Experts {
    /// From `{name}.router` and `{name}.experts`.
    pub fn load(checkpoint: &Checkpoint, name: &str, config: &Config, place: Place) -> Result<Self, LoadError> {
        let Config { experts, hidden, intermediate, .. } = *config;
        let (gate_up, down) = (format!("{name}.experts.gate_up_proj"), format!("{name}.experts.down_proj"));
        Ok(Experts {
            router: Linear::load(checkpoint, &format!("{name}.router"), experts, hidden, place)?,
            gate_up_bias: checkpoint.dense(&format!("{gate_up}_bias"), &[experts, 2 * intermediate], place)?,
            down_bias: checkpoint.dense(&format!("{down}_bias"), &[experts, hidden], place)?,
            gate_up: checkpoint.experts(&gate_up, [experts, 2 * intermediate, hidden], place)?,
            down: checkpoint.experts(&down, [experts, hidden, intermediate], place)?,
            experts: experts as usize,
            per_token: config.experts_per_token as usize,
            limit: config.swiglu_limit,
            alpha: config.swiglu_alpha,
        })
    }

    /// Scores the experts for each token, keeps the best and weighs them among themselves.
    pub fn route(&self, x: &Tensor) -> Routing {
        let (scores, experts) = self.router.apply(x).topk(self.per_token as i64, -1, true, true);
        Routing { weights: scores.softmax(-1, Kind::Float), experts }
    }

    /// `x` `[tokens, hidden]`; gives the same shape. Each expert that any token goes to is read once.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let Routing { weights, experts } = self.route(x);
        let chosen = Vec::<i64>::try_from(experts.flatten(0, -1).to_device(tch::Device::Cpu))
            .expect("the indices of topk are int64, and flat");
        // For each expert, the places in the flat list of choices that name it.
        let mut places = vec![Vec::new(); self.experts];
        for (place, &expert) in chosen.iter().enumerate() {
            places[expert as usize].push(place as i64);
        }
        let weights = weights.flatten(0, -1);
        let mut out = x.zeros_like().to_kind(Kind::Float);
        for (expert, places) in places.iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let places = Tensor::from_slice(places).to_device(x.device());
            let tokens = places.floor_divide_scalar(self.per_token as i64);
            let y = self.expert(expert as i64, &x.index_select(0, &tokens)).to_kind(Kind::Float);
            let _ = out.index_add_(0, &tokens, &(y * weights.index_select(0, &places).unsqueeze(-1)));
        }
        out.to_kind(x.kind())
    }

    fn expert(&self, expert: i64, x: &Tensor) -> Tensor {
        let both = x.linear(&self.gate_up.get(expert), Some(self.gate_up_bias.get(expert)));
        self.swiglu(&both).linear(&self.down.get(expert), Some(self.down_bias.get(expert)))
    }

    fn swiglu(&self, both: &Tensor) -> Tensor {
        let gate = both.slice(-1, 0, None, 2).clamp_max(self.limit);
        let up = both.slice(-1, 1, None, 2).clamp(-self.limit, self.limit);
        (up + 1.0) * (&gate * (&gate * self.alpha).sigmoid())
    }
}
