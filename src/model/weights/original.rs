//! OpenAI's own layout: other names, and queries, keys and values in one matrix.

use std::ops::Range;

use sha2::Sha256;

use super::files::Files;
use super::stored::Stored;
use super::{Progress, Source};
use crate::model::{Config, LoadError};

/// Answers to the names of Hugging Face from files in OpenAI's layout. The bytes of both are the same.
pub struct Original {
    files: Files,
    /// Rows of the queries.
    queries: usize,
    /// Rows of the keys, and of the values.
    keys: usize,
}

/// A tensor of the files, or some rows of it.
#[derive(Debug, PartialEq)]
struct Place {
    name: String,
    rows: Option<Range<usize>>,
}

impl Original {
    pub fn new(files: Files, config: &Config) -> Self {
        // Sizes of a checked configuration are positive.
        let rows = |heads: i64| (heads * config.head_dim) as usize;
        Original { files, queries: rows(config.heads), keys: rows(config.kv_heads) }
    }

    fn place(&self, name: &str) -> Place {
        let whole = |name: &str| Place { name: name.to_owned(), rows: None };
        let Some((layer, part)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
            return whole(match name {
                "model.embed_tokens.weight" => "embedding.weight",
                "model.norm.weight" => "norm.scale",
                "lm_head.weight" => "unembedding.weight",
                other => other,
            });
        };
        let (queries, keys) = (self.queries, self.keys);
        let block = |part: &str| format!("block.{layer}.{part}");
        for (prefix, rows) in [
            ("self_attn.q_proj.", 0..queries),
            ("self_attn.k_proj.", queries..queries + keys),
            ("self_attn.v_proj.", queries + keys..queries + 2 * keys),
        ] {
            if let Some(kind) = part.strip_prefix(prefix) {
                return Place { name: block(&format!("attn.qkv.{kind}")), rows: Some(rows) };
            }
        }
        whole(&block(match part {
            "input_layernorm.weight" => "attn.norm.scale",
            "self_attn.sinks" => "attn.sinks",
            "self_attn.o_proj.weight" => "attn.out.weight",
            "self_attn.o_proj.bias" => "attn.out.bias",
            "post_attention_layernorm.weight" => "mlp.norm.scale",
            "mlp.router.weight" => "mlp.gate.weight",
            "mlp.router.bias" => "mlp.gate.bias",
            "mlp.experts.gate_up_proj_blocks" => "mlp.mlp1_weight.blocks",
            "mlp.experts.gate_up_proj_scales" => "mlp.mlp1_weight.scales",
            "mlp.experts.gate_up_proj_bias" => "mlp.mlp1_bias",
            "mlp.experts.down_proj_blocks" => "mlp.mlp2_weight.blocks",
            "mlp.experts.down_proj_scales" => "mlp.mlp2_weight.scales",
            "mlp.experts.down_proj_bias" => "mlp.mlp2_bias",
            other => other,
        }))
    }
}

impl Source for Original {
    fn has(&self, name: &str) -> bool {
        self.files.has(&self.place(name).name)
    }

    fn get(&self, name: &str) -> Result<Stored, LoadError> {
        let Place { name, rows } = self.place(name);
        let stored = self.files.get(&name)?;
        let Some(rows) = rows else { return Ok(stored) };
        let all = self.queries + 2 * self.keys;
        if stored.shape().first() != Some(&all) {
            return Err(stored.error(format!("has shape {:?}, config.json says {all} rows", stored.shape())));
        }
        stored.rows(rows)
    }

    fn total(&self) -> u64 {
        self.files.total()
    }

    fn digest(&self, hash: &mut Sha256) {
        self.files.digest(hash);
    }

    fn prefetch(&self, tell: &mut dyn FnMut(Progress)) {
        self.files.prefetch(tell);
    }
}
