//! The forward pass against transformers' GptOssForCausalLM, in float32, and against itself in other formats.
//!
//! `PORTCULLIS_GOLDENS` names further folders, separated by colons, each a checkpoint with an `expected.json`: what is computed
//! exactly must come to that, too.
#![cfg(feature = "libtorch")]

mod forward;
mod layouts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use forward::{largest_difference, load, rows, settings};
use layouts::Layouts;
use portcullis::model::{
    Compute, Config, Dtype, Engine, ExpertFormat, Figures, Job, Limits, Outcome, Pins, Step, Transformer, Weights,
    inv_freq,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<u32>,
    /// Of some positions, the whole row.
    logits: BTreeMap<usize, Vec<f32>>,
    /// Tokens that come before the greedy ones.
    prompt_len: usize,
    greedy: Vec<u32>,
}

/// What the parts of a model come to.
#[derive(Deserialize)]
struct Internals {
    inv_freq: Vec<f32>,
    attention_scaling: f64,
    /// Of each kind of layer, the first position that each position sees.
    first_seen: BTreeMap<String, Vec<usize>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Our own checkpoints, each with the file of what is expected of it. They are held to more than those made elsewhere, for of
/// these nobody knows how near the second best token comes to the best.
fn ours() -> [(PathBuf, PathBuf); 2] {
    [
        (root().join("models/random-tiny"), root().join("tests/goldens/random-tiny.json")),
        (root().join("tests/goldens/odd"), root().join("tests/goldens/odd/expected.json")),
    ]
}

fn made_elsewhere() -> Vec<(PathBuf, PathBuf)> {
    let dirs = std::env::var("PORTCULLIS_GOLDENS").unwrap_or_default();
    let dirs = dirs.split(':').filter(|dir| !dir.is_empty());
    dirs.map(|dir| (dir.into(), Path::new(dir).join("expected.json"))).collect()
}

fn open(dir: &Path, dtype: Dtype) -> Transformer {
    forward::open(dir, &settings(dtype, ExpertFormat::Auto))
}

/// Our own checkpoints, each with what its parts come to.
fn internals() -> [(PathBuf, Internals); 2] {
    let goldens = root().join("tests/goldens");
    [
        (root().join("models/random-tiny"), read(&goldens.join("random-tiny-internals.json"))),
        (goldens.join("odd"), read(&goldens.join("odd/internals.json"))),
    ]
}

fn expected(file: &Path) -> Expected {
    read(file)
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> T {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn greedy(model: Transformer, prompt: &[u32], count: usize) -> Vec<u32> {
    let limits = Limits { step_tokens: 512, sequences: 1, kv_bytes: 64 << 20 };
    let mut engine = Engine::new(model, limits, Arc::new(Pins::default()), Arc::new(Figures::default()));
    let steps = vec![Step::Decode { stops: [].into(), budget: count }];
    let job = Job { prompt: prompt.to_vec(), shared: 0, grows: 0, steps, urgent: true, deadline: None, listener: None };
    match &engine.run_alone(job).unwrap()[..] {
        [Outcome::Decoded { tokens, .. }] => tokens.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn logits_and_greedy_ids_are_those_of_transformers() {
    for (dir, file) in ours().into_iter().chain(made_elsewhere()) {
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
        assert_eq!(greedy(model, prompt, expected.greedy.len()), expected.greedy, "{}", dir.display());
    }
}

/// bfloat16 hides errors in these, so that they are looked at as they are.
#[test]
fn frequencies_are_those_of_transformers() {
    for (dir, internals) in internals() {
        let config = Config::open(&dir).unwrap();
        let found = inv_freq(&config.rope, config.head_dim);
        assert_eq!(found.len(), internals.inv_freq.len());
        for (found, expected) in found.iter().zip(&internals.inv_freq) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{}: {found} for {expected}", dir.display());
        }
        assert!((config.rope.concentration - internals.attention_scaling).abs() < 1e-9);
    }
}

/// Of one layer alone, a token's row changes exactly where the token is seen.
#[test]
fn each_position_sees_what_transformers_lets_it_see() {
    for (dir, internals) in internals() {
        for (kind, first_seen) in internals.first_seen {
            let one = Layouts::of(&dir).with(json!({"num_hidden_layers": 1, "layer_types": [kind]}));
            let model = open(one.path(), Dtype::Float32);
            let ids: Vec<u32> = (0..first_seen.len() as u32).map(|i| i * 7 % 60).collect();
            let before = rows(&model, &ids);
            for changed in [0, 1, 5, ids.len() / 2, ids.len() - 1] {
                let mut other = ids.clone();
                other[changed] += 1;
                let after = rows(&model, &other);
                for (position, (before, after)) in before.iter().zip(&after).enumerate() {
                    let difference = largest_difference(before, after);
                    let sees = (first_seen[position]..=position).contains(&changed);
                    assert_eq!(difference > 1e-4, sees, "{kind}: {position} of {changed}: {difference}");
                }
            }
        }
    }
}

/// However the weights lie, the same bits come out.
#[test]
fn every_layout_gives_the_same_logits() {
    let [(dir, file), _] = ours();
    let ids = &expected(&file).input_ids[..200];
    let layouts = Layouts::of(&dir);
    let original = layouts.original();
    for dtype in [Dtype::Float32, Dtype::Bfloat16] {
        let expected = rows(&open(&dir, dtype), ids);
        for (name, dir) in [
            ("original, by the folder above", original.path()),
            ("original", &original.path().join("original")),
            ("sharded", layouts.sharded().path()),
            ("files of any name", layouts.scattered("part", ".safetensors").path()),
            ("askew", layouts.askew().path()),
        ] {
            assert!(rows(&open(dir, dtype), ids) == expected, "{name}, {dtype:?}");
        }
    }
    let packed = rows(&open(&dir, Dtype::Float32), ids);
    let dense = rows(&open(layouts.unquantised().path(), Dtype::Float32), ids);
    let difference = packed.iter().zip(&dense).map(|(a, b)| largest_difference(a, b)).fold(0.0, f32::max);
    assert!(difference <= 1e-4, "{difference}");
}

/// Told after every layer, and to the end, for every layout.
#[test]
fn loading_tells_how_far_it_is() {
    let [(dir, _), _] = ours();
    let original = Layouts::of(&dir).original();
    for dir in [&*dir, original.path()] {
        let weights = Weights::open(dir).unwrap();
        let compute = Compute::new(&settings(Dtype::Auto, ExpertFormat::Auto), weights.config()).unwrap();
        let mut told = Vec::new();
        Transformer::load(&weights, compute, |progress| told.push((progress.done, progress.total))).unwrap();
        assert!(told.len() > weights.config().layers.len() && told.is_sorted(), "{told:?}");
        assert!(matches!(told[..], [.., (done, total)] if done == total), "{told:?}");
    }
}

/// What the engine is measured on must be a model: as deep as the 120b, its scores stay numbers of a common size.
#[test]
fn random_weights_make_a_model() {
    let deep = Config::shape("120b").unwrap();
    let config = Config { vocab: 64, hidden: 64, intermediate: 64, experts: 8, heads: 4, kv_heads: 2, ..deep };
    let weights = Weights::random(config, 7).unwrap();
    let model = load(&weights, &settings(Dtype::Float32, ExpertFormat::Auto));
    let rows = rows(&model, &(0..40).collect::<Vec<u32>>());
    let largest =
        rows.iter().flatten().fold(0.0, |worst: f32, score| if score.abs() <= worst { worst } else { score.abs() });
    assert!((0.05..5.0).contains(&largest), "{largest}");
}

/// What a GPU computes, computed here: libtorch's operations, with experts in either format.
#[test]
fn libtorch_agrees_with_our_kernels() {
    for (dir, file) in ours() {
        let ids = &expected(&file).input_ids;
        let ours = rows(&open(&dir, Dtype::Float32), ids);
        for experts in [ExpertFormat::Packed, ExpertFormat::Bfloat16] {
            let weights = Weights::open(&dir).unwrap();
            let compute = Compute::new(&settings(Dtype::Float32, experts), weights.config()).unwrap().on_libtorch();
            let theirs = rows(&Transformer::load(&weights, compute, |_| {}).unwrap(), ids);
            for (position, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let difference = largest_difference(ours, theirs);
                assert!(difference <= 1e-4, "{}, {experts:?}: position {position}: {difference}", dir.display());
            }
        }
    }
}

/// Experts in bfloat16 hold the same numbers, and 16-bit integers nearly the same.
#[test]
fn every_format_agrees_with_float32() {
    let [(dir, file), _] = ours();
    let ids = expected(&file).input_ids;
    let exact = rows(&open(&dir, Dtype::Float32), &ids);
    for (dtype, experts, most) in
        [(Dtype::Float32, ExpertFormat::Bfloat16, 1e-4), (Dtype::Auto, ExpertFormat::Packed, 5e-3)]
    {
        let found = rows(&forward::open(&dir, &settings(dtype, experts)), &ids);
        let difference = exact.iter().zip(&found).map(|(a, b)| largest_difference(a, b)).fold(0.0, f32::max);
        assert!(difference <= most, "{dtype:?}, {experts:?}: {difference}");
    }
}

/// The fast kernels are what most deployments run: they must choose the same tokens.
#[test]
fn fast_kernels_choose_the_same_tokens() {
    for (dir, file) in ours() {
        let expected = expected(&file);
        let prompt = &expected.input_ids[..expected.prompt_len];
        let found = greedy(open(&dir, Dtype::Auto), prompt, expected.greedy.len());
        assert_eq!(found, expected.greedy, "{}", dir.display());
    }
}

/// bfloat16 rounds; it must still be the same model.
#[test]
fn bfloat16_agrees_with_float32_for_the_most_part() {
    let [(dir, file), _] = ours();
    let ids = expected(&file).input_ids;
    let (wide, narrow) = (rows(&open(&dir, Dtype::Float32), &ids), rows(&open(&dir, Dtype::Bfloat16), &ids));
    let best = |row: &Vec<f32>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(token, _)| token);
    let same = wide.iter().zip(&narrow).filter(|(wide, narrow)| best(wide) == best(narrow)).count();
    assert!(same * 10 >= ids.len() * 8, "{same} of {}", ids.len());
}
