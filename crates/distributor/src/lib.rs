//! A push arrives: validate, limit, discover, normalise, hand over.
//!
//! Stands between the push endpoints and the ingester. [`Distributor::push`] takes what a client
//! sent, drops what a tenant may not store, adds what is worth knowing about the rest
//! (`service_name`, `detected_level`), and gives one encoded batch to an [`Appender`]. Good entries
//! are stored even when others beside them are refused; the answer then still is a refusal.
//!
//! Invariants: every refused byte is counted by tenant and reason; nothing is answered as stored
//! before the appender said so. This crate does not know HTTP, the write-ahead log, or which
//! streams exist: limits on streams and on their order are the ingester's.

#![deny(missing_docs)]

mod distributor;

mod push;

mod limits;
mod sharding;
mod streams;

mod service_name;
mod validate;

mod encode;
mod level;
mod metadata;

mod appender;
mod generic_fields;
mod refusal;
mod replicated;

mod generations;
mod metrics;

pub use appender::{AppendError, Appender};
pub use distributor::{
    Config, Dependencies, Distributor, Distributors, OneDistributor, PushContext, PushFormat,
};
pub use limits::{
    LEVEL_FIELDS, Limits, LongLines, PolicySelector, RateStrategy, SERVICE_NAME_LABELS,
    StreamSharding,
};
pub use push::Prepared;
pub use refusal::PushRefused;
pub use replicated::{
    PeerError, Peers, ReplicatedAppender, ReplicatedConfig, ReplicatedDependencies, RingNow,
};
