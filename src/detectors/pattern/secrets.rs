//! Secrets with a shape of their own: a literal prefix finds the place, a regex reads the token from there.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::assignment;
use super::builtin::Builtin;
use super::numbers::{after, before};

/// The secrets that a pattern set looks for, in one pass.
pub(super) struct Secrets {
    shapes: Vec<(Builtin, Left, Reader)>,
    /// Pattern `n` belongs to `shapes[owner[n]]`.
    prefixes: AhoCorasick,
    owner: Vec<usize>,
}

/// What may stand before a prefix.
#[derive(Debug, Clone, Copy)]
enum Left {
    Anything,
    NoAlphanumeric,
    /// Nothing that could be of the same token.
    NoTokenCharacter,
}

enum Reader {
    /// Matches from the prefix on.
    Token(Regex),
    /// The same, where no letter or digit follows.
    Whole(Regex),
    Block(Block),
    /// Reads the value that a name is given.
    Assignment,
}

/// A private key's block, from its first line to its last.
struct Block {
    begin: Regex,
    end: Regex,
}

struct Shape {
    builtin: Builtin,
    prefixes: &'static [&'static str],
    left: Left,
    /// Anchored. Either it matches, and the search goes on behind the match, or it fails within a bounded number of
    /// bytes (or `left` rules the place out at once): so hostile text costs linear time.
    token: &'static str,
}

const TOKENS: &[Shape] = &[
    Shape {
        builtin: Builtin::AwsAccessKey,
        prefixes: &["AKIA", "ASIA", "ABIA", "ACCA"],
        left: Left::NoAlphanumeric,
        token: r"^A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}",
    },
    Shape {
        builtin: Builtin::GithubToken,
        prefixes: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        left: Left::NoAlphanumeric,
        token: r"^(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    },
    Shape {
        builtin: Builtin::OpenaiKey,
        prefixes: &["sk-"],
        left: Left::NoAlphanumeric,
        token: r"^sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{32,})",
    },
    Shape {
        builtin: Builtin::AnthropicKey,
        prefixes: &["sk-ant-"],
        left: Left::NoAlphanumeric,
        token: r"^sk-ant-[A-Za-z0-9_-]{20,}",
    },
    Shape {
        builtin: Builtin::SlackToken,
        prefixes: &["xox", "xapp-", "hooks.slack.com/services/"],
        left: Left::NoAlphanumeric,
        token: r"(?x)^(?: xox[abeoprs]-(?:[a-z]{1,8}-)?[0-9][A-Za-z0-9-]{9,}
            | xapp-[0-9]-[A-Z0-9]{6,20}-[A-Za-z0-9-]{10,}
            | hooks\.slack\.com/services/[A-Z0-9]{6,20}/[A-Z0-9]{6,20}/[A-Za-z0-9]{16,} )",
    },
    Shape {
        builtin: Builtin::GoogleApiKey,
        prefixes: &["AIza"],
        left: Left::NoAlphanumeric,
        token: r"^AIza[A-Za-z0-9_-]{35,}",
    },
    Shape {
        builtin: Builtin::StripeKey,
        prefixes: &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"],
        left: Left::NoAlphanumeric,
        token: r"^(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/]{24,}=*)",
    },
    Shape {
        // Known as one when the second part begins: in a stream the first would else have left before the second dot.
        builtin: Builtin::Jwt,
        prefixes: &["eyJ"],
        left: Left::NoTokenCharacter,
        token: r"^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?",
    },
];

const BLOCK_BEGIN: &str = r"(?i)^-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----";
const BLOCK_END: &str = r"(?i)-----END (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----";

/// The prefix of a private key's block.
pub(super) const BEGIN: &str = "-----BEGIN ";

