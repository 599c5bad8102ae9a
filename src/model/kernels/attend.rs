//! Attention with sinks, of grouped queries over keys and values as they lie in pages.
//!
//! A block of queries that share a head of keys meets the keys a tile at a time. Of what it has seen so far it holds the
//! largest score, and by that the sum of the weights and of the values, so that memory does not grow with the keys.

#![allow(unsafe_code, reason = "threads write parts of one result")]

use std::ops::Range;
use std::sync::Mutex;

use super::flash::Panels;
use super::memory::{Buffer, Shared};
use super::product::{Crew, lock};

/// Positions in a page.
pub const PAGE: usize = 16;

/// Queries in a block, at most, unless a single row has more.
const QUERIES: usize = 256;
/// Rows in a block, at least, so that keys are not read for too few.
const LEAST: usize = 8;
/// Queries of a block that are few, as those of one row are.
const FEW: usize = 16;
/// Where threads share the keys of a block, each gets a multiple of so many: for few queries, and for many.
const FEW_KEYS: usize = 64;
const MANY_KEYS: usize = 512;

/// Keys and values of one layer, each `[pages, PAGE, kv_heads, head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct Paged<'a> {
    pub keys: &'a [f32],
    pub values: &'a [f32],
    pub kv_heads: usize,
    pub head_dim: usize,
}

/// The rows of a step that are of one sequence and follow each other. A row is a token with all its heads.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The first row, in the step.
    pub row: usize,
    /// The position of the first row, in its sequence.
    pub position: usize,
    pub rows: usize,
    /// Those that hold the positions from `held` up to the last row.
    pub pages: &'a [u32],
    /// The position at which the first page begins.
    pub held: usize,
}

/// What rows of a step look at. Its pages exist, and hold every position that is seen.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    queries: &'a [f32],
    kv: Paged<'a>,
    runs: &'a [Run<'a>],
    sinks: &'a [f32],
    window: Option<usize>,
}

/// A block of rows of a run with a head of keys, and the keys that it is to see.
#[derive(Clone, Debug)]
pub struct Item {
    run: usize,
    pub rows: Range<usize>,
    pub heads: Range<usize>,
    pub keys: Range<usize>,
    /// Of the items that see other keys for the same rows, it is the one that counts their sinks.
    pub first: bool,
    /// Where its state goes, if there are others.
    part: Option<usize>,
}

/// What some queries have seen so far.
pub struct State<'a> {
    /// The sum of the values by their weights, `[queries, wide]`.
    pub found: &'a mut [f32],
    /// `head_dim`, in whole registers.
    pub wide: usize,
    /// The sum of the weights e^(score - base), the sink's among them, over lanes `[queries, lanes]`.
    pub sum: &'a mut [f32],
    pub lanes: usize,
    /// The largest score, or not much less, `[queries]`.
    pub base: &'a mut [f32],
}

/// What is kept between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    items: Vec<Item>,
    /// The states of parts.
    parts: Buffer<f32>,
    /// One for each thread.
    desks: Vec<Mutex<Desk>>,
}

/// What one thread keeps.
#[derive(Debug, Default)]
struct Desk {
    panels: Panels,
    state: Buffer<f32>,
}

/// `out` `[rows, heads, head_dim]`, as the queries; rows of no run stay as they are.
pub fn forward(crew: &Crew, scratch: &mut Scratch, step: Step, out: &mut [f32]) {
    let Crew { team, kernels, .. } = crew;
    assert_eq!(out.len(), step.queries.len(), "an output for each query");
    let Scratch { items, parts, desks } = scratch;
    desks.resize_with(team.threads(), Mutex::default);
    let widths = (step.kv.head_dim.next_multiple_of(kernels.lanes()), kernels.lanes());
    let parts = parts.space(step.items(team.threads(), widths, items));
    let size = |item: &Item| State::size(item.heads.len() * item.rows.len() * step.shared(), widths);
    let out = Shared::new(out);
    let places = Shared::new(parts);
    team.each(items.len(), |thread, index| {
        let item = &items[index];
        let Desk { panels, state } = &mut *lock(&desks[thread]);
        let state = match item.part {
            // SAFETY: every part has a place of its own.
            Some(place) => unsafe { places.part(place..place + size(item)) },
            None => state.space(size(item)),
        };
        let mut state = State::new(state, widths);
        kernels.attend(&step, item, panels, &mut state);
        if item.part.is_none() {
            step.put(item, &state, &out);
        }
    });
    let shared: Vec<&[Item]> = items.chunk_by(|_, next| !next.first).filter(|same| same.len() > 1).collect();
    team.each(shared.len(), |_, index| {
        let same = shared[index];
        let states = same.iter().filter_map(|item| item.part.map(|place| place..place + size(item)));
        // SAFETY: the parts are complete, and those of the same rows are one thread's.
        let mut states = states.map(|place| State::new(unsafe { places.part(place) }, widths));
        if let Some(mut all) = states.next() {
            states.for_each(|state| all.merge(&state));
            step.put(&same[0], &all, &out);
        }
    });
}

