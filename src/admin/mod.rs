//! The admin listener: health, metrics and status for those who operate the proxy, and the workbench for those who write
//! its policies. Over HTTP/1.1, apart from the traffic.

mod admission;
mod classify;
mod desk;
mod events;
mod judges;
mod moderations;
mod page;
mod policies;
mod refused;
mod reply;
mod request;
mod server;
mod site;

pub use desk::Desk;
pub use server::serve;
pub use site::{AdminState, Site, Status};
