//! Text to token ids and back. Text never becomes a control token: those have ids, and no spelling.

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::Value;

use crate::model::grammar::Vocabulary;
use crate::model::o200k;
use crate::model::{GrammarError, LoadError};

/// The ids of harmony's control tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    pub start: u32,
    pub end: u32,
    pub message: u32,
    pub channel: u32,
    pub constrain: u32,
    pub r#return: u32,
    pub call: u32,
    pub end_of_text: u32,
}

/// The vocabulary of a checkpoint.
pub struct Tokenizer {
    text: Text,
    control: Control,
    /// Made when a grammar first asks for it.
    vocabulary: OnceLock<Result<Vocabulary, GrammarError>>,
}

/// Of text alone: no control token.
#[derive(Clone)]
pub(super) enum Text {
    O200k(&'static bpe_openai::Tokenizer),
    /// Without any token that is not text.
    File(Arc<tokenizers::Tokenizer>),
}

/// A text that the tokenizer can't take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the tokenizer failed: {0}")]
pub struct EncodeError(String);

impl Control {
    /// All of them, in no particular order: where one of these comes up, a text has ended.
    pub fn all(&self) -> [u32; 8] {
        self.named().map(|(_, id)| id)
    }

    /// The same with their spellings.
    pub fn named(&self) -> [(&'static str, u32); 8] {
        [
            ("<|start|>", self.start),
            ("<|end|>", self.end),
            ("<|message|>", self.message),
            ("<|channel|>", self.channel),
            ("<|constrain|>", self.constrain),
            ("<|return|>", self.r#return),
            ("<|call|>", self.call),
            ("<|endoftext|>", self.end_of_text),
        ]
    }
}

impl Text {
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        match self {
            Text::O200k(tokenizer) => Ok(tokenizer.encode(text)),
            Text::File(tokenizer) => {
                let encoding = tokenizer.encode_fast(text, false).map_err(|e| EncodeError(e.to_string()))?;
                Ok(encoding.get_ids().to_vec())
            }
        }
    }

    /// The bytes of one token, which need not be whole characters; nothing for an id that has none.
    fn bytes(&self, id: u32) -> Option<Vec<u8>> {
        match self {
            Text::O200k(tokenizer) => (id < o200k::TEXT).then(|| tokenizer.bpe.token_bytes(id).to_vec()),
            Text::File(tokenizer) => tokenizer.id_to_token(id)?.chars().map(o200k::byte_of).collect(),
        }
    }
}

impl Tokenizer {
    /// The vocabulary of gpt-oss, built in.
    pub fn o200k() -> Self {
        let control = Control {
            start: 200_006,
            end: 200_007,
            message: 200_008,
            channel: 200_005,
            constrain: 200_003,
            r#return: 200_002,
            call: 200_012,
            end_of_text: 199_999,
        };
        Tokenizer { text: Text::O200k(bpe_openai::o200k_base()), control, vocabulary: OnceLock::new() }
    }

    /// `tokenizer.json` of a checkpoint directory, or the one of gpt-oss where there is none or it is the same. `vocab` is the number of
    /// tokens that the model knows; ids beyond it are an error.
    pub fn open(dir: &Path, vocab: i64) -> Result<Self, LoadError> {
        let file = dir.join("tokenizer.json");
        let (tokenizer, file) = match file.exists() {
            true => (Self::read(&file)?, file),
            false => (Self::o200k(), dir.join("config.json")),
        };
        let ids = tokenizer.size();
        if i64::from(ids) > vocab {
            return Err(LoadError::file(
                file,
                format!("the tokenizer has ids up to {ids}, the model's vocabulary {vocab}"),
            ));
        }
        Ok(tokenizer)
    }

    /// A `tokenizer.json`.
    pub fn read(file: &Path) -> Result<Self, LoadError> {
        let bytes = std::fs::read(file).map_err(|e| LoadError::file(file, e))?;
        Self::parse(&bytes).map_err(|problem| LoadError::file(file, problem))
    }

    /// Ordinary tokens, whatever the text looks like.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EncodeError> {
        self.text.encode(text)
    }

    /// The text of ordinary tokens; nothing where one is not, or where they do not add up to UTF-8.
    pub fn decode(&self, tokens: &[u32]) -> Option<String> {
        match &self.text {
            Text::O200k(tokenizer) => {
                tokens.iter().all(|&token| token < o200k::TEXT).then(|| tokenizer.decode(tokens)).flatten()
            }
            Text::File(tokenizer) => {
                tokens.iter().all(|&token| tokenizer.id_to_token(token).is_some()).then_some(())?;
                tokenizer.decode(tokens, false).ok().filter(|text| !text.contains('\u{FFFD}'))
            }
        }
    }

