//! The members of a request.

use crate::text::{Kind, Role};
use crate::wire::openai::fields::{NO_GRAMMAR, RESPONSE_FORMAT, STREAM_OPTIONS, TIERS, is_token_id};
use crate::wire::shape::{Object, Rule, TOKEN_IDS};
use Rule::*;

const TEXT_ONLY: &str = "this route judges text only: a `prompt` that is a string or several";

/// The body of a request.
pub static REQUEST: Object = Object {
    required: &[],
    fields: &[
        ("prompt", PROMPT),
        ("suffix", By(Role::User, &Text(Kind::Content))),
        ("model", Rule::OPEN_WORD),
        ("stream", Plain),
        ("stream_options", Object(&STREAM_OPTIONS)),
        ("best_of", Plain),
        ("echo", Plain),
        ("frequency_penalty", Plain),
        ("logit_bias", Keyed(is_token_id, &Plain)),
        ("logprobs", Plain),
        ("max_tokens", Plain),
        ("n", Plain),
        ("presence_penalty", Plain),
        ("seed", Plain),
        ("stop", Any(Kind::Other)),
        ("temperature", Plain),
        ("top_p", Plain),
        ("user", Text(Kind::Other)),
        ("service_tier", TIERS),
        ("response_format", RESPONSE_FORMAT),
        // Sampling, as vLLM, SGLang and llama.cpp extend it.
        ("top_k", Plain),
        ("min_p", Plain),
        ("repetition_penalty", Plain),
        ("length_penalty", Plain),
        ("min_tokens", Plain),
        ("ignore_eos", Plain),
        ("add_special_tokens", Plain),
        ("skip_special_tokens", Plain),
        ("spaces_between_special_tokens", Plain),
        ("include_stop_str_in_output", Plain),
        ("truncate_prompt_tokens", Plain),
        ("prompt_logprobs", Plain),
        ("stop_token_ids", Each(&Plain)),
        ("allowed_token_ids", Each(&Plain)),
        // Prompts in a form that only the upstream's tokenizer can read.
        ("prompt_token_ids", Refuse(TEXT_ONLY)),
        ("input_ids", Refuse(TEXT_ONLY)),
        ("prompt_embeds", Refuse(TEXT_ONLY)),
        ("input_embeds", Refuse(TEXT_ONLY)),
        ("image_data", Refuse(TEXT_ONLY)),
        ("audio_data", Refuse(TEXT_ONLY)),
        ("video_data", Refuse(TEXT_ONLY)),
        ("multi_modal_data", Refuse(TEXT_ONLY)),
        ("multimodal_data", Refuse(TEXT_ONLY)),
        // Programs, which say more than their text does.
        ("grammar", Refuse(NO_GRAMMAR)),
        ("guided_choice", Refuse(NO_GRAMMAR)),
        ("guided_grammar", Refuse(NO_GRAMMAR)),
        ("guided_json", Refuse(NO_GRAMMAR)),
        ("guided_regex", Refuse(NO_GRAMMAR)),
        ("guided_whitespace_pattern", Refuse(NO_GRAMMAR)),
        ("structured_outputs", Refuse(NO_GRAMMAR)),
        ("structural_tag", Refuse(NO_GRAMMAR)),
        ("ebnf", Refuse(NO_GRAMMAR)),
        ("regex", Refuse(NO_GRAMMAR)),
    ],
};

/// One text, or several that are answered each by itself.
const PROMPT: Rule = IfNumber(
    &Refuse(TOKEN_IDS),
    &ByType(Some(&By(Role::User, &Text(Kind::Content))), Some(&Turns(&Text(Kind::Content))), None),
);
