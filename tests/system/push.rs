//! Pushing as clients do, and finding what was pushed: formats, refusals, partial acceptance, real
//! clients.

pub mod clients;
mod formats;
mod refusals;
