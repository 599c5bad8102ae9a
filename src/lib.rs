//! Portcullis: a reverse proxy that judges LLM traffic under written policies.
//!
//! The modules stand in the order of the data: text is found by `wire`, asked about by `guardrail`, judged by
//! `detectors`, held and released by `gate`, and carried by `proxy`. A module uses only those of a lower layer;
//! `tests/tidy.rs` holds the order, and ARCHITECTURE.md says why.

pub mod text;

pub mod config;
#[cfg(feature = "libtorch")]
pub mod model;
pub mod policy;
pub mod wire;

pub mod guardrail;
pub mod remote;

pub mod detectors;
pub mod gate;
pub mod telemetry;

pub mod live;

pub mod proxy;
pub mod workbench;

pub mod admin;

pub mod cli;
