//! Matrix products on the processor's vector units: weights as they are stored, activations in f32.
//!
//! Few rows of activations, as in decoding, run at the speed of memory; many at that of arithmetic. The kernels are
//! written once over [`simd::Simd`] and compiled for each instruction set; which one is used is found at run time.

#![allow(unsafe_code, reason = "threads write parts of one result")]

mod attend;
mod bandwidth;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "no tiles"))]
mod columns;
mod digits;
mod dot;
mod flash;
mod floats;
mod isa;
mod matrix;
mod memory;
mod moe;
mod norm;
mod panel;
mod product;
mod rope;
mod scalar;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "16-bit products"))]
mod simd;
mod swiglu;
mod team;
mod unfold;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "no quick products of 16 bits"))]
mod words;

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod tiled;

#[cfg(target_arch = "aarch64")]
mod neon;

use std::sync::Mutex;

pub use attend::{PAGE, Paged, Run};
pub use isa::Isa;
pub use matrix::{Matrix, VALUES, Vector, Weights, power};
pub use moe::{Experts, Routing};
pub use product::Precision;
pub use swiglu::Swiglu;

use memory::Shared;
use product::{Crew, Forms, Path, lock, product, tile};
use team::Team;

/// The kernels, the threads that they run on, and the memory that they keep. Calls from several threads wait for each
/// other.
pub struct Kernels {
    crew: Crew,
    scratch: Mutex<Scratch>,
}

#[derive(Default)]
struct Scratch {
    forms: Forms,
    chosen: Vec<u32>,
    experts: moe::Scratch,
    attend: attend::Scratch,
}

impl Kernels {
    /// With the fastest instruction set of this machine.
    pub fn new(threads: usize) -> Self {
        Self::with(threads, Isa::available()[0])
    }

    /// Panics where this machine does not have the instruction set.
    pub fn with(threads: usize, isa: Isa) -> Self {
        let team = Team::new(threads);
        let desks = (0..team.threads()).map(|_| Mutex::default()).collect();
        Kernels { crew: Crew { team, kernels: isa.kernels(), desks }, scratch: Mutex::default() }
    }

    pub fn isa(&self) -> Isa {
        self.crew.kernels.isa()
    }

    /// `y` `[m, rows]` = `x` `[m, cols]` times the transpose of `w` `[rows, cols]`, plus the bias `[rows]`. Panics
    /// where the sizes do not fit.
    pub fn matmul(&self, w: Matrix, bias: Option<Vector>, x: &[f32], precision: Precision, y: &mut [f32]) {
        let (rows, cols) = (w.rows(), w.cols());
        let m = x.len() / cols;
        assert_eq!(x.len(), m * cols, "whole rows of activations");
        assert_eq!(y.len(), m * rows, "an output for each row of weights");
        assert!(bias.is_none_or(|bias| bias.size() == rows), "a bias for each row of weights");
        let Crew { team, kernels, desks } = &self.crew;
        let Scratch { forms, chosen, .. } = &mut *lock(&self.scratch);
        chosen.clear();
        chosen.extend(0..m as u32);
        let path = Path::new(&w, m, precision, *kernels);
        let x = forms.fill(team, *kernels, (x, cols), chosen, std::iter::once((path, 0..m)));
        let y = Shared::new(y);
        let tile = tile(&w, path, team.threads());
        team.each(rows.div_ceil(tile), |thread, index| {
            let some = index * tile..rows.min((index + 1) * tile);
            let mut desk = lock(&desks[thread]);
            let part = product(*kernels, w.range(some.clone()), x, 0, &mut desk);
            for (m, part) in part.chunks_exact_mut(some.len()).enumerate() {
                if let Some(bias) = bias {
                    bias.add_to(some.start, part);
                }
                // SAFETY: every row of weights is in one tile.
                unsafe { y.part(m * rows + some.start..m * rows + some.end) }.copy_from_slice(part);
            }
        });
    }

    /// `out` `[rows, cols]`: the weights in f32.
    pub fn widen(&self, w: Matrix, out: &mut [f32]) {
        let (rows, cols) = (w.rows(), w.cols());
        assert_eq!(out.len(), rows * cols, "room for every weight");
        let tile = tile(&w, Path::Stream, self.crew.team.threads());
        let out = Shared::new(out);
        self.crew.team.each(rows.div_ceil(tile), |_, index| {
            let some = index * tile..rows.min((index + 1) * tile);
            // SAFETY: every row of weights is in one tile.
            let out = unsafe { out.part(some.start * cols..some.end * cols) };
            self.crew.kernels.widen(w.range(some), out);
        });
    }

