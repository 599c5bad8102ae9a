//! Grouped-query attention with sinks: each head has a learned weight for looking at nothing.

use tch::{Kind, Tensor};

use crate::model::compute::Compute;
use crate::model::kv::LayerKv;
use crate::model::layout::{Group, KindLayout};
use crate::model::linear::Linear;
use crate::model::rope::Angles;
use crate::model::{Config, LoadError, Place, Weights, tensors};

/// The attention of one layer.
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `[kv_heads, heads / kv_heads, 1, 1]`, f32.
    sinks: Tensor,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
}

impl Attention {
    /// From `{name}.q_proj` and its siblings.
    pub fn load(weights: &Weights, name: &str, config: &Config, compute: &Compute) -> Result<Self, LoadError> {
        let Config { heads, kv_heads, head_dim, hidden, .. } = *config;
        let linear = |part: &str, outputs, inputs| {
            Linear::load(weights, &format!("{name}.{part}_proj"), outputs, inputs, compute)
        };
        let sinks = weights.dense(&format!("{name}.sinks"), &[heads])?;
        let sinks = tensors::tensor(&sinks, Place { kind: Kind::Float, ..compute.place })?;
        Ok(Attention {
            query: linear("q", heads * head_dim, hidden)?,
            key: linear("k", kv_heads * head_dim, hidden)?,
            value: linear("v", kv_heads * head_dim, hidden)?,
            output: linear("o", hidden, heads * head_dim)?,
            sinks: sinks.view([kv_heads, heads / kv_heads, 1, 1]),
            heads,
            kv_heads,
            head_dim,
        })
    }

    /// `x` `[tokens, hidden]`, laid out as `layout` says; their keys and values are written to the storage.
    pub fn forward(&self, x: &Tensor, angles: &Angles, layout: &KindLayout, kv: &LayerKv) -> Tensor {
        let count = x.size()[0];
        let split = |x: Tensor, heads| x.view([count, heads, self.head_dim]);
        let queries = angles.turn(&split(self.query.apply(x), self.heads)) * (self.head_dim as f64).powf(-0.5);
        let keys = angles.turn(&split(self.key.apply(x), self.kv_heads));
        let values = split(self.value.apply(x), self.kv_heads);
        for (storage, new) in [(&kv.keys, keys), (&kv.values, values)] {
            let _ = storage.view([-1, self.kv_heads, self.head_dim]).index_copy_(0, &layout.slots, &new);
        }
        let mut seen = queries.empty_like();
        for group in &layout.groups {
            let found = self.attend(&queries.index_select(0, &group.tokens), group, kv);
            let _ = match &group.real {
                None => seen.index_copy_(0, &group.tokens, &found),
                Some(real) => seen.index_copy_(0, &group.tokens.index_select(0, real), &found.index_select(0, real)),
            };
        }
        self.output.apply(&seen.view([count, self.heads * self.head_dim]))
    }

    /// `queries` `[runs * rows, heads, head_dim]`; gives the same shape.
    fn attend(&self, queries: &Tensor, group: &Group, kv: &LayerKv) -> Tensor {
        let Group { runs, rows, keys: seen, .. } = *group;
        let shared = self.heads / self.kv_heads;
        // The heads that share keys become rows of one matrix, so that keys are not repeated.
        let queries = queries.view([runs, rows, self.kv_heads, shared, self.head_dim]).permute([0, 2, 3, 1, 4]);
        let queries = queries.reshape([runs * self.kv_heads, shared * rows, self.head_dim]);
        let gather = |storage: &Tensor| {
            let pages = storage.index_select(0, &group.pages).view([runs, seen, self.kv_heads, self.head_dim]);
            pages.transpose(1, 2).reshape([runs * self.kv_heads, seen, self.head_dim])
        };
        let (keys, values) = (gather(&kv.keys), gather(&kv.values));

        let scores = queries.bmm(&keys.transpose(1, 2)).to_kind(Kind::Float);
        let mut scores = scores.view([runs, self.kv_heads, shared, rows, seen]);
        let scores = scores.masked_fill_(&group.hidden, f64::NEG_INFINITY);
        let sinks = self.sinks.expand([runs, self.kv_heads, shared, rows, 1], false);
        let weights = Tensor::cat(&[scores, sinks], -1).softmax(-1, Kind::Float).narrow(-1, 0, seen);
        let weights = weights.to_kind(values.kind()).reshape([runs * self.kv_heads, shared * rows, seen]);
        let found = weights.bmm(&values).view([runs, self.kv_heads, shared, rows, self.head_dim]);
        found.permute([0, 3, 1, 2, 4]).reshape([runs * rows, self.heads, self.head_dim])
    }
}
