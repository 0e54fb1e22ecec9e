//! System tests: the real program, spoken to over HTTP, grouped by promise.

mod brute_force;
mod cli;
mod durability;
mod grammar;
mod logql;
mod push;
mod queries;
mod tail;
