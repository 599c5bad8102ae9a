//! The forward pass against transformers' GptOssForCausalLM, in float32.
//!
//! `PORTCULLIS_GOLDENS` names further folders, separated by colons, each a checkpoint with an `expected.json`.
#![cfg(feature = "libtorch")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::model::{
    ComputeSettings, Dtype, Engine, ExpertFormat, Figures, Job, KvCache, Limits, Outcome, Pins, Row, Step, Transformer,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<u32>,
    /// Of some positions, the whole row.
    logits: BTreeMap<usize, Vec<f32>>,
    /// Tokens that come before the greedy ones.
    prompt_len: usize,
    greedy: Vec<u32>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Checkpoints, each with the file of what is expected of it.
fn goldens() -> Vec<(PathBuf, PathBuf)> {
    let own = (root().join("models/random-tiny"), root().join("tests/goldens/random-tiny.json"));
    let more = std::env::var("PORTCULLIS_GOLDENS").unwrap_or_default();
    let more =
        more.split(':').filter(|dir| !dir.is_empty()).map(|dir| (dir.into(), Path::new(dir).join("expected.json")));
    std::iter::once(own).chain(more).collect()
}

fn open(dir: &Path, dtype: Dtype) -> Transformer {
    // The tests run beside each other: more threads than cores only wait for each other.
    let settings = ComputeSettings { device: "cpu".into(), dtype, experts: ExpertFormat::Auto, threads: 1 };
    Transformer::open(dir, &settings).unwrap_or_else(|e| panic!("{e}"))
}

fn expected(file: &Path) -> Expected {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn rows(model: &Transformer, ids: &[u32]) -> Vec<Vec<f32>> {
    let store = model.kv_store(0, ids.len());
    let mut cache = KvCache::default();
    cache.reserve(ids.len(), &store).unwrap();
    let x = model.forward(&mut [Row { tokens: ids, cache: &mut cache }], &store);
    let places: Vec<usize> = (0..ids.len()).collect();
    Vec::try_from(model.logits(&x, &places)).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // `max` would drop a NaN, and so would a comparison that is false for it.
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

fn engine(model: Transformer, step_tokens: usize) -> Engine {
    let limits = Limits { step_tokens, sequences: 8, kv_bytes: 64 << 20 };
    Engine::new(model, limits, Pins::default(), Arc::new(Figures::default()))
}

fn job(prompt: &[u32], steps: Vec<Step>) -> Job {
    Job { prompt: prompt.to_vec(), shared: 0, grows: 0, steps, urgent: true, deadline: None }
}

fn greedy(engine: &mut Engine, prompt: &[u32], count: usize) -> Vec<u32> {
    let decode = Step::Decode { stops: [].into(), budget: count };
    match &engine.run_alone(job(prompt, vec![decode])).unwrap()[..] {
        [Outcome::Decoded { tokens, .. }] => tokens.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn logits_and_greedy_ids_are_those_of_transformers() {
    for (dir, file) in goldens() {
        let (model, expected) = (open(&dir, Dtype::Float32), expected(&file));
        let rows = rows(&model, &expected.input_ids);
        let mut worst = 0f32;
        for (&position, logits) in &expected.logits {
            let difference = largest_difference(&rows[position], logits);
            assert!(difference <= 1e-4, "{}: position {position}: {difference}", dir.display());
            worst = worst.max(difference);
        }
        println!("{}: {} rows, largest difference {worst:.1e}", dir.display(), expected.logits.len());
        let prompt = &expected.input_ids[..expected.prompt_len];
        let greedy = greedy(&mut engine(model, 512), prompt, expected.greedy.len());
        assert_eq!(greedy, expected.greedy, "{}", dir.display());
    }
}

/// bfloat16 rounds; it must still be the same model.
#[test]
fn bfloat16_agrees_with_float32_for_the_most_part() {
    let (dir, file) = goldens().remove(0);
    let ids = expected(&file).input_ids;
    let (wide, narrow) = (rows(&open(&dir, Dtype::Float32), &ids), rows(&open(&dir, Dtype::Bfloat16), &ids));
    let best = |row: &Vec<f32>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| token);
    let same = wide.iter().zip(&narrow).filter(|(wide, narrow)| best(wide) == best(narrow)).count();
    assert!(same * 10 >= ids.len() * 8, "{same} of {}", ids.len());
}
