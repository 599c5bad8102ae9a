//! How the tokens of a step lie: several sequences behind each other for all that looks at one token at a time, and in
//! groups of equal shape for attention.

use tch::{Device, Tensor};

use crate::model::kv::{KvCache, KvStore, PAGE};
use crate::model::rope::{Angles, Rope};
use crate::model::{Config, LayerKind, Place};

/// Attention scores held at once, at most, of all heads: bounds memory, and what fits a cache goes faster.
const SCORES: usize = 1 << 22;
/// Rows of one sequence in a group, at most. Fewer rows see fewer keys that are hidden from them.
const ROWS: usize = 128;

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
    /// `[tokens]`: where its keys and values go, in positions of the storage.
    pub slots: Tensor,
    pub groups: Vec<Group>,
}

/// Runs of rows that are attended to together, each of one sequence, padded to the same shape.
pub struct Group {
    pub runs: i64,
    pub rows: i64,
    /// Positions of keys for each run.
    pub keys: i64,
    /// `[runs * rows]`: tokens of the step; padding repeats one.
    pub tokens: Tensor,
    /// `[runs * keys / PAGE]`.
    pub pages: Tensor,
    /// `[runs, 1, 1, rows, keys]`: true where a row does not see a key.
    pub hidden: Tensor,
    /// The rows that are none of the padding, where there is any.
    pub real: Option<Tensor>,
}

/// A run of rows of one sequence.
struct Run<'a> {
    cache: &'a KvCache,
    /// Of the first row, in the step.
    token: usize,
    /// Of the first row, in its sequence.
    position: usize,
    rows: usize,
}

impl Layout {
    /// `grouped` puts runs of several sequences together: worth its padding where launching an operation costs more than
    /// computing it.
    pub fn new(rows: &[Row], config: &Config, rope: &Rope, store: &KvStore, place: Place, grouped: bool) -> Self {
        let positions: Vec<i64> = rows.iter().flat_map(|row| span(row).map(|position| position as i64)).collect();
        let kind = |kind| KindLayout {
            slots: slots(rows, kind, place.device),
            groups: if config.layers.contains(&kind) {
                groups(rows, kind, config, store.window(), place.device, grouped)
            } else {
                Vec::new()
            },
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

fn span(row: &Row) -> std::ops::Range<usize> {
    row.cache.len()..row.cache.len() + row.tokens.len()
}

fn slots(rows: &[Row], kind: LayerKind, device: Device) -> Tensor {
    let slots: Vec<i64> = rows
        .iter()
        .filter(|row| !row.cache.table(kind).is_empty())
        .flat_map(|row| span(row).map(|position| row.cache.table(kind).slot(position)))
        .collect();
    Tensor::from_slice(&slots).to_device(device)
}

fn groups(rows: &[Row], kind: LayerKind, config: &Config, window: usize, device: Device, grouped: bool) -> Vec<Group> {
    let window = (kind == LayerKind::Sliding).then_some(window);
    let heads = config.heads as usize;
    let mut runs = Vec::new();
    let mut token = 0;
    for row in rows {
        let span = span(row);
        let fit = (SCORES / (heads * span.end)).clamp(1, ROWS);
        for position in span.clone().step_by(fit) {
            let rows = fit.min(span.end - position);
            runs.push(Run { cache: row.cache, token, position, rows });
            token += rows;
        }
    }
    if grouped {
        runs.sort_by_key(|run| (run.rows, run.keys(kind, window)));
    }
    let mut groups = Vec::new();
    let mut rest = &runs[..];
    while let Some(first) = rest.first() {
        // Each next one is the largest so far, so it says what the group comes to with it.
        let fits = |&(before, run): &(usize, &Run)| {
            let scores = (before + 1) * heads * run.rows * run.keys(kind, window);
            // A single row is not padded to many.
            before == 0 || (grouped && scores <= SCORES && (run.rows == first.rows || first.rows > 1))
        };
        let count = rest.iter().enumerate().take_while(fits).count();
        let (group, after) = rest.split_at(count);
        groups.push(Group::new(group, kind, window, device));
        rest = after;
    }
    groups
}

impl Run<'_> {
    /// The first position that the first row sees.
    fn from(&self, window: Option<usize>) -> usize {
        window.map_or(0, |window| (self.position + 1).saturating_sub(window))
    }

    /// Positions of the pages from there to the last row.
    fn keys(&self, kind: LayerKind, window: Option<usize>) -> usize {
        let (first, _) = self.cache.table(kind).pages_from(self.from(window));
        (self.position + self.rows - first).next_multiple_of(PAGE)
    }
}

impl Group {
    fn new(runs: &[Run], kind: LayerKind, window: Option<usize>, device: Device) -> Self {
        let rows = runs.iter().map(|run| run.rows).max().unwrap_or(0);
        let keys = runs.iter().map(|run| run.keys(kind, window)).max().unwrap_or(0);
        let (mut tokens, mut pages, mut hidden, mut real) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for run in runs {
            let (first, held) = run.cache.table(kind).pages_from(run.from(window));
            let count = run.keys(kind, window) / PAGE;
            // Where a run has fewer pages than others its last stands in; nothing in it is seen.
            pages.extend((0..keys / PAGE).map(|page| i64::from(held[page.min(count - 1)].id())));
            for row in 0..rows {
                if row < run.rows {
                    real.push(tokens.len() as i64);
                }
                tokens.push((run.token + row.min(run.rows - 1)) as i64);
                let position = run.position + row.min(run.rows - 1);
                let seen = window.map_or(0, |window| (position + 1).saturating_sub(window))..position + 1;
                hidden.extend((first..first + keys).map(|key| !seen.contains(&key)));
            }
        }
        let (count, rows, keys) = (runs.len() as i64, rows as i64, keys as i64);
        let padded = real.len() < tokens.len();
        let tensor = |ids: &[i64]| Tensor::from_slice(ids).to_device(device);
        Group {
            runs: count,
            rows,
            keys,
            tokens: tensor(&tokens),
            pages: tensor(&pages),
            hidden: Tensor::from_slice(&hidden).view([count, 1, 1, rows, keys]).to_device(device),
            real: padded.then(|| tensor(&real)),
        }
    }
}