impl Secrets {
    /// `None` where no built-in secret is wanted. The errors are of fixed patterns: a test compiles them all.
    pub fn new(wanted: &[Builtin]) -> Result<Option<Self>, regex::Error> {
        let mut shapes = Vec::new();
        let (mut prefixes, mut owner) = (Vec::new(), Vec::new());
        let mut add = |builtin, left, reader, of: &[&'static str]| {
            prefixes.extend_from_slice(of);
            owner.extend(of.iter().map(|_| shapes.len()));
            shapes.push((builtin, left, reader));
        };
        for shape in TOKENS.iter().filter(|shape| wanted.contains(&shape.builtin)) {
            let token = ascii(shape.token)?;
            // The only one that is of a fixed length.
            let is_whole = shape.builtin == Builtin::AwsAccessKey;
            let reader = if is_whole { Reader::Whole(token) } else { Reader::Token(token) };
            add(shape.builtin, shape.left, reader, shape.prefixes);
        }
        if wanted.contains(&Builtin::PrivateKey) {
            let block = Block { begin: ascii(BLOCK_BEGIN)?, end: ascii(BLOCK_END)? };
            add(Builtin::PrivateKey, Left::Anything, Reader::Block(block), &[BEGIN]);
        }
        if wanted.contains(&Builtin::GenericSecretAssignment) {
            add(Builtin::GenericSecretAssignment, Left::Anything, Reader::Assignment, assignment::NAMES);
        }
        // Letter case is the regexes' to judge; here it costs nothing to ignore it.
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&prefixes);
        Ok(automaton.ok().filter(|_| !shapes.is_empty()).map(|prefixes| Secrets { shapes, prefixes, owner }))
    }

    /// Calls `found` with every secret in the text.
    pub fn find(&self, text: &str, mut found: impl FnMut(Builtin, Range<usize>)) {
        let mut done = vec![0; self.shapes.len()];
        for hit in self.prefixes.find_overlapping_iter(text) {
            let Some(&owner) = self.owner.get(hit.pattern().as_usize()) else { continue };
            let (Some((builtin, left, reader)), Some(done)) = (self.shapes.get(owner), done.get_mut(owner)) else {
                continue;
            };
            if hit.start() < *done || !left.admits(text, hit.start()) {
                continue;
            }
            let span = match reader {
                Reader::Token(token) => from(token, text, hit.start()),
                Reader::Whole(token) => {
                    from(token, text, hit.start()).filter(|span| !after(text, span.end, 1).is_ascii_alphanumeric())
                }
                Reader::Block(block) => block.at(text, hit.start()),
                Reader::Assignment => assignment::value_after(text, hit.range()),
            };
            if let Some(span) = span {
                *done = span.end;
                found(*builtin, span);
            }
        }
    }
}

impl Left {
    fn admits(self, text: &str, at: usize) -> bool {
        let left = before(text, at, 1);
        match self {
            Left::Anything => true,
            Left::NoAlphanumeric => !left.is_ascii_alphanumeric(),
            Left::NoTokenCharacter => !left.is_ascii_alphanumeric() && !left.is_in(b"-_"),
        }
    }
}

impl Block {
    /// To the end line, or to the end of the text: a key that has begun and not ended is no less a key.
    fn at(&self, text: &str, start: usize) -> Option<Range<usize>> {
        let body = start + self.begin.find(&text[start..])?.end();
        let end = self.end.find(&text[body..]).map_or(text.len(), |line| body + line.end());
        Some(start..end)
    }
}

/// What matches from `start` on.
fn from(token: &Regex, text: &str, start: usize) -> Option<Range<usize>> {
    token.find(&text[start..]).map(|token| start..start + token.end())
}

fn ascii(pattern: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).unicode(false).build()
}

#[cfg(test)]
mod tests {
    use crate::detectors::pattern::tests::check;

    #[test]
    fn finds_aws_access_keys() {
        check(
            "aws-access-key",
            &[
                "«AKIAIOSFODNN7EXAMPLE»",
                "key=«ASIAIOSFODNN7EXAMPLE».",
                "'«AKIAI44QH6DHBEXAMPLE»'",
                "AKIA: «AKIA234567ABCDEFGHIJ»",
                "(«ABIAIOSFODNN7EXAMPLE»)",
                "«ACCAIOSFODNN7EXAMPLE»",
                "x/«AKIAIOSFODNN7EXAMPLE»/y",
                "_«AKIAIOSFODNN7EXAMPLE»_",
                "__«AKIAIOSFODNN7EXAMPLE»__",
                "鍵«AKIAIOSFODNN7EXAMPLE»鍵",
            ],
            &[
                "AKIAIOSFODNN7EXAMPL",
                "AKIAIOSFODNN7EXAMPLEX",
                "akiaiosfodnn7example",
                "XAKIAIOSFODNN7EXAMPLE",
                "AKIAIOSFODNN1EXAMPLE",
                "AKIA IOSFODNN7EXAMPLE",
                "AKIAIOSFODNN7exampleA",
                "ASIA",
                "AKIAIOSFODNN7EXAMPLEa",
            ],
        );
    }

