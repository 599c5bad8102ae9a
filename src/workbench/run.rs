//! A run: every item of a data set judged, several at once, told in the order of the data.

use futures_util::stream::{self, StreamExt};

use crate::workbench::{Classifier, Item, Judged, Line};

/// An item that is to be judged.
pub struct Todo<'a> {
    /// Of the data, from 0.
    at: usize,
    item: &'a Item,
    /// Verdicts that stay: each side judges where it has none.
    a: Option<Judged>,
    b: Option<Judged>,
}

impl<'a> Todo<'a> {
    /// What a run has left to do where it has these lines: the items behind them, and with `failed` first those of them that
    /// have no verdict on one of their sides.
    pub fn left(items: &'a [Item], lines: &[Line], failed: bool) -> Vec<Self> {
        let known = items.iter().zip(lines).enumerate();
        let again = known.filter(|(_, (_, line))| failed && line.has_failed()).map(|(at, (item, line))| {
            let kept = |judged: &Judged| judged.given().is_some().then(|| judged.clone());
            Todo { at, item, a: kept(&line.a), b: line.b.as_ref().and_then(kept) }
        });
        let new = items.iter().enumerate().skip(lines.len());
        again.chain(new.map(|(at, item)| Todo { at, item, a: None, b: None })).collect()
    }
}

/// Judges what is to do, `together` at once, by `a` and where there is one by `b`. Each line is told as soon as those before it
/// are; the run ends where that fails.
pub async fn run<E>(
    a: &Classifier,
    b: Option<&Classifier>,
    todo: Vec<Todo<'_>>,
    together: usize,
    mut tell: impl FnMut(Line) -> Result<(), E>,
) -> Result<(), E> {
    let judge = async |classifier: &Classifier, item: &Item, kept: Option<Judged>| -> Judged {
        match kept {
            Some(kept) => kept,
            None => classifier.classify(item.stage, item.text.clone(), None).await.into(),
        }
    };
    let judge = &judge;
    let line = async |Todo { at, item, a: kept_a, b: kept_b }: Todo<'_>| {
        // One after the other, lest each is slowed down by its own comparison.
        let by_a = judge(a, item, kept_a).await;
        let by_b = match b {
            Some(b) => Some(judge(b, item, kept_b).await),
            None => None,
        };
        Line { item: at, line: item.line, stage: item.stage, expected: item.expected.clone(), a: by_a, b: by_b }
    };
    let lines = stream::iter(todo.into_iter().map(line)).buffered(together.max(1));
    let mut lines = std::pin::pin!(lines);
    while let Some(line) = lines.next().await {
        tell(line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::{DetectError, Stage};
    use crate::workbench::Expected;
    use crate::workbench::testing::{Fake, fake, found};
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::time::Duration;

    const ITEMS: usize = 20;

    fn items() -> Vec<Item> {
        let item = |at: usize| Item {
            line: at as u64 + 1,
            text: at.to_string().into(),
            stage: Stage::Input,
            expected: Expected::Violation(at.is_multiple_of(2)),
        };
        (0..ITEMS).map(item).collect()
    }

    /// The first takes the longest. Every third is bad, and one has no verdict.
    fn backwards() -> (Arc<Fake>, Classifier) {
        fake(|text| {
            let at: usize = text.parse().unwrap();
            let verdict = match at {
                7 => Err(DetectError::Overloaded { capacity: 1 }),
                at if at % 3 == 0 => found(&["BAD"]),
                _ => found(&[]),
            };
            (Duration::from_millis(10 * (ITEMS - at) as u64), verdict)
        })
    }

    /// The lines that are told, less the times.
    async fn told(a: &Classifier, b: Option<&Classifier>, todo: Vec<Todo<'_>>, together: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        let tell = |mut line: Line| {
            for judged in [Some(&mut line.a), line.b.as_mut()].into_iter().flatten() {
                if let Judged::Given(given) = judged {
                    given.took = 0.0;
                }
            }
            lines.push(line);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = run(a, b, todo, together, tell).await;
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_in_the_order_of_the_data_however_many_are_judged_at_once() {
        let items = items();
        let mut expected = None;
        for together in [1, 8, 100] {
            let ((fake, a), (other, b)) = (backwards(), fake(|_| (Duration::from_millis(1), found(&["WORSE"]))));
            let lines = told(&a, Some(&b), Todo::left(&items, &[], false), together).await;
            assert!(lines.iter().map(|line| line.item).eq(0..ITEMS));
            assert!(lines.iter().all(|line| line.line == line.item as u64 + 1));
            assert!(lines.iter().all(|line| line.b.as_ref().is_some_and(|b| b.word() == "WORSE")));
            let words: Vec<&str> = lines.iter().map(|line| line.a.word()).take(8).collect();
            assert_eq!(words, ["BAD", "FINE", "FINE", "BAD", "FINE", "FINE", "BAD", "overloaded"]);
            assert_eq!((fake.asked(), other.asked()), (ITEMS, ITEMS));
            // So many at once, and no more.
            assert_eq!(fake.most_open(), together.min(ITEMS));
            assert!(other.most_open() <= together);
            assert_eq!(lines, *expected.get_or_insert_with(|| lines.clone()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_judged_again_where_that_is_asked_for_and_nothing_else_is() {
        let items = items();
        let (_, sound) = fake(|_| (Duration::ZERO, found(&[])));
        let (_, broken) = backwards();
        // Item 7 has a verdict of `a`, and none of `b`.
        let lines = told(&sound, Some(&broken), Todo::left(&items[..10], &[], false), 4).await;
        let at = |failed| Todo::left(&items, &lines, failed).iter().map(|todo| todo.at).collect::<Vec<_>>();
        let rest: Vec<usize> = (10..ITEMS).collect();
        assert_eq!(at(false), rest);
        assert_eq!(at(true), [&[7_usize][..], &rest[..]].concat());

        let ((a, by_a), (b, by_b)) =
            (fake(|_| (Duration::ZERO, found(&["BAD"]))), fake(|_| (Duration::ZERO, found(&[]))));
        let again = told(&by_a, Some(&by_b), Todo::left(&items[..10], &lines, true), 4).await;
        assert_eq!((a.asked(), b.asked()), (0, 1), "the verdict that is there stays");
        let [line] = &again[..] else { panic!("{again:?}") };
        assert_eq!((line.item, line.a.word(), line.b.as_ref().map(Judged::word)), (7, "FINE", Some("FINE")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_ends_where_its_lines_cannot_be_told() {
        let (items, (fake, a)) = (items(), backwards());
        let mut told = 0;
        let ended = run(&a, None, Todo::left(&items, &[], false), 1, |line| {
            told += 1;
            if line.item == 2 { Err("full") } else { Ok(()) }
        });
        assert_eq!(ended.await, Err("full"));
        assert_eq!((told, fake.asked()), (3, 3));
    }
}
