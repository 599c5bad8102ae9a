//! Folding: the replies on a long text's windows become one verdict.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use tokio::time::timeout_at;

use crate::detectors::safeguard::{LONG_TEXT, Reply, excerpts, leave};
use crate::guardrail::{Ask, DetectError, Finding, Scores, Verdict};
use crate::policy::Label;

/// Windows of one text that are asked at once: two fill a step of the engine, and with the texts of one exchange that are
/// asked together they must not fill its queue.
pub const IN_FLIGHT: usize = 2;

/// A window, to be judged.
pub type Judging<'a> = BoxFuture<'a, Result<Reply, DetectError>>;

/// The verdict on the ask's text, of which these are to be the windows' replies. Every label found counts; beside it, or
/// alone, that a window has no verdict.
pub async fn judged(ask: &Ask, windows: Vec<Judging<'_>>) -> Result<Verdict, DetectError> {
    let numbered = windows.into_iter().enumerate().map(|(at, reply)| reply.map(move |reply| (at, reply)));
    let numbered: Vec<_> = numbered.collect();
    let mut judged = stream::iter(numbered).buffer_unordered(IN_FLIGHT);
    let end = leave::before(ask, leave::TEXT);
    let (mut replies, mut folded) = (BTreeMap::new(), Folded::default());
    loop {
        match timeout_at(end, judged.next()).await {
            Ok(Some((at, Ok(reply)))) => drop(replies.insert(at, reply)),
            Ok(Some((_, Err(error)))) => folded.fail(Some(error)),
            Ok(None) => break,
            Err(_) => {
                folded.fail(Some(DetectError::Timeout(ask.within)));
                break;
            }
        }
    }
    drop(judged);
    replies.into_values().for_each(|reply| folded.add(reply));
    folded.verdict(ask).await
}

/// The replies so far.
#[derive(Default)]
struct Folded {
    found: Vec<Found>,
    /// Each safe label, once.
    safe: Vec<Label>,
    /// Of the finding that is the surest; before there is one, of the window that was the closest.
    scores: Option<Scores>,
    failed: Option<DetectError>,
}

/// A label, with the excerpts of every window in which it was found; none where one of these meant all of its text.
struct Found {
    finding: Finding,
    excerpts: Vec<String>,
}

impl Folded {
    /// Takes the next window's reply.
    fn add(&mut self, reply: Reply) {
        let Reply { finding, safe, excerpts, scores, failed } = reply;
        self.fail(failed);
        self.safe.extend(safe.filter(|safe| !self.safe.contains(safe)));
        let Some(finding) = finding else {
            if self.found.is_empty() && closer(&scores, &self.scores) {
                self.scores = scores;
            }
            return;
        };
        if self.found.iter().all(|known| known.finding.grounds.score < finding.grounds.score) {
            self.scores = scores;
        }
        match self.found.iter_mut().find(|known| known.finding.label == finding.label) {
            Some(known) => {
                if known.excerpts.is_empty() || excerpts.is_empty() {
                    known.excerpts.clear();
                } else {
                    known.excerpts.extend(excerpts);
                }
                if known.finding.grounds.score < finding.grounds.score {
                    known.finding = finding;
                }
            }
            None => self.found.push(Found { finding, excerpts }),
        }
    }

    /// On a part of the text there is no verdict. The first reason is told.
    fn fail(&mut self, error: Option<DetectError>) {
        self.failed = self.failed.take().or(error);
    }

    /// The verdict on the ask's text, of which the windows were. Where some have none and nothing was found, neither has the
    /// text.
    async fn verdict(self, ask: &Ask) -> Result<Verdict, DetectError> {
        if let (Some(error), []) = (&self.failed, &self.found[..]) {
            return Err(error.clone());
        }
        let text = &ask.segment.text;
        let mut findings = Vec::with_capacity(self.found.len());
        for Found { finding, excerpts } in self.found {
            let spans = if excerpts.is_empty() {
                Vec::new()
            } else if text.len() <= LONG_TEXT {
                excerpts::spans(text, &excerpts)
            } else {
                let text = text.clone();
                let search = async { tokio::task::spawn_blocking(move || excerpts::spans(&text, &excerpts)).await };
                // What was found counts, as of the whole text, though nobody knows where it stands.
                let searched = leave::by(leave::before(ask, leave::EXCERPTS), search).await;
                searched.and_then(Result::ok).unwrap_or_default()
            };
            findings.push(Finding { spans, ..finding });
        }
        Ok(Verdict { findings, safe: self.safe, scores: self.scores, failed: self.failed })
    }
}

