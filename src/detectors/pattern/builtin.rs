//! The patterns that come with the program, and their names.

use std::str::FromStr;

/// A pattern that is built in. Its name is also the label of what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Builtin {
    Email,
    /// International with `+` or `00`; North American and 0-prefixed national forms; bare digits after a word as `tel`.
    Phone,
    /// With the country's length and the check digits right.
    Iban,
    /// A payment card: an issuer's prefix and length, and the Luhn digit right.
    Card,
    /// IPv4 and IPv6 of every range, loopback and private ones too.
    Ip,
    /// A US social security number that could have been given out.
    UsSsn,
    AwsAccessKey,
    GithubToken,
    OpenaiKey,
    AnthropicKey,
    SlackToken,
    GoogleApiKey,
    StripeKey,
    /// A PEM or PGP private key; one that has not ended yet reaches to the end of the text.
    PrivateKey,
    Jwt,
    /// A random-looking value given to a name like `api_key` or `password`.
    GenericSecretAssignment,
}

use Builtin::*;

const ALL: [(Builtin, &str); 16] = [
    (Email, "email"),
    (Phone, "phone"),
    (Iban, "iban"),
    (Card, "card"),
    (Ip, "ip"),
    (UsSsn, "us-ssn"),
    (AwsAccessKey, "aws-access-key"),
    (GithubToken, "github-token"),
    (OpenaiKey, "openai-key"),
    (AnthropicKey, "anthropic-key"),
    (SlackToken, "slack-token"),
    (GoogleApiKey, "google-api-key"),
    (StripeKey, "stripe-key"),
    (PrivateKey, "private-key"),
    (Jwt, "jwt"),
    (GenericSecretAssignment, "generic-secret-assignment"),
];

const GROUPS: [(&str, &[Builtin]); 2] = [
    ("pii", &[Email, Phone, Iban, Card, Ip, UsSsn]),
    (
        "secrets",
        &[
            AwsAccessKey,
            GithubToken,
            OpenaiKey,
            AnthropicKey,
            SlackToken,
            GoogleApiKey,
            StripeKey,
            PrivateKey,
            Jwt,
            GenericSecretAssignment,
        ],
    ),
];

/// A name that no built-in pattern and no group has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no built-in pattern is called `{0}`")]
pub struct UnknownBuiltin(pub String);

impl Builtin {
    pub fn name(self) -> &'static str {
        ALL[self as usize].1
    }

    /// What a name in the configuration stands for: one pattern, or all of a group (`pii`, `secrets`).
    pub fn expand(name: &str) -> Result<Vec<Builtin>, UnknownBuiltin> {
        match GROUPS.iter().find(|(group, _)| *group == name) {
            Some((_, members)) => Ok(members.to_vec()),
            None => name.parse().map(|builtin| vec![builtin]),
        }
    }

    /// Every name that [`Builtin::expand`] knows, groups last.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|(_, name)| *name).chain(GROUPS.iter().map(|(group, _)| *group))
    }
}

impl FromStr for Builtin {
    type Err = UnknownBuiltin;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = ALL.iter().find(|(_, known)| *known == name);
        found.map(|(builtin, _)| *builtin).ok_or_else(|| UnknownBuiltin(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_pattern() {
        for (at, (builtin, name)) in ALL.iter().enumerate() {
            assert_eq!(*builtin as usize, at);
            assert_eq!(builtin.name(), *name);
            assert_eq!(name.parse(), Ok(*builtin));
        }
    }

    #[test]
    fn groups_hold_every_pattern_once() {
        let mut all: Vec<_> = GROUPS.iter().flat_map(|(group, _)| Builtin::expand(group).unwrap()).collect();
        all.sort();
        assert_eq!(all, ALL.map(|(builtin, _)| builtin));
    }

    #[test]
    fn unknown_names_are_errors() {
        assert_eq!(Builtin::expand("e-mail"), Err(UnknownBuiltin("e-mail".into())));
    }
}
