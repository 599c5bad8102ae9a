//! The proxy: Pingora's sockets on both sides, and one exchange of ours between them for every inspected request. The only
//! module that knows Pingora.

mod body;
mod coding;
mod connection;
mod exchange;
mod headers;
mod judge;
mod keeper;
mod peers;
mod refused;
mod relay;
mod relayed;
mod reply;
mod seen;
mod server;
mod service;
mod trail;
mod unjudged;
mod upstream;

pub use coding::{Coding, DecodeError};
pub use server::{Listener, Server};
pub use service::Service;
