//! The cache of one sequence: which pages its positions lie in, for full layers and for sliding ones.

use std::rc::Rc;

use crate::model::LayerKind;
use crate::model::kv::pages::{PAGE, Page};
use crate::model::kv::store::SLACK;
use crate::model::kv::{KvStore, NoRoom};

/// Keys and values of the positions `0..len` of a sequence; of sliding layers, only those that can still be seen.
#[derive(Debug, Clone, Default)]
pub struct KvCache {
    full: Table,
    sliding: Table,
    len: usize,
}

/// The pages of one kind of layer, in the order of positions.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Pages that have been let go of at the beginning.
    gone: usize,
    pages: Vec<Rc<Page>>,
}

impl KvCache {
    /// Positions that have been computed.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn table(&self, kind: LayerKind) -> &Table {
        match kind {
            LayerKind::Full => &self.full,
            LayerKind::Sliding => &self.sliding,
        }
    }

    /// Makes room for `count` more positions, in pages that are this sequence's own. Where there is too little, none is
    /// taken.
    pub fn reserve(&mut self, count: usize, store: &KvStore) -> Result<(), NoRoom> {
        let end = self.len + count;
        let short = |kind| store.has(kind) && self.table(kind).lacks(self.len, end) > store.free(kind);
        if short(LayerKind::Full) || short(LayerKind::Sliding) {
            return Err(NoRoom);
        }
        for (table, kind) in [(&mut self.full, LayerKind::Full), (&mut self.sliding, LayerKind::Sliding)] {
            if store.has(kind) {
                table.reserve(self.len, end, kind, store)?;
            }
        }
        Ok(())
    }

    /// Counts in positions that every layer has written.
    pub fn advance(&mut self, count: usize) {
        self.len += count;
    }

    /// Lets go of what no later position sees, but for the slack.
    pub fn release(&mut self, window: usize) {
        self.sliding.release((self.len + 1).saturating_sub(window + SLACK));
    }

    /// The same up to `len`, sharing pages; nothing where the sliding layers no longer hold what is seen from there.
    pub fn fork(&self, len: usize, window: usize) -> Option<KvCache> {
        let seen = (len + 1).saturating_sub(window);
        if len > self.len || self.sliding.gone * PAGE > seen {
            return None;
        }
        let mut fork = KvCache { full: self.full.first(len), sliding: self.sliding.first(len), len };
        fork.release(window);
        Some(fork)
    }

    /// Forgets every position from `len` on. Where the sliding layers no longer hold what is seen from there, forgets all.
    pub fn truncate(&mut self, len: usize, window: usize) {
        if len < self.len {
            *self = self.fork(len, window).unwrap_or_default();
        }
    }
}

impl Table {
    /// The pages that hold positions from `from` on, with the first position of the first of them.
    pub fn pages_from(&self, from: usize) -> (usize, &[Rc<Page>]) {
        let first = (from / PAGE).max(self.gone);
        (first * PAGE, self.pages.get(first - self.gone..).unwrap_or_default())
    }

    /// Where this position lies in the storage of a layer, counted in positions. It has been reserved.
    pub fn slot(&self, position: usize) -> i64 {
        let page = &self.pages[position / PAGE - self.gone];
        i64::from(page.id()) * PAGE as i64 + (position % PAGE) as i64
    }

    /// Pages that [`Self::reserve`] takes.
    fn lacks(&self, len: usize, end: usize) -> usize {
        usize::from(self.begins_shared(len, end)) + end.div_ceil(PAGE).saturating_sub(self.gone + self.pages.len())
    }

    fn reserve(&mut self, len: usize, end: usize, kind: LayerKind, store: &KvStore) -> Result<(), NoRoom> {
        if self.begins_shared(len, end) {
            let page = &mut self.pages[len / PAGE - self.gone];
            *page = store.copy(kind, page)?;
        }
        while (self.gone + self.pages.len()) * PAGE < end {
            self.pages.push(store.take(kind)?);
        }
        Ok(())
    }

    /// Whether `len..end` begins in the middle of a page that others hold, too: it has to be copied before it is written to.
    fn begins_shared(&self, len: usize, end: usize) -> bool {
        !len.is_multiple_of(PAGE) && end > len && Rc::strong_count(&self.pages[len / PAGE - self.gone]) > 1
    }

    fn release(&mut self, before: usize) {
        let count = (before / PAGE).saturating_sub(self.gone).min(self.pages.len());
        self.pages.drain(..count);
        self.gone += count;
    }

    fn first(&self, len: usize) -> Self {
        let count = len.div_ceil(PAGE).saturating_sub(self.gone).min(self.pages.len());
        Table { gone: self.gone, pages: self.pages[..count].to_vec() }
    }
}
