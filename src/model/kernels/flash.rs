//! How a block of queries meets its keys, a tile at a time.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "pointers whose bounds the entry functions have asserted")]
#![allow(clippy::needless_range_loop, reason = "one index goes through several arrays of registers")]

use std::cmp::Ordering;
use std::ops::Range;

use super::attend::{Item, PAGE, Paged, State, Step};
use super::dot::by_rows;
use super::memory::Buffer;
use super::simd::Simd;
use super::swiglu::{LN_2, POLYNOMIAL, ROUND, exp};

/// Keys in a tile.
const KEYS: usize = 64;
/// Queries that are multiplied at once.
const ROWS: usize = 4;
/// How far a score may be above what weights are taken from before that is raised: e^8 is no trouble.
const ABOVE: f32 = 8.0;

/// Memory for a tile.
#[derive(Debug, Default)]
pub struct Panels {
    /// `[head_dim, KEYS]`.
    keys: Buffer<f32>,
    /// `[KEYS, head_dim]`, in whole registers.
    values: Buffer<f32>,
}

/// What an item's queries see, of its keys alone. Their sinks count with the first of the keys.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn attend<S: Simd>(step: &Step, item: &Item, panels: &mut Panels, state: &mut State) {
    let (run, shared, dim) = (step.run(item), step.shared(), step.kv().head_dim);
    let (queries, wide) = (item.rows.len() * shared, dim.next_multiple_of(S::LANES));
    let states = item.heads.len() * queries;
    assert!(state.wide == wide && state.found.len() == states * wide, "a state for each query");
    assert!(state.lanes == S::LANES && state.sum.len() == states * S::LANES, "a state for each query");
    assert_eq!(state.base.len(), states, "a state for each query");
    step.begin(item, state);
    let keys = panels.keys.space(dim * KEYS).as_mut_ptr();
    // They are read where they lie, unless that takes more than whole registers, or often.
    let copies = dim % S::LANES != 0 || queries > 4 * ROWS;
    let copies = copies.then(|| panels.values.space(KEYS * wide).as_mut_ptr());
    let mut scores = Scores([[0.0; KEYS]; ROWS]);
    // Beyond the end, the last key stands in.
    let places = |start: usize| {
        let mut place = 0;
        std::array::from_fn(|key| {
            let position = start + key;
            if key == 0 || position < item.keys.end && (position - run.held).is_multiple_of(PAGE) {
                place = step.place(run, item.heads.start, position);
            } else if position < item.keys.end {
                place += step.kv().kv_heads * dim;
            }
            place
        })
    };
    let mut next: [usize; KEYS] = places(item.keys.start);
    for start in item.keys.clone().step_by(KEYS) {
        let count = KEYS.min(item.keys.end - start);
        let (here, mut more) = (next, 0);
        if start + count < item.keys.end {
            (next, more) = (places(start + count), KEYS);
        }
        let mut ahead = Ahead { kv: step.kv(), places: &next[..more], length: item.heads.len() * dim, offset: 0 };
        for (index, head) in item.heads.clone().enumerate() {
            let all_keys = step.kv().keys.as_ptr().add(index * dim);
            let all_values = step.kv().values.as_ptr().add(index * dim);
            lay::<S>(all_keys, &here, dim, keys, &mut ahead);
            let values = here.map(|place| all_values.add(place));
            let values = copies.map_or(values, |copies| copy(values, count, dim, wide, copies));
            let tile = Tile { keys, values, dim, wide };
            let row = |query: usize| item.rows.start + query / shared;
            let mut first = 0;
            while first < queries {
                let most = ROWS.min(queries - first);
                let [seen, last] = [first, first + most - 1].map(|query| {
                    let seen = step.seen(run, row(query));
                    let within = |position: usize| position.clamp(start, start + count) - start;
                    within(seen.start)..within(seen.end)
                });
                // What a query does not see must not meet it: nothing times what is no number is not nothing.
                let group = if seen == last { most } else { most.min(shared - first % shared) };
                by_rows!(group, M in 1 2 3 4 => {
                    let query = |m| {
                        let query = first + m;
                        step.query(run, row(query), head * shared + query % shared).as_ptr()
                    };
                    if !seen.is_empty() {
                        let state = (&mut *state, index * queries + first);
                        meet::<S, M>(&tile, std::array::from_fn(query), seen, &mut scores, state, &mut ahead);
                    }
                });
                first += group;
            }
        }
        ahead.finish::<S>();
    }
}

/// The keys and values of the next tile, to be asked for a line of each at a time while this one is worked on.
struct Ahead<'a> {
    kv: &'a Paged<'a>,
    /// Where those begin that are yet to be asked for.
    places: &'a [usize],
    /// Of each of these.
    length: usize,
    /// How much of the first has been.
    offset: usize,
}