/// Whether these scores lie closer together than those known.
fn closer(scores: &Option<Scores>, known: &Option<Scores>) -> bool {
    match (scores, known) {
        (Some(scores), Some(known)) => scores.margin() < known.margin(),
        (scores, known) => scores.is_some() && known.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::ready;
    use tokio::time::Instant;

    use super::*;
    use crate::detectors::safeguard::testing::ask;
    use crate::guardrail::Grounds;

    fn reply(label: Option<&str>, share: f32, excerpts: &[&str]) -> Reply {
        let grounds = Grounds { score: Some(share), ..Grounds::default() };
        let finding = label.map(|label| Finding { grounds, ..Finding::new(Label::new(label), Vec::new()) });
        let scores = Scores::new([(Label::new("one"), share.ln()), (Label::new("other"), (1.0 - share).ln())]);
        let excerpts = excerpts.iter().map(|&excerpt| excerpt.into()).collect();
        Reply { finding, safe: None, excerpts, scores, failed: None }
    }

    async fn verdict(text: &str, replies: impl IntoIterator<Item = Reply>) -> Verdict {
        let mut folded = Folded::default();
        replies.into_iter().for_each(|reply| folded.add(reply));
        folded.verdict(&ask(text)).await.unwrap()
    }

    #[tokio::test]
    async fn a_safe_verdict_has_the_scores_of_its_closest_window() {
        let safe = [0.9, 0.6, 0.8].map(|share| reply(None, share, &[]));
        let verdict = verdict("text", safe.clone()).await;
        assert_eq!((verdict.findings.len(), &verdict.scores), (0, &safe[1].scores));
    }

    #[tokio::test]
    async fn every_safe_label_is_told_once() {
        let safe = |label: &str| Reply { safe: Some(Label::new(label)), ..reply(None, 0.9, &[]) };
        let verdict = verdict("text", [safe("b"), safe("a"), reply(Some("c"), 0.9, &[]), safe("b")]).await;
        assert_eq!((verdict.safe, verdict.findings.len()), (vec![Label::new("b"), Label::new("a")], 1));
    }

    #[tokio::test]
    async fn the_surest_finding_of_a_label_counts_whatever_is_safe_elsewhere() {
        let [a, b] = [reply(Some("a"), 0.7, &[]), reply(Some("a"), 0.9, &[])];
        let replies = [reply(None, 0.5, &[]), a.clone(), reply(Some("b"), 0.8, &[]), b.clone(), reply(None, 0.5, &[])];
        let verdict = verdict("text", replies).await;
        let found: Vec<_> = verdict.findings.iter().map(|f| (f.label.as_str(), f.grounds.score)).collect();
        assert_eq!(found, [("a", Some(0.9)), ("b", Some(0.8))]);
        assert_eq!(verdict.scores, b.scores);
    }

    #[tokio::test]
    async fn excerpts_of_all_windows_are_the_spans() {
        let text = format!("bad {}worse", "x ".repeat(LONG_TEXT));
        for text in ["bad x worse", &text] {
            let both = [reply(Some("a"), 0.7, &["bad"]), reply(Some("a"), 0.6, &["worse"])];
            let spans = verdict(text, both.clone()).await.findings.remove(0).spans;
            assert_eq!(spans, [0..3, text.len() - 5..text.len()]);
            // One window that names none means the whole.
            let whole = both.into_iter().chain([reply(Some("a"), 0.6, &[])]);
            assert!(verdict(text, whole).await.findings[0].spans.is_empty());
        }
    }

    #[tokio::test]
    async fn what_was_found_is_not_lost_to_the_search_for_its_excerpts() {
        let text = format!("bad {}", "x ".repeat(LONG_TEXT));
        let late = Ask { deadline: Instant::now(), ..ask(&text) };
        let window = ready(Ok(reply(Some("a"), 0.7, &["bad"]))).boxed();
        let verdict = judged(&late, vec![window]).now_or_never().expect("a verdict at once").unwrap();
        let [finding] = &verdict.findings[..] else { panic!("{verdict:?}") };
        assert_eq!((finding.label.as_str(), &verdict.failed), ("a", &None));
        assert!(finding.spans.is_empty(), "the whole text is meant");
    }
}
