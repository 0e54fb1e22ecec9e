//! The outside world, made replaceable: clock, randomness, tasks, services, modules, telemetry.
//!
//! Every other crate asks this one for the time, for a random number and for a task, so that a
//! test can own all three. Above that stand the two things that turn parts into a process: a
//! [`service`] has a life from starting to terminated, and [`module`] starts services after what
//! they depend on and stops them before it.
//!
//! Invariants: a panic in a background task never leaves a half-dead process ([`task`]); a service
//! never goes back to an earlier state. This crate does not know what the product does.

#![deny(missing_docs)]

pub mod backoff;
pub mod clock;
mod error;
pub mod limiter;
pub mod limits;
pub mod module;
pub mod random;
pub mod service;
pub mod shutdown;
pub mod task;
pub mod telemetry;

pub use error::{Error, Failure, StopProcess};
