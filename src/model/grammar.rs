//! Grammars: which tokens may come next, so that only text of a given form can be made. The matching is `llguidance`'s.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};

use crate::model::Tokenizer;
use crate::model::error::first_line;
use crate::model::tokenizer::Text;

/// States of a grammar's lexer, at most; each takes about a kilobyte. A grammar of bounded strings has far fewer.
const MAX_LEXER_STATES: usize = 50_000;

/// A form that text must have, over the tokens of one tokenizer. Its end is the tokenizer's `<|return|>`, and no token
/// that is not text can come up in it.
pub struct Grammar {
    /// At the beginning, and never gone on from.
    untouched: Matcher,
    start: Start,
    end: u32,
}

/// A text being made under a grammar. After an error it stays in error.
pub struct Constraint {
    matcher: Matcher,
    start: Start,
}

/// At the beginning: every text starts with a copy. Copies share what their lexer has found out, and its errors: it has
/// but so many states for all of them. So after an error there is none, and the next text starts with a lexer of its own.
#[derive(Clone, Default)]
struct Start(Arc<Mutex<Option<Matcher>>>);

/// A set of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mask {
    /// Bit `i % 32` of word `i / 32` stands for token `i`. Tokens beyond the last word are not in the set.
    words: Vec<u32>,
}

/// A tokenizer's text tokens by their bytes: what every grammar over them starts from.
pub(super) struct Vocabulary(ParserFactory);

/// Why a grammar can't be used, or a text can't go on under it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("grammar: {0}")]
pub struct GrammarError(String);

