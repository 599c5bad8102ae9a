//! o200k, the vocabulary of gpt-oss: whether a `tokenizer.json` is no more than that, so that the one built in, which is
//! faster and takes less memory, can stand for it.

use serde_json::{Map, Value};

/// Ids from here on are control tokens.
pub const TEXT: u32 = 199_998;

/// Pairs of o200k's tokens that make another.
const MERGES: usize = 446_189;

/// Where o200k splits a text before it merges.
const PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// Whether the file gives every text the tokens of o200k: it splits at the same places, has the same tokens under the same
/// ids, and merges them in the order of their ids, by every pair there is. Its control tokens are not looked at.
pub fn is_o200k(json: &Value) -> bool {
    let plain = |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || *value == "" || *value == 0;
    let model = &json["model"];
    let altered =
        ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback"];
    let (Some(vocab), Some(merges)) = (model["vocab"].as_object(), model["merges"].as_array()) else { return false };
    model["type"] == "BPE"
        && altered.iter().all(|key| plain(&model[key]))
        && json["normalizer"].is_null()
        && splits_alike(&json["pre_tokenizer"])
        && same_tokens(vocab)
        && same_merges(vocab, merges)
}

fn splits_alike(pre_tokenizer: &Value) -> bool {
    let Some([split, bytes]) = pre_tokenizer["pretokenizers"].as_array().map(Vec::as_slice) else { return false };
    pre_tokenizer["type"] == "Sequence"
        && split["type"] == "Split"
        && split["pattern"]["Regex"] == PATTERN
        && split["behavior"] == "Isolated"
        && split["invert"] == false
        && bytes["type"] == "ByteLevel"
        && bytes["add_prefix_space"] == false
        && bytes["use_regex"] == false
}

fn same_tokens(vocab: &Map<String, Value>) -> bool {
    let tokenizer = bpe_openai::o200k_base();
    let ids = vocab.iter().filter_map(|(token, id)| Some((token, u32::try_from(id.as_u64()?).ok()?)));
    let same = |(token, id): (&String, u32)| {
        token.chars().map(byte_of).collect::<Option<Vec<u8>>>().as_deref() == Some(tokenizer.bpe.token_bytes(id))
    };
    let mut text = 0;
    ids.filter(|(_, id)| *id < TEXT).all(|entry| {
        text += 1;
        same(entry)
    }) && text == TEXT
}

/// Merging the pair of the lowest rank first is then merging to the lowest id first, as o200k does.
fn same_merges(vocab: &Map<String, Value>, merges: &[Value]) -> bool {
    let pair = |merge: &Value| {
        let (left, right) = match (merge.as_str(), merge.as_array().map(Vec::as_slice)) {
            (Some(text), _) => text.split_once(' ')?,
            (_, Some([left, right])) => (left.as_str()?, right.as_str()?),
            _ => return None,
        };
        let id = |token: &str| vocab.get(token).and_then(Value::as_u64).filter(|id| *id < u64::from(TEXT));
        id(left).and(id(right)).and(id(&format!("{left}{right}"))).map(|merged| (merged, left.len()))
    };
    if merges.len() != MERGES {
        return false;
    }
    let Some(mut merged) = merges.iter().map(pair).collect::<Option<Vec<_>>>() else { return false };
    let ordered = merged.is_sorted_by_key(|(id, _)| *id);
    // Two splits of one token differ in where they cut it.
    merged.sort_unstable();
    ordered && merged.windows(2).all(|two| two[0] != two[1])
}

/// The byte that a character of a byte-level vocabulary stands for: printable ones for themselves, the rest moved up to
/// U+0100 in their order.
pub fn byte_of(ch: char) -> Option<u8> {
    let printable = |code: u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    match ch as u32 {
        code if printable(code) => u8::try_from(code).ok(),
        code @ 0x100.. => (0..=255u8).filter(|&byte| !printable(byte.into())).nth(code as usize - 0x100),
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashMap;

    /// The file of gpt-oss, as transformers' converter makes it, without control tokens.
    pub fn o200k_json() -> Value {
        let mut chars = [' '; 256];
        for ch in ('\u{21}'..='\u{143}').filter(|&ch| byte_of(ch).is_some()) {
            chars[usize::from(byte_of(ch).unwrap())] = ch;
        }
        let word = |bytes: &[u8]| bytes.iter().map(|&byte| chars[usize::from(byte)]).collect::<String>();
        let bpe = &bpe_openai::o200k_base().bpe;
        let ids: HashMap<&[u8], u32> = (0..TEXT).map(|id| (bpe.token_bytes(id), id)).collect();
        let mut merges = Vec::new();
        for id in 0..TEXT {
            let token = bpe.token_bytes(id);
            let mut splits: Vec<_> = (1..token.len())
                .map(|at| token.split_at(at))
                .filter_map(|(left, right)| Some((ids.get(left)?, ids.get(right)?, json!([word(left), word(right)]))))
                .collect();
            splits.sort_by_key(|(left, right, _)| (**left, **right));
            merges.extend(splits.into_iter().map(|(_, _, pair)| pair));
        }
        let vocab: Map<String, Value> = (0..TEXT).map(|id| (word(bpe.token_bytes(id)), id.into())).collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            ]},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merges,
            },
        })
    }

    #[test]
    fn only_the_whole_and_unaltered_vocabulary_is_o200k() {
        let mut json = o200k_json();
        assert_eq!(json["model"]["merges"].as_array().unwrap().len(), MERGES);
        assert!(is_o200k(&json));
        let altered = |json: &mut Value, pointer: &str, with: Value| {
            let was = std::mem::replace(json.pointer_mut(pointer).unwrap(), with);
            let same = is_o200k(json);
            *json.pointer_mut(pointer).unwrap() = was;
            same
        };
        for (pointer, with) in [
            ("/normalizer", json!({"type": "NFC"})),
            ("/pre_tokenizer/pretokenizers/0/pattern/Regex", json!(r"\s+")),
            ("/pre_tokenizer/pretokenizers/0/behavior", json!("Removed")),
            ("/model/dropout", json!(0.1)),
            ("/model/vocab/hello", json!(7)),
            ("/model/merges/1000", json!(["Ġ", "t"])),
            ("/model/merges/0", json!("nonsense")),
        ] {
            assert!(!altered(&mut json, pointer, with), "{pointer}");
        }
        json["model"]["merges"].as_array_mut().unwrap().swap(1000, 400_000);
        assert!(!is_o200k(&json));
        json["model"]["merges"].as_array_mut().unwrap().swap(1000, 400_000);
        assert!(is_o200k(&json));
        json["model"]["merges"].as_array_mut().unwrap().pop();
        assert!(!is_o200k(&json));
    }

    #[test]
    fn a_byte_has_one_character() {
        let bytes: Vec<u8> = ('\0'..='\u{2ff}').filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
    }
}
