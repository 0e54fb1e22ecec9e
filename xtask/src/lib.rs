//! House rules, checked as ordinary tests: `cargo test -p xtask`.
//!
//! The rules themselves are the tables in [`tidy`]; each rule that matters has a check, and a rule
//! that cannot be checked is not a rule.

pub mod tidy;
