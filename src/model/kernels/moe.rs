//! A layer's mixture of experts, for a batch of tokens.

#![allow(unsafe_code, reason = "threads write parts of one result")]

use std::ops::Range;

use super::isa::Compiled;
use super::matrix::{Matrix, Vector};
use super::memory::{Buffer, Shared};
use super::product::{Crew, Forms, Path, Precision, lock, product, tile};
use super::swiglu::Swiglu;

/// The experts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Experts<'a> {
    count: usize,
    gate_up: Matrix<'a>,
    gate_up_bias: Vector<'a>,
    down: Matrix<'a>,
    down_bias: Vector<'a>,
    swiglu: Swiglu,
}

/// Which experts each token goes to, `[tokens, per_token]`, and how much each of them counts.
#[derive(Clone, Copy, Debug)]
pub struct Routing<'a> {
    pub experts: &'a [i64],
    pub weights: &'a [f32],
    pub per_token: usize,
}

/// What a layer keeps between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    x: Forms,
    /// `[tokens * per_token, intermediate]`, by expert.
    inner: Buffer<f32>,
    inner_forms: Forms,
    /// By expert, and in the order of the batch.
    tokens: Vec<u32>,
    weights: Vec<f32>,
    /// 0, 1, 2, ...
    places: Vec<u32>,
    groups: Vec<Group>,
}

/// The tokens of an expert: a range of those ordered by expert.
#[derive(Clone, Copy, Debug)]
struct Group {
    expert: usize,
    start: usize,
    end: usize,
    /// Through each of the matrices.
    inner: Path,
    outer: Path,
}

impl<'a> Experts<'a> {
    /// `gate_up` `[count * 2 * intermediate, hidden]`, gate and up alternating row by row; `down`
    /// `[count * hidden, intermediate]`; a bias for each row. Panics where the sizes do not fit.
    pub fn new(
        count: usize,
        (gate_up, gate_up_bias): (Matrix<'a>, Vector<'a>),
        (down, down_bias): (Matrix<'a>, Vector<'a>),
        swiglu: Swiglu,
    ) -> Self {
        assert_eq!(gate_up.rows(), count * 2 * down.cols(), "gate and up for each input of down");
        assert_eq!(down.rows(), count * gate_up.cols(), "down gives as many as gate and up take");
        assert_eq!(gate_up.rows(), gate_up_bias.size(), "a bias for each row");
        assert_eq!(down.rows(), down_bias.size(), "a bias for each row");
        Experts { count, gate_up, gate_up_bias, down, down_bias, swiglu }
    }

    pub fn hidden(&self) -> usize {
        self.gate_up.cols()
    }

    pub fn intermediate(&self) -> usize {
        self.down.cols()
    }
}

