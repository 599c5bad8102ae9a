//! Attention with sinks, of grouped queries over keys and values as they lie in pages.
//!
//! A block of queries that share a head of keys meets the keys a tile at a time. Of what it has seen so far it holds the
//! largest score, and by that the sum of the weights and of the values, so that memory does not grow with the keys.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]
#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays of registers")]

use std::ops::Range;
use std::sync::Mutex;

use super::dot::by_rows;
use super::memory::{Buffer, Shared};
use super::product::{Crew, lock};
use super::simd::Simd;

/// Positions in a page.
pub const PAGE: usize = 16;

/// Keys in a tile.
const KEYS: usize = 64;
/// Queries in a block, at most, unless a single row has more.
const QUERIES: usize = 128;
/// Queries that are multiplied at once.
const ROWS: usize = 4;
/// Keys in a part, at least, where few queries look at many keys and the threads share them.
const PART: usize = 512;

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
    rows: Range<usize>,
    head: usize,
    keys: Range<usize>,
    /// Where its state goes, if others see other keys for the same rows.
    part: Option<usize>,
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
pub struct Desk {
    /// Of a tile `[head_dim, KEYS]`.
    keys: Buffer<f32>,
    /// Of a tile `[KEYS, head_dim]`, in whole registers.
    values: Buffer<f32>,
    state: Buffer<f32>,
}

/// What some queries have seen so far.
struct State<'a> {
    /// The sum of the values by their weights, `[queries, wide]`.
    found: &'a mut [f32],
    wide: usize,
    /// The largest score.
    top: &'a mut [f32],
    /// The sum of the weights, e^(score - top).
    sum: &'a mut [f32],
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
        assert!(kv.keys.len().is_multiple_of(page) && kv.values.len() == kv.keys.len(), "whole pages of both");
        let mut free = 0;
        for run in runs {
            assert!(run.row >= free && run.rows <= queries.len() / row - run.row.min(queries.len() / row), "rows apart");
            free = run.row + run.rows;
            assert!(run.held <= step.seen(run, 0).start, "the first position that is seen is held");
            assert!(run.position + run.rows <= run.held + run.pages.len() * PAGE, "all that is seen is held");
            assert!(run.pages.iter().all(|&id| (id as usize) < kv.keys.len() / page), "pages that exist");
        }
        step
    }

    /// Queries that share a head of keys in each row.
    fn shared(&self) -> usize {
        self.sinks.len() / self.kv.kv_heads
    }

    /// The positions that a row of a run sees.
    #[inline(always)]
    fn seen(&self, run: &Run, row: usize) -> Range<usize> {
        let end = run.position + row + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// Where a key and its value begin in the storage.
    #[inline(always)]
    fn place(&self, run: &Run, head: usize, position: usize) -> usize {
        let at = position - run.held;
        let slot = run.pages[at / PAGE] as usize * PAGE + at % PAGE;
        (slot * self.kv.kv_heads + head) * self.kv.head_dim
    }

    /// Where the first query of a row that looks at a head of keys begins.
    fn query(&self, run: &Run, row: usize, head: usize) -> usize {
        ((run.row + row) * self.sinks.len() + head * self.shared()) * self.kv.head_dim
    }

    /// Parts all there is to do, each run by itself alone, so that the results of a sequence do not depend on others.
    /// Gives the room that states of parts take.
    fn items(&self, threads: usize, wide: usize, items: &mut Vec<Item>) -> usize {
        let (heads, block) = (self.kv.kv_heads, (QUERIES / self.shared()).max(1));
        let mut room = 0;
        items.clear();
        for (index, run) in self.runs.iter().enumerate() {
            // The last see most: they come first.
            for start in (0..run.rows).step_by(block).rev() {
                let rows = start..run.rows.min(start + block);
                let keys = self.seen(run, rows.start).start..self.seen(run, rows.end - 1).end;
                let wanted = if run.rows > block { 1 } else { (4 * threads).div_ceil(heads) };
                let parts = wanted.min(keys.len() / PART).max(1);
                for (head, part) in (0..heads).flat_map(|head| (0..parts).map(move |part| (head, part))) {
                    let at = |part| keys.start + part * keys.len() / parts;
                    let size = rows.len() * self.shared() * (wide + 2);
                    let place = (parts > 1).then_some(room);
                    room += if parts > 1 { size } else { 0 };
                    items.push(Item { run: index, rows: rows.clone(), head, keys: at(part)..at(part + 1), part: place });
                }
            }
        }
        room
    }

    /// Weighs the values of an item, which is now complete.
    fn put(&self, item: &Item, state: &State, out: &Shared<f32>) {
        let (run, dim) = (&self.runs[item.run], self.kv.head_dim);
        for (i, row) in item.rows.clone().enumerate() {
            let start = self.query(run, row, item.head);
            // SAFETY: every row with a head of keys is of one item, or of parts that were made one.
            let out = unsafe { out.part(start..start + self.shared() * dim) };
            for (m, out) in (i * self.shared()..).zip(out.chunks_exact_mut(dim)) {
                let (found, factor) = (&state.found[m * state.wide..], state.sum[m].recip());
                out.iter_mut().zip(found).for_each(|(out, found)| *out = found * factor);
            }
        }
    }
}

