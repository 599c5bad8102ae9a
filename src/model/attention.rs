//! Grouped-query attention with sinks: each head has a learned weight for looking at nothing.

use tch::{Kind, Tensor};

use crate::model::config::LayerKind;
use crate::model::kv_cache::LayerKv;
use crate::model::rope::Angles;
use crate::model::{Checkpoint, Config, LoadError, Place};

/// Scores held at once, at most: bounds the memory of a long prompt. Rows are independent, so blocks change nothing.
const SCORES: i64 = 1 << 25;

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
    /// Positions seen, its own among them; `None` sees all.
    window: Option<i64>,
}

/// A matrix and a bias.
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

impl Attention {
    /// From `{name}.q_proj` and its siblings.
    pub fn load(
        checkpoint: &Checkpoint,
        name: &str,
        config: &Config,
        kind: LayerKind,
        place: Place,
    ) -> Result<Self, LoadError> {
        let Config { heads, kv_heads, head_dim, hidden, .. } = *config;
        let linear = |part: &str, outputs, inputs| {
            Linear::load(checkpoint, &format!("{name}.{part}_proj"), outputs, inputs, place)
        };
        let sinks = checkpoint.dense(&format!("{name}.sinks"), &[heads], place)?;
        Ok(Attention {
            query: linear("q", heads * head_dim, hidden)?,
            key: linear("k", kv_heads * head_dim, hidden)?,
            value: linear("v", kv_heads * head_dim, hidden)?,
            output: linear("o", hidden, heads * head_dim)?,
            sinks: sinks.to_kind(Kind::Float).view([kv_heads, heads / kv_heads, 1, 1]),
            heads,
            kv_heads,
            head_dim,
            window: (kind == LayerKind::Sliding).then_some(config.window),
        })
    }

    /// `x` `[positions, hidden]`, of the positions from `past` on; their keys and values are written to the cache.
    pub fn forward(&self, x: &Tensor, angles: &Angles, past: usize, cache: &LayerKv) -> Tensor {
        let count = x.size()[0];
        let split = |x: Tensor, heads| x.view([count, heads, self.head_dim]).transpose(0, 1);
        let queries = angles.turn(&split(self.query.apply(x), self.heads));
        let keys = angles.turn(&split(self.key.apply(x), self.kv_heads));
        cache.write(past, &keys, &split(self.value.apply(x), self.kv_heads));

        let past = past as i64;
        let rows = (SCORES / (self.heads * (past + count))).clamp(1, count);
        let blocks: Vec<Tensor> = (0..count)
            .step_by(rows as usize)
            .map(|at| self.attend(&queries.narrow(1, at, rows.min(count - at)), past + at, cache))
            .collect();
        self.output.apply(&Tensor::cat(&blocks, 1).transpose(0, 1).reshape([count, self.heads * self.head_dim]))
    }

    /// `queries` `[heads, rows, head_dim]` of the positions from `first` on; gives the same shape.
    fn attend(&self, queries: &Tensor, first: i64, cache: &LayerKv) -> Tensor {
        let rows = queries.size()[1];
        let group = self.heads / self.kv_heads;
        let from = self.window.map_or(0, |window| (first - window + 1).max(0));
        let (keys, values) = cache.read(from, first + rows);
        let seen = first + rows - from;

        // The heads that share keys become rows of one matrix, so that keys are not repeated.
        let queries = queries.reshape([self.kv_heads, group * rows, self.head_dim]);
        let scores = queries.matmul(&keys.transpose(1, 2)).to_kind(Kind::Float) * (self.head_dim as f64).powf(-0.5);
        let mut scores = scores.view([self.kv_heads, group, rows, seen]);
        // One row sees exactly what was read.
        if rows > 1 {
            let hidden = hidden(first, rows, from, seen, self.window).to_device(scores.device());
            scores = scores.masked_fill(&hidden, f64::NEG_INFINITY);
        }
        let sinks = self.sinks.expand([self.kv_heads, group, rows, 1], false);
        let weights = Tensor::cat(&[scores, sinks], -1).softmax(-1, Kind::Float).narrow(-1, 0, seen);
        let weights = weights.to_kind(values.kind()).reshape([self.kv_heads, group * rows, seen]);
        weights.matmul(&values).view([self.heads, rows, self.head_dim])
    }
}

/// `[rows, keys]`: true where the query at `first + row` does not see the key at `from + key`.
fn hidden(first: i64, rows: i64, from: i64, keys: i64, window: Option<i64>) -> Tensor {
    let options = (Kind::Int64, tch::Device::Cpu);
    let query = Tensor::arange_start(first, first + rows, options).unsqueeze(1);
    let key = Tensor::arange_start(from, from + keys, options).unsqueeze(0);
    let distance = query - key;
    let later = distance.lt(0);
    match window {
        Some(window) => later.logical_or(&distance.ge(window)),
        None => later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(first: i64, rows: i64, from: i64, keys: i64, window: Option<i64>) -> Vec<String> {
        let mask = Vec::<Vec<bool>>::try_from(&hidden(first, rows, from, keys, window)).unwrap();
        mask.iter().map(|row| row.iter().map(|&hidden| if hidden { '.' } else { 'x' }).collect()).collect()
    }

    #[test]
    fn full_layers_see_themselves_and_all_before() {
        assert_eq!(shown(0, 3, 0, 3, None), ["x..", "xx.", "xxx"]);
        assert_eq!(shown(2, 2, 0, 4, None), ["xxx.", "xxxx"]);
    }

    #[test]
    fn sliding_layers_see_the_window_with_themselves_in_it() {
        assert_eq!(shown(0, 4, 0, 4, Some(2)), ["x...", "xx..", ".xx.", "..xx"]);
        assert_eq!(shown(5, 2, 3, 4, Some(3)), ["xxx.", ".xxx"]);
    }
}
