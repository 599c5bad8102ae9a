//! Remote engines: the model on a server of its own, asked in words. Which endpoint is asked, how a request gets there and what
//! its answer says know nothing of each other.

mod client;
mod endpoint;
mod error;
mod form;
mod plain;
mod trust;

pub use client::{Client, StartError};
pub use error::{Failed, Phase, RemoteError};
pub use form::{Answer, Question, Usage};
pub use plain::{plain, restored};
