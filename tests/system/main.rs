//! System tests: the real program, spoken to over HTTP, grouped by promise.

// In a test a panic is a finding, and the program under test is another process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
// Figures of a test stand beside its outcome.
#![allow(clippy::print_stderr)]

mod brute_force;
mod cli;
mod cluster;
mod compaction;
mod durability;
mod fairness;
mod grammar;
mod hand_over;
mod logql;
mod object_storage;
mod operate;
mod push;
mod queries;
mod reading;
mod recorded;
mod replicas;
mod results_cache;
mod roles;
mod tail;
mod zones;
