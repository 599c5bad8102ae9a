//! Finding a policy: by its name among those that lie in the policies' folder, or by the path of its file.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::policy::{Policy, PolicyError};

/// The file of a policy in its folder.
const FILE: &str = "policy.md";

/// No policy is larger: what is, was named by mistake.
const MAX_FILE: u64 = 4 << 20;

/// Why there is no such policy.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error("no policy is named `{}`; {}; a path is taken as well, such as ./my-policy.md", .name.escape_debug(), there(.folder, .known))]
    Unknown { name: String, folder: PathBuf, known: Vec<String> },
    #[error("can't read the policy `{}`: {error}", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}:{}:{}: {}{}", .path.display(), .error.line, .error.column, .error.problem, help(.error))]
    Faulty { path: PathBuf, error: PolicyError },
}

/// The policy of this name under `folder`, or in the file or folder of this path: what holds a `/` or ends in `.md` is one.
pub fn find(folder: &Path, name: &str) -> Result<Arc<Policy>, FindError> {
    let is_path = name.contains(['/', '\\']) || name.ends_with(".md") || matches!(name, "." | "..");
    let path = if is_path { PathBuf::from(name) } else { folder.join(name) };
    let path = if path.is_dir() { path.join(FILE) } else { path };
    if !is_path && (name.is_empty() || !path.ends_with(FILE) || !path.is_file()) {
        return Err(FindError::Unknown { name: name.into(), folder: folder.into(), known: names(folder) });
    }
    read(&path).map(Arc::new)
}

/// The names of the policies under `folder`, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join(FILE).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The text of the policy of this name under `folder`, front matter included: what can be edited.
pub fn source(folder: &Path, name: &str) -> Result<String, FindError> {
    // One folder's name and no path: what `names` would list.
    let is_name = Path::new(name).file_name().is_some_and(|own| own == name);
    let path = folder.join(name).join(FILE);
    if !is_name || !path.is_file() {
        return Err(FindError::Unknown { name: name.into(), folder: folder.into(), known: names(folder) });
    }
    text(&path)
}

fn read(path: &Path) -> Result<Policy, FindError> {
    let text = text(path)?;
    Policy::parse(&id(path), &text).map_err(|error| FindError::Faulty { path: path.into(), error })
}

fn text(path: &Path) -> Result<String, FindError> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
        match text.len() as u64 > MAX_FILE {
            true => Err(io::Error::other(format!("it is larger than {} MiB", MAX_FILE >> 20))),
            false => Ok(text),
        }
    };
    read().map_err(|error| FindError::Unreadable { path: path.into(), error })
}

/// The folder's name; of a file with a name of its own, that.
fn id(path: &Path) -> String {
    let folder = || Some(fs::canonicalize(path).ok()?.parent()?.file_name()?.to_string_lossy().into_owned());
    let own = if path.ends_with(FILE) { folder() } else { None };
    own.or_else(|| Some(path.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default()
}

fn there(folder: &Path, known: &[String]) -> String {
    match known {
        [] => format!("there is none in `{}`", folder.display()),
        known => format!("known in `{}`: {}", folder.display(), known.join(", ")),
    }
}

fn help(error: &PolicyError) -> String {
    error.help.map(|help| format!("; {help}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "+++\nform = \"binary\"\nlabels = [{ label = \"BAD\", reply = \"1\" }, { label = \"FINE\", reply = \"0\", safe = true }]\n+++\nText.";

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(FILE), GOOD).unwrap();
        }
        fs::write(dir.path().join("own.md"), GOOD).unwrap();
        fs::write(dir.path().join("faulty.md"), "+++\nform = 3\n+++\nText.").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        dir
    }

    #[test]
    fn a_policy_is_found_by_name_and_by_path() {
        let dir = folder();
        let at = |name: &str| dir.path().join(name).display().to_string();
        for (name, id) in [("a".into(), "a"), (at("a"), "a"), (at("b/policy.md"), "b"), (at("own.md"), "own")] {
            assert_eq!(&*find(dir.path(), &name).unwrap().id, id, "{name}");
        }
        assert_eq!(names(dir.path()), ["a", "b"]);
        assert_eq!(source(dir.path(), "a").unwrap(), GOOD);
        for wrong in ["../a", "c", "empty", ""] {
            assert!(source(dir.path(), wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        let dir = folder();
        let error = |name: &str| find(dir.path(), name).unwrap_err().to_string();
        for name in ["c", "empty", ""] {
            let error = error(name);
            assert!(error.contains(&format!("`{name}`")) && error.contains(": a, b;"), "{error}");
        }
        let missing = error("./not-there.md");
        assert!(missing.starts_with("can't read the policy `./not-there.md`: "), "{missing}");
        let faulty = error(&dir.path().join("faulty.md").display().to_string());
        assert!(faulty.contains("faulty.md:2:8: "), "{faulty}");
        assert!(find(&dir.path().join("empty"), "x").unwrap_err().to_string().contains("there is none in"));
    }
}
