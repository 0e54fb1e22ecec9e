//! The nouns of a log store.
//!
//! Every other crate speaks in these words: a *tenant* owns *streams*; a stream is all *entries*
//! that share one set of *labels*; an entry is a *timestamp*, a *line* and *structured metadata*.
//! The modules are listed in the order in which a reader meets them.
//!
//! Invariants: values are immutable once built, and building checks them; nothing here does I/O,
//! reads a clock or knows a serialisation format.

#![deny(missing_docs)]

pub mod answer;
pub mod column_lines;
pub mod columns;
pub mod entry;
pub mod fingerprint;
pub mod kind;
pub mod label;
pub mod level;
pub mod matcher;
pub mod pattern;
pub mod tenant;
pub mod time;
pub mod units;

pub use entry::{Entry, MetadataPair};
pub use fingerprint::Fingerprint;
pub use kind::ErrorKind;
pub use label::Labels;
pub use level::Level;
pub use matcher::{MatchOp, Matcher};
pub use pattern::Pattern;
pub use tenant::TenantId;
pub use time::{Direction, TimeRange, Timestamp};
