//! The model's forward pass, layer by layer.

use std::path::Path;
use std::rc::Rc;

use tch::{Kind, Tensor, no_grad_guard};

use crate::model::attention::Attention;
use crate::model::compute::Compute;
use crate::model::cpu::Cpu;
use crate::model::experts::Experts;
use crate::model::kv::KvStore;
use crate::model::layout::{Layout, Row};
use crate::model::linear::Linear;
use crate::model::rope::Rope;
use crate::model::tensors::{Mapped, floats, floats_mut};
use crate::model::{ComputeSettings, Config, LoadError, Place, Progress, Weights, tensors};

/// The weights, and how they are used. Nothing in it changes.
pub struct Transformer {
    config: Config,
    compute: Compute,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: Norm,
    head: Linear,
    rope: Rope,
}

/// `[vocab, hidden]`.
enum Embedding {
    /// Where it is stored, on the CPU.
    Mapped(Mapped),
    Tensor(Tensor),
}

struct Layer {
    attention_norm: Norm,
    attention: Attention,
    experts_norm: Norm,
    experts: Experts,
}

/// Root-mean-square norm, its weight in f32.
struct Norm {
    weight: Tensor,
    eps: f64,
    /// Our own kernels; else libtorch does it.
    cpu: Option<Rc<Cpu>>,
}

impl Transformer {
    /// Loads a checkpoint directory.
    pub fn open(dir: &Path, settings: &ComputeSettings) -> Result<Self, LoadError> {
        let weights = Weights::open(dir)?;
        let compute = Compute::new(settings, weights.config())?;
        Self::load(&weights, compute, |_| {})
    }

