//! The JSON form of a reply: the grammar that it is made under, and how it is read. Both say the same.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::guardrail::{Category, Confidence, DetectError, Grounds};
use crate::policy::{Policy, PolicyLabel};

/// How a reply begins, so that the first thing decided is the label.
#[cfg(feature = "libtorch")]
pub const HEAD: &str = "{\"violation\":";

/// Characters of a category and of a rule's id, at most.
const CODE: usize = 32;
const RULE_IDS: usize = 3;
/// One or two sentences.
const RATIONALE: usize = 240;
const EXCERPT: usize = 128;
const EXCERPTS: usize = 4;

/// Tokens of a reply after the value of `violation`, at most: no token has less than a byte, no character in a string more
/// than four, and the rest of the form less than 160.
pub const BUDGET: usize = 4 * (CODE + RULE_IDS * CODE + RATIONALE + EXCERPTS * EXCERPT) + 160;

const NOT_THE_FORM: &str = "it is not the JSON object that the form asks for";

/// A reply. Unknown and repeated keys are errors.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonReply {
    violation: Value,
    /// Has to be there, if only as null.
    #[serde(deserialize_with = "Option::deserialize")]
    policy_category: Option<String>,
    #[serde(default)]
    rule_ids: Vec<String>,
    #[serde(default)]
    confidence: Option<Confidence>,
    #[serde(default)]
    rationale: Option<String>,
    #[serde(default)]
    excerpts: Vec<String>,
}

