//! The forward pass as the tests call it.

use std::num::NonZeroUsize;
use std::path::Path;

use portcullis::model::{Compute, ComputeSettings, Dtype, ExpertFormat, KvCache, Row, Transformer, Weights};

/// On the CPU. The tests run beside each other: more threads than cores only wait for each other.
pub fn settings(dtype: Dtype, experts: ExpertFormat) -> ComputeSettings {
    ComputeSettings { device: "cpu".into(), dtype, experts, threads: Some(NonZeroUsize::MIN) }
}

pub fn open(dir: &Path, settings: &ComputeSettings) -> Transformer {
    load(&Weights::open(dir).unwrap_or_else(|e| panic!("{e}")), settings)
}

pub fn load(weights: &Weights, settings: &ComputeSettings) -> Transformer {
    let compute = Compute::new(settings, weights.config()).unwrap();
    Transformer::load(weights, compute, |_| {}).unwrap_or_else(|e| panic!("{e}"))
}

/// The logits after every token.
pub fn rows(model: &Transformer, ids: &[u32]) -> Vec<Vec<f32>> {
    let store = model.kv_store(0, ids.len());
    let mut cache = KvCache::default();
    cache.reserve(ids.len(), &store).unwrap();
    let x = model.forward(&mut [Row { tokens: ids, cache: &mut cache }], &store);
    let places: Vec<usize> = (0..ids.len()).collect();
    Vec::try_from(model.logits(&x, &places)).unwrap()
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // `max` would drop a NaN, and so would a comparison that is false for it.
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d <= worst { worst } else { d })
}
