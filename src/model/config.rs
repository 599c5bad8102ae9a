//! The checkpoint's `config.json`: the shape of the model, checked key by key.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::model::LoadError;

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
    /// Reads `config.json` of a checkpoint directory.
    pub fn open(dir: &Path) -> Result<Self, LoadError> {
        let file = dir.join("config.json");
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LoadError::Missing { dir: dir.to_owned() });
            }
            Err(error) => return Err(LoadError::file(file, error)),
        };
        Self::parse(&bytes, file)
    }

    fn parse(bytes: &[u8], file: PathBuf) -> Result<Self, LoadError> {
        let root: Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| LoadError::file(&file, e))?;
        let keys = Keys { file: &file, at: "", map: &root };
        keys.must_be("model_type", "gpt_oss", None)?;
        keys.must_be("hidden_act", "silu", Some("silu"))?;
        if let Some(Value::Object(map)) = root.get("quantization_config") {
            Keys { file: &file, at: "quantization_config.", map }.must_be("quant_method", "mxfp4", None)?;
        }
        keys.must_be_flag("attention_bias", true)?;
        keys.must_be_flag("tie_word_embeddings", false)?;

        // MXFP4 packs 32 weights to a block along the input side of each expert.
        let hidden = keys.multiple("hidden_size", 32)?;
        let intermediate = keys.multiple("intermediate_size", 32)?;
        let heads = keys.int("num_attention_heads", 1..=4096)?;
        let kv_heads = keys.int("num_key_value_heads", 1..=heads)?;
        if heads % kv_heads != 0 {
            return Err(keys.error("num_key_value_heads", format!("{kv_heads} does not divide {heads} heads")));
        }
        let head_dim = keys.multiple("head_dim", 2)?;
        let experts = keys.int("num_local_experts", 1..=4096)?;
        let per_token =
            if root.contains_key("num_experts_per_tok") { "num_experts_per_tok" } else { "experts_per_token" };
        Ok(Config {
            layers: keys.layers()?,
            vocab: keys.int("vocab_size", 1..=1 << 24)?,
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            experts,
            experts_per_token: keys.int(per_token, 1..=experts)?,
            window: keys.int("sliding_window", 1..=1 << 24)?,
            norm_eps: keys.number("rms_norm_eps", 1e-12..=1e-2, None)?,
            swiglu_limit: keys.number("swiglu_limit", 1e-3..=1e6, Some(7.0))?,
            swiglu_alpha: keys.number("swiglu_alpha", 1e-3..=1e3, Some(1.702))?,
            rope: keys.rope()?,
            max_positions: keys.int("max_position_embeddings", 1..=1 << 24)? as usize,
        })
    }

    /// How many weights the model has, about: what its size in memory goes by.
    pub fn parameters(&self) -> u64 {
        let expert = 3 * self.hidden * self.intermediate;
        let attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads);
        let layers = self.layers.len() as i64 * (self.experts * expert + attention);
        (layers + 2 * self.vocab * self.hidden).unsigned_abs()
    }
}

/// An object of the file, with the errors that name its keys.
struct Keys<'a> {
    file: &'a Path,
    /// Path of the object, with its dot.
    at: &'static str,
    map: &'a Map<String, Value>,
}

