//! Labels: the outcomes that a policy or a pattern set names.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// An outcome that a policy names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Arc<str>);

impl Label {
    pub fn new(name: &str) -> Self {
        Label(name.into())
    }

    /// What `parse` takes. Labels stand in headers, metrics and logs, so they hold nothing that needs quoting there.
    pub const RULE: &str = "a label is 1 to 64 letters, digits, `-`, `_`, `.` or `+`";

    /// A label as a person wrote it; `None` where it breaks [`Label::RULE`].
    pub fn parse(name: &str) -> Option<Self> {
        let fits =
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+".contains(&b));
        fits.then(|| Label::new(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
