//! Experts by libtorch: on any device, and nothing that is computed comes back to the host.

use tch::{Kind, Tensor};

use super::Routing;
use crate::model::compute::Compute;
use crate::model::mxfp4::Unpacker;
use crate::model::tensors::{raw, tensor};
use crate::model::{Config, LoadError, Place, StoredExperts, Weights};

/// Choices up to which packed weights are unpacked for each choice alone; beyond, for every expert.
const FEW: i64 = 16;

/// Experts that are unpacked at a time: enough for a GPU to do, and at most 1.6 GB beside the result.
const AT_ONCE: i64 = 16;

/// The matrices of a layer's experts.
pub struct Torch {
    gate_up: Side,
    down: Side,
    experts: i64,
    limit: f64,
    alpha: f64,
    kind: Kind,
}

/// One of the two matrices of every expert.
struct Side {
    form: Form,
    /// `[experts, rows]`.
    bias: Tensor,
}

enum Form {
    /// `[experts, rows, columns]`.
    Dense(Tensor),
    /// `[experts, rows, columns / 32, 16]` and `[experts, rows, columns / 32]`.
    Packed { blocks: Tensor, scales: Tensor, unpacker: Unpacker },
}

impl Torch {
    pub fn load(weights: &Weights, name: &str, config: &Config, compute: &Compute) -> Result<Self, LoadError> {
        let Config { experts, hidden, intermediate, .. } = *config;
        let Place { device, kind } = compute.place;
        let unpacker = Unpacker::new(compute.place);
        let side = |part: &str, rows: i64, columns: i64| {
            let bias = weights.dense(&format!("{name}.{part}_bias"), &[experts, rows])?;
            let form = match weights.experts(&format!("{name}.{part}"), [experts, rows, columns])? {
                StoredExperts::Dense(stored) => Form::Dense(tensor(&stored, compute.place)?),
                StoredExperts::Packed { blocks, scales } => {
                    let (blocks, scales) = (raw(&blocks, device)?, raw(&scales, device)?);
                    if compute.packed {
                        Form::Packed { blocks, scales, unpacker: unpacker.shallow_clone() }
                    } else {
                        Form::Dense(unpack_all(&unpacker, &blocks, &scales, kind))
                    }
                }
            };
            Ok(Side { form, bias: tensor(&bias, compute.place)? })
        };
        Ok(Torch {
            gate_up: side("gate_up_proj", 2 * intermediate, hidden)?,
            down: side("down_proj", hidden, intermediate)?,
            experts,
            limit: config.swiglu_limit,
            alpha: config.swiglu_alpha,
            kind,
        })
    }

    /// `x` `[tokens, hidden]`; gives the same shape.
    pub fn forward(&self, x: &Tensor, routing: &Routing) -> Tensor {
        let per_token = routing.experts.size()[1];
        let chosen = routing.experts.flatten(0, -1);
        // The choices, ordered by expert; choice c is of token c / per_token.
        let (sorted, order) = chosen.sort_stable(true, 0, false);
        let tokens = order.floor_divide_scalar(per_token);
        let inputs = x.index_select(0, &tokens);
        let groups = Groups::new(&sorted, self.experts);
        let both = self.gate_up.apply(&inputs, &groups, self.kind);
        let outputs = self.down.apply(&self.swiglu(&both), &groups, self.kind);
        let weighted =
            outputs.to_kind(Kind::Float) * routing.weights.flatten(0, -1).index_select(0, &order).unsqueeze(-1);
        // Back into the order of tokens, so that a token's few are added in one order whatever else there is.
        let back = order.argsort(0, false);
        let weighted = weighted.index_select(0, &back).view([x.size()[0], per_token, x.size()[1]]);
        weighted.sum_dim_intlist(1, false, Kind::Float).to_kind(x.kind())
    }

    fn swiglu(&self, both: &Tensor) -> Tensor {
        let gate = both.slice(-1, 0, None, 2).clamp_max(self.limit);
        let up = both.slice(-1, 1, None, 2).clamp(-self.limit, self.limit);
        (up + 1.0) * (&gate * (&gate * self.alpha).sigmoid())
    }
}

/// Which expert each row is for; rows of one expert lie together.
struct Groups<'a> {
    /// `[rows]`.
    experts: &'a Tensor,
    /// `[experts]`, int32: the row behind the last of each.
    ends: Tensor,
}

impl<'a> Groups<'a> {
    fn new(sorted: &'a Tensor, experts: i64) -> Self {
        let next = Tensor::arange_start(1, experts + 1, (Kind::Int64, sorted.device()));
        let ends = next.searchsorted(sorted, true, false, "left", None::<Tensor>);
        Groups { experts: sorted, ends }
    }
}

impl Side {
    /// `x` `[rows, columns]`, each through the matrix of its expert.
    fn apply(&self, x: &Tensor, groups: &Groups, kind: Kind) -> Tensor {
        let grouped =
            |weights: &Tensor| x.internal_grouped_mm(&weights.transpose(1, 2), Some(&groups.ends), None, kind);
        let product = match &self.form {
            Form::Dense(weights) => grouped(weights),
            Form::Packed { blocks, scales, unpacker } if x.size()[0] <= FEW => {
                let pick = |of: &Tensor| of.index_select(0, groups.experts);
                let weights = unpacker.unpack(&pick(blocks), &pick(scales));
                weights.matmul(&x.unsqueeze(-1)).squeeze_dim(-1)
            }
            Form::Packed { blocks, scales, unpacker } => grouped(&unpack_all(unpacker, blocks, scales, kind)),
        };
        product + self.bias.index_select(0, groups.experts)
    }
}

/// So many at a time that what the unpacking needs beside its result stays small.
fn unpack_all(unpacker: &Unpacker, blocks: &Tensor, scales: &Tensor, kind: Kind) -> Tensor {
    let [experts, rows, groups, half] = blocks.size()[..] else { unreachable!("the loader has checked the shape") };
    let out = Tensor::empty([experts, rows, groups * half * 2], (kind, blocks.device()));
    for first in (0..experts).step_by(AT_ONCE as usize) {
        let some = |of: &Tensor| of.narrow(0, first, AT_ONCE.min(experts - first));
        some(&out).copy_(&unpacker.unpack(&some(blocks), &some(scales)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn experts_are_unpacked_as_each_by_itself() {
        let unpacker = Unpacker::new(Place { device: Device::Cpu, kind: Kind::Float });
        for experts in [1, AT_ONCE, 2 * AT_ONCE + 3] {
            let bytes = |size: i64| (Tensor::arange(experts * size, (Kind::Int, Device::Cpu)) * 7).to_kind(Kind::Uint8);
            let blocks = bytes(5 * 2 * 16).view([experts, 5, 2, 16]);
            let scales = bytes(5 * 2).clamp_max(254).view([experts, 5, 2]);
            let all = unpack_all(&unpacker, &blocks, &scales, Kind::Float);
            for expert in 0..experts {
                let alone = unpacker.unpack(&blocks.get(expert), &scales.get(expert));
                assert!(all.get(expert).equal(&alone), "{expert} of {experts}");
            }
        }
    }

    #[test]
    fn ends_tell_the_rows_of_each_expert() {
        let sorted = Tensor::from_slice(&[0i64, 0, 2, 2, 2, 3]);
        let groups = Groups::new(&sorted, 5);
        assert_eq!(Vec::<i32>::try_from(&groups.ends).unwrap(), [2, 2, 5, 6, 6]);
        assert_eq!(groups.ends.device(), Device::Cpu);
    }
}
