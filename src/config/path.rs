//! Paths of routes: one path, a pattern with parameters, or everything below a path.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::Deserializer;

use crate::config::value::text;

/// Bytes that a parameter may take.
const MAX_NAME: usize = 128;

/// A path of a route: absolute, without escapes, so that it has one reading. A segment may hold a parameter, `{name}`, that
/// stands for a name of letters, digits, `-`, `_`, `.` and `@`, and where it is all of its segment `:`; instead of parameters
/// the last segment may be `*`, which stands for any rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePath {
    text: Arc<str>,
    segments: Arc<[Segment]>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Plain(Box<str>),
    /// What stands before the parameter and behind it.
    Parameter(Box<str>, Box<str>),
    /// Any rest.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Exact,
    Loose,
}

/// How many paths a route takes. One that takes fewer goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    One,
    Pattern,
    Below,
}

impl RoutePath {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut names = Vec::new();
        for segment in text.strip_prefix('/')?.split('/') {
            if segments.last() == Some(&Segment::Rest) {
                return None;
            }
            segments.push(match segment.split_once('{') {
                _ if segment == "*" => Segment::Rest,
                Some((before, rest)) => {
                    let (name, after) = rest.split_once('}')?;
                    let sound = is_parameter(name) && !names.contains(&name) && is_plain(before) && is_plain(after);
                    names.push(name);
                    sound.then(|| Segment::Parameter(before.into(), after.into()))?
                }
                None if matches!(segment, "" | "." | "..") || !is_plain(segment) => return None,
                None => Segment::Plain(segment.into()),
            });
        }
        let both = !names.is_empty() && segments.last() == Some(&Segment::Rest);
        (!both).then(|| RoutePath { text: text.into(), segments: segments.into() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn reach(&self) -> Reach {
        let has = |wanted: fn(&Segment) -> bool| self.segments.iter().any(wanted);
        if has(|segment| *segment == Segment::Rest) {
            Reach::Below
        } else if has(|segment| matches!(segment, Segment::Parameter(..))) {
            Reach::Pattern
        } else {
            Reach::One
        }
    }

    /// The order in which routes are tried: one path before patterns, these before everything below a path, and of those a
    /// longer one before a shorter.
    pub fn order(&self) -> impl Ord + use<> {
        (self.reach(), Reverse(self.text.len()))
    }

    /// Whether a canonical path is one of this route's.
    pub fn takes(&self, path: &str) -> bool {
        self.takes_as(path, Reading::Exact)
    }

    /// Whether it is, to a reader that does not regard case, and takes anything for a name.
    pub fn may_take(&self, path: &str) -> bool {
        self.takes_as(path, Reading::Loose)
    }

    /// Whether two routes could both be meant by one path, and neither goes first.
    pub fn clashes(&self, other: &RoutePath) -> bool {
        let one = |one: &Segment, other: &Segment| match (one, other) {
            (Segment::Plain(plain), parameter) | (parameter, Segment::Plain(plain)) => {
                parameter.takes(plain, Reading::Loose)
            }
            (Segment::Parameter(before, after), Segment::Parameter(other_before, other_after)) => {
                let (before, other_before) = (before.to_ascii_lowercase(), other_before.to_ascii_lowercase());
                let (after, other_after) = (after.to_ascii_lowercase(), other_after.to_ascii_lowercase());
                (before.starts_with(&other_before) || other_before.starts_with(&before))
                    && (after.ends_with(&other_after) || other_after.ends_with(&after))
            }
            _ => false,
        };
        let patterns = self.reach() == Reach::Pattern && other.reach() == Reach::Pattern;
        let same = || self.segments.len() == other.segments.len();
        self == other || (patterns && same() && self.segments.iter().zip(&*other.segments).all(|(a, b)| one(a, b)))
    }

    /// What stands for the parameters in a path that the route takes.
    pub fn names<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let parts = path.strip_prefix('/').unwrap_or_default().split('/');
        self.segments.iter().zip(parts).filter_map(|(segment, part)| match segment {
            Segment::Parameter(before, after) => part.get(before.len()..part.len().checked_sub(after.len())?),
            _ => None,
        })
    }

    /// Whether a path that no route takes was meant for this one: it is like this one's but for what stands for the first
    /// parameter, which may be any rest between.
    pub fn is_meant(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.strip_prefix('/').unwrap_or_default().split('/').collect();
        let first = self.segments.iter().position(|segment| matches!(segment, Segment::Parameter(..)));
        let (Some(first), Some(more)) = (first, parts.len().checked_sub(self.segments.len())) else {
            return self.may_take(path);
        };
        let (before, rest) = parts.split_at(first);
        let (name, after) = rest.split_at(more + 1);
        let name = name.join("/");
        let parts = before.iter().copied().chain([&*name]).chain(after.iter().copied());
        self.segments.iter().zip(parts).all(|(segment, part)| segment.takes(part, Reading::Loose))
    }

    fn takes_as(&self, path: &str, reading: Reading) -> bool {
        let Some(path) = path.strip_prefix('/') else { return false };
        let mut parts = path.split('/');
        for segment in &*self.segments {
            match (segment, parts.next()) {
                (Segment::Rest, Some(first)) => return !first.is_empty(),
                (segment, Some(part)) if segment.takes(part, reading) => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

impl Segment {
    fn takes(&self, part: &str, reading: Reading) -> bool {
        let same = |one: &str, other: &str| match reading {
            Reading::Exact => one == other,
            Reading::Loose => one.eq_ignore_ascii_case(other),
        };
        match self {
            Segment::Plain(plain) => same(plain, part),
            Segment::Parameter(before, after) => {
                let Some(end) = part.len().checked_sub(after.len()).filter(|end| *end > before.len()) else {
                    return false;
                };
                let around = part.get(..before.len()).zip(part.get(end..));
                let all = before.is_empty() && after.is_empty();
                around.is_some_and(|(first, last)| same(before, first) && same(after, last))
                    && (reading == Reading::Loose || part.get(before.len()..end).is_some_and(|name| is_name(name, all)))
            }
            Segment::Rest => false,
        }
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for RoutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "an absolute path such as \"/v1/chat/completions\" or \"/v1beta/models/{model}:generateContent\", \
                        without escapes, query, `.`, `..` or empty segments; a `pass` route's may end in `/*`";
        text(deserializer, expected, RoutePath::parse)
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:@!$&'()+,=".contains(&b))
}

fn is_parameter(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// What a parameter may be. `all`: of its segment. Where a colon stands behind a parameter none stands in it, or readers could
/// part them at two places.
fn is_name(name: &str, all: bool) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b) || (all && b == b':');
    name.len() <= MAX_NAME
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATTERN: &str = "/v1beta/models/{model}:generateContent";

    fn path(text: &str) -> RoutePath {
        RoutePath::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn paths_are_plain() {
        for (good, reach) in [
            ("/v1/chat/completions", Reach::One),
            ("/v1/models/a:b", Reach::One),
            ("/v1/*", Reach::Below),
            ("/*", Reach::Below),
            (PATTERN, Reach::Pattern),
            ("/openai/deployments/{deployment}/chat/completions", Reach::Pattern),
            ("/v1/projects/{project}/models/x-{model_2}", Reach::Pattern),
        ] {
            assert_eq!(path(good).reach(), reach, "{good}");
            assert_eq!(path(good).to_string(), good);
        }
        for bad in [
            "", "/", "v1", "*", "//", "/v1/", "/v1//a", "/v1/../a", "/v1/*/a", "/v1/a*", "/v1/%61", "/a?b", "/a#b",
            "/a;b", "/ä", "/{a", "/a}", "/{}", "/{A}", "/{a}{b}", "/{a}/{a}", "/{a b}", "/{{a}}", "/{a*}", "/{a}/*",
            "/*/{a}", "/{a}%2f", "/{a}ä",
        ] {
            assert!(RoutePath::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_parameter_is_one_plain_name() {
        for (pattern, taken, not) in [
            (
                PATTERN,
                &["gemini-2.0-flash", "gemini-2.0-flash@001", "x", "a_b"][..],
                &["", "a/b", "a:b", "a%3Ab", "a%2Fb", "-a", ".a", "..", "a b", "a+b", "{model}", "a~b", "\u{e9}"][..],
            ),
            ("/v1beta/models/pre-{model}-post", &["a", "a-post"], &["", "a:b", "-post"]),
        ] {
            let at = |model: &str| {
                let name = pattern.split_once('{').unwrap().1.split_once('}').unwrap().0;
                pattern.replace(&format!("{{{name}}}"), model)
            };
            taken.iter().for_each(|model| assert!(path(pattern).takes(&at(model)), "{model}"));
            not.iter().for_each(|model| assert!(!path(pattern).takes(&at(model)), "{model}"));
        }
        let whole = path("/model/{model}/converse");
        assert!(whole.takes("/model/anthropic.claude-v2:1/converse"));
        assert!(
            !whole.takes("/model/a/b/converse")
                && !whole.takes("/model//converse")
                && !whole.takes("/model/a/Converse")
        );
        assert!(!whole.takes("/model/a/converse/b") && !whole.takes("/model/a") && !whole.takes("model/a/converse"));
        let longest = "a".repeat(MAX_NAME);
        assert!(whole.takes(&format!("/model/{longest}/converse")));
        assert!(!whole.takes(&format!("/model/{longest}a/converse")));
        assert!(!path(PATTERN).takes(PATTERN) && !path(PATTERN).takes("/v1beta/models/x:GenerateContent"));
        assert!(path(PATTERN).may_take("/V1beta/models/x:generatecontent"));
        assert!(path(PATTERN).may_take("/v1beta/models/a%5B:b:generateContent"));
        assert!(!path(PATTERN).may_take("/v1beta/models/:generateContent"));
        // Shorter than what stands around the parameter.
        assert!(
            !path("/ab{x}ba").takes("/aba") && !path("/ab{x}ba").takes("/abba") && path("/ab{x}ba").takes("/abxba")
        );
    }

    #[test]
    fn what_stands_for_parameters_is_told() {
        for (pattern, taken, names) in [
            (PATTERN, "/v1beta/models/gemini-pro:generateContent", &["gemini-pro"][..]),
            ("/{a}/b/x-{c}", "/one/b/x-two", &["one", "two"]),
            ("/v1/chat", "/v1/chat", &[]),
            ("/v1/*", "/v1/a/b", &[]),
        ] {
            assert_eq!(path(pattern).names(taken).collect::<Vec<_>>(), names, "{pattern}");
        }
    }

    #[test]
    fn what_was_meant_can_be_told() {
        let converse = path("/model/{model}/converse");
        for meant in ["/model/a/converse", "/model/a%2Fb/converse", "/model/a/b/c/converse", "/Model/a b/Converse"] {
            assert!(converse.is_meant(meant), "{meant}");
        }
        for other in
            ["/model/converse", "/model//converse", "/model/a/b", "/a/model/b/converse", "", "/", "model/a/converse"]
        {
            assert!(!converse.is_meant(other), "{other}");
        }
        let two = path("/a/{b}/c/{d}");
        assert!(two.is_meant("/a/x/y/c/z") && !two.is_meant("/a/x/c/y/z") && !two.is_meant("/a/x/c"));
        assert!(path("/v1/a").is_meant("/V1/a") && !path("/v1/a").is_meant("/v1/a/b"));
    }

    #[test]
    fn everything_below_is_below() {
        let below = path("/v1/files/*");
        assert!(below.takes("/v1/files/a") && below.takes("/v1/files/a/b"));
        assert!(!below.takes("/v1/files") && !below.takes("/v1/files/") && !below.takes("/v1/filesa"));
        assert!(path("/*").takes("/a/b") && !path("/*").takes("/"));
    }

    #[test]
    fn patterns_that_share_a_path_clash() {
        for (one, other, clash) in [
            (PATTERN, PATTERN, true),
            (PATTERN, "/v1beta/models/{m}:generateContent", true),
            (PATTERN, "/v1beta/models/{m}:streamGenerateContent", false),
            (PATTERN, "/v1beta/{kind}/{m}:generateContent", true),
            (PATTERN, "/v1beta/models/{m}", true),
            (PATTERN, "/V1BETA/models/{m}:generatecontent", true),
            (PATTERN, "/v1beta/tunedModels/{m}:generateContent", false),
            (PATTERN, "/v1beta/models/gemini-{m}", true),
            (PATTERN, "/v1beta/models/{m}:generateContent/x", false),
            // The one path goes first, and so does either before everything below.
            (PATTERN, "/v1beta/models/x:generateContent", false),
            (PATTERN, "/v1beta/*", false),
            ("/v1/*", "/v1/*", true),
            ("/{a}/b", "/a/{b}", true),
            ("/{a}/b", "/a/{b}c", false),
        ] {
            assert_eq!(path(one).clashes(&path(other)), clash, "{one} {other}");
            assert_eq!(path(other).clashes(&path(one)), clash, "{other} {one}");
        }
    }

    proptest! {
        /// What two patterns both take they clash over: routing has one answer.
        #[test]
        fn one_pattern_for_one_path(
            one in "/[ab]{0,2}\\{x\\}[ab:]{0,2}/[aAb]{1,2}",
            other in "/[ab]{0,2}\\{x\\}[ab:]{0,2}/([aAb]{1,2}|\\{y\\})",
            taken in "/[abAB:]{1,5}/[abAB]{1,2}",
        ) {
            let (one, other) = (path(&one), path(&other));
            if one.may_take(&taken) && other.may_take(&taken) {
                prop_assert!(one.clashes(&other) && other.clashes(&one));
            }
            prop_assert!(!one.takes(&taken) || one.may_take(&taken));
        }
    }
}
