//! Resolving: from the written file to a configuration in which every name stands for something.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use toml::Spanned;

use crate::config::catalogue::Catalogue;
use crate::config::diagnostic::SourceFile;
use crate::config::dialect::dialect;
use crate::config::engine::{Engine, EngineRun, engine};
use crate::config::load::Reader;
use crate::config::remote::EndpointAt;
use crate::config::route::routes;
use crate::config::settings::{Admin, Audit, Server, Stream, Tls, Upstream, WindowSize};
use crate::config::shape::{AdminShape, CredentialShape, File, SecretShape, ServerShape, StreamShape, UpstreamShape};
use crate::config::value::{Address, Name, Url};
use crate::config::{Config, Diagnostic, Origin, Secret, doubt};

/// Checks a whole file. `None` only after a problem was noted; a problem can be noted and a configuration returned.
pub fn config(reader: &mut Reader<'_>, source: &Arc<SourceFile>, file: File) -> Option<Config> {
    let top = Origin::new(source, 0..0);
    let mut taken = BTreeMap::new();
    let mut admin_shape = file.admin;
    let moderations = admin_shape.get_mut().moderations.take();
    let admin = admin(reader, &top, admin_shape, &mut taken);
    let server = server(reader, &top, file.server, &mut taken);
    let at_stream = top.with(file.stream.span());
    let defaults = stream(reader, &at_stream, file.stream.get_ref(), Stream::default());
    let engines = file.engine.into_iter().map(|(name, shape)| {
        let engine = engine(reader, &top, name.get_ref(), shape).map(Arc::new);
        (name.into_inner().0, engine)
    });
    let engines: BTreeMap<Arc<str>, Option<Arc<Engine>>> = engines.collect();
    engines.values().flatten().for_each(|engine| not_ourselves(reader, engine, &taken));
    let upstreams: BTreeMap<Arc<str>, Option<Arc<Upstream>>> = file
        .upstream
        .into_iter()
        .map(|(name, shape)| (name.get_ref().0.clone(), upstream(reader, &top, name, shape, &taken)))
        .collect();
    let dialects = file.dialect.into_iter().map(|(name, shape)| {
        let own = dialect(reader, &top, &name, shape.into_inner());
        (name.get_ref().0.clone(), (top.with(name.span()), own))
    });
    let mut catalogue = Catalogue {
        dialects: dialects.collect(),
        engines,
        guardrails_dir: reader.path(&file.guardrails_dir),
        policies_dir: reader.path(&file.policies_dir),
        inline: file.guardrail.keys().map(|name| (name.get_ref().0.clone(), top.with(name.span()))).collect(),
        guardrails: BTreeMap::new(),
        policies: BTreeMap::new(),
    };
    for (name, shape) in file.guardrail {
        catalogue.inline_guardrail(reader, &top, name, shape);
    }
    let moderations = moderations.map(|named| moderations_by(reader, &mut catalogue, &top, named));
    let no_routes = file.route.is_empty();
    let routes = routes(reader, &mut catalogue, &upstreams, defaults.unwrap_or_default(), &top, file.route);
    if no_routes {
        let problem = Diagnostic::error(&top, "there is no route, so every request would be refused");
        reader.problem(problem.help("add one: [[route]] with id, path, upstream, dialect and guardrails"));
    }
    catalogue.warn_of_unused(reader, &routes);
    doubt::warn(reader, &routes);
    let audit = file.audit.map(|audit| Audit {
        file: if audit.file.as_os_str() == "-" { audit.file } else { reader.path(&audit.file) },
        ..audit
    });
    let (sources, warnings) = reader.finish();
    Some(Config {
        server: server?,
        admin: Admin { moderations, ..admin? },
        audit,
        limits: file.limits,
        memory: file.state,
        routes,
        guardrails: catalogue.guardrails.into_values().flatten().collect(),
        engines: catalogue.engines.into_iter().filter_map(|(name, engine)| Some((name, engine?))).collect(),
        policies_dir: catalogue.policies_dir,
        sources,
        warnings,
    })
}

