//! Text and places in it: segments, span edits, windows, views. Knows no wire form and no policy.

mod edit;
mod media;
mod segment;
pub mod view;
pub mod window;

pub use edit::{Edit, Edits, Span};
pub use media::{Media, MediaCount, MediaSet};
pub use segment::{Kind, Place, Role, Segment, SegmentId};
