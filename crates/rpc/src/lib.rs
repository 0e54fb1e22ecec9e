//! What processes say to each other: gRPC services and their clients.
//!
//! Place in the path: a role that needs another defines the small trait it needs; where the other
//! role runs in another process, `server` plugs in a client from here ([`ingester::Client`],
//! [`index::Client`], [`scheduler`]), and on the other side a service from here in front of the role. [`pool`] keeps
//! the connections, [`codec`] writes the large messages, [`error`] carries failures.
//!
//! Invariants: every call has a deadline, every message a size limit; errors keep their
//! [`model::ErrorKind`] on the way; a stream that breaks ends with an error, never as if complete.
//! What the crate does not know: how any role works.

#![deny(missing_docs)]

pub mod codec;
pub mod error;
#[rustfmt::skip]
mod generated;
pub mod health;
pub mod index;
pub mod ingester;
pub mod pool;
pub mod scheduler;

pub use error::Error;
pub use pool::{Peer, Pool, PoolConfig, Tls};

/// Largest message that is sent or taken, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 100 << 20;

/// The metadata that names the tenant of a call.
pub const TENANT_METADATA: &str = "x-scope-orgid";
