//! Remote engines: the model on a server of its own, asked in words or in token ids. Which endpoint is asked, how a request gets
//! there and what its answer says know nothing of each other.

mod choice;
mod client;
mod endpoint;
mod error;
mod form;
mod health;
mod plain;
mod replica;
mod room;
#[cfg(test)]
pub mod testing;
mod trust;

pub use client::{Client, Features, StartError};
pub use error::{Failed, Phase, RemoteError};
pub use form::tokens::{Beginning, Continuation, Likely, Proof, Then};
pub use form::{Answer, Question, Token, Usage};
pub use plain::{plain, restored};
pub use replica::EndpointReading;
