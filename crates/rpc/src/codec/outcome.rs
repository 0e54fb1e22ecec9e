//! What became of an append batch.

use ::bytes::Bytes;
use api::append::{AppendOutcome, Rejected};
use model::ErrorKind;

use super::Decoded;
use super::bytes::{Reader, Writer, damaged};

/// A rejection takes at least so many bytes.
const REJECTED_BYTES_MIN: usize = 5;

/// Reasons that ingesters count; a reason of a newer program is counted as the last one.
const REASONS: &[&str] = &[
    "too_far_behind",
    "out_of_order",
    "per_stream_rate_limit",
    "stream_limit",
    "invalid_labels",
    "line_too_long",
    "other",
];

/// Encodes an outcome.
#[must_use]
pub fn encode_outcome(outcome: &AppendOutcome) -> Bytes {
    let mut out = Writer::new(16);
    out.number(outcome.duplicates);
    out.number(outcome.rejected.len() as u64);
    for Rejected { reason, kind, message, entries, bytes } in &outcome.rejected {
        out.text(reason);
        out.byte(kind.code());
        out.text(message);
        out.number(*entries);
        out.number(*bytes);
    }
    out.finish()
}

/// Decodes an outcome.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_outcome(bytes: &[u8]) -> Decoded<AppendOutcome> {
    let mut reader = Reader::new(bytes)?;
    let duplicates = reader.number()?;
    let rejected = reader.list(REJECTED_BYTES_MIN, |reader| {
        let reason = known_reason(reader.text()?);
        let kind = ErrorKind::from_code(reader.byte()?.into())
            .ok_or_else(|| damaged("a kind of failure"))?;
        let message = reader.text()?.to_owned();
        Ok(Rejected { reason, kind, message, entries: reader.number()?, bytes: reader.number()? })
    })?;
    reader.finish()?;
    Ok(AppendOutcome { rejected, duplicates })
}

/// Reasons are labels of metrics: from a fixed set, so that their number is bounded.
fn known_reason(reason: &str) -> &'static str {
    let known = REASONS.iter().find(|known| **known == reason);
    known.copied().unwrap_or(REASONS[REASONS.len() - 1])
}
