//! What several replicas answered, told as if one had.

use std::time::Duration;

use api::append::{AppendOutcome, Rejected};
use hash_ring::quorum::quorum;

use super::{PeerError, refused};
use crate::appender::AppendError;

/// The answers of ingesters to the parts of one batch.
#[derive(Debug)]
pub(super) struct Outcomes {
    /// How many replicas of a stream may miss rows that are told as stored.
    tolerated: usize,
    failed: usize,
    duplicates: u64,
    /// Ingesters that refused some rows.
    refusers: usize,
    /// What they refused; what several of them refused alike, once.
    rejected: Vec<Rejected>,
    client: Option<PeerError>,
    server: Option<PeerError>,
}

impl Outcomes {
    pub(super) fn new(replication_factor: usize) -> Self {
        Self {
            tolerated: replication_factor - quorum(replication_factor),
            failed: 0,
            duplicates: 0,
            refusers: 0,
            rejected: Vec::new(),
            client: None,
            server: None,
        }
    }

    pub(super) fn add(&mut self, answer: Result<AppendOutcome, PeerError>) {
        match answer {
            Ok(outcome) => {
                self.duplicates = self.duplicates.max(outcome.duplicates);
                self.refusers += usize::from(!outcome.rejected.is_empty());
                self.add_rejected(outcome.rejected);
            }
            Err(error) => {
                self.failed += 1;
                let kept = if error.is_of_client() { &mut self.client } else { &mut self.server };
                kept.get_or_insert(error);
            }
        }
    }

    /// Replicas judge alike: refusals of equal reason and size are of the same rows. Each of one
    /// replica's refusals pairs with one of another's.
    fn add_rejected(&mut self, rejected: Vec<Rejected>) {
        let mut is_paired = vec![false; self.rejected.len()];
        for one in rejected {
            let is_same = |other: &Rejected| {
                (other.reason, other.kind, other.entries, other.bytes)
                    == (one.reason, one.kind, one.entries, one.bytes)
            };
            let known = (0..is_paired.len())
                .find(|index| !is_paired[*index] && is_same(&self.rejected[*index]));
            match known {
                Some(index) => is_paired[index] = true,
                None => self.rejected.push(one),
            }
        }
    }

    /// Whether somebody refused something, so that it matters what the others say.
    pub(super) fn has_refusals(&self) -> bool {
        !self.rejected.is_empty() || self.client.is_some()
    }

    /// What the client is told when too few replicas stored the batch.
    pub(super) fn failure(&self, retry_after: Duration) -> AppendError {
        let error = self.server.as_ref().or(self.client.as_ref());
        AppendError::Unavailable {
            message: match error {
                Some(error) => format!("too few ingesters stored the entries: {error}"),
                None => "too few ingesters stored the entries".to_owned(),
            },
            retry_after: error.and_then(|error| error.retry_after).unwrap_or(retry_after),
        }
    }

    /// What the client is told otherwise. Refusals are told when rows may be missing on too many
    /// replicas; `refused_rows` were refused whole.
    pub(super) fn finish(self, refused_rows: u64) -> AppendOutcome {
        let is_on_quorum = self.refusers + self.failed <= self.tolerated;
        let mut rejected = if is_on_quorum { Vec::new() } else { self.rejected };
        if let Some(error) = self.client.filter(|_| refused_rows > 0) {
            rejected.push(refused(&error, refused_rows));
        }
        AppendOutcome { rejected, duplicates: self.duplicates }
    }
}
