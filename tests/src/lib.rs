//! What the system tests are made of: the real program, a client, a ledger of what was
//! acknowledged, and the script language of the LogQL tests.
//!
//! The tests themselves stand in `system/`, grouped by promise. They speak HTTP only, wait on
//! conditions with a deadline, and scan the program's log for errors nobody expected.

pub mod client;
pub mod ledger;
pub mod process;
pub mod script;
pub mod wait;
