//! The binary `sigyn`: configuration, targets, modules, listeners, routes.
//!
//! Place in the path: the only crate that knows everything. It reads the configuration, builds the
//! roles, plugs them into one another, and serves them.
//!
//! Invariants: a request has its tenants before its handler runs; a panic in a request fails that
//! request alone; nothing below [`http`] knows HTTP, and nothing beside [`config`] knows YAML.

#![deny(missing_docs)]

// What is to run, and how it comes to life.
pub mod config;

pub mod target;

pub mod app;

pub mod limits;
pub mod local;
pub mod remote;
pub mod ring;

// What is spoken.
pub mod listener;

pub mod grpc;
pub mod tls;

pub mod credentials;

mod blocking;
pub mod http;

// What it says about itself, and to people.
pub mod exposition;
pub mod process;
pub mod version;

pub mod cli;

#[cfg(test)]
mod generated;
