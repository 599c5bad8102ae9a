//! Checkpoints as they should be, and in all the ways in which they should not.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use super::files::{INDEX, SINGLE};
use super::*;

/// Tensors by name, with their shape, format and the bytes that fill them, again and again.
type Tensors<'a> = &'a [(&'a str, &'a [usize], Dtype, &'a [u8])];

/// Unquantised, so that any size goes; two experts.
const CONFIG: &str = r#"{"model_type": "gpt_oss", "num_hidden_layers": 1, "vocab_size": 4, "hidden_size": 32,
    "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2, "num_local_experts": 2,
    "num_experts_per_tok": 1, "sliding_window": 4, "rms_norm_eps": 1e-5, "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default"}}"#;
const ORIGINAL: &str = r#"{"num_hidden_layers": 1, "vocab_size": 4, "hidden_size": 32, "intermediate_size": 32,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2, "num_experts": 2, "experts_per_token": 1,
    "sliding_window": 4, "swiglu_limit": 7.0, "initial_context_length": 64, "rope_theta": 150000,
    "rope_scaling_factor": 32, "rope_ntk_alpha": 1, "rope_ntk_beta": 32}"#;
const TWO: Tensors = &[("a", &[2, 3], Dtype::BF16, &[1]), ("b", &[8], Dtype::F32, &[2])];

fn folder(config: &str) -> TempDir {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    dir
}

