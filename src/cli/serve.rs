//! `portcullis serve`: reads the configuration, opens the listeners, and runs until it is told to end.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::config::{self, Config, Tls};
use crate::guardrail::VerdictCache;
use crate::live::{AssembleError, Engines, Reloader, assemble};
use crate::proxy::{Listener, Server, Service};
use crate::telemetry::{AdminState, Audit, Status, Target, Telemetry, serve as serve_admin};

/// Verdicts kept, at most; each takes about half a kilobyte.
const VERDICTS: usize = 65_536;
/// At the end, lines of the audit that wait are written for at most so long.
const FLUSH: Duration = Duration::from_secs(5);

/// Serves the configuration at `path`. The exit code is 1 where it can't be served.
pub fn run(path: &Path) -> ExitCode {
    start_log();
    let colour = std::io::stderr().is_terminal();
    let config = match config::load(path) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{}", error.render(colour));
            return ExitCode::FAILURE;
        }
    };
    config.warnings.iter().for_each(|warning| eprintln!("{}\n", warning.render(colour)));
    match serve(path, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<AssembleError>() {
                Some(AssembleError(error)) => eprintln!("{}", error.render(colour)),
                None => eprintln!("error: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.server.workers)
        .thread_name("portcullis")
        .enable_all()
        .build()
        .context("can't start the worker threads")?;
    let engines = Engines::new();
    let verdicts = Arc::new(VerdictCache::new(VERDICTS));
    let live = assemble(&config, 1, &engines, verdicts.clone())?;
    let audit = match &config.audit {
        None => Audit::open(Target::None, false),
        Some(audit) if audit.file.as_os_str() == "-" => Audit::open(Target::Stdout, audit.content),
        Some(audit) => Audit::open(Target::File(audit.file.clone()), audit.content),
    };
    let audit = audit.with_context(|| {
        let file = config.audit.as_ref().map(|audit| audit.file.display().to_string());
        format!("can't open the audit file {}", file.unwrap_or_default())
    })?;
    let telemetry = Arc::new(Telemetry::new(audit, verdicts));
    telemetry.metrics.reloaded(live.generation);
    let plan = Plan::of(&config);
    let reloader = Reloader::new(path, config, live, engines);
    let ended = runtime.block_on(run_until_told(plan, reloader, telemetry.clone()));
    // What has not ended by now had its time.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if !telemetry.audit.flush(FLUSH) {
        tracing::error!("lines of the audit were lost at the end");
    }
    ended
}

/// What of the configuration is read at the start only.
struct Plan {
    server: config::Server,
    admin: config::Admin,
}

impl Plan {
    fn of(config: &Config) -> Self {
        Plan { server: config.server.clone(), admin: config.admin.clone() }
    }
}

async fn run_until_told(plan: Plan, reloader: Arc<Reloader>, telemetry: Arc<Telemetry>) -> anyhow::Result<()> {
    // Signals are caught from here on: one that comes while the listeners open must not be lost.
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let service = Service::new(reloader.current().clone(), telemetry.clone());
    let server = Arc::new(Server::new(service, plan.server.max_connections, plan.server.workers));
    let mut addresses = Vec::new();
    for address in &plan.server.listen {
        addresses.push(format!("listening on http://{}", open(&server, *address, None).await?));
    }
    for tls in &plan.server.tls {
        let config = tls_config(tls)?;
        addresses.push(format!("listening on https://{}", open(&server, tls.listen, Some(config)).await?));
    }
    let admin =
        Arc::new(Admin { reloader: reloader.clone(), telemetry: telemetry.clone(), ready: AtomicBool::new(true) });
    let socket = bind(plan.admin.listen).await?;
    addresses.push(format!("admin on http://{}", socket.local_addr()?));
    let stop_admin = Arc::new(Notify::new());
    let stopping = stop_admin.clone();
    let token = plan.admin.token.as_ref().map(|token| Arc::from(token.expose()));
    let admin_task = tokio::spawn(serve_admin(socket, token, admin.clone(), async move { stopping.notified().await }));

    announce(&addresses);
    match reloader.watch() {
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "files are not watched; SIGHUP reloads"),
    }
    tokio::spawn(count_reloads(reloader.clone(), telemetry.clone()));
    loop {
        tokio::select! {
            _ = hang_up.recv() => {
                telemetry.audit.reopen();
                // On its own: it may start a model, and the end must be heard meanwhile. It logs and counts its outcome.
                let reloader = reloader.clone();
                tokio::spawn(async move { reloader.reload().await });
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!(limit = ?plan.server.drain, "draining");
    admin.ready.store(false, Ordering::Relaxed);
    let left = tokio::select! {
        left = server.drain(plan.server.drain) => left,
        // Asked again: at once.
        _ = interrupt.recv() => server.drain(Duration::ZERO).await,
        _ = terminate.recv() => server.drain(Duration::ZERO).await,
    };
    match left {
        0 => tracing::info!("drained"),
        left => tracing::warn!(left, "connections were still open at the end of the drain"),
    }
    stop_admin.notify_one();
    admin_task.await.context("the admin listener failed")
}

/// Opens a listener and serves it.
async fn open(
    server: &Arc<Server>,
    address: std::net::SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> anyhow::Result<std::net::SocketAddr> {
    let socket = bind(address).await?;
    let bound = socket.local_addr()?;
    tokio::spawn(server.clone().serve(Listener { socket, tls }));
    Ok(bound)
}

async fn bind(address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
}

fn tls_config(tls: &Tls) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("can't read certificates from {}", tls.cert.display()))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .with_context(|| format!("can't read a private key from {}", tls.key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("{} and {} don't belong together", tls.cert.display(), tls.key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Says on standard output where it listens: scripts wait for these lines.
fn announce(addresses: &[String]) {
    let mut out = std::io::stdout().lock();
    for address in addresses {
        // A closed pipe is no reason not to serve.
        let _ = writeln!(out, "{address}");
    }
    let _ = out.flush();
}

async fn count_reloads(reloader: Arc<Reloader>, telemetry: Arc<Telemetry>) {
    let mut status = reloader.subscribe();
    let mut failures = status.borrow_and_update().failures;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().clone();
        if now.failures > failures {
            failures = now.failures;
            telemetry.metrics.reload_failed();
        } else {
            telemetry.metrics.reloaded(now.generation);
        }
    }
}

/// What the admin listener shows.
struct Admin {
    reloader: Arc<Reloader>,
    telemetry: Arc<Telemetry>,
    ready: AtomicBool,
}

impl AdminState for Admin {
    fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> String {
        self.telemetry.metrics.encode()
    }

    fn status(&self) -> Status {
        let status = self.reloader.status();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            generation: status.generation,
            digest: status.digest.to_string(),
            loaded_at: status.loaded_at,
            last_reload_error: status.last_error,
        }
    }
}

/// Logs to standard error, by `RUST_LOG`; Pingora's lines can quote requests, so they stay out below warnings.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = ["pingora_core=warn", "pingora_proxy=off"].into_iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let colour = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
    // A panic's message may quote content: the place must do.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a part of the program failed");
    }));
}
