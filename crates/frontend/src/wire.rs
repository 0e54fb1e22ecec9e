//! Tasks and answers as bytes.
//!
//! The messages are protobuf, so that processes of neighbouring versions understand each other:
//! fields are only ever added. Decoding takes at most [`BYTES_MAX`] and allocates no more than a
//! fixed multiple of what it is given, because every message and every packed number costs at least
//! one byte of input and messages do not nest without bound.

mod answer;
mod task;

use prost::Message as _;

pub(crate) use task::QueryMessage;

use crate::task::Timed;
use crate::task::{Task, TaskAnswer, TaskError};

/// Most bytes of a task or an answer.
pub const BYTES_MAX: usize = 256 << 20;

/// Bytes that are no task or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged message: {0}")]
pub struct WireError(pub(crate) String);

impl WireError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<prost::DecodeError> for WireError {
    fn from(error: prost::DecodeError) -> Self {
        Self(error.to_string())
    }
}

/// A task as bytes.
#[must_use]
pub fn encode_task(task: &Task) -> Vec<u8> {
    task::TaskMessage::of(task).encode_to_vec()
}

/// The task that bytes stand for.
///
/// # Errors
///
/// [`WireError`] when they stand for none.
pub fn decode_task(bytes: &[u8]) -> Result<Task, WireError> {
    check_size(bytes)?;
    task::TaskMessage::decode(bytes)?.read()
}

/// What a task came to, as bytes.
#[must_use]
pub fn encode_outcome(outcome: &Result<TaskAnswer, TaskError>) -> Vec<u8> {
    answer::OutcomeMessage::of(outcome).encode_to_vec()
}

/// The outcome that bytes stand for.
///
/// # Errors
///
/// [`WireError`] when they stand for none.
pub fn decode_outcome(bytes: &[u8]) -> Result<Result<TaskAnswer, TaskError>, WireError> {
    check_size(bytes)?;
    answer::OutcomeMessage::decode(bytes)?.read()
}

/// An answer as bytes, for caches.
pub(crate) fn encode_answer(answer: &Timed) -> Vec<u8> {
    answer::AnswerMessage::of(answer).encode_to_vec()
}

/// The answer that bytes of a cache stand for.
pub(crate) fn decode_answer(bytes: &[u8]) -> Result<Timed, WireError> {
    check_size(bytes)?;
    answer::AnswerMessage::decode(bytes)?.read()
}

fn check_size(bytes: &[u8]) -> Result<(), WireError> {
    if bytes.len() > BYTES_MAX {
        return Err(WireError::new(format!("{} bytes; the most is {BYTES_MAX}", bytes.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
