//! Measures a real `sigyn` process beside public yardsticks.
//!
//! Place in the path: none; it stands outside. It makes realistic lines, starts the program as a
//! child, pushes over HTTP, asks over HTTP, kills the child, and reads CPU and memory from the
//! system. `zstd` compresses the same lines and `rg` searches them in the same run, so that figures
//! of different machines can be compared as ratios.
//!
//! What it does not know: anything of the server's insides.

#![deny(missing_docs)]

mod client;
mod compacted;
mod error;
mod generate;
mod growth;
mod http;
mod lines;
mod measure;
mod picture;
mod protobuf;
mod queries;
mod read;
mod report;
mod run;
mod server;
mod yardstick;

pub use error::Error;
pub use run::{Plan, run};
