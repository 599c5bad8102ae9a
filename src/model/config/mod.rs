//! The shape of the model, from a checkpoint's `config.json`, checked key by key.

mod keys;
mod rope;
mod shapes;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::model::LoadError;
use keys::{Keys, brief};

/// The shape of a gpt-oss model. Sizes are i64, as tensors count.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub layers: Vec<LayerKind>,
    pub vocab: i64,
    pub hidden: i64,
    pub intermediate: i64,
    pub heads: i64,
    pub kv_heads: i64,
    pub head_dim: i64,
    pub experts: i64,
    pub experts_per_token: i64,
    /// Positions that a sliding layer sees, its own among them.
    pub window: i64,
    pub norm_eps: f64,
    pub swiglu_limit: f64,
    pub swiglu_alpha: f64,
    pub rope: RopeConfig,
    /// Positions that the model can tell apart.
    pub max_positions: usize,
}

/// How a checkpoint lies in its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// That of transformers.
    HuggingFace,
    /// OpenAI's own, published beside it under `original/`.
    Original,
}

/// What a layer's attention sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    Sliding,
    Full,
}

/// Rotary embedding by YaRN; plain rotary embedding is YaRN with factor 1.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    pub theta: f64,
    pub factor: f64,
    pub beta_fast: f64,
    pub beta_slow: f64,
    /// Positions of the training before the context was stretched.
    pub original_positions: f64,
    /// Rounds the ends of the ramp to whole dimensions. gpt-oss does not.
    pub truncate: bool,
    /// What cosines and sines are multiplied by.
    pub concentration: f64,
}

impl Config {
    /// The configuration of a checkpoint directory.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        Self::locate(dir).map(|located| located.config)
    }

    /// The configuration, and where the weights that go with it lie: in `dir`, or in its `original/` if that alone has a
    /// `config.json`.
    pub(super) fn locate(dir: &Path) -> Result<Located, LoadError> {
        for dir in [dir.to_owned(), dir.join("original")] {
            let file = dir.join("config.json");
            match std::fs::read(&file) {
                Ok(bytes) => return Self::parse(&bytes, &file).map(|(layout, config)| Located { dir, layout, config }),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(LoadError::file(file, error)),
            }
        }
        Err(LoadError::Missing { dir: dir.to_owned() })
    }

    fn parse(bytes: &[u8], file: &Path) -> Result<(Layout, Self), LoadError> {
        let root: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| LoadError::file(file, e))?;
        let keys = Keys { file, at: "", map: &root };
        let original = keys.get("model_type").is_none() && keys.get("num_experts").is_some();
        let layout = if original { Layout::Original } else { Layout::HuggingFace };
        let packed = original || keys.get("quantization_config").is_some();
        if !original {
            is_gpt_oss(&keys)?;
        }
        // MXFP4 packs 32 weights to a block along the input side of each expert.
        let of = if packed { 32 } else { 1 };
        let heads = keys.int("num_attention_heads", 1..=4096)?;
        let kv_heads = keys.int("num_key_value_heads", 1..=heads)?;
        if heads % kv_heads != 0 {
            return Err(keys.error("num_key_value_heads", format!("{kv_heads} does not divide {heads} heads")));
        }
        let experts = keys.int(if original { "num_experts" } else { "num_local_experts" }, 1..=4096)?;
        let per_token =
            if root.contains_key("num_experts_per_tok") { "num_experts_per_tok" } else { "experts_per_token" };
        let rope = if original { rope::original(&keys)? } else { rope::hugging_face(&keys)? };
        let max_positions = match layout {
            Layout::HuggingFace => keys.int("max_position_embeddings", 1..=1 << 24)? as usize,
            Layout::Original => original_positions(&keys, &rope)?,
        };
        let config = Config {
            layers: layers(&keys)?,
            vocab: keys.int("vocab_size", 1..=1 << 24)?,
            hidden: keys.multiple("hidden_size", of)?,
            intermediate: keys.multiple("intermediate_size", of)?,
            heads,
            kv_heads,
            head_dim: keys.multiple("head_dim", 2)?,
            experts,
            experts_per_token: keys.int(per_token, 1..=experts)?,
            window: keys.int("sliding_window", 1..=1 << 24)?,
            norm_eps: keys.number("rms_norm_eps", 1e-12..=1e-2, original.then_some(1e-5))?,
            swiglu_limit: keys.number("swiglu_limit", 1e-3..=1e6, Some(7.0))?,
            swiglu_alpha: keys.number("swiglu_alpha", 1e-3..=1e3, Some(1.702))?,
            rope,
            max_positions,
        };
        Ok((layout, config))
    }

    /// How many weights the model has, about: what its size in memory goes by.
    pub fn parameters(&self) -> u64 {
        // Wide enough for whatever a file may say.
        let size = |size: i64| u128::from(size.unsigned_abs());
        let expert = 3 * size(self.hidden) * size(self.intermediate);
        let attention = 2 * size(self.hidden) * size(self.head_dim) * size(self.heads + self.kv_heads);
        let layers = self.layers.len() as u128 * (size(self.experts) * expert + attention);
        u64::try_from(layers + 2 * size(self.vocab) * size(self.hidden)).unwrap_or(u64::MAX)
    }
}

