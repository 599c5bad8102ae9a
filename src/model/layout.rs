//! How the tokens of a step lie: several sequences behind each other, each with the pages that its tokens see.

use std::ops::Range;
use std::rc::Rc;

use tch::Tensor;

use crate::model::groups::{Group, groups};
use crate::model::kv::{KvCache, KvStore, PAGE, Page};
use crate::model::rope::{Angles, Rope};
use crate::model::{Config, LayerKind, Place};

/// Tokens that go on a sequence. Room for them has been reserved in its cache.
pub struct Row<'a> {
    pub tokens: &'a [u32],
    pub cache: &'a mut KvCache,
}

/// Where every token of a step stands.
pub struct Layout {
    pub angles: Angles,
    full: KindLayout,
    sliding: KindLayout,
}

/// Of one kind of layer.
pub struct KindLayout {
    /// Where the keys and values of each token go, in positions of the storage.
    pub slots: Vec<i64>,
    /// Positions that a token sees, its own among them; nothing where it sees all.
    pub window: Option<usize>,
    pub runs: Vec<Run>,
    /// For libtorch.
    pub grouped: Option<Grouped>,
}

/// The tokens of one sequence.
pub struct Run {
    /// Of the first, in the step.
    pub token: usize,
    /// Of the first, in its sequence.
    pub position: usize,
    pub count: usize,
    /// Pages of all positions that any of them sees, and the position at which the first begins.
    pub pages: Vec<u32>,
    pub held: usize,
}

/// The same as libtorch takes it.
pub struct Grouped {
    /// `[tokens]`.
    pub slots: Tensor,
    /// What is left of pages that these tokens begin, in positions of the storage; nothing where that is none.
    pub blank: Option<Tensor>,
    pub groups: Vec<Group>,
}

impl Layout {
    /// `grouped` lays it out for libtorch, too.
    pub fn new(rows: &[Row], config: &Config, rope: &Rope, store: &KvStore, place: Place, grouped: bool) -> Self {
        let positions: Vec<i64> = rows.iter().flat_map(|row| span(row).map(|position| position as i64)).collect();
        let kind = |kind| {
            let window = (kind == LayerKind::Sliding).then_some(store.window());
            // A model may have but one kind.
            let rows = if config.layers.contains(&kind) { rows } else { &[] };
            let slots = |positions: fn(&Row) -> Range<usize>| -> Vec<i64> {
                let slots = |row| positions(row).map(|position| row.cache.table(kind).slot(position));
                rows.iter().flat_map(slots).collect()
            };
            let (slots, blank, runs) = (slots(span), slots(blank), runs(rows, kind, window));
            let tensor = |slots: &[i64]| Tensor::from_slice(slots).to_device(place.device);
            let grouped = grouped.then(|| Grouped {
                slots: tensor(&slots),
                blank: (!blank.is_empty()).then(|| tensor(&blank)),
                groups: groups(&runs, config.heads as usize, window, place.device),
            });
            KindLayout { slots, window, runs, grouped }
        };
        Layout { angles: rope.angles(&positions), full: kind(LayerKind::Full), sliding: kind(LayerKind::Sliding) }
    }

    pub fn of(&self, kind: LayerKind) -> &KindLayout {
        match kind {
            LayerKind::Full => &self.full,
            LayerKind::Sliding => &self.sliding,
        }
    }
}

impl Run {
    /// The first position that the token at `position` sees.
    pub fn from(position: usize, window: Option<usize>) -> usize {
        window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Positions of the tokens.
fn span(row: &Row) -> Range<usize> {
    row.cache.len()..row.cache.len() + row.tokens.len()
}

/// Positions behind the last token in its page, where that page is begun in this step.
fn blank(row: &Row) -> Range<usize> {
    let Range { start, end } = span(row);
    let begun = end.saturating_sub(1) / PAGE * PAGE >= start;
    end..if begun { end.next_multiple_of(PAGE) } else { end }
}

fn runs(rows: &[Row], kind: LayerKind, window: Option<usize>) -> Vec<Run> {
    let mut token = 0;
    let run = |row: &Row| {
        let position = row.cache.len();
        let (held, pages) = row.cache.table(kind).pages_from(Run::from(position, window));
        let pages = pages.iter().map(|page: &Rc<Page>| page.id()).collect();
        let run = Run { token, position, count: row.tokens.len(), pages, held };
        token += row.tokens.len();
        run
    };
    rows.iter().map(run).collect()
}