/// `x` and `out` `[tokens, hidden]`. Each expert that any token goes to is read once, and what they give is added in
/// the order of the experts.
pub fn forward(
    crew: &Crew,
    scratch: &mut Scratch,
    experts: &Experts,
    routing: Routing,
    x: &[f32],
    precision: Precision,
    out: &mut [f32],
) {
    let Crew { team, kernels, desks } = crew;
    let kernels = *kernels;
    let (hidden, intermediate) = (experts.hidden(), experts.intermediate());
    assert_eq!(x.len(), out.len(), "as many outputs as inputs");
    assert_eq!(routing.experts.len(), routing.weights.len(), "a weight for each choice");
    assert_eq!(x.len() * routing.per_token, routing.experts.len() * hidden, "choices for each token");
    scratch.sort(experts, routing, precision, kernels);
    let Scratch { x: x_forms, inner, inner_forms, tokens, weights, places, groups } = scratch;
    let (tokens, weights, places, groups) = (&*tokens, &*weights, &*places, &*groups);

    let inner = inner.space(tokens.len() * intermediate);
    {
        let x =
            x_forms.fill(team, kernels, (x, hidden), tokens, groups.iter().map(|group| (group.inner, group.range())));
        let inner = Shared::new(inner);
        let rows = 2 * intermediate;
        // With few tokens in each group, whatever its path, the largest tile does.
        let tile = groups.iter().map(|group| tile(&experts.gate_up.range(0..rows), group.inner, team.threads())).max();
        let tile = tile.unwrap_or(rows);
        let tiles = rows.div_ceil(tile);
        team.each(groups.len() * tiles, |thread, index| {
            let set = index / tiles;
            let group = groups[set];
            let start = index % tiles * tile;
            let some = start..rows.min(start + tile);
            let first = group.expert * rows + start;
            let w = experts.gate_up.range(first..first + some.len());
            let mut desk = lock(&desks[thread]);
            let both = product(kernels, w, x, set, &mut desk);
            for (place, both) in (group.start..).zip(both.chunks_exact_mut(some.len())) {
                experts.gate_up_bias.add_to(first, both);
                let begin = place * intermediate;
                // SAFETY: every place is in one group, and every row in one tile.
                let inner = unsafe { inner.part(begin + some.start / 2..begin + some.end / 2) };
                kernels.swiglu(both, experts.swiglu, inner);
            }
        });
    }

    let inner = inner_forms.fill(
        team,
        kernels,
        (inner, intermediate),
        places,
        groups.iter().map(|group| (group.outer, group.range())),
    );
    let out = Shared::new(out);
    let tile = if tokens.len() > 64 { 96 } else { 128 };
    let count = x.len() / hidden;
    team.each(hidden.div_ceil(tile), |thread, index| {
        let some = index * tile..hidden.min((index + 1) * tile);
        // SAFETY: every column is in one tile, and every token is written by itself.
        let column = |token: usize| unsafe { out.part(token * hidden + some.start..token * hidden + some.end) };
        (0..count).for_each(|token| column(token).fill(0.0));
        let mut desk = lock(&desks[thread]);
        for (set, group) in groups.iter().enumerate() {
            let first = group.expert * hidden + some.start;
            let w = experts.down.range(first..first + some.len());
            let y = product(kernels, w, inner, set, &mut desk);
            for (place, y) in (group.start..).zip(y.chunks_exact_mut(some.len())) {
                experts.down_bias.add_to(first, y);
                let weight = weights[place];
                column(tokens[place] as usize).iter_mut().zip(y).for_each(|(out, y)| *out += weight * *y);
            }
        }
    });
}

impl Group {
    fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl Scratch {
    /// Orders the choices by expert, and by token within. Panics where a choice is of no expert.
    fn sort(&mut self, experts: &Experts, routing: Routing, precision: Precision, kernels: Compiled) {
        let choices = routing.experts.len();
        let mut ends = vec![0; experts.count + 1];
        for &expert in routing.experts {
            ends[usize::try_from(expert).expect("experts are counted from 0") + 1] += 1;
        }
        for expert in 0..experts.count {
            ends[expert + 1] += ends[expert];
        }
        self.groups.clear();
        for (expert, range) in ends.windows(2).enumerate().filter(|(_, range)| range[0] < range[1]) {
            let path = |w| Path::new(w, range[1] - range[0], precision, kernels);
            let (inner, outer) = (path(&experts.gate_up), path(&experts.down));
            self.groups.push(Group { expert, start: range[0], end: range[1], inner, outer });
        }
        self.tokens.resize(choices, 0);
        self.weights.resize(choices, 0.0);
        self.places.clear();
        self.places.extend(0..choices as u32);
        // From here on, the start of what is left of each expert.
        for (choice, (&expert, &weight)) in routing.experts.iter().zip(routing.weights).enumerate() {
            let place = &mut ends[expert as usize];
            self.tokens[*place] = (choice / routing.per_token) as u32;
            self.weights[*place] = weight;
            *place += 1;
        }
    }
}
