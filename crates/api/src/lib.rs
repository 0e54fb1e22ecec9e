//! What travels: push bodies in protobuf, JSON and OTLP, the append batch between distributor and
//! ingester, and the JSON of query answers.
//!
//! Stands between the listeners and the roles. Everything here is pure: bytes in, values out, or
//! the other way round. Decoders never panic and never allocate beyond a small multiple of their
//! input, whatever the bytes. The crate does not know HTTP, tenants' limits, clocks or storage.

#![deny(missing_docs)]

pub mod body;
pub mod push;

pub mod label_text;
pub mod push_json;
pub mod push_protobuf;

pub mod metadata_name;
pub mod otlp;

pub mod append;

pub mod room;

pub mod params;
pub mod query;

mod json_reader;
mod protobuf;
mod rfc3339;
mod utf8;
mod varint;