impl Keys<'_> {
    fn error(&self, key: &str, problem: String) -> LoadError {
        LoadError::Key { file: self.file.to_owned(), key: format!("{}{key}", self.at), problem }
    }

    /// The value; null counts as absent, as in the checkpoints of Hugging Face.
    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn must_be(&self, key: &str, expected: &str, absent: Option<&str>) -> Result<(), LoadError> {
        match self.get(key).map(|value| value.as_str().unwrap_or("another type")).or(absent) {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(self.error(key, format!("expected \"{expected}\", found \"{found}\""))),
            None => Err(self.error(key, format!("missing; expected \"{expected}\""))),
        }
    }

    fn must_be_flag(&self, key: &str, expected: bool) -> Result<(), LoadError> {
        match self.get(key) {
            Some(value) if *value != Value::Bool(expected) => {
                Err(self.error(key, format!("expected {expected}, found {}", brief(value))))
            }
            _ => Ok(()),
        }
    }

    fn int(&self, key: &str, range: RangeInclusive<i64>) -> Result<i64, LoadError> {
        let (low, high) = (range.start(), range.end());
        let value = self.get(key).ok_or_else(|| self.error(key, "missing".into()))?;
        value.as_i64().filter(|value| range.contains(value)).ok_or_else(|| {
            self.error(key, format!("expected a whole number from {low} to {high}, found {}", brief(value)))
        })
    }

    fn multiple(&self, key: &str, of: i64) -> Result<i64, LoadError> {
        let value = self.int(key, of..=1 << 20)?;
        if value % of == 0 {
            Ok(value)
        } else {
            Err(self.error(key, format!("expected a multiple of {of}, found {value}")))
        }
    }

    fn number(&self, key: &str, range: RangeInclusive<f64>, absent: Option<f64>) -> Result<f64, LoadError> {
        let (low, high) = (range.start(), range.end());
        match self.get(key) {
            Some(value) => value.as_f64().filter(|value| range.contains(value)).ok_or_else(|| {
                self.error(key, format!("expected a number from {low} to {high}, found {}", brief(value)))
            }),
            None => absent.ok_or_else(|| self.error(key, "missing".into())),
        }
    }

    fn layers(&self) -> Result<Vec<LayerKind>, LoadError> {
        let count = self.int("num_hidden_layers", 1..=1024)? as usize;
        let Some(kinds) = self.get("layer_types") else {
            return Ok([LayerKind::Sliding, LayerKind::Full].into_iter().cycle().take(count).collect());
        };
        let kinds = kinds.as_array().ok_or_else(|| self.error("layer_types", "expected a list".into()))?;
        if kinds.len() != count {
            return Err(self.error("layer_types", format!("{} entries for {count} layers", kinds.len())));
        }
        let kind = |value: &Value| match value.as_str() {
            Some("sliding_attention") => Ok(LayerKind::Sliding),
            Some("full_attention") => Ok(LayerKind::Full),
            _ => Err(self.error(
                "layer_types",
                format!("expected \"sliding_attention\" or \"full_attention\", found {}", brief(value)),
            )),
        };
        kinds.iter().map(kind).collect()
    }

    /// Older files say `rope_scaling` and keep theta outside, newer ones say `rope_parameters` and keep it inside.
    fn rope(&self) -> Result<RopeConfig, LoadError> {
        let (at, value) = match (self.get("rope_parameters"), self.get("rope_scaling")) {
            (Some(value), _) => ("rope_parameters.", value),
            (None, Some(value)) => ("rope_scaling.", value),
            (None, None) => return Err(self.error("rope_scaling", "missing".into())),
        };
        let name = at.trim_end_matches('.');
        let map = value.as_object().ok_or_else(|| self.error(name, "expected an object".into()))?;
        let keys = Keys { file: self.file, at, map };
        for key in ["mscale", "mscale_all_dim", "partial_rotary_factor"] {
            if keys.get(key).is_some() {
                return Err(keys.error(key, "not a setting of gpt-oss".into()));
            }
        }
        let theta = if keys.get("rope_theta").is_some() { &keys } else { self };
        let theta = theta.number("rope_theta", 2.0..=1e12, Some(150_000.0))?;
        let kind = if map.contains_key("rope_type") { "rope_type" } else { "type" };
        if keys.get(kind).and_then(Value::as_str) == Some("default") {
            return Ok(RopeConfig {
                theta,
                factor: 1.0,
                beta_fast: 32.0,
                beta_slow: 1.0,
                original_positions: 4096.0,
                truncate: false,
                concentration: 1.0,
            });
        }
        keys.must_be(kind, "yarn", None)?;
        let factor = keys.number("factor", 1.0..=1e4, None)?;
        let original = if keys.get("original_max_position_embeddings").is_some() {
            keys.number("original_max_position_embeddings", 1.0..=1e9, None)?
        } else {
            self.number("initial_context_length", 1.0..=1e9, None)?
        };
        let truncate = match keys.get("truncate") {
            None => true,
            Some(Value::Bool(truncate)) => *truncate,
            Some(other) => {
                return Err(keys.error("truncate", format!("expected true or false, found {}", brief(other))));
            }
        };
        let beta_fast = keys.number("beta_fast", 1e-3..=1e6, Some(32.0))?;
        let beta_slow = keys.number("beta_slow", 1e-3..=1e6, Some(1.0))?;
        if beta_slow >= beta_fast {
            return Err(keys.error("beta_slow", format!("{beta_slow} is not below beta_fast, {beta_fast}")));
        }
        Ok(RopeConfig {
            theta,
            factor,
            beta_fast,
            beta_slow,
            original_positions: original,
            truncate,
            concentration: keys.number("attention_factor", 1e-3..=1e3, Some(0.1 * factor.ln() + 1.0))?,
        })
    }
}

/// A value as an error shows it: short, whatever the file holds.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(40).chain(['…']).collect() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// The configuration of gpt-oss-safeguard-20b.
    pub fn safeguard_20b() -> Config {
        parse(&file()).unwrap()
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
        Config::parse(value.to_string().as_bytes(), "config.json".into())
    }

    #[test]
    fn reads_the_20b() {
        let config = safeguard_20b();
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
}
