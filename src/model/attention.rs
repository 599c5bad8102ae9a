//! Grouped-query attention with sinks: each head has a learned weight for looking at nothing.

use std::rc::Rc;

use tch::{Kind, Tensor};

use crate::model::compute::Compute;
use crate::model::cpu::Cpu;
use crate::model::groups::Group;
use crate::model::kernels::{self, Paged};
use crate::model::kv::{LayerKv, PAGE};
use crate::model::layout::{Grouped, KindLayout};
use crate::model::linear::Linear;
use crate::model::rope::Angles;
use crate::model::tensors::{floats, floats_mut};
use crate::model::{Config, LoadError, Place, Weights, tensors};

const _: () = assert!(kernels::PAGE == PAGE, "the kernel reads the pages as they are stored");

/// The attention of one layer.
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `[heads]`, f32.
    sinks: Tensor,
    heads: i64,
    kv_heads: i64,
    head_dim: i64,
    /// Our own kernels; else libtorch does it.
    cpu: Option<Rc<Cpu>>,
}

impl Attention {
    /// From `{name}.q_proj` and its siblings.
    pub fn load(weights: &Weights, name: &str, config: &Config, compute: &Compute) -> Result<Self, LoadError> {
        let Config { heads, kv_heads, head_dim, hidden, .. } = *config;
        let linear = |part: &str, outputs, inputs| {
            Linear::load(weights, &format!("{name}.{part}_proj"), outputs, inputs, compute)
        };
        let sinks = weights.dense(&format!("{name}.sinks"), &[heads])?;
        Ok(Attention {
            query: linear("q", heads * head_dim, hidden)?,
            key: linear("k", kv_heads * head_dim, hidden)?,
            value: linear("v", kv_heads * head_dim, hidden)?,
            output: linear("o", hidden, heads * head_dim)?,
            sinks: tensors::tensor(&sinks, Place { kind: Kind::Float, ..compute.place })?,
            heads,
            kv_heads,
            head_dim,
            cpu: compute.cpu.clone(),
        })
    }

    /// `x` `[tokens, hidden]`, laid out as `layout` says; their keys and values are written to the storage.
    pub fn forward(&self, x: &Tensor, angles: &Angles, layout: &KindLayout, kv: &LayerKv) -> Tensor {
        let [queries, keys, values] = [&self.query, &self.key, &self.value].map(|linear| linear.apply(x));
        let seen = match (&self.cpu, &layout.grouped) {
            (Some(cpu), _) => self.native(cpu, [queries, keys, values], angles, layout, kv),
            (None, Some(grouped)) => self.torch([queries, keys, values], angles, grouped, kv),
            (None, None) => unreachable!("what runs on libtorch is laid out for it"),
        };
        self.output.apply(&seen)
    }

    /// Gives `[tokens, heads * head_dim]`.
    fn native(
        &self,
        cpu: &Cpu,
        [mut queries, mut keys, values]: [Tensor; 3],
        angles: &Angles,
        layout: &KindLayout,
        kv: &LayerKv,
    ) -> Tensor {
        let [heads, kv_heads, head_dim] = [self.heads, self.kv_heads, self.head_dim].map(|size| size as usize);
        let turns = (floats(&angles.cos), floats(&angles.sin));
        cpu.kernels.rope(floats_mut(&mut queries), heads, head_dim, turns, (head_dim as f32).powf(-0.5));
        cpu.kernels.rope(floats_mut(&mut keys), kv_heads, head_dim, turns, 1.0);
        for (storage, new) in [(&kv.keys, &keys), (&kv.values, &values)] {
            let width = kv_heads * head_dim;
            let mut storage = storage.shallow_clone();
            let storage = floats_mut(&mut storage);
            for (&slot, new) in layout.slots.iter().zip(floats(new).chunks_exact(width)) {
                storage[slot as usize * width..][..width].copy_from_slice(new);
            }
        }
        let runs: Vec<kernels::Run> = layout
            .runs
            .iter()
            .map(|run| kernels::Run {
                row: run.token,
                position: run.position,
                rows: run.count,
                pages: &run.pages,
                held: run.held,
            })
            .collect();
        let kv = Paged { keys: floats(&kv.keys), values: floats(&kv.values), kv_heads, head_dim };
        let mut seen = queries.empty_like();
        cpu.kernels.attend(floats(&queries), kv, &runs, floats(&self.sinks), layout.window, floats_mut(&mut seen));
        seen
    }