impl Item {
    fn queries(&self, step: &Step) -> usize {
        self.rows.len() * step.shared()
    }

    fn same_rows(&self, other: &Item) -> bool {
        (self.run, self.head, self.rows.start) == (other.run, other.head, other.rows.start)
    }
}

impl<'a> State<'a> {
    fn room(queries: usize, wide: usize) -> usize {
        queries * (wide + 2)
    }

    /// The state of so many queries in memory of its size.
    fn new(memory: &'a mut [f32], queries: usize, wide: usize) -> Self {
        let (found, rest) = memory.split_at_mut(queries * wide);
        let (top, sum) = rest.split_at_mut(queries);
        State { found, wide, top, sum }
    }

    /// Adds what the same queries have seen of other keys.
    fn merge(&mut self, other: &State) {
        for (m, found) in self.found.chunks_exact_mut(self.wide).enumerate() {
            let top = if other.top[m] > self.top[m] { other.top[m] } else { self.top[m] };
            // Of infinities that are equal the difference is none.
            let factor = |part: f32| if part == top { 1.0 } else { (part - top).exp() };
            let (a, b) = (factor(self.top[m]), factor(other.top[m]));
            self.sum[m] = self.sum[m] * a + other.sum[m] * b;
            self.top[m] = top;
            let other = &other.found[m * self.wide..];
            found.iter_mut().zip(other).for_each(|(found, other)| *found = *found * a + other * b);
        }
    }
}

/// `out` `[rows, heads, head_dim]`, as the queries; rows of no run stay as they are.
pub fn forward(crew: &Crew, scratch: &mut Scratch, step: Step, out: &mut [f32]) {
    let Crew { team, kernels, .. } = crew;
    assert_eq!(out.len(), step.queries.len(), "an output for each query");
    let Scratch { items, parts, desks } = scratch;
    desks.resize_with(team.threads(), Mutex::default);
    let wide = step.kv.head_dim.next_multiple_of(kernels.lanes());
    let room = step.items(team.threads(), wide, items);
    let parts = parts.space(room);
    let out = Shared::new(out);
    {
        let parts = Shared::new(parts);
        team.each(items.len(), |thread, index| {
            let item = &items[index];
            let queries = item.queries(&step);
            let room = State::room(queries, wide);
            let Desk { keys, values, state } = &mut *lock(&desks[thread]);
            let state = match item.part {
                // SAFETY: every part has its own place.
                Some(part) => unsafe { parts.part(part..part + room) },
                None => state.space(room),
            };
            kernels.attend(&step, item, keys, values, state);
            if item.part.is_none() {
                step.put(item, &State::new(state, queries, wide), &out);
            }
        });
    }
    let shared = items.chunk_by(Item::same_rows).filter(|same| same.len() > 1);
    for same in shared {
        let (first, queries) = (&same[0], same[0].queries(&step));
        let start = first.part.expect("those of one block are parts");
        // Parts of the same rows follow each other.
        let mut states = parts[start..][..same.len() * State::room(queries, wide)]
            .chunks_exact_mut(State::room(queries, wide))
            .map(|memory| State::new(memory, queries, wide));
        if let Some(mut all) = states.next() {
            states.for_each(|state| all.merge(&state));
            step.put(first, &all, &out);
        }
    }
}