fn write(dir: &Path, file: &str, tensors: Tensors) -> PathBuf {
    let fill = |&(_, shape, dtype, pattern): &(&str, &[usize], Dtype, &[u8])| -> Vec<u8> {
        pattern.iter().copied().cycle().take(shape.iter().product::<usize>() * dtype.bitsize() / 8).collect()
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(fill).collect();
    let views = tensors.iter().zip(&bytes).map(|(&(name, shape, dtype, _), bytes)| {
        (name.to_owned(), TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
    });
    let path = dir.join(file);
    safetensors::serialize_to_file(views, None, &path).unwrap();
    path
}

fn with(tensors: Tensors) -> (TempDir, Weights) {
    let dir = folder(CONFIG);
    write(dir.path(), SINGLE, tensors);
    let weights = Weights::open(dir.path()).unwrap();
    (dir, weights)
}

/// The error, which names `file` and says `what`.
#[track_caller]
fn refused<T>(result: Result<T, LoadError>, file: &str, what: &str) {
    let error = result.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains(file) && error.contains(what), "{error:?}, expected {file:?} and {what:?}");
}

#[test]
fn tensors_are_found_in_one_file_in_an_index_and_in_files_of_any_name() {
    let dir = folder(CONFIG);
    let both = |dir: &TempDir| {
        let weights = Weights::open(dir.path()).unwrap();
        assert_eq!(weights.dense("a", &[2, 3]).unwrap().values(), Values::Bf16(&[0x0101; 6]));
        assert_eq!(weights.dense("b", &[8]).unwrap().shape(), [8]);
    };
    write(dir.path(), "one.safetensors", &TWO[..1]);
    write(dir.path(), "another.safetensors", &TWO[1..]);
    both(&dir);

    let dir = folder(CONFIG);
    write(dir.path(), SINGLE, TWO);
    both(&dir);

    // The index wins over what else lies there.
    write(dir.path(), SINGLE, &[("a", &[1], Dtype::U8, &[0])]);
    write(dir.path(), "model-00000-of-00002.safetensors", &TWO[..1]);
    write(dir.path(), "model-00001-of-00002.safetensors", &TWO[1..]);
    let index = r#"{"weight_map": {"a": "model-00000-of-00002.safetensors", "b": "model-00001-of-00002.safetensors"}}"#;
    std::fs::write(dir.path().join(INDEX), index).unwrap();
    both(&dir);
}

#[test]
fn a_tensor_outlives_the_weights_that_it_is_of() {
    let (dir, weights) = with(TWO);
    let stored = weights.dense("b", &[8]).unwrap();
    drop((weights, dir));
    assert_eq!(stored.bytes().to_vec(), [2; 32]);
}

#[test]
fn errors_name_tensor_and_file() {
    let (_dir, weights) = with(&[TWO[0], TWO[1], ("c", &[2], Dtype::I64, &[0]), ("d", &[2], Dtype::U8, &[0])]);
    refused(weights.dense("a", &[3, 2]), SINGLE, "tensor `a`: has shape [2, 3], config.json says [3, 2]");
    refused(weights.dense("a", &[6]), SINGLE, "tensor `a`: has shape [2, 3]");
    refused(weights.dense("none", &[1]), SINGLE, "tensor `none`: missing");
    refused(weights.dense("c", &[2]), SINGLE, "tensor `c`: holds I64");
    refused(weights.dense("d", &[2]), SINGLE, "tensor `d`: holds U8");
    refused(weights.experts("x", [1, 1, 32]), SINGLE, "tensor `x_blocks`: missing");
}

#[test]
fn directories_that_are_not_whole_are_refused() {
    refused(Weights::open(Path::new("models/none")), "models/none", "no model here");
    let dir = folder(CONFIG);
    refused(Weights::open(dir.path()), &dir.path().display().to_string(), "no model here");

    std::fs::write(dir.path().join(INDEX), r#"{"weight_map": {"a": "a.safetensors"}}"#).unwrap();
    refused(Weights::open(dir.path()), "a.safetensors", "not there");
    for (index, what) in [("{}", "weight_map"), ("[", "EOF"), (r#"{"weight_map": {}}"#, "names no file")] {
        std::fs::write(dir.path().join(INDEX), index).unwrap();
        refused(Weights::open(dir.path()), INDEX, what);
    }

    std::fs::write(dir.path().join(INDEX), r#"{"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}"#).unwrap();
    write(dir.path(), "a.safetensors", &TWO[..1]);
    let weights = Weights::open(dir.path()).unwrap();
    refused(weights.dense("b", &[8]), "a.safetensors: tensor `b`: missing", "the index says");
    refused(weights.dense("c", &[8]), INDEX, "tensor `c`: missing; is this");

    let dir = folder(CONFIG);
    write(dir.path(), "1.safetensors", TWO);
    write(dir.path(), "2.safetensors", &TWO[1..]);
    refused(Weights::open(dir.path()), "2.safetensors: tensor `b`: is in ", "1.safetensors as well");
}

#[test]
fn an_index_cannot_lead_out_of_its_directory() {
    let dir = folder(CONFIG);
    for file in ["../model.safetensors", "/etc/passwd", "a/b", "..", ""] {
        std::fs::write(dir.path().join(INDEX), format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#)).unwrap();
        refused(Weights::open(dir.path()), INDEX, "is not the plain name");
    }
}

#[test]
fn experts_are_packed_or_turned() {
    let (_dir, weights) = with(&[
        ("p_blocks", &[2, 3, 1, 16], Dtype::U8, &[7]),
        ("p_scales", &[2, 3, 1], Dtype::U8, &[120]),
        ("d", &[2, 3, 5], Dtype::F16, &[1]),
        ("alone_blocks", &[1, 1, 1, 16], Dtype::U8, &[7]),
        ("nan_blocks", &[2, 3, 1, 16], Dtype::U8, &[7]),
        ("nan_scales", &[2, 3, 1], Dtype::U8, &[255]),
        ("wide_blocks", &[1, 1, 1, 16], Dtype::BF16, &[7]),
    ]);
    let packed = weights.experts("p", [2, 3, 32]).unwrap();
    assert!(matches!(packed, StoredExperts::Packed { blocks, .. } if blocks.bytes().to_vec() == [7; 96]));
    let StoredExperts::Dense(dense) = weights.experts("d", [2, 5, 3]).unwrap() else { panic!() };
    assert_eq!((dense.shape(), dense.format()), (&[2, 5, 3][..], Format::F16));

    refused(weights.experts("p", [2, 3, 64]), SINGLE, "tensor `p_blocks`: has shape");
    refused(weights.experts("p", [2, 3, 33]), SINGLE, "tensor `p_blocks`: packs 32 weights");
    refused(weights.experts("d", [2, 3, 5]), SINGLE, "tensor `d`: has shape [2, 3, 5], config.json says [2, 5, 3]");
    refused(weights.experts("alone", [1, 1, 32]), SINGLE, "tensor `alone_scales`: missing");
    refused(weights.experts("nan", [2, 3, 32]), SINGLE, "tensor `nan_scales`: a scale of expert 0 is 255");
    refused(weights.experts("wide", [1, 1, 32]), SINGLE, "tensor `wide_blocks`: holds Bf16, expected U8");
}

#[test]
fn the_original_layout_is_read_by_the_names_of_the_other() {
    let dir = folder(ORIGINAL);
    write(
        dir.path(),
        SINGLE,
        &[
            ("block.0.attn.qkv.bias", &[8], Dtype::BF16, &[0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0]),
            ("block.0.mlp.mlp1_weight.blocks", &[2, 64, 1, 16], Dtype::U8, &[3]),
            ("block.0.mlp.mlp1_weight.scales", &[2, 64, 1], Dtype::U8, &[3]),
            ("embedding.weight", &[4, 32], Dtype::BF16, &[5]),
        ],
    );
    let weights = Weights::open(dir.path()).unwrap();
    let bias = |part: &str, rows| weights.dense(&format!("model.layers.0.self_attn.{part}_proj.bias"), &[rows]);
    assert_eq!(bias("q", 4).unwrap().values(), Values::Bf16(&[0, 1, 2, 3]));
    assert_eq!(bias("k", 2).unwrap().values(), Values::Bf16(&[4, 5]));
    assert_eq!(bias("v", 2).unwrap().values(), Values::Bf16(&[6, 7]));
    assert!(weights.experts("model.layers.0.mlp.experts.gate_up_proj", [2, 64, 32]).is_ok());
    assert!(weights.dense("model.embed_tokens.weight", &[4, 32]).is_ok());
    refused(weights.dense("lm_head.weight", &[4, 32]), SINGLE, "tensor `unembedding.weight`: missing");

    write(dir.path(), SINGLE, &[("block.0.attn.qkv.bias", &[7], Dtype::BF16, &[0])]);
    let weights = Weights::open(dir.path()).unwrap();
    let short = weights.dense("model.layers.0.self_attn.v_proj.bias", &[2]);
    refused(short, SINGLE, "tensor `block.0.attn.qkv.bias`: has shape [7], config.json says 8 rows");
}

#[test]
fn tensors_that_lie_askew_are_read_all_the_same() {
    let dir = folder(CONFIG);
    let path = write(dir.path(), SINGLE, TWO);
    let whole = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap());
    for skew in 1..8u64 {
        // Blanks at the end of the header move all that follows.
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&(length + skew).to_le_bytes());
        bytes.splice(8 + length as usize..8 + length as usize, vec![b' '; skew as usize]);
        std::fs::write(&path, bytes).unwrap();
        let weights = Weights::open(dir.path()).unwrap();
        assert_eq!(weights.dense("a", &[2, 3]).unwrap().values(), Values::Bf16(&[0x0101; 6]));
        assert_eq!(weights.dense("b", &[8]).unwrap().values(), Values::F32(&[f32::from_bits(0x0202_0202); 8]));
    }
}

#[test]
fn progress_and_digest_follow_the_files() {
    let digest = |weights: &Weights| {
        let mut hash = Sha256::new();
        weights.digest(&mut hash);
        hash.finalize().to_vec()
    };
    let (_dir, weights) = with(TWO);
    assert_eq!(weights.progress(), Progress { done: 0, total: 44 });
    weights.dense("a", &[2, 3]).unwrap();
    assert_eq!(weights.progress(), Progress { done: 12, total: 44 });
    let mut told = Vec::new();
    weights.prefetch(|progress| told.push(progress));
    assert_eq!(told, [Progress { done: 44, total: 44 }]);

    let (_same_dir, same) = with(TWO);
    let (_other_dir, other) = with(&[TWO[0], ("b", &[8], Dtype::F32, &[3])]);
    assert_eq!(digest(&weights), digest(&same));
    assert_ne!(digest(&weights), digest(&other));
}

#[test]
fn random_weights_have_every_tensor_and_are_the_same_again() {
    let config = || Config {
        vocab: 64,
        layers: Config::shape("small").unwrap().layers[..2].to_vec(),
        ..Config::shape("small").unwrap()
    };
    let (one, same) = (Weights::random(config(), 1).unwrap(), Weights::random(config(), 1).unwrap());
    let other = Weights::random(config(), 2).unwrap();
    let name = "model.layers.1.self_attn.q_proj.weight";
    let bytes = |weights: &Weights, name: &str| weights.dense(name, &[1024, 256]).unwrap().bytes().clone();
    assert_eq!(bytes(&one, name), bytes(&same, name));
    assert_ne!(bytes(&one, name), bytes(&other, name));
    assert_ne!(bytes(&one, name), bytes(&one, "model.layers.0.self_attn.q_proj.weight"));

    let stored = one.dense(name, &[1024, 256]).unwrap();
    let Values::Bf16(numbers) = stored.values() else { panic!() };
    let numbers = numbers.iter().map(|&bits| f64::from(f32::from_bits(u32::from(bits) << 16)));
    let (sum, squares) = numbers.fold((0.0, 0.0), |(sum, squares), number| (sum + number, squares + number * number));
    let count = 1024.0 * 256.0;
    assert!((sum / count).abs() < 5e-4 && ((squares / count).sqrt() - 0.02).abs() < 1e-3, "{sum} {squares}");
    let norm = one.dense("model.norm.weight", &[256]).unwrap();
    assert_eq!(norm.values(), Values::Bf16(&[0x3f80; 256]));
    let experts = one.experts("model.layers.0.mlp.experts.down_proj", [16, 256, 256]).unwrap();
    let StoredExperts::Packed { scales, .. } = experts else { panic!() };
    assert!(scales.bytes().iter().all(|scale| (118..=121).contains(scale)));
    refused(one.dense("x", &[1]), "random weights", "tensor `x`: missing");
}

/// Opens a directory and takes all that it has, by the names that it gives.
fn read_all(dir: &Path) -> Result<(), LoadError> {
    let weights = Weights::open(dir)?;
    for (name, shape) in [("a", &[2i64, 3][..]), ("b", &[8]), ("c", &[1])] {
        if let Ok(stored) = weights.dense(name, shape) {
            // Reads every byte.
            assert!(stored.bytes().iter().map(|&byte| u64::from(byte)).sum::<u64>() < u64::MAX);
            stored.values();
        }
    }
    let _ = weights.experts("d", [1, 1, 32]);
    weights.digest(&mut Sha256::new());
    weights.prefetch(|_| {});
    Ok(())
}

#[test]
fn a_file_cut_off_anywhere_is_refused_by_its_name() {
    let dir = folder(CONFIG);
    let path = write(dir.path(), SINGLE, TWO);
    let whole = std::fs::read(&path).unwrap();
    // `b` comes first in the file, for its numbers are longer.
    let b = whole.len() - 44;
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let what = match length {
            _ if length < b => "not a whole safetensors file",
            _ if length < b + 32 => "tensor `b`: cut off",
            _ => "tensor `a`: cut off",
        };
        refused(Weights::open(dir.path()), SINGLE, what);
    }
    std::fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    refused(Weights::open(dir.path()), SINGLE, "not a whole safetensors file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// An error or the weights, and never a panic or a byte of somewhere else.
    #[test]
    fn bytes_of_any_kind_are_read_or_refused(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in prop::option::of(any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let dir = folder(CONFIG);
        let path = write(dir.path(), SINGLE, &[TWO[0], TWO[1], ("d_blocks", &[1, 1, 1, 16], Dtype::U8, &[1]), ("d_scales", &[1, 1, 1], Dtype::U8, &[1])]);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(length) = length {
            bytes.truncate(length.index(bytes.len()));
        }
        bytes.extend(tail);
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = read_all(dir.path()) {
            prop_assert!(error.to_string().contains(SINGLE), "{error}");
        }
    }

    /// The configuration too: what it says of sizes meets tensors of other sizes.
    #[test]
    fn configurations_of_any_kind_are_read_or_refused(
        original: bool,
        at: prop::sample::Index,
        byte in prop_oneof![Just(b'9'), Just(b'"'), any::<u8>()],
    ) {
        let mut config = if original { ORIGINAL } else { CONFIG }.as_bytes().to_vec();
        let at = at.index(config.len());
        config[at] = byte;
        let dir = folder("");
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        write(dir.path(), SINGLE, &[TWO[0], ("block.0.attn.qkv.bias", &[8], Dtype::BF16, &[0])]);
        match Weights::open(dir.path()) {
            Ok(weights) => {
                let q = weights.config().heads * weights.config().head_dim;
                let bias = weights.dense("model.layers.0.self_attn.q_proj.bias", &[q]);
                prop_assert!(bias.is_err() || original && q == 4);
                prop_assert!(weights.config().parameters() > 0);
            }
            Err(error) => prop_assert!(error.to_string().contains("config.json"), "{error}"),
        }
    }

    /// A header that says anything of its one tensor.
    #[test]
    fn headers_of_any_kind_are_read_or_refused(
        shape in prop::collection::vec(prop_oneof![0..9u64, any::<u64>()], 0..4),
        offsets in prop::array::uniform2(prop_oneof![0..64u64, any::<u64>()]),
        dtype in prop::sample::select(vec!["BF16", "F32", "U8", "F64", "F4", "X"]),
        data in 0..64usize,
    ) {
        let dir = folder(CONFIG);
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":{offsets:?}}}}}"#);
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat();
        std::fs::write(dir.path().join(SINGLE), bytes).unwrap();
        if let Err(error) = read_all(dir.path()) {
            prop_assert!(error.to_string().contains(SINGLE), "{error}");
        }
    }
}
