//! Detectors: what judges a segment.

pub mod cascade;
pub mod pattern;
pub mod safeguard;
