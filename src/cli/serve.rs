//! `portcullis serve`: reads the configuration, opens the listeners, and runs until it is told to end.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use crate::admin::{AdminState, Desk, Site, Status, serve as serve_admin};
use crate::config::{self, Config, Tls};
use crate::guardrail::VerdictCache;
use crate::live::{AssembleError, Engines, Reloader, assemble};
use crate::proxy::{Listener, Server, Service};
use crate::telemetry::{Audit, Target, Telemetry};

/// Verdicts kept, at most; each takes about half a kilobyte.
const VERDICTS: usize = 65_536;
/// At the end, lines of the audit that wait are written for at most so long.
const FLUSH: Duration = Duration::from_secs(5);

/// Connections that may wait to be taken: a burst beyond it would be held up by seconds, or reset.
const BACKLOG: u32 = 4096;

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
    let engines = Arc::new(Engines::new());
    let verdicts = Arc::new(VerdictCache::new(VERDICTS));
    let live = assemble(&config, 1, &engines, verdicts.clone())?;
    let audit = open_audit(config.audit.as_ref())?;
    let (read_engines, read_endpoints) = (Arc::clone(&engines), Arc::clone(&engines));
    let telemetry = Telemetry::new(audit, verdicts, Arc::new(move || read_engines.readings()))
        .with_endpoints(Arc::new(move || read_endpoints.endpoints()));
    let telemetry = Arc::new(if config.admin.workbench { telemetry.with_recent() } else { telemetry });
    telemetry.metrics.reloads(live.generation, 0);
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

fn open_audit(plan: Option<&config::Audit>) -> anyhow::Result<Audit> {
    let Some(plan) = plan else { return Ok(Audit::open(Target::None, false)?) };
    let target = match plan.file.as_os_str() == "-" {
        true => Target::Stdout,
        false => Target::File(plan.file.clone()),
    };
    Audit::open(target, plan.content).with_context(|| format!("can't open the audit file {}", plan.file.display()))
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
    // Caught from here on: one that comes while the listeners open must not be lost.
    let mut signals = Signals::catch()?;
    let service = Service::new(reloader.current().clone(), telemetry.clone());
    let server = Arc::new(Server::new(service, plan.server.max_connections, plan.server.workers));
    let mut addresses = listen(&server, &plan.server)?;
    let admin = AdminListener::open(&plan.admin, reloader.clone(), telemetry.clone())?;
    addresses.push(format!("admin on http://{}", admin.address));
    announce(&addresses);
    watch(&reloader, &telemetry);
    while let Told::Reload = signals.next().await {
        telemetry.audit.reopen();
        // On its own: it may start a model, and the end must be heard meanwhile. It logs and counts its outcome.
        let reloader = reloader.clone();
        tokio::spawn(async move { reloader.reload().await });
    }
    admin.state.ready.store(false, Ordering::Relaxed);
    drain(&server, plan.server.drain, &mut signals).await;
    admin.close().await
}

/// The signals that it hears.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
enum Told {
    Reload,
    End,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Signals {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hang_up.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
        }
    }
}

/// Lets open exchanges end, for at most `limit`, and for no longer than until it is told again.
async fn drain(server: &Server, limit: Duration, signals: &mut Signals) {
    tracing::info!(?limit, "draining");
    let told_again = async { while let Told::Reload = signals.next().await {} };
    let left = tokio::select! {
        left = server.drain(limit) => left,
        () = told_again => server.drain(Duration::ZERO).await,
    };
    match left {
        0 => tracing::info!("drained"),
        left => tracing::warn!(left, "connections were still open at the end of the drain"),
    }
}

/// Opens the listeners for traffic; says where they are. Here and below: within a runtime.
fn listen(server: &Arc<Server>, plan: &config::Server) -> anyhow::Result<Vec<String>> {
    let mut addresses = Vec::new();
    for address in &plan.listen {
        addresses.push(format!("listening on http://{}", open(server, *address, None)?));
    }
    for tls in &plan.tls {
        let config = tls_config(tls)?;
        addresses.push(format!("listening on https://{}", open(server, tls.listen, Some(config))?));
    }
    Ok(addresses)
}

/// Opens a listener and serves it.
fn open(
    server: &Arc<Server>,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> anyhow::Result<SocketAddr> {
    let setting = if tls.is_some() { "[[server.tls]] listen" } else { "[server] listen" };
    let socket = bind(address, setting)?;
    let bound = socket.local_addr()?;
    tokio::spawn(server.clone().serve(Listener { socket, tls }));
    Ok(bound)
}

/// `setting`: where the configuration names the address.
fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // What has ended a moment ago does not keep the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("can't listen on {address} ({setting})"))
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

/// Reloads when a file changes, and counts every reload.
fn watch(reloader: &Arc<Reloader>, telemetry: &Arc<Telemetry>) {
    if let Err(error) = reloader.watch() {
        tracing::warn!(%error, "files are not watched; SIGHUP reloads");
    }
    tokio::spawn(count_reloads(reloader.clone(), telemetry.clone()));
}

async fn count_reloads(reloader: Arc<Reloader>, telemetry: Arc<Telemetry>) {
    let mut status = reloader.subscribe();
    loop {
        let (generation, failures) = {
            let now = status.borrow_and_update();
            (now.generation, now.failures)
        };
        telemetry.metrics.reloads(generation, failures);
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// The admin listener, while it serves.
struct AdminListener {
    address: SocketAddr,
    state: Arc<Admin>,
    /// Dropped, it ends.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl AdminListener {
    fn open(plan: &config::Admin, reloader: Arc<Reloader>, telemetry: Arc<Telemetry>) -> anyhow::Result<Self> {
        let socket = bind(plan.listen, "[admin] listen")?;
        let address = socket.local_addr()?;
        let desk = plan.workbench.then(|| Desk::new(reloader.clone(), telemetry.clone(), plan.moderations.clone()));
        if let Some(desk) = &desk {
            tokio::spawn(Desk::follow(Arc::downgrade(desk)));
        }
        let state = Arc::new(Admin { reloader, telemetry, ready: AtomicBool::new(true) });
        let token = plan.token.as_ref().map(config::Secret::expose);
        let site = Arc::new(Site::new(token, address, state.clone(), desk));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve_admin(socket, site, async move {
            // Nothing is ever sent.
            let _ = stopped.await;
        }));
        Ok(AdminListener { address, state, stop, task })
    }

    async fn close(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.task.await.context("the admin listener failed")
    }
}

/// What it shows.
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
            needs_restart: status.needs_restart,
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
