//! Detectors: what judges a segment.

pub mod pattern;
#[cfg(feature = "libtorch")]
pub mod safeguard;
