//! The proxy: Pingora's sockets on both sides, and one exchange of ours between them for every inspected request. The only
//! module that knows Pingora.

mod body;
mod coding;
mod connection;
mod exchange;
mod headers;
mod judge;
mod peers;
mod refused;
mod relay;
mod reply;
mod server;
mod service;
mod trail;
mod unjudged;
mod upstream;

pub use server::{Listener, Server};
pub use service::Service;