/// The effect of a written stream section over the defaults.
pub fn stream(reader: &mut Reader<'_>, at: &Origin, shape: &StreamShape, defaults: Stream) -> Option<Stream> {
    let stream = Stream {
        window: shape.window.unwrap_or(defaults.window),
        lookahead: shape.lookahead.unwrap_or(defaults.lookahead),
        max_hold: shape.max_hold.unwrap_or(defaults.max_hold),
        max_held: shape.max_held.unwrap_or(defaults.max_held),
        context: shape.context.unwrap_or(defaults.context),
    };
    match stream.window {
        WindowSize::Bytes(window) if window.saturating_add(stream.lookahead) > stream.max_held => {
            let title = format!("max_held ({} bytes) is less than window and lookahead together", stream.max_held);
            let problem = Diagnostic::error(at, title).label("no window could ever fill");
            reader.problem(problem.help("raise max_held, or lower window or lookahead"));
            None
        }
        _ => Some(stream),
    }
}

/// Two listeners can't share an address; port 0 is a new one each time.
fn listen(
    reader: &mut Reader<'_>,
    top: &Origin,
    taken: &mut BTreeMap<SocketAddr, Origin>,
    address: &Spanned<Address>,
) -> SocketAddr {
    let at = top.with(address.span());
    let address = address.get_ref().0;
    if address.port() != 0
        && let Some(first) = taken.insert(address, at.clone())
    {
        let problem =
            Diagnostic::error(&at, format!("two listeners take the address {address}")).label("taken again here");
        reader.problem(match first.is_unplaced() {
            true => problem.help("the admin listener takes it by default: set another as [admin] listen"),
            false => problem.other(&first, "first taken here"),
        });
    }
    address
}

fn server(
    reader: &mut Reader<'_>,
    top: &Origin,
    shape: Spanned<ServerShape>,
    taken: &mut BTreeMap<SocketAddr, Origin>,
) -> Option<Server> {
    let at = top.with(shape.span());
    let shape = shape.into_inner();
    if shape.listen.is_empty() && shape.tls.is_empty() {
        let problem = Diagnostic::error(&at, "there is no address to listen on");
        reader.problem(problem.help("add [server] with listen = [\"127.0.0.1:8080\"], or [[server.tls]]"));
        return None;
    }
    let tls = shape.tls.iter().map(|written| {
        let listen = listen(reader, top, taken, &written.listen);
        let mut file = |path: &Spanned<PathBuf>, what| {
            let at = top.with(path.span());
            let path = reader.path(path.get_ref());
            if !path.is_file() {
                let title = format!("there is no {what} file `{}`", path.display());
                reader.problem(Diagnostic::error(&at, title).label("expected a PEM file"));
            }
            path
        };
        Tls { listen, cert: file(&written.cert, "certificate"), key: file(&written.key, "key") }
    });
    let tls = tls.collect();
    let listen = shape.listen.iter().map(|address| listen(reader, top, taken, address)).collect();
    let ServerShape { workers, max_connections, drain, .. } = shape;
    Some(Server { listen, tls, workers, max_connections, drain })
}

fn admin(
    reader: &mut Reader<'_>,
    top: &Origin,
    shape: Spanned<AdminShape>,
    taken: &mut BTreeMap<SocketAddr, Origin>,
) -> Option<Admin> {
    let shape = shape.into_inner();
    let at = top.with(shape.listen.span());
    let listen = listen(reader, top, taken, &shape.listen);
    let token = match shape.token {
        Some(token) => Some(reader.secret(&top.with(token.span()), token.into_inner())?),
        None => None,
    };
    if token.is_none() && !listen.ip().is_loopback() {
        let problem =
            Diagnostic::error(&at, format!("the admin listener at {listen} can be reached from other machines"));
        let problem = problem.label("expected a loopback address, or a token");
        reader.problem(
            problem.help("add token = { env = \"PORTCULLIS_ADMIN_TOKEN\" } under [admin], or listen on 127.0.0.1"),
        );
        return None;
    }
    Some(Admin { listen, token, workbench: shape.workbench, moderations: None })
}

/// The ids of the policies that are named, each known.
fn moderations_by(
    reader: &mut Reader<'_>,
    catalogue: &mut Catalogue,
    top: &Origin,
    named: Vec<Spanned<String>>,
) -> Vec<Arc<str>> {
    let mut find = |name: Spanned<String>| catalogue.policy(reader, name.get_ref(), &top.with(name.span()));
    named.into_iter().filter_map(|name| Some(find(name)?.id.clone())).collect()
}

