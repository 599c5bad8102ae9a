//! The workbench: one text, a data set or recorded traffic judged under a policy, for those who write and measure it. It
//! asks the same detectors as the proxy does, and is never in the way of traffic.

mod classification;
mod classifier;
pub mod policies;

pub use classification::{Classification, Times};
pub use classifier::Classifier;
