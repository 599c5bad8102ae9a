//! The names that `[patterns] builtin` knows. The patterns themselves are the pattern detector's, which stands above this
//! layer; a test in `live` holds its names and these equal.

/// Built-in patterns; each name is also the label of what it finds.
pub const PATTERNS: [&str; 16] = [
    "email",
    "phone",
    "iban",
    "card",
    "ip",
    "us-ssn",
    "aws-access-key",
    "github-token",
    "openai-key",
    "anthropic-key",
    "slack-token",
    "google-api-key",
    "stripe-key",
    "private-key",
    "jwt",
    "generic-secret-assignment",
];

/// How many of [`PATTERNS`], from the first on, find personal data; the others find secrets.
const PII: usize = 6;

/// Every name that [`expand`] knows, groups last.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    PATTERNS.into_iter().chain(["pii", "secrets"])
}

/// The patterns that a name stands for: one, or those of a group; none where it is not known.
pub fn expand(name: &str) -> Vec<&'static str> {
    let (pii, secrets) = PATTERNS.split_at(PII);
    match name {
        "pii" => pii.to_vec(),
        "secrets" => secrets.to_vec(),
        _ => PATTERNS.into_iter().filter(|known| *known == name).collect(),
    }
}