    /// Takes the weights, and tells after each layer and at the end how far it is.
    pub fn load(weights: &Weights, compute: Compute, mut tell: impl FnMut(Progress)) -> Result<Self, LoadError> {
        let _guard = no_grad_guard();
        let config = weights.config().clone();
        let norm = |name: &str| {
            let weight = weights.dense(&format!("{name}.weight"), &[config.hidden])?;
            let weight = tensors::tensor(&weight, Place { kind: Kind::Float, ..compute.place })?;
            Ok::<_, LoadError>(Norm { weight, eps: config.norm_eps, cpu: compute.cpu.clone() })
        };
        let mut layer = |index| {
            let name = format!("model.layers.{index}");
            let layer = Layer {
                attention_norm: norm(&format!("{name}.input_layernorm"))?,
                attention: Attention::load(weights, &format!("{name}.self_attn"), &config, &compute)?,
                experts_norm: norm(&format!("{name}.post_attention_layernorm"))?,
                experts: Experts::load(weights, &format!("{name}.mlp"), &config, &compute)?,
            };
            tell(weights.progress());
            Ok(layer)
        };
        let layers = (0..config.layers.len()).map(&mut layer).collect::<Result<_, LoadError>>()?;
        let embedding = weights.dense("model.embed_tokens.weight", &[config.vocab, config.hidden])?;
        let embedding = match compute.cpu {
            Some(_) => Embedding::Mapped(Mapped::new(embedding)),
            None => Embedding::Tensor(tensors::tensor(&embedding, compute.place)?),
        };
        let head = Linear::without_bias(weights, "lm_head", config.vocab, config.hidden, &compute)?;
        let norm = norm("model.norm")?;
        tell(weights.progress());
        Ok(Transformer { embedding, layers, head, norm, rope: Rope::new(&config, compute.place), compute, config })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Memory for keys and values: at most `bytes`, but enough for a step of `step` tokens of one sequence.
    pub fn kv_store(&self, bytes: usize, step: usize) -> KvStore {
        KvStore::new(&self.config, self.compute.place, bytes, step)
    }

    /// Appends tokens to sequences, for which room has been reserved. Gives what [`Self::logits`] reads, `[tokens, hidden]`.
    /// The ids are below the size of the vocabulary; there is at least one.
    pub fn forward(&self, rows: &mut [Row], store: &KvStore) -> Tensor {
        let _guard = no_grad_guard();
        let grouped = self.compute.cpu.is_none();
        let layout = Layout::new(rows, &self.config, &self.rope, store, self.compute.place, grouped);
        let ids: Vec<u32> = rows.iter().flat_map(|row| row.tokens).copied().collect();
        let mut x = self.embed(&ids);
        for (index, (layer, &kind)) in self.layers.iter().zip(&self.config.layers).enumerate() {
            let normed = layer.attention_norm.apply(&x);
            x += layer.attention.forward(&normed, &layout.angles, layout.of(kind), store.layer(index));
            x += layer.experts.forward(&layer.experts_norm.apply(&x));
        }
        for row in rows {
            row.cache.advance(row.tokens.len());
        }
        x
    }

    /// The scores of every token to come next, f32 `[places, vocab]`, after these places among the tokens of
    /// [`Self::forward`].
    pub fn logits(&self, x: &Tensor, places: &[usize]) -> Tensor {
        let _guard = no_grad_guard();
        self.head.apply(&self.read(x, places)).to_kind(Kind::Float)
    }

    /// The scores of these tokens alone, f32 `[places, tokens]`.
    pub fn logits_of(&self, x: &Tensor, places: &[usize], tokens: &[u32]) -> Tensor {
        let _guard = no_grad_guard();
        self.head.apply_some(&self.read(x, places), tokens).to_kind(Kind::Float)
    }

    fn embed(&self, tokens: &[u32]) -> Tensor {
        let ids: Vec<i64> = tokens.iter().map(|&token| token.into()).collect();
        let ids = Tensor::from_slice(&ids).to_device(self.compute.place.device);
        let embedding = match &self.embedding {
            Embedding::Mapped(mapped) => mapped.tensor(),
            Embedding::Tensor(tensor) => tensor,
        };
        embedding.index_select(0, &ids).to_kind(self.compute.place.kind)
    }

    fn read(&self, x: &Tensor, places: &[usize]) -> Tensor {
        let places: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let places = Tensor::from_slice(&places).to_device(self.compute.place.device);
        self.norm.apply(&x.index_select(0, &places))
    }
}

impl Norm {
    /// In f32, weight included, before rounding to the activations' format.
    fn apply(&self, x: &Tensor) -> Tensor {
        if let Some(cpu) = &self.cpu {
            let (x, mut out) = (x.contiguous(), x.empty_like());
            cpu.kernels.norm(floats(&x), floats(&self.weight), self.eps as f32, floats_mut(&mut out));
            return out;
        }
        let wide = x.to_kind(Kind::Float);
        let scale = (wide.square().mean_dim(-1, true, Kind::Float) + self.eps).rsqrt();
        (wide * scale * &self.weight).to_kind(x.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KvCache;
    use serde_json::Value;
    use std::num::NonZeroUsize;

    fn exact() -> ComputeSettings {
        let (dtype, experts) = (crate::model::Dtype::Float32, crate::model::ExpertFormat::Auto);
        ComputeSettings { device: "cpu".into(), dtype, experts, threads: Some(NonZeroUsize::MIN) }
    }

    fn golden(file: &str) -> Value {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(file);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The same experts as transformers picks, at every layer.
    #[test]
    fn the_router_picks_as_the_reference_does() {
        for (dir, ids, internals) in [
            ("models/random-tiny", "random-tiny.json", "random-tiny-internals.json"),
            ("tests/goldens/odd", "odd/expected.json", "odd/internals.json"),
        ] {
            let model = Transformer::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &exact()).unwrap();
            let ids: Vec<u32> = serde_json::from_value(golden(ids)["input_ids"].clone()).unwrap();
            let expected = golden(internals);
            let _guard = no_grad_guard();
            let store = model.kv_store(0, ids.len());
            let mut cache = KvCache::default();
            cache.reserve(ids.len(), &store).unwrap();
            let rows = [Row { tokens: &ids, cache: &mut cache }];
            let layout = Layout::new(&rows, &model.config, &model.rope, &store, model.compute.place, false);
            let mut x = model.embed(&ids);
            for (index, (layer, &kind)) in model.layers.iter().zip(&model.config.layers).enumerate() {
                let normed = layer.attention_norm.apply(&x);
                x += layer.attention.forward(&normed, &layout.angles, layout.of(kind), store.layer(index));
                let (experts, _) = layer.experts.route(&layer.experts_norm.apply(&x)).experts.sort(-1, false);
                let picked = Vec::<Vec<i64>>::try_from(&experts).unwrap();
                for (position, layers) in expected["router"].as_object().unwrap() {
                    let expected: Vec<i64> = serde_json::from_value(layers[index].clone()).unwrap();
                    assert_eq!(
                        picked[position.parse::<usize>().unwrap()],
                        expected,
                        "{dir}: layer {index}, {position}"
                    );
                }
                x += layer.experts.forward(&layer.experts_norm.apply(&x));
            }
        }
    }

    /// As a page's last user may leave it.
    #[test]
    fn what_a_page_held_before_is_not_seen() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny");
        let weights = Weights::open(&tiny).unwrap();
        let ours = Compute::new(&exact(), weights.config()).unwrap();
        for compute in [ours.clone(), ours.on_libtorch()] {
            let model = Transformer::load(&weights, compute, |_| {}).unwrap();
            let scores = |left: f64| -> Vec<Vec<f32>> {
                let (store, mut cache) = (model.kv_store(0, 64), KvCache::default());
                for layer in 0..model.layers.len() {
                    let _ = store.layer(layer).keys.shallow_clone().fill_(left);
                    let _ = store.layer(layer).values.shallow_clone().fill_(left);
                }
                let piece = |tokens: &[u32]| {
                    cache.reserve(tokens.len(), &store).unwrap();
                    let x = model.forward(&mut [Row { tokens, cache: &mut cache }], &store);
                    Vec::<Vec<f32>>::try_from(model.logits(&x, &[tokens.len() - 1])).unwrap().remove(0)
                };
                [&[1; 5][..], &[2; 17], &[3], &[4; 10], &[5]].map(piece).into()
            };
            assert_eq!(scores(f64::NAN), scores(0.0));
        }
    }
}