impl Ahead<'_> {
    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn step<S: Simd>(&mut self) {
        const LINE: usize = 16;
        if let [first, rest @ ..] = self.places {
            S::prefetch_far(self.kv.keys.as_ptr().wrapping_add(first + self.offset).cast());
            S::prefetch_far(self.kv.values.as_ptr().wrapping_add(first + self.offset).cast());
            self.offset += LINE;
            if self.offset >= self.length {
                (self.places, self.offset) = (rest, 0);
            }
        }
    }

    #[inline(always)]
    // SAFETY: the contract of `Simd`.
    unsafe fn finish<S: Simd>(&mut self) {
        while !self.places.is_empty() {
            self.step::<S>();
        }
    }
}

/// Keys `[dim, KEYS]`, and where each value begins, in whole registers.
struct Tile {
    keys: *const f32,
    values: [*const f32; KEYS],
    dim: usize,
    wide: usize,
}

#[repr(align(64))]
struct Scores([[f32; KEYS]; ROWS]);

/// `M` queries, whose states are those from `first` on, meet the keys that they see.
#[inline(always)]
// SAFETY: the contract of `Simd`; the queries have `dim` numbers, and the states are of `wide`.
unsafe fn meet<S: Simd, const M: usize>(
    tile: &Tile,
    queries: [*const f32; M],
    seen: Range<usize>,
    scores: &mut Scores,
    (state, first): (&mut State, usize),
    ahead: &mut Ahead,
) {
    let base = &mut state.base[first..first + M];
    let sum = state.sum[first * S::LANES..][..M * S::LANES].as_mut_ptr();
    let found = state.found[first * tile.wide..][..M * tile.wide].as_mut_ptr();
    let registers = seen.start / S::LANES..seen.end.div_ceil(S::LANES);
    let scores = scores.0.as_mut_ptr().cast::<f32>();
    if S::LANES == 16 {
        score::<S, M, 4>(tile, queries, registers.clone(), scores, ahead);
    } else {
        score::<S, M, 2>(tile, queries, registers.clone(), scores, ahead);
    }
    let mut highest = S::splat(f32::NEG_INFINITY);
    for m in 0..M {
        // What is computed, and not to be seen.
        let hidden = (registers.start * S::LANES..seen.start).chain(seen.end..registers.end * S::LANES);
        hidden.for_each(|key| *scores.add(m * KEYS + key) = f32::NEG_INFINITY);
        let lower = S::splat(-base[m]);
        for at in registers.clone() {
            highest = S::max(S::add(S::load(scores.add(m * KEYS + at * S::LANES)), lower), highest);
        }
    }
    let mut factors = [1.0; M];
    // Also where something is no number.
    if !matches!(S::largest(highest).partial_cmp(&ABOVE), Some(Ordering::Less)) {
        for m in 0..M {
            let mut largest = S::splat(f32::NEG_INFINITY);
            for at in registers.clone() {
                largest = S::max(S::load(scores.add(m * KEYS + at * S::LANES)), largest);
            }
            let largest = S::largest(largest);
            if largest > base[m] {
                factors[m] = exp(base[m] - largest);
                base[m] = largest;
            }
        }
    }
    for m in 0..M {
        let lower = S::splat(-base[m]);
        let mut total = S::mul(S::load(sum.add(m * S::LANES)), S::splat(factors[m]));
        for at in registers.clone() {
            let at = scores.add(m * KEYS + at * S::LANES);
            let weights = exps::<S>(S::add(S::load(at), lower));
            S::store(at, weights);
            total = S::add(total, weights);
        }
        S::store(sum.add(m * S::LANES), total);
    }
    if S::LANES == 16 {
        weigh::<S, M, 4>(tile, seen, scores, factors, found, ahead);
    } else {
        weigh::<S, M, 2>(tile, seen, scores, factors, found, ahead);
    }
}

/// The products of queries with the keys in some registers, up to `W` at once.
#[inline(always)]
// SAFETY: as for `meet`.
unsafe fn score<S: Simd, const M: usize, const W: usize>(
    tile: &Tile,
    queries: [*const f32; M],
    registers: Range<usize>,
    scores: *mut f32,
    ahead: &mut Ahead,
) {
    let mut at = registers.start;
    while at + W <= registers.end {
        score_some::<S, M, W>(tile, queries, at * S::LANES, scores, ahead);
        at += W;
    }
    while at < registers.end {
        score_some::<S, M, 1>(tile, queries, at * S::LANES, scores, ahead);
        at += 1;
    }
}

#[inline(always)]
// SAFETY: as for `meet`.
unsafe fn score_some<S: Simd, const M: usize, const W: usize>(
    tile: &Tile,
    queries: [*const f32; M],
    first: usize,
    scores: *mut f32,
    ahead: &mut Ahead,
) {
    let mut sums = [[S::zero(); W]; M];
    for i in 0..tile.dim {
        ahead.step::<S>();
        let mut keys = [S::zero(); W];
        for w in 0..W {
            keys[w] = S::load(tile.keys.add(i * KEYS + first + w * S::LANES));
        }
        for m in 0..M {
            let query = S::splat(*queries[m].add(i));
            for w in 0..W {
                sums[m][w] = S::fma(keys[w], query, sums[m][w]);
            }
        }
    }
    for m in 0..M {
        for w in 0..W {
            S::store(scores.add(m * KEYS + first + w * S::LANES), sums[m][w]);
        }
    }
}

