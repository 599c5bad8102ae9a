//! Detectors: what judges a segment.

pub mod pattern;
pub mod safeguard;
