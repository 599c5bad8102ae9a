//! The keys of the rotary embedding, in the three ways that checkpoints write them.

use serde_json::Value;

use super::RopeConfig;
use super::keys::{Keys, brief};
use crate::model::LoadError;

/// Older files say `rope_scaling` and keep theta outside, newer ones say `rope_parameters` and keep it inside.
pub fn hugging_face(root: &Keys) -> Result<RopeConfig, LoadError> {
    let (at, value) = match (root.get("rope_parameters"), root.get("rope_scaling")) {
        (Some(value), _) => ("rope_parameters.", value),
        (None, Some(value)) => ("rope_scaling.", value),
        (None, None) => return Err(root.error("rope_scaling", "missing".into())),
    };
    let name = at.trim_end_matches('.');
    let map = value.as_object().ok_or_else(|| root.error(name, "expected an object".into()))?;
    let keys = Keys { file: root.file, at, map };
    for key in ["mscale", "mscale_all_dim", "partial_rotary_factor"] {
        if keys.get(key).is_some() {
            return Err(keys.error(key, "not a setting of gpt-oss".into()));
        }
    }
    let theta = if keys.get("rope_theta").is_some() { &keys } else { root };
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
    let original_positions = if keys.get("original_max_position_embeddings").is_some() {
        keys.number("original_max_position_embeddings", 1.0..=1e9, None)?
    } else {
        root.number("initial_context_length", 1.0..=1e9, None)?
    };
    let truncate = match keys.get("truncate") {
        None => true,
        Some(Value::Bool(truncate)) => *truncate,
        Some(other) => return Err(keys.error("truncate", format!("expected true or false, found {}", brief(other)))),
    };
    let (beta_fast, beta_slow) = betas(&keys, "beta_fast", "beta_slow")?;
    Ok(RopeConfig {
        theta,
        factor,
        beta_fast,
        beta_slow,
        original_positions,
        truncate,
        concentration: keys.number("attention_factor", 1e-3..=1e3, Some(concentration(factor)))?,
    })
}

/// OpenAI's own file keeps everything at its root.
pub fn original(root: &Keys) -> Result<RopeConfig, LoadError> {
    let factor = root.number("rope_scaling_factor", 1.0..=1e4, None)?;
    let (beta_fast, beta_slow) = betas(root, "rope_ntk_beta", "rope_ntk_alpha")?;
    Ok(RopeConfig {
        theta: root.number("rope_theta", 2.0..=1e12, None)?,
        factor,
        beta_fast,
        beta_slow,
        original_positions: root.number("initial_context_length", 1.0..=1e9, None)?,
        truncate: false,
        concentration: concentration(factor),
    })
}

fn betas(keys: &Keys, fast: &str, slow: &str) -> Result<(f64, f64), LoadError> {
    let beta_fast = keys.number(fast, 1e-3..=1e6, Some(32.0))?;
    let beta_slow = keys.number(slow, 1e-3..=1e6, Some(1.0))?;
    if beta_slow >= beta_fast {
        return Err(keys.error(slow, format!("{beta_slow} is not below {fast}, {beta_fast}")));
    }
    Ok((beta_fast, beta_slow))
}

fn concentration(factor: f64) -> f64 {
    0.1 * factor.ln() + 1.0
}