/// A configuration and its place.
pub(super) struct Located {
    pub dir: PathBuf,
    pub layout: Layout,
    pub config: Config,
}

impl LayerKind {
    /// As gpt-oss has them: a sliding layer, a full one, and again.
    fn alternate(count: usize) -> Vec<Self> {
        [LayerKind::Sliding, LayerKind::Full].into_iter().cycle().take(count).collect()
    }
}

/// OpenAI's own file does not say it.
fn original_positions(keys: &Keys, rope: &RopeConfig) -> Result<usize, LoadError> {
    let positions = rope.original_positions * rope.factor;
    if positions > f64::from(1 << 24) {
        let problem = format!("times rope_scaling_factor it comes to {positions} positions, at most {}", 1 << 24);
        return Err(keys.error("initial_context_length", problem));
    }
    Ok(positions as usize)
}

fn is_gpt_oss(keys: &Keys) -> Result<(), LoadError> {
    if let Some(other) = keys.get("model_type").and_then(Value::as_str).filter(|&kind| kind != "gpt_oss") {
        let other = brief(&other.into());
        return Err(keys.error("model_type", format!("{other}: only gpt-oss and gpt-oss-safeguard run here")));
    }
    keys.must_be("model_type", "gpt_oss", None)?;
    keys.must_be("hidden_act", "silu", Some("silu"))?;
    if let Some(Value::Object(map)) = keys.get("quantization_config") {
        Keys { file: keys.file, at: "quantization_config.", map }.must_be("quant_method", "mxfp4", None)?;
    }
    keys.must_be_flag("attention_bias", true)?;
    keys.must_be_flag("tie_word_embeddings", false)
}

