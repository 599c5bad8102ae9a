//! What the demo reads from `portcullis.toml`: where everything listens, and where the programs are.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use toml::Table;

pub struct Deployment {
    /// The repository's folder.
    pub folder: PathBuf,
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub upstream: SocketAddr,
    /// The file of the audit.
    pub audit: PathBuf,
}

const CONFIG: &str = "portcullis.toml";

impl Deployment {
    pub fn read() -> anyhow::Result<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let path = folder.join(CONFIG);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: Table = text.parse().with_context(|| format!("{} is no TOML", path.display()))?;
        let get = |keys: &[&str]| {
            let mut value = table.get(keys[0]);
            for key in &keys[1..] {
                value = value.and_then(|value| value.get(key));
            }
            value.with_context(|| format!("{CONFIG} has no {}", keys.join(".")))
        };
        let listen = get(&["server", "listen"])?.get(0).and_then(|value| value.as_str()).unwrap_or_default();
        let admin = get(&["admin", "listen"])?.as_str().unwrap_or_default();
        let upstreams = get(&["upstream"])?.as_table().into_iter().flatten();
        let mut urls = upstreams.filter_map(|(_, upstream)| upstream.get("url").and_then(|url| url.as_str()));
        let url = urls.next().unwrap_or_default();
        let address = |what: &str, text: &str| {
            text.parse()
                .with_context(|| format!("{CONFIG}: {what} is to be an address with a port for the demo, not {text:?}"))
        };
        Ok(Deployment {
            proxy: address("server.listen", listen)?,
            admin: address("admin.listen", admin)?,
            upstream: address("the upstream's url", url.trim_start_matches("http://").trim_end_matches('/'))?,
            audit: folder.join(get(&["audit", "file"])?.as_str().unwrap_or("audit.jsonl")),
            folder,
        })
    }

    /// A port that is taken is best told before anything is started.
    pub fn check_ports(&self) -> anyhow::Result<()> {
        for (what, address) in
            [("the upstream", self.upstream), ("the proxy", self.proxy), ("its admin server", self.admin)]
        {
            if let Err(error) = TcpListener::bind(address) {
                bail!(
                    "{address}, where {what} is to listen, cannot be had: {error}. Stop what listens there \
                     (`ss -ltnp` shows it), or change the port in {CONFIG}"
                );
            }
        }
        Ok(())
    }

    pub fn upstream_command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(program("examples/upstream")?);
        command.args(["--delay-ms", "15", "--listen", &self.upstream.to_string()]);
        Ok(command)
    }

    pub fn proxy_command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(program("portcullis")?);
        command.args(["serve", "--config"]).arg(self.folder.join(CONFIG)).current_dir(&self.folder);
        Ok(command)
    }
}

/// A program of the same build as this one.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where am I?")?;
    // This one lies in `examples/`.
    let programs = own.ancestors().nth(2).unwrap_or(Path::new(""));
    let path = programs.join(name);
    if !path.exists() {
        bail!("{} is not built: run `make demo`, or `cargo build --bins --examples`", path.display());
    }
    Ok(path)
}
