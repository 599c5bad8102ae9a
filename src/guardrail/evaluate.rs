//! Evaluation: the guardrails of a stage are asked all at once, and what they answer is folded into one decision.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, timeout_at};

use crate::guardrail::cache::Key;
use crate::guardrail::fold::{Answer, Fold};
use crate::guardrail::{
    Action, Ask, Decision, DetectError, Guardrail, Mode, OnError, Priority, Stage, Verdict, VerdictCache,
};
use crate::text::{Edits, Segment, SegmentId};

/// Asks of one guardrail and one exchange that are in flight at once: a long conversation must not fill the queue of an
/// engine that others use too.
const IN_FLIGHT: usize = 8;

/// Stands for "never" where a deadline is too far to be reckoned.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Asks every guardrail that stands at `stage` about every segment that it selects. Each has its own deadline over all of
/// its segments; the first enforced block ends the rest. Waits for the guardrails in observe mode too. Dropping the
/// future cancels every ask.
///
/// Where texts are redacted, the detectors that cost little see the result once more: a redaction must not leave, or
/// make, what they would have redacted or blocked.
pub async fn evaluate(
    guardrails: &[Arc<Guardrail>],
    stage: Stage,
    segments: &[Segment],
    cache: &VerdictCache,
) -> Decision {
    let standing: Vec<&Guardrail> = guardrails.iter().map(|g| &**g).filter(|g| g.stages.contains(&stage)).collect();
    let asks: Vec<Asks> = standing
        .iter()
        .enumerate()
        .map(|(order, &guardrail)| Asks { order, guardrail, segments: selected(guardrail, stage, segments).collect() })
        .filter(|asks| !asks.segments.is_empty())
        .collect();
    let mut fold = Fold::new(asks.iter().map(|asks| (asks.order, asks.guardrail, asks.segments.len())));
    let (costly, cheap): (Vec<_>, Vec<_>) = asks.into_iter().partition(|asks| asks.guardrail.detector.cacheable());
    // Those that cost little would gain nothing from running side by side; if one blocks, no engine is troubled.
    for asks in &cheap {
        let turn = Turn { stage, cache, begun: Instant::now() };
        for segment in &asks.segments {
            if fold.take(turn.ask(asks, segment).await).is_break() {
                return fold.decide(BTreeMap::new());
            }
            consume_budget().await;
        }
    }
    let mut answers = ask_all(&costly, Turn { stage, cache, begun: Instant::now() });
    while let Some(answer) = answers.next().await {
        if fold.take(answer).is_break() {
            return fold.decide(BTreeMap::new());
        }
        consume_budget().await;
    }
    drop(answers);

    let edits = fold.edits();
    if !edits.is_empty() {
        judge_again(&standing, stage, segments, &edits, cache, &mut fold).await;
    }
    fold.decide(edits)
}

/// Shows the edited texts to the detectors that cost little.
async fn judge_again(
    standing: &[&Guardrail],
    stage: Stage,
    segments: &[Segment],
    edits: &BTreeMap<SegmentId, Edits>,
    cache: &VerdictCache,
    fold: &mut Fold,
) {
    let edited: BTreeMap<SegmentId, Segment> = segments
        .iter()
        .filter_map(|segment| Some((segment, edits.get(&segment.id)?)))
        .map(|(segment, edits)| {
            // A replacement that begins before the fresh text moves all that follows it.
            let fresh = edits.iter().next().map_or(segment.fresh, |first| segment.fresh.min(first.span.start));
            (segment.id, Segment { text: edits.apply(&segment.text).into(), fresh, ..segment.clone() })
        })
        .collect();
    for (order, &guardrail) in standing.iter().enumerate() {
        if guardrail.mode != Mode::Enforce || guardrail.detector.cacheable() {
            continue;
        }
        // What it selects depends on the whole conversation, so it selects before and is shown what became of it.
        let segments = selected(guardrail, stage, segments).filter_map(|segment| edited.get(&segment.id)).collect();
        let asks = Asks { order, guardrail, segments };
        let turn = Turn { stage, cache, begun: Instant::now() };
        for segment in &asks.segments {
            if fold.take_again(turn.ask(&asks, segment).await, edits).is_break() {
                return;
            }
            consume_budget().await;
        }
    }
}

/// What one guardrail is asked.
struct Asks<'a> {
    /// The guardrail's place in the stage.
    order: usize,
    guardrail: &'a Guardrail,
    segments: Vec<&'a Segment>,
}

/// The texts that a guardrail judges. White space alone says nothing.
fn selected<'a>(guardrail: &Guardrail, stage: Stage, segments: &'a [Segment]) -> impl Iterator<Item = &'a Segment> {
    let judged = |segment: &&Segment| !segment.text.trim().is_empty() && guardrail.detector.judges(&segment.place);
    guardrail.selects(stage, segments).filter(judged)
}

