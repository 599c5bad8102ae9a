//! A compiled pattern set: everything that a detector looks for in one view of a text.

use std::ops::Range;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::builtin::Builtin;
use super::numbers::each_run;
use super::secrets::Secrets;
use super::words::Words;
use super::{PatternError, PatternSpec, card, email, iban, ip, phone, ssn};
use crate::policy::Label;
use crate::text::view::folded;

/// Bytes of compiled program that one regex may take.
const REGEX_SIZE: usize = 1 << 20;

/// Texts that an own regex must not match with nothing.
const SAMPLES: [&str; 4] = ["", "a", "0 a", "\u{e9}-\n_"];

/// The patterns, ready to run.
pub(super) struct PatternSet {
    labels: Vec<Label>,
    builtins: Vec<Builtin>,
    secrets: Option<Secrets>,
    /// Tells in one pass which of `regexes` to run.
    any_regex: RegexSet,
    /// With the index of each one's label.
    regexes: Vec<(usize, Regex)>,
    words: Option<Words>,
}

impl PatternSet {
    pub fn new(spec: &PatternSpec) -> Result<Self, PatternError> {
        let mut builtins = spec.builtin.clone();
        builtins.sort();
        builtins.dedup();
        let mut labels: Vec<Label> = builtins.iter().map(|builtin| Label::new(builtin.name())).collect();
        let mut index_of = |label: &Label| {
            labels.iter().position(|known| known == label).unwrap_or_else(|| {
                labels.push(label.clone());
                labels.len() - 1
            })
        };
        let mut regexes = Vec::new();
        for (label, source) in &spec.regexes {
            regexes.push((index_of(label), compile(label, source)?));
        }
        let mut words = Vec::new();
        for (label, list) in &spec.words {
            if list.is_empty() || list.iter().any(|word| folded(word).trim().is_empty()) {
                return Err(PatternError::EmptyWord { label: label.clone() });
            }
            let index = index_of(label);
            words.extend(list.iter().map(|word| (index, word.as_str())));
        }
        if labels.is_empty() {
            return Err(PatternError::NoPatterns);
        }
        let size = REGEX_SIZE.saturating_mul(regexes.len().max(1));
        let any_regex = RegexSetBuilder::new(spec.regexes.iter().map(|(_, source)| source)).size_limit(size).build();
        Ok(PatternSet {
            labels,
            secrets: Secrets::new(&builtins).map_err(|err| PatternError::Build(err.to_string()))?,
            builtins,
            any_regex: any_regex.map_err(|err| PatternError::Build(err.to_string()))?,
            regexes,
            words: Words::new(words.into_iter()).map_err(|err| PatternError::Build(err.to_string()))?,
        })
    }

    /// Every label, each once.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    pub fn looks_for(&self, builtin: Builtin) -> bool {
        self.builtins.contains(&builtin)
    }

    /// Calls `found` with the index of the label and the place of every match, in no order.
    pub fn find(&self, text: &str, found: &mut dyn FnMut(usize, Range<usize>)) {
        self.find_builtins(text, found);
        for index in self.any_regex.matches(text) {
            let Some((label, regex)) = self.regexes.get(index) else { continue };
            regex.find_iter(text).filter(|hit| !hit.is_empty()).for_each(|hit| found(*label, hit.range()));
        }
        if let Some(words) = &self.words {
            words.find(text, found);
        }
    }

    fn find_builtins(&self, text: &str, found: &mut dyn FnMut(usize, Range<usize>)) {
        // Labels of built-in patterns come first, in the same order.
        let label = |builtin: Builtin| self.builtins.binary_search(&builtin).ok();
        let [card, phone, ssn, ip] = [Builtin::Card, Builtin::Phone, Builtin::UsSsn, Builtin::Ip].map(label);
        if card.or(phone).or(ssn).or(ip).is_some() {
            each_run(text, |run| {
                if run.is_small() {
                    return;
                }
                card.into_iter().for_each(|label| card::find(run, |span| found(label, span)));
                phone.into_iter().for_each(|label| phone::find(run, |span| found(label, span)));
                ssn.into_iter().for_each(|label| ssn::find(run, |span| found(label, span)));
                ip.into_iter().for_each(|label| ip::find_v4(run, |span| found(label, span)));
            });
        }
        if let Some(label) = ip {
            ip::find_v6(text, |span| found(label, span));
        }
        if let Some(label) = label(Builtin::Email) {
            email::find(text, |span| found(label, span));
        }
        if let Some(label) = label(Builtin::Iban) {
            iban::find(text, |span| found(label, span));
        }
        if let Some(secrets) = &self.secrets {
            secrets.find(text, |builtin, span| label(builtin).into_iter().for_each(|label| found(label, span.clone())));
        }
    }
}

fn compile(label: &Label, source: &str) -> Result<Regex, PatternError> {
    let regex = RegexBuilder::new(source)
        .size_limit(REGEX_SIZE)
        .build()
        .map_err(|err| PatternError::Regex { label: label.clone(), reason: err.to_string() })?;
    let matches_nothing = SAMPLES.iter().any(|sample| regex.find_iter(sample).any(|hit| hit.is_empty()));
    if matches_nothing { Err(PatternError::EmptyMatch { label: label.clone() }) } else { Ok(regex) }
}
