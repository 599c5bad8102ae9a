//! How fast memory can be read: the floor under everything that streams weights.

#![allow(unsafe_code, unsafe_op_in_unsafe_fn, reason = "compiled for each instruction set")]

use std::hint::black_box;
use std::time::Instant;

use super::dot::{FAR, NEAR};
use super::simd::Simd;
use super::team::Team;

/// More than any cache holds.
const BYTES: usize = 1 << 30;
const ROUNDS: usize = 5;

/// Bytes a second that the team reads, with `read` of an instruction set; the best of a few rounds.
pub fn bandwidth(team: &Team, read: impl Fn(&[f32]) -> f32 + Sync) -> f64 {
    let memory = vec![1.0f32; BYTES / size_of::<f32>()];
    let parts: Vec<&[f32]> = memory.chunks(memory.len().div_ceil(team.threads())).collect();
    let mut best: f64 = 0.0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        team.each(parts.len(), |_, part| {
            black_box(read(parts[part]));
        });
        best = best.max(BYTES as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Adds up all of it, in some order.
// SAFETY: the processor has the instruction set.
#[inline(always)]
pub unsafe fn read<S: Simd>(memory: &[f32]) -> f32 {
    let mut sums = [S::zero(); 4];
    let quarter = memory.len() / 4;
    for at in (0..quarter - quarter % 16).step_by(16) {
        for (stream, sum) in sums.iter_mut().enumerate() {
            let p = memory.as_ptr().add(stream * quarter + at);
            S::prefetch_far(p.cast::<u8>().wrapping_add(FAR));
            S::prefetch_near(p.cast::<u8>().wrapping_add(NEAR));
            for lane in (0..16).step_by(S::LANES) {
                *sum = S::add(*sum, S::load(p.add(lane)));
            }
        }
    }
    S::sum(S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3])))
}