/// The grammar of what follows the value of `violation`, for `model::Grammar`: keys in the order of the guide, all but
/// the first may be left out, no white space between them.
#[cfg(feature = "libtorch")]
pub fn grammar(policy: &Policy) -> String {
    let category = if policy.categories.is_empty() {
        "CODE".to_owned()
    } else {
        // A category has no character that would need an escape.
        let quoted: Vec<String> = policy.categories.iter().map(|category| format!(r#""\"{category}\"""#)).collect();
        quoted.join(" | ")
    };
    let string = |name: &str, most: usize| format!(r#"{name}: /"([^"\\\x00-\x1F]|\\["\\nrt]){{0,{most}}}"/"#);
    let list = |item: &str, most: usize| format!(r#"("]" | {item} ("," {item}){{0,{}}} "]")"#, most - 1);
    [
        r#"start: ",\"policy_category\":" category rule_ids? confidence? rationale? excerpts? "}""#.to_owned(),
        format!(r#"category: "null" | {category}"#),
        format!(r#"rule_ids: ",\"rule_ids\":[" {}"#, list("CODE", RULE_IDS)),
        r#"confidence: ",\"confidence\":" ("\"high\"" | "\"medium\"" | "\"low\"")"#.to_owned(),
        r#"rationale: ",\"rationale\":" RATIONALE"#.to_owned(),
        format!(r#"excerpts: ",\"excerpts\":[" {}"#, list("EXCERPT", EXCERPTS)),
        string("CODE", CODE),
        string("RATIONALE", RATIONALE),
        string("EXCERPT", EXCERPT),
    ]
    .join("\n")
}

/// The same as a JSON schema, of the whole reply: for a server that knows no other grammar.
pub fn schema(policy: &Policy) -> Value {
    let replies = policy.labels.iter().filter_map(|label| serde_json::from_str::<Value>(&label.reply).ok());
    let category = if policy.categories.is_empty() {
        json!({ "type": ["string", "null"] })
    } else {
        let named = policy.categories.iter().map(|category| json!(&**category)).chain([Value::Null]);
        json!({ "enum": named.collect::<Vec<_>>() })
    };
    let strings = |most: usize| json!({ "type": "array", "items": { "type": "string" }, "maxItems": most });
    json!({
        "type": "object",
        "properties": {
            "violation": { "enum": replies.collect::<Vec<_>>() },
            "policy_category": category,
            "rule_ids": strings(RULE_IDS),
            "confidence": { "enum": ["high", "medium", "low"] },
            "rationale": { "type": "string" },
            "excerpts": strings(EXCERPTS),
        },
        "required": ["violation", "policy_category"],
        "additionalProperties": false,
    })
}

impl JsonReply {
    /// Reads a reply whose label is the JSON value `violation`, and `tail` what follows it.
    #[cfg(feature = "libtorch")]
    pub fn read(violation: &str, tail: &str) -> Result<Self, DetectError> {
        let reply: JsonReply = serde_json::from_str(&format!("{HEAD}{violation}{tail}"))
            .map_err(|_| DetectError::Unparseable(NOT_THE_FORM))?;
        // The tail could have gone on with the value.
        if !serde_json::from_str::<Value>(violation).is_ok_and(|expected| expected == reply.violation) {
            return Err(DetectError::Unparseable("`violation` is not one of the policy's replies"));
        }
        Ok(reply)
    }

    /// Reads a whole reply, and tells which of the labels it names. White space around and in it means nothing.
    pub fn of<'l>(content: &str, labels: &'l [PolicyLabel]) -> Result<(&'l PolicyLabel, Self), DetectError> {
        let reply: JsonReply = serde_json::from_str(content).map_err(|_| DetectError::Unparseable(NOT_THE_FORM))?;
        let names = |label: &&PolicyLabel| {
            serde_json::from_str::<Value>(&label.reply).is_ok_and(|violation| violation == reply.violation)
        };
        match labels.iter().find(names) {
            Some(label) => Ok((label, reply)),
            None => Err(DetectError::Unparseable("`violation` is not one of the policy's replies")),
        }
    }

    /// Puts what it says of its reasons among the grounds, and gives the excerpts. `categories` are those that the policy
    /// names.
    pub fn tell(self, grounds: &mut Grounds, categories: &[Arc<str>]) -> Vec<String> {
        let code = self.policy_category.as_deref().or(self.rule_ids.first().map(String::as_str));
        grounds.category = code.map(|code| match categories.iter().find(|named| &***named == code) {
            Some(named) => Category::Named(named.clone()),
            None => Category::Free(code.into()),
        });
        grounds.confidence = self.confidence;
        grounds.rationale = self.rationale.as_deref().map(Into::into);
        self.excerpts()
    }

    /// What of the content was meant. Nothing where the model may have had more to name than the form has room for.
    fn excerpts(self) -> Vec<String> {
        let full = self.excerpts.len() >= EXCERPTS || self.excerpts.iter().any(|e| e.chars().count() >= EXCERPT);
        if full { Vec::new() } else { self.excerpts }
    }
}

#[cfg(all(test, feature = "libtorch"))]
mod tests {
    use super::*;
    use crate::detectors::safeguard::testing::policy;
    use crate::model::{Grammar, Tokenizer};
    use crate::policy::Form;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::LazyLock;

    fn grammar_of(tokenizer: &Tokenizer, categories: &[&str]) -> Grammar {
        let mut policy = policy(Form::Json, &[("BAD", "1", false), ("SAFE", "0", true)]);
        policy.categories = categories.iter().map(|&category| category.into()).collect();
        Grammar::new(tokenizer, &grammar(&policy)).unwrap()
    }

    /// Both tokenizers, with free categories and with named ones.
    static GRAMMARS: LazyLock<Vec<(Tokenizer, [Grammar; 2])>> = LazyLock::new(|| {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/random-tiny");
        let tokenizers = [Tokenizer::o200k(), Tokenizer::open(&tiny, 512).unwrap()];
        let both = |t: &Tokenizer| [grammar_of(t, &[]), grammar_of(t, &["H1", "H2.f", "H2"])];
        tokenizers.into_iter().map(|t| (both(&t), t)).map(|(grammars, t)| (t, grammars)).collect()
    });

    /// Whether every token of the text is allowed where it stands.
    fn allows(which: usize, text: &str) -> bool {
        let (tokenizer, grammars) = &GRAMMARS[0];
        let mut state = grammars[which].start();
        let allowed = |token| state.allowed().is_ok_and(|mask| mask.contains(token)) && state.accept(token).is_ok();
        tokenizer.encode(text).unwrap().into_iter().all(allowed) && state.finished()
    }

    #[test]
    fn the_grammar_allows_the_forms_of_the_guide() {
        for tail in [
            r#","policy_category":"H2.f"}"#,
            r#","policy_category":null}"#,
            r#","policy_category":"H1","rule_ids":[],"confidence":"low","rationale":"Two \"things\": é漢🦀.","excerpts":["a\nb"]}"#,
            r#","policy_category":null,"excerpts":[]}"#,
        ] {
            for which in [0, 1] {
                assert!(allows(which, tail), "{tail}");
            }
            assert!(JsonReply::read("1", tail).is_ok());
        }
        assert!(allows(0, r#","policy_category":"of its own"}"#));
        assert!(!allows(1, r#","policy_category":"of its own"}"#));
        assert!(!allows(1, r#","policy_category":"H"}"#));
    }

    #[test]
    fn the_grammar_allows_nothing_else() {
        for tail in [
            "}",
            "0}",
            r#", "policy_category":null}"#,
            r#","policy_category":null,"violation":0}"#,
            r#","policy_category":null,"policy_category":null}"#,
            r#","policy_category":null,"confidence":"sure"}"#,
            r#","policy_category":null,"rule_ids":["1","2","3","4"]}"#,
            r#","policy_category":null}}"#,
            "",
        ] {
            assert!(!allows(0, tail), "{tail}");
        }
    }

    #[test]
    fn a_list_without_room_for_more_may_lack_some() {
        let read = |list: &str| {
            JsonReply::read("1", &format!(r#","policy_category":null,"excerpts":{list}}}"#)).unwrap().excerpts()
        };
        assert_eq!(read(r#"["a","b","c"]"#), ["a", "b", "c"]);
        assert!(read(r#"["a","b","c","d"]"#).is_empty());
        assert!(read(&format!("[{:?}]", "é".repeat(EXCERPT))).is_empty());
        assert_eq!(read(&format!("[{:?}]", "é".repeat(EXCERPT - 1))).len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Whatever the model likes best, its reply can be read, and within the budget.
        #[test]
        fn every_walk_through_the_grammar_is_a_reply(
            choices in prop::collection::vec(any::<u32>(), 1..200), which in 0usize..2, form in 0usize..2,
        ) {
            let (tokenizer, grammars) = &GRAMMARS[which];
            let mut state = grammars[form].start();
            let mut tokens = Vec::new();
            let mut choices = choices.iter().cycle();
            while !state.finished() {
                tokens.extend(state.forced().unwrap());
                if state.finished() {
                    break;
                }
                let allowed: Vec<u32> = state.allowed().unwrap().iter().collect();
                let token = allowed[*choices.next().unwrap() as usize % allowed.len()];
                state.accept(token).unwrap();
                tokens.push(token);
            }
            prop_assert!(tokens.len() <= BUDGET);
            let tail = tokenizer.decode(&tokens);
            prop_assert!(tail.is_some(), "{tokens:?}");
            let tail = tail.unwrap_or_default();
            prop_assert!(JsonReply::read("1", &tail).is_ok(), "{tail}");
        }

        /// The longest way, token by token: of all that are allowed, the shortest that does not end a string.
        #[test]
        fn the_budget_can_always_be_met(byte in prop::sample::select(vec!["\\n", "\\\"", "🦀"])) {
            let code = byte.repeat(CODE);
            let list = |item: &str, most: usize| vec![format!("\"{item}\""); most].join(",");
            let tail = format!(
                r#","policy_category":"{code}","rule_ids":[{}],"confidence":"medium","rationale":"{}","excerpts":[{}]}}"#,
                list(&code, RULE_IDS), byte.repeat(RATIONALE), list(&byte.repeat(EXCERPT), EXCERPTS),
            );
            prop_assert!(allows(0, &tail));
            prop_assert!(tail.len() <= BUDGET, "{} for {BUDGET}", tail.len());
        }
    }
}