fn layers(keys: &Keys) -> Result<Vec<LayerKind>, LoadError> {
    let count = keys.int("num_hidden_layers", 1..=1024)? as usize;
    let Some(kinds) = keys.get("layer_types") else {
        return Ok(LayerKind::alternate(count));
    };
    let kinds = kinds.as_array().ok_or_else(|| keys.error("layer_types", "expected a list".into()))?;
    if kinds.len() != count {
        return Err(keys.error("layer_types", format!("{} entries for {count} layers", kinds.len())));
    }
    let kind = |value: &Value| match value.as_str() {
        Some("sliding_attention") => Ok(LayerKind::Sliding),
        Some("full_attention") => Ok(LayerKind::Full),
        _ => Err(keys.error(
            "layer_types",
            format!("expected \"sliding_attention\" or \"full_attention\", found {}", brief(value)),
        )),
    };
    kinds.iter().map(kind).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// The configuration of gpt-oss-safeguard-20b.
    pub fn safeguard_20b() -> Config {
        Config::shape("20b").unwrap()
    }

    fn file() -> Value {
        json!({
            "model_type": "gpt_oss", "hidden_act": "silu", "attention_bias": true, "tie_word_embeddings": false,
            "num_hidden_layers": 24, "vocab_size": 201088, "hidden_size": 2880, "intermediate_size": 2880,
            "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "num_local_experts": 32,
            "num_experts_per_tok": 4, "experts_per_token": 4, "sliding_window": 128, "rms_norm_eps": 1e-5,
            "swiglu_limit": 7.0, "max_position_embeddings": 131072, "initial_context_length": 4096,
            "rope_theta": 150000, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0,
                "beta_slow": 1.0, "original_max_position_embeddings": 4096, "truncate": false},
            "quantization_config": {"quant_method": "mxfp4"},
        })
    }

    fn parse(value: &Value) -> Result<Config, LoadError> {
        Config::parse(value.to_string().as_bytes(), Path::new("config.json")).map(|(_, config)| config)
    }

    /// `original/config.json` of the same model.
    fn original() -> Value {
        json!({
            "num_hidden_layers": 24, "num_experts": 32, "experts_per_token": 4, "vocab_size": 201088,
            "hidden_size": 2880, "intermediate_size": 2880, "swiglu_limit": 7.0, "head_dim": 64,
            "num_attention_heads": 64, "num_key_value_heads": 8, "sliding_window": 128,
            "initial_context_length": 4096, "rope_theta": 150000, "rope_scaling_factor": 32.0,
            "rope_ntk_alpha": 1, "rope_ntk_beta": 32,
        })
    }

    #[test]
    fn reads_the_20b() {
        let config = parse(&file()).unwrap();
        assert_eq!(config, safeguard_20b());
        assert_eq!(config.layers.len(), 24);
        assert_eq!(config.layers[..2], [LayerKind::Sliding, LayerKind::Full]);
        assert!((config.rope.concentration - 1.3465735902799727).abs() < 1e-15);
        assert!((20.5e9..21.5e9).contains(&(config.parameters() as f64)), "{}", config.parameters());
    }

    #[test]
    fn both_spellings_of_rope_mean_the_same() {
        let mut newer = file();
        let mut rope = newer["rope_scaling"].take();
        rope["rope_theta"] = newer["rope_theta"].take();
        newer["rope_parameters"] = rope;
        assert_eq!(parse(&newer).unwrap(), safeguard_20b());
    }

    #[test]
    fn both_layouts_mean_the_same() {
        assert_eq!(parse(&original()).unwrap(), safeguard_20b());
        for (key, value) in [
            ("num_experts", json!(0)),
            ("experts_per_token", json!(33)),
            ("hidden_size", json!(2881)),
            ("rope_scaling_factor", json!(null)),
            ("rope_ntk_alpha", json!(32)),
            ("initial_context_length", json!(1e300)),
            ("initial_context_length", json!(1e9)),
        ] {
            let mut file = original();
            file[key] = value.clone();
            let error = parse(&file).expect_err(&format!("{key} = {value}"));
            assert!(matches!(&error, LoadError::Key { key: named, .. } if named == key), "{key} = {value}: {error}");
        }
    }

    #[test]
    fn only_packed_experts_need_whole_blocks() {
        let mut file = file();
        file["hidden_size"] = json!(24);
        assert!(parse(&file).is_err());
        file["quantization_config"] = json!(null);
        assert_eq!(parse(&file).unwrap().hidden, 24);
    }

    #[test]
    fn sizes_beyond_all_measure_can_be_counted() {
        let mut file = file();
        let largest = json!({"num_hidden_layers": 1024, "hidden_size": 1 << 20, "intermediate_size": 1 << 20,
            "num_attention_heads": 4096, "num_key_value_heads": 4096, "head_dim": 1 << 20, "num_local_experts": 4096});
        file.as_object_mut().unwrap().extend(largest.as_object().unwrap().clone());
        assert_eq!(parse(&file).unwrap().parameters(), u64::MAX);
    }

    #[test]
    fn shapes_are_of_the_size_that_they_say() {
        for (name, low, high) in [("20b", 20.5e9, 21.5e9), ("120b", 116e9, 118e9), ("small", 0.1e9, 0.2e9)] {
            let parameters = Config::shape(name).unwrap().parameters() as f64;
            assert!((low..high).contains(&parameters), "{name}: {parameters}");
        }
        assert!(Config::SHAPES.iter().all(|name| Config::shape(name).is_some()));
        assert_eq!(Config::shape("7b"), None);
    }

    #[test]
    fn nonsense_is_refused_by_the_name_of_its_key() {
        for (key, value) in [
            ("model_type", json!("llama")),
            ("model_type", json!(null)),
            ("hidden_act", json!("gelu")),
            ("attention_bias", json!(false)),
            ("tie_word_embeddings", json!(true)),
            ("hidden_size", json!(2881)),
            ("hidden_size", json!(-64)),
            ("hidden_size", json!("2880")),
            ("hidden_size", json!(1e300)),
            ("num_key_value_heads", json!(7)),
            ("num_key_value_heads", json!(0)),
            ("head_dim", json!(63)),
            ("num_local_experts", json!(0)),
            ("num_experts_per_tok", json!(33)),
            ("num_hidden_layers", json!(1i64 << 40)),
            ("layer_types", json!(["full_attention"])),
            ("layer_types", json!("full_attention")),
            ("sliding_window", json!(0)),
            ("rms_norm_eps", json!(0)),
            ("vocab_size", json!(null)),
            ("rope_scaling", json!(null)),
            ("rope_scaling", json!(7)),
            ("rope_theta", json!(-1)),
        ] {
            let mut file = file();
            file[key] = value.clone();
            let error = parse(&file).expect_err(&format!("{key} = {value}"));
            assert!(matches!(&error, LoadError::Key { key: named, .. } if named == key), "{key} = {value}: {error}");
        }
        for (key, value) in [
            ("factor", json!(0)),
            ("rope_type", json!("linear")),
            ("truncate", json!("no")),
            ("beta_slow", json!(64)),
            ("mscale", json!(1)),
        ] {
            let mut file = file();
            file["rope_scaling"][key] = value;
            let error = parse(&file).expect_err(key);
            assert!(
                matches!(&error, LoadError::Key { key: named, .. } if named == &format!("rope_scaling.{key}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_directory_without_a_model_says_what_to_fetch() {
        let error = Config::open(Path::new("models/none")).unwrap_err().to_string();
        assert!(error.contains("--local-dir models/none`"), "{error}");
    }

    #[test]
    fn the_original_is_found_below_but_never_before_what_is_above() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("original")).unwrap();
        std::fs::write(dir.path().join("original/config.json"), original().to_string()).unwrap();
        let located = Config::locate(dir.path()).unwrap();
        assert_eq!((located.layout, located.dir), (Layout::Original, dir.path().join("original")));
        std::fs::write(dir.path().join("config.json"), file().to_string()).unwrap();
        let located = Config::locate(dir.path()).unwrap();
        assert_eq!((located.layout, located.dir), (Layout::HuggingFace, dir.path().to_owned()));
    }
}
