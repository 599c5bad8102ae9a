//! The proxy with a detector of the benchmark's own, which takes its time and finds one word: what a model does to the
//! streams, without the model.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use portcullis::config;
use portcullis::gate::WindowSize;
use portcullis::guardrail::{
    Action, Ask, DetectError, Detector, Finding, Guardrail, Identity, Mode, OnError, Scope, Stage, Timing, Verdict,
    VerdictCache,
};
use portcullis::live::{Current, Engines, Handling, Live, assemble};
use portcullis::policy::{Label, Reasoning};
use portcullis::proxy::{Listener, Server, Service};
use portcullis::telemetry::{Audit, Target, Telemetry};

use crate::{WORKERS, deployments, listen, upstream};

/// What a verdict takes.
pub const VERDICT: Duration = Duration::from_millis(50);
/// Bytes of text after which one is asked: four events.
pub const WINDOW: usize = 4 * upstream::WORD;

/// More than there are streams.
const MAX_CONNECTIONS: usize = 4096;

struct Sleeping {
    identity: Identity,
    labels: Vec<Label>,
}

#[async_trait]
impl Detector for Sleeping {
    async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
        tokio::time::sleep(VERDICT).await;
        let found = ask.segment.text.contains(upstream::FORBIDDEN.trim());
        let findings = self.labels.iter().filter(|_| found).map(|label| Finding::new(label.clone(), Vec::new()));
        Ok(Verdict { findings: findings.collect(), ..Verdict::default() })
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Every verdict is to take its time.
    fn cacheable(&self) -> bool {
        false
    }
}

/// Serves until it is killed.
pub fn run(to: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let verdicts = Arc::new(VerdictCache::new(1024));
        let live = live(to, Arc::clone(&verdicts));
        let audit = Audit::open(Target::None, false).expect("an audit that tells nobody");
        let telemetry = Arc::new(Telemetry::new(audit, verdicts, Arc::new(Vec::new)));
        let service = Service::new(Arc::new(Current::new(live)), telemetry);
        let server = Arc::new(Server::new(service, MAX_CONNECTIONS, WORKERS));
        let socket = listen();
        println!("listening on http://{}", socket.local_addr().expect("an address"));
        server.serve(Listener { socket, tls: None }).await;
    });
}

/// An ordinary deployment, and the sleeping guardrail at its output stage.
fn live(to: &str, verdicts: Arc<VerdictCache>) -> Live {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("portcullis.toml");
    let upstream = to.parse().expect("the upstream's address");
    std::fs::write(&path, deployments::text(upstream, "[]", "")).expect("write the configuration");
    let config = config::load(&path).expect("a sound configuration");
    let mut live = assemble(&config, 1, &Engines::unstarted(), verdicts).expect("a sound configuration");
    let label = Label::new("FORBIDDEN");
    let identity = Identity {
        engine: "sleeping",
        model: "sleeping".into(),
        policy: None,
        form: "binary",
        reasoning: Reasoning::NONE,
    };
    let guardrail = Arc::new(Guardrail {
        id: "sleeping".into(),
        stages: vec![Stage::Output],
        detector: Arc::new(Sleeping { identity, labels: vec![label.clone()] }),
        actions: [(label, Action::Block)].into_iter().collect(),
        masks: Default::default(),
        on_error: OnError::Block,
        deadline: Duration::from_secs(10),
        scope: Scope::Conversation,
        mode: Mode::Enforce,
        timing: Timing::Before,
    });
    for route in live.routes.iter_mut().filter_map(Arc::get_mut) {
        if let Handling::Inspect(inspect) = &mut route.handling {
            inspect.output = [Arc::clone(&guardrail)].into();
            inspect.gate.window = WindowSize::Bytes(WINDOW);
            inspect.gate.lookahead = 2 * upstream::WORD;
            inspect.gate.max_hold = Duration::from_secs(10);
            inspect.gate.observe = false;
        }
    }
    live
}
