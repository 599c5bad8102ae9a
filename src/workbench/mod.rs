//! The workbench: one text, a data set or recorded traffic judged under a policy, for those who write and measure it. It
//! asks the same detectors as the proxy does, and is never in the way of traffic.

mod calibration;
mod classification;
mod classifier;
mod data;
pub mod policies;
mod recorded;
mod replay;
mod report;
mod results;
mod run;
mod scores;
mod shown;
mod summary;
#[cfg(test)]
mod testing;

pub use calibration::{Bin, Calibration};
pub use classification::{Classification, Times};
pub use classifier::Classifier;
pub use data::{Data, DataError, Expected, Item, Lacking};
pub use recorded::{Audit, AuditError, Decision, Recorded, Wanted, Was, With};
pub use replay::{Replayed, replay};
pub use report::{Judge, Report};
pub use results::{Given, Head, Judged, Line, Results, ResultsError, Side};
pub use run::{Todo, run};
pub use scores::{ClassScores, Confusion};
pub use shown::{brief, cut, short, visible};
pub use summary::{Change, Latency, Summary, change, is_right};