fn upstream(
    reader: &mut Reader<'_>,
    top: &Origin,
    name: Spanned<Name>,
    shape: Spanned<UpstreamShape>,
    taken: &BTreeMap<SocketAddr, Origin>,
) -> Option<Arc<Upstream>> {
    let shape = shape.into_inner();
    let at_url = top.with(shape.url.span());
    let url = shape.url.into_inner();
    if let Some((address, listener)) = taken.iter().find(|(address, _)| is_at(&url, address)) {
        let problem = Diagnostic::error(&at_url, format!("the upstream `{}` is this proxy itself", name.get_ref().0));
        let problem = problem.label("every request would come back").help("name the API's own address");
        reader.problem(match listener.is_unplaced() {
            true => problem,
            false => problem.other(listener, format!("it listens on {address} itself")),
        });
    }
    let credential = match shape.credential {
        Some(written) => Some(credential(reader, top, name.get_ref(), written, &[(&url, &at_url)])?),
        None => None,
    };
    let ca = match shape.ca {
        Some(path) => Some(Arc::new(authorities(reader, &top.with(path.span()), path.get_ref())?)),
        None => None,
    };
    Some(Arc::new(Upstream {
        name: name.into_inner().0,
        url,
        http: shape.http,
        credential,
        ca,
        connect_timeout: shape.connect_timeout.unwrap_or(Duration::from_secs(5)),
        first_byte_timeout: shape.first_byte_timeout.unwrap_or(Duration::from_secs(120)),
        idle_timeout: shape.idle_timeout.unwrap_or(Duration::from_secs(60)),
    }))
}

/// A remote engine must not be asked at this proxy, which would ask it again about what it is asked.
fn not_ourselves(reader: &mut Reader<'_>, engine: &Engine, taken: &BTreeMap<SocketAddr, Origin>) {
    let EngineRun::Remote(remote) = &engine.run else { return };
    let here = |at: &EndpointAt| taken.keys().any(|listener| is_at(&at.url, listener));
    if let Some(at) = remote.endpoints.iter().find(|at| here(at)) {
        let title = format!("the engine `{}` at {} is this proxy itself", engine.name, at.url);
        let problem = Diagnostic::error(&engine.origin, title).label("every ask would come back");
        reader.problem(problem.help("name the model's server, or let this proxy listen elsewhere"));
    }
}

/// Whether a URL leads to a listener of this machine. Names other than `localhost` are not looked up here.
fn is_at(url: &Url, listener: &SocketAddr) -> bool {
    let host: Option<IpAddr> = match url.host.as_str() {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().ok(),
    };
    let listening = listener.ip().to_canonical();
    let is_here = |ip: IpAddr| ip == listening || ip.is_unspecified() || ip.is_loopback() && listening.is_unspecified();
    let by_name = url.host == "localhost" && listening.is_loopback();
    listener.port() == url.port && (by_name || host.is_some_and(|ip| is_here(ip.to_canonical())))
}

/// A header with a secret, prefix included, that `name` sends to these URLs.
pub fn credential(
    reader: &mut Reader<'_>,
    top: &Origin,
    name: &Name,
    written: Spanned<CredentialShape>,
    to: &[(&Url, &Origin)],
) -> Option<(HeaderName, Secret)> {
    for (url, at) in to {
        let local = url.host == "localhost" || url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if !url.tls && !local {
            let warning = Diagnostic::warning(at, format!("the credential of `{}` is sent unencrypted", name.0));
            reader.warning(warning.label("expected https").help("anybody on the way can read it"));
        }
    }
    let at = top.with(written.span());
    let CredentialShape { header, prefix, env, file } = written.into_inner();
    let prefix = reader.prefix(&at, prefix);
    let secret = reader.secret(&at, SecretShape { env, file });
    Some((header, Secret::new(format!("{}{}", prefix?, secret?.expose()))))
}

/// The certificates of a PEM file.
pub fn authorities(reader: &mut Reader<'_>, at: &Origin, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    let path = reader.path(path);
    let pem = reader.bytes(&path, at, "certificate file")?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let problem = Diagnostic::error(at, format!("`{}` holds no certificates", path.display()));
            reader.problem(problem.label("expected a PEM file with BEGIN CERTIFICATE blocks"));
            None
        }
    }
}