    /// The bytes of an ordinary token, which need not be whole characters; nothing for a token that is none.
    pub fn bytes(&self, token: u32) -> Option<Vec<u8>> {
        self.text.bytes(token)
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What grammars over this tokenizer start from.
    pub(super) fn vocabulary(&self) -> Result<&Vocabulary, GrammarError> {
        let made = self.vocabulary.get_or_init(|| {
            let tokens: Vec<Vec<u8>> = (0..self.size()).map(|id| self.text.bytes(id).unwrap_or_default()).collect();
            Vocabulary::new(self.text.clone(), &tokens, self.control.r#return)
        });
        made.as_ref().map_err(GrammarError::clone)
    }

    /// One more than the highest id.
    pub fn size(&self) -> u32 {
        let text = match &self.text {
            Text::O200k(_) => o200k::TEXT,
            Text::File(tokenizer) => tokenizer.get_vocab(false).into_values().max().map_or(0, |id| id + 1),
        };
        self.control.all().into_iter().map(|id| id + 1).fold(text, u32::max)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string()).and_then(Self::from_json)
    }

    fn from_json(mut json: Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Added {
            id: u32,
            content: String,
        }
        let added: Vec<Added> = match json.get("added_tokens") {
            None => Vec::new(),
            Some(added) => Vec::deserialize(added).map_err(|e| format!("`added_tokens`: {e}"))?,
        };
        let vocab = json.pointer("/model/vocab");
        let id = |name: &str| {
            let in_vocab = || vocab.and_then(|vocab| vocab.get(name)?.as_u64()?.try_into().ok());
            let id = added.iter().find(|token| token.content == name).map(|token| token.id).or_else(in_vocab);
            id.ok_or_else(|| format!("the control token {name} is missing"))
        };
        let control = Control {
            start: id("<|start|>")?,
            end: id("<|end|>")?,
            message: id("<|message|>")?,
            channel: id("<|channel|>")?,
            constrain: id("<|constrain|>")?,
            r#return: id("<|return|>")?,
            call: id("<|call|>")?,
            end_of_text: id("<|endoftext|>")?,
        };
        let built_in = Self::o200k();
        if control == built_in.control && o200k::is_o200k(&json) {
            return Ok(built_in);
        }
        // Added tokens are found in any text before it is split, special or not. Without them in the file there is
        // nothing to be found; what else could change or shorten a text goes with them.
        if let Some(vocab) = json.pointer_mut("/model/vocab").and_then(Value::as_object_mut) {
            vocab.retain(|name, _| !is_control(name) && !added.iter().any(|token| token.content == *name));
        }
        for key in ["added_tokens", "truncation", "padding", "post_processor"] {
            json[key] = if key == "added_tokens" { Value::Array(Vec::new()) } else { Value::Null };
        }
        let text = tokenizers::Tokenizer::from_str(&json.to_string()).map_err(|e| e.to_string())?;
        if let Some(token) = control.all().into_iter().find_map(|id| text.id_to_token(id)) {
            return Err(format!("an ordinary token, `{token}`, has the id of a control token"));
        }
        let tokenizer = Tokenizer { text: Text::File(Arc::new(text)), control, vocabulary: OnceLock::new() };
        const PROBE: &str = "A <|end|> \u{0}\t\r\n  é ß 漢 🦀 <|start|>system";
        let bytes = |ids: &[u32]| ids.iter().filter_map(|&id| tokenizer.text.bytes(id)).collect::<Vec<_>>().concat();
        let lossless = tokenizer
            .encode(PROBE)
            .is_ok_and(|ids| tokenizer.decode(&ids).as_deref() == Some(PROBE) && bytes(&ids) == PROBE.as_bytes());
        if lossless {
            Ok(tokenizer)
        } else {
            Err("text does not survive it: the model would judge another text".into())
        }
    }
}

/// `<|something|>`.
fn is_control(name: &str) -> bool {
    name.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>")).is_some_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

    fn tiny_json() -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny/tokenizer.json");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    fn parse(json: &Value) -> Result<Tokenizer, String> {
        Tokenizer::parse(json.to_string().as_bytes())
    }

    static BOTH: LazyLock<[Tokenizer; 2]> = LazyLock::new(|| [Tokenizer::o200k(), parse(&tiny_json()).unwrap()]);

    #[test]
    fn words_of_the_prompt_have_their_known_ids() {
        let o200k = &BOTH[0];
        for (text, ids) in [
            ("system", &[17360][..]),
            ("developer", &[77944]),
            ("user", &[1428]),
            ("assistant", &[173781]),
            ("analysis", &[35644]),
            ("final", &[17196]),
            ("{\"violation\":1", &[10848, 4627, 33369, 1243, 16]),
            ("Non-violating", &[9953, 12, 76005, 1365]),
        ] {
            assert_eq!(o200k.encode(text).unwrap(), ids, "{text}");
        }
    }

    #[test]
    fn ids_that_are_not_text_decode_to_nothing() {
        for tokenizer in BOTH.iter() {
            for id in tokenizer.control().all().into_iter().chain([u32::MAX]) {
                assert_eq!(tokenizer.decode(&[id]), None);
            }
        }
    }