    /// `out` `[tokens, hidden]` from `x` of the same size. Each expert that any token goes to is read once. Panics
    /// where the sizes do not fit, or a choice is of no expert.
    pub fn experts(&self, experts: &Experts, routing: Routing, x: &[f32], precision: Precision, out: &mut [f32]) {
        let scratch = &mut lock(&self.scratch).experts;
        moe::forward(&self.crew, scratch, experts, routing, x, precision, out);
    }

    /// `out` `[rows, cols]`: each row of `x` divided by the root of its mean square, which `eps` is added to, times the
    /// weights `[cols]`. Panics where the sizes do not fit.
    pub fn norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        norm::forward(&self.crew, x, weight, eps, out);
    }

    /// Turns `x` `[tokens, heads, head_dim]` by the angles `[tokens, head_dim / 2]` of `cos` and `sin`, dimension i with
    /// i + head_dim / 2, and then multiplies it by `scale`. Panics where the sizes do not fit.
    pub fn rope(&self, x: &mut [f32], heads: usize, head_dim: usize, (cos, sin): (&[f32], &[f32]), scale: f32) {
        rope::forward(&self.crew, x, (heads, head_dim), (cos, sin), scale);
    }

    /// What queries find, `out` `[rows, heads, head_dim]` as they are; they have been scaled. A row sees the positions
    /// up to its own, with a window at most so many; each head has a sink `[heads]`, a score for looking at nothing.
    /// Rows of no run are left as they are. What a run gets does not depend on the others. Panics where the sizes do not
    /// fit, or a page that is seen is not there.
    pub fn attend(
        &self,
        queries: &[f32],
        kv: Paged,
        runs: &[Run],
        sinks: &[f32],
        window: Option<usize>,
        out: &mut [f32],
    ) {
        let step = attend::Step::new(queries, kv, runs, sinks, window);
        attend::forward(&self.crew, &mut lock(&self.scratch).attend, step, out);
    }

    /// Bytes a second that this machine reads from memory with these threads. Takes about a second, and 1 GiB.
    pub fn bandwidth(&self) -> f64 {
        bandwidth::bandwidth(&self.crew.team, |memory| self.crew.kernels.read(memory))
    }
}

#[cfg(test)]
mod tests {
    use super::matrix::BLOCK;
    use super::*;
    use proptest::prelude::*;

    /// Weights that own their elements.
    #[derive(Clone, Debug)]
    struct Owned {
        rows: usize,
        cols: usize,
        f32: Vec<f32>,
        bf16: Vec<u16>,
        blocks: Vec<u8>,
        scales: Vec<u8>,
    }

