//! One checkpoint in all the ways in which its weights can lie on a disk.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A checkpoint in memory, in the layout of Hugging Face.
pub struct Layouts {
    config: Map<String, Value>,
    tensors: Tensors,
}

type Tensors = BTreeMap<String, Tensor>;

#[derive(Clone)]
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Layouts {
    /// Of a directory with one file of weights.
    pub fn of(dir: &Path) -> Self {
        let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |view: TensorView| {
            let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            Tensor { dtype, shape, bytes }
        };
        let tensors = file.tensors().into_iter().map(|(name, view)| (name, tensor(view))).collect();
        let config = serde_json::from_slice(&std::fs::read(dir.join("config.json")).unwrap()).unwrap();
        Layouts { config, tensors }
    }

    /// As it was, with some keys of the configuration set.
    pub fn with(&self, keys: Value) -> TempDir {
        let mut config = self.config.clone();
        config.extend(keys.as_object().unwrap().clone());
        let dir = folder(&config.into());
        write(&self.tensors, &dir.path().join("model.safetensors"));
        dir
    }

    /// Three files and an index; tensor by tensor, the next goes into the next.
    pub fn sharded(&self) -> TempDir {
        let dir = self.scattered("model", "-of-00003.safetensors");
        let file = |index: usize| format!("model-{}-of-00003.safetensors", index % 3);
        let map: BTreeMap<&String, String> = self.tensors.keys().enumerate().map(|(i, name)| (name, file(i))).collect();
        std::fs::write(dir.path().join("model.safetensors.index.json"), json!({"weight_map": map}).to_string())
            .unwrap();
        dir
    }

    /// Three files without an index, their names and a suffix.
    pub fn scattered(&self, name: &str, suffix: &str) -> TempDir {
        let dir = folder(&self.config.clone().into());
        for part in 0..3 {
            let tensors = self.tensors.iter().skip(part).step_by(3);
            let tensors = tensors.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
            write(&tensors, &dir.path().join(format!("{name}-{part}{suffix}")));
        }
        dir
    }

    /// Every tensor an odd number of bytes off its place.
    pub fn askew(&self) -> TempDir {
        let dir = self.with(json!({}));
        let path = dir.path().join("model.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        bytes[..8].copy_from_slice(&(length + 1).to_le_bytes());
        bytes.insert(8 + length as usize, b' ');
        std::fs::write(path, bytes).unwrap();
        dir
    }

    /// OpenAI's own layout, in a folder `original/` below the one that is given.
    pub fn original(&self) -> TempDir {
        let key = |key: &str| self.config[key].clone();
        let rope = &self.config["rope_scaling"];
        let config = json!({
            "num_hidden_layers": key("num_hidden_layers"), "num_experts": key("num_local_experts"),
            "experts_per_token": key("num_experts_per_tok"), "vocab_size": key("vocab_size"),
            "hidden_size": key("hidden_size"), "intermediate_size": key("intermediate_size"),
            "swiglu_limit": key("swiglu_limit"), "head_dim": key("head_dim"),
            "num_attention_heads": key("num_attention_heads"), "num_key_value_heads": key("num_key_value_heads"),
            "sliding_window": key("sliding_window"), "initial_context_length": key("initial_context_length"),
            "rope_theta": key("rope_theta"), "rope_scaling_factor": rope["factor"],
            "rope_ntk_alpha": rope["beta_slow"], "rope_ntk_beta": rope["beta_fast"],
        });
        let dir = TempDir::new().unwrap();
        let original = dir.path().join("original");
        std::fs::create_dir(&original).unwrap();
        std::fs::write(original.join("config.json"), config.to_string()).unwrap();
        let mut tensors = Tensors::new();
        for (name, tensor) in &self.tensors {
            let (name, joined) = original_name(name);
            // In the order of their names: keys, queries, values. The queries go first.
            match tensors.get_mut(&name) {
                None => drop(tensors.insert(name, tensor.clone())),
                Some(first) => {
                    assert!(joined.is_some(), "{name} twice");
                    let at = if joined == Some("q") { 0 } else { first.bytes.len() };
                    first.bytes.splice(at..at, tensor.bytes.iter().copied());
                    first.shape[0] += tensor.shape[0];
                }
            }
        }
        write(&tensors, &original.join("model.safetensors"));
        dir
    }

    /// As transformers writes it unquantised: experts in bf16, `[experts, inputs, outputs]`.
    pub fn unquantised(&self) -> TempDir {
        let mut config = self.config.clone();
        config.remove("quantization_config");
        let dir = folder(&config.into());
        let mut tensors = Tensors::new();
        for (name, tensor) in &self.tensors {
            if let Some(name) = name.strip_suffix("_blocks") {
                tensors.insert(name.to_owned(), unpacked(tensor, &self.tensors[&format!("{name}_scales")]));
            } else if !name.ends_with("_scales") {
                tensors.insert(name.clone(), tensor.clone());
            }
        }
        write(&tensors, &dir.path().join("model.safetensors"));
        dir
    }
}

/// The name in OpenAI's layout, and which part of it this is.
fn original_name(name: &str) -> (String, Option<&'static str>) {
    let joined = ["q", "k", "v"].into_iter().find(|part| name.contains(&format!("self_attn.{part}_proj")));
    let name = [
        ("model.layers.", "block."),
        ("model.embed_tokens.weight", "embedding.weight"),
        ("model.norm.weight", "norm.scale"),
        ("lm_head.weight", "unembedding.weight"),
        ("input_layernorm.weight", "attn.norm.scale"),
        ("post_attention_layernorm.weight", "mlp.norm.scale"),
        ("self_attn.q_proj", "attn.qkv"),
        ("self_attn.k_proj", "attn.qkv"),
        ("self_attn.v_proj", "attn.qkv"),
        ("self_attn.o_proj", "attn.out"),
        ("self_attn.sinks", "attn.sinks"),
        ("mlp.router", "mlp.gate"),
        ("mlp.experts.gate_up_proj_bias", "mlp.mlp1_bias"),
        ("mlp.experts.down_proj_bias", "mlp.mlp2_bias"),
        ("mlp.experts.gate_up_proj_", "mlp.mlp1_weight."),
        ("mlp.experts.down_proj_", "mlp.mlp2_weight."),
    ]
    .into_iter()
    .fold(name.to_owned(), |name, (from, to)| name.replace(from, to));
    (name, joined)
}

fn unpacked(blocks: &Tensor, scales: &Tensor) -> Tensor {
    const VALUES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let [experts, rows, groups] = scales.shape[..] else { panic!("{:?}", scales.shape) };
    let columns = groups * 32;
    let mut bytes = vec![0; experts * rows * columns * 2];
    for at in 0..experts * rows * columns {
        let (expert, row, column) = (at / columns / rows, at / columns % rows, at % columns);
        let code = blocks.bytes[at / 2] >> (4 * (at % 2)) & 15;
        let sign = if code & 8 == 0 { 1.0 } else { -1.0 };
        let value = sign * VALUES[usize::from(code & 7)] * 2f32.powi(i32::from(scales.bytes[at / 32]) - 127);
        let turned = ((expert * columns + column) * rows + row) * 2;
        bytes[turned..turned + 2].copy_from_slice(&value.to_le_bytes()[2..]);
    }
    Tensor { dtype: Dtype::BF16, shape: vec![experts, columns, rows], bytes }
}

fn folder(config: &Value) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    dir
}

fn write(tensors: &Tensors, file: &Path) {
    let views = tensors
        .iter()
        .map(|(name, tensor)| (name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap()));
    safetensors::serialize_to_file(views, None, file).unwrap();
}