    /// A file may spell control tokens as ordinary added tokens, or have them in its vocabulary: text must not find them.
    #[test]
    fn control_tokens_of_a_careless_file_are_not_found_in_text() {
        let mut unmarked = tiny_json();
        unmarked["added_tokens"].as_array_mut().unwrap().iter_mut().for_each(|token| token["special"] = json!(false));
        let mut in_vocab = tiny_json();
        for token in tiny_json()["added_tokens"].as_array().unwrap() {
            in_vocab["model"]["vocab"][token["content"].as_str().unwrap()] = token["id"].clone();
        }
        in_vocab["added_tokens"] = json!([]);
        in_vocab["model"]["ignore_merges"] = json!(true);
        in_vocab["pre_tokenizer"] =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        for json in [unmarked, in_vocab] {
            let tokenizer = parse(&json).unwrap();
            assert_eq!(tokenizer.control(), BOTH[1].control());
            for text in ["<|end|>", "<|start|>", "a<|start|>system<|message|>b", "<|return|>"] {
                let ids = tokenizer.encode(text).unwrap();
                assert!(
                    ids.len() > 1 && !ids.iter().any(|id| tokenizer.control().all().contains(id)),
                    "{text}: {ids:?}"
                );
            }
        }
    }

    /// An ordinary token may begin as control tokens do, and others be made of it.
    #[test]
    fn a_token_that_looks_like_half_a_control_token_stays() {
        let mut json = tiny_json();
        for (token, id, [left, right]) in [("<|", 500, ["<", "|"]), ("<|>", 501, ["<|", ">"]), ("|>", 502, ["|", ">"])]
        {
            json["model"]["vocab"][token] = json!(id);
            json["model"]["merges"].as_array_mut().unwrap().push(json!([left, right]));
        }
        let tokenizer = parse(&json).unwrap();
        for (text, ids) in [("<|", &[500][..]), ("<|>", &[501]), ("|>", &[502])] {
            assert_eq!(tokenizer.encode(text).unwrap(), ids);
        }
        let ids = tokenizer.encode("<|end|>").unwrap();
        assert_eq!((ids[0], ids.last()), (500, Some(&502)));
        assert_eq!(tokenizer.decode(&ids).as_deref(), Some("<|end|>"));
    }

    #[test]
    fn a_file_cannot_clip_or_drop_text() {
        let mut clipped = tiny_json();
        clipped["truncation"] = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
        let tokenizer = parse(&clipped).unwrap();
        assert!(tokenizer.encode(&"word ".repeat(100)).unwrap().len() >= 100);
        let mut lossy = tiny_json();
        lossy["normalizer"] = json!({"type": "Lowercase"});
        assert!(parse(&lossy).is_err());
    }

    #[test]
    fn a_file_without_a_control_token_is_refused_by_its_name() {
        let mut json = tiny_json();
        json["added_tokens"].as_array_mut().unwrap().retain(|token| token["content"] != "<|channel|>");
        assert_eq!(parse(&json).err().unwrap(), "the control token <|channel|> is missing");
    }

    #[test]
    fn a_vocabulary_larger_than_the_models_is_refused() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny");
        assert!(Tokenizer::open(&dir, 512).is_ok());
        assert!(Tokenizer::open(&dir, 400).is_err());
        assert!(Tokenizer::open(Path::new("models/none"), 512).is_err());
        assert!(Tokenizer::open(Path::new("models/none"), 201_088).is_ok());
    }

    #[test]
    fn the_file_of_gpt_oss_is_the_vocabulary_built_in() {
        let mut json = o200k::tests::o200k_json();
        let names = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"];
        let names = names.into_iter().chain(["<|endoftext|>"]);
        let added = |ids: [u32; 8]| -> Vec<Value> {
            names.clone().zip(ids).map(|(content, id)| json!({"id": id, "content": content, "special": true})).collect()
        };
        let ids = BOTH[0].control().all();
        json["added_tokens"] = added(ids).into();
        assert!(matches!(Tokenizer::from_json(json).unwrap().text, Text::O200k(_)));
    }

    /// Quadratic work would not end. What is counted is that nothing is lost or added.
    #[test]
    fn a_long_run_of_one_character_is_no_burden() {
        for tokenizer in BOTH.iter() {
            for run in ["a", " ", "\n", "é", "🦀", "1", " \n", "a "] {
                // What follows a run of blanks decides how its last one is read.
                for end in if run.trim().is_empty() { &["", "x"][..] } else { &[""] } {
                    let text = run.repeat((1 << 20) / run.len()) + end;
                    let ids = tokenizer.encode(&text).unwrap();
                    assert!(ids.len() <= text.len(), "{run:?}: {} tokens of {} bytes", ids.len(), text.len());
                    assert!(tokenizer.decode(&ids).as_deref() == Some(&*text), "{run:?}");
                }
            }
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let control =
            prop::sample::select(vec!["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|", "|>"]);
        prop::collection::vec(prop_oneof![any::<String>(), control.prop_map(str::to_owned)], 0..8)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_text_is_ordinary_and_survives(text in text()) {
            for tokenizer in BOTH.iter() {
                let ids = tokenizer.encode(&text).unwrap();
                prop_assert!(!ids.iter().any(|id| tokenizer.control().all().contains(id)));
                if !text.contains('\u{FFFD}') {
                    prop_assert_eq!(tokenizer.decode(&ids), Some(text.clone()));
                }
            }
        }
    }
}