impl<'a> Step<'a> {
    /// Panics where the sizes do not fit, or a page is not there.
    pub fn new(
        queries: &'a [f32],
        kv: Paged<'a>,
        runs: &'a [Run<'a>],
        sinks: &'a [f32],
        window: Option<usize>,
    ) -> Self {
        let step = Step { queries, kv, runs, sinks, window };
        let (row, page) = (sinks.len() * kv.head_dim, PAGE * kv.kv_heads * kv.head_dim);
        assert!(row > 0 && page > 0 && sinks.len().is_multiple_of(kv.kv_heads), "heads that share heads of keys");
        assert!(queries.len().is_multiple_of(row), "whole rows of queries");
        assert!(window != Some(0), "a row that sees itself");
        let rows = queries.len() / row;
        assert!(kv.keys.len().is_multiple_of(page) && kv.values.len() == kv.keys.len(), "whole pages of both");
        let mut next = 0;
        for run in runs {
            assert!((next..=rows).contains(&run.row) && run.rows <= rows - run.row, "rows of one run each");
            next = run.row + run.rows;
            assert!(run.held <= step.seen(run, 0).start, "the first position that is seen is held");
            assert!(run.position + run.rows <= run.held + run.pages.len() * PAGE, "all that is seen is held");
            assert!(run.pages.iter().all(|&id| (id as usize) < kv.keys.len() / page), "pages that exist");
        }
        step
    }

    pub fn kv(&self) -> &Paged<'a> {
        &self.kv
    }

    pub fn run(&self, item: &Item) -> &Run<'a> {
        &self.runs[item.run]
    }

    /// Queries that share a head of keys in each row.
    pub fn shared(&self) -> usize {
        self.sinks.len() / self.kv.kv_heads
    }

    /// The positions that a row of a run sees.
    #[inline(always)]
    pub fn seen(&self, run: &Run, row: usize) -> Range<usize> {
        let end = run.position + row + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Where a key and its value begin in the storage.
    #[inline(always)]
    pub fn place(&self, run: &Run, head: usize, position: usize) -> usize {
        let at = position - run.held;
        let slot = run.pages[at / PAGE] as usize * PAGE + at % PAGE;
        (slot * self.kv.kv_heads + head) * self.kv.head_dim
    }

    /// Makes a state that of an item's queries that have seen nothing but their sinks.
    pub fn begin(&self, item: &Item, state: &mut State) {
        state.found.fill(0.0);
        state.sum.fill(0.0);
        let sinks = self.sinks.chunks_exact(self.shared());
        let sinks = sinks.skip(item.heads.start).flat_map(|sinks| item.rows.clone().flat_map(move |_| sinks));
        let states = state.base.iter_mut().zip(state.sum.chunks_exact_mut(state.lanes));
        for ((base, sum), &sink) in states.zip(sinks) {
            // Never infinitely low, for it is subtracted.
            *base = if sink < f32::MIN { f32::MIN } else { sink };
            sum[0] = if item.first { 1.0 } else { 0.0 };
        }
    }

    /// The query of a row's head.
    #[inline(always)]
    pub fn query(&self, run: &Run, row: usize, head: usize) -> &[f32] {
        let start = ((run.row + row) * self.sinks.len() + head) * self.kv.head_dim;
        &self.queries[start..start + self.kv.head_dim]
    }

    /// Parts all there is to do, each run by itself alone, so that the results of a sequence do not depend on others.
    /// Gives the room that states of parts take.
    fn items(&self, threads: usize, widths: (usize, usize), items: &mut Vec<Item>) -> usize {
        // For the threads to share them evenly.
        let wanted = 4 * threads;
        let (heads, shared) = (self.kv.kv_heads, self.shared());
        let most = (QUERIES / shared).max(1);
        let mut room = 0;
        items.clear();
        for (index, run) in self.runs.iter().enumerate() {
            let block = run.rows.div_ceil(wanted.div_ceil(heads)).clamp(LEAST.min(most), most);
            let wanted = wanted.div_ceil(run.rows.div_ceil(block).max(1));
            // The last rows see most: they come first.
            for start in (0..run.rows).step_by(block).rev() {
                let rows = start..run.rows.min(start + block);
                let keys = self.seen(run, rows.start).start..self.seen(run, rows.end - 1).end;
                // Few queries are done as soon as memory is read, which is fastest in one piece. For many, it is best
                // read seldom.
                let few = rows.len() * shared <= FEW;
                let parts = if few { wanted } else { wanted / heads };
                let part = keys.len().div_ceil(parts.max(1)).next_multiple_of(if few { FEW_KEYS } else { MANY_KEYS });
                let parts = keys.len().div_ceil(part);
                let groups = if few { (wanted / parts).clamp(1, heads) } else { heads };
                let size = State::size(heads.div_ceil(groups) * rows.len() * shared, widths);
                for (group, from) in
                    (0..groups).flat_map(|group| keys.clone().step_by(part).map(move |from| (group, from)))
                {
                    let heads = group * heads / groups..(group + 1) * heads / groups;
                    let place = (parts > 1).then_some(room);
                    room += place.map_or(0, |_| size);
                    let (rows, some, first) = (rows.clone(), from..keys.end.min(from + part), from == keys.start);
                    items.push(Item { run: index, rows, heads, keys: some, first, part: place });
                }
            }
        }
        room
    }

    /// Writes what an item has found, its values by their weights, over the sum of these.
    fn put(&self, item: &Item, state: &State, out: &Shared<f32>) {
        let (shared, dim) = (self.shared(), self.kv.head_dim);
        let mut states = state.found.chunks_exact(state.wide).zip(state.sum.chunks_exact(state.lanes));
        for (head, row) in item.heads.clone().flat_map(|head| item.rows.clone().map(move |row| (head, row))) {
            let place = ((self.run(item).row + row) * self.kv.kv_heads + head) * shared * dim;
            // SAFETY: every row with a head of keys is of one item, or of parts that have become one.
            let out = unsafe { out.part(place..place + shared * dim) };
            for (out, (found, sum)) in out.chunks_exact_mut(dim).zip(&mut states) {
                let factor = sum.iter().sum::<f32>().recip();
                out.iter_mut().zip(found).for_each(|(out, found)| *out = found * factor);
            }
        }
    }
}

