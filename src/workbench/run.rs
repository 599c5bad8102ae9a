//! A run: every item of a data set judged, several at once, told in the order of the data.

use futures_util::stream::{self, StreamExt};

use crate::workbench::{Classifier, Item, Judged, Line};

/// Judges the items from `done` on, `together` at once, by `a` and where there is one by `b`. Each line is told as soon as
/// those before it are; the run ends where that fails.
pub async fn run<E>(
    a: &Classifier,
    b: Option<&Classifier>,
    items: &[Item],
    done: usize,
    together: usize,
    mut tell: impl FnMut(Line) -> Result<(), E>,
) -> Result<(), E> {
    let judge = async |classifier: &Classifier, item: &Item| -> Judged {
        classifier.classify(item.stage, item.text.clone(), None).await.into()
    };
    let judge = &judge;
    let line = async |(at, item): (usize, &Item)| {
        // One after the other, lest each is slowed down by its own comparison.
        let by_a = judge(a, item).await;
        let by_b = match b {
            Some(b) => Some(judge(b, item).await),
            None => None,
        };
        Line { item: at, line: item.line, stage: item.stage, expected: item.expected.clone(), a: by_a, b: by_b }
    };
    let lines = stream::iter(items.iter().enumerate().skip(done).map(line)).buffered(together.max(1));
    let mut lines = std::pin::pin!(lines);
    while let Some(line) = lines.next().await {
        tell(line)?;
    }
    Ok(())
}
