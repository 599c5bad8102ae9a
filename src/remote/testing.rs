//! For tests: the settings of an engine that nobody has to ask.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::{Api, EffortIn, EndpointAt, PolicyIn, Preset, ReasoningIn, Remote, Url};

pub fn settings(preset: Preset, api: Api) -> Remote {
    let url = Url::parse("http://127.0.0.1:9").expect("a URL");
    Remote {
        preset,
        endpoints: vec![EndpointAt { url, weight: NonZeroU32::MIN, concurrency: 1 }],
        model: "m".into(),
        api,
        tokenizer: None,
        policy_in: PolicyIn::System,
        effort_in: EffortIn::Field,
        reasoning_in: ReasoningIn::Auto,
        schema: true,
        logprobs: true,
        credential: None,
        ca: None,
        connect_timeout: Duration::from_secs(1),
        first_byte_timeout: None,
        idle_timeout: Duration::from_secs(1),
        queue: 1,
        window: 8192,
    }
}