    /// Gives `[tokens, heads * head_dim]`.
    fn torch(&self, [queries, keys, values]: [Tensor; 3], angles: &Angles, layout: &Grouped, kv: &LayerKv) -> Tensor {
        let split = |x: &Tensor, heads| x.view([-1, heads, self.head_dim]);
        let queries = angles.turn(&split(&queries, self.heads)) * (self.head_dim as f64).powf(-0.5);
        let keys = angles.turn(&split(&keys, self.kv_heads));
        for (storage, new) in [(&kv.keys, keys), (&kv.values, split(&values, self.kv_heads))] {
            let _ = storage.view([-1, self.kv_heads, self.head_dim]).index_copy_(0, &layout.slots, &new);
        }
        if let Some(blank) = &layout.blank {
            // The page's last user may have left what is no number, and that is seen even at a weight of zero.
            let _ = kv.values.view([-1, self.kv_heads, self.head_dim]).index_fill_(0, blank, 0.0);
        }
        let mut seen = queries.empty_like();
        for group in &layout.groups {
            let found = self.attend(&queries.index_select(0, &group.tokens), group, kv);
            let _ = match &group.real {
                None => seen.index_copy_(0, &group.tokens, &found),
                Some(real) => seen.index_copy_(0, &group.tokens.index_select(0, real), &found.index_select(0, real)),
            };
        }
        seen.view([-1, self.heads * self.head_dim])
    }

    /// `queries` `[blocks * rows, heads, head_dim]`; gives the same shape.
    fn attend(&self, queries: &Tensor, group: &Group, kv: &LayerKv) -> Tensor {
        let Group { blocks, rows, keys: seen, .. } = *group;
        let shared = self.heads / self.kv_heads;
        // The heads that share keys become rows of one matrix, so that keys are not repeated.
        let queries = queries.view([blocks, rows, self.kv_heads, shared, self.head_dim]).permute([0, 2, 3, 1, 4]);
        let queries = queries.reshape([blocks * self.kv_heads, shared * rows, self.head_dim]);
        let gather = |storage: &Tensor| {
            let pages = storage.index_select(0, &group.pages).view([blocks, seen, self.kv_heads, self.head_dim]);
            pages.transpose(1, 2).reshape([blocks * self.kv_heads, seen, self.head_dim])
        };
        let (keys, values) = (gather(&kv.keys), gather(&kv.values));

        let scores = queries.bmm(&keys.transpose(1, 2)).to_kind(Kind::Float);
        let mut scores = scores.view([blocks, self.kv_heads, shared, rows, seen]);
        let scores = scores.masked_fill_(&group.hidden, f64::NEG_INFINITY);
        let sinks = self.sinks.view([1, self.kv_heads, shared, 1, 1]);
        let sinks = sinks.expand([blocks, self.kv_heads, shared, rows, 1], false);
        let weights = Tensor::cat(&[scores, sinks], -1).softmax(-1, Kind::Float).narrow(-1, 0, seen);
        let weights = weights.to_kind(values.kind()).reshape([blocks * self.kv_heads, shared * rows, seen]);
        let found = weights.bmm(&values).view([blocks, self.kv_heads, shared, rows, self.head_dim]);
        found.permute([0, 3, 1, 2, 4]).reshape([blocks * rows, self.heads, self.head_dim])
    }
}
