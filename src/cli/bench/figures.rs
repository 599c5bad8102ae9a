//! What is measured beside time, and what time is compared with.

use std::fs;
use std::time::Duration;

use crate::model::Config;

/// What of the weights a step has to read, at least. All in bytes.
pub struct Moved {
    dense: f64,
    head: f64,
    expert: f64,
    layers: f64,
    experts: f64,
    per_token: f64,
}

/// Memory of this process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

impl Moved {
    /// Weights in bfloat16, but the experts' where they are packed.
    pub fn new(config: &Config, unpacked: bool) -> Self {
        let Config { hidden, intermediate, heads, kv_heads, head_dim, vocab, experts, experts_per_token, .. } = *config;
        let attention = hidden * head_dim * 2 * (heads + kv_heads) + hidden * experts;
        let weight = if unpacked { 2.0 } else { 17.0 / 32.0 };
        Moved {
            dense: 2.0 * attention as f64,
            head: 2.0 * (vocab * hidden) as f64,
            expert: weight * (3 * hidden * intermediate) as f64,
            layers: config.layers.len() as f64,
            experts: experts as f64,
            per_token: experts_per_token as f64,
        }
    }

    /// A step of so many tokens that writes one after each sequence: all that is dense once, and each expert that any
    /// token goes to, if they spread evenly.
    pub fn writing(&self, tokens: usize) -> f64 {
        self.reading(tokens) + self.head
    }

    /// The same of a step after which only a few labels are compared.
    pub fn reading(&self, tokens: usize) -> f64 {
        let missed = (1.0 - self.per_token / self.experts).powf(tokens as f64);
        self.layers * (self.dense + self.experts * (1.0 - missed) * self.expert)
    }

    /// All weights that there are, but for norms and biases; the embedding is as large as the head.
    pub fn all(&self) -> f64 {
        2.0 * self.head + self.layers * (self.dense + self.experts * self.expert)
    }
}

/// What the system says of this process; zero where it does not.
pub fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    Memory { now: read("VmRSS:").unwrap_or(0) << 10, peak: read("VmHWM:").unwrap_or(0) << 10 }
}

/// The middle one of an odd number of times.
pub fn median<E>(times: impl Iterator<Item = Result<Duration, E>>) -> Result<Duration, E> {
    let mut times = times.collect::<Result<Vec<_>, E>>()?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the published model's cost: 3.71 GB a token.
    #[test]
    fn a_decoded_token_of_the_20b_reads_what_is_known() {
        let moved = Moved::new(&Config::shape("20b").unwrap(), false);
        assert!((moved.writing(1) / 3.71e9 - 1.0).abs() < 0.01, "{}", moved.writing(1));
        let all = moved.writing(4096);
        assert!((all / (12.6e9) - 1.0).abs() < 0.02, "{all}");
        assert!((moved.all() / 13.75e9 - 1.0).abs() < 0.01, "{}", moved.all());
    }
}
