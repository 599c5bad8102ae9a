//! The forward pass against transformers' GptOssForCausalLM, in float32, and against itself: however a sequence is cut
//! into pieces, the same comes out.
//!
//! `PORTCULLIS_GOLDENS` names further folders, separated by colons, each a checkpoint with an `expected.json`.
#![cfg(feature = "libtorch")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use portcullis::model::{Choice, Choices, Dtype, Outcome, Sequence, Transformer, set_threads};
use proptest::prelude::*;
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
    set_threads(1);
    Transformer::open(dir, "cpu", dtype).unwrap_or_else(|e| panic!("{e}"))
}

fn expected(file: &Path) -> Expected {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn rows(model: &Transformer, ids: &[u32]) -> Vec<Vec<f32>> {
    let mut cache = model.cache();
    let hidden = model.forward(ids, &mut cache);
    Vec::try_from(model.logits(&hidden)).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // `max` would drop a NaN, and so would a comparison that is false for it.
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, |worst, d| if d <= worst { worst } else { d })
}

fn greedy(model: &Transformer, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut sequence = Sequence::new(model, prompt.to_vec(), model.cache(), &|| false);
    match sequence.decode(&[], count).unwrap() {
        Outcome::Decoded { tokens, .. } => tokens,
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
            assert!(difference <= 1e-3, "{}: position {position}: {difference}", dir.display());
            worst = worst.max(difference);
        }
        println!("{}: {} rows, largest difference {worst:.1e}", dir.display(), expected.logits.len());
        let prompt = &expected.input_ids[..expected.prompt_len];
        assert_eq!(greedy(&model, prompt, expected.greedy.len()), expected.greedy, "{}", dir.display());
    }
}

/// The prompt is longer than two sliding windows, so that what must not be seen is there to be seen.
#[test]
fn pieces_through_the_cache_give_what_the_whole_gives() {
    let (dir, file) = goldens().remove(0);
    let (model, ids) = (open(&dir, Dtype::Float32), expected(&file).input_ids);
    assert!(ids.len() as i64 > 2 * model.config().window);
    let whole = rows(&model, &ids);
    let greedy_whole = greedy(&model, &ids, 8);
    proptest!(ProptestConfig::with_cases(12), |(mut cuts in prop::collection::vec(0..ids.len(), 0..6), fork in 0..ids.len())| {
        cuts.extend([0, fork, ids.len()]);
        cuts.sort_unstable();
        let mut cache = model.cache();
        let mut found: Vec<Vec<f32>> = Vec::new();
        for piece in cuts.windows(2).filter(|cut| cut[0] < cut[1]) {
            if piece[0] == fork {
                // What is written after a fork, or forgotten again, leaves no trace.
                let mut other = cache.fork(3);
                let _ = model.forward(&[1, 2, 3, 4, 5], &mut cache);
                other.truncate(fork);
                cache = other;
                let _ = model.forward(&[7, 8], &mut cache);
                cache.truncate(fork);
            }
            let hidden = model.forward(&ids[piece[0]..piece[1]], &mut cache);
            found.extend(Vec::<Vec<f32>>::try_from(model.logits(&hidden)).unwrap());
        }
        for (position, (found, whole)) in found.iter().zip(&whole).enumerate() {
            let difference = largest_difference(found, whole);
            prop_assert!(difference <= 1e-4, "position {}: {}", position, difference);
        }
        let mut sequence = Sequence::new(&model, ids.clone(), cache, &|| false);
        let Ok(Outcome::Decoded { tokens, .. }) = sequence.decode(&[], 8) else { panic!() };
        prop_assert_eq!(&tokens, &greedy_whole);
    });
}

/// Walking a tree of choices gives what computing every choice on its own gives, and leaves the sequence as if the best
/// had been appended outright.
#[test]
fn a_choices_score_is_the_product_of_its_shares() {
    let (dir, file) = goldens().remove(0);
    let (model, ids) = (open(&dir, Dtype::Float32), expected(&file).input_ids);
    let tokens: [&[u32]; 5] = [&[5, 6, 7], &[5, 6, 8], &[5, 9], &[10, 11, 12], &[13]];
    let choices = tokens.iter().map(|tokens| Choice { tokens: tokens.to_vec(), last: false }).collect();
    let choices = Choices::new(choices).unwrap();
    let mut winners = [0; 5];
    for length in (10..60).step_by(5) {
        let prompt = &ids[..length];
        let mut sequence = Sequence::new(&model, prompt.to_vec(), model.cache(), &|| false);
        let Ok(Outcome::Chosen { index, scores }) = sequence.choose(&choices) else { panic!() };

        let share = |after: &[u32], among: &[u32], of: u32| {
            let logits = rows(&model, &[prompt, after].concat()).pop().unwrap();
            let sum: f32 = among.iter().map(|&token| logits[token as usize].exp()).sum();
            logits[of as usize].exp() / sum
        };
        let first = |of| share(&[], &[5, 10, 13], of);
        let six = share(&[5], &[6, 9], 6);
        let expected = [
            first(5) * six * share(&[5, 6], &[7, 8], 7),
            first(5) * six * share(&[5, 6], &[7, 8], 8),
            first(5) * share(&[5], &[6, 9], 9),
            first(10),
            first(13),
        ];
        assert!(largest_difference(&scores, &expected) < 1e-5, "{scores:?} for {expected:?}");
        assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(expected.iter().all(|&score| score <= expected[index] + 1e-5));
        assert_eq!(sequence.tokens(), [prompt, tokens[index]].concat());
        let next = sequence.likeliest().unwrap();
        assert_eq!(greedy(&model, sequence.tokens(), 1), [next]);
        winners[index] += 1;
    }
    // Else the sequence never had to forget what it had computed of another choice.
    assert!(winners[3] > 0 && winners[..3].iter().sum::<i32>() > 0, "{winners:?}");
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