    #[test]
    fn finds_github_tokens() {
        check(
            "github-token",
            &[
                "«ghp_0123456789abcdefghijABCDEFGHIJ012345»",
                "«gho_0123456789abcdefghijABCDEFGHIJ012345»",
                "«ghu_0123456789abcdefghijABCDEFGHIJ012345»",
                "token «ghs_0123456789abcdefghijABCDEFGHIJ012345» x",
                "«ghr_0123456789abcdefghijABCDEFGHIJ012345».",
                "«github_pat_11ABCDEFG0123456789abc_defghijklmnop»",
                "https://«ghp_0123456789abcdefghijABCDEFGHIJ012345»@github.com",
                "x_«ghp_0123456789abcdefghijABCDEFGHIJ012345»",
            ],
            &[
                "ghp_short",
                "ghp_0123456789abcdefghijABCDEFGHIJ01234",
                "ghx_0123456789abcdefghijABCDEFGHIJ012345",
                "GHP_0123456789abcdefghijABCDEFGHIJ012345",
                "aghp_0123456789abcdefghijABCDEFGHIJ012345",
                "ghp-0123456789abcdefghijABCDEFGHIJ012345",
                "github_pat_",
                "ghp_ 0123456789abcdefghijABCDEFGHIJ012345",
                "the ghp_ prefix",
            ],
        );
    }

    #[test]
    fn finds_openai_keys() {
        check(
            "openai-key",
            &[
                "«sk-0123456789abcdefghijABCDEFGHIJ0123450123456789ab»",
                "«sk-proj-abcdefghij_0123456789-ABC»",
                "«sk-svcacct-abcdefghij0123456789»",
                "Bearer «sk-proj-abcdefghij0123456789»",
                "«sk-admin-abcdefghij0123456789».",
                "key:«sk-0123456789abcdef0123456789abcdef»",
                "x-«sk-proj-abcdefghij0123456789»",
                "'«sk-0123456789abcdefghijABCDEFGHIJ012345»'",
            ],
            &[
                "sk-short",
                "sk-estimator-html-doc-link-fitted-label",
                "task-0123456789abcdefghijABCDEFGHIJ012345",
                "sk-learn",
                "SK-0123456789abcdefghijABCDEFGHIJ012345",
                "sk-0123456789abcdefghijABCDEFGHIJ0",
                "sk-proj-short",
                "disk-0123456789abcdef0123456789abcdef",
                "sk_0123456789abcdefghijABCDEFGHIJ012345",
                "sk-ant-api03-abcdefghij0123456789",
            ],
        );
    }

    #[test]
    fn finds_anthropic_keys() {
        check(
            "anthropic-key",
            &[
                "«sk-ant-api03-abcdefghij_0123456789-AA»",
                "«sk-ant-admin01-abcdefghij0123456789».",
                "x-api-key: «sk-ant-api03-abcdefghij0123456789»",
                "«sk-ant-sid01-abcdefghij0123456789»",
                "_«sk-ant-api03-abcdefghij0123456789»",
                "'«sk-ant-abcdefghij0123456789»'",
                "«sk-ant-oat01-abcdefghij0123456789» x",
                "k=«sk-ant-api03-0123456789abcdefghijABCDEFGHIJ012345»",
            ],
            &[
                "sk-ant-",
                "sk-ant-api03",
                "sk-ant-short-key",
                "SK-ANT-api03-abcdefghij0123456789",
                "task-ant-api03-abcdefghij0123456789",
                "sk-ants-abcdefghij0123456789",
                "sk_ant_api03_abcdefghij0123456789",
                "sk-ant-abcde fghij0123456789",
            ],
        );
    }

    #[test]
    fn finds_slack_tokens() {
        check(
            "slack-token",
            &[
                "«xoxb-123456789012-abcdefGHIJ»",
                "«xoxp-1234567890-1234567890»",
                "«xoxa-2-1234567890»",
                "t «xoxs-1234567890-a»",
                "«xapp-1-A0123456789-1234567890123-abcdef»",
                "https://«hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx»",
                "'«xoxr-1234567890-abc»'",
                "«xoxe-1-Mi0123456789abc»",
            ],
            &[
                "xoxb-",
                "xoxo-hugs-and-kisses",
                "xoxb-your-token-here",
                "xoxz-123456789012-abcdef",
                "axoxb-123456789012-abcdef",
                "xapp-",
                "xoxb 123456789012",
                "hooks.slack.com/services/",
                "xoxb-12345",
            ],
        );
    }