impl Grammar {
    /// Reads a grammar in the `llguidance` kind of Lark. Its strings and repetitions must be bounded: memory is by them.
    /// The first grammar of a tokenizer takes longer: its tokens are sorted then.
    pub fn new(tokenizer: &Tokenizer, lark: &str) -> Result<Self, GrammarError> {
        let Vocabulary(factory) = tokenizer.vocabulary()?;
        let mut untouched = Matcher::new(factory.create_parser(TopLevelGrammar::from_lark(lark.to_owned())));
        if let Some(problem) = untouched.get_error() {
            return Err(GrammarError(first_line(&problem)));
        }
        if let Some(warning) = untouched.grammar_warnings().pop() {
            return Err(GrammarError(warning));
        }
        Ok(Grammar { untouched, start: Start::default(), end: tokenizer.control().r#return })
    }

    /// Begins a text.
    pub fn start(&self) -> Constraint {
        let matcher = self.start.lock().get_or_insert_with(|| self.untouched.deep_clone()).clone();
        Constraint { matcher, start: self.start.clone() }
    }

    /// The token that ends a finished text, and no other.
    pub fn end(&self) -> u32 {
        self.end
    }
}

impl Constraint {
    /// Accepts the tokens that have to come next, whatever the model would say, and gives them; often there are none. Only
    /// those are given that the model's tokenizer would write in this place.
    pub fn forced(&mut self) -> Result<Vec<u32>, GrammarError> {
        let tokens = self.matcher.consume_ff_tokens();
        self.matcher.get_error().map_or(Ok(tokens), |problem| Err(self.failed(&problem)))
    }

    /// The tokens that may come next: at least one while the text is not finished. Where the text may end here, but need
    /// not, the grammar's end is among them.
    pub fn allowed(&mut self) -> Result<Mask, GrammarError> {
        let mask = self.matcher.compute_mask_or_eos().map_err(|e| self.failed(&e.to_string()))?;
        Ok(Mask { words: mask.into() })
    }

    /// Takes a token that [`Self::allowed`] has.
    pub fn accept(&mut self, token: u32) -> Result<(), GrammarError> {
        self.matcher.consume_token(token).map_err(|e| self.failed(&e.to_string()))
    }

    /// Whether nothing but the end can follow, or the end was accepted.
    pub fn finished(&self) -> bool {
        self.matcher.is_stopped() && !self.matcher.is_error()
    }

    fn failed(&self, problem: &str) -> GrammarError {
        *self.start.lock() = None;
        GrammarError(first_line(problem))
    }
}

impl Start {
    /// A panic under the lock leaves nothing or a whole one.
    fn lock(&self) -> MutexGuard<'_, Option<Matcher>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mask {
    pub fn contains(&self, token: u32) -> bool {
        self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let bits = |(at, &word): (usize, &u32)| {
            (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as u32 * 32 + bit)
        };
        self.words.iter().enumerate().flat_map(bits)
    }
}

impl Vocabulary {
    /// `tokens` are the bytes of each token by its id, empty for those that are not text.
    pub(super) fn new(text: Text, tokens: &[Vec<u8>], end: u32) -> Result<Self, GrammarError> {
        let trie = TokTrie::from(&TokRxInfo::new(tokens.len() as u32, end), tokens);
        let env: TokEnv = Arc::new(Environment { text, trie });
        let slices = SlicedBiasComputer::json_slices();
        let error = |e: &dyn ToString| GrammarError(first_line(&e.to_string()));
        let mut factory =
            ParserFactory::new(&env, InferenceCapabilities { ff_tokens: true, ..Default::default() }, &slices)
                .map_err(|e| error(&e))?;
        factory.quiet();
        *factory.limits_mut() =
            ParserLimits { max_lexer_states: MAX_LEXER_STATES, verbose_errors: false, ..ParserLimits::default() };
        Ok(Vocabulary(factory))
    }
}

/// The tokenizer as the library asks for it.
struct Environment {
    text: Text,
    trie: TokTrie,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let text = std::str::from_utf8(bytes).ok();
        text.and_then(|text| self.text.encode(text).ok()).unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::LazyLock;

    const FORM: &str = r#"
start: "{\"a\":" ("null" | WORD) (",\"list\":[" WORD ("," WORD){0,2} "]")? "}"
WORD: /"([^"\\\x00-\x1F]|\\["\\nrt]){0,12}"/
"#;

    fn tiny() -> Tokenizer {
        Tokenizer::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny"), 512).unwrap()
    }

    static BOTH: LazyLock<[(Tokenizer, Grammar); 2]> = LazyLock::new(|| {
        [Tokenizer::o200k(), tiny()].map(|tokenizer| {
            let grammar = Grammar::new(&tokenizer, FORM).unwrap();
            (tokenizer, grammar)
        })
    });

    /// Whether the tokens are a whole text of the grammar.
    fn takes(grammar: &Grammar, tokens: &[u32]) -> bool {
        let mut text = grammar.start();
        let all = tokens.iter().all(|&token| {
            let allowed = text.allowed().is_ok_and(|mask| mask.contains(token));
            allowed && text.accept(token).is_ok()
        });
        all && text.finished()
    }

    #[test]
    fn takes_what_has_the_form_and_nothing_else() {
        for (tokenizer, grammar) in BOTH.iter() {
            let taken = |text: &str| takes(grammar, &tokenizer.encode(text).unwrap());
            for text in [
                r#"{"a":null}"#,
                r#"{"a":""}"#,
                r#"{"a":"é漢🦀 \" \\ \n","list":["x","y","z"]}"#,
                r#"{"a":"<|return|>","list":[""]}"#,
            ] {
                assert!(taken(text), "{text}");
            }
            for text in [
                "",
                "{",
                r#"{"a":nul"#,
                r#"{"a":null} "#,
                r#"{"a": null}"#,
                r#"{"a":"\x"}"#,
                "{\"a\":\"\n\"}",
                r#"{"a":"thirteen char"}"#,
                r#"{"a":null,"list":[]}"#,
                r#"{"a":null,"list":["1","2","3","4"]}"#,
            ] {
                assert!(!taken(text), "{text}");
            }
        }
    }

    #[test]
    fn only_text_and_the_end_can_come_up() {
        for (tokenizer, grammar) in BOTH.iter() {
            let mut text = grammar.start();
            for token in text.forced().unwrap() {
                assert!(tokenizer.decode(&[token]).is_some());
            }
            let mask = text.allowed().unwrap();
            assert!(mask.iter().count() > 1);
            assert!(mask.iter().all(|token| mask.contains(token)));
            assert!(tokenizer.control().all().iter().all(|&control| !mask.contains(control)));
            assert!(!mask.contains(u32::MAX));
        }
    }

    #[test]
    fn what_is_forced_is_written_as_the_tokenizer_writes_it() {
        let (tokenizer, grammar) = &BOTH[0];
        let mut text = grammar.start();
        let head = text.forced().unwrap();
        assert!(head.len() >= 2 && tokenizer.encode("{\"a\":null").unwrap().starts_with(&head), "{head:?}");
        // The rest of the token `":` may be joined by what follows: it is left to the mask.
        let null = tokenizer.encode("{\"a\":null").unwrap();
        for &token in &null[head.len()..] {
            assert!(text.allowed().unwrap().contains(token));
            text.accept(token).unwrap();
        }
        assert!(!text.finished());
        assert!(text.accept(tokenizer.control().r#return).is_err(), "the end does not fit yet");
        assert!(text.allowed().is_err(), "and an error stays");
        assert!(!text.finished());
        assert!(grammar.start().allowed().is_ok(), "of this text alone");
    }

    /// The lexer that texts share is spoilt for good, as it is when it runs out of states.
    #[test]
    fn a_spoilt_lexer_is_left_behind() {
        let grammar = Grammar::new(&BOTH[1].0, FORM).unwrap();
        let (mut spoilt, mut beside) = (grammar.start(), grammar.start());
        assert!(spoilt.matcher.test_trigger_lexer_error().is_err());
        assert!(beside.allowed().is_err(), "they share it");
        let mut next = grammar.start();
        assert!(next.allowed().is_ok());
        // What is still to be told of the old one changes nothing for those after it.
        assert!(spoilt.allowed().is_err());
        assert!(next.allowed().is_ok() && grammar.start().allowed().is_ok());
    }

    #[test]
    fn a_broken_grammar_is_an_error() {
        assert!(Grammar::new(&BOTH[1].0, "start: nothing").is_err());
        assert!(Grammar::new(&BOTH[1].0, "").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the model likes best: the text ends, is UTF-8 and JSON, and copies do not disturb each other.
        #[test]
        fn every_way_through_ends_in_the_form(choices in prop::collection::vec(any::<u32>(), 1..40), which in 0usize..2) {
            let (tokenizer, grammar) = &BOTH[which];
            let mut texts = [grammar.start(), grammar.start()];
            let mut tokens = Vec::new();
            let mut at = 0;
            while !texts[0].finished() {
                let forced = texts.each_mut().map(|text| text.forced().unwrap());
                prop_assert_eq!(&forced[0], &forced[1]);
                tokens.extend_from_slice(&forced[0]);
                if texts[0].finished() {
                    break;
                }
                let [mask, same] = texts.each_mut().map(|text| text.allowed().unwrap());
                prop_assert!(mask == same);
                let allowed: Vec<u32> = mask.iter().collect();
                let token = allowed[choices[at % choices.len()] as usize % allowed.len()];
                at += 1;
                for text in &mut texts {
                    text.accept(token).unwrap();
                }
                tokens.push(token);
                prop_assert!(tokens.len() < 400);
            }
            let text = tokenizer.decode(&tokens);
            prop_assert!(text.is_some(), "{tokens:?}");
            let json: Result<serde_json::Value, _> = serde_json::from_str(text.as_deref().unwrap_or_default());
            prop_assert!(json.is_ok(), "{text:?}");
        }
    }
}
