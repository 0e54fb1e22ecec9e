//! Roles of other processes, plugged in where those of this process would be.

pub mod appender;
pub mod cluster;
pub mod flush;
pub mod index;
pub mod peers;
pub mod recent;
pub mod scheduler;
mod source;
#[cfg(test)]
mod tests;
