//! Reloading: a new configuration is read and assembled beside the one that serves, and takes its place only when all of
//! it is sound. A broken file changes nothing but the status.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as Guarded, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::config::{self, Config, ConfigError, Sources};
use crate::live::{AssembleError, Engines, Live, assemble};

/// The snapshot that serves now.
pub struct Current(ArcSwap<Live>);

impl Current {
    pub fn new(live: Live) -> Self {
        Current(ArcSwap::from_pointee(live))
    }

    /// What an exchange holds from its first byte to its last verdict.
    pub fn load(&self) -> Arc<Live> {
        self.0.load_full()
    }

    fn swap(&self, live: Live) {
        self.0.store(Arc::new(live));
    }
}

/// What became of the configuration, for people.
#[derive(Debug, Clone)]
pub struct ReloadStatus {
    /// Of the configuration that serves.
    pub generation: u64,
    pub digest: Arc<str>,
    pub loaded_at: SystemTime,
    /// Why the latest attempt failed; nothing when it did not. Shows lines of the files, no secrets.
    pub last_error: Option<String>,
    /// Failed attempts since the start.
    pub failures: u64,
    /// Sections that have changed since the start and take effect with the next.
    pub needs_restart: Vec<&'static str>,
}

/// Why the configuration that serves was kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    #[error("reading the configuration failed inside the program: {0}")]
    Panicked(String),
}

/// Editors write a file in several steps, and a deployment several files: an attempt waits for them to settle.
const SETTLE: Duration = Duration::from_millis(200);

/// Replaces the configuration that serves.
pub struct Reloader {
    path: PathBuf,
    current: Arc<Current>,
    /// What the current snapshot was made from, and its generation.
    serving: Guarded<(u64, Arc<Config>)>,
    engines: Arc<Engines>,
    /// What the process was started with.
    started: Arc<Config>,
    /// What the latest attempt read. One attempt goes on at a time.
    tried: Mutex<Sources>,
    status: watch::Sender<ReloadStatus>,
}

impl Reloader {
    /// For a process that was started with `config`, read from `path` and assembled into `live` on `engines`.
    pub fn new(path: &Path, config: Config, live: Live, engines: Arc<Engines>) -> Arc<Self> {
        let status = ReloadStatus {
            generation: live.generation,
            digest: live.digest.clone(),
            loaded_at: SystemTime::now(),
            last_error: None,
            failures: 0,
            needs_restart: Vec::new(),
        };
        let config = Arc::new(config);
        Arc::new(Reloader {
            path: path.to_owned(),
            serving: Guarded::new((live.generation, config.clone())),
            current: Arc::new(Current::new(live)),
            engines,
            tried: Mutex::new(config.sources.clone()),
            started: config,
            status: watch::Sender::new(status),
        })
    }

    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// The configuration that serves, with its generation.
    pub fn config(&self) -> (u64, Arc<Config>) {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    pub fn status(&self) -> ReloadStatus {
        self.status.borrow().clone()
    }

    /// Told after every attempt.
    pub fn subscribe(&self) -> watch::Receiver<ReloadStatus> {
        self.status.subscribe()
    }

    /// Reads the files anew, whether they have changed or not. Gives the new generation.
    pub async fn reload(&self) -> Result<u64, ReloadError> {
        let mut tried = self.tried.lock().await;
        self.attempt(&mut tried).await
    }

    /// Reloads when a file that was read, or looked for, has another content than at the latest attempt. Runs until it is
    /// aborted. Needs a tokio runtime.
    pub fn watch(self: &Arc<Self>) -> notify::Result<JoinHandle<()>> {
        let reloader = Arc::clone(self);
        let changes = Arc::new(Notify::new());
        let signal = Arc::clone(&changes);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean that events were lost. Reading our own files is not a change.
            if event.map_or(true, |event| !event.kind.is_access()) {
                signal.notify_one();
            }
        })?;
        let mut directories = Directories { watcher, watched: Vec::new() };
        Ok(tokio::spawn(async move {
            loop {
                // A directory that is watched only now may have changed just before.
                if directories.follow(&*reloader.tried.lock().await) {
                    changes.notify_one();
                }
                changes.notified().await;
                tokio::time::sleep(SETTLE).await;
                reloader.reload_changed().await;
            }
        }))
    }

    async fn reload_changed(&self) {
        let mut tried = self.tried.lock().await;
        let sources = tried.clone();
        // Other files may lie in the same directories, an audit file that grows all the time among them.
        if spawn_blocking(move || sources.changed()).await.unwrap_or(true) {
            // The outcome is in the log and the status.
            let _ = self.attempt(&mut tried).await;
        }
    }

    async fn attempt(&self, tried: &mut Sources) -> Result<u64, ReloadError> {
        let before = self.current.load();
        let generation = before.generation + 1;
        let (path, engines, verdicts) = (self.path.clone(), Arc::clone(&self.engines), Arc::clone(&before.verdicts));
        let prepared = spawn_blocking(move || -> Result<(Config, Live), ReloadError> {
            let config = config::load(&path)?;
            let live = assemble(&config, generation, &engines, verdicts)?;
            Ok((config, live))
        });
        match prepared.await.unwrap_or_else(|panic| Err(ReloadError::Panicked(panic.to_string()))) {
            Ok((config, live)) => {
                let needs_restart = config.needs_restart(&self.started);
                if !needs_restart.is_empty() {
                    tracing::warn!(sections = ?needs_restart, "these changes take effect when the process is restarted");
                }
                *tried = config.sources.clone();
                let digest = live.digest.clone();
                // Before it is told: who hears of a generation must meet it.
                self.current.swap(live);
                *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = (generation, Arc::new(config));
                tracing::info!(generation, %digest, "configuration reloaded");
                self.status.send_modify(|status| {
                    let (failures, loaded_at) = (status.failures, SystemTime::now());
                    *status = ReloadStatus { generation, digest, loaded_at, last_error: None, failures, needs_restart };
                });
                Ok(generation)
            }
            Err(error) => {
                tracing::error!("configuration not reloaded, generation {} stays:\n{error}", before.generation);
                if let Some(sources) = error.sources() {
                    *tried = sources.clone();
                }
                self.status.send_modify(|status| {
                    status.failures += 1;
                    status.last_error = Some(error.to_string());
                });
                Err(error)
            }
        }
    }
}

