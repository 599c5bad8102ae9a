//! Shapes: the files as they are written, before their names are resolved. A key that is not named here is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::Deserialize;
use serde::de::Deserializer;
use toml::Spanned;

use crate::config::cascade::ThenShape;
use crate::config::dialect::DialectShape;
use crate::config::engine::{Device, Dtype, Experts};
use crate::config::remote::{Api, EffortIn, PolicyIn, Preset, ReasoningIn};
use crate::config::settings::{Admin, Audit, HttpVersion, Limits, WindowSize, cores};
use crate::config::value::{Address, Count, Header, Margin, Name, Size, Time, Url, Verb, via};
use crate::config::{Memory, OnBlock, Parameter, RoutePath, State};
use crate::policy::{Action, Effort, Mode, OnError, Scope, Stage, Timing};
use crate::text::Media;

/// Things by name, each name and thing with its place.
pub type Named<T> = BTreeMap<Spanned<Name>, Spanned<T>>;

/// portcullis.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default = "unplaced")]
    pub server: Spanned<ServerShape>,
    #[serde(default = "unplaced")]
    pub admin: Spanned<AdminShape>,
    #[serde(default)]
    pub limits: Limits,
    pub audit: Option<Audit>,
    #[serde(default)]
    pub state: Memory,
    #[serde(default = "unplaced")]
    pub stream: Spanned<StreamShape>,
    #[serde(default)]
    pub engine: Named<EngineShape>,
    #[serde(default)]
    pub upstream: Named<UpstreamShape>,
    /// Wire forms beside those that are built in.
    #[serde(default)]
    pub dialect: Named<DialectShape>,
    #[serde(default)]
    pub route: Vec<Spanned<RouteShape>>,
    #[serde(default)]
    pub guardrail: Named<GuardrailShape>,
    /// Where NAME.toml of a guardrail is looked for.
    #[serde(default = "guardrails_dir")]
    pub guardrails_dir: PathBuf,
    /// Where ID/policy.md of a policy is looked for.
    #[serde(default = "policies_dir")]
    pub policies_dir: PathBuf,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerShape {
    pub listen: Vec<Spanned<Address>>,
    pub tls: Vec<TlsShape>,
    #[serde(deserialize_with = "via::<Count<1024>, _, _>")]
    pub workers: usize,
    #[serde(deserialize_with = "via::<Count, _, _>")]
    pub max_connections: usize,
    #[serde(deserialize_with = "via::<Time, _, _>")]
    pub drain: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsShape {
    pub listen: Spanned<Address>,
    pub cert: Spanned<PathBuf>,
    pub key: Spanned<PathBuf>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminShape {
    pub listen: Spanned<Address>,
    pub token: Option<Spanned<SecretShape>>,
    pub workbench: bool,
    pub moderations: Option<Vec<Spanned<String>>>,
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretShape {
    pub env: Option<Spanned<String>>,
    pub file: Option<Spanned<PathBuf>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamShape {
    pub window: Option<WindowSize>,
    #[serde(deserialize_with = "some::<Size<0>, _, _>")]
    pub lookahead: Option<usize>,
    #[serde(deserialize_with = "some::<Time, _, _>")]
    pub max_hold: Option<Duration>,
    #[serde(deserialize_with = "some::<Size, _, _>")]
    pub max_held: Option<usize>,
    #[serde(deserialize_with = "some::<Size<0>, _, _>")]
    pub context: Option<usize>,
}

/// Of an engine in this process, or, with a `preset`, of a remote one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineShape {
    pub model: Option<Spanned<String>>,
    pub queue: Option<Spanned<Count>>,
    pub device: Option<Spanned<Device>>,
    pub threads: Option<Spanned<Count<1024>>>,
    pub dtype: Option<Spanned<Dtype>>,
    pub experts: Option<Spanned<Experts>>,
    pub kv_cache: Option<Spanned<Size>>,
    pub step_tokens: Option<Spanned<Count<65_536>>>,
    pub sequences: Option<Spanned<Count<1024>>>,
    pub preset: Option<Spanned<Preset>>,
    pub url: Option<Spanned<Url>>,
    pub endpoints: Option<Spanned<Vec<Spanned<EndpointShape>>>>,
    pub api: Option<Spanned<Api>>,
    pub tokenizer: Option<Spanned<PathBuf>>,
    pub policy_in: Option<Spanned<PolicyIn>>,
    pub effort_in: Option<Spanned<EffortIn>>,
    pub reasoning_in: Option<Spanned<ReasoningIn>>,
    pub schema: Option<Spanned<bool>>,
    pub logprobs: Option<Spanned<bool>>,
    pub window: Option<Spanned<Size<1024>>>,
    pub credential: Option<Spanned<CredentialShape>>,
    pub ca: Option<Spanned<PathBuf>>,
    pub connect_timeout: Option<Spanned<Time>>,
    pub first_byte_timeout: Option<Spanned<Time>>,
    pub idle_timeout: Option<Spanned<Time>>,
}

/// One of a remote engine's servers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointShape {
    pub url: Spanned<Url>,
    pub weight: Option<Count<100>>,
    pub concurrency: Option<Count<10_000>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamShape {
    pub url: Spanned<Url>,
    #[serde(default)]
    pub http: HttpVersion,
    pub credential: Option<Spanned<CredentialShape>>,
    pub ca: Option<Spanned<PathBuf>>,
    #[serde(default, deserialize_with = "some::<Time, _, _>")]
    pub connect_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "some::<Time, _, _>")]
    pub first_byte_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "some::<Time, _, _>")]
    pub idle_timeout: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialShape {
    #[serde(deserialize_with = "via::<Header, _, _>")]
    pub header: HeaderName,
    /// Stands before the secret in the header.
    pub prefix: Option<Spanned<String>>,
    pub env: Option<Spanned<String>>,
    pub file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteShape {
    pub id: Spanned<Name>,
    pub path: Spanned<RoutePath>,
    #[serde(default)]
    pub methods: Option<Spanned<Vec<MethodShape>>>,
    pub upstream: Spanned<String>,
    #[serde(default)]
    pub pass: bool,
    pub dialect: Option<Spanned<String>>,
    pub query: Option<Spanned<Vec<Spanned<Parameter>>>>,
    pub guardrails: Option<Spanned<Vec<Spanned<String>>>>,
    pub pass_media: Option<Spanned<Vec<Spanned<Media>>>>,
    pub state: Option<Spanned<State>>,
    pub on_block: Option<Spanned<OnBlock>>,
    pub stream: Option<Spanned<StreamShape>>,
}

#[derive(Deserialize)]
#[serde(transparent)]
pub struct MethodShape(#[serde(deserialize_with = "via::<Verb, _, _>")] pub Method);

/// A guardrail, in its own file or as `[guardrail.NAME]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailShape {
    pub stage: Spanned<Vec<Stage>>,
    pub policy: Option<Spanned<String>>,
    pub engine: Option<Spanned<String>>,
    pub effort: Option<Spanned<Effort>>,
    pub reasoning_tokens: Option<Spanned<Count<{ 64 * 1024 }>>>,
    pub adaptive_margin: Option<Spanned<Margin>>,
    #[serde(default)]
    pub then: Vec<Spanned<ThenShape>>,
    pub patterns: Option<Spanned<PatternsShape>>,
    pub on_error: OnError,
    #[serde(default = "deadline", deserialize_with = "via::<Time, _, _>")]
    pub deadline: Duration,
    pub scope: Option<Spanned<Scope>>,
    #[serde(default)]
    pub mode: Mode,
    pub timing: Option<Spanned<Timing>>,
    pub actions: Spanned<BTreeMap<Spanned<String>, Spanned<Action>>>,
    #[serde(default)]
    pub masks: BTreeMap<Spanned<String>, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatternsShape {
    #[serde(default)]
    pub builtin: Vec<Spanned<String>>,
    /// Regular expressions, by label.
    #[serde(default)]
    pub regex: BTreeMap<Spanned<String>, Spanned<String>>,
    /// Words and phrases, by label.
    #[serde(default)]
    pub words: BTreeMap<Spanned<String>, Spanned<Vec<String>>>,
}

impl Default for ServerShape {
    fn default() -> Self {
        let drain = Duration::from_secs(30);
        ServerShape { listen: Vec::new(), tls: Vec::new(), workers: cores(), max_connections: 10_000, drain }
    }
}

impl Default for AdminShape {
    fn default() -> Self {
        let listen = Spanned::new(0..0, Address(Admin::DEFAULT_LISTEN));
        AdminShape { listen, token: None, workbench: true, moderations: None }
    }
}

/// A section that was not written stands at the file's start.
fn unplaced<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}

fn some<'de, T, U, D>(deserializer: D) -> Result<Option<U>, D::Error>
where
    T: Deserialize<'de> + Into<U>,
    D: Deserializer<'de>,
{
    via::<T, U, D>(deserializer).map(Some)
}

fn guardrails_dir() -> PathBuf {
    "guardrails".into()
}

fn policies_dir() -> PathBuf {
    "policies".into()
}

fn deadline() -> Duration {
    Duration::from_secs(10)
}
