//! Who owns which token now.
//!
//! Place in the path: every process of a cluster keeps an [`Instance`] of its own in a ring
//! store (memory, gossip, etcd, Consul) and sees everybody else's; the distributor asks the
//! [`Ring`] for the replicas of a stream, the querier for everybody who may hold recent rows, the
//! compactor for the one instance that acts.
//!
//! The modules in reading order: an [`instance`] is what a process says about itself; a [`token`]
//! is a place on the circle of 2^32; a [`Ring`] is all instances of one moment and answers who
//! owns what ([`ring`]); a [`QuorumTracker`] tells when enough replicas have answered ([`quorum`]);
//! [`page`] is what a person sees of it. So far nothing waits. A [`store`] holds the records of
//! all instances; a [`RingClient`] always has the newest ring of one store; a [`Lifecycler`] is
//! this process's own part, from joining to leaving.
//!
//! Invariants: a lookup is a pure function of the members, the key and the time; an instance
//! writes only its own record; two processes that see the same members choose the same replicas.
//! What the crate does not know: what is being sharded, and how instances talk to one another.

#![deny(missing_docs)]

pub mod client;
mod error;
pub mod instance;
pub mod lifecycler;
mod metrics;
pub mod page;
pub mod quorum;
pub mod ring;
pub mod store;
pub mod token;

pub use client::RingClient;
pub use error::Error;
pub use instance::{Instance, Operation, State};
pub use lifecycler::{Claim, Lifecycler, LifecyclerConfig, NotReady, TokenStrategy};
pub use metrics::Metrics;
pub use quorum::{Outcome, QuorumTracker, ReplicationSet, Verdict};
pub use ring::{Ring, RingConfig};
pub use store::{Environment, Members, RingStore, RingStores, StoreConfig};
pub use token::token_of;