    impl Owned {
        fn all(&self) -> Vec<Matrix<'_>> {
            let packed = Weights::Mxfp4 { blocks: &self.blocks, scales: &self.scales };
            let mut all = vec![Weights::F32(&self.f32), Weights::Bf16(&self.bf16)];
            all.extend(self.cols.is_multiple_of(BLOCK).then_some(packed));
            all.into_iter().map(|weights| Matrix::new(self.rows, self.cols, weights)).collect()
        }
    }

    /// Numbers from -1 to 1.
    fn numbers(seed: u64, len: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(next).collect()
    }

    fn owned(seed: u64, rows: usize, cols: usize) -> Owned {
        let f32 = numbers(seed, rows * cols);
        let byte = |x: &f32| (x.to_bits() >> 3) as u8;
        Owned {
            rows,
            cols,
            bf16: f32.iter().map(|x| (x.to_bits() >> 16) as u16).collect(),
            blocks: f32.iter().take(rows * cols / 2).map(byte).collect(),
            scales: f32.iter().rev().take(rows * cols / BLOCK).map(|x| 120 + byte(x) % 8).collect(),
            f32,
        }
    }

    /// The weights as f64, the plain way.
    fn plain(w: Matrix) -> Vec<f64> {
        let wide: Vec<f32> = match w.weights() {
            Weights::F32(w) => w.to_vec(),
            Weights::Bf16(w) => w.iter().map(|&w| f32::from_bits(u32::from(w) << 16)).collect(),
            Weights::Mxfp4 { blocks, scales } => {
                let code = |i: usize| usize::from(blocks[i / 2] >> (4 * (i % 2)) & 15);
                let weight = |i: usize| VALUES[code(i)] * 2f64.powi(i32::from(scales[i / BLOCK]) - 127) as f32;
                (0..w.rows() * w.cols()).map(weight).collect()
            }
        };
        wide.into_iter().map(f64::from).collect()
    }

    fn plain_product(w: Matrix, bias: &[f32], x: &[f32]) -> Vec<f64> {
        let wide = plain(w);
        let row = |x: &[f32], row: usize| {
            let w = &wide[row * w.cols()..(row + 1) * w.cols()];
            w.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum::<f64>() + f64::from(bias[row])
        };
        x.chunks_exact(w.cols()).flat_map(|x| (0..w.rows()).map(|r| row(x, r)).collect::<Vec<_>>()).collect()
    }

    /// The error of `got`, relative to what was expected; both as root mean squares.
    fn error(got: &[f32], expected: &[f64]) -> f64 {
        error_beside(got, expected, 0.0)
    }

    /// The same, where what was expected counts as `least` at least: what cancels out is no smaller error for it.
    fn error_beside(got: &[f32], expected: &[f64], least: f64) -> f64 {
        assert_eq!(got.len(), expected.len());
        let differences: Vec<f64> =
            got.iter().zip(expected).map(|(&got, expected)| f64::from(got) - expected).collect();
        mean_square(&differences).sqrt() / mean_square(expected).sqrt().max(least).max(1e-150)
    }

    fn mean_square(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x).sum::<f64>() / x.len().max(1) as f64
    }

    /// The root mean square of products of such weights and such activations, if their signs are left to chance.
    fn by_chance(w: Matrix, x: &[f32]) -> f64 {
        let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
        (mean_square(&plain(w)) * mean_square(&x) * w.cols() as f64).sqrt()
    }

    fn all_kernels(threads: usize) -> Vec<Kernels> {
        Isa::available().into_iter().map(|isa| Kernels::with(threads, isa)).collect()
    }

    /// Every size around the edges of tiles, chunks and vectors.
    fn sizes() -> impl Strategy<Value = (usize, usize)> {
        let cols = prop_oneof![(1usize..=11).prop_map(|groups| groups * BLOCK), 1usize..300, Just(1056usize)];
        (1usize..70, cols)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_product_is_what_it_should_be((rows, cols) in sizes(), m in 1usize..20, threads in 1usize..4, seed: u64) {
            let (owned, x, bias) = (owned(seed, rows, cols), numbers(seed ^ 7, m * cols), numbers(seed ^ 9, rows));
            for kernels in all_kernels(threads) {
                for w in owned.all() {
                    let expected = plain_product(w, &bias, &x);
                    let least = by_chance(w, &x);
                    for (precision, most) in [(Precision::Exact, 1e-6), (Precision::Fast, 5e-5)] {
                        let mut got = vec![f32::NAN; m * rows];
                        kernels.matmul(w, Some(Vector::F32(&bias)), &x, precision, &mut got);
                        let error = error_beside(&got, &expected, least);
                        prop_assert!(error < most, "{:?} {precision:?} {w:?}: {error}", kernels.isa());
                    }
                }
            }
        }

        #[test]
        fn widened_weights_are_exact((rows, cols) in sizes(), seed: u64) {
            let owned = owned(seed, rows, cols);
            for kernels in all_kernels(2) {
                for w in owned.all() {
                    let mut got = vec![f32::NAN; rows * cols];
                    kernels.widen(w, &mut got);
                    let expected: Vec<u64> = plain(w).into_iter().map(f64::to_bits).collect();
                    let got: Vec<u64> = got.into_iter().map(|w| f64::from(w).to_bits()).collect();
                    prop_assert!(got == expected, "{:?} {w:?}", kernels.isa());
                }
            }
        }

        #[test]
        fn experts_are_what_they_should_be(
            (count, per_token, hidden, inner) in (1usize..6, 1usize..4, 1usize..5, 1usize..5),
            tokens in 0usize..40,
            seed: u64,
        ) {
            let (per_token, hidden, inner) = (per_token.min(count), hidden * BLOCK, inner * BLOCK);
            let gate_up = owned(seed, count * 2 * inner, hidden);
            let down = owned(seed ^ 1, count * hidden, inner);
            let biases = [numbers(seed ^ 2, gate_up.rows), numbers(seed ^ 3, down.rows)];
            let (x, weights) = (numbers(seed ^ 4, tokens * hidden), numbers(seed ^ 5, tokens * per_token));
            let first = |token: usize| numbers(seed ^ token as u64, 1)[0].to_bits() as usize;
            let ids: Vec<i64> = (0..tokens * per_token)
                .map(|choice| ((first(choice / per_token) + choice % per_token) % count) as i64)
                .collect();
            let swiglu = Swiglu { limit: 1.5, alpha: 1.702 };
            let routing = Routing { experts: &ids, weights: &weights, per_token };
            for kernels in all_kernels(2) {
                for (gate_up, down) in gate_up.all().into_iter().zip(down.all()) {
                    let experts =
                        Experts::new(count, (gate_up, Vector::F32(&biases[0])), (down, Vector::F32(&biases[1])), swiglu);
                    let expected = plain_experts(gate_up, down, &biases, swiglu, routing, &x);
                    // What is lost in the first product stands in the second, whatever cancels out there.
                    let inner = vec![by_chance(gate_up, &x) as f32; inner];
                    let weights: Vec<f64> = weights.iter().copied().map(f64::from).collect();
                    let least = by_chance(down, &inner) * mean_square(&weights).sqrt();
                    for (precision, most) in [(Precision::Exact, 2e-6), (Precision::Fast, 1e-4)] {
                        let mut got = vec![f32::NAN; x.len()];
                        kernels.experts(&experts, routing, &x, precision, &mut got);
                        let error = error_beside(&got, &expected, least);
                        prop_assert!(error < most, "{:?} {precision:?} {gate_up:?}: {error}", kernels.isa());
                    }
                }
            }
        }
    }

    fn plain_experts(
        gate_up: Matrix,
        down: Matrix,
        biases: &[Vec<f32>; 2],
        Swiglu { limit, alpha }: Swiglu,
        routing: Routing,
        x: &[f32],
    ) -> Vec<f64> {
        let (hidden, inner) = (gate_up.cols(), down.cols());
        let (limit, alpha) = (f64::from(limit), f64::from(alpha));
        let mut out = vec![0.0; x.len()];
        for (choice, (&expert, &weight)) in routing.experts.iter().zip(routing.weights).enumerate() {
            let token = choice / routing.per_token * hidden;
            let rows = expert as usize * 2 * inner..(expert as usize + 1) * 2 * inner;
            let both = plain_product(gate_up.range(rows.clone()), &biases[0][rows], &x[token..token + hidden]);
            let act = |both: &[f64]| {
                let (gate, up) = (both[0].min(limit), both[1].clamp(-limit, limit));
                ((up + 1.0) * gate / (1.0 + (-alpha * gate).exp())) as f32
            };
            let act: Vec<f32> = both.chunks(2).map(act).collect();
            let rows = expert as usize * hidden..(expert as usize + 1) * hidden;
            let y = plain_product(down.range(rows.clone()), &biases[1][rows], &act);
            out[token..token + hidden].iter_mut().zip(y).for_each(|(out, y)| *out += f64::from(weight) * y);
        }
        out
    }

    /// All bytes, at scales from the smallest to the largest at which f32 holds every weight.
    #[test]
    fn no_code_and_no_scale_makes_what_is_no_number() {
        let cols = 16 * BLOCK;
        let blocks: Vec<u8> = (0..253).flat_map(|_| 0..=255).collect();
        let scales: Vec<u8> = (0..253).flat_map(|scale| [scale; 16]).collect();
        let w = Matrix::new(253, cols, Weights::Mxfp4 { blocks: &blocks, scales: &scales });
        for kernels in all_kernels(1) {
            for m in [1, 8] {
                let x = vec![2f32.powi(-16); m * cols];
                for precision in [Precision::Exact, Precision::Fast] {
                    let mut y = vec![f32::NAN; m * 253];
                    kernels.matmul(w, None, &x, precision, &mut y);
                    // A row's codes cancel out.
                    assert!(y.iter().all(|y| y.is_finite()), "{:?} {precision:?} {m}", kernels.isa());
                    let x = numbers(3, m * cols).into_iter().map(|x| x / 65536.0).collect::<Vec<_>>();
                    kernels.matmul(w, None, &x, precision, &mut y);
                    let error = error(&y, &plain_product(w, &[0.0; 253], &x));
                    assert!(error < 5e-5, "{:?} {precision:?} {m}: {error}", kernels.isa());
                }
            }
        }
    }

    /// The products of the largest weights with the largest activations lie beside columns that make the offset as large:
    /// an instruction set that adds them up in other lanes than the offset's has numbers of more than 32 bits.
    #[test]
    fn digits_add_up_within_32_bits() {
        let (mut x, mut blocks) = ([0.0; BLOCK], [0; BLOCK / 2]);
        for columns in [4..8, 20..24] {
            x[columns.clone()].fill(1.0);
            // The code of 6, twice.
            blocks[columns.start / 2..columns.end / 2].fill(0x77);
        }
        x[8..16].fill(-1.0);
        let w = Matrix::new(1, BLOCK, Weights::Mxfp4 { blocks: &blocks, scales: &[127] });
        for kernels in all_kernels(1) {
            let mut y = [f32::NAN];
            kernels.matmul(w, None, &x, Precision::Exact, &mut y);
            assert!((y[0] / 48.0 - 1.0).abs() < 1e-6, "{:?}: {}", kernels.isa(), y[0]);
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let owned = owned(1, 40, 128);
        for kernels in all_kernels(1) {
            for (w, m) in owned.all().into_iter().flat_map(|w| [(w, 1), (w, 9), (w, 20)]) {
                for poison in [f32::NAN, f32::INFINITY] {
                    let mut x = numbers(2, m * 128);
                    x[(m - 1) * 128 + 77] = poison;
                    let mut y = vec![0.0; m * 40];
                    kernels.matmul(w, None, &x, Precision::Fast, &mut y);
                    let (fine, poisoned) = y.split_at((m - 1) * 40);
                    assert!(fine.iter().all(|y| y.is_finite()), "{:?} {m}", kernels.isa());
                    assert!(poisoned.iter().all(|y| !y.is_finite()), "{:?} {m} {poisoned:?}", kernels.isa());
                }
            }
        }
    }

    /// Activations of which one is much larger than the rest, and whole rows of zeros.
    #[test]
    fn outliers_and_zeros() {
        let owned = owned(5, 33, 480);
        for kernels in all_kernels(2) {
            for w in owned.all() {
                let mut x = numbers(6, 3 * 480);
                x[100] = 3000.0;
                x[480..960].fill(0.0);
                x[960..].iter_mut().for_each(|x| *x *= 1e-20);
                let mut y = vec![f32::NAN; 3 * 33];
                kernels.matmul(w, None, &x, Precision::Exact, &mut y);
                for (y, x) in y.chunks(33).zip(x.chunks(480)) {
                    let expected = plain_product(w, &[0.0; 33], x);
                    assert!(error(y, &expected) < 1e-6 || y.iter().all(|&y| y == 0.0), "{:?} {w:?}", kernels.isa());
                }
            }
        }
    }

    /// What a token gets does not depend on which others are in its batch, to the bit where the paths are the same.
    #[test]
    fn batched_is_single() {
        let owned = owned(8, 64, 288);
        for kernels in all_kernels(2) {
            for w in owned.all() {
                let x = numbers(9, 5 * 288);
                let mut batched = vec![f32::NAN; 5 * 64];
                kernels.matmul(w, None, &x, Precision::Exact, &mut batched);
                for (batched, x) in batched.chunks(64).zip(x.chunks(288)) {
                    let mut single = vec![f32::NAN; 64];
                    kernels.matmul(w, None, x, Precision::Exact, &mut single);
                    let single: Vec<f64> = single.into_iter().map(f64::from).collect();
                    assert!(error(batched, &single) < 1e-6, "{:?}", kernels.isa());
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "an output for each row of weights")]
    fn wrong_sizes_are_refused() {
        let w = [0.0; 6];
        Kernels::new(1).matmul(Matrix::new(2, 3, Weights::F32(&w)), None, &[0.0; 3], Precision::Exact, &mut [0.0; 3]);
    }

    #[test]
    fn a_panic_leaves_the_kernels_usable() {
        let owned = owned(8, 64, 64);
        let kernels = Kernels::new(2);
        let biases = (vec![0.0; 64], vec![0.0; 64]);
        let [_, _, w] = owned.all()[..] else { unreachable!() };
        let experts = Experts::new(
            1,
            (w, Vector::F32(&biases.0)),
            (Matrix::new(64, 32, Weights::F32(&owned.f32[..64 * 32])), Vector::F32(&biases.1)),
            Swiglu { limit: 7.0, alpha: 1.0 },
        );
        for wrong in [-1, 1, i64::MAX] {
            let call = || {
                let routing = Routing { experts: &[wrong], weights: &[1.0], per_token: 1 };
                kernels.experts(&experts, routing, &[0.0; 64], Precision::Exact, &mut [0.0; 64]);
            };
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).is_err());
        }
        let routing = Routing { experts: &[0], weights: &[1.0], per_token: 1 };
        let mut out = [f32::NAN; 64];
        kernels.experts(&experts, routing, &[0.5; 64], Precision::Exact, &mut out);
        assert!(out.iter().all(|out| out.is_finite()));
    }

    #[test]
    fn memory_is_read_at_some_speed() {
        assert!(Kernels::new(1).crew.kernels.read(&vec![1.0; 1 << 12]) == 4096.0);
    }
}