impl<'a> State<'a> {
    fn size(queries: usize, (wide, lanes): (usize, usize)) -> usize {
        queries * (wide + lanes + 1)
    }

    /// In memory of its size.
    fn new(memory: &'a mut [f32], (wide, lanes): (usize, usize)) -> Self {
        let queries = memory.len() / (wide + lanes + 1);
        let (found, rest) = memory.split_at_mut(queries * wide);
        let (sum, base) = rest.split_at_mut(queries * lanes);
        State { found, wide, sum, lanes, base }
    }

    /// Adds what the same queries have seen of other keys.
    fn merge(&mut self, other: &State) {
        for (m, (base, &others)) in self.base.iter_mut().zip(&*other.base).enumerate() {
            let higher = if others > *base { others } else { *base };
            // Of infinities that are equal the difference is none.
            let factor = |base: f32| if base == higher { 1.0 } else { (base - higher).exp() };
            let (a, b) = (factor(*base), factor(others));
            *base = higher;
            let add = |to: &mut [f32], from: &[f32], size: usize| {
                let (to, from) = (&mut to[m * size..][..size], &from[m * size..][..size]);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = *to * a + from * b);
            };
            add(self.found, other.found, self.wide);
            add(self.sum, other.sum, self.lanes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernels};
    use super::*;
    use proptest::prelude::*;

    /// Numbers from -1 to 1.
    fn numbers(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(next).collect()
    }

    /// A sequence's rows in a step: positions before them, how many they are, and pages that were let go of.
    #[derive(Clone, Copy, Debug)]
    struct Part {
        before: usize,
        rows: usize,
        gone: usize,
    }

    /// A step, with memory of its own.
    #[derive(Clone, Debug)]
    struct Owned {
        heads: usize,
        kv_heads: usize,
        head_dim: usize,
        window: Option<usize>,
        parts: Vec<Part>,
        pages: Vec<Vec<u32>>,
        queries: Vec<f32>,
        keys: Vec<f32>,
        values: Vec<f32>,
        sinks: Vec<f32>,
    }

    impl Owned {
        /// Pages lie anywhere, and what is in none of a sequence's positions is no number.
        fn new(seed: u64, heads: (usize, usize, usize), window: Option<usize>, parts: &[Part], loud: f32) -> Self {
            let (kv_heads, shared, head_dim) = heads;
            let mut parts = parts.to_vec();
            let mut pages = Vec::new();
            let total: usize = parts.iter().map(|part| (part.before + part.rows).div_ceil(PAGE) + 1).sum();
            let mut ids: Vec<u32> = (0..total as u32).collect();
            let chance = numbers(seed ^ 1, total);
            ids.sort_by(|&a, &b| chance[a as usize].total_cmp(&chance[b as usize]));
            for part in &mut parts {
                let unseen = window.map_or(0, |window| (part.before + 1).saturating_sub(window));
                part.gone = part.gone.min(unseen / PAGE);
                let count = (part.before + part.rows).div_ceil(PAGE) - part.gone;
                pages.push(ids.split_off(ids.len() - count));
            }
            let row = kv_heads * head_dim;
            let (mut keys, mut values) = (vec![f32::NAN; total * PAGE * row], vec![f32::NAN; total * PAGE * row]);
            let rows: usize = parts.iter().map(|part| part.rows).sum();
            for (i, (part, pages)) in parts.iter().zip(&pages).enumerate() {
                for position in part.gone * PAGE..part.before + part.rows {
                    let slot = pages[position / PAGE - part.gone] as usize * PAGE + position % PAGE;
                    let seed = seed ^ ((i as u64) << 40) ^ ((position as u64) << 8);
                    keys[slot * row..][..row].copy_from_slice(&numbers(seed ^ 2, row));
                    values[slot * row..][..row].copy_from_slice(&numbers(seed ^ 3, row));
                }
            }
            let heads = kv_heads * shared;
            let queries = numbers(seed ^ 4, rows * heads * head_dim).into_iter().map(|x| x * loud).collect();
            let sinks = numbers(seed ^ 5, heads).into_iter().map(|x| x * 3.0).collect();
            Owned { heads, kv_heads, head_dim, window, parts, pages, queries, keys, values, sinks }
        }

        fn paged(&self) -> Paged<'_> {
            Paged { keys: &self.keys, values: &self.values, kv_heads: self.kv_heads, head_dim: self.head_dim }
        }

        fn runs(&self) -> Vec<Run<'_>> {
            let mut next = 0;
            let mut runs = Vec::new();
            for (part, pages) in self.parts.iter().zip(&self.pages) {
                runs.push(Run { row: next, position: part.before, rows: part.rows, pages, held: part.gone * PAGE });
                next += part.rows;
            }
            runs
        }

