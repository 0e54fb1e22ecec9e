//! System tests: the real program, spoken to over HTTP, grouped by promise.

mod compaction;
mod durability;
mod logql;
mod push;
