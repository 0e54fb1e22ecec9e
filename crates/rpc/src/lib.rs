//! What processes say to each other: gRPC services and their clients.
//!
//! Place in the path: a role that needs another defines the small trait it needs; where the other
//! role runs in another process, `server` plugs in a client from here, and on the other side a
//! service from here in front of the role.
//!
//! Invariants: every call has a deadline, every message a size limit; errors keep their
//! [`model::ErrorKind`] on the way; a stream that breaks ends with an error, never as if complete.
//! What the crate does not know: how any role works.

#![deny(missing_docs)]
