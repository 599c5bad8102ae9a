//! Prompts against those of the `openai-harmony` package, token by token.
//!
//! `PORTCULLIS_HARMONY_GOLDENS` names further files, separated by colons: lists of cases like those of
//! `tests/goldens/harmony.json`.
#![cfg(feature = "libtorch")]

use std::path::{Path, PathBuf};

use portcullis::detectors::safeguard::Prompt;
use portcullis::model::Tokenizer;
use portcullis::policy::Effort;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    effort: Effort,
    date: Option<String>,
    policy: String,
    user: String,
    /// Up to `<|start|>assistant`.
    tokens: Vec<u32>,
}

fn files() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/harmony.json");
    let more = std::env::var("PORTCULLIS_HARMONY_GOLDENS").unwrap_or_default();
    std::iter::once(own).chain(more.split(':').filter(|file| !file.is_empty()).map(PathBuf::from)).collect()
}

#[test]
fn prompts_are_those_of_openai_harmony() {
    let tokenizer = Tokenizer::o200k();
    for file in files() {
        let bytes = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let cases: Vec<Case> = serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        assert!(!cases.is_empty(), "{}", file.display());
        for (index, case) in cases.iter().enumerate() {
            let prompt = Prompt::new(&tokenizer, &case.policy, case.effort, case.date.as_deref()).unwrap();
            let rendered = prompt.render(&tokenizer.encode(&case.user).unwrap());
            assert_eq!(rendered, case.tokens, "{}: case {index}: {:?}", file.display(), case.user);
        }
    }
}

/// The block that stands before every policy, as known ids.
#[test]
fn the_system_block_is_known() {
    let prompt = Prompt::new(&Tokenizer::o200k(), "x", Effort::Low, None).unwrap().render(&[]);
    let known = [
        200006, 17360, 200008, 3575, 553, 17554, 162016, 11, 261, 4410, 6439, 2359, 22203, 656, 7788, 17527, 558,
        87447, 100594, 25, 220, 1323, 19, 12, 3218, 279, 30377, 289, 25, 4465, 279, 2, 13888, 18403, 25, 8450, 11,
        49159, 11, 1721, 13, 21030, 2804, 413, 7360, 395, 1753, 3176, 13, 200007, 200006, 77944,
    ];
    assert_eq!(prompt[..known.len()], known);
}
