//! Rotary position embedding, stretched by YaRN.

use tch::{Kind, Tensor};

use crate::model::config::RopeConfig;
use crate::model::{Config, Place};

/// Cosines and sines of any position.
pub struct Rope {
    /// `[head_dim / 2]`, f32.
    inv_freq: Tensor,
    concentration: f64,
    place: Place,
}

/// Cosines and sines of some positions, each `[positions, 1, head_dim / 2]`, times the concentration.
pub struct Angles {
    pub cos: Tensor,
    pub sin: Tensor,
}

/// Angle by which each pair of dimensions turns from one position to the next; `head_dim / 2` of them.
///
/// Fast dimensions keep their frequency, slow ones are slowed by the factor, and between the two a ramp leads over.
pub fn inv_freq(rope: &RopeConfig, head_dim: i64) -> Vec<f32> {
    let half = head_dim as f64 / 2.0;
    // The dimension that turns `turns` times over the original positions.
    let dimension =
        |turns: f64| half * (rope.original_positions / (turns * 2.0 * std::f64::consts::PI)).ln() / rope.theta.ln();
    let (mut low, mut high) = (dimension(rope.beta_fast), dimension(rope.beta_slow));
    if rope.truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
    if low == high {
        high += 0.001;
    }
    (0..head_dim / 2)
        .map(|i| {
            let fast = rope.theta.powf(-(i as f64) / half);
            let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
            (fast / rope.factor * ramp + fast * (1.0 - ramp)) as f32
        })
        .collect()
}

impl Rope {
    pub fn new(config: &Config, place: Place) -> Self {
        let inv_freq = Tensor::from_slice(&inv_freq(&config.rope, config.head_dim)).to_device(place.device);
        Rope { inv_freq, concentration: config.rope.concentration, place }
    }

    /// The angles of these positions.
    pub fn angles(&self, positions: &[i64]) -> Angles {
        let positions = Tensor::from_slice(positions).to_device(self.place.device).to_kind(Kind::Float);
        let angles = positions.view([-1, 1, 1]) * &self.inv_freq;
        let scaled = |part: Tensor| (part * self.concentration).to_kind(self.place.kind);
        Angles { cos: scaled(angles.cos()), sin: scaled(angles.sin()) }
    }
}

impl Angles {
    /// Turns `[positions, heads, head_dim]`; dimension i is paired with i + head_dim / 2.
    pub fn turn(&self, x: &Tensor) -> Tensor {
        let halves = x.chunk(2, -1);
        let (first, second) = (&halves[0], &halves[1]);
        let turned = [first * &self.cos - second * &self.sin, second * &self.cos + first * &self.sin];
        Tensor::cat(&turned, -1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::safeguard_20b;

    /// Of the reference implementation, head_dim 64.
    const GOLDEN: [f64; 32] = [
        1.0,
        0.689044297,
        0.47478205,
        0.327145875,
        0.225418001,
        0.155322984,
        0.107024424,
        0.0737445652,
        0.0508132726,
        0.0317056961,
        0.0193349998,
        0.0115920492,
        0.00679495931,
        0.00386035908,
        0.00209379266,
        0.00105260219,
        4.56483918e-4,
        1.29318694e-4,
        3.83088118e-5,
        2.63964685e-5,
        1.8188337e-5,
        1.25325696e-5,
        8.63549576e-6,
        5.95023948e-6,
        4.09997847e-6,
        2.82506676e-6,
        1.94659629e-6,
        1.34129095e-6,
        9.24208962e-7,
        6.36820914e-7,
        4.38797855e-7,
        3.0235114e-7,
    ];

    #[test]
    fn frequencies_are_those_of_the_reference() {
        let config = safeguard_20b();
        for (i, (found, expected)) in inv_freq(&config.rope, 64).into_iter().zip(GOLDEN).enumerate() {
            assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{i}: {found} for {expected}");
        }
    }

    #[test]
    fn rounding_the_ramp_would_be_seen() {
        let mut rope = safeguard_20b().rope;
        rope.truncate = true;
        let worst = inv_freq(&rope, 64)
            .into_iter()
            .zip(GOLDEN)
            .map(|(a, b)| (f64::from(a) / b - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst > 0.1, "{worst}");
    }

    #[test]
    fn factor_one_leaves_plain_rotary_embedding() {
        let mut rope = safeguard_20b().rope;
        rope.factor = 1.0;
        for (i, found) in inv_freq(&rope, 64).into_iter().enumerate() {
            assert!((f64::from(found) * 150_000f64.powf(i as f64 / 32.0) - 1.0).abs() < 1e-6);
        }
    }
}