/// When and where guardrails are asked.
#[derive(Clone, Copy)]
struct Turn<'a> {
    stage: Stage,
    cache: &'a VerdictCache,
    /// The guardrails' deadlines count from here.
    begun: Instant,
}

impl<'a> Turn<'a> {
    async fn ask(self, asks: &Asks<'a>, segment: &'a Segment) -> Answer<'a> {
        let (order, guardrail) = (asks.order, asks.guardrail);
        let within = guardrail.deadline;
        let deadline = self.begun.checked_add(within).unwrap_or(self.begun + FAR);
        let (segment_asked, priority) = (segment.clone(), priority(guardrail));
        let ask = Ask { stage: self.stage, segment: segment_asked, priority, deadline, within, listener: None };
        let asked = Instant::now();
        let (verdict, cached) = ask_one(guardrail, &ask, asked, self.cache).await;
        let now = Instant::now();
        Answer { order, guardrail, segment, verdict, cached, took: now - asked, since_first: now - self.begun }
    }
}

/// The answers, as they come. Dropping the stream cancels the asks that have none yet.
fn ask_all<'a>(asks: &'a [Asks<'a>], turn: Turn<'a>) -> impl Stream<Item = Answer<'a>> {
    stream::select_all(asks.iter().map(|asks| {
        // The newest text first: where time runs out, it is what was judged before that waits.
        let segments = stream::iter(asks.segments.iter().rev());
        segments.map(move |&segment| turn.ask(asks, segment)).buffer_unordered(IN_FLIGHT).boxed()
    }))
}

/// One answer, and whether it came from the cache.
async fn ask_one(
    guardrail: &Guardrail,
    ask: &Ask,
    now: Instant,
    cache: &VerdictCache,
) -> (Result<Verdict, DetectError>, bool) {
    let detector = &guardrail.detector;
    // A policy is not asked about a word of the protocol: what is found there says nothing of the same text elsewhere.
    let kept = detector.cacheable() && ask.segment.place.kind.is_text();
    let key = kept.then(|| Key::new(detector.identity(), &ask.segment.text, ask.segment.fresh));
    if let Some(verdict) = key.and_then(|key| cache.get(&key)) {
        return (Ok(verdict), true);
    }
    // One that has waited for its turn past the deadline would trouble the engine for nothing. Patterns find at once what stands
    // in plain sight, and say that they did no more.
    if now >= ask.deadline && !detector.finds_at_once() {
        return (Err(DetectError::Timeout(guardrail.deadline)), false);
    }
    // The inner block takes in a panic before the detector's first await as well. Its words may quote the text.
    let detect = AssertUnwindSafe(async { detector.detect(ask).await }).catch_unwind();
    let verdict = match timeout_at(ask.deadline, detect).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(_)) => Err(DetectError::Engine("the detector panicked".into())),
        Err(_) => Err(DetectError::Timeout(guardrail.deadline)),
    };
    if let (Some(key), Ok(verdict)) = (key, &verdict)
        && verdict.failed.is_none()
    {
        cache.keep(key, verdict.clone());
    }
    (verdict, false)
}

