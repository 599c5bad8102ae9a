//! Keys and values of sequences: what attention has computed and need not compute again. Paged, shared, bounded.

mod cache;
mod pages;
mod prefix;
mod store;

pub use cache::KvCache;
pub use pages::{PAGE, Page};
pub use prefix::{Beginning, Prefixes};
pub use store::{KvStore, LayerKv, NoRoom};