/// What an item's queries see, of its keys alone; the sink counts with the first of a row's keys.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn attend<S: Simd>(
    step: &Step,
    item: &Item,
    keys: &mut Buffer<f32>,
    values: &mut Buffer<f32>,
    state: &mut [f32],
) {
    let (run, shared, dim) = (&step.runs[item.run], step.shared(), step.kv.head_dim);
    let (queries, wide) = (item.queries(step), dim.next_multiple_of(S::LANES));
    assert_eq!(state.len(), State::room(queries, wide), "a state for each query");
    let state = State::new(state, queries, wide);
    state.found.fill(0.0);
    let from_start = item.keys.start == step.seen(run, item.rows.start).start;
    state.sum.fill(if from_start { 1.0 } else { 0.0 });
    for (top, sink) in state.top.iter_mut().zip(step.sinks[item.head * shared..][..shared].iter().cycle()) {
        // Never infinitely low, for it is subtracted.
        *top = if *sink < f32::MIN { f32::MIN } else { *sink };
    }
    let keys = keys.space(dim * KEYS);
    let copies = (dim % S::LANES != 0 || queries > 4 * ROWS).then(|| values.space(KEYS * wide));
    let copies = copies.map(|copies| copies.as_mut_ptr());
    let mut scores = Scores([[0.0; KEYS]; ROWS]);
    for start in item.keys.clone().step_by(KEYS) {
        let count = KEYS.min(item.keys.end - start);
        let places: [usize; KEYS] =
            std::array::from_fn(|key| step.place(run, item.head, start + key.min(count - 1)));
        lay::<S>(step.kv.keys.as_ptr(), &places, dim, keys.as_mut_ptr());
        let values = places.map(|place| step.kv.values.as_ptr().add(place));
        let values = match copies {
            Some(copies) => copy(values, count, dim, wide, copies),
            None => values,
        };
        let tile = Tile { keys: keys.as_ptr(), values, dim, wide };
        for first in (0..queries).step_by(ROWS) {
            by_rows!(ROWS.min(queries - first), M in 1 2 3 4 => {
                let seen: [Range<usize>; M] = std::array::from_fn(|m| {
                    let seen = step.seen(run, item.rows.start + (first + m) / shared);
                    seen.start.clamp(start, start + count) - start..seen.end.clamp(start, start + count) - start
                });
                if seen[0].start < seen[M - 1].end {
                    let query = |m: usize| {
                        let (row, query) = (item.rows.start + (first + m) / shared, (first + m) % shared);
                        step.queries[step.query(run, row, item.head) + query * dim..].as_ptr()
                    };
                    let found = state.found.as_mut_ptr().add(first * wide);
                    let (top, sum) = (&mut state.top[first..first + M], &mut state.sum[first..first + M]);
                    meet::<S, M>(&tile, std::array::from_fn(query), seen, &mut scores, (found, top, sum));
                }
            });
        }
    }
}

/// Of a tile: the keys `[dim, KEYS]`, and where each value begins, in registers of `wide` numbers.
struct Tile {
    keys: *const f32,
    values: [*const f32; KEYS],
    dim: usize,
    wide: usize,
}

#[repr(align(64))]
struct Scores([[f32; KEYS]; ROWS]);

/// `M` queries meet the keys that each of them sees.
#[inline(always)]
// SAFETY: the contract of `Simd`; the queries have `dim` numbers, and the state is theirs.
unsafe fn meet<S: Simd, const M: usize>(
    tile: &Tile,
    queries: [*const f32; M],
    seen: [Range<usize>; M],
    scores: &mut Scores,
    (found, top, sum): (*mut f32, &mut [f32], &mut [f32]),
) {
    // What any of them sees, and the registers that this is in.
    let any = seen[0].start..seen[M - 1].end;
    let registers = any.start / S::LANES..any.end.div_ceil(S::LANES);
    let scores = scores.0.as_mut_ptr().cast::<f32>();
    wide::<S>(registers.clone(), |at, width| match width {
        4 => multiply::<S, M, 4>(tile, queries, at, scores),
        2 => multiply::<S, M, 2>(tile, queries, at, scores),
        _ => multiply::<S, M, 1>(tile, queries, at, scores),
    });
    for m in 0..M {
        let scores = scores.add(m * KEYS);
        let hide = |number: f32| {
            for key in (registers.start * S::LANES..seen[m].start).chain(seen[m].end..registers.end * S::LANES) {
                *scores.add(key) = number;
            }
        };
        hide(f32::NEG_INFINITY);
        let mut largest = S::splat(f32::NEG_INFINITY);
        for at in registers.clone() {
            largest = S::max(S::load(scores.add(at * S::LANES)), largest);
        }
        let largest = S::largest(largest);
        if largest > top[m] {
            let factor = S::splat(S::sum(exp::<S>(S::splat(top[m] - largest))) / S::LANES as f32);
            top[m] = largest;
        }
        let mut total = S::zero();
        for at in registers.clone() {
            let at = scores.add(at * S::LANES);
            let weight = exp::<S>(S::add(S::load(at), S::splat(-top[m])));
            S::store(at, weight);
            total = S::add(total, weight);
        }
        hide(0.0);
        sum[m] += S::sum(total);
    }
}
