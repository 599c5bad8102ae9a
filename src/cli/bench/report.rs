//! What a benchmark of the engine found: a line for each figure as it comes, or one JSON object at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::figures::Memory;

/// The figures so far. Times in seconds, sizes in bytes.
#[derive(Serialize)]
pub struct Report {
    /// The shape, or the checkpoint's folder.
    model: String,
    device: String,
    /// Of the CPU.
    threads: usize,
    load_s: f64,
    weights_bytes: f64,
    rss_bytes: u64,
    peak_rss_bytes: u64,
    bandwidth_bytes_per_s: Option<f64>,
    /// By the length of the prompt.
    prefill_tok_s: BTreeMap<usize, f64>,
    prefill_floor_tok_s: BTreeMap<usize, f64>,
    /// Of one sequence alone.
    decode_tok_s: f64,
    decode_floor_tok_s: Option<f64>,
    /// Of all sequences together, by their number.
    decode_together_tok_s: BTreeMap<usize, f64>,
    verdicts: Vec<VerdictsRow>,
    #[serde(skip)]
    lines: bool,
}

#[derive(Serialize)]
struct VerdictsRow {
    asks: usize,
    effort: &'static str,
    reasoning_tokens: usize,
    policy: &'static str,
    verdicts_s: f64,
    /// Of which the percentiles are; of fewer than a hundred, the 99th is the slowest.
    samples: usize,
    p50_s: f64,
    p99_s: f64,
    floor_s: Option<f64>,
}

/// Verdicts that were asked for together, some number of times.
pub struct Verdicts {
    /// Each time.
    pub asks: usize,
    pub reasoning: usize,
    pub cached: bool,
    pub total: Duration,
    pub each: Vec<Duration>,
    /// That had to be read each time.
    pub bytes: f64,
}

impl Report {
    /// `lines` prints each figure as it comes.
    pub fn new(model: String, device: String, threads: usize, lines: bool) -> Self {
        Report {
            model,
            device,
            threads,
            load_s: 0.0,
            weights_bytes: 0.0,
            rss_bytes: 0,
            peak_rss_bytes: 0,
            bandwidth_bytes_per_s: None,
            prefill_tok_s: BTreeMap::new(),
            prefill_floor_tok_s: BTreeMap::new(),
            decode_tok_s: 0.0,
            decode_floor_tok_s: None,
            decode_together_tok_s: BTreeMap::new(),
            verdicts: Vec::new(),
            lines,
        }
    }

    /// Weights of so many bytes were loaded.
    pub fn loaded(&mut self, took: Duration, memory: Memory, weights: f64) {
        self.load_s = took.as_secs_f64();
        self.weights_bytes = weights;
        self.rss_bytes = memory.now;
        let (weights, resident) = (weights / 1e9, memory.now as f64 / 1e9);
        self.line(format!("load {:.1} s, weights of {weights:.2} GB, {resident:.2} GB resident", self.load_s));
    }

    pub fn bandwidth(&mut self, bytes_per_s: Option<f64>) {
        self.bandwidth_bytes_per_s = bytes_per_s;
        if let Some(bandwidth) = bytes_per_s {
            self.line(format!("memory is read at {:.1} GB/s", bandwidth / 1e9));
        }
    }

    /// A prompt of so many tokens took so long, and had to read so many bytes.
    pub fn prefill(&mut self, tokens: usize, took: Duration, bytes: f64) {
        let tok_s = tokens as f64 / took.as_secs_f64();
        let floor = self.floor(bytes).map(|floor| tokens as f64 / floor);
        self.line(format!("prefill of {tokens}: {tok_s:.1} tok/s{}", floor_note(floor, "tok/s")));
        self.prefill_tok_s.insert(tokens, tok_s);
        self.prefill_floor_tok_s.extend(floor.map(|floor| (tokens, floor)));
    }

    /// A step of so many sequences took so long.
    pub fn decode(&mut self, sequences: usize, took: Duration, bytes: f64) {
        let tok_s = sequences as f64 / took.as_secs_f64();
        let floor = self.floor(bytes).map(|floor| sequences as f64 / floor);
        self.line(format!("decode of {sequences} at once: {tok_s:.2} tok/s{}", floor_note(floor, "tok/s")));
        self.decode_together_tok_s.insert(sequences, tok_s);
        if sequences == 1 {
            (self.decode_tok_s, self.decode_floor_tok_s) = (tok_s, floor);
        }
    }

    pub fn verdicts(&mut self, verdicts: Verdicts) {
        let Verdicts { asks, reasoning, cached, total, mut each, bytes } = verdicts;
        each.sort_unstable();
        let at = |share: f64| {
            let index = ((each.len() as f64 * share).ceil() as usize).clamp(1, each.len().max(1)) - 1;
            each.get(index).copied().unwrap_or_default().as_secs_f64()
        };
        let row = VerdictsRow {
            asks,
            effort: if reasoning == 0 { "none" } else { "low" },
            reasoning_tokens: reasoning,
            policy: if cached { "cached" } else { "new" },
            verdicts_s: each.len() as f64 / total.as_secs_f64(),
            samples: each.len(),
            p50_s: at(0.5),
            p99_s: at(0.99),
            floor_s: self.floor(bytes),
        };
        self.line(format!(
            "{asks} verdicts at once, effort {} ({reasoning} tokens), {} policy: {:.3} a second, of {} p50 {:.2} s, p99 {:.2} s{}",
            row.effort,
            row.policy,
            row.verdicts_s,
            row.samples,
            row.p50_s,
            row.p99_s,
            floor_note(row.floor_s, "s")
        ));
        self.verdicts.push(row);
    }

    pub fn memory(&mut self, memory: Memory) {
        self.rss_bytes = memory.now;
        self.peak_rss_bytes = memory.peak;
        self.line(format!("{:.2} GB resident, {:.2} at most", memory.now as f64 / 1e9, memory.peak as f64 / 1e9));
    }

    pub fn json(&self) -> String {
        // Numbers and strings are always JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Seconds that reading so many bytes takes.
    fn floor(&self, bytes: f64) -> Option<f64> {
        self.bandwidth_bytes_per_s.map(|bandwidth| bytes / bandwidth)
    }

    fn line(&self, text: String) {
        if self.lines {
            println!("{text}");
        }
    }
}

fn floor_note(floor: Option<f64>, unit: &str) -> String {
    floor.map(|floor| format!(" (memory alone: {floor:.2} {unit})")).unwrap_or_default()
}
