//! Frames of a tail.

use model::Timestamp;
use model::answer::{ResultLabels, ResultStream};

use super::json::{write_array, write_integer, write_string};
use super::{
    EncodingFlags, selector, write_encoding_flags, write_labels, write_legacy_stream, write_stream,
};

/// An entry that a slow client did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedEntry {
    /// When.
    pub timestamp: Timestamp,
    /// Of which stream.
    pub labels: ResultLabels,
}

/// Writes a frame of `/loki/api/v1/tail`.
pub fn write_frame(
    streams: &[ResultStream],
    dropped: &[DroppedEntry],
    flags: &EncodingFlags,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"streams\":");
    write_array(streams, out, |stream, out| write_stream(stream, flags.categorize(), out));
    if !dropped.is_empty() {
        out.extend_from_slice(b",\"dropped_entries\":");
        write_array(dropped, out, |entry, out| {
            out.extend_from_slice(b"{\"timestamp\":\"");
            write_integer(entry.timestamp.0, out);
            out.extend_from_slice(b"\",\"labels\":");
            write_labels(&entry.labels, out);
            out.push(b'}');
        });
    }
    if !flags.0.is_empty() {
        out.push(b',');
        write_encoding_flags(flags, out);
    }
    out.push(b'}');
}

/// Writes a frame of `/api/prom/tail`.
pub fn write_legacy_frame(streams: &[ResultStream], dropped: &[DroppedEntry], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"streams\":");
    write_array(streams, out, write_legacy_stream);
    out.extend_from_slice(b",\"dropped_entries\":");
    if dropped.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_array(dropped, out, |entry, out| {
            out.extend_from_slice(b"{\"timestamp\":\"");
            out.extend_from_slice(entry.timestamp.to_string().as_bytes());
            out.extend_from_slice(b"\",\"labels\":");
            write_string(&selector(&entry.labels), out);
            out.push(b'}');
        });
    }
    out.push(b'}');
}
