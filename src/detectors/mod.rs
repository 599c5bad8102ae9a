//! Detectors: what judges a segment.

pub mod cascade;
pub mod pattern;
pub mod prefilter;
pub mod safeguard;
#[cfg(test)]
mod testing;