    #[test]
    fn finds_google_api_keys() {
        check(
            "google-api-key",
            &[
                "«AIza0123456789abcdefghijABCDEFGHIJ01234»",
                "?key=«AIza0123456789abcdefghijABCDEFGHIJ01234»&x=1",
                "'«AIzaSyA-0123456789_abcdefghijABCDEFGHIJ»'",
                "_«AIza0123456789abcdefghijABCDEFGHIJ01234»",
                "«AIza0123456789abcdefghijABCDEFGHIJ01234».",
                "(«AIza0123456789abcdefghijABCDEFGHIJ01234»)",
                "k «AIza0123456789abcdefghijABCDEFGHIJ01234» k",
                "-«AIza0123456789abcdefghijABCDEFGHIJ01234»",
            ],
            &[
                "AIza",
                "AIza0123456789abcdefghijABCDEFGHIJ0123",
                "aiza0123456789abcdefghijABCDEFGHIJ01234",
                "xAIza0123456789abcdefghijABCDEFGHIJ01234",
                "AIza 0123456789abcdefghijABCDEFGHIJ012345",
                "AIzaSyShort",
                "AIZA0123456789abcdefghijABCDEFGHIJ01234",
                "AIza.0123456789abcdefghijABCDEFGHIJ012345",
            ],
        );
    }

    #[test]
    fn finds_stripe_keys() {
        check(
            "stripe-key",
            &[
                "«sk_live_0123456789abcdef»",
                "«sk_test_0123456789abcdefXYZ»",
                "«rk_live_0123456789abcdef».",
                "«rk_test_0123456789abcdef»",
                "'«whsec_0123456789abcdefghijklmn»'",
                "key=«sk_live_0123456789abcdef»",
                "-u «sk_test_0123456789abcdef»:",
                "_«sk_live_0123456789abcdef»",
            ],
            &[
                "sk_live_short",
                "pk_live_0123456789abcdef",
                "task_live_0123456789abcdef",
                "sk_prod_0123456789abcdef",
                "SK_LIVE_0123456789abcdef",
                "sk-live-0123456789abcdef",
                "sk_live_",
                "whsec_short",
                "sk_test_your_key_here",
            ],
        );
    }

    #[test]
    fn finds_private_key_blocks() {
        check(
            "private-key",
            &[
                "«-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----»\nx",
                "«-----BEGIN RSA PRIVATE KEY-----\nMIIE»",
                "a «-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----» z",
                "«-----BEGIN EC PRIVATE KEY-----»",
                "«-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----».",
                "«-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----»",
                "«-----BEGIN PRIVATE KEY-----a-----END PRIVATE KEY-----» and «-----BEGIN PRIVATE KEY-----b-----END PRIVATE KEY-----»",
                "«-----begin private key-----\nx»",
                "-----BEGIN CERTIFICATE-----x-----END CERTIFICATE-----\n«-----BEGIN PRIVATE KEY-----x»",
            ],
            &[
                "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
                "-----BEGIN CERTIFICATE-----",
                "-----END PRIVATE KEY-----",
                "BEGIN PRIVATE KEY",
                "----BEGIN PRIVATE KEY----",
                "a private key",
                "-----BEGIN PRIVATE KEYS-----",
                "-----BEGIN PGP MESSAGE-----",
                "-----BEGIN",
            ],
        );
    }

    #[test]
    fn finds_json_web_tokens() {
        check(
            "jwt",
            &[
                "«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc_-DEF»",
                "Bearer «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln»",
                "«eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.»",
                "cut «eyJhbGciOiJIUzI1NiJ9.eyJzdW»",
                "token=«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc»&x",
                "'«eyJhbGciOiJIUzI1NiJ9.eyJ9.x»'",
                "/«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc»/",
                "«eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc».eyJz",
            ],
            &[
                "eyJhbGciOiJIUzI1NiJ9",
                "eyJhbGciOiJIUzI1NiJ9.abc.def",
                "eyJ.eyJ.x",
                "xeyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
                "eyjhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
                "eyJhbGciOiJIUzI1NiJ9 .eyJzdWIiOiIxIn0",
                "a-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
                "eyJhbGciOiJIUzI1NiJ9..eyJz",
            ],
        );
    }
}
