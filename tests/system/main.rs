//! System tests: the real program, spoken to over HTTP, grouped by promise.

mod brute_force;
mod durability;
mod grammar;
mod logql;
mod push;