        fn attend(&self, kernels: &Kernels) -> Vec<f32> {
            let mut out = vec![f32::NAN; self.queries.len()];
            kernels.attend(&self.queries, self.paged(), &self.runs(), &self.sinks, self.window, &mut out);
            out
        }

        /// The plain way.
        fn plain(&self) -> Vec<f64> {
            let (dim, shared) = (self.head_dim, self.heads / self.kv_heads);
            let mut out = Vec::new();
            for (run, row) in self.runs().iter().flat_map(|run| (0..run.rows).map(move |row| (run, row))) {
                let last = run.position + row;
                let seen = self.window.map_or(0, |window| (last + 1).saturating_sub(window))..last + 1;
                for head in 0..self.heads {
                    let query = &self.queries[((run.row + row) * self.heads + head) * dim..][..dim];
                    let place = |position: usize| {
                        let slot = run.pages[position / PAGE - run.held / PAGE] as usize * PAGE + position % PAGE;
                        (slot * self.kv_heads + head / shared) * dim
                    };
                    let score = |position| {
                        let key = &self.keys[place(position)..][..dim];
                        key.iter().zip(query).map(|(&k, &q)| f64::from(k) * f64::from(q)).sum::<f64>()
                    };
                    let scores: Vec<f64> = seen.clone().map(score).collect();
                    let sink = f64::from(self.sinks[head]);
                    let top = scores.iter().copied().fold(sink, f64::max);
                    let sum = scores.iter().map(|score| (score - top).exp()).sum::<f64>() + (sink - top).exp();
                    let mut found = vec![0.0; dim];
                    for (position, score) in seen.clone().zip(scores) {
                        let weight = (score - top).exp() / sum;
                        let value = &self.values[place(position)..][..dim];
                        found.iter_mut().zip(value).for_each(|(found, &value)| *found += weight * f64::from(value));
                    }
                    out.extend(found);
                }
            }
            out
        }
    }

    /// The largest difference; values are at most 1. What is no number on either side is one.
    fn error(got: &[f32], expected: &[f64]) -> f64 {
        assert_eq!(got.len(), expected.len());
        let differences = got.iter().zip(expected).map(|(&got, expected)| (f64::from(got) - expected).abs());
        differences.fold(0.0, |most, next| if next <= most { most } else { next })
    }

    fn all_kernels(threads: usize) -> Vec<Kernels> {
        Isa::available().into_iter().map(|isa| Kernels::with(threads, isa)).collect()
    }

    fn heads() -> impl Strategy<Value = (usize, usize, usize)> {
        let dims = prop_oneof![Just(8usize), Just(32), Just(64), 1usize..40];
        (1usize..4, prop_oneof![Just(1usize), Just(3), Just(8), 1usize..12], dims)
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let rows = prop_oneof![3 => Just(1usize), 2 => 1usize..20, 1 => 1usize..200];
        let before = prop_oneof![2 => 0usize..100, 1 => 0usize..600, 1 => (0usize..10).prop_map(|pages| pages * PAGE)];
        let part = (before, rows, 0usize..100).prop_map(|(before, rows, gone)| Part { before, rows, gone });
        prop::collection::vec(part, 1..4)
    }

    fn windows() -> impl Strategy<Value = Option<usize>> {
        prop_oneof![Just(None), Just(Some(1)), (1usize..200).prop_map(Some), Just(Some(16)), Just(Some(128))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn queries_find_what_they_should(
            heads in heads(),
            window in windows(),
            parts in parts(),
            loud in prop_oneof![Just(0.1f32), Just(1.0), Just(4.0)],
            threads in 1usize..4,
            seed: u64,
        ) {
            let owned = Owned::new(seed, heads, window, &parts, loud);
            let expected = owned.plain();
            for kernels in all_kernels(threads) {
                let error = error(&owned.attend(&kernels), &expected);
                prop_assert!(error < 1e-5, "{:?}: {error}", kernels.isa());
            }
        }

        #[test]
        fn a_run_finds_the_same_alone(
            heads in heads(),
            window in windows(),
            parts in parts(),
            long in 0usize..2000,
            threads in 1usize..4,
            seed: u64,
        ) {
            let mut parts = parts;
            parts[0].before += long;
            let owned = Owned::new(seed, heads, window, &parts, 1.0);
            for kernels in all_kernels(threads) {
                let together = owned.attend(&kernels);
                for run in owned.runs() {
                    let mut alone = vec![f32::NAN; together.len()];
                    kernels.attend(&owned.queries, owned.paged(), &[run], &owned.sinks, window, &mut alone);
                    let row = owned.heads * owned.head_dim;
                    let range = run.row * row..(run.row + run.rows) * row;
                    prop_assert!(alone[range.clone()] == together[range.clone()], "{:?}", kernels.isa());
                    let others = alone.iter().enumerate().filter(|(i, _)| !range.contains(i));
                    prop_assert!(others.into_iter().all(|(_, x)| x.is_nan()), "rows of no run were written");
                }
            }
        }
    }

    #[test]
    fn long_contexts_are_parted_between_threads() {
        for (before, rows, window) in [(1999, 1, None), (1500, 9, None), (2000, 1, Some(1100)), (1990, 150, None)] {
            let part = Part { before, rows, gone: 1000 };
            let owned = Owned::new(7, (1, 3, 32), window, &[part, Part { before: 3, rows: 1, gone: 0 }], 2.0);
            let expected = owned.plain();
            for kernels in all_kernels(3) {
                let error = error(&owned.attend(&kernels), &expected);
                assert!(error < 1e-5, "{:?} {before} {rows} {window:?}: {error}", kernels.isa());
            }
        }
    }

    /// Whatever its size, a sink counts once, also where the keys are in parts.
    #[test]
    fn sinks_of_any_size() {
        for before in [5, 1800] {
            let mut owned = Owned::new(11, (1, 8, 16), None, &[Part { before, rows: 2, gone: 0 }], 1.0);
            owned.sinks = vec![-f32::MAX, -1e30, -100.0, 0.0, 7.0, 50.0, 1e30, f32::MAX];
            let mut expected = owned.plain();
            for kernels in all_kernels(3) {
                let error = error(&owned.attend(&kernels), &expected);
                assert!(error < 1e-5, "{:?}: {error}", kernels.isa());
            }
            owned.sinks[0] = f32::NEG_INFINITY;
            owned.sinks[7] = f32::INFINITY;
            expected.chunks_mut(8 * 16).for_each(|row| row[7 * 16..].fill(0.0));
            for kernels in all_kernels(3) {
                let error = error(&owned.attend(&kernels), &expected);
                assert!(error < 1e-5, "infinite, {:?}: {error}", kernels.isa());
            }
        }
    }

    /// Scores far beyond what e^x holds.
    #[test]
    fn loud_queries() {
        for before in [70, 1800] {
            let mut owned = Owned::new(13, (2, 3, 32), None, &[Part { before, rows: 5, gone: 0 }], 1.0);
            // Whole numbers, so that scores are exact.
            let whole = |x: &mut f32| *x = (*x * 100.0).round();
            owned.queries.iter_mut().for_each(whole);
            owned.keys.iter_mut().for_each(whole);
            let expected = owned.plain();
            for kernels in all_kernels(2) {
                let error = error(&owned.attend(&kernels), &expected);
                assert!(error < 1e-5, "{:?}: {error}", kernels.isa());
            }
        }
    }

    /// What is no number in the keys, values or queries of a sequence stays in what that sequence finds.
    #[test]
    fn what_is_no_number_stays_in_its_sequence() {
        let parts = [(40, 1), (90, 30), (1700, 1)].map(|(before, rows)| Part { before, rows, gone: 0 });
        for poisoned in 0..parts.len() {
            for what in 0..3 {
                let mut owned = Owned::new(17, (2, 4, 32), None, &parts, 1.0);
                let (clean, part, page) = (owned.clone(), parts[poisoned], owned.pages[poisoned][1]);
                let page = page as usize * PAGE * owned.kv_heads * owned.head_dim;
                let run = owned.runs()[poisoned].row * owned.heads * owned.head_dim;
                let rows = run..run + part.rows * owned.heads * owned.head_dim;
                match what {
                    0 => owned.keys[page..page + 64].fill(f32::NAN),
                    1 => owned.values[page..page + 64].fill(f32::NAN),
                    _ => owned.queries[rows.clone()].fill(f32::NAN),
                }
                for kernels in all_kernels(2) {
                    let (got, clean) = (owned.attend(&kernels), clean.attend(&kernels));
                    for (i, (got, clean)) in got.iter().zip(&clean).enumerate() {
                        if rows.contains(&i) {
                            assert!(got.is_nan(), "{:?}: {what} of {poisoned} is lost at {i}", kernels.isa());
                        } else {
                            assert!(got == clean, "{:?}: {what} of {poisoned} came to {i}", kernels.isa());
                        }
                    }
                }
            }
        }
    }

    /// What is no number reaches the rows that see it, and no other: however many heads share it, and on both sides of what a
    /// row sees.
    #[test]
    fn only_what_is_seen_comes_through() {
        for (shared, window) in [1, 3, 4, 8].into_iter().flat_map(|shared| [(shared, None), (shared, Some(9))]) {
            let owned = Owned::new(19, (2, shared, 32), window, &[Part { before: 37, rows: 40, gone: 0 }], 1.0);
            let mut poisoned = owned.clone();
            let row = owned.kv_heads * owned.head_dim;
            for position in 50..55 {
                let slot = owned.pages[0][position / PAGE] as usize * PAGE + position % PAGE;
                poisoned.keys[slot * row..][..row].fill(f32::NAN);
                poisoned.values[slot * row..][..row].fill(f32::INFINITY);
            }
            let unseen = window.map_or(usize::MAX, |window| 54 + window);
            for kernels in all_kernels(2) {
                let (clean, poisoned) = (owned.attend(&kernels), poisoned.attend(&kernels));
                let rows = clean.chunks(owned.heads * 32).zip(poisoned.chunks(owned.heads * 32));
                for (position, (clean, poisoned)) in (37..).zip(rows) {
                    let here = format!("{:?}, {shared} {window:?}, {position}", kernels.isa());
                    if (50..unseen).contains(&position) {
                        assert!(poisoned.iter().all(|x| x.is_nan()), "lost: {here}");
                    } else {
                        assert!(clean == poisoned, "came through: {here}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_to_do() {
        for kernels in all_kernels(2) {
            let kv = Paged { keys: &[], values: &[], kv_heads: 1, head_dim: 4 };
            kernels.attend(&[], kv, &[], &[0.0], None, &mut []);
            let none = Run { row: 0, position: 5, rows: 0, pages: &[], held: 5 };
            kernels.attend(&[], kv, &[none], &[0.0], Some(1), &mut []);
        }
    }

    /// Every field of a run is looked at before any page is.
    #[test]
    fn what_does_not_fit_is_refused() {
        let (keys, queries) = (vec![0.0; 3 * PAGE * 4], vec![0.0; 2 * 4]);
        let good = Run { row: 0, position: 30, rows: 2, pages: &[2, 0], held: 0 };
        let try_it = |run: Run, more: &[Run], sinks: &[f32], keys: &[f32], window| {
            let call = || {
                let kv = Paged { keys, values: &vec![0.0; 3 * PAGE * 4], kv_heads: 1, head_dim: 4 };
                let runs: Vec<Run> = std::iter::once(run).chain(more.iter().copied()).collect();
                Kernels::new(2).attend(&queries, kv, &runs, sinks, window, &mut vec![0.0; queries.len()]);
            };
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_ok()
        };
        assert!(try_it(good, &[], &[0.0], &keys, None));
        assert!(try_it(Run { held: 16, pages: &[1], ..good }, &[], &[0.0], &keys, Some(15)));
        for wrong in [
            Run { row: 1, ..good },
            Run { row: usize::MAX, ..good },
            Run { rows: 3, ..good },
            Run { pages: &[2, 3], ..good },
            Run { pages: &[2], ..good },
            Run { pages: &[2, u32::MAX], ..good },
            Run { position: 31, ..good },
            Run { held: 16, pages: &[1, 2], ..good },
        ] {
            assert!(!try_it(wrong, &[], &[0.0], &keys, None), "{wrong:?}");
        }
        assert!(!try_it(Run { held: 16, pages: &[1], ..good }, &[], &[0.0], &keys, Some(16)), "held too late");
        assert!(!try_it(good, &[Run { row: 1, rows: 1, ..good }], &[0.0], &keys, None), "a row of two runs");
        assert!(!try_it(good, &[], &[], &keys, None), "no heads");
        assert!(!try_it(Run { held: 32, pages: &[], ..good }, &[], &[0.0], &keys, Some(0)), "nothing is seen");
        assert!(!try_it(good, &[], &[0.0; 4], &keys, None), "other heads");
        assert!(!try_it(good, &[], &[0.0], &keys[..2 * PAGE * 4], None), "fewer keys than values");
    }

    #[test]
    fn weights_are_as_exact_as_their_type() {
        // A single key of score x and a sink of 0: what is found is 1 / (1 + e^-x).
        for kernels in all_kernels(1) {
            for i in -4000..4000 {
                let x = i as f32 / 50.0;
                let (keys, values) = ([[1.0; PAGE]; 1].concat(), [[1.0; PAGE]; 1].concat());
                let kv = Paged { keys: &keys, values: &values, kv_heads: 1, head_dim: 1 };
                let run = Run { row: 0, position: 0, rows: 1, pages: &[0], held: 0 };
                let mut out = [f32::NAN];
                kernels.attend(&[x], kv, &[run], &[0.0], None, &mut out);
                let expected = 1.0 / (1.0 + (-f64::from(x)).exp());
                let error = (f64::from(out[0]) / expected - 1.0).abs();
                assert!(error < 4e-7, "{:?} {x}: {} is not {expected}", kernels.isa(), out[0]);
            }
        }
    }
}