/// Adds the values of some keys by their weights to what was found, which is first multiplied by the factors.
#[inline(always)]
// SAFETY: as for `meet`.
unsafe fn weigh<S: Simd, const M: usize, const W: usize>(
    tile: &Tile,
    keys: Range<usize>,
    weights: *const f32,
    factors: [f32; M],
    found: *mut f32,
    ahead: &mut Ahead,
) {
    let mut at = 0;
    while at + W * S::LANES <= tile.wide {
        weigh_some::<S, M, W>(tile, keys.clone(), weights, factors, (found, at), ahead);
        at += W * S::LANES;
    }
    while at < tile.wide {
        weigh_some::<S, M, 1>(tile, keys.clone(), weights, factors, (found, at), ahead);
        at += S::LANES;
    }
}

#[inline(always)]
// SAFETY: as for `meet`.
unsafe fn weigh_some<S: Simd, const M: usize, const W: usize>(
    tile: &Tile,
    keys: Range<usize>,
    weights: *const f32,
    factors: [f32; M],
    (found, first): (*mut f32, usize),
    ahead: &mut Ahead,
) {
    let mut sums = [[S::zero(); W]; M];
    for m in 0..M {
        for w in 0..W {
            let found = S::load(found.add(m * tile.wide + first + w * S::LANES));
            sums[m][w] = S::mul(found, S::splat(factors[m]));
        }
    }
    for key in keys {
        ahead.step::<S>();
        let at = tile.values[key].add(first);
        let mut values = [S::zero(); W];
        for w in 0..W {
            values[w] = S::load(at.add(w * S::LANES));
        }
        for m in 0..M {
            let weight = S::splat(*weights.add(m * KEYS + key));
            for w in 0..W {
                sums[m][w] = S::fma(values[w], weight, sums[m][w]);
            }
        }
    }
    for m in 0..M {
        for w in 0..W {
            S::store(found.add(m * tile.wide + first + w * S::LANES), sums[m][w]);
        }
    }
}

/// Lays keys that begin at `places` side by side: `out` `[dim, KEYS]`.
#[inline(always)]
// SAFETY: the contract of `Simd`; each place has `dim` numbers, and `out` has room.
unsafe fn lay<S: Simd>(keys: *const f32, places: &[usize; KEYS], dim: usize, out: *mut f32, ahead: &mut Ahead) {
    let whole = dim - dim % 4;
    for first in (0..KEYS).step_by(S::LANES) {
        let at: [usize; 16] = std::array::from_fn(|lane| 4 * places[(first + lane).min(KEYS - 1)]);
        for i in (0..whole).step_by(4) {
            ahead.step::<S>();
            for (j, line) in S::gather(keys.add(i).cast(), &at).into_iter().enumerate() {
                S::store(out.add((i + j) * KEYS + first), S::as_floats(line));
            }
        }
    }
    for i in whole..dim {
        for key in 0..KEYS {
            *out.add(i * KEYS + key) = *keys.add(places[key] + i);
        }
    }
}

/// Copies values to where they follow each other, each filled up with zeros to `wide`; gives where they are now.
#[inline(always)]
// SAFETY: each of the first `count` has `dim` numbers, and `out` has room for `KEYS` of `wide`.
unsafe fn copy(values: [*const f32; KEYS], count: usize, dim: usize, wide: usize, out: *mut f32) -> [*const f32; KEYS] {
    for key in 0..count {
        let out = out.add(key * wide);
        out.copy_from_nonoverlapping(values[key], dim);
        out.add(dim).write_bytes(0, wide - dim);
    }
    std::array::from_fn(|key| out.add(key * wide).cast_const())
}

/// e^x of numbers below 88, within two units in the last place; below -87 it stays at e^-87. Cody and Waite's reduction,
/// and the polynomial of Cephes.
#[inline(always)]
// SAFETY: the contract of `Simd`.
unsafe fn exps<S: Simd>(x: S::F) -> S::F {
    let x = S::max(S::splat(-87.0), x);
    let shifted = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(ROUND));
    let n = S::add(shifted, S::splat(-ROUND));
    let r = S::fma(n, S::splat(-LN_2[0]), x);
    let r = S::fma(n, S::splat(-LN_2[1]), r);
    let mut p = S::splat(POLYNOMIAL[0]);
    for factor in &POLYNOMIAL[1..] {
        p = S::fma(p, r, S::splat(*factor));
    }
    let p = S::add(S::fma(S::mul(p, r), r, r), S::splat(1.0));
    S::mul(p, S::power(shifted))
}