fn priority(guardrail: &Guardrail) -> Priority {
    let holds =
        guardrail.on_error == OnError::Block || guardrail.actions.values().any(|&action| action >= Action::Redact);
    if guardrail.mode == Mode::Enforce && holds { Priority::Blocking } else { Priority::Annotating }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures_util::future::{BoxFuture, pending, ready};
    use proptest::prelude::*;

    use super::*;
    use crate::guardrail::{Detector, Finding, Identity, Outcome, Scope, Scores, Timing};
    use crate::policy::{Effort, Label, Reasoning};
    use crate::text::{Kind, Place, Role, Span};

    type Judge = Box<dyn Fn(&Ask) -> BoxFuture<'static, Result<Verdict, DetectError>> + Send + Sync>;

    struct Fake {
        identity: Identity,
        labels: Vec<Label>,
        cacheable: bool,
        at_once: bool,
        judge: Judge,
        asked: AtomicUsize,
        priority: std::sync::Mutex<Option<Priority>>,
        open: Arc<AtomicUsize>,
        most_open: AtomicUsize,
    }

    struct Open(Arc<AtomicUsize>);

    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl Detector for Fake {
        async fn detect(&self, ask: &Ask) -> Result<Verdict, DetectError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            *self.priority.lock().unwrap() = Some(ask.priority);
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_open.fetch_max(open, Ordering::SeqCst);
            let _open = Open(self.open.clone());
            (self.judge)(ask).await
        }

        fn identity(&self) -> &Identity {
            &self.identity
        }

        fn labels(&self) -> &[Label] {
            &self.labels
        }

        fn cacheable(&self) -> bool {
            self.cacheable
        }

        fn finds_at_once(&self) -> bool {
            self.at_once
        }
    }

    fn fake(judge: impl Fn(&Ask) -> BoxFuture<'static, Result<Verdict, DetectError>> + Send + Sync + 'static) -> Fake {
        Fake {
            identity: Identity {
                engine: "fake",
                model: "m".into(),
                policy: None,
                form: "label",
                reasoning: Reasoning::NONE,
            },
            labels: vec![Label::new("bad")],
            cacheable: true,
            at_once: false,
            judge: Box::new(judge),
            asked: AtomicUsize::new(0),
            priority: std::sync::Mutex::new(None),
            open: Arc::default(),
            most_open: AtomicUsize::new(0),
        }
    }

    fn found(findings: Vec<Finding>) -> Verdict {
        Verdict { findings, ..Verdict::default() }
    }

    fn answers(result: Result<Verdict, DetectError>) -> Fake {
        fake(move |_| Box::pin(ready(result.clone())))
    }

    fn finds(label: &str) -> Fake {
        answers(Ok(found(vec![Finding::new(Label::new(label), vec![])])))
    }

    /// Finds every place of `word`, like a word list: costs little.
    fn word(word: &'static str, label: &'static str) -> Fake {
        let judge = move |ask: &Ask| -> BoxFuture<'static, _> {
            let spans: Vec<Span> = ask.segment.text.match_indices(word).map(|(at, word)| at..at + word.len()).collect();
            let findings = (!spans.is_empty()).then(|| Finding::new(Label::new(label), spans)).into_iter().collect();
            Box::pin(ready(Ok(found(findings))))
        };
        Fake { cacheable: false, at_once: true, ..fake(judge) }
    }

    fn never() -> Fake {
        fake(|_| Box::pin(pending()))
    }

    fn guard(id: &str, detector: &Arc<Fake>, action: Action) -> Guardrail {
        Guardrail {
            id: id.into(),
            stages: vec![Stage::Input, Stage::Output],
            detector: detector.clone(),
            actions: ["bad", "worse", "mail", "name"].map(|label| (Label::new(label), action)).into(),
            masks: BTreeMap::new(),
            on_error: OnError::Block,
            deadline: Duration::from_secs(60),
            scope: Scope::Conversation,
            mode: Mode::Enforce,
            timing: Timing::Before,
        }
    }

    fn one(detector: Fake, action: Action) -> Vec<Arc<Guardrail>> {
        vec![Arc::new(guard("g", &Arc::new(detector), action))]
    }

    fn with(detector: Fake, action: Action, change: impl Fn(&mut Guardrail)) -> Vec<Arc<Guardrail>> {
        let mut guardrail = guard("g", &Arc::new(detector), action);
        change(&mut guardrail);
        vec![Arc::new(guardrail)]
    }

    fn segments<const N: usize>(texts: [&str; N]) -> Vec<Segment> {
        let place = |turn| Place { role: Role::User, kind: Kind::Content, turn: Some(turn), editable: true };
        let segment = |(at, text): (u32, &str)| Segment {
            id: SegmentId(at),
            place: place(at),
            text: text.into(),
            fresh: 0,
            masked: Vec::new(),
        };
        (0..).zip(texts).map(segment).collect()
    }

    async fn judge(guardrails: &[Arc<Guardrail>], segments: &[Segment]) -> Decision {
        evaluate(guardrails, Stage::Input, segments, &VerdictCache::new(64)).await
    }

    fn edited(decision: &Decision, segments: &[Segment]) -> Vec<String> {
        let text = |s: &Segment| decision.edits.get(&s.id).map_or(s.text.to_string(), |edits| edits.apply(&s.text));
        segments.iter().map(text).collect()
    }

    #[tokio::test]
    async fn nothing_found_allows_and_says_who_was_asked() {
        let decision = judge(&one(answers(Ok(Verdict::default())), Action::Block), &segments(["a", "b", " \n"])).await;
        assert_eq!(decision.action, Action::Allow);
        assert!(decision.applied.is_empty() && decision.edits.is_empty() && !decision.unjudged);
        let asked = &decision.asked[0];
        assert_eq!((&*asked.guardrail, asked.segments, asked.answered, asked.cached), ("g", 2, 2, 0));
    }

    #[tokio::test]
    async fn what_was_found_in_a_word_of_the_protocol_is_not_kept() {
        let (guardrails, cache) = (one(answers(Ok(Verdict::default())), Action::Block), VerdictCache::new(8));
        let mut texts = segments(["the same"]);
        for (kind, cached) in [(Kind::Word, 0), (Kind::Content, 0), (Kind::Word, 0), (Kind::Content, 1)] {
            texts[0].place.kind = kind;
            let decision = evaluate(&guardrails, Stage::Input, &texts, &cache).await;
            assert_eq!(decision.asked[0].cached, cached, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn only_guardrails_of_the_stage_are_asked() {
        let guardrails = with(finds("bad"), Action::Block, |g| g.stages = vec![Stage::Output]);
        assert_eq!(judge(&guardrails, &segments(["a"])).await.action, Action::Allow);
        let cache = VerdictCache::new(8);
        assert_eq!(evaluate(&guardrails, Stage::Output, &segments(["a"]), &cache).await.action, Action::Block);
    }

    #[tokio::test]
    async fn every_action_is_carried_out_as_such() {
        for action in [Action::Allow, Action::Annotate, Action::Redact, Action::Block] {
            let decision = judge(&one(finds("bad"), action), &segments(["a"])).await;
            assert_eq!(decision.action, action);
            assert_eq!(decision.applied.len(), usize::from(action != Action::Allow), "plain Allow is not told");
            assert_eq!(decision.edits.is_empty(), action != Action::Redact);
            assert_eq!(decision.blocking().is_some(), action == Action::Block);
        }
    }

    #[tokio::test]
    async fn the_first_block_ends_the_rest() {
        let (slow, fast) = (Arc::new(never()), Arc::new(finds("bad")));
        let guardrails = [guard("slow", &slow, Action::Block), guard("fast", &fast, Action::Block)].map(Arc::new);
        let decision = judge(&guardrails, &segments(["a"])).await;
        assert_eq!(decision.blocking().unwrap().guardrail.as_ref(), "fast");
        assert_eq!((slow.asked.load(Ordering::SeqCst), slow.open.load(Ordering::SeqCst)), (1, 0), "asked, and dropped");
        assert_eq!((decision.asked[0].segments, decision.asked[0].answered), (1, 0));
    }

    #[tokio::test]
    async fn a_cheap_block_spares_the_engine() {
        let (engine, cheap) = (Arc::new(never()), Arc::new(word("a", "bad")));
        let guardrails = [guard("engine", &engine, Action::Block), guard("cheap", &cheap, Action::Block)].map(Arc::new);
        assert_eq!(judge(&guardrails, &segments(["a"])).await.action, Action::Block);
        assert_eq!(engine.asked.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn guardrails_and_segments_are_asked_at_once_within_the_bound() {
        // Every ask waits until four are open: one after the other they would wait for ever.
        let barrier = Arc::new(tokio::sync::Barrier::new(4));
        let meet = || {
            let barrier = barrier.clone();
            fake(move |_| {
                let barrier = barrier.clone();
                Box::pin(async move {
                    barrier.wait().await;
                    Ok(Verdict::default())
                })
            })
        };
        let detectors = [Arc::new(meet()), Arc::new(meet())];
        let guardrails = detectors.each_ref().map(|detector| Arc::new(guard("g", detector, Action::Block)));
        assert_eq!(judge(&guardrails, &segments(["a", "b"])).await.action, Action::Allow);

        let many: Vec<Segment> = (0..100).flat_map(|_| segments(["a"])).collect();
        let slow = Arc::new(fake(|_| {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(Verdict::default())
            })
        }));
        let decision = judge(&[Arc::new(guard("g", &slow, Action::Block))], &many).await;
        assert_eq!(decision.asked[0].answered, 100);
        assert_eq!(slow.most_open.load(Ordering::SeqCst), IN_FLIGHT);
    }

    #[tokio::test]
    async fn one_deadline_holds_over_all_segments() {
        let many: Vec<Segment> = (0..3 * IN_FLIGHT).flat_map(|_| segments(["a"])).collect();
        let detector = Arc::new(never());
        let deadline = Duration::from_secs(1);
        let guardrail = Guardrail { deadline, on_error: OnError::Allow, ..guard("g", &detector, Action::Block) };
        let decision = judge(&[Arc::new(guardrail)], &many).await;
        assert!(decision.unjudged && decision.action == Action::Allow);
        let timeout = DetectError::Timeout(deadline);
        assert!(decision.applied.iter().all(|a| matches!(&a.outcome, Outcome::Error(error) if *error == timeout)));
        assert_eq!(decision.asked[0].answered, many.len());
        assert_eq!(detector.asked.load(Ordering::SeqCst), IN_FLIGHT, "no ask after the deadline");
        assert_eq!(detector.open.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_found_at_once_is_looked_for_past_the_deadline() {
        // The oldest text gets its turn when the others have used the time up.
        let slow = (0..IN_FLIGHT).flat_map(|_| segments(["slow"]));
        let texts: Vec<Segment> = segments(["bad"]).into_iter().chain(slow).collect();
        for (at_once, expected) in [(true, Action::Block), (false, Action::Allow)] {
            let judges = |ask: &Ask| -> BoxFuture<'static, Result<Verdict, DetectError>> {
                if &*ask.segment.text == "slow" {
                    return Box::pin(pending());
                }
                Box::pin(ready(Ok(found(vec![Finding::new(Label::new("bad"), vec![])]))))
            };
            let guardrails = with(Fake { at_once, ..fake(judges) }, Action::Block, |g| g.on_error = OnError::Allow);
            let decision = judge(&guardrails, &texts).await;
            assert_eq!((decision.action, decision.unjudged), (expected, !at_once));
        }
    }

    #[tokio::test]
    async fn a_deadline_without_end_is_no_panic() {
        let guardrails = with(finds("bad"), Action::Block, |g| g.deadline = Duration::MAX);
        assert_eq!(judge(&guardrails, &segments(["a"])).await.action, Action::Block);
    }

    #[tokio::test]
    async fn on_error_decides_and_is_never_silent() {
        let error = DetectError::Overloaded { capacity: 3 };
        let blocked = judge(&one(answers(Err(error.clone())), Action::Annotate), &segments(["a"])).await;
        assert!(blocked.action == Action::Block && blocked.blocked_by_error() && !blocked.unjudged);
        let guardrails = with(answers(Err(error)), Action::Block, |g| g.on_error = OnError::Allow);
        let through = judge(&guardrails, &segments(["a"])).await;
        assert!(through.action == Action::Allow && through.unjudged);
        assert_eq!(through.applied.len(), 1);
        assert_eq!(through.applied[0].action, Action::Allow);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_that_tells_nothing() {
        let detector = fake(|ask| panic!("cannot judge {}", ask.segment.text));
        let decision = judge(&one(detector, Action::Block), &segments(["secret"])).await;
        let Outcome::Error(error) = &decision.blocking().unwrap().outcome else { panic!("not an error") };
        assert_eq!(error.kind(), "engine");
        assert!(!error.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn observe_reports_and_enforces_nothing() {
        for detector in [finds("bad"), answers(Err(DetectError::Unparseable("empty")))] {
            let decision = judge(&with(detector, Action::Block, |g| g.mode = Mode::Observe), &segments(["a"])).await;
            assert_eq!((decision.action, decision.unjudged), (Action::Allow, false));
            assert_eq!((decision.applied[0].action, decision.applied[0].mode), (Action::Block, Mode::Observe));
            assert!(decision.blocking().is_none());
        }
        let decision =
            judge(&with(word("a", "bad"), Action::Redact, |g| g.mode = Mode::Observe), &segments(["a"])).await;
        assert!(decision.edits.is_empty() && decision.applied[0].action == Action::Redact);
    }

    #[tokio::test]
    async fn scope_limits_what_is_judged() {
        let detector = Arc::new(word("bad", "bad"));
        let mut guardrail = guard("g", &detector, Action::Block);
        guardrail.scope = Scope::LastUser;
        let mut turns = segments(["bad", "answered", "fine"]);
        turns[1].place.role = Role::Assistant;
        assert_eq!(judge(&[Arc::new(guardrail)], &turns).await.action, Action::Allow);
        assert_eq!(detector.asked.load(Ordering::SeqCst), 1);
        assert_eq!(judge(&[Arc::new(guard("g", &detector, Action::Block))], &turns).await.action, Action::Block);
    }

    #[tokio::test]
    async fn a_text_too_long_to_judge_blocks_whatever_on_error_says() {
        let error = DetectError::TooLong { length: 9, limit: 8, unit: "tokens" };
        let guardrails = with(answers(Err(error)), Action::Block, |g| g.on_error = OnError::Allow);
        let decision = judge(&guardrails, &segments(["a"])).await;
        assert_eq!((decision.action, decision.unjudged), (Action::Block, false));
    }

    #[tokio::test]
    async fn asks_that_hold_traffic_up_go_first() {
        for (action, on_error, mode, expected) in [
            (Action::Redact, OnError::Allow, Mode::Enforce, Priority::Blocking),
            (Action::Annotate, OnError::Block, Mode::Enforce, Priority::Blocking),
            (Action::Annotate, OnError::Allow, Mode::Enforce, Priority::Annotating),
            (Action::Block, OnError::Block, Mode::Observe, Priority::Annotating),
        ] {
            let detector = Arc::new(answers(Ok(Verdict::default())));
            let guardrail = Guardrail { on_error, mode, ..guard("g", &detector, action) };
            judge(&[Arc::new(guardrail)], &segments(["a"])).await;
            assert_eq!(*detector.priority.lock().unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn redactions_of_all_guardrails_are_merged() {
        let mut mail = guard("mail", &Arc::new(word("a@b.co", "mail")), Action::Redact);
        mail.masks.insert(Label::new("mail"), "<mail>".into());
        let name = guard("name", &Arc::new(word("co Eve", "name")), Action::Redact);
        let texts = segments(["to a@b.co Eve", "a@b.co and Eve", "none"]);
        let decision = judge(&[Arc::new(mail), Arc::new(name)], &texts).await;
        assert_eq!(decision.action, Action::Redact);
        assert_eq!(edited(&decision, &texts), ["to <mail>", "<mail> and Eve", "none"]);
        let told: Vec<_> = decision.applied.iter().map(|a| (a.guardrail.to_string(), a.segment.0)).collect();
        assert_eq!(told, [("mail".to_owned(), 0), ("mail".to_owned(), 1), ("name".to_owned(), 0)]);
    }

    #[tokio::test]
    async fn without_spans_the_text_that_has_not_left_is_redacted() {
        let mut texts = segments(["left, and new"]);
        texts[0].fresh = 6;
        let decision = judge(&one(finds("bad"), Action::Redact), &texts).await;
        assert_eq!(edited(&decision, &texts), ["left, [REDACTED:bad]"]);
    }

    #[tokio::test]
    async fn what_has_left_is_context_and_not_found_again() {
        let mut texts = segments(["bad then bad"]);
        texts[0].fresh = 5;
        let redact = one(word("bad", "bad"), Action::Redact);
        assert_eq!(edited(&judge(&redact, &texts).await, &texts), ["bad then [REDACTED:bad]"]);
        texts[0].fresh = 12;
        let decision = judge(&redact, &texts).await;
        assert!(decision.action == Action::Allow && decision.applied.is_empty());
        texts[0].fresh = 10;
        assert_eq!(
            edited(&judge(&redact, &texts).await, &texts),
            ["bad then [REDACTED:bad]"],
            "whole, although its beginning has left: the gate must see that, and cut"
        );
        texts[0].fresh = 12;
        assert_eq!(judge(&one(word("bad", "bad"), Action::Block), &texts).await.action, Action::Block);
    }

    /// As a model does, and no word list: what it quotes has left.
    #[tokio::test]
    async fn words_that_left_in_clear_mask_what_came_since() {
        let quotes = || fake(|_| Box::pin(ready(Ok(found(vec![Finding::new(Label::new("bad"), vec![0..4])])))));
        let mut texts = segments(["left, and new"]);
        texts[0].fresh = 6;
        let decision = judge(&one(quotes(), Action::Redact), &texts).await;
        assert_eq!(edited(&decision, &texts), ["left, [REDACTED:bad]"]);
        assert_eq!(judge(&one(quotes(), Action::Annotate), &texts).await.action, Action::Allow, "told before");
        for (masked, action) in [(0..2, Action::Redact), (0..4, Action::Allow), (0..6, Action::Allow)] {
            texts[0].masked = vec![masked];
            assert_eq!(judge(&one(quotes(), Action::Redact), &texts).await.action, action, "{:?}", texts[0].masked);
        }
    }

    #[tokio::test]
    async fn what_was_found_counts_beside_a_failure() {
        let partly = || {
            let verdict = found(vec![Finding::new(Label::new("bad"), vec![0..1])]);
            answers(Ok(Verdict { failed: Some(DetectError::Truncated { tokens: 1 }), ..verdict }))
        };
        for (on_error, action, expected) in [
            (OnError::Allow, Action::Block, (Action::Block, false)),
            (OnError::Allow, Action::Redact, (Action::Redact, true)),
            (OnError::Block, Action::Annotate, (Action::Block, false)),
        ] {
            let decision = judge(&with(partly(), action, |g| g.on_error = on_error), &segments(["ab"])).await;
            assert_eq!((decision.action, decision.unjudged), expected);
            assert_eq!(decision.applied.len(), 2);
        }
        let (cache, guardrail) = (VerdictCache::new(8), Arc::new(guard("g", &Arc::new(partly()), Action::Annotate)));
        evaluate(&[guardrail], Stage::Input, &segments(["ab"]), &cache).await;
        assert_eq!(cache.entries(), 0, "another time there may be a whole verdict");
    }

    #[tokio::test]
    async fn a_redaction_that_cannot_be_made_blocks() {
        let mut texts = segments(["a bad key", "bad"]);
        texts[0].place.editable = false;
        let decision = judge(&one(word("bad", "bad"), Action::Redact), &texts).await;
        assert_eq!(decision.action, Action::Block);
        assert!(decision.edits.is_empty());
        assert_eq!(decision.blocking().unwrap().segment, SegmentId(0));
    }

    #[tokio::test]
    async fn a_block_leaves_no_edits() {
        let guardrails = [
            Arc::new(guard("mail", &Arc::new(word("mail", "mail")), Action::Redact)),
            Arc::new(guard("model", &Arc::new(finds("bad")), Action::Block)),
        ];
        let decision = judge(&guardrails, &segments(["mail"])).await;
        assert!(decision.action == Action::Block && decision.edits.is_empty());
        assert!(decision.clear(()).is_none());
    }

    #[tokio::test]
    async fn what_a_redaction_makes_is_judged_again() {
        // Without its middle the word is whole.
        let mut guardrail = guard("g", &Arc::new(word("x", "name")), Action::Redact);
        guardrail.masks.insert(Label::new("name"), "".into());
        let guardrails = [Arc::new(guardrail), Arc::new(guard("words", &Arc::new(word("bad", "bad")), Action::Redact))];
        let decision = judge(&guardrails, &segments(["a baxd thing"])).await;
        assert_eq!(decision.action, Action::Block);
        assert_eq!(decision.blocking().unwrap().guardrail.as_ref(), "words");
        assert_eq!(judge(&guardrails, &segments(["bxax"])).await.action, Action::Redact);
    }

    #[tokio::test]
    async fn what_a_redaction_makes_is_new_though_it_moves_to_where_old_text_was() {
        // The redaction began in what has left and is longer than its mask: what it makes ends before the old `fresh`.
        let mut guardrail = guard("g", &Arc::new(word("x1234567890x", "name")), Action::Redact);
        guardrail.masks.insert(Label::new("name"), "".into());
        let guardrails = [Arc::new(guardrail), Arc::new(guard("words", &Arc::new(word("bad", "bad")), Action::Redact))];
        let mut texts = segments(["a bax1234567890xd thing"]);
        for fresh in 0..15 {
            texts[0].fresh = fresh;
            let decision = judge(&guardrails, &texts).await;
            assert_eq!(decision.blocking().map(|applied| &*applied.guardrail), Some("words"), "{fresh}");
        }
    }

    #[tokio::test]
    async fn a_mask_is_not_found_again() {
        let words = |word: Fake| [Arc::new(guard("words", &Arc::new(word), Action::Redact))];
        for found in ["REDACTED", "mail", "[REDACTED:mail]"] {
            let texts = segments(["x mail x REDACTED x"]);
            let decision = judge(&words(word(found, "mail")), &texts).await;
            assert_eq!(decision.action, if texts[0].text.contains(found) { Action::Redact } else { Action::Allow });
        }
        let block = Arc::new(guard("block", &Arc::new(word("REDACTED", "bad")), Action::Block));
        let [mail] = words(word("a@b.co", "mail"));
        assert_eq!(judge(&[mail, block], &segments(["a@b.co a@b.co"])).await.action, Action::Redact);
    }

    #[tokio::test]
    async fn spans_that_cannot_be_are_the_whole_text() {
        for span in [0..99, 3..3, 7..9] {
            let verdict = found(vec![Finding::new(Label::new("bad"), vec![span])]);
            let texts = segments(["short"]);
            assert_eq!(
                edited(&judge(&one(answers(Ok(verdict)), Action::Redact), &texts).await, &texts),
                ["[REDACTED:bad]"]
            );
        }
        let inside = found(vec![Finding::new(Label::new("bad"), vec![2..3])]);
        let texts = segments(["aéb"]);
        assert_eq!(
            edited(&judge(&one(answers(Ok(inside)), Action::Redact), &texts).await, &texts),
            ["a[REDACTED:bad]b"]
        );
    }

    #[tokio::test]
    async fn the_closest_verdict_is_told_whatever_was_found() {
        let scores =
            |share: f32| Scores::new([(Label::new("bad"), share.ln()), (Label::new("fine"), (1.0 - share).ln())]);
        let detector = fake(move |ask| {
            let share = ask.segment.text.len() as f32 / 10.0;
            Box::pin(ready(Ok(Verdict { scores: scores(share), ..Verdict::default() })))
        });
        let decision = judge(&one(detector, Action::Block), &segments(["aaaaaaaaa", "aaaaaa", "a"])).await;
        assert_eq!((decision.action, &decision.asked[0].closest), (Action::Allow, &scores(0.6)));
        let none = judge(&one(finds("bad"), Action::Block), &segments(["a"])).await;
        assert_eq!(none.asked[0].closest, None);
    }

    #[tokio::test]
    async fn many_findings_of_a_label_are_told_once() {
        let findings = (0..3).flat_map(|at| ["worse", "bad"].map(|l| Finding::new(Label::new(l), vec![at..at + 1])));
        let decision = judge(&one(answers(Ok(found(findings.collect()))), Action::Annotate), &segments(["abc"])).await;
        let label = |outcome: &Outcome| match outcome {
            Outcome::Label { label, .. } => label.to_string(),
            Outcome::Error(error) => error.to_string(),
        };
        assert_eq!(decision.applied.iter().map(|a| label(&a.outcome)).collect::<Vec<_>>(), ["bad", "worse"]);
    }

    /// Quadratic work would not end.
    #[tokio::test]
    async fn a_text_full_of_findings_is_no_burden() {
        let guardrails = ["a", "b"].map(|w| Arc::new(guard(w, &Arc::new(word(w, "bad")), Action::Redact)));
        let texts = segments([&"a.b.".repeat(100_000)]);
        let decision = judge(&guardrails, &texts).await;
        assert_eq!((decision.action, decision.applied.len()), (Action::Redact, 2));
        assert_eq!(decision.edits[&SegmentId(0)].iter().count(), 200_000);
    }

    #[tokio::test]
    async fn a_label_that_nobody_named_blocks() {
        assert_eq!(judge(&one(finds("unheard"), Action::Allow), &segments(["a"])).await.action, Action::Block);
    }

    #[tokio::test]
    async fn a_verdict_is_kept_by_identity_and_an_error_is_not() {
        let cache = VerdictCache::new(8);
        let ask = async |detector: &Arc<Fake>| {
            evaluate(&[Arc::new(guard("g", detector, Action::Annotate))], Stage::Input, &segments(["a"]), &cache).await
        };
        let first = Arc::new(finds("bad"));
        assert!(!ask(&first).await.applied[0].cached);
        let again = ask(&first).await;
        assert_eq!((again.applied[0].cached, again.asked[0].cached, again.action), (true, 1, Action::Annotate));
        assert_eq!(first.asked.load(Ordering::SeqCst), 1);

        let other = Arc::new(Fake {
            identity: Identity { reasoning: Effort::High.into(), ..first.identity.clone() },
            ..finds("bad")
        });
        assert!(!ask(&other).await.applied[0].cached);

        let failing = answers(Err(DetectError::Truncated { tokens: 1 }));
        let failing = Arc::new(Fake {
            identity: Identity { reasoning: Effort::Low.into(), ..first.identity.clone() },
            ..failing
        });
        ask(&failing).await;
        ask(&failing).await;
        assert_eq!(failing.asked.load(Ordering::SeqCst), 2);

        let cheap = Arc::new(word("a", "bad"));
        let before = cache.entries();
        ask(&cheap).await;
        assert_eq!(cache.entries(), before, "not worth a look-up");
    }

    #[tokio::test]
    async fn dropping_the_evaluation_cancels_every_ask() {
        let detector = Arc::new(never());
        let guardrails = [Arc::new(guard("g", &detector, Action::Block))];
        let (texts, cache) = (segments(["a", "b"]), VerdictCache::new(8));
        let evaluation = evaluate(&guardrails, Stage::Input, &texts, &cache);
        assert!(tokio::time::timeout(Duration::from_millis(1), evaluation).await.is_err());
        assert_eq!((detector.asked.load(Ordering::SeqCst), detector.open.load(Ordering::SeqCst)), (2, 0));
    }

    proptest! {
        /// Whatever is found, in whatever order it comes: nothing that a word list redacts is left, the decision is the
        /// same each time, and edits go with Redact alone.
        #[test]
        fn no_redacted_word_is_left(texts in proptest::collection::vec("[abcé ]{0,12}", 0..12)) {
            let texts: Vec<Segment> = texts.iter().enumerate().map(|(at, text)| {
                let mut segment = segments([text]).remove(0);
                segment.id = SegmentId(u32::try_from(at).unwrap());
                segment
            }).collect();
            let guardrails = ["ab", "é", "c a"].map(|w| Arc::new(guard(w, &Arc::new(word(w, "bad")), Action::Redact)));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let [one, two] = [0, 1].map(|_| runtime.block_on(judge(&guardrails, &texts)));
            prop_assert_eq!(one.action == Action::Redact, !one.edits.is_empty());
            prop_assert_eq!(&one.edits, &two.edits);
            let told = |d: &Decision| d.applied.iter().map(|a| (a.guardrail.clone(), a.segment)).collect::<Vec<_>>();
            prop_assert_eq!(told(&one), told(&two));
            let any = texts.iter().any(|s| ["ab", "é", "c a"].iter().any(|w| s.text.contains(w)));
            prop_assert_eq!(any, one.action != Action::Allow);
            for text in edited(&one, &texts) {
                prop_assert!(one.action == Action::Block || !["ab", "é", "c a"].iter().any(|w| text.contains(w)), "{}", text);
            }
        }
    }
}
