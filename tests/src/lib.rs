//! What the system tests are made of: the real program, a client, a ledger of what was
//! acknowledged, real servers and a proxy that breaks the way to them, and the script language of
//! the LogQL tests.
//!
//! The tests themselves stand in `system/`, grouped by promise. They speak HTTP only, wait on
//! conditions with a deadline, and scan the program's log for errors nobody expected.

pub mod chance;
pub mod client;
pub mod cluster;
pub mod ledger;
pub mod load;
pub mod network;
pub mod process;
pub mod proxy;
pub mod recorded;
pub mod script;
pub mod servers;
pub mod wait;
