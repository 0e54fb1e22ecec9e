//! A query arrives: split, shard, cache, queue fairly, retry, merge.
//!
//! Place in the path: the HTTP layer hands over a parsed request; the frontend cuts it into pieces
//! by time and by stream, looks for answers it already has, queues the rest fairly between tenants
//! and their users, sends each piece to whoever executes it, and puts the answers together.
//!
//! Invariants: an answer in pieces equals the answer in one; a cached answer equals a computed one;
//! every queue has a bound; a query that its client has left is cancelled in every queue and on
//! every querier. What the crate does not know: where rows are kept and how they are read.

#![deny(missing_docs)]

pub mod cache;
mod frontend;
mod gate;
mod limits;
pub mod merge;
mod metrics;
pub mod plan;
pub mod queue;
pub mod scheduler;
mod task;
#[cfg(test)]
mod testing;
pub mod wire;

pub use frontend::{Config, Dependencies, Frontend, Request};
pub use gate::{Gate, Place};
pub use limits::Limits;
pub use metrics::{Metrics, Skipped};
pub use task::{
    Executor, HttpRequest, HttpResponse, Task, TaskAnswer, TaskError, Timed, Version, Work,
};
