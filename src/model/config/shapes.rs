//! The shapes that the family comes in, for weights that no file holds.

use super::{Config, LayerKind, RopeConfig};

impl Config {
    /// The names that [`Config::shape`] knows.
    pub const SHAPES: [&str; 3] = ["20b", "120b", "small"];

    /// The shape of gpt-oss-safeguard-20b or -120b, or `small`: 133 million parameters in the same architecture, of which
    /// 103 are the vocabulary's, with eight heads to a key as in its elders.
    pub fn shape(name: &str) -> Option<Self> {
        let large = |layers, experts| family(layers, 2880, 2880, (64, 8), experts);
        match name {
            "20b" => Some(large(24, 32)),
            "120b" => Some(large(36, 128)),
            "small" => Some(family(8, 256, 256, (16, 2), 16)),
            _ => None,
        }
    }
}

fn family(layers: usize, hidden: i64, intermediate: i64, (heads, kv_heads): (i64, i64), experts: i64) -> Config {
    Config {
        layers: LayerKind::alternate(layers),
        vocab: 201_088,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim: 64,
        experts,
        experts_per_token: 4,
        window: 128,
        norm_eps: 1e-5,
        swiglu_limit: 7.0,
        swiglu_alpha: 1.702,
        rope: RopeConfig {
            theta: 150_000.0,
            factor: 32.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_positions: 4096.0,
            truncate: false,
            concentration: 0.1 * 32f64.ln() + 1.0,
        },
        max_positions: 131_072,
    }
}