impl ReloadError {
    fn sources(&self) -> Option<&Sources> {
        match self {
            ReloadError::Config(error) | ReloadError::Assemble(AssembleError(error)) => Some(error.sources()),
            ReloadError::Panicked(_) => None,
        }
    }
}

/// The directories that are watched. Directories and not files: a file that an editor puts in the place of another is
/// not the one that was watched.
struct Directories {
    watcher: notify::RecommendedWatcher,
    watched: Vec<PathBuf>,
}

impl Directories {
    /// Watches where these files are. Whether a directory has come in.
    fn follow(&mut self, sources: &Sources) -> bool {
        use notify::{RecursiveMode, Watcher};
        let wanted = sources.directories();
        for gone in self.watched.extract_if(.., |directory| !wanted.contains(directory)) {
            // It may have been deleted, and its watch with it.
            let _ = self.watcher.unwatch(&gone);
        }
        let mut came = false;
        for directory in wanted {
            // Watched again each time: one that was deleted and made anew is another.
            match self.watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) if !self.watched.contains(&directory) => {
                    self.watched.push(directory);
                    came = true;
                }
                Ok(()) => {}
                Err(error) => tracing::warn!(directory = %directory.display(), %error, "can't watch for changes"),
            }
        }
        came
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::VerdictCache;
    use crate::live::RouteMatch;
    use std::fs;

    const MAIN: &str = "guardrails_dir = \"rails\"\n[server]\nlisten = [\"127.0.0.1:0\"]\n[upstream.u]\nurl = \"http://127.0.0.1:1\"\n\
        [[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\ndialect = \"openai_chat\"\nupstream = \"u\"\nguardrails = [\"words\"]\n";
    const WORDS: &str =
        "stage = [\"input\"]\non_error = \"block\"\npatterns.words.titan = [\"Titan\"]\nactions.titan = \"block\"\n";

    struct Serving {
        dir: tempfile::TempDir,
        reloader: Arc<Reloader>,
    }

    impl Serving {
        fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("rails")).unwrap();
            fs::write(dir.path().join("rails/words.toml"), WORDS).unwrap();
            let path = dir.path().join("portcullis.toml");
            fs::write(&path, MAIN).unwrap();
            let config = config::load(&path).unwrap();
            let engines = Arc::new(Engines::new());
            let live = assemble(&config, 1, &engines, Arc::new(VerdictCache::new(8))).unwrap();
            Serving { reloader: Reloader::new(&path, config, live, engines), dir }
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.dir.path().join(file), text).unwrap();
        }

        /// As editors do: a new file takes the old one's place.
        fn replace(&self, file: &str, text: &str) {
            self.write("new~", text);
            fs::rename(self.dir.path().join("new~"), self.dir.path().join(file)).unwrap();
        }

        fn routes(&self) -> Vec<String> {
            self.reloader.current().load().routes.iter().map(|route| route.path.to_string()).collect()
        }
    }

    /// Waits for the status; the bound is there only so that a failing test ends.
    async fn until(status: &mut watch::Receiver<ReloadStatus>, reached: impl FnMut(&ReloadStatus) -> bool) {
        let wait = tokio::time::timeout(Duration::from_secs(30), status.wait_for(reached));
        wait.await.expect("the reload was noticed").expect("the reloader lives");
    }

    #[tokio::test]
    async fn a_sound_change_takes_the_place_and_open_exchanges_keep_theirs() {
        let serving = Serving::start();
        let held = serving.reloader.current().load();
        serving.write("portcullis.toml", &MAIN.replace("/v1/chat", "/v2/chat"));
        assert_eq!(serving.reloader.reload().await.unwrap(), 2);
        let now = serving.reloader.current().load();
        assert!(matches!(now.route(&http::Method::POST, "/v2/chat/completions"), RouteMatch::Found(_)));
        assert!(matches!(held.route(&http::Method::POST, "/v1/chat/completions"), RouteMatch::Found(_)));
        assert!(Arc::ptr_eq(&held.verdicts, &now.verdicts), "the verdict cache lives on");
        let status = serving.reloader.status();
        assert_eq!((status.generation, status.failures, status.last_error), (2, 0, None));
        assert_eq!(status.digest, now.digest);
    }

    #[tokio::test]
    async fn a_broken_file_keeps_the_old_one_and_says_why() {
        let serving = Serving::start();
        let before = serving.reloader.current().load();
        serving.write("rails/words.toml", &WORDS.replace("titan = \"block\"", "titan = \"blok\""));
        let error = serving.reloader.reload().await.unwrap_err();
        assert!(error.to_string().contains("did you mean `block`?"), "{error}");
        assert!(Arc::ptr_eq(&before, &serving.reloader.current().load()));
        let status = serving.reloader.status();
        assert_eq!((status.generation, status.failures), (1, 1));
        assert_eq!(status.last_error, Some(error.to_string()));
        serving.write("rails/words.toml", WORDS);
        assert_eq!(serving.reloader.reload().await.unwrap(), 2);
        let status = serving.reloader.status();
        assert_eq!((status.generation, status.failures, status.last_error), (2, 1, None));
    }

    #[tokio::test]
    async fn what_is_read_at_start_only_is_named() {
        let serving = Serving::start();
        serving.write(
            "portcullis.toml",
            &MAIN.replace("[upstream.u]", "workers = 7\n[audit]\nfile = \"a\"\n[upstream.u]"),
        );
        serving.reloader.reload().await.unwrap();
        assert_eq!(serving.reloader.status().needs_restart, ["server", "audit"]);
    }

    #[tokio::test]
    async fn changes_of_files_are_noticed_by_themselves() {
        let serving = Serving::start();
        let mut status = serving.reloader.subscribe();
        let watch = serving.reloader.watch().unwrap();
        serving.replace("portcullis.toml", &MAIN.replace("/v1/chat", "/v2/chat"));
        until(&mut status, |status| status.generation == 2).await;
        assert_eq!(serving.routes(), ["/v2/chat/completions"]);
        serving.write("rails/words.toml", "stage = [");
        until(&mut status, |status| status.failures == 1).await;
        assert_eq!(serving.routes(), ["/v2/chat/completions"]);
        fs::remove_dir_all(serving.dir.path().join("rails")).unwrap();
        until(&mut status, |status| status.failures == 2).await;
        fs::create_dir(serving.dir.path().join("rails")).unwrap();
        serving.write("rails/words.toml", WORDS);
        until(&mut status, |status| status.generation == 3).await;
        watch.abort();
    }

    #[tokio::test]
    async fn other_files_beside_it_change_nothing() {
        let serving = Serving::start();
        serving.write("audit.jsonl", "{}\n");
        serving.reloader.reload_changed().await;
        serving.write("portcullis.toml", "[server");
        serving.reloader.reload_changed().await;
        // The same broken file is not tried again and again.
        serving.write("audit.jsonl", "{}\n{}\n");
        serving.reloader.reload_changed().await;
        let status = serving.reloader.status();
        assert_eq!((status.generation, status.failures), (1, 1));
    }
}
