//! A cluster in one thread: distributor, ring, ingesters and store, with everything outside of them
//! simulated.
//!
//! A [`schedule::run`] follows from its seed alone: when what is pushed, which messages are lost or
//! late, whose power goes, which clock jumps, when object storage is down. What is not simulated is
//! the code itself: the real distributor replicates to real ingesters with real logs on disks in
//! memory, which store real segments in a bucket in memory.
//!
//! After every schedule, and whenever a query can be answered meanwhile: every acknowledged entry is
//! seen, from any set of ingesters that a query may trust; nothing is seen that was not sent; no head
//! and no segment holds an entry twice; and a push is refused only when a quorum did not take it.

#![deny(missing_docs)]

mod clock;
mod cluster;
mod network;
mod read;
pub mod schedule;
