//! What is wrong with a dialect of the file, told where it is.

use crate::{ACME, load_text};

/// Name, what is replaced, and by what.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("a_built_in_name", "dialect.acme", "dialect.gemini"),
    ("unknown_dialect", "dialect = \"acme\"", "dialect = \"acne\""),
    ("unknown_key", "numbers = [\"/temperature\"]", "number = [\"/temperature\"]"),
    ("no_refusal", "refusal =", "# refusal ="),
    ("refusal_is_not_json", "\"{code}\"}}'", "{code}}}'"),
    ("refusal_with_a_key_twice", "\"code\": \"{code}\"", "\"message\": \"{code}\""),
    ("refusal_with_an_unknown_word", "{code}", "{cod}"),
    ("no_pointer", "\"/preamble\"", "\"preamble\""),
    ("pointer_with_an_index", "\"/messages/*/content/*/text\"", "\"/messages/*/content/0/text\""),
    ("pointer_with_an_open_end", "\"/preamble\"", "\"/preamble/\""),
    ("a_place_twice", "\"/messages/*/content/*/text\"", "\"/messages/*/content\""),
    ("a_place_of_two_sorts", "numbers = [\"/temperature\"]", "numbers = [\"/temperature\", \"/preamble\"]"),
    ("the_role_is_no_text", "\"/preamble\"", "\"/messages/*/role\""),
    ("below_what_is_whole", "\"/preamble\"", "\"/tools/*/description\""),
    ("above_what_is_left_out", "\"/usage/tokens\"", "\"/choices/*/logprobs/*/token\""),
    ("turns_are_no_list", "turns = \"/messages/*\"", "turns = \"/messages\""),
    ("a_role_that_is_a_pointer", "turns =", "role = \"/role\"\nturns ="),
    ("a_word_of_two_roles", "turns =", "roles = { user = [\"human\"], assistant = [\"bot\", \"human\"] }\nturns ="),
    ("who_speaks_in_a_turn", "system = [\"/preamble\"]", "system = [\"/messages/*/text\"]"),
    ("choices_are_no_list", "choices = \"/choices/*\"", "choices = \"/choices\""),
    ("elements_are_left_out", "\"/choices/*/logprobs\"", "\"/logprobs/*\""),
    ("again_of_no_text", "\"/whole\" = \"/piece\"", "\"/whole\" = \"/usage/tokens\""),
    ("again_of_an_array", "\"/whole\" = \"/piece\"", "\"/whole\" = \"/choices/*/text\""),
    ("stream_of_another_type", "{ member = \"/stream\" }", "true"),
    ("stream_by_two", "{ member = \"/stream\" }", "{ member = \"/stream\", paths = [\"/a\"] }"),
    ("a_stream_that_nobody_asks_for", "stream = { member = \"/stream\" }\n", ""),
    ("framing_without_events", "framing = \"sse\"", "framing = \"json\""),
    ("framing_without_names", "framing = \"sse\"", "framing = \"ndjson\""),
    ("a_stream_without_an_end", "end = [\"/type=end\"]\nmark = \"[DONE]\"", ""),
    ("a_mark_in_lines", "mark = \"[DONE]\"", "mark = \"\\n\""),
    ("a_sign_that_never_stands", "\"/type=end\"", "\"/type=ent\""),
    ("a_sign_without_a_word", "\"/type=end\"", "\"/type=\""),
    ("an_event_name_of_any_word", "name = \"/type\"", "name = \"/piece\""),
    ("a_cut_that_is_not_json", "\"finish\": \"{finish}\"}'", "\"finish\": \"{finish}\"'"),
    ("a_cut_that_says_nothing", "cut = ['{\"type\": \"end\", \"finish\": \"{finish}\"}']", "cut = []"),
    ("no_cut", "cut =", "failed ="),
    ("a_cut_with_a_word_of_replies", "{finish}", "{text}"),
    ("a_message_without_a_place", "\"choices\": [{\"text\": \"{text}\"}]", "\"choices\": []"),
    ("a_message_without_events", "stream = ['{\"type\": \"piece\"", "# stream = ['{\"type\": \"piece\""),
];

#[test]
fn every_mistake_is_shown_where_it_is() {
    assert!(load_text(ACME).unwrap().warnings.is_empty());
    let mut shown = String::new();
    for (name, from, to) in MISTAKES {
        assert!(ACME.contains(from), "{name}: the piece to replace is there");
        let complaint = load_text(&ACME.replace(from, to)).expect_err(name);
        shown.push_str(&format!("=== {name}\n{complaint}\n\n"));
    }
    insta::assert_snapshot!("dialect_mistakes", shown);
}

#[test]
fn a_stream_that_is_asked_for_and_not_described_is_a_mistake() {
    let (before, rest) = ACME.split_once("[dialect.acme.stream]").unwrap();
    let (_, after) = rest.split_once("[dialect.acme.reply]").unwrap();
    let complaint = load_text(&format!("{before}[dialect.acme.reply]{after}")).unwrap_err();
    assert!(complaint.contains("`acme` does not say what a stream is"), "{complaint}");
}

#[test]
fn a_dialect_that_nobody_speaks_is_a_warning() {
    let other = ACME.replace("dialect = \"acme\"", "dialect = \"openai_chat\"");
    let warnings: Vec<String> = load_text(&other).unwrap().warnings.iter().map(|w| w.render(false)).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("no route has the dialect `acme`"), "{warnings:?}");
}
