//! Deployments whose prompts a remote engine judges.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use portcullis::config;
use portcullis::guardrail::{Ask, Guardrail, Listener, Priority, Stage, VerdictCache};
use portcullis::live::{Engines, Handling, assemble};
use portcullis::text::{Kind, Place, Role, Segment, SegmentId};
use tempfile::TempDir;
use tokio::time::Instant;

/// Guardrails that are ready to be asked, and the folder that they were read from.
pub struct Deployment {
    pub guardrails: Vec<Arc<Guardrail>>,
    _folder: TempDir,
}

/// What is written of one.
pub struct Written<'a> {
    /// Of `[engine.default]`, all of it.
    pub engine: &'a str,
    /// `binary` or `json`.
    pub form: &'a str,
    pub policies: usize,
    pub on_error: &'a str,
    pub deadline: Duration,
    /// A file for the engine's section to name.
    pub ca: &'a str,
}

impl Written<'_> {
    /// One guardrail for each policy.
    pub fn read(&self) -> Deployment {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a file in a folder")).expect("make the folder");
            fs::write(&path, text).expect("write the file");
        };
        let Written { engine, form, on_error, deadline, .. } = self;
        for number in 0..self.policies {
            let head = format!("+++\nform = {form:?}\nlabels = [{{ label = \"BAD\", reply = \"1\" }}, ");
            let text = format!("{{ label = \"FINE\", reply = \"0\", safe = true }}]\n+++\n{}", policy(number));
            write(&format!("policies/p{number}/policy.md"), &format!("{head}{text}"));
            write(
                &format!("guardrails/g{number}.toml"),
                &format!(
                    "stage = [\"input\"]\npolicy = \"p{number}\"\non_error = {on_error:?}\ndeadline = \"{}ms\"\n\
                     [actions]\nBAD = \"block\"\n",
                    deadline.as_millis()
                ),
            );
        }
        let names: Vec<String> = (0..self.policies).map(|number| format!("g{number}")).collect();
        write("ca.pem", self.ca);
        write(
            "portcullis.toml",
            &format!(
                "[server]\nlisten = [\"127.0.0.1:0\"]\n[upstream.u]\nurl = \"http://127.0.0.1:9\"\n\
                 [engine.default]\n{engine}\n[[route]]\nid = \"chat\"\npath = \"/v1/chat/completions\"\n\
                 dialect = \"openai_chat\"\nupstream = \"u\"\nguardrails = {names:?}\n"
            ),
        );
        let config = config::load(&folder.path().join("portcullis.toml")).unwrap_or_else(|error| panic!("{error}"));
        let live = assemble(&config, 1, &Engines::new(), Arc::new(VerdictCache::new(0)));
        let live = live.unwrap_or_else(|error| panic!("{error}"));
        let Handling::Inspect(inspect) = &live.routes[0].handling else { unreachable!("the route is judged") };
        Deployment { guardrails: inspect.before.to_vec(), _folder: folder }
    }
}

/// The text of the policy of this number.
pub fn policy(number: usize) -> String {
    format!("Policy number {number}. Answer 1 where the text is bad, else 0.")
}

/// One text of a user.
pub fn segment(text: &str) -> Segment {
    let place = Place { role: Role::User, kind: Kind::Content, turn: Some(0), editable: true };
    Segment { id: SegmentId(0), place, text: text.into(), fresh: 0, masked: Vec::new() }
}

/// An ask with a minute's time.
pub fn ask(text: &str, listener: Option<Listener>) -> Ask {
    let within = Duration::from_secs(60);
    let deadline = Instant::now() + within;
    Ask { stage: Stage::Input, segment: segment(text), priority: Priority::Blocking, deadline, within, listener }
}
