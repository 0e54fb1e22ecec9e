//! Who owns which token now.
//!
//! Place in the path: every process of a cluster keeps an [`Instance`](ring) of its own in a ring
//! store (memory, gossip, etcd, Consul) and sees everybody else's; the distributor asks the ring
//! for the replicas of a stream, the querier for everybody who may hold recent rows, the compactor
//! for the one instance that acts.
//!
//! Invariants: a lookup is a pure function of the members, the key and the time; an instance
//! writes only its own record; two processes that see the same members choose the same replicas.
//! What the crate does not know: what is being sharded, and how instances talk to one another.

#![deny(missing_docs)]
